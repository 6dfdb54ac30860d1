//! A worker as a process: load, look at the machine, bind, serve, report.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fsched_core::launcher::{ProcessConfig, ProcessLauncher};
use fsched_core::node::{FileStore, Now, WorkerNode};
use fsched_core::worker::Worker;
use fsched_http::{machine, worker};

use super::{Ending, clock, ending, open_files, ready_line, say_ready, trace};
use crate::settings::{Cache, WorkerFlags, WorkerSettings, find_token, listen, make_private};

/// Runs a worker until it is asked to stop.
///
/// # Errors
/// Where a setting makes no sense, the state directory is not usable, or the address cannot be had.
pub fn run(flags: &WorkerFlags, token_file: Option<&Path>) -> anyhow::Result<()> {
    let settings = WorkerSettings::load(flags, token_file)?;
    trace(&settings.log)?;
    open_files::take_all_allowed();
    actix_rt::System::new().block_on(serve(&settings, flags.lifeline))
}

async fn serve(settings: &WorkerSettings, lifeline: bool) -> anyhow::Result<()> {
    let mut ending = ending(lifeline)?;
    let token = find_token(settings.token_file.as_deref())?;
    let options = settings.options(token)?;
    let listener = listen(settings.listen, options.token.as_ref())?;
    let address = listener.local_addr().context("cannot find out where we listen")?;

    let now = clock::wall();
    let (node, launcher) = start(settings, &now)?;
    say_ready(&ready_line("fsched-worker", &format!("http://{address}")));

    let asked = Arc::clone(&node);
    let shutdown = async move {
        // Where nobody can tell any more, it is time to stop too.
        let why = ending.wait_for(Option::is_some).await.ok().and_then(|told| *told);
        tracing::info!("stopping");
        if why == Some(Ending::Orphaned) {
            asked.shutdown(Duration::ZERO).await;
        }
    };
    let served = worker::serve(listener, node, now, options, shutdown).await.context("cannot serve");
    // Threads of the server may hold the node for a moment yet, and nobody waits for them.
    launcher.close();
    served?;
    tracing::info!("stopped");
    Ok(())
}

/// Looks at the machine and gets ready to run functions on it.
fn start(settings: &WorkerSettings, now: &Now) -> anyhow::Result<(Arc<WorkerNode>, Arc<ProcessLauncher>)> {
    let state_dir = settings.state_dir()?;
    make_private(&state_dir)?;
    let key = machine::worker_key(&state_dir)?;
    let topology = machine::topology(Path::new(machine::SYSFS_CPUS), &machine::allowed_cpus());
    for note in &topology.notes {
        tracing::info!("{note}");
    }
    let config = settings.config();
    let Cache { allocator, membership, monitor } = settings.allocator(topology.domains, key, &state_dir)?;
    let files_dir = state_dir.join("files");
    let domains = allocator.domains().to_vec();
    let mut processes = ProcessConfig::new(state_dir.join("processes"), files_dir.clone(), key, domains);
    processes.slots = config.cores;
    processes.use_cgroups = settings.cgroups;
    if let Some(path) = &settings.path {
        processes.path.clone_from(path);
    }
    if let Some(membership) = membership {
        let admission = membership.clone();
        processes.thread_setup = Some(Arc::new(move |_, class| Ok(membership.join(class)?)));
        processes.task_move = Some(Arc::new(move |_, class, task| Ok(admission.admit(class, task)?)));
    }
    // Before the files are touched, because it makes sure that nobody else uses the state directory.
    let launcher = Arc::new(ProcessLauncher::new(processes).context("cannot start processes")?);
    let limits = launcher.enforcement();
    let files = FileStore::open(&files_dir)?;
    files.verify_all()?;
    tracing::info!(
        %key,
        cores = config.cores,
        memory = %config.memory,
        masks_enforced = allocator.enforced(),
        memory_limits = %limits.memory,
        process_limits = %limits.processes,
        "ready to run functions"
    );
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let worker = Worker::new(config, key, version, allocator);
    let node = WorkerNode::start_monitored(worker, launcher.clone(), files, Arc::clone(now), monitor);
    Ok((node, launcher))
}
