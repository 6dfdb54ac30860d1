//! The processes of the demo and the folder they live in.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::child::{ServerChild, ServerCommand};
use crate::client::Client;
use crate::settings::{LogFormat, LogSettings, Span};
use crate::up::cluster::{WorkerArguments, classes_for_each, wait_for_workers};

/// How many workers there are.
pub(super) const WORKERS: u16 = 2;
/// How long they may take to be there.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long a process has to end.
const END_WITHIN: Duration = Duration::from_secs(10);

/// A master, its workers and their folder. Fields are dropped in this order: workers, master, folder.
pub(super) struct Cluster {
    workers: Vec<ServerChild>,
    master: ServerChild,
    client: Client,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts them on free ports of loopback, and waits until the master knows its workers.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("fsched-demo-")
            .tempdir()
            .context("cannot make a folder for the demo")?;
        let data_dir = folder.path().join("master").display().to_string();
        let words = ["master", "--listen", "127.0.0.1:0", "--data-dir", &data_dir, "--log", "warn"];
        let master = start(words.map(str::to_owned).to_vec())?;
        let client = Client::new(master.url(), None)?;
        let arguments = WorkerArguments {
            master: master.url().to_owned(),
            state_dir: folder.path().join("workers"),
            token_file: None,
            of: WORKERS,
            cache: None,
            classes: classes_for_each(WORKERS),
            log: LogSettings { format: LogFormat::Human, level: "warn".to_owned() },
            patience: Span(Duration::ZERO),
        };
        let mut cluster = Self { workers: Vec::new(), master, client, folder };
        for number in 1..=WORKERS {
            cluster.workers.push(start(arguments.of_worker(number))?);
        }
        wait_for_workers(&cluster.client, usize::from(WORKERS), READY_WITHIN).await?;
        Ok(cluster)
    }

    /// Speaks to the master.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Where files of the demo may lie.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends the processes and removes the folder.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        for worker in &mut self.workers {
            worker.stop(END_WITHIN);
        }
        self.master.stop(END_WITHIN);
        let path = self.folder.path().to_owned();
        self.folder.close().with_context(|| format!("cannot remove {}", path.display()))
    }
}

/// Starts a server that nothing in our environment tells to be different.
fn start(arguments: Vec<String>) -> anyhow::Result<ServerChild> {
    let hidden = |name: &str| name.starts_with("FSCHED_") || name == "RUST_LOG";
    ServerChild::start(&ServerCommand { arguments, hidden }, || {})
}
