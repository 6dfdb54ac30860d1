//! Tasks and CPUs of groups.

use std::collections::BTreeSet;
use std::io;

use rustix::thread::gettid;

use super::{State, errno};

impl State {
    pub(super) fn write_tasks(&mut self, group: &str, text: &str) -> io::Result<()> {
        if self.machine.old_kernel {
            // One task per write, and what is no number is not even worth a text.
            let task = integer(text.trim()).filter(|task| *task >= 0).ok_or_else(|| errno(libc::EINVAL))?;
            self.status.clear();
            return self.move_task(group, task);
        }
        self.status.clear();
        let mut rest = Some(text);
        while let Some(text) = rest.filter(|text| !text.is_empty() && !text.starts_with('\n')) {
            let (one, others) = match text.split_once(',') {
                Some((one, others)) => (one, Some(others)),
                None => (text, None),
            };
            rest = others;
            let one = one.trim();
            let Some(task) = integer(one) else {
                self.say(&format!("Task list parsing error pid {one}"));
                return Err(errno(libc::EINVAL));
            };
            if task < 0 {
                self.say(&format!("Invalid pid {task}"));
                return Err(errno(libc::EINVAL));
            }
            if let Err(error) = self.move_task(group, task) {
                self.say(&format!("Error while processing task {task}"));
                return Err(error);
            }
        }
        Ok(())
    }

    fn move_task(&mut self, group: &str, task: i32) -> io::Result<()> {
        let me = gettid().as_raw_pid();
        let (id, ours) = match task {
            0 => (me, Some(true)),
            task if task == me => (me, Some(true)),
            task => (task, self.tasks.get(&task).copied()),
        };
        match ours {
            None => {
                self.say(&format!("No task {task}"));
                return Err(errno(libc::ESRCH));
            }
            Some(false) => {
                self.say(&format!("No permission to move task {task}"));
                return Err(errno(libc::EPERM));
            }
            Some(true) => {}
        }
        self.groups.values_mut().for_each(|group| _ = group.tasks.remove(&id));
        if let Some(group) = self.groups.get_mut(group) {
            group.tasks.insert(id);
        }
        Ok(())
    }

    pub(super) fn write_cpus(&mut self, group: &str, text: &str, is_list: bool) -> io::Result<()> {
        let text = text.trim();
        let parsed = if is_list { list(text) } else { mask(text) };
        let cpus = parsed.map_err(|number| {
            self.say("Bad CPU list/mask");
            errno(number)
        })?;
        if cpus.iter().any(|cpu| *cpu >= self.machine.cpus) {
            self.say("Can only assign online CPUs");
            return Err(errno(libc::EINVAL));
        }
        let had = self.groups[group].cpus.clone();
        if group.is_empty() && !had.is_subset(&cpus) {
            self.say("Can't drop CPUs from default group");
            return Err(errno(libc::EINVAL));
        }
        for (name, other) in &mut self.groups {
            if name == group {
                other.cpus.clone_from(&cpus);
            } else {
                other.cpus.retain(|cpu| !cpus.contains(cpu));
            }
        }
        if let Some(root) = self.groups.get_mut("").filter(|_| !group.is_empty()) {
            root.cpus.extend(had.difference(&cpus));
        }
        Ok(())
    }
}

/// As `kstrtoint` with base 0.
fn integer(text: &str) -> Option<i32> {
    let (digits, negative) = match text.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (text.strip_prefix('+').unwrap_or(text), false),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let value = plain.then(|| i64::from_str_radix(digits, radix).ok()).flatten()?;
    i32::try_from(if negative { -value } else { value }).ok()
}

/// Hex digits, a bit per CPU.
fn mask(text: &str) -> Result<BTreeSet<u16>, i32> {
    let digits: String = text.chars().filter(|c| *c != ',').collect();
    if digits.is_empty() {
        return Ok(BTreeSet::new());
    }
    let bits = u64::from_str_radix(&digits, 16).map_err(|_| libc::EINVAL)?;
    Ok((0..64).filter(|cpu| bits >> cpu & 1 == 1).collect())
}

/// `0-3,8`.
fn list(text: &str) -> Result<BTreeSet<u16>, i32> {
    let number = |digits: &str| digits.parse::<u16>().map_err(|_| libc::EINVAL);
    let mut cpus = BTreeSet::new();
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number(first)?, number(last)?);
        if last >= 64 {
            return Err(libc::ERANGE);
        }
        cpus.extend(first..=last);
    }
    Ok(cpus)
}
