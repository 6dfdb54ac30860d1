//! From a launch to a process: what fsched-exec is told, and what it says if there is no function.

use std::ffi::OsString;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Resource, getpid, getrlimit, getuid};

use super::identity::{MARK, Marks, all_processes};
use super::program::Program;
use super::{Enforcement, Means, ProcessConfig};
use crate::launcher::{Launch, Limits};

/// The exit status behind which the status pipe has to be looked at.
pub(super) const NOT_STARTED: i32 = 127;
/// A number that leaves a limit as it is.
const UNCHANGED: u64 = u64::MAX;

/// How many threads the user may start beside functions after we have counted, ours included.
const HEADROOM: u64 = 512;

/// The resource limits of a process, none above what we have ourselves.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResourceLimits {
    ceilings: [u64; 5],
    memory: bool,
    /// How many threads the user has beside functions, where they are limited at all.
    processes: Option<u64>,
    slots: u64,
}

impl ResourceLimits {
    pub(super) fn new(enforcement: Enforcement, slots: u16) -> Self {
        let resources = [Resource::Fsize, Resource::Nofile, Resource::Nproc, Resource::Data, Resource::Cpu];
        Self {
            ceilings: resources.map(|resource| getrlimit(resource).maximum.unwrap_or(UNCHANGED)),
            memory: enforcement.memory == Means::Rlimit,
            processes: (enforcement.processes == Means::Rlimit).then(|| threads_of_user() + HEADROOM),
            slots: u64::from(slots),
        }
    }

    /// In the order in which fsched-exec reads them.
    fn of(&self, limits: &Limits) -> [u64; 6] {
        let [file_size, open_files, processes, data, cpu] = self.ceilings;
        let seconds = limits.cpu_time.as_secs() + u64::from(limits.cpu_time.subsec_nanos() > 0);
        // The kernel counts all processes of a user: those that others started, and those of all functions.
        let of_user = self.processes.map(|others| others + u64::from(limits.processes) * self.slots);
        [
            limits.file_size.0.min(file_size),
            u64::from(limits.open_files).min(open_files),
            of_user.map_or(UNCHANGED, |limit| limit.min(processes)),
            if self.memory { limits.memory.0.min(data) } else { UNCHANGED },
            // One second more is the hard limit.
            seconds.max(1).min(cpu.saturating_sub(1)),
            0,
        ]
    }
}

/// Every thread of this user: what the kernel holds against the limit of processes.
fn threads_of_user() -> u64 {
    let user = getuid().as_raw();
    let threads = |pid: &Pid| {
        let process = format!("/proc/{}", pid.as_raw_pid());
        fs::metadata(&process).ok().filter(|found| found.uid() == user)?;
        Some(fs::read_dir(format!("{process}/task")).ok()?.count() as u64)
    };
    all_processes().iter().filter_map(threads).sum()
}

/// The pipe on which fsched-exec says why there is no function. It is opened by name, and only then.
#[derive(Debug)]
pub(super) struct StatusPipe {
    reader: PipeReader,
    writer: PipeWriter,
}

impl StatusPipe {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        fcntl_setfl(&reader, OFlags::NONBLOCK)?;
        Ok(Self { reader, writer })
    }

    /// What was said of a launch; none where its function was started and itself ended with that status.
    pub(super) fn failure(&mut self, launch: u32) -> Option<(u64, io::Error)> {
        let mut bytes = [0; 4096];
        let read = self.reader.read(&mut bytes).ok()?;
        let text = std::str::from_utf8(&bytes[..read]).ok()?;
        text.lines().find_map(|line| {
            let mut numbers = line.split(' ');
            let is_it = numbers.next()?.parse() == Ok(launch);
            let stage = numbers.next()?.parse().ok()?;
            let errno = numbers.next()?.parse().ok()?;
            is_it.then(|| (stage, io::Error::from_raw_os_error(errno)))
        })
    }
}

/// Everything about one start that is not in the launch itself.
pub(super) struct Start<'a> {
    pub(super) number: u32,
    pub(super) marks: &'a Marks,
    pub(super) scratch: &'a Path,
    pub(super) joins: Option<&'a Path>,
    pub(super) status: &'a StatusPipe,
    pub(super) stdin: Stdio,
    pub(super) stdout: PipeWriter,
    pub(super) stderr: PipeWriter,
}

