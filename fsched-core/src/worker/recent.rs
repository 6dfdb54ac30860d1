//! Which attempts were here before.

use std::collections::{BTreeSet, VecDeque};

use crate::id::AttemptId;

/// The attempts that ended, or were refused, last: an order that comes twice must not run twice.
#[derive(Debug, Default)]
pub(super) struct Recent {
    order: VecDeque<(u64, AttemptId)>,
    known: BTreeSet<(u64, AttemptId)>,
}

impl Recent {
    /// How many are remembered.
    pub(super) const MOST: usize = 4096;

    pub(super) fn remember(&mut self, term: u64, attempt: AttemptId) {
        if !self.known.insert((term, attempt)) {
            return;
        }
        self.order.push_back((term, attempt));
        if self.order.len() > Self::MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(super) fn knows(&self, term: u64, attempt: AttemptId) -> bool {
        self.known.contains(&(term, attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::InvocationId;

    #[test]
    fn only_the_last_few_thousand_are_remembered() {
        let attempt = |n| AttemptId { invocation: InvocationId(n), attempt: 0 };
        let mut recent = Recent::default();
        let most = Recent::MOST as u64;
        (0..=most).for_each(|n| recent.remember(1, attempt(n)));
        assert!(!recent.knows(1, attempt(0)));
        assert!(recent.knows(1, attempt(1)) && recent.knows(1, attempt(most)));
        assert!(!recent.knows(2, attempt(1)), "another life of the master has other attempts");
    }
}
