//! What happens next.

use fsched_core::time::Timestamp;

/// Events by (time, sequence): of two at the same time, the one that was put in first comes first.
///
/// A heap in which four are below each, over numbers alone: events stay where they are until it is their turn. Most events put in another
/// one: it takes the place of theirs, and from there it is not far.
#[derive(Debug)]
pub struct EventQueue<E> {
    /// Each is a time, a sequence number and a place in `events` in one number: ordered as events come, and no two are equal.
    heap: Vec<u128>,
    /// Whether the first one has happened, and nothing has taken its place yet.
    is_over: bool,
    events: Vec<Option<E>>,
    /// Places in `events` that are free.
    free: Vec<u32>,
    next: u64,
    now: Timestamp,
}

/// How many are below each.
const BELOW: usize = 4;
/// How many bits of an entry are the sequence number, and how many the place; 64 are the time.
const SEQUENCE: u32 = 38;
const PLACE: u32 = 26;

fn time(entry: u128) -> Timestamp {
    Timestamp((entry >> (SEQUENCE + PLACE)) as u64)
}

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
    /// Where 67 million events are to come, and after 274 billion.
    pub fn push(&mut self, at: Timestamp, event: E) {
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place as usize] = Some(event);
                place
            }
            None => {
                assert!(self.events.len() < 1 << PLACE, "too many events are to come");
                self.events.push(Some(event));
                (self.events.len() - 1) as u32
            }
        };
        assert!(self.next < 1 << SEQUENCE, "too many events have been");
        let key = u128::from(at.max(self.now).0) << (SEQUENCE + PLACE);
        let entry = key | u128::from(self.next << PLACE | u64::from(place));
        self.next += 1;
        if std::mem::take(&mut self.is_over) {
            self.sink(entry);
        } else {
            self.heap.push(entry);
            self.rise(self.heap.len() - 1, entry);
        }
    }

    /// What comes next, and its place among all events; from here on it is then.
    pub fn pop(&mut self) -> Option<(Timestamp, u64, E)> {
        self.close();
        let &entry = self.heap.first()?;
        self.is_over = true;
        self.now = time(entry);
        let (seq, place) = (entry as u64 >> PLACE, entry as u32 & ((1 << PLACE) - 1));
        self.free.push(place);
        let event = self.events[place as usize].take().expect("what is in the heap has a place");
        Some((self.now, seq, event))
    }

    /// When something comes next.
    pub fn next_at(&mut self) -> Option<Timestamp> {
        self.close();
        self.heap.first().copied().map(time)
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
            && !self.heap.is_empty()
        {
            self.sink(last);
        }
    }

    /// Takes an entry up from a place to where it belongs.
    fn rise(&mut self, mut at: usize, entry: u128) {
        let heap = &mut self.heap[..];
        while at > 0 {
            let above = (at - 1) / BELOW;
            if heap[above] < entry {
                break;
            }
            heap[at] = heap[above];
            at = above;
        }
        heap[at] = entry;
    }

    /// Takes an entry down from the first place to where it belongs.
    fn sink(&mut self, entry: u128) {
        let heap = &mut self.heap[..];
        let mut at = 0;
        loop {
            let first = BELOW * at + 1;
            let (to, least) = match heap.get(first..first + BELOW) {
                Some(&[a, b, c, d]) => {
                    let left = if b < a { (first + 1, b) } else { (first, a) };
                    let right = if d < c { (first + 3, d) } else { (first + 2, c) };
                    if right.1 < left.1 { right } else { left }
                }
                _ => {
                    let some = heap.iter().enumerate().skip(first);
                    let Some((to, &least)) = some.min_by_key(|(_, entry)| **entry) else { break };
                    (to, least)
                }
            };
            if entry < least {
                break;
            }
            heap[at] = least;
            at = to;
        }
        heap[at] = entry;
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
