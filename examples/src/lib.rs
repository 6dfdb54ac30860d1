//! A ladder of small programs, each run by `cargo run -p fsched-examples --example <name>`.
//!
//! | example | what |
//! | --- | --- |
//! | `hello` | the whole platform inside one program: a master, a worker, real processes |
//! | `custom_scheduler` | a scheduler of one's own, and the proof that it keeps the contract |
//! | `custom_predictor` | a predictor of one's own, and the proof that it keeps the contract |
//! | `client` | a client of the REST API of a platform that runs elsewhere |
