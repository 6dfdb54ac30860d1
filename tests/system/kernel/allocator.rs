//! The allocator on the real kernel: what is on disk is what its ledger says, before and after anything that may happen. Its contract
//! is held by `fsched-core/tests/resctrl.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use fsched_core::allocator::resctrl::{Directory, ResctrlAllocator, ResctrlConfig, Schemata};
use fsched_core::allocator::{CacheAllocator as _, Group, LeaseId};
use fsched_core::cache::{CacheDomain, DomainId, WayMask, Ways};
use fsched_core::id::WorkerKey;
use fsched_core::invocation::CacheAsk;
use fsched_http::machine;

use super::{RESCTRL, class_of};

/// How many operations the disk is compared after.
const STEPS: usize = 400;

const KEY: WorkerKey = WorkerKey([0x5a; 16]);

fn here() -> Vec<CacheDomain> {
    machine::topology(Path::new(machine::SYSFS_CPUS), &machine::allowed_cpus()).domains
}

#[track_caller]
fn open() -> ResctrlAllocator {
    let fs = Arc::new(Directory::kernel(RESCTRL));
    ResctrlAllocator::open(fs, here(), &ResctrlConfig::new(KEY)).expect("masks can be enforced here")
}

#[track_caller]
fn schemata_of(group: &str) -> Schemata {
    let text =
        fs::read_to_string(Path::new(RESCTRL).join(group).join("schemata")).expect("a group has schemata");
    text.parse().expect("the kernel's schemata make sense")
}

/// The mask of a group in a domain; with code and data apart, that of both, which have to be the same.
#[track_caller]
fn mask_of(group: &str, domain: DomainId) -> u32 {
    let schemata = schemata_of(group);
    let masks: Vec<u32> =
        ["L3", "L3CODE", "L3DATA"].iter().filter_map(|line| schemata.get(line, domain)).collect();
    assert!(masks.windows(2).all(|pair| pair[0] == pair[1]), "code and data differ in {group}: {schemata}");
    *masks.first().unwrap_or_else(|| panic!("domain {domain} has no mask in {group}"))
}

/// Groups of ours that there are.
fn groups() -> Vec<String> {
    let entries = fs::read_dir(RESCTRL).expect("resctrl can be listed");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("fsched")).collect()
}

/// What the ledger says is what the kernel has, for each class of each domain.
#[track_caller]
fn disk_is_ledger(allocator: &ResctrlAllocator, when: &str) {
    for domain in allocator.domains() {
        for class in allocator.masks(domain.id) {
            let group = match class.class.0 {
                0 => "",
                number => allocator.groups()[usize::from(number) - 1].as_str(),
            };
            let on_disk = mask_of(group, domain.id);
            assert_eq!(
                on_disk,
                class.mask.bits(),
                "{when}: class {} ({group:?}) of L3 {}",
                class.class,
                domain.id
            );
        }
    }
}

/// A linear congruential generator (Knuth's MMIX), so that every run does the same.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit.max(1)
    }
}

/// A lease, as those know it who only read answers.
#[derive(Debug, Clone, Copy)]
struct Held {
    domain: DomainId,
    ask: CacheAsk,
    mask: WayMask,
}

