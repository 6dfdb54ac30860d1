//! The allocator's contract on the kernel's own resctrl, where one is mounted: `.ci/vm` runs it in a virtual machine, with
//! several geometries. `FSCHED_RESCTRL_ROOT` names another directory. Without either, it says that it did nothing.
//!
//! On the pretended kernel and on plain files the same suite runs with the unit tests of the allocator.
#![cfg(all(feature = "resctrl", target_os = "linux"))]
#![expect(clippy::unwrap_used, reason = "these are tests, their helpers too")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;

use fsched_core::allocator::resctrl::{
    Directory, OpenError, ResctrlAllocator, ResctrlConfig, ResctrlFs, Schemata,
};
use fsched_core::allocator::{CacheAllocator, conformance};
use fsched_core::cache::{Bytes, CacheDomain, ClosId, CpuId, DomainId, Ways};
use fsched_core::host::resctrl::{MOUNT_POINT, is_resctrl};
use fsched_core::id::WorkerKey;
use fsched_core::invocation::CacheAsk;

const KEY: WorkerKey = WorkerKey([0x7e; 16]);
/// Random lives per check: a kernel that is emulated is slow.
const CASES: u32 = 12;

/// One test at a time: all are the same worker.
static ONE: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

fn root() -> Option<PathBuf> {
    let told = std::env::var_os("FSCHED_RESCTRL_ROOT").map(PathBuf::from);
    let found = told.or_else(|| is_resctrl(Path::new(MOUNT_POINT)).then(|| MOUNT_POINT.into()));
    if found.is_none() {
        println!("skipped: no resctrl is mounted here; .ci/vm runs this");
    }
    found
}

/// The domains that the kernel divides; of which CPUs does not matter here.
fn machine(fs: &dyn ResctrlFs) -> Vec<CacheDomain> {
    let schemata: Schemata = fs.read("schemata").unwrap().parse().unwrap();
    let mut ids: Vec<DomainId> = ["L3", "L3DATA"].iter().flat_map(|line| schemata.domains(line)).collect();
    ids.dedup();
    let domain = |id: DomainId| CacheDomain {
        id,
        cpus: vec![CpuId(id.0)],
        ..CacheDomain::nominal(1, Ways::new(16).unwrap(), Bytes::mib(1))
    };
    ids.into_iter().map(domain).collect()
}

fn open(root: &Path) -> Result<ResctrlAllocator, OpenError> {
    let fs = Directory::kernel(root);
    let machine = machine(&fs);
    ResctrlAllocator::open(Arc::new(fs), machine, &ResctrlConfig::new(KEY))
}

/// What the ledger says is what the kernel has, for all classes of all domains.
fn disk_is_ledger(allocator: &ResctrlAllocator, root: &Path) {
    let fs = Directory::kernel(root);
    for domain in allocator.domains() {
        for change in allocator.masks(domain.id) {
            let group = usize::from(change.class.0).checked_sub(1).map(|index| &allocator.groups()[index]);
            let path = group.map_or("schemata".to_owned(), |group| format!("{group}/schemata"));
            let schemata: Schemata = fs.read(&path).unwrap().parse().unwrap();
            for line in ["L3", "L3CODE", "L3DATA"] {
                if let Some(bits) = schemata.get(line, domain.id) {
                    assert_eq!(bits, change.mask.bits(), "{path} {line} {}", domain.id);
                }
            }
        }
    }
}

#[test]
fn the_contract_holds_on_the_kernel_and_nothing_is_left_behind() {
    let _one = ONE.lock();
    let Some(root) = root() else { return };
    let before = Directory::kernel(&root).read("schemata").unwrap();
    // Each one adopts what the one before left, as after a crash.
    conformance::check_some(CASES, |_| open(&root).unwrap());
    let mut last = open(&root).unwrap();
    println!("{} classes, {:?}", last.groups().len(), last.domains()[0].geometry);
    last.close().unwrap();
    assert_eq!(Directory::kernel(&root).read("schemata").unwrap(), before);
    let left = Directory::kernel(&root).directories("").unwrap();
    assert!(!left.iter().any(|name| name.starts_with("fsched-7e7e")), "{left:?}");
}

#[test]
fn masks_on_disk_equal_the_ledger_at_every_step_of_hundreds() {
    let _one = ONE.lock();
    let Some(root) = root() else { return };
    let mut allocator = open(&root).unwrap();
    let domains: Vec<DomainId> = allocator.domains().iter().map(|domain| domain.id).collect();
    let mut leases = Vec::new();
    let mut random = 1u64;
    for _ in 0..400 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pick = (random >> 33) as usize;
        let ways = Ways::clamped(1 + (pick / 64 % 6) as u8);
        if pick.is_multiple_of(3) && !leases.is_empty() {
            allocator.release(leases.swap_remove(pick / 8 % leases.len())).unwrap();
        } else {
            let ask = if pick.is_multiple_of(2) { CacheAsk::Shared(ways) } else { CacheAsk::Exclusive(ways) };
            leases
                .extend(allocator.acquire(domains[pick / 16 % domains.len()], ask).map(|grant| grant.lease));
        }
        disk_is_ledger(&allocator, &root);
    }
    allocator.close().unwrap();
}

/// A process that is there until it is dropped.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().expect("sleep can be started"))
    }

    fn group(&self) -> String {
        group_of(&self.0.id().to_string())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn group_of(process: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{process}/cpu_resctrl_groups")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("res:")).unwrap_or_default();
    line.trim_matches('/').to_owned()
}

#[test]
fn what_a_joined_thread_starts_is_in_the_class_and_can_be_moved() {
    let _one = ONE.lock();
    let Some(root) = root() else { return };
    if group_of("self").is_empty() && !Path::new("/proc/self/cpu_resctrl_groups").exists() {
        println!("skipped: this kernel does not say in which group a task is");
        return;
    }
    let mut allocator = open(&root).unwrap();
    let grant = allocator.acquire(allocator.domains()[0].id, CacheAsk::Shared(Ways::ONE)).unwrap();
    let (membership, class) = (allocator.membership(), grant.class);
    let joined = membership.clone();
    let child = thread::spawn(move || {
        joined.join(class).unwrap();
        Sleeper::start()
    });
    let child = child.join().unwrap();
    assert_eq!(child.group(), allocator.groups()[usize::from(class.0) - 1]);
    assert_eq!(group_of("thread-self"), "", "the others stay where they were");
    let last = ClosId(allocator.groups().len() as u16);
    membership.admit(last, child.0.id()).unwrap();
    assert_eq!(child.group(), allocator.groups()[usize::from(last.0) - 1]);
    let gone = Sleeper::start().0.id();
    let error = membership.admit(last, gone).unwrap_err();
    assert_eq!(error.errno(), Some(libc::ESRCH), "{error}");
    assert!(error.status.contains(&format!("No task {gone}")), "{error}");
    // Left behind, and adopted: what is in the groups goes back to the root.
    drop(allocator);
    let mut again = open(&root).unwrap();
    assert_eq!(child.group(), "");
    again.close().unwrap();
}
