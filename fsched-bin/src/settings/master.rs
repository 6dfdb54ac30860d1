//! What a master can be told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use confique::{Config, Layer as _};
use fsched_core::master::MasterConfig;
use fsched_core::predictor::PredictorConfig;
use fsched_core::scheduler::SchedulerConfig;
use fsched_core::tenant::Tenant;
use fsched_http::auth::{TenantTokens, Token};
use fsched_http::master::MasterOptions;

use super::token::{read_token, token_files};
use super::{LogFormat, LogSettings, Size, Span, default_data_dir, kind, load};

/// What a master can be told.
#[derive(Debug, Clone, Config)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub struct MasterSettings {
    /// Where to listen; port 0 takes a free one.
    #[config(default = "127.0.0.1:3200", env = "FSCHED_MASTER_LISTEN")]
    pub listen: SocketAddr,
    /// Where functions and the store are kept.
    #[config(env = "FSCHED_MASTER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The file that holds the token of whoever runs the platform, which workers share.
    #[config(env = "FSCHED_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// The files that hold tenants' tokens, by the tenants' names.
    #[config(env = "FSCHED_MASTER_TOKENS", parse_env = token_files)]
    pub tokens: Option<BTreeMap<Tenant, PathBuf>>,
    /// The largest function file that may be uploaded.
    #[config(default = "256MiB", env = "FSCHED_MASTER_UPLOAD_LIMIT")]
    pub upload_limit: Size,
    /// How long a shutdown waits for what runs.
    #[config(default = "30s", env = "FSCHED_MASTER_PATIENCE")]
    pub patience: Span,
    /// How many threads answer requests.
    #[config(env = "FSCHED_MASTER_THREADS")]
    pub threads: Option<usize>,
    /// How running times are predicted.
    #[config(env = "FSCHED_MASTER_PREDICTOR", parse_env = kind)]
    pub predictor: Option<PredictorConfig>,
    /// How workers are chosen.
    #[config(env = "FSCHED_MASTER_SCHEDULER", parse_env = kind)]
    pub scheduler: Option<SchedulerConfig>,
    /// What is logged.
    #[config(nested)]
    pub log: LogSettings,
    /// How invocations wait and how benchmarks run.
    #[config(nested)]
    pub invocations: InvocationSettings,
    /// How workers are watched.
    #[config(nested)]
    pub workers: WatchSettings,
    /// Whether and when the predictor is trained on what this platform has seen.
    #[config(nested)]
    pub training: TrainingSettings,
}

/// How invocations wait and how benchmarks run.
#[derive(Debug, Clone, Config)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub struct InvocationSettings {
    /// How long a run may take where neither its function nor itself says.
    #[config(env = "FSCHED_MASTER_DEFAULT_TIMEOUT")]
    pub default_timeout: Option<Span>,
    /// How many invocations may wait for room.
    #[config(env = "FSCHED_MASTER_QUEUE")]
    pub queue: Option<usize>,
    /// How often others may overtake an invocation that does not fit yet.
    #[config(env = "FSCHED_MASTER_MAX_OVERTAKES")]
    pub max_overtakes: Option<u32>,
    /// How long an invocation waits when no worker that is left could ever hold it.
    #[config(env = "FSCHED_MASTER_UNPLACEABLE_AFTER")]
    pub unplaceable_after: Option<Span>,
    /// How many ended invocations are remembered.
    #[config(env = "FSCHED_MASTER_HISTORY")]
    pub history: Option<usize>,
    /// How many versions of a function are kept.
    #[config(env = "FSCHED_MASTER_VERSIONS")]
    pub versions: Option<usize>,
    /// How many way counts a benchmark runs at most.
    #[config(env = "FSCHED_MASTER_BENCHMARK_POINTS")]
    pub benchmark_points: Option<usize>,
    /// How often a benchmark runs each.
    #[config(env = "FSCHED_MASTER_BENCHMARK_REPEATS")]
    pub benchmark_repeats: Option<usize>,
}

/// How workers are watched.
#[derive(Debug, Clone, Config)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub struct WatchSettings {
    /// How often a worker is asked how it is.
    #[config(env = "FSCHED_MASTER_HEARTBEAT")]
    pub heartbeat: Option<Span>,
    /// Silence after which a worker gets no new work.
    #[config(env = "FSCHED_MASTER_SUSPECT_AFTER")]
    pub suspect_after: Option<Span>,
    /// Silence after which a worker's running invocations are failed over or lost.
    #[config(env = "FSCHED_MASTER_DEAD_AFTER")]
    pub dead_after: Option<Span>,
}

