//! One simulated run, within limits of time and instructions.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use fsched_core::cache::Ways;
use rustix::process::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::WAY;
use super::cachegrind::{CachegrindError, Counts, LINE};
use super::processes::{Mark, Processes};

/// What installs Valgrind.
pub const INSTALL: &str = "install it: `apt-get install valgrind` on Debian and Ubuntu, `dnf install valgrind` on Fedora, \
                           `pacman -S valgrind` on Arch, `apk add valgrind` on Alpine";

/// The first-level caches, the same wherever it runs: 32 KiB, 8 ways.
const L1: &str = "32768,8,64";
/// More instructions per second than Cachegrind simulates on any machine: when to look first whether there were too many.
const FASTEST: f64 = 1e9;
/// The first look is not before this, seconds: Valgrind has to start first.
const FIRST_LOOK: f64 = 2.0;
/// Longer than anybody waits, seconds.
const MAX_SECONDS: f64 = 1e9;
/// How long a process may take to write what was counted.
const GRACE: Duration = Duration::from_secs(10);
/// How much of what the command says last is shown when it fails, bytes.
const TAIL: usize = 2 << 10;

/// What ends a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many instructions the command may execute in one run.
    pub instructions: u64,
    /// How long all runs may take together.
    pub time: Duration,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// There is no Valgrind.
    #[error("Valgrind is not installed here")]
    NoValgrind,
    /// There is no such program.
    #[error("there is no program {0:?}")]
    NoProgram(PathBuf),
    /// A process could not be started.
    #[error("cannot run {program}: {source}")]
    Io {
        /// Which program, or file.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The command failed.
    #[error("the command failed under {under}: {how}")]
    Failed {
        /// What ran it.
        under: &'static str,
        /// How it ended.
        how: String,
        /// What it, and what ran it, said last.
        said: String,
    },
    /// The time for all runs is over.
    #[error("it was ended after {}: the limit of time for all runs together", humane(*.0))]
    TooLong(Duration),
    /// The command executes more instructions than it may.
    #[error("the command was ended: it executes more than {limit} instructions")]
    TooMany {
        /// How many it may.
        limit: u64,
    },
    /// What was counted cannot be read.
    #[error(transparent)]
    Cachegrind(#[from] CachegrindError),
}

impl ProfileError {
    /// What the reader could do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoValgrind => Some(INSTALL),
            Self::TooLong(_) => Some("profile a smaller input, or allow more with --time-limit"),
            Self::TooMany { .. } => Some("profile a smaller input, or allow more with --instruction-limit"),
            _ => None,
        }
    }
}

fn humane(time: Duration) -> String {
    crate::table::duration(time)
}

/// Valgrind, and the command that it runs.
#[derive(Debug)]
pub struct Valgrind {
    program: PathBuf,
    version: String,
    /// The command, its program found.
    command: Vec<OsString>,
    limits: Limits,
    /// Instructions simulated per second of the last run.
    rate: f64,
}

/// How a run ended.
enum Ended {
    /// By itself, after so long.
    Alone(Duration),
    /// Because it was asked to after a while.
    Asked,
}

impl Valgrind {
    /// Finds Valgrind and the command's program.
    ///
    /// # Errors
    /// Where either is missing.
    pub fn find(command: &[OsString], limits: Limits) -> Result<Self, ProfileError> {
        let program = find_program(OsStr::new("valgrind")).ok_or(ProfileError::NoValgrind)?;
        let said = std::process::Command::new(&program).arg("--version").output();
        let said = said.map_err(|source| ProfileError::Io { program: "valgrind".to_owned(), source })?;
        let version = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        if !said.status.success() || version.is_empty() {
            return Err(ProfileError::NoValgrind);
        }
        let mut command = command.to_vec();
        let name = command.first_mut().ok_or_else(|| ProfileError::NoProgram(PathBuf::new()))?;
        *name = find_program(name).ok_or_else(|| ProfileError::NoProgram(PathBuf::from(&*name)))?.into();
        Ok(Self { program, version, command, limits, rate: FASTEST })
    }

    /// What it calls itself.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Runs the command with a simulated last-level cache of so many ways; says how long that took.
    ///
    /// Nobody can ask Cachegrind how far it is, but it writes what it counted when it is ended by a signal. So a run that
    /// could have executed too many instructions by now is ended and counted; where it had not, it is run anew and given as
    /// much longer as its rate says. Most runs are over before the first look.
    ///
    /// # Errors
    /// Where the command fails, or a limit is reached.
    pub async fn simulate(&mut self, ways: Ways, until: Instant) -> Result<(Counts, Duration), ProfileError> {
        let limit = self.limits.instructions;
        let mut look_after = (limit as f64 / self.rate * 1.2).clamp(FIRST_LOOK, MAX_SECONDS);
        let mut silent = 0;
        loop {
            let folder = temporary_folder()?;
            let (began, command) = (Instant::now(), self.simulated(ways, folder.path()));
            let patience = Some(Duration::from_secs_f64(look_after));
            let ended = self.run(command, "Cachegrind", patience, until, folder.path()).await?;
            let took = began.elapsed().as_secs_f64();
            match (ended, read_counts(folder.path(), ways)) {
                (_, Ok(counts)) if counts.instructions > limit => {
                    return Err(ProfileError::TooMany { limit });
                }
                (ended, Ok(counts)) => {
                    self.rate = (counts.instructions as f64 / took).max(1.0);
                    if let Ended::Alone(took) = ended {
                        return Ok((counts, took));
                    }
                    look_after = (limit as f64 / self.rate * 1.2).clamp(look_after * 1.5, MAX_SECONDS);
                }
                (Ended::Alone(_), Err(error)) => return Err(error.into()),
                // It was not even counting yet, or it does not end when it is asked to.
                (Ended::Asked, Err(_)) if silent < 3 => (silent, look_after) = (silent + 1, look_after * 3.0),
                (Ended::Asked, Err(_)) => return Err(ProfileError::TooMany { limit }),
            }
        }
    }

