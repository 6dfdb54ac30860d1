//! When load and faults are over, all work ends, and what the master believes of its workers is true.

use fsched_core::cluster::Liveness;

use crate::Simulation;

/// Nobody starves: all work has ended.
///
/// # Errors
/// Says who has not.
pub fn at_rest(simulation: &Simulation) -> Result<(), String> {
    if simulation.is_done() {
        return Ok(());
    }
    let left: Vec<String> = simulation
        .open()
        .take(5)
        .map(|id| {
            let state = simulation.master().and_then(|master| master.invocation(id)).map(|one| &one.state);
            format!("{id}: {state:?}")
        })
        .collect();
    Err(format!("starvation: {} have not ended: {left:?}", simulation.open().count()))
}

/// Nothing is held anywhere, and the master knows: to be checked when work has ended and every worker has had time to answer.
///
/// # Errors
/// Says what is not so.
pub fn quiet(simulation: &Simulation) -> Result<(), String> {
    let master = simulation.master().ok_or("there is no master")?;
    let infos: Vec<_> = master.workers(simulation.now()).collect();
    for (number, machine) in simulation.machines().iter().enumerate() {
        let heartbeat = machine.heartbeat().ok_or_else(|| format!("m{number} is down"))?;
        if !heartbeat.running.is_empty() {
            return Err(format!("m{number}: {:?} still run, and nobody waits", heartbeat.running));
        }
        for status in &heartbeat.domains {
            if status.exclusive_ways != 0 || status.free_ways != status.domain.geometry.usable_ways().get() {
                return Err(format!("m{number}: ways are held, and nothing runs: {status:?}"));
            }
        }
        let info = infos.iter().find(|info| info.key == machine.key());
        let info = info.ok_or_else(|| format!("the master does not know m{number}"))?;
        let view = info.view.as_ref().ok_or_else(|| format!("nothing was heard of m{number}"))?;
        if view.liveness != Liveness::Alive || view.draining {
            return Err(format!(
                "m{number} is there, and is {:?}, draining {}",
                view.liveness, view.draining
            ));
        }
        let cores_agree = heartbeat.domains.iter().all(|status| {
            view.domains.get(&status.domain.id).is_some_and(|domain| {
                (domain.cores, domain.free_cores()) == (status.cores, status.free_cores)
                    && (domain.asked_shared, domain.reserved_exclusive, domain.exclusive_leases) == (0, 0, 0)
                    && !domain.held_alone
                    && domain.residents().iter().next().is_none()
            })
        });
        if !cores_agree || view.free_memory() != heartbeat.free_memory {
            return Err(format!("m{number} says {heartbeat:?}, and the master believes {view:?}"));
        }
    }
    Ok(())
}
