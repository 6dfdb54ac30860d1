//! A worker knows of exactly the processes that run.

use crate::Simulation;

pub(super) fn check(simulation: &Simulation) -> Result<(), String> {
    for (number, machine) in simulation.machines().iter().enumerate() {
        let Some(worker) = machine.worker() else { continue };
        let known = worker.running().map(|running| running.attempt);
        if !known.eq(machine.processes().keys().copied()) {
            let known: Vec<_> = worker.running().map(|running| running.attempt.to_string()).collect();
            let there: Vec<_> = machine.processes().keys().map(ToString::to_string).collect();
            return Err(format!("m{number}: it knows of {known:?}, and {there:?} run"));
        }
    }
    Ok(())
}
