//! What monitoring says of a class: how much cache it holds, and how much it moves to and from memory.

use std::fmt;

use super::fs::ResctrlFs;
use crate::cache::{Bytes, DomainId};

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

    fn parse(text: &str) -> Self {
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

/// Reads the counters of a group (`""`: the root) in a domain; none: there is no such group.
pub(super) fn read(fs: &dyn ResctrlFs, group: Option<&str>, domain: DomainId) -> Monitored {
    let Some(group) = group else { return Monitored::default() };
    let slash = if group.is_empty() { "" } else { "/" };
    let counter = |event: &str| {
        let path = format!("{group}{slash}mon_data/mon_L3_{:02}/{event}", domain.0);
        match fs.read(&path) {
            Ok(text) => Counter::parse(&text),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Counter::Absent,
            Err(_) => Counter::Failed,
        }
    };
    Monitored {
        occupancy: counter("llc_occupancy"),
        total_traffic: counter("mbm_total_bytes"),
        local_traffic: counter("mbm_local_bytes"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fake::{FakeKernel, FakeMachine, FakeMonitoring};
    use super::*;

    #[test]
    fn counters_are_numbers_or_say_why_not() {
        let monitoring = Some(FakeMonitoring { rmids: 8, traffic: true });
        let fake = FakeKernel::new(FakeMachine { monitoring, ..FakeMachine::intel() });
        fake.make_group("g").unwrap();
        for (text, counter) in [
            ("4096", Counter::Bytes(Bytes(4096))),
            ("Unavailable", Counter::Unavailable),
            ("Error", Counter::Failed),
            ("Unassigned", Counter::Unassigned),
            ("-1", Counter::Unknown),
        ] {
            fake.count("g/mon_data/mon_L3_00/llc_occupancy", text);
            let monitored = read(&fake, Some("g"), DomainId(0));
            assert_eq!(monitored.occupancy, counter);
            assert_eq!(monitored.total_traffic, Counter::Bytes(Bytes(0)));
        }
        assert_eq!(read(&fake, Some("g"), DomainId(7)).occupancy, Counter::Absent);
        assert_eq!(read(&fake, Some(""), DomainId(0)).occupancy, Counter::Bytes(Bytes(0)));
        let without = FakeKernel::new(FakeMachine::intel());
        assert_eq!(read(&without, Some(""), DomainId(0)), Monitored::default());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = Counter::parse(&text);
        }
    }
}
