//! All parts of the evaluation, one after the other.

use serde::Serialize;

use super::curves::Programs;
use super::{repartitioning, sharing, splitting};

/// What to evaluate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Mixes of each kind.
    pub(crate) mixes: u32,
    /// What all randomness comes from.
    pub(crate) seed: u64,
    /// The cost of sharers is slowdown to the power of this.
    pub(crate) power: f64,
    /// How much more than the least they may cost that are fairer.
    pub(crate) fairness: f64,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) splitting: Vec<splitting::Line>,
    pub(crate) sharing: Vec<sharing::Line>,
    pub(crate) repartitioning: Vec<repartitioning::Line>,
}

/// Evaluates everything, saying after each step which it was.
pub(crate) fn evaluate(programs: &Programs, plan: Plan, mut done: impl FnMut(&str)) -> Report {
    let mut report = Report { splitting: Vec::new(), sharing: Vec::new(), repartitioning: Vec::new() };
    for ways in programs.caches() {
        let mut caches = vec![("all", programs.in_ways(ways))];
        caches.push(("sensitive", caches[0].1.sensitive()));
        for (kind, programs) in &caches {
            for runners in [3, 4, 6, 8] {
                report.splitting.extend(splitting::lines(programs, kind, ways, runners, plan));
                done("splitting");
            }
            for runners in [6, 8, 12, 16] {
                report.sharing.extend(sharing::lines(programs, kind, ways, runners, plan));
                done("sharing");
            }
            report.repartitioning.extend(repartitioning::lines(programs, kind, ways, plan));
            done("repartitioning");
        }
    }
    report
}

/// How many times [`evaluate`] says that a step is done.
pub(crate) fn steps(programs: &Programs) -> u64 {
    programs.caches().len() as u64 * 2 * 9
}
