//! What a worker can be told.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use confique::{Config, Layer as _};
use fsched_core::allocator::resctrl::{Directory, Membership, OpenError, ResctrlAllocator, ResctrlConfig};
use fsched_core::allocator::{CacheAllocator, MemoryAllocator, Monitor, Unmanaged};
use fsched_core::cache::{Bytes, CacheDomain, CacheGeometry, ClosId, DomainId, Ways};
use fsched_core::host::resctrl::{Filesystem, MOUNT_POINT};
use fsched_core::id::WorkerKey;
use fsched_core::worker::WorkerConfig;
use fsched_http::auth::Token;
use fsched_http::machine::{self, NOMINAL_CLASSES};
use fsched_http::register::Registration;
use fsched_http::transport::HttpAddress;
use fsched_http::worker::WorkerOptions;
use serde::Deserialize;

use super::{LogFormat, LogSettings, MASTER_PORT, Size, Span, default_data_dir, load};

/// What a worker can be told.
#[derive(Debug, Clone, Config)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub struct WorkerSettings {
    /// Where to listen; port 0 takes a free one.
    #[config(default = "127.0.0.1:3000", env = "FSCHED_WORKER_LISTEN")]
    pub listen: SocketAddr,
    /// The master to register with; none: wait to be added.
    #[config(env = "FSCHED_WORKER_MASTER")]
    pub master: Option<String>,
    /// The URL at which the master reaches this worker.
    #[config(env = "FSCHED_WORKER_ADVERTISE")]
    pub advertise: Option<String>,
    /// Where the worker's key, its copies of function files and scratch directories are kept.
    #[config(env = "FSCHED_WORKER_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// The file that holds the platform's own token.
    #[config(env = "FSCHED_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// CPUs for functions.
    #[config(env = "FSCHED_WORKER_CORES")]
    pub cores: Option<u16>,
    /// Memory for functions.
    #[config(env = "FSCHED_WORKER_MEMORY")]
    pub memory: Option<Size>,
    /// How long a shutdown waits for what runs.
    #[config(default = "30s", env = "FSCHED_WORKER_PATIENCE")]
    pub patience: Span,
    /// How many threads answer requests.
    #[config(env = "FSCHED_WORKER_THREADS")]
    pub threads: Option<usize>,
    /// The largest function file that is taken.
    #[config(default = "256MiB", env = "FSCHED_WORKER_MAX_FILE")]
    pub max_file: Size,
    /// Where functions' programs are looked up.
    #[config(env = "FSCHED_WORKER_PATH")]
    pub path: Option<String>,
    /// Whether control groups limit functions, where that is possible.
    #[config(default = true, env = "FSCHED_WORKER_CGROUPS")]
    pub cgroups: bool,
    /// The cache that is shared out.
    #[config(nested)]
    pub cache: CacheSettings,
    /// What one invocation may use.
    #[config(nested)]
    pub limits: LimitSettings,
    /// What is logged.
    #[config(nested)]
    pub log: LogSettings,
}

/// How the cache is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum CacheMode {
    /// By the kernel's resctrl where it is mounted and may be used; else on paper, and nothing is enforced.
    #[default]
    Auto,
    /// By the kernel's resctrl, or not at all: without it the worker does not start.
    Resctrl,
    /// On paper: masks are kept apart, but nothing is enforced.
    Memory,
    /// Not shared out: everybody gets the whole cache.
    Unmanaged,
    /// On paper, with a cache as `ways` and `size` say.
    Explicit,
}

/// The cache that is shared out.
#[derive(Debug, Clone, Config)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub struct CacheSettings {
    /// How it is shared out.
    #[config(default = "auto", env = "FSCHED_WORKER_CACHE")]
    pub mode: CacheMode,
    /// How many ways it has.
    #[config(env = "FSCHED_WORKER_CACHE_WAYS")]
    pub ways: Option<Ways>,
    /// How large it is.
    #[config(env = "FSCHED_WORKER_CACHE_SIZE")]
    pub size: Option<Size>,
    /// The most classes to take from the kernel.
    #[config(env = "FSCHED_WORKER_CACHE_CLASSES")]
    pub classes: Option<u16>,
    /// Memory bandwidth of classes 1, 2, ... in percent; those that are not named have all.
    #[config(env = "FSCHED_WORKER_CACHE_BANDWIDTH", parse_env = percents)]
    pub bandwidth: Option<Vec<u8>>,
}

