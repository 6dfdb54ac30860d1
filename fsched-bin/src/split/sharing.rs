use fsched_core::split::sharing::{
    GroupCosts, Member, SharedPart, Sharing, SharingProblem, share, share_exhaustively, share_like_kpart,
    share_like_lfoc,
};
use serde::Serialize;

use super::curves::Cache;
use super::evaluation::Plan;
use super::mixes::Seeded;

/// The classes of common hardware, the default class not counted.
const CLASSES: u8 = 7;

/// How runners fare under one rule, over all mixes of one kind.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) ways: u8,
    pub(crate) programs: &'static str,
    pub(crate) runners: usize,
    pub(crate) mixes: u32,
    pub(crate) rule: &'static str,
    /// Mean slowdown.
    pub(crate) antt: f64,
    /// Sum of inverse slowdowns.
    pub(crate) stp: f64,
    /// Largest slowdown over smallest.
    pub(crate) unfairness: f64,
    /// How much larger than the least for the solver's own objective its cost is, percent; where everything was tried.
    pub(crate) gap: Option<f64>,
    /// The same for the mean slowdown.
    pub(crate) antt_gap: Option<f64>,
}

type Rule = fn(&mut GroupCosts<'_>) -> Sharing;

const RULES: [(&str, Rule); 4] = [
    ("ours", share),
    ("KPart-like", share_like_kpart),
    ("LFOC-like", share_like_lfoc),
    ("all in one", all_in_one),
];

fn all_in_one(costs: &mut GroupCosts<'_>) -> Sharing {
    let problem = *costs.problem();
    let everybody = SharedPart { members: (0..problem.members.len()).collect(), ways: problem.ways };
    let mut sharing = Sharing { groups: vec![everybody], cost: 0.0 };
    sharing.cost = costs.slowdowns(&sharing).iter().map(|slowdown| slowdown.powf(problem.power)).sum();
    sharing
}

#[derive(Default, Clone, Copy)]
struct Sums {
    antt: f64,
    stp: f64,
    unfairness: f64,
    gap: f64,
    antt_gap: f64,
}

pub(super) fn lines(cache: &Cache, kind: &'static str, ways: u8, runners: usize, plan: Plan) -> Vec<Line> {
    if cache.programs.is_empty() {
        return Vec::new();
    }
    // Each mix costs a thousand times what a split costs.
    let mixes = (plan.mixes / 10).max(1);
    let tried = runners <= 8;
    let mut sums = [Sums::default(); RULES.len() + 1];
    let mut seeded =
        Seeded::new(plan.seed, &[2, u64::from(ways), runners as u64, cache.programs.len() as u64]);
    for _ in 0..mixes {
        let mix = seeded.mix(cache, runners);
        let members: Vec<Member<'_>> = mix
            .iter()
            .map(|program| Member { weight: 1.0, slowdown: &program.slowdown, demand: Some(&program.demand) })
            .collect();
        let problem = |power| SharingProblem {
            ways,
            min: 1,
            way_size: cache.way_size,
            classes: CLASSES,
            members: &members,
            power,
            fairness: plan.fairness,
        };
        let costs = |power| GroupCosts::new(problem(power)).expect("there are ways and classes");
        let mut own = costs(plan.power);
        let mut found: Vec<Sharing> = RULES.iter().map(|(_, rule)| rule(&mut own)).collect();
        // The least sum of slowdowns there is; for the baselines' own goal too, whatever ours is.
        let mut least_antt = None;
        if tried {
            found.push(share_exhaustively(&mut own).expect("few enough to try everything"));
            let best = share_exhaustively(&mut costs(1.0)).expect("few enough to try everything");
            least_antt = Some(best.cost / runners as f64);
        }
        let least = found.get(RULES.len()).map(|best| best.cost);
        for (sums, found) in sums.iter_mut().zip(&found) {
            let slowdowns = own.slowdowns(found);
            let n = slowdowns.len() as f64;
            let antt = slowdowns.iter().sum::<f64>() / n;
            sums.antt += antt;
            sums.stp += slowdowns.iter().map(|s| 1.0 / s).sum::<f64>();
            let (least_of, most) =
                slowdowns.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), s| (a.min(*s), b.max(*s)));
            sums.unfairness += most / least_of;
            sums.gap += least.map_or(0.0, |least| 100.0 * (found.cost / least - 1.0));
            sums.antt_gap += least_antt.map_or(0.0, |least| 100.0 * (antt / least - 1.0));
        }
    }
    let names = RULES.iter().map(|(name, _)| *name).chain(tried.then_some("everything tried"));
    let mean = |sum: f64| sum / f64::from(mixes);
    let line = |(rule, sums): (&'static str, Sums)| Line {
        ways,
        programs: kind,
        runners,
        mixes,
        rule,
        antt: mean(sums.antt),
        stp: mean(sums.stp),
        unfairness: mean(sums.unfairness),
        gap: tried.then(|| mean(sums.gap)),
        antt_gap: tried.then(|| mean(sums.antt_gap)),
    };
    names.zip(sums).map(line).collect()
}
