//! Which attempts were here before.

use std::collections::VecDeque;

use crate::id::AttemptId;

/// The attempts that ended, or were refused, last: an order that comes twice must not run twice.
///
/// A worker has thousands of them and asks with every order: they lie in a ring, twelve bytes each. Ids rise: mostly what is asked for is
/// above all of them, and else only one block or two may have it.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// A ring, once there are so many as are remembered.
    invocations: Vec<u64>,
    attempts: Vec<u32>,
    /// The lowest and the highest invocation of each block of the ring.
    bounds: Vec<(u64, u64)>,
    /// No invocation was higher.
    highest: u64,
    /// Which of the ring is the oldest.
    oldest: usize,
    /// The master's lives, oldest first, and of how many each is: there is hardly ever more than one.
    terms: VecDeque<(u64, usize)>,
}

/// How many lie in a block.
const BLOCK: usize = 64;

impl Recent {
    /// How many are remembered.
    pub(super) const MOST: usize = 4096;

    pub(super) fn remember(&mut self, term: u64, attempt: AttemptId) {
        if !self.knows(term, attempt) {
            self.add(term, attempt);
        }
    }

    /// Remembers one that is not known.
    pub(super) fn add(&mut self, term: u64, attempt: AttemptId) {
        let (invocation, number) = (attempt.invocation.0, attempt.attempt);
        let place = if self.invocations.len() < Self::MOST {
            self.invocations.push(invocation);
            self.attempts.push(number);
            self.invocations.len() - 1
        } else {
            let place = self.oldest;
            self.forget_oldest();
            (self.invocations[place], self.attempts[place]) = (invocation, number);
            place
        };
        match self.terms.back_mut() {
            Some((last, count)) if *last == term => *count += 1,
            _ => self.terms.push_back((term, 1)),
        }
        self.bound(place, invocation);
        self.highest = self.highest.max(invocation);
    }

    pub(super) fn knows(&self, term: u64, attempt: AttemptId) -> bool {
        let (invocation, number) = (attempt.invocation.0, attempt.attempt);
        if invocation > self.highest {
            return false;
        }
        let may = |(low, high): &(u64, u64)| (*low..=*high).contains(&invocation);
        let blocks = self.bounds.iter().zip(self.invocations.chunks(BLOCK)).enumerate();
        blocks.filter(|(_, (bounds, _))| may(bounds)).any(|(block, (_, invocations))| {
            let mut here = invocations.iter().zip(block * BLOCK..).filter(|(one, _)| **one == invocation);
            here.any(|(_, place)| self.attempts[place] == number && self.term_of(place) == Some(term))
        })
    }

    /// Of which life of the master it is.
    fn term_of(&self, place: usize) -> Option<u64> {
        let len = self.invocations.len();
        let mut age = (place + len - self.oldest) % len;
        let of = self.terms.iter().find(|(_, count)| {
            let is_in = age < *count;
            age = age.saturating_sub(*count);
            is_in
        });
        of.map(|(term, _)| *term)
    }

    /// An invocation lies at a place now: what its block is bounded by.
    fn bound(&mut self, place: usize, invocation: u64) {
        let block = place / BLOCK;
        let (low, high) = if place.is_multiple_of(BLOCK) {
            // Of those that were here before, only what comes after it is left.
            let end = self.invocations.len().min(place + BLOCK);
            let left = || self.invocations[place + 1..end].iter().copied();
            (left().min().unwrap_or(u64::MAX), left().max().unwrap_or(0))
        } else {
            self.bounds[block]
        };
        let bounds = (low.min(invocation), high.max(invocation));
        match self.bounds.get_mut(block) {
            Some(known) => *known = bounds,
            None => self.bounds.push(bounds),
        }
    }

    /// The oldest makes room.
    fn forget_oldest(&mut self) {
        if let Some((_, count)) = self.terms.front_mut() {
            *count -= 1;
            if *count == 0 {
                self.terms.pop_front();
            }
        }
        self.oldest = (self.oldest + 1) % Self::MOST;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::InvocationId;

    fn attempt(n: u64) -> AttemptId {
        AttemptId { invocation: InvocationId(n), attempt: 0 }
    }

    #[test]
    fn only_the_last_few_thousand_are_remembered() {
        let mut recent = Recent::default();
        let most = Recent::MOST as u64;
        (0..=most).for_each(|n| recent.remember(1, attempt(n)));
        assert!(!recent.knows(1, attempt(0)));
        assert!(recent.knows(1, attempt(1)) && recent.knows(1, attempt(most)));
        assert!(!recent.knows(2, attempt(1)), "another life of the master has other attempts");
        assert!(!recent.knows(1, AttemptId { attempt: 1, ..attempt(1) }), "another try is another attempt");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn it_knows_what_a_plain_list_knows(
            steps in proptest::collection::vec((0u64..3, 0u64..9_000, 0u32..2), 0..12_000),
        ) {
            let (mut recent, mut plain) = (Recent::default(), VecDeque::new());
            for (term, n, number) in steps {
                // Lives follow each other, now and then one comes back.
                let one = (if n < 30 { term } else { 1 }, AttemptId { attempt: number, ..attempt(n) });
                recent.remember(one.0, one.1);
                if !plain.contains(&one) {
                    plain.push_back(one);
                }
                if plain.len() > Recent::MOST {
                    plain.pop_front();
                }
            }
            for n in 0..9_000 {
                for (term, number) in [(0, 0), (1, 0), (1, 1), (2, 1)] {
                    let one = AttemptId { attempt: number, ..attempt(n) };
                    prop_assert_eq!(recent.knows(term, one), plain.contains(&(term, one)));
                }
            }
        }
    }
}