/// Everybody who shares in a domain, in one group or two, with masks that lie where nobody is exclusive.
fn arrangement(domain: &CacheDomain, held: &BTreeMap<LeaseId, Held>, random: &mut Random) -> Vec<Group> {
    let here = || held.iter().filter(|(_, held)| held.domain == domain.id);
    let is_exclusive = |held: &Held| matches!(held.ask, CacheAsk::Exclusive(_));
    let taken =
        here().filter(|(_, held)| is_exclusive(held)).fold(0, |all, (_, held)| all | held.mask.bits());
    let leases: Vec<LeaseId> =
        here().filter(|(_, held)| !is_exclusive(held)).map(|(lease, _)| *lease).collect();
    let room = domain.geometry.usable().map_or(0, WayMask::bits) & !taken;
    let free = |way: usize| way < 32 && room >> way & 1 == 1;
    let runs = (0..32_usize).map(|first| (first, (first..).take_while(|way| free(*way)).count()));
    let Some((first, ways)) = runs.max_by_key(|(_, ways)| *ways).filter(|(_, ways)| *ways > 0) else {
        return Vec::new();
    };
    let run = |from: usize, ways: usize| {
        let first = first + from;
        WayMask::new((0..ways).fold(0, |mask, way| mask | 1 << (first + way))).expect("not empty")
    };
    match leases.as_slice() {
        [] => Vec::new(),
        [_, _, ..] if ways >= 2 && random.below(3) > 0 => {
            let (some, others) = leases.split_at(1 + random.below(leases.len() - 1));
            let half = ways / 2;
            // The two masks may overlap.
            let wide = half + random.below(2);
            vec![
                Group { mask: run(0, wide), leases: some.to_vec() },
                Group { mask: run(half, ways - half), leases: others.to_vec() },
            ]
        }
        _ => vec![Group { mask: run(0, ways), leases }],
    }
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn masks_on_disk_are_the_ledgers_after_every_operation() {
    let before = schemata_of("");
    let mut allocator = open();
    disk_is_ledger(&allocator, "at the start");
    let domains: Vec<CacheDomain> = allocator.domains().to_vec();
    let made = groups();
    let mut random = Random(20_261_125);
    let mut held: BTreeMap<LeaseId, Held> = BTreeMap::new();
    let (mut given, mut refused, mut arranged) = (0, 0, 0);
    for step in 0..STEPS {
        let machine = &domains[random.below(domains.len())];
        let domain = machine.id;
        let moved = match random.below(10) {
            0..=4 => {
                let ways = Ways::clamped(u8::try_from(1 + random.below(6)).expect("few"));
                let ask =
                    if random.below(3) == 0 { CacheAsk::Exclusive(ways) } else { CacheAsk::Shared(ways) };
                match allocator.acquire(domain, ask) {
                    Ok(grant) => {
                        let group = &allocator.groups()[usize::from(grant.class.0) - 1];
                        assert_eq!(mask_of(group, domain), grant.mask.bits(), "step {step}");
                        held.insert(grant.lease, Held { domain, ask, mask: grant.mask });
                        given += 1;
                        grant.moved
                    }
                    Err(error) => {
                        assert!(matches!(ask, CacheAsk::Exclusive(_)), "step {step}: {error}");
                        refused += 1;
                        Vec::new()
                    }
                }
            }
            5..=8 => match held.keys().nth(random.below(held.len())).copied() {
                Some(lease) => {
                    held.remove(&lease);
                    allocator.release(lease).expect("it is held")
                }
                None => Vec::new(),
            },
            _ => {
                let groups = arrangement(machine, &held, &mut random);
                if groups.is_empty() {
                    continue;
                }
                arranged += 1;
                allocator.arrange(domain, &groups).unwrap_or_else(|error| panic!("step {step}: {error}"))
            }
        };
        for moved in moved {
            let group = &allocator.groups()[usize::from(moved.class.0) - 1];
            let lease = held.get_mut(&moved.lease).expect("only those move that are held");
            assert_eq!(mask_of(group, lease.domain), moved.mask.bits(), "step {step}");
            lease.mask = moved.mask;
        }
        disk_is_ledger(&allocator, &format!("step {step}"));
    }
    assert_eq!(groups(), made, "no group is made or removed on the way");
    for lease in held.into_keys() {
        allocator.release(lease).expect("it is held");
    }
    disk_is_ledger(&allocator, "at the end");
    allocator.close().expect("everything can be given back");
    assert_eq!(groups(), Vec::<String>::new());
    assert_eq!(schemata_of(""), before);
    assert!(
        given > 100 && refused > 5 && arranged > 15,
        "{given} given, {refused} refused, {arranged} arranged"
    );
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn what_a_dead_worker_left_is_adopted_and_emptied() {
    let before = schemata_of("");
    let mut dead = open();
    let domain = dead.domains()[0].id;
    let grant = dead.acquire(domain, CacheAsk::Exclusive(Ways::clamped(2))).expect("ways are free");
    let left = groups();
    let membership = dead.membership();
    let class = grant.class;
    let child = std::thread::spawn(move || {
        membership.join(class).expect("a thread may join a class");
        std::process::Command::new("sleep").arg("60").spawn().expect("sleep can be started")
    });
    let mut child = child.join().expect("the thread ends well");
    assert_eq!(class_of(&child.id().to_string()), dead.groups()[usize::from(class.0) - 1]);
    drop(dead);
    let mut heir = open();
    assert_eq!(groups(), left, "no group is made anew");
    assert_eq!(class_of(&child.id().to_string()), "", "what was in them is in the root group");
    disk_is_ledger(&heir, "after the adoption");
    heir.close().expect("everything can be given back");
    assert_eq!(groups(), Vec::<String>::new());
    assert_eq!(schemata_of(""), before);
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn nobody_is_limited_in_bandwidth_whatever_it_is_counted_in() {
    let before: BTreeMap<DomainId, Option<u32>> =
        here().iter().map(|domain| (domain.id, schemata_of("").get("MB", domain.id))).collect();
    for _ in ["made", "adopted"] {
        let mut allocator = open();
        let domains: Vec<DomainId> = allocator.domains().iter().map(|domain| domain.id).collect();
        for &domain in &domains {
            allocator
                .acquire(domain, CacheAsk::Exclusive(Ways::new(2).expect("two")))
                .expect("two ways are free");
            for group in allocator.groups().iter().map(String::as_str).chain([""]) {
                assert_eq!(schemata_of(group).get("MB", domain), before[&domain], "{group:?}");
            }
        }
    }
    open().close().expect("groups can be given back");
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn groups_of_others_are_never_touched() {
    let foreign = Path::new(RESCTRL).join("COS1");
    fs::create_dir(&foreign).expect("a class is free");
    let domain = here()[0].id;
    let mut allowed = open();
    let all = allowed.groups().len();
    allowed.close().expect("everything can be given back");
    let lines: &[&str] =
        if schemata_of("").get("L3", domain).is_some() { &["L3"] } else { &["L3DATA", "L3CODE"] };
    let set = |mask: &str| {
        let text: String = lines.iter().map(|line| format!("{line}:{domain}={mask}\n")).collect();
        fs::write(foreign.join("schemata"), text).expect("a mask");
    };
    set("3");
    let theirs = schemata_of("COS1");
    let mut allocator = open();
    assert_eq!(allocator.foreign().groups, ["COS1"]);
    assert_eq!(allocator.groups().len(), all);
    for ways in 1..=4 {
        let grant = allocator.acquire(domain, CacheAsk::Shared(Ways::clamped(ways))).expect("never refused");
        assert_eq!(grant.mask.bits() & 3, 0, "ways that others keep for themselves are left alone");
    }
    assert_eq!(schemata_of("COS1"), theirs);
    allocator.acquire(domain, CacheAsk::Exclusive(Ways::clamped(2))).expect("ways are free");
    allocator.check();
    assert_eq!(allocator.intruders(), Vec::<String>::new());
    let mask =
        fs::read_to_string(format!("{RESCTRL}/info/{}/cbm_mask", lines[0])).expect("there is such a file");
    set(mask.trim());
    let theirs = schemata_of("COS1");
    allocator.check();
    assert_eq!(allocator.intruders(), ["COS1"], "it can fill what somebody has exclusively");
    allocator.close().expect("everything can be given back");
    assert_eq!(schemata_of("COS1"), theirs);
    fs::remove_dir(&foreign).expect("it is ours, here");
}
