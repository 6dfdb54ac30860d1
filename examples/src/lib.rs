//! A ladder of small programs, each run by `cargo run -p fsched-examples --example <name>`.
//!
//! | example | what |
//! | --- | --- |
//! | `hello` | the whole platform inside one program: a master, a worker, real processes |
//! | `custom_scheduler` | a scheduler of one's own, and the proof that it keeps the contract |
//! | `custom_predictor` | a predictor of one's own, and the proof that it keeps the contract |
//! | `simulate_day` | a day on a small cluster under virtual time, by the hour |
//! | `compare_schedulers` | two schedulers on the same calls |
//! | `custom_policy` | a policy of one's own on a simulated cluster |
//! | `replay_hour` | what a master ran, again, with the cache shared and split |
//! | `client` | a client of the REST API of a platform that runs elsewhere |
