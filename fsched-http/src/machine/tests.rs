use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A directory like the kernel's, made of what tests say of each CPU.
struct Sysfs(TempDir);

impl Sysfs {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn cpu(self, cpu: u16, files: &[(&str, &str)]) -> Self {
        let index = self.0.path().join(format!("cpu{cpu}/cache/index3"));
        fs::create_dir_all(&index).unwrap();
        for (name, text) in [("level", "3")].iter().chain(files) {
            fs::write(index.join(name), format!("{text}\n")).unwrap();
        }
        let first = self.0.path().join(format!("cpu{cpu}/cache/index0"));
        fs::create_dir_all(&first).unwrap();
        fs::write(first.join("level"), "1\n").unwrap();
        fs::write(first.join("shared_cpu_list"), format!("{cpu}\n")).unwrap();
        self
    }

    fn topology(&self) -> Topology {
        topology(self.0.path(), &(0..512).map(CpuId).collect())
    }
}

fn cpus(list: &str) -> Vec<CpuId> {
    parse_cpu_list(list).unwrap().into_iter().collect()
}

#[test]
fn one_cache_that_all_share_is_one_domain() {
    let files =
        [("id", "0"), ("size", "32768K"), ("ways_of_associativity", "16"), ("shared_cpu_list", "0-1")];
    let found = Sysfs::new().cpu(0, &files).cpu(1, &files).topology();
    assert_eq!(found.notes, Vec::<String>::new());
    let [domain] = found.domains.as_slice() else { panic!("{found:?}") };
    assert_eq!(domain.id, DomainId(0));
    assert_eq!(domain.cpus, cpus("0-1"));
    assert_eq!(domain.geometry.size, Bytes::mib(32));
    assert_eq!(domain.geometry.ways.get(), 16);
    assert_eq!(domain.geometry.validate(), Ok(()));
}

#[test]
fn each_core_complex_is_a_domain_and_ids_may_have_gaps() {
    let mut sysfs = Sysfs::new();
    for (id, shared) in [("0", "0-2,9-11"), ("4", "3-5,12-14"), ("1", "6-8,15-17")] {
        let files =
            [("id", id), ("size", "16M"), ("ways_of_associativity", "16"), ("shared_cpu_list", shared)];
        for cpu in cpus(shared) {
            sysfs = sysfs.cpu(cpu.0, &files);
        }
    }
    let found = sysfs.topology();
    let seen: Vec<_> = found.domains.iter().map(|d| (d.id.0, d.cpus.clone())).collect();
    assert_eq!(seen, [(0, cpus("0-2,9-11")), (1, cpus("6-8,15-17")), (4, cpus("3-5,12-14"))]);
    assert!(found.notes.is_empty());
}

#[test]
fn caches_without_numbers_are_numbered_by_their_first_cpu() {
    let a = [("size", "8192K"), ("ways_of_associativity", "8"), ("shared_cpu_list", "0,2")];
    let b = [("size", "8192K"), ("ways_of_associativity", "8"), ("shared_cpu_list", "1,3")];
    let found = Sysfs::new().cpu(0, &a).cpu(1, &b).cpu(2, &a).cpu(3, &b).topology();
    let seen: Vec<_> = found.domains.iter().map(|d| (d.id.0, d.cpus.clone())).collect();
    assert_eq!(seen, [(0, cpus("0,2")), (1, cpus("1,3"))]);
    assert_eq!(found.notes.len(), 1);
}

