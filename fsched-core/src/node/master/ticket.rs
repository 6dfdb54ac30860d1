//! Waiting for an answer, and going away without it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::MasterNode;
use crate::id::{BenchmarkId, InvocationId};
use crate::invocation::Outcome;
use crate::master::{BenchmarkError, BenchmarkReport};

/// Waits for an invocation.
pub type Ticket = Waiting<InvocationId, Outcome>;

/// Waits for a benchmark.
pub type BenchmarkTicket = Waiting<BenchmarkId, Result<BenchmarkReport, BenchmarkError>>;

/// A future: the answer to what was accepted. Dropped before the answer came, it cancels what it waited for: the
/// client went away.
#[must_use = "dropping it cancels what it waits for"]
pub struct Waiting<I: Copy, T> {
    /// What it waits for.
    pub id: I,
    answer: oneshot::Receiver<T>,
    /// None: the answer came.
    node: Option<Arc<MasterNode>>,
    abandon: fn(&Arc<MasterNode>, I),
}

impl<I: Copy, T> Waiting<I, T> {
    pub(super) fn new(
        id: I,
        answer: oneshot::Receiver<T>,
        node: &Arc<MasterNode>,
        abandon: fn(&Arc<MasterNode>, I),
    ) -> Self {
        Self { id, answer, node: Some(Arc::clone(node)), abandon }
    }
}

impl<I: Copy + Unpin, T> Future for Waiting<I, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let answer = ready!(Pin::new(&mut self.answer).poll(context));
        self.node = None;
        Poll::Ready(answer.expect("the node, which a ticket keeps alive, answers each once"))
    }
}

impl<I: Copy, T> Drop for Waiting<I, T> {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            (self.abandon)(&node, self.id);
        }
    }
}
