//! What monitoring says of a class: how much cache it holds, and how much it moves to and from memory.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cache::{Bytes, ClosId, DomainId};

/// One counter. It need not be a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
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
    /// What the file says is not known, or does not follow from what it said before.
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

    /// Whether the machine does not have it.
    pub fn is_absent(&self) -> bool {
        *self == Self::Absent
    }

    /// What was counted since the counter was at `before`. Where either is no number, the later one says why.
    fn since(self, before: Self) -> Self {
        match (self, before) {
            (Self::Bytes(now), Self::Bytes(before)) => {
                now.0.checked_sub(before.0).map_or(Self::Unknown, |bytes| Self::Bytes(Bytes(bytes)))
            }
            (Self::Bytes(_), Self::Absent) => Self::Unknown,
            (Self::Bytes(_), before) => before,
            (now, _) => now,
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

/// A counter in JSON: a number, or a word that says why there is none.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Bytes(u64),
    Word(Word),
    Absent(()),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Unavailable,
    Error,
    Unassigned,
    Unknown,
}

impl From<Counter> for Written {
    fn from(counter: Counter) -> Self {
        match counter {
            Counter::Absent => Self::Absent(()),
            Counter::Bytes(bytes) => Self::Bytes(bytes.0),
            Counter::Unavailable => Self::Word(Word::Unavailable),
            Counter::Failed => Self::Word(Word::Error),
            Counter::Unassigned => Self::Word(Word::Unassigned),
            Counter::Unknown => Self::Word(Word::Unknown),
        }
    }
}

impl From<Written> for Counter {
    fn from(written: Written) -> Self {
        match written {
            Written::Absent(()) => Self::Absent,
            Written::Bytes(bytes) => Self::Bytes(Bytes(bytes)),
            Written::Word(Word::Unavailable) => Self::Unavailable,
            Written::Word(Word::Error) => Self::Failed,
            Written::Word(Word::Unassigned) => Self::Unassigned,
            Written::Word(Word::Unknown) => Self::Unknown,
        }
    }
}

/// What is known of a class in a domain. A task that moved leaves its lines behind: occupancy follows slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Monitored {
    /// Cache that it holds now (`llc_occupancy`).
    #[serde(skip_serializing_if = "Counter::is_absent")]
    pub occupancy: Counter,
    /// Memory traffic since the group was made (`mbm_total_bytes`).
    #[serde(skip_serializing_if = "Counter::is_absent")]
    pub total_traffic: Counter,
    /// The same, to memory of its own socket (`mbm_local_bytes`).
    #[serde(skip_serializing_if = "Counter::is_absent")]
    pub local_traffic: Counter,
}

impl Monitored {
    /// The traffic since the class was at `before`, and what it holds now.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            occupancy: self.occupancy,
            total_traffic: self.total_traffic.since(before.total_traffic),
            local_traffic: self.local_traffic.since(before.local_traffic),
        }
    }

    /// The same where nobody knows where it was before: it was another class.
    pub fn since_unknown(&self) -> Self {
        let unknown = Counter::Unknown;
        self.since(&Self { total_traffic: unknown, local_traffic: unknown, ..Self::default() })
    }
}

/// What is known of one class in one domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassUse {
    /// Where.
    pub domain: DomainId,
    /// Which; 0 is that of everybody who has no lease.
    pub class: ClosId,
    /// What it uses.
    #[serde(flatten)]
    pub monitored: Monitored,
}

/// Tells what classes use, now; asked beside the allocator, and without waiting for it.
#[derive(Clone)]
pub struct Monitor {
    /// All that there are, by domain.
    pub classes: Vec<(DomainId, ClosId)>,
    /// Asks for one.
    pub ask: Arc<dyn Fn(DomainId, ClosId) -> Monitored + Send + Sync>,
}

impl Monitor {
    /// What one class uses.
    pub fn of(&self, domain: DomainId, class: ClosId) -> Monitored {
        (self.ask)(domain, class)
    }

    /// What each class uses.
    pub fn all(&self) -> Vec<ClassUse> {
        let class_use = |&(domain, class)| ClassUse { domain, class, monitored: self.of(domain, class) };
        self.classes.iter().map(class_use).collect()
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("classes", &self.classes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn traffic_is_what_was_counted_meanwhile_or_says_why_not() {
        let bytes = |n| Counter::Bytes(Bytes(n));
        for (now, before, since) in [
            (bytes(700), bytes(200), bytes(500)),
            (bytes(700), bytes(700), bytes(0)),
            (bytes(200), bytes(700), Counter::Unknown),
            (Counter::Unavailable, bytes(700), Counter::Unavailable),
            (bytes(700), Counter::Unassigned, Counter::Unassigned),
            (Counter::Failed, Counter::Unavailable, Counter::Failed),
            (Counter::Absent, Counter::Absent, Counter::Absent),
            (bytes(1), Counter::Absent, Counter::Unknown),
        ] {
            let at =
                |counter| Monitored { occupancy: bytes(9), total_traffic: counter, local_traffic: counter };
            assert_eq!(at(now).since(&at(before)), at(since), "{now} {before}");
        }
        let moved = Monitored { total_traffic: bytes(7), ..Monitored::default() }.since_unknown();
        assert_eq!((moved.total_traffic, moved.local_traffic), (Counter::Unknown, Counter::Absent));
    }

    #[test]
    fn counters_are_numbers_or_words_in_json() {
        let all = Monitored {
            occupancy: Counter::Bytes(Bytes(4096)),
            total_traffic: Counter::Unavailable,
            local_traffic: Counter::Absent,
        };
        let text = r#"{"occupancy":4096,"total_traffic":"unavailable"}"#;
        assert_eq!(serde_json::to_string(&all).unwrap(), text);
        for counter in [Counter::Failed, Counter::Unassigned, Counter::Unknown, Counter::Absent] {
            let all = Monitored { local_traffic: counter, ..all };
            assert_eq!(serde_json::from_value::<Monitored>(serde_json::to_value(all).unwrap()).unwrap(), all);
        }
        for text in ["-1", "\"much\"", "1.5", "[]"] {
            assert!(serde_json::from_str::<Counter>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_counter_is_a_number_or_says_why_not(number: u64, text in ".*") {
            prop_assert_eq!(Counter::parse(&format!("{number}\n")).bytes(), Some(Bytes(number)));
            let _ = Counter::parse(&text);
        }
    }
}