/// Whether and when the predictor is trained on what this platform has seen.
#[derive(Debug, Clone, Config)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub struct TrainingSettings {
    /// Whether it is at all.
    #[config(default = false, env = "FSCHED_MASTER_TRAINING")]
    pub enabled: bool,
    /// How often it is looked whether there is enough to learn from.
    #[config(default = "1h", env = "FSCHED_MASTER_TRAINING_EVERY")]
    pub every: Span,
    /// How many functions have to have become well known since the last time.
    #[config(default = 16, env = "FSCHED_MASTER_TRAINING_FUNCTIONS")]
    pub functions: usize,
    /// How often every example is looked at.
    #[config(default = 25, env = "FSCHED_MASTER_TRAINING_EPOCHS")]
    pub epochs: usize,
    /// How long one training may take.
    #[config(default = "10m", env = "FSCHED_MASTER_TRAINING_LIMIT")]
    pub limit: Span,
}

/// The flags of `fsched-master`; what is not given comes from the environment, the file, the defaults.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct MasterFlags {
    /// Configuration file; `fsched config master` prints a commented one
    #[arg(long, value_name = "FILE", env = "FSCHED_MASTER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:3200]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where functions and the store are kept [default: $XDG_STATE_HOME/fsched/master]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The largest function file that may be uploaded [default: 256MiB]
    #[arg(long, value_name = "SIZE")]
    pub upload_limit: Option<Size>,
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

impl MasterSettings {
    /// The commented sample file, with every key.
    pub const SAMPLE: &str = include_str!("../../config/fsched-master.toml");

    /// Flags over environment over file over defaults.
    ///
    /// # Errors
    /// Where the file or a value is not usable; the text names the key.
    pub fn load(flags: &MasterFlags, token_file: Option<&Path>) -> anyhow::Result<Self> {
        let mut layer = <Self as Config>::Layer::empty();
        layer.listen = flags.listen;
        layer.data_dir = flags.data_dir.clone();
        layer.token_file = token_file.map(Path::to_owned);
        layer.upload_limit = flags.upload_limit;
        layer.patience = flags.patience;
        layer.log.format = flags.log_format;
        layer.log.level = flags.log.clone();
        let settings: Self = load(layer, flags.config.as_deref())?;
        settings.validate()?;
        Ok(settings)
    }

    /// Where functions and the store are kept.
    ///
    /// # Errors
    /// Where none is set and there is no home directory.
    pub fn data_dir(&self) -> anyhow::Result<PathBuf> {
        self.data_dir.clone().map_or_else(|| default_data_dir("master"), Ok)
    }

    /// What the service is told, with the tenants' tokens.
    ///
    /// # Errors
    /// Where one of those cannot be read, or they would not tell who is who.
    pub fn options(&self, token: Option<Token>) -> anyhow::Result<MasterOptions> {
        let named = self.tokens.iter().flatten();
        let named = named.map(|(tenant, file)| Ok((tenant.clone(), read_token(file)?)));
        let tenants = TenantTokens::new(named.collect::<anyhow::Result<_>>()?, token.as_ref());
        let tenants = tenants.context("tokens of tenants")?;
        let defaults = MasterOptions::default();
        Ok(MasterOptions {
            token,
            tenants,
            max_upload: self.upload_limit.0,
            default_timeout: self.invocations.default_timeout.map_or(defaults.default_timeout, |span| span.0),
            patience: self.patience.0,
            threads: self.threads,
        })
    }

    /// What the state machine is told.
    pub fn config(&self) -> MasterConfig {
        let defaults = MasterConfig::default();
        let (runs, watch) = (&self.invocations, &self.workers);
        MasterConfig {
            queue: runs.queue.unwrap_or(defaults.queue),
            max_overtakes: runs.max_overtakes.unwrap_or(defaults.max_overtakes),
            history: runs.history.unwrap_or(defaults.history),
            versions: runs.versions.unwrap_or(defaults.versions),
            benchmark_points: runs.benchmark_points.unwrap_or(defaults.benchmark_points),
            benchmark_repeats: runs.benchmark_repeats.unwrap_or(defaults.benchmark_repeats),
            heartbeat: watch.heartbeat.map_or(defaults.heartbeat, |span| span.0),
            suspect_after: watch.suspect_after.map_or(defaults.suspect_after, |span| span.0),
            dead_after: watch.dead_after.map_or(defaults.dead_after, |span| span.0),
            unplaceable_after: runs.unplaceable_after.map_or(defaults.unplaceable_after, |span| span.0),
        }
    }

    fn validate(&self) -> anyhow::Result<()> {
        ensure!(self.upload_limit.0.0 > 0, "upload_limit has to be more than nothing");
        ensure!(self.threads != Some(0), "threads has to be at least 1");
        self.config().validate()?;
        let training = &self.training;
        ensure!(!training.every.0.is_zero(), "training.every has to be more than nothing");
        ensure!(!training.limit.0.is_zero(), "training.limit has to be more than nothing");
        ensure!(training.functions > 0, "training.functions has to be at least 1");
        ensure!((1..=10_000).contains(&training.epochs), "training.epochs has to be from 1 to 10000");
        Ok(())
    }
}
