//! From a launch to a process: what it is told, directly or by way of fsched-exec, and what is said if there is no function.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getpid, getrlimit, getuid};

use super::birth::{Birth, Born, Stillborn};
use super::identity::{MARK, Marks, all_processes};
use super::program::Program;
use super::{Enforcement, Means, ProcessConfig};
use crate::launcher::{Launch, Limits};

/// The exit status behind which the status pipe has to be looked at.
pub(super) const NOT_STARTED: i32 = 127;
/// A number that leaves a limit as it is.
const UNCHANGED: u64 = u64::MAX;
/// What is limited, in the order in which fsched-exec reads it.
const RESOURCES: [Resource; 6] =
    [Resource::Fsize, Resource::Nofile, Resource::Nproc, Resource::Data, Resource::Cpu, Resource::Core];

/// How many threads the user may start beside functions after we have counted, ours included.
const HEADROOM: u64 = 512;

/// The resource limits of a process, none above what we have ourselves.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResourceLimits {
    ceilings: [u64; 6],
    memory: bool,
    /// How many threads the user has beside functions, where they are limited at all.
    processes: Option<u64>,
    slots: u64,
}

impl ResourceLimits {
    pub(super) fn new(enforcement: Enforcement, slots: u16) -> Self {
        Self {
            ceilings: RESOURCES.map(|resource| getrlimit(resource).maximum.unwrap_or(UNCHANGED)),
            memory: enforcement.memory == Means::Rlimit,
            processes: (enforcement.processes == Means::Rlimit).then(|| threads_of_user() + HEADROOM),
            slots: u64::from(slots),
        }
    }

    /// In the order of [`RESOURCES`].
    fn of(&self, limits: &Limits) -> [u64; 6] {
        let [file_size, open_files, processes, data, cpu, _] = self.ceilings;
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

    /// Those that are set, as they are set.
    fn set_ones(&self, limits: &Limits) -> Vec<(Resource, Rlimit)> {
        let all = RESOURCES.into_iter().zip(self.of(limits));
        all.filter(|&(_, limit)| limit != UNCHANGED)
            .map(|(resource, limit)| {
                // One second between SIGXCPU, which can be caught, and SIGKILL.
                let hard = if resource == Resource::Cpu { limit.saturating_add(1) } else { limit };
                (resource, Rlimit { current: Some(limit), maximum: Some(hard) })
            })
            .collect()
    }
}

/// What a process could not do to become a function. The numbers are part of the protocol with fsched-exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Arguments = 0,
    Limits = 1,
    Cgroup = 2,
    Program = 3,
    /// Its group, streams and directory; fsched-exec finds them ready.
    Place = 4,
}

impl Stage {
    fn numbered(number: u64) -> Option<Self> {
        [Self::Arguments, Self::Limits, Self::Cgroup, Self::Program, Self::Place]
            .into_iter()
            .find(|stage| *stage as u64 == number)
    }

    /// With an error number, in one word that is not zero.
    pub(super) fn with(self, errno: Errno) -> u64 {
        (self as u64) << 32 | u64::from(errno.raw_os_error().unsigned_abs())
    }

