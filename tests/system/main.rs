//! The whole system on real processes and sockets: every test starts a master and workers of its own in a folder of
//! its own, on ports that the system chooses, and asks them like any client.
//!
//! | module | what is held |
//! | --- | --- |
//! | [`runs`] | the REST API of old to the letter: push, benchmark, run, submit |
//! | [`functions`] | functions and their versions, from push to removal |
//! | [`invocations`] | invocations, listed, shown, remembered and cancelled |
//! | [`service`] | what is served beside the work: documents, health, numbers, logs |
//! | [`bad_input`] | whatever comes from outside brings a clear error, and no harm |
//! | [`hosts`] | hosts that are no workers, and masters that are none |
//! | [`cluster`] | workers come, go, die and come back |
//! | [`overload`] | more work than there is room |
//! | [`profiles`] | curves without hardware that divides a cache |
//! | [`processes`] | functions get what they need, and stay within limits |
//! | [`trees`] | nothing that a function starts outlives its invocation |
//! | [`shutdown`] | servers that are asked to stop do so in order |
//! | [`safety`] | who may talk to us |
//! | [`tenants`] | tokens with names |
//! | [`transfer`] | files reach workers once, whole; orders whose line breaks are not forgotten |
//! | [`durability`] | what was accepted is not lost |
//! | [`simulation`] | `fsched sim` and `fsched record` |
//! | [`command_line`] | `fsched` for people and for programs |
//! | [`isolation`] | who has ways of its own |
//! | [`kernel`] | what is so only on a kernel with resctrl |
//! | [`learning`] | the predictor is trained on what the platform has seen |
//! | [`harness`] | what they stand on |

mod bad_input;
mod cluster;
mod command_line;
mod durability;
mod functions;
mod harness;
mod hosts;
mod invocations;
mod isolation;
mod kernel;
mod learning;
mod overload;
mod processes;
mod profiles;
mod runs;
mod safety;
mod service;
mod shutdown;
mod simulation;
mod tenants;
mod transfer;
mod trees;
