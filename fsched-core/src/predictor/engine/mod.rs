//! Predicting a curve offline: pure functions of what is known of one function, and of what was learnt across functions.
//!
//! Everything happens on a grid of [`GRID`] cache sizes, `1..=20` units; a unit is a way of 1 MiB unless a machine's cache
//! is larger. Times are logarithms of seconds.
//!
//! | file | what |
//! | --- | --- |
//! | `shape.rs` | [`Shape`]: the logarithm of time at every grid point; reading, joining and comparing them |
//! | `scaling.rs` | [`Scaling`]: how a function's own curve moves with its input size, `t(W, n) = S(W) + n^b · h(W / n^a)` |
//! | `candidates.rs` | what physics makes of it: candidate curves for an input size |
//! | `features.rs` | what the learnt part is told of each grid point |
//! | `network.rs` | the learnt part's forward pass, without candle |
//! | `weights.rs` | its weights as a checked file |
//! | `need.rs` | [`Need`]: how likely it is that so many units are enough |
//! | `blend.rs` | the curve and its interval, made of all that |
//! | `plan.rs` | which cache sizes to run next, and when to stop |

pub mod answer;
pub mod candidates;
pub mod dataset;
pub mod evaluation;
pub mod features;
pub mod learning;
pub mod model;
pub mod network;
pub mod plan;
pub mod random;
pub mod rules;
pub mod scaling;
pub mod shape;
pub mod situation;
pub mod tasks;
#[cfg(test)]
mod tests;
#[cfg(feature = "train")]
pub mod training;
