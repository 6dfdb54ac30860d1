//! fsched over HTTP: the master's and the worker's services, the transport between them, and what goes over the wire.
//!
//! | module | what |
//! | --- | --- |
//! | [`front`] | what every request passes: its id and span, the guard, the numbers, errors as JSON |
//! | [`auth`] | who may talk to us: the token, and the checks that keep web pages of others out |
//! | [`error`] | every error answer: status, code, message |
//! | [`json`] | JSON bodies, taken apart key by key |
//! | [`metrics`] | numbers for Prometheus |
//! | [`master`] | the service of the master |
//! | [`openapi`] | its OpenAPI document, and the page to try it |
//! | [`register`] | how a worker makes itself known to a master |
//! | [`transport`] | carries orders to workers by HTTP |
//! | [`worker`] | the worker's service |
//! | [`machine`] | what this machine is: its cache domains, its memory, its key |
//! | [`wire`] | what goes over the wire |

pub mod auth;
pub mod error;
pub mod front;
pub mod json;
pub mod machine;
pub mod master;
pub mod metrics;
pub mod openapi;
pub mod register;
pub mod transport;
pub mod wire;
pub mod worker;
