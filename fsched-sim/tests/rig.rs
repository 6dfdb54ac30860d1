//! What the tests stand on.

use std::sync::Arc;
use std::time::Duration;

use fsched_core::master::MasterConfig;
use fsched_core::scheduler::SchedulerConfig;
use fsched_sim::SimFunction;
use fsched_sim::machine::{MachineConfig, StartUp};
use fsched_sim::policy::{Platform, Predictions};
use fsched_sim::simulation::{Network, SimConfig};

/// A machine with one cache of `ways` ways of a mebibyte.
pub(crate) fn machine(cores: u16, ways: u8) -> MachineConfig {
    MachineConfig::nominal(cores, ways)
}

/// Nothing takes any time but what functions compute.
pub(crate) fn ideal(seed: u64, machines: Vec<MachineConfig>, functions: Vec<SimFunction>) -> SimConfig {
    SimConfig {
        seed,
        master: MasterConfig { queue: usize::MAX, ..MasterConfig::default() },
        policy: Arc::new(Platform {
            scheduler: SchedulerConfig::LeastLoaded {},
            predictions: Predictions::Oracle(1.0),
        }),
        benchmarked: 0,
        machines,
        functions: functions.into(),
        start_up: StartUp { cold: Duration::ZERO, warm: Duration::ZERO },
        network: Network::INSTANT,
    }
}
