//! Workers in the same process.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;
use tokio::sync::watch;

use super::{Address, Peer, Transport, TransportError};
use crate::cluster::Heartbeat;
use crate::id::{AttemptId, ContentHash};
use crate::invocation::{Order, Report};
use crate::node::{FileError, FileStore, FileWriter, WorkerNode};

/// Carries orders to workers in the same process, found by their address.
///
/// A worker that is [disconnected](Loopback::disconnect) behaves like one whose machine was unplugged: orders under
/// way end as [`TransportError::Broken`], new ones as [`TransportError::Unreachable`].
#[derive(Default)]
pub struct Loopback {
    lines: RwLock<HashMap<Address, Arc<Line>>>,
}

struct Line {
    worker: Arc<WorkerNode>,
    cut: watch::Sender<bool>,
}

impl Loopback {
    /// No workers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on, `worker` listens at `address`; whoever listened there before is disconnected.
    pub fn connect(&self, address: Address, worker: Arc<WorkerNode>) {
        let line = Arc::new(Line { worker, cut: watch::Sender::new(false) });
        if let Some(before) = self.lines.write().insert(address, line) {
            before.cut.send_replace(true);
        }
    }

    /// Cuts the line to whoever listens at `address`.
    pub fn disconnect(&self, address: &Address) {
        if let Some(line) = self.lines.write().remove(address) {
            line.cut.send_replace(true);
        }
    }

    fn line(&self, address: &Address) -> Result<Arc<Line>, TransportError> {
        self.lines.read().get(address).cloned().ok_or_else(|| TransportError::Unreachable {
            address: address.clone(),
            reason: "no worker is connected there".to_owned(),
        })
    }
}

#[async_trait]
impl Transport for Loopback {
    async fn execute(&self, to: &Peer, order: Order) -> Result<Report, TransportError> {
        let line = self.line(&to.address)?;
        let mut cut = line.cut.subscribe();
        tokio::select! {
            _ = cut.wait_for(|cut| *cut) => Err(broken(&to.address, "the line was cut")),
            answer = line.worker.execute(order) => Ok(answer?),
        }
    }

    async fn cancel(&self, to: &Peer, attempt: AttemptId) -> Result<(), TransportError> {
        self.line(&to.address)?.worker.cancel(attempt);
        Ok(())
    }

    async fn put_file(&self, to: &Peer, file: ContentHash, path: PathBuf) -> Result<(), TransportError> {
        let line = self.line(&to.address)?;
        let files = line.worker.files().clone();
        let copied = tokio::task::spawn_blocking(move || copy(&path, file, &files)).await;
        match copied.map_err(|stopped| broken(&to.address, stopped))? {
            Ok(()) if line.worker.file_arrived(file) => Ok(()),
            Ok(()) | Err(CopyError::Write(FileError::Mismatch { .. })) => {
                Err(TransportError::Damaged { address: to.address.clone(), file })
            }
            Err(CopyError::Write(error)) => Err(broken(&to.address, error)),
            Err(CopyError::Read { path, reason }) => Err(TransportError::Unreadable { path, reason }),
        }
    }

    async fn discard_file(&self, to: &Peer, file: ContentHash) -> Result<(), TransportError> {
        self.line(&to.address)?.worker.discard_file(file);
        Ok(())
    }

    async fn inspect(&self, address: &Address) -> Result<Heartbeat, TransportError> {
        Ok(self.line(address)?.worker.heartbeat())
    }
}

fn broken(address: &Address, reason: impl ToString) -> TransportError {
    TransportError::Broken { address: address.clone(), reason: reason.to_string() }
}

enum CopyError {
    Read { path: PathBuf, reason: String },
    Write(FileError),
}

/// Copies piece by piece, and checks the hash on the way.
fn copy(path: &Path, file: ContentHash, files: &FileStore) -> Result<(), CopyError> {
    let unreadable = |e: std::io::Error| CopyError::Read { path: path.to_path_buf(), reason: e.to_string() };
    let mut source = File::open(path).map_err(unreadable)?;
    let mut writer: FileWriter = files.writer().map_err(CopyError::Write)?;
    let mut piece = vec![0; 64 << 10];
    loop {
        match source.read(&mut piece).map_err(unreadable)? {
            0 => return writer.finish_blocking(Some(file)).map(|_| ()).map_err(CopyError::Write),
            n => writer.write(&piece[..n]).map_err(CopyError::Write)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::conformance::{self, Listening};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_keeps_the_contract() {
        conformance::check(async |worker| {
            let loopback = Arc::new(Loopback::new());
            let address = Address::from("loopback:1");
            loopback.connect(address.clone(), worker);
            Listening { transport: loopback, address, nobody: "loopback:2".into(), keep: Box::new(()) }
        })
        .await;
    }
}
