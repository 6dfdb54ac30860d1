//! No more classes are used than there are, and who shares a class has the same mask.

use std::collections::BTreeMap;

use crate::Simulation;

pub(super) fn check(simulation: &Simulation) -> Result<(), String> {
    for (number, machine) in simulation.machines().iter().enumerate() {
        let Some(worker) = machine.worker() else { continue };
        for domain in machine.domains() {
            let mut masks = BTreeMap::new();
            for running in worker.running().filter(|running| running.domain == domain.id) {
                if running.class.0 > domain.geometry.classes {
                    return Err(format!(
                        "m{number}: {} is in class {} of {}",
                        running.attempt, running.class, domain.geometry.classes
                    ));
                }
                let mask = *masks.entry(running.class).or_insert(running.mask);
                if mask != running.mask {
                    return Err(format!(
                        "m{number}: class {} has the masks {mask} and {}",
                        running.class, running.mask
                    ));
                }
            }
            if masks.len() > usize::from(domain.geometry.classes) {
                return Err(format!(
                    "m{number}: {} classes are used of {}",
                    masks.len(),
                    domain.geometry.classes
                ));
            }
        }
    }
    Ok(())
}
