//! Which attempts were here before.

use std::collections::VecDeque;

use super::places::Places;
use crate::id::AttemptId;

/// The attempts that ended, or were refused, last: an order that comes twice must not run twice.
///
/// A worker has thousands of them and asks with every order: they lie in a ring, twelve bytes each.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// A ring, once there are so many as are remembered.
    invocations: Vec<u64>,
    attempts: Vec<u32>,
    /// Which of the ring is the oldest.
    oldest: usize,
    /// The master's lives, oldest first, and of how many each is: there is hardly ever more than one.
    terms: VecDeque<(u64, usize)>,
    places: Places,
}

impl Recent {
    /// How many are remembered.
    pub(super) const MOST: usize = 4096;

    pub(super) fn remember(&mut self, term: u64, attempt: AttemptId) {
        if self.knows(term, attempt) {
            return;
        }
        let (invocation, number) = (attempt.invocation.0, attempt.attempt);
        let place = if self.invocations.len() < Self::MOST {
            self.invocations.push(invocation);
            self.attempts.push(number);
            self.invocations.len() - 1
        } else {
            let place = self.oldest;
            self.forget(place);
            (self.invocations[place], self.attempts[place]) = (invocation, number);
            self.oldest = (place + 1) % Self::MOST;
            place
        };
        match self.terms.back_mut() {
            Some((last, count)) if *last == term => *count += 1,
            _ => self.terms.push_back((term, 1)),
        }
        self.places.add(place, |place| hash(self.invocations[place], self.attempts[place]));
    }

    pub(super) fn knows(&self, term: u64, attempt: AttemptId) -> bool {
        let (invocation, number) = (attempt.invocation.0, attempt.attempt);
        let is_it = |place: usize| {
            self.invocations[place] == invocation
                && self.attempts[place] == number
                && self.term_of(place) == Some(term)
        };
        self.places.find(hash(invocation, number), is_it).is_some()
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

    /// The oldest makes room.
    fn forget(&mut self, place: usize) {
        if let Some((_, count)) = self.terms.front_mut() {
            *count -= 1;
            if *count == 0 {
                self.terms.pop_front();
            }
        }
        self.places.remove(hash(self.invocations[place], self.attempts[place]), place);
    }
}

fn hash(invocation: u64, number: u32) -> u64 {
    invocation ^ u64::from(number).rotate_left(40)
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
