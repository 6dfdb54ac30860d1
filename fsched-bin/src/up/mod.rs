//! A master and its workers with one command: the master in this process, the workers as children that are started
//! again when they die.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`run`]: from the command line to the clean end |
//! | `cluster.rs` | what the workers are told, and waiting until the master knows them |
//! | `keeper.rs` | `Keeper`: starts a worker again when it dies |

pub(crate) mod cluster;
mod keeper;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::child::ServerCommand;
use crate::cli::Global;
use crate::client::Client;
use crate::serve;
use crate::serve::master::ReadyMaster;
use crate::settings::{CacheMode, LogFormat, MasterFlags, MasterSettings, default_data_dir, find_token};

use cluster::WorkerArguments;
use keeper::Keeper;

/// How long the workers may take to be there.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// What `fsched up` understands.
#[derive(Debug, Clone, clap::Args)]
pub struct UpArgs {
    /// Where the master listens; port 0 takes a free one [default: 127.0.0.1:3200]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// How many workers; they divide the machine's CPUs and memory
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// How the workers share out the cache [default: auto]; several divide the kernel's classes between them
    #[arg(long, value_enum, value_name = "MODE")]
    cache: Option<CacheMode>,
    /// Where everything is kept [default: $XDG_STATE_HOME/fsched/up]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The master's configuration file; workers look at FSCHED_WORKER_CONFIG
    #[arg(long, value_name = "FILE", env = "FSCHED_MASTER_CONFIG")]
    config: Option<PathBuf>,
    /// What is logged: error, warn, info, debug, trace, or directives [default: info]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// How log lines are written [default: human]
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// Runs a master and its workers until asked to stop.
///
/// # Errors
/// Where a setting makes no sense, the master cannot listen, or a worker cannot be started.
pub fn run(args: &UpArgs, global: &Global) -> anyhow::Result<()> {
    let data_dir = args.data_dir.clone().map_or_else(|| default_data_dir("up"), Ok)?;
    let flags = MasterFlags {
        config: args.config.clone(),
        listen: args.listen,
        data_dir: Some(data_dir.join("master")),
        log: args.log.clone(),
        log_format: args.log_format,
        ..MasterFlags::default()
    };
    let settings = MasterSettings::load(&flags, global.token_file.as_deref())?;
    serve::trace(&settings.log)?;
    actix_rt::System::new().block_on(serve_all(args, &settings, &data_dir))
}

async fn serve_all(args: &UpArgs, settings: &MasterSettings, data_dir: &Path) -> anyhow::Result<()> {
    let ending = serve::ending(false)?;
    let token = find_token(settings.token_file.as_deref())?;
    let master = ReadyMaster::start(settings, token.clone()).await?;
    let url = cluster::loopback_url(master.address());
    let arguments = WorkerArguments {
        master: url.clone(),
        state_dir: data_dir.join("workers"),
        token_file: settings.token_file.clone(),
        of: args.workers,
        cache: args.cache,
        classes: cluster::classes_for_each(args.workers),
        log: settings.log.clone(),
        patience: settings.patience,
    };
    let keeper = |number| {
        // Where one worker is to be reached, several are not.
        let hidden = |name: &str| name == "FSCHED_WORKER_ADVERTISE";
        Keeper::begin(ServerCommand { arguments: arguments.of_worker(number), hidden })
    };
    let workers = Workers((1..=args.workers).map(keeper).collect());
    let client = Client::new(&url, token.as_ref())?;
    let serving = master.serve_until(ending);
    tokio::pin!(serving);
    tokio::select! {
        served = &mut serving => return served,
        ready = cluster::wait_for_workers(&client, usize::from(args.workers), READY_WITHIN) => {
            if let Err(error) = ready {
                tracing::warn!(error = format!("{error:#}"), "not all workers came up");
            }
            serve::say_ready(&format!("fsched up: {url}"));
        }
    }
    let served = serving.await;
    drop(workers);
    served
}

/// All workers; ended together when dropped.
struct Workers(Vec<Keeper>);

impl Drop for Workers {
    fn drop(&mut self) {
        for keeper in &self.0 {
            keeper.ask_to_end();
        }
    }
}
