//! Beside others who use resctrl too, and what is theirs to say: bandwidth, the root group.

use super::*;

#[test]
fn of_the_root_group_only_masks_are_written() {
    let ids = [DomainId(0), DomainId(3)];
    let bandwidth = Some(FakeBandwidth { closids: 16, least: 10, granularity: 10, whole: 100 });
    let fake = FakeKernel::new(FakeMachine { domains: ids.to_vec(), bandwidth, ..FakeMachine::intel() });
    let mut allocator = open_as(&fake, &ids, &config()).unwrap();
    fake.take_writes();
    let root = || -> Vec<String> {
        let of_root = fake.take_writes().into_iter().filter(|(path, _)| path == "schemata");
        of_root.map(|(_, text)| text).collect()
    };
    let lease = allocator.acquire(DomainId(3), exclusive(4)).unwrap().lease;
    assert_eq!(root(), ["L3:0=fffff;3=ffff0\n"]);
    fake.write("schemata", "MB:0=50\n").unwrap();
    fake.take_writes();
    allocator.release(lease).unwrap();
    assert_eq!(root(), ["L3:0=fffff;3=fffff\n"]);
    allocator.close().unwrap();
    assert_eq!(root(), ["L3:0=fffff;3=fffff\n"]);
    assert!(fake.read("schemata").unwrap().contains("MB:0= 50;3=100"), "what somebody else chose stays");
}

#[test]
fn groups_of_others_are_counted_and_never_touched() {
    let fake = FakeKernel::new(FakeMachine::intel());
    for group in ["COS1", "fsched-cdcdcdcdcdcdcdcd.1", "mine"] {
        fake.make_group(group).unwrap();
    }
    fake.write("mine/schemata", "L3:0=f\n").unwrap();
    let before = fake.read("COS1/schemata").unwrap();
    fake.take_writes();
    let mut allocator = open(&fake);
    assert_eq!(allocator.foreign().groups.len(), 3);
    assert_eq!(allocator.foreign().ways, [(D0, 0xf)]);
    assert_eq!(allocator.groups().len(), 12, "the classes that are left");
    let grant = allocator.acquire(D0, exclusive(15)).unwrap();
    assert_eq!(grant.mask.bits() & 0xf, 0, "somebody keeps those");
    allocator.release(grant.lease).unwrap();
    allocator.close().unwrap();
    assert_eq!(fake.groups(), ["COS1", "fsched-cdcdcdcdcdcdcdcd.1", "mine"]);
    assert_eq!(fake.read("COS1/schemata").unwrap(), before);
    let touched = fake.take_writes();
    assert!(touched.iter().all(|(path, _)| !path.starts_with("COS1") && !path.starts_with("mine")));
}

#[test]
fn a_group_that_reaches_into_exclusive_ways_is_told_of() {
    let fake = FakeKernel::new(FakeMachine { domains: vec![D0, DomainId(3)], ..FakeMachine::intel() });
    let mut allocator =
        open_as(&fake, &[D0, DomainId(3)], &ResctrlConfig { max_classes: Some(4), ..config() }).unwrap();
    fake.make_group("later").unwrap();
    allocator.check();
    assert_eq!(allocator.intruders(), Vec::<String>::new(), "nothing is exclusive");
    let grant = allocator.acquire(DomainId(3), exclusive(4)).unwrap();
    allocator.check();
    assert_eq!(allocator.intruders(), ["later"], "a new group has all ways");
    assert_eq!(grant.mask.bits(), 0xf);
    fake.write("later/schemata", "L3:0=f;3=ffff0\n").unwrap();
    allocator.check();
    assert_eq!(allocator.intruders(), Vec::<String>::new());
    fake.write("later/schemata", "L3:3=18\n").unwrap();
    allocator.check();
    assert_eq!(allocator.intruders(), ["later"]);
    allocator.release(grant.lease).unwrap();
    allocator.check();
    assert_eq!(allocator.intruders(), Vec::<String>::new());
}

#[test]
fn no_class_left_is_said_and_so_is_why() {
    let fake = FakeKernel::new(FakeMachine { closids: 3, ..FakeMachine::intel() });
    for group in ["COS1", "COS2"] {
        fake.make_group(group).unwrap();
    }
    let error = open_as(&fake, &[D0], &config()).unwrap_err().to_string();
    assert!(error.contains("2 groups are not ours") && error.contains("Out of CLOSIDs"), "{error}");
    // RMIDs that cool down: what is left, and that is nothing here.
    let monitoring = Some(FakeMonitoring { rmids: 2, traffic: false });
    let fake = FakeKernel::new(FakeMachine { monitoring, ..FakeMachine::intel() });
    fake.make_group("hot").unwrap();
    fake.remove_group("hot").unwrap();
    let error = open_as(&fake, &[D0], &config()).unwrap_err().to_string();
    assert!(error.contains("os error 16") && error.contains("Out of RMIDs"), "{error}");
    fake.empty_limbo();
    assert_eq!(open(&fake).groups().len(), 1);
}

