//! Functions as real processes on Linux.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`ProcessLauncher`], its configuration, what it can enforce here |
//! | `pool.rs` | the threads that start processes, per domain and class |
//! | `run.rs` | one launch on its thread, from the first directory to the last process |
//! | `spawn.rs` | from a launch to a process, directly or by way of fsched-exec |
//! | `birth.rs` | the direct way: a child on our memory, until it becomes the function |
//! | `program.rs` | fsched-exec itself, embedded (its source is in `exec/`) |
//! | `streams.rs` | standard input, output and errors |
//! | `tree.rs` | the processes of one launch, found and ended |
//! | `migration.rs` | the tasks of one launch, moved to another class |
//! | `identity.rs` | the two marks by which a process is known to be ours |
//! | `cgroup/` | limits on whole trees, where the system has control groups for us |
//! | `scratch.rs` | the directory that a function works in |
//! | `guard.rs` | a process that cleans up behind us if we are killed |
//! | `sys.rs` | the few calls that no safe library offers |

mod birth;
mod cgroup;
mod guard;
mod identity;
mod migration;
mod pool;
mod program;
mod run;
mod scratch;
mod spawn;
mod streams;
mod sys;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};

use cgroup::Parents;
use guard::Guard;
use identity::Life;
use pool::Pools;
use program::Program;
use run::{Job, Running};
use scratch::Scratches;
use spawn::ResourceLimits;

use super::{Launch, Launcher, OnExit, Stop};
use crate::cache::{CacheDomain, ClosId, DomainId};
use crate::id::{AttemptId, WorkerKey};

/// Called once on every launcher thread before it starts anything, with its domain and class: what a thread is made a
/// member of, the processes that it starts are born into.
pub type ThreadSetup = Arc<dyn Fn(DomainId, ClosId) -> io::Result<()> + Send + Sync>;

/// Makes one task (a thread, by the number it has in our namespace) a member of a domain's class. [`libc::ESRCH`] says that
/// there is no such task any more.
pub type TaskMove = Arc<dyn Fn(DomainId, ClosId, u32) -> io::Result<()> + Send + Sync>;

/// What a [`ProcessLauncher`] has to know.
#[derive(Clone)]
pub struct ProcessConfig {
    /// Where scratch directories are, and what has to be known after a crash. No two launchers may share one.
    pub state_dir: PathBuf,
    /// Where functions' files are, each named by its hash and executable.
    pub files_dir: PathBuf,
    /// Whose processes these are.
    pub key: WorkerKey,
    /// The machine's cache domains; where there are more than one, processes are bound to the CPUs of theirs.
    pub domains: Vec<CacheDomain>,
    /// The `PATH` of functions, along which their programs are looked up.
    pub path: String,
    /// How many functions run at once. Used only where processes can be limited per user at best.
    pub slots: u16,
    /// Whether control groups are made where that is possible.
    pub use_cgroups: bool,
    /// Whether functions are started without fsched-exec in between, where that is possible (Linux 5.9 on x86-64): it
    /// costs less, and differs in nothing else.
    pub start_directly: bool,
    /// What makes a thread a member of its class.
    pub thread_setup: Option<ThreadSetup>,
    /// What makes a running task a member of another class; none: nothing has to be done.
    pub task_move: Option<TaskMove>,
}

impl ProcessConfig {
    /// The usual configuration.
    pub fn new(state_dir: PathBuf, files_dir: PathBuf, key: WorkerKey, domains: Vec<CacheDomain>) -> Self {
        let cpus = domains.iter().map(|domain| domain.cpus.len()).sum::<usize>();
        Self {
            state_dir,
            files_dir,
            key,
            domains,
            path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
            slots: u16::try_from(cpus).unwrap_or(u16::MAX).max(1),
            use_cgroups: true,
            start_directly: true,
            thread_setup: None,
            task_move: None,
        }
    }
}

