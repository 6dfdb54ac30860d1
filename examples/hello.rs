//! The whole platform inside one program: a master, a worker beside it, and a function as a real process.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fsched_core::allocator::MemoryAllocator;
use fsched_core::cache::{Bytes, CacheDomain, Ways};
use fsched_core::function::{FunctionSpec, InputSize, Needs};
use fsched_core::id::WorkerKey;
use fsched_core::invocation::{Outcome, Submission};
use fsched_core::launcher::{ProcessConfig, ProcessLauncher};
use fsched_core::master::MasterConfig;
use fsched_core::node::{FileStore, MasterNode, Now, WorkerNode};
use fsched_core::predictor::InterpolatingPredictor;
use fsched_core::scheduler::BestFit;
use fsched_core::store::MemoryStore;
use fsched_core::time::Timestamp;
use fsched_core::transport::{Address, Loopback};
use fsched_core::worker::{Worker, WorkerConfig};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let epoch = SystemTime::UNIX_EPOCH;
    let now: Now = Arc::new(move || Timestamp::default() + epoch.elapsed().unwrap_or_default());

    let (key, domains) =
        (WorkerKey([1; 16]), vec![CacheDomain::nominal(1, Ways::clamped(16), Bytes::mib(1))]);
    let files = FileStore::open(dir.path().join("worker"))?;
    let config = ProcessConfig::new(dir.path().join("state"), files.dir().into(), key, domains.clone());
    let launcher = Arc::new(ProcessLauncher::new(config)?);
    let allocator = Box::new(MemoryAllocator::new(domains, false));
    let worker = Worker::new(WorkerConfig::default(), key, "hello".into(), allocator);
    let worker = WorkerNode::start(worker, launcher, files, Arc::clone(&now));

    let (transport, here) = (Arc::new(Loopback::new()), Address::from("here"));
    transport.connect(here.clone(), Arc::clone(&worker));
    let (predictor, scheduler) = (Box::new(InterpolatingPredictor::default()), Box::new(BestFit::default()));
    let (store, files) = (Arc::new(MemoryStore::default()), FileStore::open(dir.path().join("master"))?);
    let master =
        MasterNode::start(MasterConfig::default(), files, predictor, scheduler, store, transport, now)
            .await?;
    master.add_worker(here).await?;

    let content = "#!/bin/sh\necho hello from process $$, input size $1\n";
    let (tenant, name, needs) = (Default::default(), "hello".parse()?, Needs::default());
    let (file, file_size) = (master.files().put(content.as_bytes())?, Bytes(content.len() as u64));
    let (command, timeout) = (None, Duration::from_secs(10));
    let function =
        master.push(FunctionSpec { tenant, name, file, file_size, command, needs, timeout }).await?;
    let ticket = master.submit(Submission::new(function.id, InputSize(1000))).await?;
    if let Outcome::Ran { worker, report } = ticket.await {
        print!("{worker}, {:?}: {}", report.wall, String::from_utf8_lossy(&report.stdout.bytes));
    }
    master.shutdown(Duration::from_secs(1)).await;
    worker.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