/// Reads `50,20`.
fn percents(text: &str) -> Result<Vec<u8>, std::num::ParseIntError> {
    text.split(',').map(|percent| percent.trim().parse()).collect()
}

/// What one invocation may use.
#[derive(Debug, Clone, Config)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub struct LimitSettings {
    /// The longest a function may run.
    #[config(env = "FSCHED_WORKER_MAX_TIMEOUT")]
    pub max_timeout: Option<Span>,
    /// How long a process tree has between SIGTERM and SIGKILL.
    #[config(env = "FSCHED_WORKER_GRACE")]
    pub grace: Option<Span>,
    /// Processes and threads of one tree.
    #[config(env = "FSCHED_WORKER_MAX_PROCESSES")]
    pub max_processes: Option<u32>,
    /// The largest file a function may write.
    #[config(env = "FSCHED_WORKER_MAX_FILE_SIZE")]
    pub max_file_size: Option<Size>,
    /// Files that a process may have open.
    #[config(env = "FSCHED_WORKER_MAX_OPEN_FILES")]
    pub max_open_files: Option<u32>,
    /// How much of standard output, and of standard error, is kept; at most 16 MiB.
    #[config(env = "FSCHED_WORKER_MAX_OUTPUT")]
    pub max_output: Option<Size>,
}

/// The flags of `fsched-worker`; what is not given comes from the environment, the file, the defaults.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct WorkerFlags {
    /// Configuration file; `fsched config worker` prints a commented one
    #[arg(long, value_name = "FILE", env = "FSCHED_WORKER_CONFIG")]
    pub config: Option<PathBuf>,
    /// The master to register with, such as http://127.0.0.1:3200; without one the worker waits to be added
    #[arg(long, value_name = "URL")]
    pub master: Option<String>,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// The URL at which the master reaches this worker [default: where it listens]
    #[arg(long, value_name = "URL")]
    pub advertise: Option<String>,
    /// Where the worker's key and its files are kept [default: $XDG_STATE_HOME/fsched/worker]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// CPUs for functions [default: all]
    #[arg(long, value_name = "N")]
    pub cores: Option<u16>,
    /// Memory for functions, such as 4GiB [default: three quarters of the machine's]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Size>,
    /// How the cache is shared out [default: auto]
    #[arg(long, value_enum, value_name = "MODE")]
    pub cache: Option<CacheMode>,
    /// The most cache classes to take from the kernel [default: all that are left]
    #[arg(long, value_name = "N")]
    pub cache_classes: Option<u16>,
    /// Ways of the cache, with --cache explicit
    #[arg(long, value_name = "N")]
    pub cache_ways: Option<u8>,
    /// Size of the cache, with --cache explicit
    #[arg(long, value_name = "SIZE")]
    pub cache_size: Option<Size>,
    /// How long a shutdown waits for what runs [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub patience: Option<Span>,
    /// What is logged: error, warn, info, debug, trace, or directives [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
    /// How log lines are written [default: human]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// End when standard input is closed: whoever started us has died
    #[arg(long, hide = true)]
    pub lifeline: bool,
}

/// Who shares out the cache, and what there is to do beside it.
pub struct Cache {
    /// Who.
    pub allocator: Box<dyn CacheAllocator>,
    /// Who puts threads and tasks into classes, where there are classes.
    pub membership: Option<Membership>,
    /// Who says what classes use, where the machine knows.
    pub monitor: Option<Monitor>,
}

impl Cache {
    fn of(allocator: impl CacheAllocator + 'static) -> Self {
        Self { allocator: Box::new(allocator), membership: None, monitor: None }
    }
}

