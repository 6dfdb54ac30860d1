//! What would help, each with the one command that does it.

use fsched_core::host::Landlock;
use fsched_core::host::resctrl::{Filesystem, MOUNT_POINT};
use fsched_core::launcher::Means;

use super::Facts;
use super::diagnosis::classes_left;

/// Something that is missing, and what brings it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cure {
    /// What is missing, and what it would be good for.
    pub missing: String,
    /// The command that brings it; `None` where none does.
    pub command: Option<String>,
}

impl Cure {
    fn by(missing: &str, command: String) -> Self {
        Self { missing: missing.to_owned(), command: Some(command) }
    }

    fn none(missing: &str) -> Self {
        Self { missing: missing.to_owned(), command: None }
    }
}

/// What would help on this machine, the most useful first.
pub(super) fn all(facts: &Facts) -> Vec<Cure> {
    [masks(facts), monitoring(facts), limits(facts), landlock(facts), seccomp(facts)]
        .into_iter()
        .flatten()
        .collect()
}

/// A command as root.
fn as_root(facts: &Facts, command: &str) -> String {
    if facts.rights.is_root() { command.to_owned() } else { format!("sudo {command}") }
}

/// A command that changes how the kernel boots, and boots it.
fn boot_with(facts: &Facts, words: &str) -> String {
    let steps =
        format!("sed -i 's/^GRUB_CMDLINE_LINUX=\"/&{words} /' /etc/default/grub && update-grub && reboot");
    as_root(facts, &format!("sh -c {}", quoted(&steps)))
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn masks(facts: &Facts) -> Option<Cure> {
    let mount = match &facts.filesystem {
        Filesystem::Absent if facts.can_divide() && facts.kernel.has_resctrl == Some(false) => {
            let missing = "a kernel that was built with resctrl (CONFIG_X86_CPU_RESCTRL)";
            return Some(Cure::by(missing, as_root(facts, "apt-get install linux-image-amd64")));
        }
        Filesystem::Absent if facts.can_divide() => {
            let missing = "resctrl, which was switched off when the kernel booted";
            return Some(Cure::by(missing, boot_with(facts, "rdt=l3cat,l3cdp,mba,cmt,mbmtotal,mbmlocal")));
        }
        Filesystem::Absent if facts.processor.is_virtual() => {
            return Some(Cure::none(
                "Intel RDT, AMD QoS or Arm MPAM: this virtual machine shows none; most hypervisors keep it to themselves",
            ));
        }
        Filesystem::Absent => return Some(Cure::none("a processor with Intel RDT, AMD QoS or Arm MPAM")),
        Filesystem::Unmounted => {
            let command = format!("mount -t resctrl resctrl {MOUNT_POINT}");
            return Some(Cure::by("resctrl, mounted", as_root(facts, &command)));
        }
        Filesystem::Mounted(mount) => mount,
    };
    let at = mount.at.display();
    let offer = facts.offer()?;
    if offer.cache.is_none() {
        Some(Cure::none(
            "a processor that can divide its L3: this one can only monitor it, or divide other things",
        ))
    } else if mount.read_only {
        Some(Cure::by("resctrl, mounted for writing", as_root(facts, &format!("mount -o remount,rw {at}"))))
    } else if !facts.rights.divides {
        Some(Cure::by(
            "the right to divide the cache: run the worker as root",
            "sudo fsched worker".to_owned(),
        ))
    } else if classes_left(facts, offer) == 0 {
        let taken = facts.groups.foreign.first()?;
        let command = as_root(facts, &format!("rmdir {}", quoted(&format!("{at}/{taken}"))));
        Some(Cure::by("a class: others hold all of them; give one back that is not needed any more", command))
    } else {
        None
    }
}

fn monitoring(facts: &Facts) -> Option<Cure> {
    let without = facts.offer().is_some_and(|offer| offer.monitoring.is_none());
    without
        .then(|| Cure::none("monitoring of the L3: this processor has none, or the kernel does not use it"))
}

fn limits(facts: &Facts) -> Option<Cure> {
    let by_group = |means| matches!(means, Means::CgroupV1 | Means::CgroupV2);
    if by_group(facts.limits.memory) && by_group(facts.limits.processes) {
        return None;
    }
    let missing = "control groups that we may make, to limit the memory and processes of whole trees";
    let cgroups = &facts.confinement.cgroups;
    Some(match &cgroups.version2 {
        None if cgroups.version1.is_empty() => {
            Cure::by(missing, as_root(facts, "mount -t cgroup2 cgroup2 /sys/fs/cgroup"))
        }
        _ if facts.rights.is_root() => {
            Cure::by(missing, "systemd-run --scope -p Delegate=yes fsched worker".to_owned())
        }
        _ => Cure::by(missing, "systemd-run --user --scope -p Delegate=yes fsched worker".to_owned()),
    })
}

fn landlock(facts: &Facts) -> Option<Cure> {
    let missing = "landlock, to keep functions from files (for a sandbox that is to come)";
    match facts.confinement.landlock {
        Landlock::Version(_) => None,
        // The list replaces the one that is built in: without knowing it, a command would switch others off.
        Landlock::Off if !facts.security_modules.is_empty() => {
            Some(Cure::by(missing, boot_with(facts, &format!("lsm=landlock,{}", facts.security_modules))))
        }
        Landlock::Off | Landlock::Absent => Some(Cure::none(missing)),
    }
}

fn seccomp(facts: &Facts) -> Option<Cure> {
    let missing = "seccomp filters, to keep functions from system calls (for a sandbox that is to come)";
    (!facts.confinement.seccomp).then(|| Cure::none(missing))
}
