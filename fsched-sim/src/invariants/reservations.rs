//! What the master promises is what those hold that are out.

use std::collections::BTreeMap;

use fsched_core::invocation::InvocationState;

use crate::Simulation;

/// Cores and how many hold them, by worker and domain; memory, by worker.
pub(super) fn check(simulation: &Simulation) -> Result<(), String> {
    let Some(master) = simulation.master() else { return Ok(()) };
    let mut held = BTreeMap::new();
    let mut memory = BTreeMap::new();
    for id in simulation.open() {
        let Some(invocation) = master.invocation(id) else { continue };
        let (InvocationState::Fetching { worker, .. } | InvocationState::Running { worker, .. }) =
            invocation.state
        else {
            continue;
        };
        let (Some(estimate), Some(function)) =
            (invocation.estimate, master.function_even_removed(invocation.submission.function))
        else {
            return Err(format!("{id} is out, and nothing was estimated"));
        };
        let needs = function.spec.needs;
        let (cores, placed) = held.entry((worker, estimate.domain)).or_insert((0, 0));
        *cores += u32::from(needs.cores);
        *placed += 1;
        *memory.entry(worker).or_insert(0) += needs.memory.0;
    }
    for info in master.workers(simulation.now()) {
        let Some(view) = info.view else { continue };
        let expected = memory.get(&info.id).copied().unwrap_or(0);
        if view.reserved_memory.0 != expected {
            return Err(format!(
                "{}: {} of memory are promised, those who are out need {expected} bytes",
                info.id, view.reserved_memory
            ));
        }
        for (&id, domain) in view.domains.iter() {
            let (cores, placed) = held.get(&(info.id, id)).copied().unwrap_or((0, 0));
            if (u32::from(domain.reserved_cores), domain.placed) != (cores, placed) {
                return Err(format!(
                    "{} domain {id}: {} cores are promised to {}, {placed} are out and need {cores}",
                    info.id, domain.reserved_cores, domain.placed
                ));
            }
            if domain.reserved_cores > domain.cores || domain.reserved_exclusive > domain.exclusive_limit() {
                return Err(format!("{} domain {id}: more is promised than there is", info.id));
            }
        }
    }
    Ok(())
}
