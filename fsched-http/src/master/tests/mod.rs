//! The service on real sockets, with workers in the same process whose functions only pretend to run.

mod documents;
mod ends;
mod refusals;
mod story;
mod tenants;
mod world;
