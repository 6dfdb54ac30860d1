//! Whatever fits an empty worker runs within a bound: one that was overtaken so often lets nobody pass any more, and then
//! room drains until it fits.

use std::sync::Arc;

use super::*;
use crate::scheduler::BinPacking;

/// Two workers of 2 cores; small functions of 1 core keep coming, more than fit; a large one wants both cores of a worker.
#[test]
fn a_large_one_runs_after_a_bounded_number_of_small_ones() {
    let overtakes = 10;
    let config = MasterConfig { queue: 100, max_overtakes: overtakes, ..MasterConfig::default() };
    let (now, scheduler) = (Timestamp(1_000_000_000), Box::new(BinPacking::default()));
    let predictor = Box::new(Simple::default());
    let (mut master, _) = Master::new(config, predictor, scheduler, Snapshot::default(), now);
    master.join(now, "http://a".into(), heartbeat(1, 2));
    master.join(now, "http://b".into(), heartbeat(2, 2));
    let (small, _) = master.push(now, spec("small"));
    let needs = Needs { cores: 2, ..spec("large").needs };
    let (large, _) = master.push(now, FunctionSpec { needs, ..spec("large") });

    let mut out = std::collections::VecDeque::new();
    let take = |effects: Effects, out: &mut std::collections::VecDeque<(WorkerId, AttemptId, FunctionId)>| {
        for effect in effects {
            if let Effect::Send { to, order } = effect {
                out.push_back((to.worker, order.attempt, order.function));
            }
        }
    };
    for _ in 0..4 {
        let (_, effects) = master.submit(now, Submission::new(small.id, InputSize(1))).unwrap();
        take(effects, &mut out);
    }
    let (_, effects) = master.submit(now, Submission::new(large.id, InputSize(1))).unwrap();
    assert!(effects.iter().all(|effect| !matches!(effect, Effect::Send { .. })), "there is no room");

    let (mut overtook, mut ended) = (0, 0);
    loop {
        // There is always a small one more that would fit.
        if let Ok((_, effects)) = master.submit(now, Submission::new(small.id, InputSize(1))) {
            take(effects, &mut out);
        }
        let (worker, attempt, function) = out.pop_front().expect("something runs");
        if function == large.id {
            break;
        }
        ended += 1;
        overtook += u32::from(attempt.invocation.0 > 5);
        let effects =
            master.reported(now, worker, attempt, Ok(Arc::new(report(attempt, Ending::Exited(0), 1.0))));
        take(effects, &mut out);
        assert!(ended < 100, "it starves");
    }
    assert!(overtook <= overtakes, "{overtook} went before it");
    // The four that ran already, and those that may pass, end before it starts, and no others.
    assert!(ended <= 4 + overtakes, "{ended} ended before it");
}
