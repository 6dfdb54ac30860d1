//! The simulator against what can be computed by hand, and the platform under everything that goes wrong.

mod closed_form;
mod determinism;
mod mutations;
mod rig;
mod seeds;
