//! One test per rule of the kernel's contract, on the kernel that pretends; and the allocator's contract on it and on
//! plain files. `tests/resctrl.rs` runs the same on a real kernel.

mod beside;

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::fake::{FakeBandwidth, FakeKernel, FakeMachine, FakeMonitoring, Fault};
use super::*;
use crate::allocator::{Counter, Unmanaged, conformance};
use crate::cache::{Bytes, CpuId, WayMask, Ways};
use crate::id::WorkerKey;

const KEY: WorkerKey = WorkerKey([0xab; 16]);
const D0: DomainId = DomainId(0);

fn config() -> ResctrlConfig {
    ResctrlConfig::new(KEY)
}

/// The machine of a fake, as sysfs would show it.
fn machine(ids: &[DomainId]) -> Vec<CacheDomain> {
    let domain = |(index, id): (usize, &DomainId)| CacheDomain {
        id: *id,
        cpus: vec![CpuId(index as u16)],
        ..CacheDomain::nominal(1, Ways::new(16).unwrap(), Bytes::mib(1))
    };
    ids.iter().enumerate().map(domain).collect()
}

fn open_as(
    fake: &FakeKernel,
    ids: &[DomainId],
    config: &ResctrlConfig,
) -> Result<ResctrlAllocator, OpenError> {
    ResctrlAllocator::open(Arc::new(fake.clone()), machine(ids), config)
}

fn open(fake: &FakeKernel) -> ResctrlAllocator {
    open_as(fake, &[D0], &config()).unwrap()
}

fn exclusive(ways: u8) -> CacheAsk {
    CacheAsk::Exclusive(Ways::new(ways).unwrap())
}

fn shared(ways: u8) -> CacheAsk {
    CacheAsk::Shared(Ways::new(ways).unwrap())
}

fn name(class: u16) -> String {
    format!("fsched-abababababababab.{class}")
}

/// What the ledger says, for each class of a domain, is what the kernel has.
fn disk_is_ledger(allocator: &ResctrlAllocator, fake: &FakeKernel, domain: DomainId) {
    for change in allocator.masks(domain) {
        let group = match change.class.0 {
            0 => "",
            class => &allocator.groups()[usize::from(class) - 1],
        };
        assert_eq!(fake.mask(group, domain), Some(change.mask.bits()), "{} {group:?}", change.class);
    }
}

/// A fake whose rules are those of the first domain; the others have the same.
fn fake_for(domains: &[CacheDomain]) -> FakeMachine {
    let geometry = &domains[0].geometry;
    FakeMachine {
        ways: geometry.ways.get().into(),
        min_bits: if geometry.contiguous { geometry.min_ways.get().into() } else { 0 },
        sparse: !geometry.contiguous,
        shareable: geometry.shareable,
        closids: usize::from(geometry.classes) + 1,
        domains: domains.iter().map(|domain| domain.id).collect(),
        ..FakeMachine::intel()
    }
}