#[test]
fn two_caches_of_one_number_are_numbered_anew() {
    let a = [("id", "7"), ("size", "8192K"), ("ways_of_associativity", "8"), ("shared_cpu_list", "0")];
    let b = [("id", "7"), ("size", "8192K"), ("ways_of_associativity", "8"), ("shared_cpu_list", "1")];
    let found = Sysfs::new().cpu(0, &a).cpu(1, &b).topology();
    assert_eq!(found.domains.iter().map(|d| d.id.0).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn without_an_l3_all_cpus_are_one_domain_of_nominal_size() {
    let sysfs = Sysfs::new();
    fs::create_dir_all(sysfs.0.path().join("cpu0")).unwrap();
    fs::create_dir_all(sysfs.0.path().join("cpu1")).unwrap();
    fs::create_dir_all(sysfs.0.path().join("cpufreq")).unwrap();
    let found = sysfs.topology();
    let [domain] = found.domains.as_slice() else { panic!("{found:?}") };
    assert_eq!(domain.cpus, cpus("0-1"));
    assert_eq!(domain.geometry.way_size(), NOMINAL_WAY_SIZE);
    assert_eq!(found.notes.len(), 1);
}

#[test]
fn with_nothing_to_be_seen_the_allowed_cpus_are_one_domain() {
    let found = topology(Path::new("/nonexistent"), &parse_cpu_list("4-5").unwrap());
    assert_eq!(found.domains[0].cpus, cpus("4-5"));
}

#[test]
fn more_ways_than_a_mask_can_name_are_taken_together() {
    for (hardware, ways) in [(33, 16), (48, 24), (64, 32), (100, 25)] {
        let hardware_text = hardware.to_string();
        let files = [
            ("id", "0"),
            ("size", "65536K"),
            ("ways_of_associativity", &*hardware_text),
            ("shared_cpu_list", "0"),
        ];
        let found = Sysfs::new().cpu(0, &files).topology();
        assert_eq!(found.domains[0].geometry.ways.get(), ways, "{hardware}");
        assert_eq!(found.domains[0].geometry.size, Bytes::mib(64));
        assert_eq!(found.notes.len(), 1);
    }
}

#[test]
fn what_the_kernel_does_not_say_is_assumed_and_noted() {
    for (ways, size) in [("0", "0K"), ("x", "huge"), ("99999999999", "99999999999999999999K")] {
        let files = [("id", "0"), ("size", size), ("ways_of_associativity", ways), ("shared_cpu_list", "?")];
        let found = Sysfs::new().cpu(0, &files).topology();
        assert_eq!(found.domains[0].cpus, cpus("0"));
        assert_eq!(found.domains[0].geometry.ways.get(), NOMINAL_WAYS);
        assert_eq!(found.domains[0].geometry.way_size(), NOMINAL_WAY_SIZE);
        assert_eq!(found.notes.len(), 2, "{:?}", found.notes);
    }
}

#[test]
fn cpus_that_are_off_or_not_allowed_are_left_out() {
    let files = [("id", "0"), ("size", "8M"), ("ways_of_associativity", "8"), ("shared_cpu_list", "0-3")];
    let sysfs = Sysfs::new().cpu(0, &files).cpu(1, &files).cpu(2, &files).cpu(3, &files);
    fs::write(sysfs.0.path().join("online"), "0-2\n").unwrap();
    let found = topology(sysfs.0.path(), &parse_cpu_list("1-3").unwrap());
    // The kernel leaves CPUs that are off out of `shared_cpu_list` itself.
    assert_eq!(found.domains[0].cpus, cpus("1-3"));
    assert_eq!(found.domains.len(), 1);
}

#[test]
fn this_machine_has_a_domain_for_every_cpu_we_may_use() {
    let found = topology(Path::new(SYSFS_CPUS), &allowed_cpus());
    assert!(!found.domains.is_empty());
    for domain in &found.domains {
        assert!(!domain.cpus.is_empty());
        assert_eq!(domain.geometry.validate(), Ok(()));
    }
}

#[test]
fn memory_is_more_than_nothing() {
    let memory = memory();
    assert!(memory.total_ram > Bytes::mib(1));
    assert!(memory.free_ram <= memory.total_ram);
}

#[test]
fn a_key_is_made_once_and_kept() {
    let dir = TempDir::new().unwrap();
    let key = worker_key(dir.path()).unwrap();
    assert_eq!(worker_key(dir.path()).unwrap(), key);
    let mode = fs::metadata(dir.path().join("key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let other = TempDir::new().unwrap();
    assert_ne!(worker_key(other.path()).unwrap(), key);
}

#[test]
fn many_who_start_at_once_get_one_key() {
    let dir = TempDir::new().unwrap();
    let keys: BTreeSet<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| worker_key(dir.path()).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(keys.len(), 1);
}

#[test]
fn a_damaged_key_is_said_and_left_alone() {
    let dir = TempDir::new().unwrap();
    for text in ["", "xyz", "0123456789abcdef0123456789ABCDEF", "0123456789abcdef0123456789abcdef\n\n"] {
        fs::write(dir.path().join("key"), text).unwrap();
        assert!(matches!(worker_key(dir.path()), Err(KeyError::Damaged { .. })), "{text:?}");
        assert_eq!(fs::read_to_string(dir.path().join("key")).unwrap(), text);
    }
    assert!(matches!(worker_key(Path::new("/nonexistent")), Err(KeyError::Io { .. })));
}

proptest! {
    #[test]
    fn a_cpu_list_survives_its_text(list in proptest::collection::btree_set(any::<u16>().prop_map(CpuId), 0..40)) {
        prop_assert_eq!(parse_cpu_list(&write_cpu_list(&list)), Some(list));
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in ".*") {
        let _ = parse_cpu_list(&text);
        let _ = parse_size(&text);
    }

    #[test]
    fn any_cache_becomes_a_legal_domain(ways in "[0-9]{0,6}", size in "[0-9]{0,21}[KMG]?", id in "-?[0-9]{0,6}", shared in "[0-9,-]{0,9}") {
        let files = [("id", &*id), ("size", &*size), ("ways_of_associativity", &*ways), ("shared_cpu_list", &*shared)];
        let found = Sysfs::new().cpu(0, &files).topology();
        prop_assert_eq!(found.domains.len(), 1);
        prop_assert_eq!(found.domains[0].geometry.validate(), Ok(()));
        prop_assert!(found.domains[0].cpus.contains(&CpuId(0)));
    }
}
