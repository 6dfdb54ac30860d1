//! The processes of one run, all of them gone when it is over, however it ends.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, kill_process_group, prlimit};

/// The variable that marks what belongs to a run.
const MARK: &str = "FSCHED_PROFILE";

/// How often strays are looked for: each round may find what the last ones started meanwhile.
const ROUNDS: usize = 10;

/// A name for a run that no other has; always equally long, because the environment's length moves the stack.
#[derive(Debug, Clone)]
pub(super) struct Mark(String);

impl Mark {
    pub(super) fn new() -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        Self(format!("{:016x}", RandomState::new().hash_one(std::process::id())))
    }

    /// The variable, for the environment of the run's first process.
    pub(super) fn variable(&self) -> (&'static str, &str) {
        (MARK, &self.0)
    }

    /// Processes whose environment has the variable: also those that left the group.
    fn bearers(&self) -> Vec<Pid> {
        let wanted = format!("{MARK}={}", self.0);
        let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
        let ids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let bears = |id: &i32| {
            let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| OsStr::from_bytes(variable) == OsStr::new(&wanted))
        };
        ids.filter(bears).filter_map(Pid::from_raw).collect()
    }
}

/// The processes of one run: a process group, and whoever left it. Killed when dropped.
#[derive(Debug)]
pub(super) struct Processes {
    leader: Pid,
    mark: Mark,
}

impl Processes {
    /// Takes charge of a run whose first process leads a group of its own.
    ///
    /// They may use `cpu` time and not a second more: whoever kills us with `SIGKILL` leaves nothing that runs for ever.
    pub(super) fn of(leader: Pid, mark: Mark, cpu: Duration) -> Self {
        let limit = cpu.as_secs().saturating_add(5);
        let maximum = getrlimit(Resource::Cpu).maximum.map_or(limit, |maximum| maximum.min(limit));
        let limit = Rlimit { current: Some(maximum), maximum: Some(maximum) };
        // It may have ended already; and this is only the second line of defence.
        let _ = prlimit(Some(leader), Resource::Cpu, limit);
        Self { leader, mark }
    }

    /// Asks all of the group to end: Cachegrind then writes what it has counted so far.
    ///
    /// The signal is one that ends a process where nobody handles it, and that hardly anybody does.
    pub(super) fn ask_to_end(&self) {
        let _ = kill_process_group(self.leader, Signal::VTALARM);
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // That there is nobody left is the usual case.
        let _ = kill_process_group(self.leader, Signal::KILL);
        for _ in 0..ROUNDS {
            let strays = self.mark.bearers();
            if strays.is_empty() {
                return;
            }
            for stray in strays {
                let _ = kill_process(stray, Signal::KILL);
            }
        }
    }
}