#[test]
fn a_lock_that_somebody_keeps_is_no_obstacle() {
    let fake = FakeKernel::new(FakeMachine::intel());
    fake.hold_lock();
    let mut allocator = open(&fake);
    allocator.acquire(D0, exclusive(3)).unwrap();
    disk_is_ledger(&allocator, &fake, D0);
}

#[test]
fn two_workers_on_one_host_leave_each_other_alone() {
    let fake = FakeKernel::new(FakeMachine::intel());
    let other = ResctrlConfig { max_classes: Some(4), ..ResctrlConfig::new(WorkerKey([0xcd; 16])) };
    let mut one = open_as(&fake, &[D0], &ResctrlConfig { max_classes: Some(4), ..config() }).unwrap();
    let held = one.acquire(D0, exclusive(6)).unwrap();
    let mut two = open_as(&fake, &[D0], &other).unwrap();
    let theirs = two.acquire(D0, exclusive(4)).unwrap();
    assert!(!theirs.mask.overlaps(held.mask), "ways that the root group lacks are somebody's");
    one.release(held.lease).unwrap();
    let root = fake.mask("", D0).unwrap();
    assert_eq!(root & theirs.mask.bits(), 0, "giving back leaves alone what another has taken");
    one.close().unwrap();
    assert_eq!(fake.mask("", D0).unwrap() & theirs.mask.bits(), 0);
    two.release(theirs.lease).unwrap();
    two.close().unwrap();
    assert_eq!(fake.groups(), Vec::<String>::new());
}

#[test]
fn what_another_worker_has_taken_since_is_not_given_again() {
    for machine in [FakeMachine::intel(), FakeMachine { domains: vec![D0], ..FakeMachine::amd() }] {
        let fake = FakeKernel::new(machine);
        let whole = fake.mask("", D0).unwrap();
        let few = |key| ResctrlConfig { max_classes: Some(4), ..ResctrlConfig::new(WorkerKey([key; 16])) };
        let mut one = open_as(&fake, &[D0], &few(0xab)).unwrap();
        let mut two = open_as(&fake, &[D0], &few(0xcd)).unwrap();
        let held = one.acquire(D0, exclusive(6)).unwrap();
        let error = two.acquire(D0, exclusive(4)).unwrap_err();
        let said =
            matches!(&error, AllocateError::Enforcement { reason, .. } if reason.contains("somebody else"));
        assert!(said, "{error}");
        assert_eq!(fake.mask("", D0), Some(whole & !held.mask.bits()));
        disk_is_ledger(&one, &fake, D0);
        one.release(held.lease).unwrap();
        let now = two.acquire(D0, exclusive(4)).unwrap();
        assert_eq!(fake.mask("", D0), Some(whole & !now.mask.bits()));
        two.release(now.lease).unwrap();
        one.close().unwrap();
        two.close().unwrap();
        assert_eq!(fake.mask("", D0), Some(whole));
    }
}

#[test]
fn bandwidth_that_is_not_in_percent_is_left_as_it_is() {
    for whole in [2048, u32::MAX] {
        let bandwidth = Some(FakeBandwidth { closids: 16, least: 1, granularity: 1, whole });
        let fake = FakeKernel::new(FakeMachine { bandwidth, ..FakeMachine::amd() });
        for life in 0..2 {
            let mut allocator = open(&fake);
            for _ in 0..2 {
                allocator.acquire(D0, exclusive(2)).unwrap();
            }
            let writes = fake.take_writes();
            assert!(writes.iter().all(|(_, text)| !text.contains("MB")), "life {life}: {writes:?}");
            assert!(fake.read(&format!("{}/schemata", name(1))).unwrap().contains(&format!("MB:0={whole}")));
        }
        let limits = ResctrlConfig { bandwidth: BTreeMap::from([(ClosId(2), 50)]), ..config() };
        let error = open_as(&fake, &[D0], &limits).unwrap_err();
        assert!(error.to_string().contains("does not count it in percent"), "{error}");
    }
}

#[test]
fn bandwidth_is_limited_per_class() {
    let bandwidth = Some(FakeBandwidth { closids: 8, least: 10, granularity: 10, whole: 100 });
    let fake = FakeKernel::new(FakeMachine { bandwidth, ..FakeMachine::intel() });
    let limits = |percent| ResctrlConfig { bandwidth: BTreeMap::from([(ClosId(2), percent)]), ..config() };
    let mut allocator = open_as(&fake, &[D0], &limits(35)).unwrap();
    let schemata = |class| fake.read(&format!("{}/schemata", name(class))).unwrap();
    assert!(schemata(1).contains("MB:0=100") && schemata(2).contains("MB:0= 40"), "rounded up");
    for _ in 0..2 {
        allocator.acquire(D0, exclusive(2)).unwrap();
    }
    assert!(schemata(2).contains("MB:0= 40"), "stays when masks move");
    for percent in [5, 101] {
        assert!(matches!(open_as(&fake, &[D0], &limits(percent)), Err(OpenError::Bandwidth { .. })));
    }
    let without = FakeKernel::new(FakeMachine::intel());
    let error = open_as(&without, &[D0], &limits(50)).unwrap_err();
    assert!(error.to_string().contains("no limits on memory bandwidth"), "{error}");
}
