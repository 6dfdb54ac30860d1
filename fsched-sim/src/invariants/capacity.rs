//! On each worker, what runs needs no more cores and memory than it gives.

use crate::Simulation;

pub(super) fn check(simulation: &Simulation) -> Result<(), String> {
    for (number, machine) in simulation.machines().iter().enumerate() {
        let Some(heartbeat) = machine.heartbeat() else { continue };
        let memory: u64 = machine.processes().values().map(|process| process.needs.memory.0).sum();
        if memory > heartbeat.memory.0 || heartbeat.free_memory.0 != heartbeat.memory.0 - memory {
            return Err(format!(
                "m{number}: {memory} bytes are held of {}, and it says that {} are free",
                heartbeat.memory, heartbeat.free_memory
            ));
        }
        for status in &heartbeat.domains {
            let here = machine.processes().values().filter(|process| process.domain == status.domain.id);
            let cores: u32 = here.map(|process| u32::from(process.needs.cores)).sum();
            if cores + u32::from(status.free_cores) != u32::from(status.cores) {
                return Err(format!(
                    "m{number}: {cores} cores are held of {}, and it says that {} are free",
                    status.cores, status.free_cores
                ));
            }
        }
    }
    Ok(())
}
