//! How the master's effects are performed: in order, nothing after a fact before that fact is kept. Where it cannot
//! be kept, what depends on it is left out, the rest is done: nobody waits in vain because a sample was lost.
//!
//! Facts are appended to the store with the master's lock held, so that they are kept in the order in which they
//! became true (an append takes microseconds and waits for no disk). Everything else happens after the lock is
//! released. What follows a durable fact waits for the store's flush in a task of its own.

use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::vec;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{MasterNode, State};
use crate::id::AttemptId;
use crate::invocation::Order;
use crate::master::Effect;
use crate::store::{Record, StoreError};
use crate::time::Timestamp;
use crate::transport::Peer;

/// A cancellation may overtake its order, or get lost: it is repeated, at growing intervals, until the order is
/// answered, for about half a minute in all.
const CANCEL_PAUSES: std::ops::Range<u32> = 0..11;
const FIRST_PAUSE: Duration = Duration::from_millis(15);

/// Whether all facts of a call were kept.
pub(super) enum Performed {
    Now(Result<(), StoreError>),
    Later(JoinHandle<Result<(), StoreError>>),
}

impl Performed {
    pub(super) async fn wait(self) -> Result<(), StoreError> {
        match self {
            Self::Now(result) => result,
            Self::Later(task) => task.await.unwrap_or_else(|stopped| {
                Err(StoreError::Io { path: PathBuf::new(), reason: stopped.to_string() })
            }),
        }
    }
}

/// Effects whose facts are kept, and what has to wait for the disk.
struct Batch {
    ready: Vec<Effect>,
    failed: Option<StoreError>,
    /// A fact that is appended, and what may be done only after the disk has it.
    after_flush: Option<(Record, vec::IntoIter<Effect>)>,
}

impl MasterNode {
    /// One call of the master, and what comes of it.
    pub(super) fn act<T, E>(
        self: &Arc<Self>,
        call: impl FnOnce(&mut State, Timestamp) -> Result<(T, Vec<Effect>), E>,
    ) -> Result<(T, Performed), E> {
        let (value, batch) = {
            let mut state = self.state.lock();
            let now = self.pass_time(&mut state);
            let (value, effects) = call(&mut state, now)?;
            // From now on a cancellation is repeated until the order is answered, also while that waits for the disk.
            state.sent.extend(effects.iter().filter_map(sends));
            (value, self.keep(&mut state, effects.into_iter(), None))
        };
        Ok((value, self.perform(batch)))
    }

    /// Tells the master something that nobody waits for. Facts that could not be kept are in the log.
    pub(super) fn tell(self: &Arc<Self>, call: impl FnOnce(&mut State, Timestamp) -> Vec<Effect>) {
        let Ok(_) = self.act(|state, now| Ok::<_, Infallible>(((), call(state, now))));
    }

    pub(super) fn pass_time(&self, state: &mut State) -> Timestamp {
        state.clock = state.clock.max((self.now)());
        state.clock
    }

    /// Appends facts until one has to wait for the disk, and does what has to happen with the lock held.
    fn keep(
        &self,
        state: &mut State,
        mut effects: vec::IntoIter<Effect>,
        failed: Option<StoreError>,
    ) -> Batch {
        let mut batch = Batch { ready: Vec::with_capacity(effects.len()), failed, after_flush: None };
        while let Some(effect) = effects.next() {
            match effect {
                Effect::Persist { record, durable } => match self.store.append(record.clone()) {
                    Ok(()) if durable => {
                        batch.after_flush = Some((record, effects));
                        break;
                    }
                    Ok(()) => {}
                    Err(error) => effects = take_back(state, &record, error, effects, &mut batch.failed),
                },
                Effect::RemoveFile(file) => {
                    // The same content may have been pushed again meanwhile.
                    if !state.master.holds_file(file)
                        && let Err(error) = self.files.remove(file)
                    {
                        tracing::warn!(%file, %error, "a file that nothing refers to stays until the next start");
                    }
                }
                other => batch.ready.push(other),
            }
        }
        if state.stopping && state.master.is_idle() {
            self.idle.notify_waiters();
        }
        batch
    }

    fn perform(self: &Arc<Self>, batch: Batch) -> Performed {
        for effect in batch.ready {
            self.begin(effect);
        }
        match (batch.after_flush, batch.failed) {
            (Some((record, rest)), failed) => {
                let node = Arc::clone(self);
                Performed::Later(self.home.spawn(async move { node.flush(record, rest, failed).await }))
            }
            (None, Some(error)) => Performed::Now(Err(error)),
            (None, None) => Performed::Now(Ok(())),
        }
    }