    /// How long the command takes without a simulator.
    ///
    /// # Errors
    /// Where it fails, or the limit of time is reached.
    pub async fn run_natively(&self, until: Instant) -> Result<Duration, ProfileError> {
        let folder = temporary_folder()?;
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        match self.run(command, "no simulator", None, until, folder.path()).await? {
            Ended::Alone(took) => Ok(took),
            Ended::Asked => unreachable!("nobody looks at it meanwhile"),
        }
    }

    fn simulated(&self, ways: Ways, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        let file = |option: &str, name: &str| {
            let mut argument = OsString::from(option);
            argument.push(folder.join(name));
            argument
        };
        command
            .args(["--quiet", "--tool=cachegrind", "--cache-sim=yes", "--trace-children=yes"])
            .arg(format!("--I1={L1}"))
            .arg(format!("--D1={L1}"))
            .arg(format!("--LL={},{ways},{LINE}", u64::from(ways.get()) * WAY.0))
            .arg(file("--cachegrind-out-file=", "counts.%p"))
            .arg(file("--log-file=", "log.%p"))
            .arg("--")
            .args(&self.command);
        command
    }

    async fn run(
        &self,
        mut command: Command,
        under: &'static str,
        look_after: Option<Duration>,
        until: Instant,
        folder: &Path,
    ) -> Result<Ended, ProfileError> {
        let mark = Mark::new();
        let (name, value) = mark.variable();
        command.env_clear().envs(environment()).env(name, value);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let left = until.saturating_duration_since(Instant::now());
        let (began, program) = (Instant::now(), || command_name(&self.command));
        let mut child = command.spawn().map_err(|source| ProfileError::Io { program: program(), source })?;
        let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let leader = leader.expect("a child that nobody waited for has an id");
        let processes = Processes::of(leader, mark, left);
        let tail = child.stderr.take().map(|stderr| actix_rt::spawn(read_tail(stderr)));
        let status = match timeout(look_after.unwrap_or(left).min(left), child.wait()).await {
            Ok(status) => status.map_err(|source| ProfileError::Io { program: program(), source })?,
            Err(_) if look_after.is_some_and(|after| after < left) => {
                return Ok(ask_to_end(&processes, &mut child).await);
            }
            Err(_) => return Err(ProfileError::TooLong(self.limits.time)),
        };
        let took = began.elapsed();
        // What it left behind goes, and lets go of the pipe.
        drop(processes);
        let said = match tail {
            Some(tail) => timeout(GRACE, tail).await.ok().and_then(Result::ok).unwrap_or_default(),
            None => String::new(),
        };
        if status.success() {
            return Ok(Ended::Alone(took));
        }
        let said = [logs(folder), said].concat().trim().to_owned();
        Err(ProfileError::Failed { under, how: status.to_string(), said })
    }
}

async fn ask_to_end(processes: &Processes, child: &mut Child) -> Ended {
    // Again and again: while Valgrind starts, a signal may get lost. Who does not end in time is killed, and has then
    // counted nothing.
    let until = Instant::now() + GRACE;
    while Instant::now() < until {
        processes.ask_to_end();
        if timeout(GRACE / 50, child.wait()).await.is_ok() {
            break;
        }
    }
    Ended::Asked
}

/// What a run sees of our environment: nothing that differs from one time to the next.
fn environment() -> Vec<(&'static str, OsString)> {
    let mut kept: Vec<(&str, OsString)> =
        ["HOME", "PATH"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect();
    // Interpreters that hash with a seed take another path through memory with every seed.
    kept.extend([("LANG", "C.UTF-8".into()), ("PYTHONHASHSEED", "0".into())]);
    kept
}

/// All processes of a run together: each had caches of its own.
fn read_counts(folder: &Path, ways: Ways) -> Result<Counts, CachegrindError> {
    let written = files(folder, "counts.").map(|text| Counts::parse(&text, ways.get(), WAY));
    let counts: Vec<Counts> = written.collect::<Result<_, _>>()?;
    if counts.is_empty() {
        return Err(CachegrindError::NoLine("summary:"));
    }
    Ok(counts.into_iter().sum())
}

fn logs(folder: &Path) -> String {
    let text: String = files(folder, "log.").collect();
    let worth = |line: &&str| !line.contains("L3 cache found");
    text.lines().filter(worth).take(20).map(|line| format!("{line}\n")).collect()
}

fn files(folder: &Path, prefix: &'static str) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix)))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned())
}

async fn read_tail(mut from: impl AsyncRead + Unpin) -> String {
    let (mut tail, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        tail.extend_from_slice(&buffer[..length]);
        let excess = tail.len().saturating_sub(TAIL);
        tail.drain(..excess);
    }
    String::from_utf8_lossy(&tail).into_owned()
}

/// Where the program of that name is: at that path, or in a folder of `PATH`.
fn find_program(name: &OsStr) -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if Path::new(name).components().count() > 1 {
        return Some(PathBuf::from(name)).filter(runs);
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(runs)
}

fn command_name(command: &[OsString]) -> String {
    command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn temporary_folder() -> Result<tempfile::TempDir, ProfileError> {
    tempfile::Builder::new()
        .prefix("fsched-profile-")
        .tempdir()
        .map_err(|source| ProfileError::Io { program: std::env::temp_dir().display().to_string(), source })
}