    /// What such a word says; none of zero.
    pub(super) fn of(word: u64) -> Option<(Self, io::Error)> {
        let stage = Self::numbered(word >> 32).filter(|_| word != 0)?;
        Some((stage, io::Error::from_raw_os_error(word as u32 as i32)))
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
    pub(super) fn failure(&mut self, launch: u32) -> Option<(Stage, io::Error)> {
        let mut bytes = [0; 4096];
        let read = self.reader.read(&mut bytes).ok()?;
        let text = std::str::from_utf8(&bytes[..read]).ok()?;
        text.lines().find_map(|line| {
            let mut numbers = line.split(' ');
            let is_it = numbers.next()?.parse() == Ok(launch);
            let stage = Stage::numbered(numbers.next()?.parse().ok()?)?;
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
    /// None: it is empty.
    pub(super) stdin: Option<PipeReader>,
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

/// The whole environment: the small one of the launcher, what the launch asks for, and the mark, whatever that asks for.
fn environment<'a>(
    config: &'a ProcessConfig,
    launch: &'a Launch,
    start: &'a Start<'_>,
) -> BTreeMap<&'a str, &'a OsStr> {
    let scratch = start.scratch.as_os_str();
    let own = [("PATH", config.path.as_ref()), ("HOME", scratch), ("TMPDIR", scratch)];
    let asked = launch.environment.iter().map(|(name, value)| (name.as_str(), value.as_ref()));
    own.into_iter()
        .chain([("LANG", OsStr::new("C.UTF-8"))])
        .chain(asked)
        .chain([(MARK, start.marks.mark.as_ref())])
        .collect()
}

/// Starts the process directly; its standard input is `empty` where the start names none.
pub(super) fn bear(
    config: &ProcessConfig,
    limits: &ResourceLimits,
    launch: &Launch,
    start: &Start<'_>,
    empty: &File,
) -> Result<Born, Stillborn> {
    let (executed, arguments) = words(launch, &file_of(config, launch));
    let text = |words: Vec<OsString>| -> Result<Vec<CString>, Stillborn> {
        let made = words.into_iter().map(|word| CString::new(word.into_vec())).collect::<Result<_, _>>();
        made.map_err(|nul| Stillborn::NoProcess(nul.into()))
    };
    let one = |path: &Path| Ok(text(vec![path.into()])?.remove(0));
    let environment = environment(config, launch, start).into_iter().map(|(name, value)| {
        let mut entry = OsString::from(name);
        entry.push("=");
        entry.push(value);
        entry
    });
    let birth = Birth {
        programs: text(candidates(executed, &config.path))?,
        arguments: text(arguments)?,
        environment: text(environment.collect())?,
        directory: one(start.scratch)?,
        joins: start.joins.map(one).transpose()?,
        streams: [
            start.stdin.as_ref().map_or(empty.as_fd(), AsFd::as_fd),
            start.stdout.as_fd(),
            start.stderr.as_fd(),
        ],
        limits: limits.set_ones(&launch.limits),
        dye: (Resource::Rttime, Rlimit { current: Some(start.marks.dye), maximum: Some(start.marks.dye) }),
    };
    birth.give()
}

/// Where a program may be: there where its name says, else along the path.
fn candidates(executed: OsString, path: &str) -> Vec<OsString> {
    if executed.as_bytes().contains(&b'/') {
        return vec![executed];
    }
    let directories = path.split(':').filter(|directory| !directory.is_empty() && !executed.is_empty());
    directories.map(|directory| Path::new(directory).join(&executed).into()).collect()
}

/// Starts the process by way of fsched-exec. `Command` keeps to `posix_spawn` as long as it is given no closure.
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
        .envs(environment(config, launch, &start))
        .current_dir(start.scratch)
        .process_group(0)
        .stdin(start.stdin.map_or_else(Stdio::null, Stdio::from))
        .stdout(start.stdout)
        .stderr(start.stderr)
        .spawn()
}

/// Why there is no function, for people.
pub(super) fn explain(config: &ProcessConfig, launch: &Launch, stage: Stage, error: &io::Error) -> String {
    let file = file_of(config, launch);
    let program = launch.command.first().map_or("the function's file", String::as_str);
    let on_disk = launch.command.first().map_or(file, PathBuf::from);
    match (stage, error.raw_os_error()) {
        (Stage::Program, Some(libc::ENOENT)) if on_disk.is_absolute() && on_disk.exists() => {
            format!("{program} cannot be executed: its interpreter does not exist")
        }
        (Stage::Program, Some(libc::ENOEXEC)) => {
            format!(
                "{program} cannot be executed: it is neither a program for this machine nor a script that begins with #!"
            )
        }
        (Stage::Program, _) => format!("{program} cannot be executed: {error}"),
        (Stage::Cgroup, _) => format!("the process cannot join its control group: {error}"),
        (Stage::Limits, _) => format!("the limits of the process cannot be set: {error}"),
        (Stage::Place, _) => format!("the process cannot be put in its place: {error}"),
        (Stage::Arguments, _) => format!("fsched-exec was called wrongly: {error}"),
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
            ceilings: [1000, 50, 80, 1 << 20, 10, 0],
            memory: true,
            processes: Some(10),
            slots: 100,
        };
        assert_eq!(own.of(&limits()), [1000, 50, 80, 1 << 20, 2, 0]);
        let free = ResourceLimits { ceilings: [UNCHANGED; 6], memory: false, processes: None, slots: 4 };
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
        assert_eq!((stage, error.raw_os_error()), (Stage::Program, Some(13)));
        pipe.writer.write_all(b"7 3 2\n").unwrap();
        assert!(pipe.failure(8).is_none());
    }

    #[test]
    fn a_word_carries_stage_and_error() {
        let (stage, error) = Stage::of(Stage::Place.with(Errno::ACCESS)).unwrap();
        assert_eq!((stage, error.raw_os_error()), (Stage::Place, Some(libc::EACCES)));
        assert!(Stage::of(0).is_none());
    }

    #[test]
    fn a_program_is_looked_for_along_the_path_unless_its_name_says_where_it_is() {
        let of = |program: &str| candidates(program.into(), "/usr/bin::/bin");
        assert_eq!(of("sh"), ["/usr/bin/sh", "/bin/sh"]);
        assert_eq!(of("./sh"), ["./sh"]);
        assert!(of("").is_empty());
    }
}