/// How a limit on a process tree is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// On the whole tree, by a control group of version 1.
    CgroupV1,
    /// On the whole tree, by a control group of version 2.
    CgroupV2,
    /// By a resource limit: memory per process, and then only its data; processes per user, not per tree.
    Rlimit,
    /// Not at all.
    Nothing,
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CgroupV1 => "per tree, by control group (version 1)",
            Self::CgroupV2 => "per tree, by control group (version 2)",
            Self::Rlimit => "by resource limit only (memory per process, processes per user)",
            Self::Nothing => "not enforced",
        })
    }
}

/// How limits are enforced here. File size, CPU time, open files and core dumps are limited per process everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enforcement {
    /// Memory of a tree.
    pub memory: Means,
    /// Processes and threads of a tree.
    pub processes: Means,
}

impl Enforcement {
    /// How a launcher of this process would enforce them. Makes and removes a control group to find out, as a launcher does.
    pub fn here() -> Self {
        Self::by(&Parents::find("fsched-look-"))
    }

    fn by(parents: &Parents) -> Self {
        Self { memory: parents.memory_means(), processes: parents.process_means() }
    }
}

/// Why there is no launcher.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LauncherError {
    /// Another launcher uses the state directory.
    #[error("another process uses {}", .0.display())]
    InUse(PathBuf),
    /// The state directory cannot be used.
    #[error("{} cannot be used", .path.display())]
    State {
        /// What in it.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something that every launch needs cannot be had.
    #[error("{what} cannot be had")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What the launcher and its threads share.
struct Shared {
    config: ProcessConfig,
    life: Life,
    program: Program,
    /// Where functions are started directly: what they read where they are given nothing.
    direct: Option<File>,
    limits: ResourceLimits,
    enforcement: Enforcement,
    parents: Parents,
    scratches: Scratches,
    running: Mutex<HashMap<AttemptId, Arc<Running>>>,
    launches: AtomicU32,
    pools: Pools,
}

impl Shared {
    fn next_launch(&self) -> u32 {
        self.launches.fetch_add(1, Ordering::Relaxed)
    }
}

/// Starts functions as processes, each in a tree that is ended whole.
///
/// Dropping it closes it, which ends all that runs and waits for that.
pub struct ProcessLauncher {
    shared: Arc<Shared>,
    // Dropped after the last process of ours, and before the lock.
    guard: Mutex<Option<Guard>>,
    lock: File,
}

impl ProcessLauncher {
    /// Ends what a former life left behind, and gets ready.
    ///
    /// # Errors
    /// Where the state directory is in use or unusable, or the system has no room for what every launch needs.
    pub fn new(config: ProcessConfig) -> Result<Self, LauncherError> {
        let state = |path: &Path| {
            let path = path.to_path_buf();
            move |source| LauncherError::State { path, source }
        };
        let system = |what| move |source| LauncherError::System { what, source };
        // Functions work elsewhere: what they are told of has to be absolute.
        let absolute = |path: &Path| std::path::absolute(path).map_err(state(path));
        let (state_dir, files_dir) = (absolute(&config.state_dir)?, absolute(&config.files_dir)?);
        let config = ProcessConfig { state_dir, files_dir, ..config };
        let dir = &config.state_dir;
        fs::create_dir_all(dir).map_err(state(dir))?;
        let lock = lock(dir)?;
        let life = next_life(dir, config.key).map_err(state(&dir.join(LIFE)))?;
        tree::adopt_orphans().map_err(system("the adoption of orphans"))?;
        tree::end_former_lives(life);
        let parents =
            if config.use_cgroups { Parents::find(&life.group_prefix()) } else { Parents::default() };
        remove_former_groups(dir, config.key, &parents).map_err(state(&dir.join(GROUPS)))?;
        let scratches = dir.join("scratch");
        let scratches = Scratches::open(scratches.clone()).map_err(state(&scratches))?;
        let enforcement = Enforcement::by(&parents);
        let program = Program::new().map_err(system("memory for fsched-exec"))?;
        let guard = Guard::start(&program, life, &parents.paths()).map_err(system("a guard process"))?;
        let limits = ResourceLimits::new(enforcement, config.slots);
        let direct = config.start_directly && birth::is_possible();
        if config.start_directly && !direct {
            tracing::info!("functions cannot be started directly here: fsched-exec stands in between");
        }
        let direct = direct.then(|| File::open("/dev/null")).transpose().map_err(system("/dev/null"))?;
        let first = (config.domains.first().map_or(DomainId(0), |domain| domain.id), ClosId(0));
        let shared = Arc::new(Shared {
            life,
            program,
            direct,
            limits,
            enforcement,
            parents,
            scratches,
            running: Mutex::default(),
            launches: AtomicU32::new(0),
            pools: Pools::default(),
            config,
        });
        shared.pools.open(&shared, first).map_err(system("a launcher thread"))?;
        Ok(Self { shared, guard: Mutex::new(Some(guard)), lock })
    }

    /// How limits are enforced here.
    pub fn enforcement(&self) -> Enforcement {
        self.shared.enforcement
    }

    /// Ends all that runs, waits for that, and leaves nothing behind, whoever else still holds the launcher. A process that
    /// is about to end has to call it where it cannot know that its own handle is the last one. Nothing is to be launched afterwards.
    pub fn close(&self) {
        let running: Vec<_> = self.shared.running.lock().values().cloned().collect();
        running.iter().for_each(|running| running.stop(Stop::Kill));
        self.shared.pools.close();
        *self.guard.lock() = None;
        // Another thread may be in the middle of a spawn, whose child holds a copy of the lock for a moment.
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

impl fmt::Debug for ProcessLauncher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessLauncher")
            .field("enforcement", &self.shared.enforcement)
            .finish_non_exhaustive()
    }
}

impl Launcher for ProcessLauncher {
    fn launch(&self, launch: Launch, on_exit: OnExit) {
        let place = (launch.domain, launch.class);
        let running = Arc::new(Running::new(launch.domain));
        self.shared.running.lock().insert(launch.attempt, Arc::clone(&running));
        let job = Job { launch, on_exit, running };
        let domains = &self.shared.config.domains;
        if domains.is_empty() || domains.iter().any(|domain| domain.id == place.0) {
            self.shared.pools.run(&self.shared, place, job);
        } else {
            self.shared.pools.refuse(job, format!("there is no cache domain {} here", place.0));
        }
    }

    fn stop(&self, attempt: AttemptId, how: Stop) {
        let running = self.shared.running.lock().get(&attempt).cloned();
        if let Some(running) = running {
            running.stop(how);
        }
    }

    fn move_to(&self, attempt: AttemptId, class: ClosId) {
        let running = self.shared.running.lock().get(&attempt).cloned();
        if let (Some(running), Some(task_move)) = (running, &self.shared.config.task_move) {
            running.move_to(class, task_move);
        }
    }
}

impl Drop for ProcessLauncher {
    fn drop(&mut self) {
        self.close();
    }
}

/// The file that is locked while a launcher uses the directory.
const LOCK: &str = "lock";
/// The file with the number of this life.
const LIFE: &str = "life";
/// The file with the directories in which this worker has made control groups.
const GROUPS: &str = "cgroups";

fn lock(dir: &Path) -> Result<File, LauncherError> {
    let path = dir.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| LauncherError::State { path: path.clone(), source })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(LauncherError::InUse(dir.to_path_buf())),
        Err(error) => Err(LauncherError::State { path, source: error.into() }),
    }
}

/// Counts lives, so that what is alive of the last is told from what is ours, and its guard from our processes.
fn next_life(dir: &Path, key: WorkerKey) -> io::Result<Life> {
    let path = dir.join(LIFE);
    let last: u8 = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let number = last.wrapping_add(1);
    fs::write(path, number.to_string())?;
    Ok(Life { key, number })
}

/// Removes control groups of former lives, wherever those made them, and notes where this one will.
fn remove_former_groups(dir: &Path, key: WorkerKey, parents: &Parents) -> io::Result<()> {
    let path = dir.join(GROUPS);
    let noted = fs::read_to_string(&path).unwrap_or_default();
    let mut all: Vec<PathBuf> = noted.lines().map(PathBuf::from).collect();
    all.extend(parents.paths());
    all.sort();
    all.dedup();
    cgroup::remove_all(&all, &identity::group_prefix(key));
    let now: Vec<String> = parents.paths().iter().map(|path| path.display().to_string()).collect();
    fs::write(path, now.join("\n"))
}
