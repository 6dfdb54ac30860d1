//! What was accepted ends exactly once, and is started no more often than its client allows.

use crate::Simulation;

/// Ends are counted where they are kept; what the master has under way is what was accepted and has not ended.
pub(super) fn check(simulation: &Simulation) -> Result<(), String> {
    if let Some(violation) = simulation.violations().first() {
        return Err(violation.clone());
    }
    let Some(master) = simulation.master() else { return Ok(()) };
    for id in simulation.open() {
        let live = master.invocation(id).is_some_and(|invocation| {
            !matches!(invocation.state, fsched_core::invocation::InvocationState::Ended { .. })
        });
        if !live {
            return Err(format!("{id} was accepted and has not ended, and the master does not see to it"));
        }
    }
    let stats = master.stats();
    let under_way = stats.queued + stats.fetching + stats.running;
    if under_way != simulation.open().count() {
        return Err(format!("{under_way} are under way, {} have not ended", simulation.open().count()));
    }
    Ok(())
}