    /// Waits for the disk, then goes on with the rest.
    async fn flush(
        self: Arc<Self>,
        mut record: Record,
        mut rest: vec::IntoIter<Effect>,
        mut failed: Option<StoreError>,
    ) -> Result<(), StoreError> {
        loop {
            let flushed = self.store.flush().await;
            let batch = {
                let mut state = self.state.lock();
                self.pass_time(&mut state);
                if let Err(error) = flushed {
                    rest = take_back(&mut state, &record, error, rest, &mut failed);
                }
                self.keep(&mut state, rest, failed)
            };
            for effect in batch.ready {
                self.begin(effect);
            }
            failed = batch.failed;
            match batch.after_flush {
                Some(next) => (record, rest) = next,
                None => return failed.map_or(Ok(()), Err),
            }
        }
    }

    /// Begins what needs no lock; nothing here waits.
    fn begin(self: &Arc<Self>, effect: Effect) {
        let node = Arc::clone(self);
        match effect {
            Effect::Send { to, order } => self.carry(to, *order),
            Effect::Cancel { to, attempt } => {
                self.home.spawn(node.cancel_until_answered(to, attempt));
            }
            Effect::Transfer { to, file } => {
                self.home.spawn(async move {
                    let answer = node.transport.put_file(&to, file, node.files.path(file)).await;
                    node.tell(|state, now| state.master.transferred(now, to.worker, file, answer));
                });
            }
            Effect::Discard { to, file } => {
                self.home.spawn(async move {
                    if let Err(error) = node.transport.discard_file(&to, file).await {
                        tracing::debug!(worker = %to.worker, %file, %error, "a worker keeps a useless file");
                    }
                });
            }
            Effect::Inspect(peer) => {
                self.home.spawn(async move {
                    let answer = node.transport.inspect(&peer.address).await;
                    node.tell(|state, now| state.master.inspected(now, peer.worker, answer));
                });
            }
            // An answer that nobody waits for any more is none the worse.
            Effect::Reply { invocation, outcome } => {
                let sender = self.state.lock().outcomes.remove(&invocation);
                let _ = sender.map(|sender| sender.send(outcome));
            }
            Effect::Benchmarked { benchmark, result } => {
                let sender = self.state.lock().benchmarks.remove(&benchmark);
                let _ = sender.map(|sender| sender.send(result));
            }
            Effect::Persist { .. } | Effect::RemoveFile(_) => {
                unreachable!("these are done with the lock held")
            }
        }
    }

    /// Carries an order on the runtime of whoever asked for it: the answer is wanted there.
    fn carry(self: &Arc<Self>, to: Peer, order: Order) {
        let node = Arc::clone(self);
        let carried = Box::pin(async move {
            let attempt = order.attempt;
            let answer = node.transport.execute(&to, order).await.map(Arc::new);
            node.tell(|state, now| {
                state.sent.remove(&attempt);
                state.master.reported(now, to.worker, attempt, answer)
            });
        });
        let task = Rescued { task: Some(carried), home: self.home.clone() };
        match Handle::try_current() {
            Ok(here) => here.spawn(task),
            Err(_) => self.home.spawn(task),
        };
    }

    async fn cancel_until_answered(self: Arc<Self>, to: Peer, attempt: AttemptId) {
        for pause in CANCEL_PAUSES {
            if let Err(error) = self.transport.cancel(&to, attempt).await {
                tracing::debug!(%attempt, %error, "a cancellation did not arrive");
            }
            if !self.state.lock().sent.contains(&attempt) {
                return;
            }
            tokio::time::sleep(FIRST_PAUSE * 2u32.pow(pause)).await;
        }
    }
}

/// The attempt that an effect sends to a worker.
fn sends(effect: &Effect) -> Option<AttemptId> {
    match effect {
        Effect::Send { order, .. } => Some(order.attempt),
        _ => None,
    }
}

/// What is to be done after a fact could not be kept: first what the master says to that, then what does not depend
/// on it.
fn take_back(
    state: &mut State,
    lost: &Record,
    error: StoreError,
    rest: vec::IntoIter<Effect>,
    failed: &mut Option<StoreError>,
) -> vec::IntoIter<Effect> {
    tracing::error!(%error, "a fact could not be kept");
    let mut effects = state.master.not_persisted(state.clock, lost, &error.to_string());
    failed.get_or_insert(error);
    state.sent.extend(effects.iter().filter_map(sends));
    for effect in rest {
        if !effect.follows_from(lost) {
            effects.push(effect);
        } else if let Some(attempt) = sends(&effect) {
            state.sent.remove(&attempt);
        }
    }
    effects.into_iter()
}

/// A task that moves home when the runtime it was started on ends before it does.
struct Rescued<F: Future<Output = ()> + Send + 'static> {
    task: Option<Pin<Box<F>>>,
    home: Handle,
}

impl<F: Future<Output = ()> + Send + 'static> Future for Rescued<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(task) = &mut self.task {
            ready!(task.as_mut().poll(context));
            self.task = None;
        }
        Poll::Ready(())
    }
}

impl<F: Future<Output = ()> + Send + 'static> Drop for Rescued<F> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            self.home.spawn(task);
        }
    }
}
