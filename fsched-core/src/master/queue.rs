//! Who waits for room: first come first served, but what fits may overtake what does not, so many times.

use std::collections::VecDeque;

use crate::function::Needs;
use crate::id::InvocationId;

/// One that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) invocation: InvocationId,
    pub(super) needs: Needs,
    /// Whether any worker with room will do.
    pub(super) plain: bool,
}

impl Waiting {
    pub(super) fn new(invocation: InvocationId, needs: Needs, plain: bool) -> Self {
        Self { invocation, needs, plain }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    waiting: Waiting,
    overtaken: u32,
    /// When it was tried last, no worker there was could ever have held it.
    hopeless: bool,
}

/// What becomes of one that waits, when it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tried {
    /// It has left the queue.
    Left,
    /// It goes on waiting for room.
    Waits,
    /// It goes on waiting, for a worker that could hold it.
    Hopeless,
}

/// The waiting invocations.
///
/// One that was overtaken `max_overtakes` times lets nobody pass any more: room drains until it fits, so whatever
/// fits an empty worker runs within a bounded number of others. One that no worker could hold stops nobody.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    max_overtakes: u32,
}

impl Queue {
    pub(super) fn new(max_overtakes: u32) -> Self {
        Self { entries: VecDeque::new(), max_overtakes }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a newcomer may be placed although others wait.
    pub(super) fn lets_pass(&self) -> bool {
        // Whoever overtakes an entry overtakes all before it too: the first was overtaken most.
        self.entries
            .iter()
            .find(|entry| !entry.hopeless)
            .is_none_or(|first| first.overtaken < self.max_overtakes)
    }

    /// A newcomer was placed past everybody.
    pub(super) fn passed(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.overtaken += 1);
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        self.entries.push_back(Entry { waiting, overtaken: 0, hopeless: false });
    }

    /// Puts one that was placed already, and came back, before those that came later.
    pub(super) fn push_again(&mut self, waiting: Waiting) {
        let at = self.entries.partition_point(|entry| entry.waiting.invocation < waiting.invocation);
        let overtaken = self.entries.get(at).map_or(0, |next| next.overtaken);
        self.entries.insert(at, Entry { waiting, overtaken, hopeless: false });
    }

    pub(super) fn remove(&mut self, invocation: InvocationId) -> bool {
        let Some(at) = self.entries.iter().position(|entry| entry.waiting.invocation == invocation) else {
            return false;
        };
        self.entries.remove(at);
        true
    }

    /// Tries the waiting ones in order, as far as each may be overtaken.
    pub(super) fn try_each(&mut self, mut attempt: impl FnMut(Waiting) -> Tried) {
        let mut at = 0;
        while let Some(entry) = self.entries.get_mut(at) {
            let tried = attempt(entry.waiting);
            entry.hopeless = tried == Tried::Hopeless;
            if tried == Tried::Left {
                self.entries.remove(at);
                self.entries.iter_mut().take(at).for_each(|waiting| waiting.overtaken += 1);
            } else {
                at += 1;
            }
            let blocked = self.entries.iter().take(at).find(|entry| !entry.hopeless);
            if blocked.is_some_and(|first| first.overtaken >= self.max_overtakes) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waiting(id: u64) -> Waiting {
        Waiting::new(InvocationId(id), Needs::default(), true)
    }

    fn order(queue: &Queue) -> Vec<u64> {
        queue.entries.iter().map(|entry| entry.waiting.invocation.0).collect()
    }

    #[test]
    fn what_came_back_keeps_its_place() {
        let mut queue = Queue::new(3);
        [2, 5, 7].into_iter().for_each(|id| queue.push(waiting(id)));
        queue.push_again(waiting(6));
        queue.push_again(waiting(1));
        queue.push_again(waiting(9));
        assert_eq!(order(&queue), [1, 2, 5, 6, 7, 9]);
    }

    #[test]
    fn one_overtaken_often_enough_lets_nobody_pass() {
        let mut queue = Queue::new(2);
        (0..5).for_each(|id| queue.push(waiting(id)));
        queue.try_each(|waiting| if waiting.invocation.0 == 0 { Tried::Waits } else { Tried::Left });
        assert_eq!(order(&queue), [0, 3, 4]);
        assert!(!queue.lets_pass());
        let mut tried = Vec::new();
        queue.try_each(|waiting| {
            tried.push(waiting.invocation.0);
            Tried::Waits
        });
        assert_eq!(tried, [0]);
    }

    #[test]
    fn one_that_no_worker_could_hold_stops_nobody() {
        let mut queue = Queue::new(1);
        (0..4).for_each(|id| queue.push(waiting(id)));
        queue.try_each(|waiting| if waiting.invocation.0 == 0 { Tried::Hopeless } else { Tried::Left });
        assert_eq!(order(&queue), [0]);
        // A worker that could hold it came: now it is its turn.
        queue.push(waiting(4));
        queue.try_each(|_| Tried::Waits);
        assert!(!queue.lets_pass());
    }

    proptest! {
        #[test]
        fn the_first_was_overtaken_most(rounds in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 0..12), 0..12)) {
            let mut queue = Queue::new(4);
            let mut next = 0;
            for round in rounds {
                for _ in 0..3 {
                    queue.push(waiting(next));
                    next += 1;
                }
                let mut answers = round.into_iter();
                queue.try_each(|_| if answers.next().unwrap_or(false) { Tried::Left } else { Tried::Waits });
                let overtaken: Vec<u32> = queue.entries.iter().map(|entry| entry.overtaken).collect();
                prop_assert!(overtaken.is_sorted_by(|a, b| a >= b), "{:?}", overtaken);
                prop_assert!(overtaken.iter().all(|&n| n <= 4));
            }
        }
    }
}
