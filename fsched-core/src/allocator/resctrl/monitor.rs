//! The monitoring files of a group, read.

use super::fs::ResctrlFs;
use crate::allocator::{Counter, Monitored};
use crate::cache::DomainId;

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
    use super::super::fake::{FakeKernel, FakeMachine, FakeMonitoring};
    use super::*;
    use crate::cache::Bytes;

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
}
