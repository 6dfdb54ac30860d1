//! Which files there are, and what they say.

use std::io;

use super::{State, errno};

impl State {
    /// Whether there is a file or directory of that name.
    pub(super) fn is_there(&mut self, path: &str) -> bool {
        self.directories(path).is_ok() || self.read(path).is_ok()
    }

    pub(super) fn directories(&self, path: &str) -> io::Result<Vec<String>> {
        let owned = |names: &[&str]| Ok(names.iter().map(|name| (*name).to_owned()).collect());
        let monitors = self.machine.monitoring.is_some();
        match path {
            "" => {
                let mut names: Vec<String> =
                    self.groups.keys().filter(|name| !name.is_empty()).cloned().collect();
                names.push("info".to_owned());
                if monitors {
                    names.extend(["mon_data".to_owned(), "mon_groups".to_owned()]);
                }
                names.sort();
                Ok(names)
            }
            "info" => {
                let mut names = self.cache_lines().to_vec();
                names.extend(self.has_bandwidth().then_some("MB"));
                names.extend(monitors.then_some("L3_MON"));
                names.sort_unstable();
                owned(&names)
            }
            "info/MB" if self.has_bandwidth() => owned(&[]),
            "info/L3_MON" if monitors => owned(&[]),
            _ if path.strip_prefix("info/").is_some_and(|line| self.cache_lines().contains(&line)) => {
                owned(&[])
            }
            _ => {
                let (group, rest) = path.split_once('/').map_or((path, ""), |(group, rest)| (group, rest));
                let (group, rest) =
                    if matches!(group, "mon_data" | "mon_groups") { ("", path) } else { (group, rest) };
                if !self.groups.contains_key(group) {
                    return Err(errno(libc::ENOENT));
                }
                match rest {
                    "" if monitors => owned(&["mon_data", "mon_groups"]),
                    "" | "mon_groups" => owned(&[]),
                    "mon_data" if monitors => Ok(self
                        .machine
                        .domains
                        .iter()
                        .map(|domain| format!("mon_L3_{:02}", domain.0))
                        .collect()),
                    _ => Err(errno(libc::ENOENT)),
                }
            }
        }
    }

    pub(super) fn read(&mut self, path: &str) -> io::Result<String> {
        if let Some(info) = path.strip_prefix("info/") {
            return self.info(info).ok_or_else(|| errno(libc::ENOENT));
        }
        let (group, file) = match path.find("mon_data/") {
            Some(0) => ("", path),
            Some(at) => (&path[..at - 1], &path[at..]),
            None => path.rsplit_once('/').unwrap_or(("", path)),
        };
        let Some(known) = self.groups.get(group) else { return Err(errno(libc::ENOENT)) };
        let list =
            |numbers: &mut dyn Iterator<Item = String>, between| numbers.collect::<Vec<_>>().join(between);
        match file {
            "schemata" if !self.machine.monitor_only => Ok(self.show_schemata(group)),
            "mode" if !self.machine.monitor_only => {
                Ok(if known.exclusive { "exclusive\n" } else { "shareable\n" }.to_owned())
            }
            "tasks" => Ok(known.tasks.iter().map(|task| format!("{task}\n")).collect()),
            "cpus" => {
                let bits = known.cpus.iter().fold(0u64, |all, cpu| all | 1 << cpu);
                Ok(format!("{bits:0width$x}\n", width = usize::from(self.machine.cpus).div_ceil(4)))
            }
            "cpus_list" => {
                Ok(format!("{}\n", list(&mut ranges(&known.cpus.iter().copied().collect::<Vec<_>>()), ",")))
            }
            _ if file.starts_with("mon_data/") && self.machine.monitoring.is_some() => {
                self.counter(path, file)
            }
            _ => Err(errno(libc::ENOENT)),
        }
    }

    fn counter(&self, path: &str, file: &str) -> io::Result<String> {
        if let Some(said) = self.counters.get(path) {
            return Ok(format!("{said}\n"));
        }
        let mut parts = file.split('/').skip(1);
        let known = parts.next().is_some_and(|place| {
            self.machine.domains.iter().any(|domain| place == format!("mon_L3_{:02}", domain.0))
        });
        let traffic = self.machine.monitoring.is_some_and(|monitoring| monitoring.traffic);
        match parts.next() {
            Some("llc_occupancy") if known => Ok("0\n".to_owned()),
            Some("mbm_total_bytes" | "mbm_local_bytes") if known && traffic => Ok("0\n".to_owned()),
            _ => Err(errno(libc::ENOENT)),
        }
    }

    fn info(&self, path: &str) -> Option<String> {
        let machine = &self.machine;
        if path == "last_cmd_status" {
            return Some(if self.status.is_empty() { "ok\n".to_owned() } else { self.status.clone() });
        }
        let (resource, file) = path.split_once('/')?;
        let value = match resource {
            "MB" if self.has_bandwidth() => {
                let bandwidth = machine.bandwidth?;
                match file {
                    "num_closids" => bandwidth.closids.to_string(),
                    "min_bandwidth" => bandwidth.least.to_string(),
                    "bandwidth_gran" => bandwidth.granularity.to_string(),
                    "delay_linear" => "1".to_owned(),
                    _ => return None,
                }
            }
            "L3_MON" => {
                let monitoring = machine.monitoring?;
                match file {
                    "num_rmids" => monitoring.rmids.to_string(),
                    "mon_features" if monitoring.traffic => {
                        "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes".to_owned()
                    }
                    "mon_features" => "llc_occupancy".to_owned(),
                    "max_threshold_occupancy" => "65536".to_owned(),
                    _ => return None,
                }
            }
            line if self.cache_lines().contains(&line) => match file {
                "cbm_mask" => format!("{:x}", machine.all_ways()),
                "min_cbm_bits" => machine.min_bits.to_string(),
                "num_closids" => {
                    (if machine.cdp { machine.closids / 2 } else { machine.closids }).to_string()
                }
                "shareable_bits" => format!("{:x}", machine.shareable),
                "sparse_masks" if !machine.old_kernel => u8::from(machine.sparse).to_string(),
                _ => return None,
            },
            _ => return None,
        };
        Some(value + "\n")
    }
}

/// `0-3`, `8`: rows of neighbours.
fn ranges(cpus: &[u16]) -> impl Iterator<Item = String> {
    cpus.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [one] => one.to_string(),
        run => format!("{}-{}", run[0], run[run.len() - 1]),
    })
}