impl WorkerSettings {
    /// The commented sample file, with every key.
    pub const SAMPLE: &str = include_str!("../../config/fsched-worker.toml");

    /// Flags over environment over file over defaults.
    ///
    /// # Errors
    /// Where the file or a value is not usable; the text names the key.
    pub fn load(flags: &WorkerFlags, token_file: Option<&Path>) -> anyhow::Result<Self> {
        let mut layer = <Self as Config>::Layer::empty();
        layer.listen = flags.listen;
        layer.master = flags.master.clone();
        layer.advertise = flags.advertise.clone();
        layer.state_dir = flags.state_dir.clone();
        layer.token_file = token_file.map(Path::to_owned);
        layer.cores = flags.cores;
        layer.memory = flags.memory;
        layer.patience = flags.patience;
        layer.cache.mode = flags.cache;
        layer.cache.ways = flags.cache_ways.map(Ways::new).transpose().context("--cache-ways")?;
        layer.cache.size = flags.cache_size;
        layer.cache.classes = flags.cache_classes;
        layer.log.format = flags.log_format;
        layer.log.level = flags.log.clone();
        let settings: Self = load(layer, flags.config.as_deref())?;
        settings.validate()?;
        Ok(settings)
    }

    /// Where the worker's key and its files are kept.
    ///
    /// # Errors
    /// Where none is set and there is no home directory.
    pub fn state_dir(&self) -> anyhow::Result<PathBuf> {
        self.state_dir.clone().map_or_else(|| default_data_dir("worker"), Ok)
    }

    /// The master to register with, as an address.
    ///
    /// # Errors
    /// Where `master` or `advertise` is none.
    pub fn registration(&self) -> anyhow::Result<Option<Registration>> {
        let Some(master) = &self.master else {
            ensure!(self.advertise.is_none(), "advertise is of use only together with master");
            return Ok(None);
        };
        let master = HttpAddress::parse(master, MASTER_PORT).context("master")?;
        let advertise = self.advertise.as_deref().map(str::parse).transpose().context("advertise")?;
        Ok(Some(Registration { advertise, ..Registration::new(master) }))
    }

    /// What the service is told.
    ///
    /// # Errors
    /// Where the master's address makes no sense.
    pub fn options(&self, token: Option<Token>) -> anyhow::Result<WorkerOptions> {
        let defaults = WorkerOptions::default();
        Ok(WorkerOptions {
            token,
            max_file: self.max_file.0,
            threads: self.threads.unwrap_or(defaults.threads),
            patience: self.patience.0,
            registration: self.registration()?,
            ..defaults
        })
    }

    /// What the state machine is told.
    pub fn config(&self) -> WorkerConfig {
        let defaults = WorkerConfig::default();
        let limits = &self.limits;
        WorkerConfig {
            cores: self.cores.unwrap_or_else(all_cores),
            memory: self.memory.map_or_else(most_memory, |size| size.0),
            max_timeout: limits.max_timeout.map_or(defaults.max_timeout, |span| span.0),
            grace: limits.grace.map_or(defaults.grace, |span| span.0),
            max_processes: limits.max_processes.unwrap_or(defaults.max_processes),
            max_file_size: limits.max_file_size.map_or(defaults.max_file_size, |size| size.0),
            max_open_files: limits.max_open_files.unwrap_or(defaults.max_open_files),
            max_output: limits.max_output.map_or(defaults.max_output, |size| size.0),
        }
    }

