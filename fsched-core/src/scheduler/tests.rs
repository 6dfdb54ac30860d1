//! What the tests of several schedulers share, and tests of choosing one.

use super::*;
use crate::cache::{Bytes, CacheDomain, CacheGeometry};
use crate::cluster::{DomainView, Liveness, Pace, WorkerView};
use crate::curve::Provenance;

/// Workers `w-0`, `w-1`, …, each with one domain of 20 ways and so many (CPUs, ways asked for).
pub(crate) fn cluster(domains: &[(u16, u32)]) -> ClusterView {
    let geometry = CacheGeometry {
        size: Bytes::mib(20),
        ways: Ways::clamped(20),
        min_ways: Ways::ONE,
        contiguous: true,
        shareable: 0,
        classes: 15,
    };
    let mut view = ClusterView::default();
    for (id, &(cores, asked_shared)) in domains.iter().enumerate() {
        let domain = CacheDomain { id: DomainId(0), cpus: Vec::new(), geometry };
        let domain = DomainView { asked_shared, ..DomainView::new(domain, cores) };
        view.insert(WorkerView {
            id: WorkerId(id as u64),
            liveness: Liveness::Alive,
            draining: false,
            enforced: true,
            pace: Pace::default(),
            memory: Bytes::mib(1024),
            reserved_memory: Bytes(0),
            domains: [(DomainId(0), domain)].into(),
        });
    }
    view
}

/// One CPU, 256 MiB, shared ways.
pub(crate) fn request() -> Request<'static> {
    static CURVE: std::sync::LazyLock<Curve> =
        std::sync::LazyLock::new(|| Curve::flat(1.0, 2.0, Provenance::Prior));
    Request { needs: Needs::default(), curve: &CURVE, file: ContentHash([0; 32]), alone: false, avoid: &[] }
}

#[test]
fn every_scheduler_keeps_the_contract() {
    conformance::check(BinPacking::default);
    conformance::check(BestFit::default);
    conformance::check(LeastLoaded::default);
    conformance::check(|| SchedulerConfig::default().build());
}

#[test]
fn a_scheduler_is_chosen_by_its_kind() {
    let read = |json: &str| serde_json::from_str::<SchedulerConfig>(json);
    assert_eq!(read(r#"{"kind":"bin_packing"}"#).unwrap(), SchedulerConfig::default());
    assert_eq!(read(r#"{"kind":"best_fit"}"#).unwrap(), SchedulerConfig::BestFit {});
    assert_eq!(read(r#"{"kind":"least_loaded"}"#).unwrap(), SchedulerConfig::LeastLoaded {});
    for wrong in [r#"{"kind":"other"}"#, r#"{"kind":"best_fit","x":1}"#, "{}"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
