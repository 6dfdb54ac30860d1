//! fsched over HTTP: the master's and the worker's services, the transport between them, and what goes over the wire.
//!
//! | module | what |
//! | --- | --- |
//! | [`auth`] | who may talk to us: the token, and the checks that keep web pages of others out |
//! | [`error`] | every error answer: status, code, message |
//! | [`machine`] | what this machine is: its cache domains, its memory, its key |
//! | [`wire`] | what goes over the wire between master and worker |

pub mod auth;
pub mod error;
pub mod machine;

pub mod wire;
