//! What a worker gives to functions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache::Bytes;

/// What a worker gives to functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// How many functions of one core may run at once, over all domains.
    pub cores: u16,
    /// Memory for functions.
    #[serde(with = "crate::cache::humane_bytes")]
    pub memory: Bytes,
    /// The longest a function may run, whatever it or its invocation says.
    #[serde(with = "crate::time::humane")]
    pub max_timeout: Duration,
    /// How long a tree has between SIGTERM and SIGKILL.
    #[serde(with = "crate::time::humane")]
    pub grace: Duration,
    /// Processes and threads of one tree.
    pub max_processes: u32,
    /// The largest file a function may write.
    #[serde(with = "crate::cache::humane_bytes")]
    pub max_file_size: Bytes,
    /// Files that a process may have open.
    pub max_open_files: u32,
    /// How much of standard output, and of standard error, is kept; at most [`WorkerConfig::LARGEST_OUTPUT`].
    #[serde(with = "crate::cache::humane_bytes")]
    pub max_output: Bytes,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            cores: 1,
            memory: Bytes::mib(1024),
            max_timeout: Duration::from_secs(15 * 60),
            grace: Duration::from_secs(2),
            max_processes: 256,
            max_file_size: Bytes::mib(1024),
            max_open_files: 1024,
            max_output: Bytes::mib(1),
        }
    }
}

/// A configuration that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {rule}")]
pub struct WorkerConfigError {
    /// Which key.
    pub key: &'static str,
    /// What has to hold.
    pub rule: &'static str,
}

impl WorkerConfig {
    /// The most that may be kept of standard output, and of standard error. A master takes reports with twice that, and
    /// none that are larger: what it cannot read of a worker it has to call lost.
    pub const LARGEST_OUTPUT: Bytes = Bytes(16 << 20);

    /// Checks that functions can run at all.
    ///
    /// # Errors
    /// Names the first rule that does not hold.
    pub fn validate(&self) -> Result<(), WorkerConfigError> {
        let rules = [
            ("cores", self.cores > 0, "has to be at least 1"),
            ("memory", self.memory >= Bytes::mib(1), "has to be at least 1 MiB"),
            ("max_timeout", !self.max_timeout.is_zero(), "has to be above zero"),
            ("max_processes", self.max_processes > 0, "has to be at least 1"),
            ("max_open_files", self.max_open_files >= 8, "has to be at least 8"),
            ("max_output", self.max_output <= Self::LARGEST_OUTPUT, "may be at most 16 MiB"),
        ];
        match rules.iter().find(|(_, holds, _)| !holds) {
            Some(&(key, _, rule)) => Err(WorkerConfigError { key, rule }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        assert_eq!(WorkerConfig::default().validate(), Ok(()));
    }

    #[test]
    fn a_worker_that_could_run_or_report_nothing_is_refused() {
        let valid = WorkerConfig::default();
        let broken = [
            ("cores", WorkerConfig { cores: 0, ..valid.clone() }),
            ("memory", WorkerConfig { memory: Bytes(0), ..valid.clone() }),
            ("max_timeout", WorkerConfig { max_timeout: Duration::ZERO, ..valid.clone() }),
            ("max_processes", WorkerConfig { max_processes: 0, ..valid.clone() }),
            ("max_open_files", WorkerConfig { max_open_files: 3, ..valid.clone() }),
            ("max_output", WorkerConfig { max_output: Bytes(WorkerConfig::LARGEST_OUTPUT.0 + 1), ..valid }),
        ];
        for (key, config) in broken {
            assert_eq!(config.validate().map_err(|error| error.key), Err(key));
        }
    }
}