    /// Who shares out the cache of `machine`: the machine's own domains, or one with the shape that was told.
    ///
    /// # Errors
    /// Where that shape cannot be, or the kernel's resctrl is asked for and cannot be had.
    pub fn allocator(
        &self,
        machine: Vec<CacheDomain>,
        key: WorkerKey,
        state_dir: &Path,
    ) -> anyhow::Result<Cache> {
        match (self.cache.mode, self.cache.ways, self.cache.size) {
            (CacheMode::Unmanaged, ..) => Ok(Cache::of(Unmanaged::new(machine))),
            (CacheMode::Explicit, Some(ways), Some(Size(size))) => {
                let geometry = CacheGeometry {
                    size,
                    ways,
                    min_ways: Ways::ONE,
                    contiguous: true,
                    shareable: 0,
                    classes: NOMINAL_CLASSES,
                };
                geometry.validate().context("cache")?;
                let cpus = machine.into_iter().flat_map(|domain| domain.cpus).collect();
                let domain = CacheDomain { id: DomainId(0), cpus, geometry };
                Ok(Cache::of(MemoryAllocator::new(vec![domain], false)))
            }
            (CacheMode::Resctrl, ..) => {
                let opened = self.open_resctrl(machine, key, state_dir);
                opened
                    .context("cache: the mode `resctrl` cannot be had (`fsched doctor` says what would help)")
            }
            (CacheMode::Auto, ..) => match self.open_resctrl(machine.clone(), key, state_dir) {
                Ok(cache) => Ok(cache),
                // Somebody else divides this cache: masks on paper would be wrong.
                Err(error @ OpenError::NoClass { .. }) => {
                    tracing::warn!(%error, "the cache is not shared out");
                    Ok(Cache::of(Unmanaged::new(machine)))
                }
                Err(error) => {
                    if error.could_be_mended() {
                        tracing::warn!(%error, "masks are not enforced: `fsched doctor` says what would help");
                    }
                    Ok(Cache::of(MemoryAllocator::new(machine, false)))
                }
            },
            _ => Ok(Cache::of(MemoryAllocator::new(machine, false))),
        }
    }

    fn open_resctrl(
        &self,
        machine: Vec<CacheDomain>,
        key: WorkerKey,
        state_dir: &Path,
    ) -> Result<Cache, OpenError> {
        let filesystem = Filesystem::look(Path::new("/"));
        let root = filesystem.mount().map_or_else(|| MOUNT_POINT.into(), |mount| mount.at.clone());
        let classes = (1..).map(ClosId);
        let config = ResctrlConfig {
            max_classes: self.cache.classes,
            bandwidth: classes.zip(self.cache.bandwidth.iter().flatten().copied()).collect(),
            root_backup: Some(state_dir.join("resctrl-root")),
            ..ResctrlConfig::new(key)
        };
        let allocator = ResctrlAllocator::open(Arc::new(Directory::kernel(root)), machine, &config)?;
        let foreign = allocator.foreign();
        tracing::info!(
            classes = allocator.groups().len(),
            foreign = foreign.groups.len(),
            "the kernel divides the cache for us"
        );
        Ok(Cache {
            membership: Some(allocator.membership()),
            monitor: allocator.monitor(),
            allocator: Box::new(allocator),
        })
    }

    fn validate(&self) -> anyhow::Result<()> {
        ensure!(self.cores != Some(0), "cores has to be at least 1");
        ensure!(self.memory != Some(Size(Bytes(0))), "memory has to be more than nothing");
        ensure!(self.threads != Some(0), "threads has to be at least 1");
        ensure!(self.cache.classes != Some(0), "cache: classes has to be at least 1");
        let percents = self.cache.bandwidth.iter().flatten();
        ensure!(
            percents.clone().all(|percent| (1..=100).contains(percent)),
            "cache: bandwidth is in percent, 1 to 100"
        );
        self.config().validate()?;
        self.registration()?;
        let shape = (self.cache.ways, self.cache.size);
        if self.cache.mode == CacheMode::Explicit {
            ensure!(
                matches!(shape, (Some(_), Some(_))),
                "cache: the mode `explicit` needs both ways and size"
            );
        } else {
            ensure!(shape == (None, None), "cache: ways and size are for the mode `explicit` only");
        }
        Ok(())
    }
}

fn all_cores() -> u16 {
    u16::try_from(machine::allowed_cpus().len()).unwrap_or(u16::MAX).max(1)
}

/// Three quarters of the machine's memory.
fn most_memory() -> Bytes {
    Bytes((machine::memory().total_ram.0 / 4 * 3).max(1))
}
