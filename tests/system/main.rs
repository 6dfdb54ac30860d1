//! The whole system on real processes and sockets: every test starts a master and workers of its own in a folder of
//! its own, on ports that the system chooses, and asks them like any client.
//!
//! | module | what is held |
//! | --- | --- |
//! | [`api`] | the REST API of old to the letter, and what was added beside it |
//! | [`bad_input`] | whatever comes from outside brings a clear error, and no harm |
//! | [`cluster`] | workers come, go, die and come back |
//! | [`overload`] | more work than there is room |
//! | [`processes`] | functions get what they need, stay within limits, and leave nothing |
//! | [`safety`] | who may talk to us |
//! | [`transfer`] | files reach workers once, whole |
//! | [`durability`] | what was accepted is not lost |
//! | [`command_line`] | `fsched` for people and for programs |

mod api;
mod bad_input;
mod cluster;
mod command_line;
mod durability;
mod harness;
mod overload;
mod processes;
mod safety;
mod transfer;
