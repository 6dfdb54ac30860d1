//! On disk: redb, with a log in front.
//!
//! | file | what |
//! | --- | --- |
//! | `frame.rs` | the log's bytes |
//! | `log.rs` | the log's two files |
//! | `tables.rs` | the facts in redb |
//! | `writer.rs` | the thread that takes facts from the one to the other |
//! | `error.rs` | what the system and redb say, in the store's words |
//!
//! A fact is appended by one `write` to the log and handed to the writer, which takes batches of them into redb.
//! The kernel has what was written: the death of the process loses nothing. What is in redb is on the disk: the
//! death of the machine loses what came after the last batch. Facts are numbered, and redb knows the last number
//! it has, so that opening the store takes over from the log exactly what is missing.

mod error;
mod frame;
mod log;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::oneshot;

use self::log::Log;
use self::tables::Tables;
use self::writer::{Shared, Waiter, Writer};
use super::{Record, Snapshot, Store, StoreError};

/// Keeps facts in a directory of its own.
///
/// After `kill -9` every fact that was appended is there; after a power cut, every fact that was older than
/// 100 ms or flushed. Nothing else may change the directory's files.
///
/// Opening it checks all of it. Damage by others is an error, never a panic and never a silent loss, with two
/// exceptions that nobody can tell from what a death leaves behind: a cut or unreadable last fact of the log, and,
/// when the machine has been started anew since the store was last open, anything in the log after the first
/// unreadable fact.
///
/// Dropping it waits until all facts are on the disk.
#[derive(Debug)]
pub struct EmbeddedStore {
    dir: PathBuf,
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    /// Held as long as the store is open.
    _lock: Lock,
}

impl EmbeddedStore {
    /// Opens the store in a directory, which is made where it is missing.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Version`], [`StoreError::Damaged`], [`StoreError::Full`], and where
    /// the system fails.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_after(dir.as_ref(), boot())
    }

    /// Opens it on a machine whose current start has the name `boot`; none: it is not known.
    fn open_after(dir: &Path, boot: Option<u128>) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|e| error::of_io(dir, &e))?;
        let lock = lock(dir)?;
        let path = dir.join("store.redb");
        let segments = log::read(dir)?;
        if !path.try_exists().map_err(|e| error::of_io(&path, &e))? {
            if segments.iter().any(|segment| !segment.is_empty()) {
                return Err(error::damaged(&path, "the database is missing, but its log is there"));
            }
            Tables::create(&path)?;
        }
        let mut tables = Tables::open(&path)?;

        let same_boot = boot.is_some() && tables.boot() == boot;
        let facts = missing(dir, &segments, tables.applied(), same_boot)?;
        if !facts.is_empty() || !same_boot || tables.is_old() {
            tables.set_boot(boot);
            tables.commit(&facts)?;
        }
        let log = Log::start(dir, tables.applied().saturating_add(1))?;
        sync_directory(dir)?;

        let shared = Arc::new(Shared::new(log));
        let writer = Writer::new(Arc::clone(&shared), &path, tables);
        let thread = std::thread::Builder::new().name("fsched-store".to_owned());
        let writer = thread.spawn(|| writer.run()).map_err(|e| error::of_io(dir, &e))?;
        Ok(Self { dir: dir.to_owned(), shared, writer: Some(writer), _lock: lock })
    }

    /// Asks the writer, and waits for its answer.
    async fn ask<T>(
        &self,
        waiter: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Waiter,
    ) -> Result<T, StoreError> {
        let (sender, answer) = oneshot::channel();
        self.shared.wait(waiter(sender));
        answer.await.unwrap_or_else(|_| {
            Err(StoreError::Io {
                path: self.dir.clone(),
                reason: "the thread that writes it has ended".to_owned(),
            })
        })
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn load(&self) -> Result<Snapshot, StoreError> {
        self.ask(Waiter::Load).await
    }

    fn append(&self, record: Record) -> Result<(), StoreError> {
        let mut frame = vec![0; frame::HEADER];
        let io = |reason: String| StoreError::Io { path: self.dir.clone(), reason };
        serde_json::to_writer(&mut frame, &record).map_err(|e| io(e.to_string()))?;
        if frame.len() - frame::HEADER > frame::MAX_PAYLOAD {
            return Err(io(format!("a fact of {} bytes is too long", frame.len())));
        }
        self.shared.append(record, &mut frame)
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.ask(Waiter::Flush).await
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(dir = %self.dir.display(), "the thread that writes the store panicked");
        }
    }
}

/// The facts that are in the log and not in the database.
fn missing(
    dir: &Path,
    segments: &[Vec<u8>; 2],
    applied: u64,
    same_boot: bool,
) -> Result<Vec<(u64, Record)>, StoreError> {
    let (payloads, broken) = frame::following(&[&segments[0], &segments[1]], applied);
    let log = || dir.join("log.*");
    match broken {
        Some(frame::Break::Damage { at }) if same_boot => {
            return Err(error::damaged(
                &log(),
                format!("what is at byte {at} is no fact, but facts follow it"),
            ));
        }
        Some(frame::Break::Gap { expected, found }) if same_boot => {
            return Err(error::damaged(&log(), format!("fact {expected} should come next, {found} does")));
        }
        Some(broken) => {
            tracing::warn!(dir = %dir.display(), ?broken, "the log ends early: the machine was started anew");
        }
        None => {}
    }
    let decode = |(sequence, json)| match serde_json::from_slice(json) {
        Ok(record) => Ok((sequence, record)),
        Err(e) => Err(error::damaged(&log(), format!("fact {sequence} cannot be read: {e}"))),
    };
    payloads.into_iter().map(decode).collect()
}

/// Keeps other processes, and other stores of this one, out as long as it lives.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing does not suffice: a process just being started holds a copy of the file until it is.
        if let Err(e) = self.0.unlock() {
            tracing::warn!(error = %e, "the lock of the store could not be given back");
        }
    }
}

fn lock(dir: &Path) -> Result<Lock, StoreError> {
    let path = dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| error::of_io(&path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(e)) => Err(error::of_io(&path, &e)),
    }
}

/// Makes new names in a directory, and the directory's own, survive the death of the machine.
fn sync_directory(dir: &Path) -> Result<(), StoreError> {
    let sync =
        |dir: &Path| File::open(dir).and_then(|file| file.sync_all()).map_err(|e| error::of_io(dir, &e));
    sync(dir)?;
    let parent = std::path::absolute(dir).map_err(|e| error::of_io(dir, &e))?;
    parent.parent().map_or(Ok(()), sync)
}

/// What Linux calls the current start of the machine.
fn boot() -> Option<u128> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).ok().filter(|boot| *boot != 0)
}
