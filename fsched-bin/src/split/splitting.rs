use fsched_core::cache::Ways;
use fsched_core::split::{Objective, Problem, Room, Rule, Runner, split};
use serde::Serialize;

use super::curves::Cache;
use super::evaluation::Plan;
use super::mixes::Seeded;

/// How far one rule is from the exact split, over all mixes of one kind.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) ways: u8,
    pub(crate) programs: &'static str,
    pub(crate) runners: usize,
    pub(crate) mixes: u32,
    pub(crate) rule: &'static str,
    /// How much larger than the least the sum of slowdowns is, percent.
    pub(crate) sum_mean: f64,
    pub(crate) sum_worst: f64,
    /// How much larger than the least the worst slowdown is, percent.
    pub(crate) worst_mean: f64,
    pub(crate) worst_worst: f64,
}

const RULES: [(&str, Rule); 8] = [
    ("exact, sum", Rule::Exact(Objective::Sum)),
    ("exact, worst", Rule::Exact(Objective::Worst)),
    ("exact, worst then sum", Rule::Exact(Objective::WorstThenSum)),
    ("marginal greedy", Rule::Greedy),
    ("lookahead on times", Rule::Lookahead),
    ("UCP: lookahead on misses", Rule::MissLookahead),
    ("equal", Rule::Equal),
    ("own knee, first come", Rule::OwnKnee),
];

pub(super) fn lines(cache: &Cache, kind: &'static str, ways: u8, runners: usize, plan: Plan) -> Vec<Line> {
    if cache.programs.is_empty() || runners > usize::from(ways) {
        return Vec::new();
    }
    let mut gaps = [[0.0_f64; 4]; RULES.len()];
    let mut seeded =
        Seeded::new(plan.seed, &[1, u64::from(ways), runners as u64, cache.programs.len() as u64]);
    for _ in 0..plan.mixes {
        let mix = seeded.mix(cache, runners);
        let runners: Vec<Runner<'_>> = mix
            .iter()
            .map(|program| Runner { misses: Some(&program.misses), ..Runner::new(1.0, &program.slowdown) })
            .collect();
        let problem = Problem { room: Room::plain(Ways::clamped(ways)), runners: &runners };
        let found =
            RULES.map(|(_, rule)| split(&problem, rule).expect("there are no more runners than ways"));
        let (least, least_worst) = (found[0].sum, found[1].worst);
        for (gaps, found) in gaps.iter_mut().zip(&found) {
            let percent = |value: f64, least: f64| 100.0 * (value / least - 1.0);
            let (sum, worst) = (percent(found.sum, least), percent(found.worst, least_worst));
            gaps[0] += sum / f64::from(plan.mixes);
            gaps[1] = gaps[1].max(sum);
            gaps[2] += worst / f64::from(plan.mixes);
            gaps[3] = gaps[3].max(worst);
        }
    }
    let line =
        |((rule, _), [sum_mean, sum_worst, worst_mean, worst_worst]): (&(&'static str, Rule), [f64; 4])| {
            Line {
                ways,
                programs: kind,
                runners,
                mixes: plan.mixes,
                rule,
                sum_mean,
                sum_worst,
                worst_mean,
                worst_worst,
            }
        };
    RULES.iter().zip(gaps).map(line).collect()
}
