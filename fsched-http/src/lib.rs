//! fsched over HTTP: the master's and the worker's services, the transport between them, and what goes over the wire.
//!
//! | module | what |
//! | --- | --- |
//! | [`auth`] | who may talk to us: the token, and the checks that keep web pages of others out |
//! | [`error`] | every error answer: status, code, message |

pub mod auth;
pub mod error;
