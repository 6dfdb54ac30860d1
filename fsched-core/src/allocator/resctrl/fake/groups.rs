//! Groups made and removed, their modes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::{Group, State, errno};
use crate::cache::DomainId;

impl State {
    /// Everything as new: the root group has all CPUs, tasks and ways.
    pub(super) fn mount(&mut self) {
        let mut values = BTreeMap::new();
        for domain in &self.machine.domains {
            for line in self.cache_lines() {
                values.insert((*line, *domain), self.machine.all_ways());
            }
            if self.has_bandwidth() {
                values.insert(("MB", *domain), self.whole_bandwidth());
            }
        }
        let cpus = (0..self.machine.cpus).collect();
        let tasks = self.tasks.keys().copied().collect();
        self.groups.insert(String::new(), Group { closid: 0, exclusive: false, values, tasks, cpus });
    }

    /// Classes over all resources, the root's included.
    fn closids(&self) -> usize {
        let cache = if self.machine.cdp { self.machine.closids / 2 } else { self.machine.closids };
        self.machine.bandwidth.map_or(cache, |bandwidth| cache.min(bandwidth.closids))
    }

    pub(super) fn make_group(&mut self, path: &str) -> io::Result<()> {
        if path.contains('\n') {
            return Err(errno(libc::EINVAL));
        }
        let parts: Vec<&str> = path.split('/').collect();
        if self.is_there(path) {
            return Err(errno(libc::EEXIST));
        }
        if parts.len() > 1 {
            let parent = &path[..path.len() - parts[parts.len() - 1].len() - 1];
            return Err(errno(if self.is_there(parent) { libc::EPERM } else { libc::ENOENT }));
        }
        if self.machine.monitor_only {
            return Err(errno(libc::EPERM));
        }
        if self.machine.old_kernel {
            self.take_rmid()?;
        }
        let used: BTreeSet<usize> = self.groups.values().map(|group| group.closid).collect();
        let Some(closid) = (0..self.closids()).find(|closid| !used.contains(closid)) else {
            self.say("Out of CLOSIDs");
            return Err(errno(libc::ENOSPC));
        };
        if !self.machine.old_kernel {
            self.take_rmid()?;
        }
        let mut values = BTreeMap::new();
        for line in self.cache_lines() {
            for domain in self.machine.domains.clone() {
                let Some(mask) = self.initial_mask(domain) else {
                    self.say(&format!("No space on {line}:{domain}"));
                    return Err(errno(libc::ENOSPC));
                };
                values.insert((*line, domain), mask);
            }
        }
        if self.has_bandwidth() {
            let whole = self.whole_bandwidth();
            values.extend(self.machine.domains.iter().map(|domain| (("MB", *domain), whole)));
        }
        let group = Group { closid, exclusive: false, values, tasks: BTreeSet::new(), cpus: BTreeSet::new() };
        self.groups.insert(path.to_owned(), group);
        Ok(())
    }

    /// Whether there is a monitoring id for one more group.
    fn take_rmid(&mut self) -> io::Result<()> {
        let Some(monitoring) = self.machine.monitoring else { return Ok(()) };
        if self.groups.len() + self.limbo < monitoring.rmids {
            return Ok(());
        }
        self.say("Out of RMIDs");
        Err(errno(if self.limbo > 0 { libc::EBUSY } else { libc::ENOSPC }))
    }

    /// What a new group gets: all that no exclusive group has; of that the lowest run, also where there may be gaps.
    fn initial_mask(&self, domain: DomainId) -> Option<u32> {
        let lines = self.cache_lines();
        let of = |group: &Group| lines.iter().fold(0, |all, line| all | group.values[&(*line, domain)]);
        let (mut used, mut mask) = (self.machine.shareable, self.machine.shareable);
        for group in self.groups.values() {
            used |= of(group);
            if !group.exclusive {
                mask |= of(group);
            }
        }
        mask |= !used & self.machine.all_ways();
        if mask != 0 {
            let first = mask.trailing_zeros();
            let run = (mask >> first).trailing_ones();
            mask = (u32::MAX >> (32 - run)) << first;
        }
        (mask.count_ones() >= self.machine.min_bits).then_some(mask)
    }

    pub(super) fn remove_group(&mut self, path: &str) -> io::Result<()> {
        if path.is_empty() {
            return Err(errno(libc::EBUSY));
        }
        let Some(group) = self.groups.remove(path) else {
            let number = match (self.is_there(path), self.directories(path).is_ok()) {
                (false, _) => libc::ENOENT,
                (true, true) => libc::EPERM,
                (true, false) => libc::ENOTDIR,
            };
            return Err(errno(number));
        };
        if self.machine.monitoring.is_some() {
            self.limbo += 1;
        }
        if let Some(root) = self.groups.get_mut("") {
            root.tasks.extend(group.tasks);
            root.cpus.extend(group.cpus);
        }
        Ok(())
    }

    pub(super) fn write_mode(&mut self, group: &str, text: &str) -> io::Result<()> {
        let Some(mode) = text.strip_suffix('\n') else { return Err(errno(libc::EINVAL)) };
        self.status.clear();
        let now = self.groups[group].exclusive;
        let exclusive = match mode {
            "shareable" => false,
            "exclusive" if now => true,
            "exclusive" => {
                if self.any_overlap(group) {
                    self.say("Schemata overlaps");
                    return Err(errno(libc::EINVAL));
                }
                true
            }
            "pseudo-locksetup" => {
                self.say(if self.machine.cdp { "CDP enabled" } else { "Pseudo-locking not supported" });
                return Err(errno(libc::EINVAL));
            }
            _ => {
                self.say("Unknown or unsupported mode");
                return Err(errno(libc::EINVAL));
            }
        };
        if let Some(group) = self.groups.get_mut(group) {
            group.exclusive = exclusive;
        }
        Ok(())
    }

    fn any_overlap(&self, group: &str) -> bool {
        let values = &self.groups[group].values;
        self.cache_lines().iter().any(|line| {
            let mut domains = self.machine.domains.iter();
            domains.any(|domain| self.overlaps(group, *domain, values[&(*line, *domain)], false))
        })
    }
}