/// What is executed, and its arguments from the first on.
fn words(launch: &Launch, file: &Path) -> (OsString, Vec<OsString>) {
    let mut words: Vec<OsString> = launch.command.iter().map(OsString::from).collect();
    words.push(file.into());
    words.extend(launch.arguments.iter().map(OsString::from));
    (words[0].clone(), words)
}

/// Starts the process. `Command` keeps to `posix_spawn` as long as it is given no closure.
pub(super) fn spawn(
    config: &ProcessConfig,
    program: &Program,
    limits: &ResourceLimits,
    launch: &Launch,
    start: Start<'_>,
) -> io::Result<Child> {
    let mut numbers =
        format!("{} {} {} {}", getpid(), start.status.writer.as_raw_fd(), start.number, start.marks.dye);
    for limit in limits.of(&launch.limits) {
        numbers.push(' ');
        numbers.push_str(&limit.to_string());
    }
    let (executed, arguments) = words(launch, &file_of(config, launch));
    Command::new(program.path())
        .arg0("fsched-exec")
        .arg(numbers)
        .arg(start.joins.unwrap_or(Path::new("")))
        .arg(executed)
        .args(arguments)
        .env_clear()
        .env("PATH", &config.path)
        .env("HOME", start.scratch)
        .env("TMPDIR", start.scratch)
        .env("LANG", "C.UTF-8")
        .envs(&launch.environment)
        .env(MARK, &start.marks.mark)
        .current_dir(start.scratch)
        .process_group(0)
        .stdin(start.stdin)
        .stdout(start.stdout)
        .stderr(start.stderr)
        .spawn()
}

/// Why there is no function, for people.
pub(super) fn explain(config: &ProcessConfig, launch: &Launch, stage: u64, error: &io::Error) -> String {
    const LIMITS: u64 = 1;
    const CGROUP: u64 = 2;
    const PROGRAM: u64 = 3;
    let file = file_of(config, launch);
    let program = launch.command.first().map_or("the function's file", String::as_str);
    let on_disk = launch.command.first().map_or(file, PathBuf::from);
    match (stage, error.raw_os_error()) {
        (PROGRAM, Some(libc::ENOENT)) if on_disk.is_absolute() && on_disk.exists() => {
            format!("{program} cannot be executed: its interpreter does not exist")
        }
        (PROGRAM, Some(libc::ENOEXEC)) => {
            format!(
                "{program} cannot be executed: it is neither a program for this machine nor a script that begins with #!"
            )
        }
        (PROGRAM, _) => format!("{program} cannot be executed: {error}"),
        (CGROUP, _) => format!("the process cannot join its control group: {error}"),
        (LIMITS, _) => format!("the limits of the process cannot be set: {error}"),
        _ => format!("fsched-exec was called wrongly: {error}"),
    }
}

fn file_of(config: &ProcessConfig, launch: &Launch) -> PathBuf {
    config.files_dir.join(launch.file.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;
    use crate::cache::Bytes;

    fn limits() -> Limits {
        Limits {
            memory: Bytes::mib(64),
            processes: 16,
            file_size: Bytes::mib(1),
            cpu_time: Duration::from_millis(1500),
            open_files: 100,
            output: Bytes::kib(1),
        }
    }

    #[test]
    fn no_limit_is_above_our_own() {
        let own = ResourceLimits {
            ceilings: [1000, 50, 80, 1 << 20, 10],
            memory: true,
            processes: Some(10),
            slots: 100,
        };
        assert_eq!(own.of(&limits()), [1000, 50, 80, 1 << 20, 2, 0]);
        let free = ResourceLimits { ceilings: [UNCHANGED; 5], memory: false, processes: None, slots: 4 };
        assert_eq!(free.of(&limits()), [1 << 20, 100, UNCHANGED, UNCHANGED, 2, 0]);
        let counted = ResourceLimits { processes: Some(10), ..free };
        assert_eq!(counted.of(&limits())[2], 10 + 4 * 16);
    }

    #[test]
    fn only_what_was_said_of_this_launch_counts() {
        let mut pipe = StatusPipe::new().unwrap();
        assert!(pipe.failure(1).is_none(), "does not wait");
        pipe.writer.write_all(b"7 3 2\nnonsense\n8 3 13\n").unwrap();
        let (stage, error) = pipe.failure(8).unwrap();
        assert_eq!((stage, error.raw_os_error()), (3, Some(13)));
        pipe.writer.write_all(b"7 3 2\n").unwrap();
        assert!(pipe.failure(8).is_none());
    }
}
