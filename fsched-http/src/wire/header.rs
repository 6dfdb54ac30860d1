//! The headers that master and worker send with everything.

/// Which version of the protocol is spoken: in every request to a worker and every answer of one.
pub const PROTOCOL_HEADER: &str = "x-fsched-protocol";

/// Which process answers: random, new with every start of a worker.
///
/// In an order it names the process that the order is for, and is sent with the second try after a line that broke: any
/// other process refuses it, because it cannot know whether the first try arrived at the one before it.
pub const INSTANCE_HEADER: &str = "x-fsched-instance";
