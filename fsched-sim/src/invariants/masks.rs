//! Masks are legal for their cache, and an exclusive way is in nobody else's mask.

use crate::Simulation;

pub(super) fn check(simulation: &Simulation) -> Result<(), String> {
    for (number, machine) in simulation.machines().iter().enumerate() {
        let Some(worker) = machine.worker() else { continue };
        for domain in machine.domains() {
            let geometry = &domain.geometry;
            let usable = geometry.usable().map_or(0, |mask| mask.bits());
            let here: Vec<_> = worker.running().filter(|running| running.domain == domain.id).collect();
            for one in &here {
                let mask = one.mask;
                let legal = mask.bits() & !usable == 0
                    && mask.ways() >= geometry.min_ways
                    && (!geometry.contiguous || mask.is_contiguous());
                if !legal {
                    return Err(format!("m{number}: {} has the mask {mask} on {geometry:?}", one.attempt));
                }
                let process = machine.processes().get(&one.attempt);
                if !process.is_some_and(|process| process.is_exclusive()) {
                    continue;
                }
                let other =
                    here.iter().find(|other| other.attempt != one.attempt && other.mask.overlaps(mask));
                if let Some(other) = other {
                    return Err(format!(
                        "m{number}: {} has {mask} exclusively, and {} has {}",
                        one.attempt, other.attempt, other.mask
                    ));
                }
            }
        }
    }
    Ok(())
}