/// What a worker would take: masks that are enforced, or none at all where no class is left.
fn best(fs: Arc<dyn ResctrlFs>, domains: Vec<CacheDomain>) -> Box<dyn CacheAllocator> {
    match ResctrlAllocator::open(fs, domains.clone(), &config()) {
        Ok(allocator) => Box::new(allocator),
        Err(OpenError::NoClass { .. }) => Box::new(Unmanaged::new(domains)),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn it_keeps_the_contract_on_a_kernel_that_pretends() {
    conformance::check(|domains| {
        let mut sorted = domains.clone();
        sorted.sort_by_key(|domain| domain.id);
        best(Arc::new(FakeKernel::new(fake_for(&sorted))), domains)
    });
}

/// Lays out plain files as a kernel would show a machine.
fn plain_files(root: &Path, machine: &FakeMachine) -> Directory {
    let kernel = FakeKernel::new(machine.clone());
    let copy = |path: &str| {
        if let Ok(text) = kernel.read(path) {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        }
    };
    for path in ["schemata", "tasks", "info/last_cmd_status"] {
        copy(path);
    }
    for file in ["cbm_mask", "min_cbm_bits", "num_closids", "shareable_bits", "sparse_masks"] {
        copy(&format!("info/L3/{file}"));
    }
    Directory::plain(root)
}

#[test]
fn it_keeps_the_contract_on_plain_files() {
    let dir = tempfile::tempdir().unwrap();
    let next = std::cell::Cell::new(0);
    conformance::check_some(8, |domains| {
        let mut sorted = domains.clone();
        sorted.sort_by_key(|domain| domain.id);
        next.set(next.get() + 1);
        let root = dir.path().join(next.get().to_string());
        let _ = fs::remove_dir_all(dir.path().join((next.get() - 1).to_string()));
        fs::create_dir(&root).unwrap();
        let files = plain_files(&root, &fake_for(&sorted));
        if sorted[0].geometry.classes == 0 {
            return Box::new(Unmanaged::new(domains)) as Box<dyn CacheAllocator>;
        }
        best(Arc::new(files), domains)
    });
}

#[test]
fn absent_and_unmounted_are_told_apart() {
    let fake = FakeKernel::new(FakeMachine::intel());
    fake.unmount();
    let error = open_as(&fake, &[D0], &config()).unwrap_err();
    assert!(matches!(error, OpenError::NotMounted(_)), "{error}");
    assert!(error.to_string().contains("mount -t resctrl resctrl /sys/fs/resctrl"));
    let dir = tempfile::tempdir().unwrap();
    let open = |root: &Path| {
        ResctrlAllocator::open(Arc::new(Directory::kernel(root)), machine(&[D0]), &config()).unwrap_err()
    };
    assert!(matches!(open(&dir.path().join("no")), OpenError::NotSupported(_)));
    assert!(matches!(open(dir.path()), OpenError::NotMounted(_)), "a directory is no mount");
}

#[test]
fn a_host_that_only_monitors_cannot_divide_its_cache() {
    let monitoring = Some(FakeMonitoring { rmids: 8, traffic: true });
    let fake = FakeKernel::new(FakeMachine { monitor_only: true, monitoring, ..FakeMachine::intel() });
    assert!(matches!(open_as(&fake, &[D0], &config()), Err(OpenError::NoCache)));
}

#[test]
fn domain_ids_may_have_gaps_and_each_domain_has_its_own_masks() {
    let ids = [DomainId(0), DomainId(5)];
    let fake = FakeKernel::new(FakeMachine { domains: ids.to_vec(), ..FakeMachine::intel() });
    let mut allocator = open_as(&fake, &[DomainId(5), DomainId(0), DomainId(9)], &config()).unwrap();
    let found: Vec<DomainId> = allocator.domains().iter().map(|domain| domain.id).collect();
    assert_eq!(found, ids, "what resctrl does not know is left out");
    let one = allocator.acquire(DomainId(5), exclusive(4)).unwrap();
    let group = &allocator.groups()[usize::from(one.class.0) - 1];
    assert_eq!((fake.mask(group, DomainId(5)), fake.mask(group, D0)), (Some(one.mask.bits()), Some(0xfffff)));
    let other = allocator.acquire(D0, exclusive(2)).unwrap();
    assert_eq!(other.class, one.class, "one group, two partitions");
    for id in ids {
        disk_is_ledger(&allocator, &fake, id);
    }
}

#[test]
fn the_geometry_is_what_info_says() {
    let fake =
        FakeKernel::new(FakeMachine { ways: 11, min_bits: 2, shareable: 0x600, ..FakeMachine::intel() });
    let geometry = open(&fake).domains()[0].geometry;
    assert_eq!((geometry.ways.get(), geometry.min_ways.get(), geometry.contiguous), (11, 2, true));
    assert_eq!((geometry.shareable, geometry.classes), (0x600, 15));
    let amd = open(&FakeKernel::new(FakeMachine::amd())).domains()[0].geometry;
    assert_eq!((amd.ways.get(), amd.min_ways.get(), amd.contiguous), (16, 1, false));
}

#[test]
fn classes_are_the_fewest_over_all_resources() {
    let bandwidth = Some(FakeBandwidth { closids: 8, least: 10, granularity: 10, whole: 100 });
    let fake = FakeKernel::new(FakeMachine { bandwidth, ..FakeMachine::intel() });
    assert_eq!(open(&fake).groups().len(), 7);
    let limited = ResctrlConfig { max_classes: Some(3), ..config() };
    let fake = FakeKernel::new(FakeMachine::intel());
    assert_eq!(open_as(&fake, &[D0], &limited).unwrap().groups().len(), 3);
}

#[test]
fn code_and_data_have_the_same_mask_where_they_are_apart() {
    let fake = FakeKernel::new(FakeMachine { cdp: true, ..FakeMachine::intel() });
    let mut allocator = open(&fake);
    assert_eq!(allocator.groups().len(), 7, "half of the classes");
    let grant = allocator.acquire(D0, exclusive(3)).unwrap();
    let text = fake.read(&format!("{}/schemata", name(grant.class.0))).unwrap();
    assert_eq!(text, "L3DATA:0=00007\nL3CODE:0=00007\n");
    assert_eq!(fake.read("schemata").unwrap(), "L3DATA:0=ffff8\nL3CODE:0=ffff8\n");
}

#[test]
fn all_of_a_group_is_in_one_write_that_ends_in_a_newline() {
    let ids = [DomainId(0), DomainId(3)];
    let bandwidth = Some(FakeBandwidth { closids: 16, least: 10, granularity: 10, whole: 100 });
    let fake = FakeKernel::new(FakeMachine { domains: ids.to_vec(), bandwidth, ..FakeMachine::intel() });
    let mut allocator = open_as(&fake, &ids, &config()).unwrap();
    fake.take_writes();
    let grant = allocator.acquire(DomainId(3), shared(4)).unwrap();
    let writes = fake.take_writes();
    let text = "MB:0=100;3=100\nL3:0=fffff;3=f0000\n".to_owned();
    assert_eq!(writes, [(format!("{}/schemata", name(grant.class.0)), text)]);
}

#[test]
fn a_new_group_has_its_masks_before_anybody_is_in_it() {
    let fake = FakeKernel::new(FakeMachine::intel());
    fake.write("schemata", "L3:0=3ffff\n").unwrap();
    fake.take_writes();
    let allocator = open_as(&fake, &[D0], &ResctrlConfig { max_classes: Some(3), ..config() }).unwrap();
    let writes = fake.take_writes();
    for group in allocator.groups() {
        let first = writes.iter().find(|(path, _)| path.starts_with(group.as_str()));
        assert_eq!(
            first,
            Some(&(format!("{group}/schemata"), "L3:0=3ffff\n".to_owned())),
            "the kernel gives all ways"
        );
    }
    assert!(!writes.iter().any(|(path, _)| path.ends_with("tasks")), "{writes:?}");
}

#[test]
fn masks_shrink_before_others_grow() {
    let fake = FakeKernel::new(FakeMachine::intel());
    let mut allocator = open_as(&fake, &[D0], &ResctrlConfig { max_classes: Some(2), ..config() }).unwrap();
    allocator.acquire(D0, shared(20)).unwrap();
    fake.take_writes();
    allocator.acquire(D0, exclusive(4)).unwrap();
    let order: Vec<String> = fake.take_writes().into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        order,
        [format!("{}/schemata", name(1)), "schemata".to_owned(), format!("{}/schemata", name(2))]
    );
}

#[test]
fn errors_say_path_text_and_what_the_kernel_said() {
    let fake = FakeKernel::new(FakeMachine::intel());
    let mut allocator = open(&fake);
    fake.fail(Fault {
        act: Act::Write,
        path: "schemata".into(),
        after: 0,
        times: u32::MAX,
        errno: libc::EIO,
        status: "the hardware is on fire\n",
    });
    let error = allocator.acquire(D0, shared(4)).unwrap_err().to_string();
    for part in [&name(1), "/sys/fs/resctrl/", "\"L3:0=f0000\\n\"", "os error 5", "the hardware is on fire"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_refused_write_changes_nothing_and_the_next_one_may_succeed() {
    for (errno, act) in [
        (libc::EIO, Act::Write),
        (libc::EROFS, Act::Write),
        (libc::EINVAL, Act::Write),
        (libc::EBUSY, Act::Write),
        (libc::EACCES, Act::Read),
    ] {
        for after in 0..6 {
            let fake = FakeKernel::new(FakeMachine::intel());
            let mut allocator =
                open_as(&fake, &[D0], &ResctrlConfig { max_classes: Some(3), ..config() }).unwrap();
            let first = allocator.acquire(D0, shared(20)).unwrap();
            let before = (allocator.usage(D0), allocator.masks(D0));
            fake.fail(Fault { act, path: "schemata".into(), after, times: 1, errno, status: "" });
            match allocator.acquire(D0, exclusive(4)) {
                Ok(_) => {}
                Err(AllocateError::Enforcement { domain: D0, .. }) => {
                    assert_eq!((allocator.usage(D0), allocator.masks(D0)), before);
                    disk_is_ledger(&allocator, &fake, D0);
                    allocator.acquire(D0, exclusive(4)).unwrap();
                }
                Err(other) => panic!("{other}"),
            }
            disk_is_ledger(&allocator, &fake, D0);
            allocator.release(first.lease).unwrap();
            disk_is_ledger(&allocator, &fake, D0);
        }
    }
}

#[test]
fn what_could_not_be_written_is_caught_up_with() {
    let fake = FakeKernel::new(FakeMachine::intel());
    let mut allocator = open(&fake);
    let one = allocator.acquire(D0, exclusive(4)).unwrap();
    let two = allocator.acquire(D0, shared(20)).unwrap();
    fake.make_read_only();
    assert!(allocator.release(one.lease).is_ok(), "a lease that is over is over");
    assert!(matches!(allocator.acquire(D0, shared(2)), Err(AllocateError::Enforcement { .. })));
    fake.recover();
    allocator.acquire(D0, exclusive(3)).unwrap();
    disk_is_ledger(&allocator, &fake, D0);
    allocator.release(two.lease).unwrap();
    disk_is_ledger(&allocator, &fake, D0);
}

#[test]
fn ways_that_read_back_wider_are_left_out() {
    let fake = FakeKernel::new(FakeMachine { ways: 11, ..FakeMachine::intel() });
    fake.contend(0x600);
    let mut allocator = open(&fake);
    assert_eq!(allocator.domains()[0].geometry.shareable, 0x600);
    let grant = allocator.acquire(D0, shared(11)).unwrap();
    assert_eq!(grant.mask.bits(), 0x1ff);
    disk_is_ledger(&allocator, &fake, D0);
    // One that begins only later is an error, and not a mask that is not true.
    let fake = FakeKernel::new(FakeMachine { ways: 11, ..FakeMachine::intel() });
    let mut allocator = open(&fake);
    fake.contend(0x600);
    let error = allocator.acquire(D0, shared(1)).unwrap_err().to_string();
    assert!(error.contains("the hardware changed the mask"), "{error}");
}

#[test]
fn a_group_that_vanishes_costs_a_class_and_nothing_else() {
    let fake = FakeKernel::new(FakeMachine::intel());
    let mut allocator = open_as(&fake, &[D0], &ResctrlConfig { max_classes: Some(4), ..config() }).unwrap();
    let one = allocator.acquire(D0, shared(8)).unwrap();
    let two = allocator.acquire(D0, exclusive(4)).unwrap();
    assert_eq!((one.class, two.class), (ClosId(1), ClosId(2)));
    fake.vanish(&name(1));
    // Found when it has to make way.
    let three = allocator.acquire(D0, exclusive(10)).unwrap();
    assert_eq!(three.class, ClosId(4));
    let moved: Vec<(LeaseId, ClosId)> = three.moved.iter().map(|m| (m.lease, m.class)).collect();
    assert_eq!(moved, [(one.lease, ClosId(3))], "it goes on in another class");
    disk_is_ledger(&allocator, &fake, D0);
    for lease in [one.lease, two.lease, three.lease] {
        allocator.release(lease).unwrap();
        disk_is_ledger(&allocator, &fake, D0);
    }
    let again = allocator.acquire(D0, shared(8)).unwrap();
    assert_ne!(again.class, ClosId(1), "it is lost");
    fake.unmount();
    let error = allocator.acquire(D0, exclusive(2)).unwrap_err();
    assert!(matches!(error, AllocateError::Enforcement { .. }), "everything vanished: {error}");
}

#[test]
fn a_group_that_vanishes_is_noticed_before_anything_is_written_to_it() {
    let ids = [DomainId(0), DomainId(5)];
    let fake = FakeKernel::new(FakeMachine { domains: ids.to_vec(), ..FakeMachine::intel() });
    let mut allocator = open_as(&fake, &ids, &ResctrlConfig { max_classes: Some(4), ..config() }).unwrap();
    let one = allocator.acquire(D0, exclusive(4)).unwrap();
    let two = allocator.acquire(DomainId(5), shared(3)).unwrap();
    assert_eq!((one.class, two.class), (ClosId(1), ClosId(1)));
    assert_eq!(allocator.check(), []);
    fake.vanish(&name(1));
    let moved: Vec<(LeaseId, ClosId, WayMask)> =
        allocator.check().iter().map(|moved| (moved.lease, moved.class, moved.mask)).collect();
    assert_eq!(moved, [(one.lease, ClosId(2), one.mask), (two.lease, ClosId(2), two.mask)]);
    ids.iter().for_each(|id| disk_is_ledger(&allocator, &fake, *id));
    assert_eq!(allocator.check(), [], "it is told once");
    fake.unmount();
    assert_eq!(allocator.check(), [], "that is for the next write to say");
}

#[test]
fn groups_are_adopted_after_a_crash_and_emptied() {
    let fake = FakeKernel::new(FakeMachine::intel());
    let dir = tempfile::tempdir().unwrap();
    let config = ResctrlConfig { root_backup: Some(dir.path().join("root")), ..config() };
    fake.write("schemata", "L3:0=3ffff\n").unwrap();
    let mut crashed = open_as(&fake, &[D0], &config).unwrap();
    crashed.acquire(D0, exclusive(5)).unwrap();
    fake.start_task(77, true);
    fake.write(&format!("{}/tasks", name(1)), "77").unwrap();
    drop(crashed);
    assert_eq!(fake.mask("", D0), Some(0x3ffe0), "a crash gives nothing back");
    fake.take_writes();
    let mut allocator = open_as(&fake, &[D0], &config).unwrap();
    assert_eq!(fake.groups().len(), 15, "none was made anew");
    assert_eq!(fake.read("tasks").unwrap(), "77\n");
    assert_eq!(fake.mask("", D0), Some(0x3ffff));
    disk_is_ledger(&allocator, &fake, D0);
    assert_eq!(
        allocator.domains()[0].geometry.shareable,
        0xc0000,
        "what the root group never had is not ours to give"
    );
    allocator.close().unwrap();
    assert_eq!(fake.groups(), Vec::<String>::new());
    assert_eq!(fake.mask("", D0), Some(0x3ffff), "as it was before us");
    assert!(!dir.path().join("root").exists());
}

#[test]
fn what_was_kept_of_another_mount_is_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    let config = ResctrlConfig { root_backup: Some(dir.path().join("root")), ..config() };
    fs::write(dir.path().join("root"), "L3:0=3\n").unwrap();
    let fake = FakeKernel::new(FakeMachine::intel());
    open_as(&fake, &[D0], &config).unwrap();
    assert_eq!(fake.mask("", D0), Some(0xfffff));
    // Without what was kept, the root group gets back what nobody else has, what exclusive ways cut off included.
    let fake = FakeKernel::new(FakeMachine::intel());
    let mut crashed = open(&fake);
    let low = crashed.acquire(D0, exclusive(4)).unwrap().lease;
    crashed.acquire(D0, exclusive(4)).unwrap();
    crashed.release(low).unwrap();
    drop(crashed);
    assert_eq!(fake.mask("", D0), Some(0xfff00), "contiguous: the low ways are nobody's");
    open(&fake);
    assert_eq!(fake.mask("", D0), Some(0xfffff));
}

#[test]
fn surplus_groups_of_a_former_life_are_removed() {
    let fake = FakeKernel::new(FakeMachine::intel());
    drop(open(&fake));
    drop(open_as(&fake, &[D0], &ResctrlConfig { max_classes: Some(2), ..config() }).unwrap());
    assert_eq!(fake.groups(), [name(1), name(2)]);
}

#[test]
fn all_ways_exclusive_is_no_space() {
    let fake = FakeKernel::new(FakeMachine::intel());
    fake.make_group("hog").unwrap();
    fake.write("schemata", "L3:0=1\n").unwrap();
    fake.write("hog/schemata", "L3:0=ffffe\n").unwrap();
    for group in ["hog/mode", "mode"] {
        fake.write(group, "exclusive\n").unwrap();
    }
    let error = open_as(&fake, &[D0], &config()).unwrap_err().to_string();
    assert!(error.contains("No space on L3:0") || error.contains("no mask"), "{error}");
}

#[test]
fn without_privileges_or_on_a_read_only_mount_it_says_so() {
    for errno in [libc::EPERM, libc::EACCES, libc::EROFS] {
        let fake = FakeKernel::new(FakeMachine::intel());
        fake.fail(Fault { act: Act::MakeGroup, path: "".into(), after: 0, times: 1, errno, status: "" });
        let Err(OpenError::Fs(error)) = open_as(&fake, &[D0], &config()) else { panic!() };
        assert_eq!((error.errno(), error.act), (Some(errno), Act::MakeGroup));
    }
}

#[test]
fn a_thread_joins_with_a_zero_and_tasks_that_are_gone_are_esrch() {
    let fake = FakeKernel::new(FakeMachine::intel());
    let membership = open(&fake).membership();
    membership.join(ClosId(2)).unwrap();
    let me = rustix::thread::gettid().as_raw_pid();
    assert_eq!(fake.read(&format!("{}/tasks", name(2))).unwrap(), format!("{me}\n"));
    fake.start_task(9, true);
    membership.admit(ClosId(3), 9).unwrap();
    membership.admit(ClosId(0), 9).unwrap();
    assert!(fake.read("tasks").unwrap().contains('9'));
    let gone = membership.admit(ClosId(3), 10).unwrap_err();
    assert_eq!(gone.errno(), Some(libc::ESRCH));
    assert_eq!(std::io::Error::from(gone).raw_os_error(), Some(libc::ESRCH));
    fake.start_task(11, false);
    let refused = membership.admit(ClosId(3), 11).unwrap_err().to_string();
    assert!(refused.contains("No permission to move task 11") && refused.contains("\"11\""), "{refused}");
    assert!(membership.join(ClosId(99)).is_err());
}

#[test]
fn a_lease_makes_no_group_and_reads_no_tasks() {
    let fake = FakeKernel::new(FakeMachine::intel());
    let mut allocator = open(&fake);
    for (act, path) in
        [(Act::MakeGroup, ""), (Act::RemoveGroup, ""), (Act::Read, "tasks"), (Act::Write, "tasks")]
    {
        let fault = Fault { act, path: path.into(), after: 0, times: u32::MAX, errno: libc::EIO, status: "" };
        fake.fail(fault);
    }
    for ask in [shared(3), exclusive(3), shared(9), exclusive(2)] {
        let grant = allocator.acquire(D0, ask).unwrap();
        allocator.release(grant.lease).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn masks_on_disk_are_the_ledgers_at_every_step(
        geometry in conformance::any_geometry().prop_filter("no class", |geometry| geometry.classes > 0),
        life in vec((any::<bool>(), 1u8..8, any::<usize>()), 0..80),
        faults in vec((0u32..40, 0u32..3), 0..3),
    ) {
        let domains = vec![CacheDomain { geometry, ..machine(&[D0]).remove(0) }];
        let fake = FakeKernel::new(fake_for(&domains));
        let mut allocator = open(&fake);
        for (after, times) in faults {
            fake.fail(Fault { act: Act::Write, path: "schemata".into(), after, times, errno: libc::EIO, status: "" });
        }
        let mut leases = Vec::new();
        for (is_exclusive, ways, which) in life {
            let failed = if which % 3 == 0 && !leases.is_empty() {
                let lease = leases.remove(which % leases.len());
                allocator.release(lease).unwrap();
                allocator.stale[0]
            } else {
                match allocator.acquire(D0, if is_exclusive { exclusive(ways) } else { shared(ways) }) {
                    Ok(grant) => leases.push(grant.lease),
                    Err(AllocateError::Exhausted(_) | AllocateError::TooMany { .. } | AllocateError::Enforcement { .. }) => {}
                    Err(other) => prop_assert!(false, "{}", other),
                }
                allocator.stale[0]
            };
            if !failed {
                disk_is_ledger(&allocator, &fake, D0);
            }
        }
        fake.recover();
        for lease in leases {
            allocator.release(lease).unwrap();
        }
        allocator.close().unwrap();
        prop_assert_eq!(fake.groups(), Vec::<String>::new());
    }
}

#[test]
fn classes_are_monitored_where_the_machine_does() {
    let monitoring = Some(FakeMonitoring { rmids: 32, traffic: false });
    let fake = FakeKernel::new(FakeMachine { monitoring, ..FakeMachine::intel() });
    let allocator = open_as(&fake, &[D0], &ResctrlConfig { max_classes: Some(2), ..config() }).unwrap();
    fake.count(&format!("{}/mon_data/mon_L3_00/llc_occupancy", name(2)), "65536");
    fake.count("mon_data/mon_L3_00/llc_occupancy", "Unavailable");
    let uses = allocator.monitor().unwrap().all();
    let occupancy: Vec<_> = uses.iter().map(|class_use| class_use.monitored.occupancy).collect();
    assert_eq!(occupancy, [Counter::Unavailable, Counter::Bytes(Bytes(0)), Counter::Bytes(Bytes(65536))]);
    assert_eq!(uses[2].monitored.total_traffic, Counter::Absent);
    assert!(open(&FakeKernel::new(FakeMachine::intel())).monitor().is_none());
}
