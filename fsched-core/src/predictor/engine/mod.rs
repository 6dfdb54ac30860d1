//! Predicting a curve offline: pure functions of what is known of one function, and of what was learnt across functions.
//!
//! Everything happens on a grid of `GRID` cache sizes, `1..=20` units; a unit is a way of 1 MiB unless a machine's cache
//! is larger. Times are logarithms of seconds.
//!
//! | file | what |
//! | --- | --- |
//! | `shape.rs` | the logarithm of time at every grid point; reading, joining and comparing them |
//! | `scaling.rs` | how a function's own curve moves with its input size, `t(W, n) = S(W) + n^b · h(W / n^a)` |
//! | `spots.rs` | single runs at other sizes: how the known curves move, and where they are wrong |
//! | `startup.rs` | which start-up a function has, by what others in its runtime show |
//! | `candidates.rs` | what physics makes of it: candidate curves for an input size |
//! | `features.rs` | what the learnt part is told of each grid point |
//! | `network.rs` | the learnt part's forward pass, without candle |
//! | `situation.rs` | the kinds of question, each with networks and a calibration of its own |
//! | `answer.rs` | the curve, its interval and the fewest units that are good enough, made of all that |
//! | `plan.rs` | which cache sizes to run next, and when to stop |
//! | `model.rs` | all that was learnt across functions, as a checked file |
//! | `learning.rs`, `training.rs`, `random.rs` | how it is learnt: from whole curves, by candle, from a seed |
//! | `platform.rs` | what a platform has seen of its own functions, to learn from too |
//! | `dataset.rs`, `tasks.rs`, `rules.rs`, `evaluation.rs` | how well that predicts, against simple rules |

pub mod answer;
pub mod candidates;
pub mod dataset;
pub mod evaluation;
pub mod features;
pub mod learning;
pub mod model;
pub mod network;
pub mod plan;
pub mod platform;
pub mod random;
pub mod rules;
pub mod scaling;
pub mod shape;
pub mod situation;
pub mod spots;
pub mod startup;
pub mod tasks;
#[cfg(test)]
mod tests;
#[cfg(feature = "train")]
pub mod training;
