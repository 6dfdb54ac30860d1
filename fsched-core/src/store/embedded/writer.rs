//! The thread that takes facts from the log into the database, batch by batch.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::log::Log;
use super::tables::Tables;
use super::{Record, Snapshot, StoreError};

/// How long a fact waits for others. Half of what may be lost with the machine: the other half is for the disk.
const GATHER: Duration = Duration::from_millis(50);
/// How long until a batch that failed is tried again, unless someone waits for it.
const RETRY: Duration = Duration::from_secs(1);
/// How much log there may be before facts have to wait for the database.
const MAX_LOG: u64 = 32 << 20;

/// What those who append and the writer share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// There is something to do.
    work: Condvar,
    /// A batch is done, well or not.
    done: Condvar,
}

#[derive(Debug)]
struct State {
    log: Log,
    /// In the log, not yet taken by the writer.
    pending: Vec<(u64, Record)>,
    waiting: Vec<Waiter>,
    /// The writer sleeps until someone wakes it.
    idle: bool,
    closing: bool,
    /// Why the last batch is not in the database.
    failure: Option<StoreError>,
    /// The writer is gone, for this reason.
    gone: Option<StoreError>,
}

/// Someone who waits for all facts so far to be in the database.
#[derive(Debug)]
pub(super) enum Waiter {
    /// To know it.
    Flush(oneshot::Sender<Result<(), StoreError>>),
    /// To read it.
    Load(oneshot::Sender<Result<Snapshot, StoreError>>),
}

impl Shared {
    pub(super) fn new(log: Log) -> Self {
        let state = State {
            log,
            pending: Vec::new(),
            waiting: Vec::new(),
            idle: false,
            closing: false,
            failure: None,
            gone: None,
        };
        Self { state: Mutex::new(state), work: Condvar::new(), done: Condvar::new() }
    }

    /// Writes a fact to the log and leaves it to the writer. `frame` is its frame, the header still free.
    pub(super) fn append(&self, record: Record, frame: &mut [u8]) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        while state.log.len() > MAX_LOG && state.gone.is_none() {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            self.work.notify_one();
            self.done.wait(&mut state);
        }
        if let Some(reason) = &state.gone {
            return Err(reason.clone());
        }
        let sequence = state.log.append(frame)?;
        state.pending.push((sequence, record));
        if std::mem::take(&mut state.idle) {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Has the writer answer `waiter` as soon as it can.
    pub(super) fn wait(&self, waiter: Waiter) {
        let mut state = self.state.lock();
        match state.gone.clone() {
            Some(reason) => waiter.answer(Err(&reason)),
            None => state.waiting.push(waiter),
        }
        self.work.notify_one();
    }

    /// Has the writer finish its work and end.
    pub(super) fn close(&self) {
        self.state.lock().closing = true;
        self.work.notify_one();
    }

    /// Waits until a batch is due.
    fn due(&self, left_over: bool) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        loop {
            if !state.waiting.is_empty() || state.closing {
                return state;
            }
            if left_over || !state.pending.is_empty() {
                // Only someone who cannot wait notifies now.
                self.work.wait_for(&mut state, if left_over { RETRY } else { GATHER });
                return state;
            }
            state.idle = true;
            self.work.wait(&mut state);
            state.idle = false;
        }
    }
}

impl Waiter {
    /// Answers from the tables, which then have every fact, or says why that cannot be.
    fn answer(self, tables: Result<&Tables, &StoreError>) {
        let tables = tables.map_err(Clone::clone);
        // Who does not wait any more needs no answer.
        match self {
            Self::Flush(sender) => drop(sender.send(tables.map(|_| ()))),
            Self::Load(sender) => drop(sender.send(tables.and_then(Tables::snapshot))),
        }
    }
}

/// The writer's side.
pub(super) struct Writer {
    shared: Arc<Shared>,
    path: std::path::PathBuf,
    /// None: the last batch failed, and redb has to be opened anew.
    tables: Option<Tables>,
    batch: Vec<(u64, Record)>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, path: &Path, tables: Tables) -> Self {
        Self { shared, path: path.to_owned(), tables: Some(tables), batch: Vec::new() }
    }

    /// Works until it is closed.
    pub(super) fn run(mut self) {
        loop {
            let mut state = self.shared.due(!self.batch.is_empty());
            let waiting = std::mem::take(&mut state.waiting);
            let closing = state.closing;
            if !state.pending.is_empty() {
                // Where this fails, the batch stays in the active file, which then grows on.
                if let Err(e) = state.log.take_turns() {
                    tracing::debug!(error = %e, "the log could not switch files");
                }
                self.batch.append(&mut state.pending);
            }
            drop(state);

            let result = self.write();
            if let Err(e) = &result {
                tracing::warn!(error = %e, facts = self.batch.len(), "the store cannot be written; the log keeps the facts");
            }
            self.shared.state.lock().failure = result.as_ref().err().cloned();
            self.shared.done.notify_all();
            let tables =
                result.as_ref().map(|()| self.tables.as_ref().expect("writing well leaves them open"));
            for waiter in waiting {
                waiter.answer(tables);
            }
            if closing {
                return;
            }
        }
    }

    /// Takes the batch into the database and empties its file.
    fn write(&mut self) -> Result<(), StoreError> {
        let mut tables = match self.tables.take() {
            Some(tables) => tables,
            None => Tables::open(&self.path)?,
        };
        if !self.batch.is_empty() {
            if let Err(e) = tables.commit(&self.batch) {
                tables.close();
                return Err(e);
            }
            self.batch.clear();
        }
        let applied = tables.applied();
        self.tables = Some(tables);

        let (spent, files) = {
            let state = self.shared.state.lock();
            (state.log.spent(applied), state.log.files())
        };
        if let Some(file) = spent {
            // Facts left in it are known by their numbers: failing here does no harm.
            match files[file].set_len(0) {
                Ok(()) => self.shared.state.lock().log.emptied(file),
                Err(e) => tracing::warn!(error = %e, "a part of the log could not be emptied"),
            }
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(tables) = self.tables.take() {
            tables.close();
        }
        let reason = StoreError::Io {
            path: self.path.clone(),
            reason: "the thread that writes it has ended".to_owned(),
        };
        let mut state = self.shared.state.lock();
        let waiting = std::mem::take(&mut state.waiting);
        state.gone = Some(reason.clone());
        for waiter in waiting {
            waiter.answer(Err(&reason));
        }
        self.shared.done.notify_all();
    }
}
