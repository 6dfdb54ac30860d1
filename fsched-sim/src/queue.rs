//! What happens next.

use fsched_core::time::Timestamp;

/// Events by (time, sequence): of two at the same time, the one that was put in first comes first.
///
/// A heap in which four are below each, over numbers alone: events stay where they are until it is their turn. Most events put in another
/// one: it takes the place of theirs, and from there it is not far.
#[derive(Debug)]
pub struct EventQueue<E> {
    heap: Vec<Entry>,
    /// Whether the first one has happened, and nothing has taken its place yet.
    is_over: bool,
    events: Vec<Option<E>>,
    /// Places in `events` that are free.
    free: Vec<u32>,
    next: u64,
    now: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Time, then sequence number: ordered as events come, and no two are equal.
    key: u128,
    place: u32,
}

/// How many are below each.
const BELOW: usize = 4;

impl<E> EventQueue<E> {
    /// Nothing, from `now` on.
    pub fn new(now: Timestamp) -> Self {
        Self { heap: Vec::new(), is_over: false, events: Vec::new(), free: Vec::new(), next: 0, now }
    }

    /// When the last event was.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Something happens at `at`; now, where that is over.
    ///
    /// # Panics
    /// Where four billion events are to come.
    pub fn push(&mut self, at: Timestamp, event: E) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            u32::try_from(self.events.len() - 1).expect("no memory holds so many events")
        });
        self.events[place as usize] = Some(event);
        let key = u128::from(at.max(self.now).0) << 64 | u128::from(self.next);
        self.next += 1;
        match self.heap.first_mut().filter(|_| self.is_over) {
            Some(first) => {
                *first = Entry { key, place };
                self.is_over = false;
                self.sink();
            }
            None => {
                self.heap.push(Entry { key, place });
                self.rise(self.heap.len() - 1);
            }
        }
    }

    /// What comes next, and its place among all events; from here on it is then.
    pub fn pop(&mut self) -> Option<(Timestamp, u64, E)> {
        self.close();
        let &Entry { key, place } = self.heap.first()?;
        self.is_over = true;
        let (at, seq) = (Timestamp((key >> 64) as u64), key as u64);
        self.now = at;
        self.free.push(place);
        let event = self.events[place as usize].take().expect("what is in the heap has a place");
        Some((at, seq, event))
    }

    /// When something comes next.
    pub fn next_at(&mut self) -> Option<Timestamp> {
        self.close();
        self.heap.first().map(|entry| Timestamp((entry.key >> 64) as u64))
    }

    /// How many are still to come.
    pub fn len(&self) -> usize {
        self.heap.len() - usize::from(self.is_over)
    }

    /// Whether nothing is still to come.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where nothing took the place of the one that happened, the last one does.
    fn close(&mut self) {
        if std::mem::take(&mut self.is_over)
            && let Some(last) = self.heap.pop()
            && let Some(first) = self.heap.first_mut()
        {
            *first = last;
            self.sink();
        }
    }

    /// Takes one up to where it belongs.
    fn rise(&mut self, mut at: usize) {
        let entry = self.heap[at];
        while at > 0 {
            let above = (at - 1) / BELOW;
            if self.heap[above].key < entry.key {
                break;
            }
            self.heap[at] = self.heap[above];
            at = above;
        }
        self.heap[at] = entry;
    }

    /// Takes the first one down to where it belongs.
    fn sink(&mut self) {
        let Some(&entry) = self.heap.first() else { return };
        let mut at = 0;
        loop {
            let first = (BELOW * at + 1).min(self.heap.len());
            let below = &self.heap[first..self.heap.len().min(first + BELOW)];
            let Some((mut least, others)) = below.split_first() else { break };
            let mut to = first;
            for (one, place) in others.iter().zip(first + 1..) {
                if one.key < least.key {
                    (least, to) = (one, place);
                }
            }
            if entry.key < least.key {
                break;
            }
            self.heap[at] = *least;
            at = to;
        }
        self.heap[at] = entry;
    }
}

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

        #[test]
        fn the_next_one_comes_whatever_is_put_in_meanwhile(steps in prop::collection::vec(prop::option::of(0u64..50), 0..200)) {
            let mut queue = EventQueue::new(Timestamp(0));
            let mut plain = std::collections::BTreeSet::new();
            for (i, step) in (0u64..).zip(steps) {
                match step {
                    Some(after) => {
                        let at = queue.now().0 + after;
                        plain.insert((at, queue.next));
                        queue.push(Timestamp(at), i);
                    }
                    None => prop_assert_eq!(queue.pop().map(|(at, seq, _)| (at.0, seq)), plain.pop_first()),
                }
                prop_assert_eq!(queue.len(), plain.len());
            }
        }
    }
}
