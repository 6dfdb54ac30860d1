//! What happens next.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use fsched_core::time::Timestamp;

/// Events by (time, sequence): of two at the same time, the one that was put in first comes first.
#[derive(Debug)]
pub struct EventQueue<E> {
    heap: BinaryHeap<Entry<E>>,
    next: u64,
    now: Timestamp,
}

#[derive(Debug)]
struct Entry<E> {
    at: Timestamp,
    seq: u64,
    event: E,
}

impl<E> EventQueue<E> {
    /// Nothing, from `now` on.
    pub fn new(now: Timestamp) -> Self {
        Self { heap: BinaryHeap::new(), next: 0, now }
    }

    /// When the last event was.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Something happens at `at`; now, where that is over.
    pub fn push(&mut self, at: Timestamp, event: E) {
        self.heap.push(Entry { at: at.max(self.now), seq: self.next, event });
        self.next += 1;
    }

    /// What comes next, and its place among all events; from here on it is then.
    pub fn pop(&mut self) -> Option<(Timestamp, u64, E)> {
        let Entry { at, seq, event } = self.heap.pop()?;
        self.now = at;
        Some((at, seq, event))
    }

    /// When something comes next.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// How many are still to come.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is still to come.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the largest first.
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_lies_in_the_past_happens_now() {
        let mut queue = EventQueue::new(Timestamp(5));
        queue.push(Timestamp(3), 'a');
        assert_eq!(queue.pop(), Some((Timestamp(5), 0, 'a')));
    }

    proptest! {
        #[test]
        fn events_come_by_time_and_then_in_the_order_they_were_put_in(times in prop::collection::vec(0u64..5, 0..50)) {
            let mut queue = EventQueue::new(Timestamp(0));
            for (i, &at) in times.iter().enumerate() {
                queue.push(Timestamp(at), i);
            }
            let mut expected: Vec<(u64, usize)> = times.iter().copied().zip(0..).collect();
            expected.sort_unstable();
            let came: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(at, _, i)| (at.0, i)).collect();
            prop_assert_eq!(came, expected);
        }
    }
}
