//! What the three programs are made of: `fsched`, one command for everything, and the thin `fsched-master` and
//! `fsched-worker`.
//!
//! | module | what |
//! | --- | --- |
//! | [`cli`] | the command line of `fsched`: what can be said, and what is then done |
//! | [`client`] | the REST API from the client's side |
//! | [`settings`] | what master and worker can be told by file, environment and flag |
//! | [`serve`] | a master or a worker as a process: from settings to a clean end |
//! | [`up`] | a master and its workers with one command |
//! | [`profile`] | a function's curve without hardware that divides a cache |
//! | [`demo`] | the same, put to work for a minute |
//! | [`doctor`] | what this machine has, and what fsched does with it |
//! | [`predictor`] | trains the predictor of running times, and judges it |
//! | [`sim`] | clusters under virtual time: one policy, or several compared |
//! | [`split`] | how good the rules that split a cache are |
//! | [`child`] | processes of our own executable that do not outlive us |
//! | [`table`], [`progress`], [`exit`] | what people and programs see |
//! | [`signals`] | Ctrl-C and its kin |

pub mod child;
pub mod cli;
pub mod client;
pub mod demo;
pub mod doctor;
pub mod exit;
pub mod predictor;
pub mod profile;
pub mod progress;
pub mod serve;
pub mod settings;
pub mod signals;
pub mod sim;
pub mod split;
pub mod table;
pub mod up;

/// Every request allocates some hundred times; the C library's allocator was a sixth of the master's instructions.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
