//! What monitoring says of a class: how much cache it holds, and how much it moves to and from memory.

use std::fmt;
use std::sync::Arc;

use crate::cache::{Bytes, ClosId, DomainId};

/// One counter. It need not be a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counter {
    /// The machine does not have it.
    #[default]
    Absent,
    /// So many bytes.
    Bytes(Bytes),
    /// The hardware has no value now (`Unavailable`).
    Unavailable,
    /// The hardware failed (`Error`).
    Failed,
    /// No counter is assigned to the class (`Unassigned`).
    Unassigned,
    /// The file says something that is not known.
    Unknown,
}

impl Counter {
    /// The number, where it is one.
    pub fn bytes(self) -> Option<Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Reads what the kernel writes.
    pub fn parse(text: &str) -> Self {
        match text.trim() {
            "Unavailable" => Self::Unavailable,
            "Error" => Self::Failed,
            "Unassigned" => Self::Unassigned,
            number => {
                let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
                let value = plain.then(|| number.parse().ok()).flatten();
                value.map_or(Self::Unknown, |n| Self::Bytes(Bytes(n)))
            }
        }
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("-"),
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::Unavailable => f.write_str("unavailable"),
            Self::Failed => f.write_str("error"),
            Self::Unassigned => f.write_str("unassigned"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// What is known of a class in a domain. A task that moved leaves its lines behind: occupancy follows slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Monitored {
    /// Cache that it holds now (`llc_occupancy`).
    pub occupancy: Counter,
    /// Memory traffic since the group was made (`mbm_total_bytes`).
    pub total_traffic: Counter,
    /// The same, to memory of its own socket (`mbm_local_bytes`).
    pub local_traffic: Counter,
}

/// What is known of one class in one domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassUse {
    /// Where.
    pub domain: DomainId,
    /// Which; 0 is that of everybody who has no lease.
    pub class: ClosId,
    /// What it uses.
    pub monitored: Monitored,
}

/// Tells what classes use, now; asked beside the allocator, and without waiting for it.
#[derive(Clone)]
pub struct Monitor(pub Arc<dyn Fn() -> Vec<ClassUse> + Send + Sync>);

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Monitor(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_counter_is_a_number_or_says_why_not(number: u64, text in ".*") {
            prop_assert_eq!(Counter::parse(&format!("{number}\n")).bytes(), Some(Bytes(number)));
            let _ = Counter::parse(&text);
        }
    }
}
