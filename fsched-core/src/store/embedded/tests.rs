//! What only a store on disk can go through: restarts, kills, damage, full disks.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;

use super::super::conformance::{self, accepted, added_up, ended, function, records, sample, story};
use super::*;

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(dir: &Path) -> EmbeddedStore {
    EmbeddedStore::open(dir).unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn load(store: &EmbeddedStore) -> Snapshot {
    wait(store.load()).unwrap()
}

/// Copies the files of a store, as a `kill -9` right now would leave them.
fn copy(from: &Path) -> TempDir {
    let to = directory();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

/// A closed store's files, and with them a log that the database does not have yet.
fn killed(in_database: &[Record], in_log: &[Record]) -> TempDir {
    let dir = directory();
    let store = open(dir.path());
    for fact in in_database {
        store.append(fact.clone()).unwrap();
    }
    drop(store);
    let numbered = (in_database.len() as u64 + 1..).zip(in_log);
    let mut log = frame::mark(in_database.len() as u64 + 1).to_vec();
    for (sequence, fact) in numbered {
        let mut frame = vec![0; frame::HEADER];
        serde_json::to_writer(&mut frame, fact).unwrap();
        frame::seal(&mut frame, sequence);
        log.extend(frame);
    }
    let [used, other] = log::paths(dir.path());
    fs::write(used, log).unwrap();
    fs::write(other, []).unwrap();
    dir
}

#[tokio::test]
async fn the_embedded_store_keeps_the_contract() {
    conformance::check(|| {
        let dir = directory();
        move || open(dir.path())
    })
    .await;
}

#[test]
fn a_store_is_open_only_once() {
    let dir = directory();
    let store = open(dir.path());
    assert!(matches!(EmbeddedStore::open(dir.path()), Err(StoreError::InUse { .. })));
    drop(store);
    open(dir.path());
}

#[test]
fn another_version_is_refused_and_left_alone() {
    let dir = killed(&story(), &[]);
    set_version(dir.path(), 7);
    for _ in 0..2 {
        let error = EmbeddedStore::open(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Version { found: 7, expected: 3, .. }), "{error}");
    }
}

/// Before samples said where they come from, all came from runs, and before there were tenants, all was the default one's; and a
/// program of that time must not open what one of today has opened, because it would take profiles for runs, and forget whose
/// an invocation is.
#[test]
fn the_versions_before_are_read_and_become_the_newest() {
    for version in [1, 2] {
        // Those with even numbers are the default tenant's.
        let facts = [function(2), sample(2, 2), accepted(2), ended(2), accepted(4)];
        let dir = killed(&facts[..3], &facts[3..]);
        for fact in &facts {
            let text = serde_json::to_string(fact).unwrap();
            assert!(
                !text.contains("origin") && !text.contains("tenant"),
                "{text} is not written as it was then"
            );
        }
        set_version(dir.path(), version);
        let snapshot = load(&open(dir.path()));
        assert_eq!(snapshot, added_up(facts.clone()));
        assert!(snapshot.invocations.values().all(|invocation| invocation.tenant.is_default()));
        assert!(snapshot.functions.values().all(|function| function.spec.tenant.is_default()));
        assert_eq!(set_version(dir.path(), 3), Some(3), "version {version}");
        assert_eq!(load(&open(dir.path())), added_up(facts));
    }
}

/// Writes a version number, and says which was there.
fn set_version(dir: &Path, version: u128) -> Option<u128> {
    let db = redb::Database::open(dir.join("store.redb")).unwrap();
    let transaction = db.begin_write().unwrap();
    let meta: redb::TableDefinition<'_, &str, u128> = redb::TableDefinition::new("meta");
    let before = {
        let mut table = transaction.open_table(meta).unwrap();
        table.insert("version", version).unwrap().map(|found| found.value())
    };
    transaction.commit().unwrap();
    before
}

#[test]
fn facts_that_were_never_committed_are_found_in_the_log() {
    let dir = killed(&story()[..4], &story()[4..]);
    let store = open(dir.path());
    assert_eq!(load(&store), added_up(story()));
    drop(store);
    assert_eq!(load(&open(dir.path())), added_up(story()), "once");
}

#[test]
fn what_was_flushed_is_in_the_database_and_needs_no_log() {
    let dir = directory();
    let store = open(dir.path());
    story().into_iter().for_each(|fact| store.append(fact).unwrap());
    wait(store.flush()).unwrap();
    let copy = copy(dir.path());
    for path in log::paths(copy.path()) {
        fs::remove_file(path).unwrap();
    }
    assert_eq!(load(&open(copy.path())), added_up(story()));
}

#[test]
fn facts_get_into_the_database_without_anyone_waiting_for_it() {
    let dir = directory();
    let store = open(dir.path());
    story().into_iter().for_each(|fact| store.append(fact).unwrap());
    let log = || -> u64 { log::paths(dir.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum() };
    let emptied = (0..2_000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        log() <= frame::HEADER as u64
    });
    assert!(emptied, "the log still holds {} bytes", log());
    let copy = copy(dir.path());
    assert_eq!(load(&open(copy.path())), added_up(story()));
}

#[test]
fn a_lost_database_is_not_taken_for_a_new_store() {
    let dir = killed(&story(), &story());
    fs::remove_file(dir.path().join("store.redb")).unwrap();
    assert!(matches!(EmbeddedStore::open(dir.path()), Err(StoreError::Damaged { .. })));
}

#[test]
fn an_older_database_is_noticed() {
    let dir = killed(&story(), &[]);
    let old = fs::read(dir.path().join("store.redb")).unwrap();
    let store = open(dir.path());
    store.append(accepted(50)).unwrap();
    wait(store.flush()).unwrap();
    drop(store);
    fs::write(dir.path().join("store.redb"), old).unwrap();
    assert!(matches!(EmbeddedStore::open(dir.path()), Err(StoreError::Damaged { .. })));
}

#[test]
fn after_a_power_cut_the_log_counts_up_to_its_first_unreadable_fact() {
    let dir = killed(&story()[..4], &story()[4..]);
    let [path, _] = log::paths(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    let third = frame::Segment::read(&bytes).frames[3].payload.clone();
    bytes[third].fill(0);
    fs::write(&path, &bytes).unwrap();

    let here = EmbeddedStore::open_after(dir.path(), boot());
    assert!(
        matches!(here, Err(StoreError::Damaged { .. })),
        "nobody but the disk may lose the middle of the log"
    );

    let store = EmbeddedStore::open_after(dir.path(), Some(1)).unwrap();
    let found = load(&store);
    assert_eq!(found, added_up(story().into_iter().take(4 + 2)), "the first two facts of the log");
    store.append(function(40)).unwrap();
    drop(store);
    let again = EmbeddedStore::open_after(dir.path(), Some(1)).unwrap();
    assert!(load(&again).functions.len() > found.functions.len(), "it goes on from there");
}

#[test]
fn files_do_not_grow_without_bound() {
    let dir = directory();
    let store = open(dir.path());
    store.append(function(1)).unwrap();
    let size =
        || -> u64 { fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum() };
    let write = |n: u64| {
        (0..n).for_each(|n| store.append(sample(1, n)).unwrap());
        wait(store.flush()).unwrap();
        size()
    };
    let once = write(10_000);
    let mut most = 0;
    for _ in 0..8 {
        most = most.max(write(10_000));
    }
    assert!(most < 3 * once, "{once} bytes after 10,000 samples, {most} after 90,000");
    assert_eq!(load(&store).samples.len(), Snapshot::SAMPLES_PER_FUNCTION);
}

/// Not a test by itself: what [`a_kill_loses_nothing_that_was_appended`] kills.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Some(dir) = std::env::var_os("FSCHED_TEST_STORE") else { return };
    let store = open(Path::new(&dir));
    for n in load(&store).next_invocation.. {
        store.append(accepted(n)).unwrap();
        println!("\nappended {n}");
        if n % 1_000 == 0 {
            wait(store.flush()).unwrap();
        }
    }
}

#[test]
fn a_kill_loses_nothing_that_was_appended() {
    let dir = directory();
    for lines in [1, 40, 900, 2_500, 7_000, 13] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::embedded::tests::child_that_appends_until_it_is_killed", "--nocapture"])
            .env("FSCHED_TEST_STORE", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = None;
        let numbers =
            output.map_while(Result::ok).filter_map(|line| line.strip_prefix("appended ")?.parse().ok());
        for (count, number) in numbers.enumerate() {
            last = Some::<u64>(number);
            if count + 1 == lines {
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success());
        let found = load(&open(dir.path()));
        assert!(
            Some(found.next_invocation) > last,
            "fact {last:?} was appended, {} is next",
            found.next_invocation
        );
        assert!(
            (0..found.next_invocation).eq(found.invocations.keys().map(|id| id.0)),
            "in order, without a gap"
        );
    }
}

#[test]
fn a_full_disk_is_an_error_and_then_it_goes_on() {
    let dir = directory();
    let mount = |command: &str, args: &[&str]| {
        Command::new(command)
            .args(args)
            .arg(dir.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    if !mount("mount", &["-t", "tmpfs", "-o", "size=1m", "fsched-test"]) {
        eprintln!("skipped: no right to mount a small filesystem");
        return;
    }
    let result = std::panic::catch_unwind(|| fill_the_disk(dir.path()));
    assert!(mount("umount", &[]));
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn fill_the_disk(dir: &Path) {
    let data = dir.join("data");
    let ballast = dir.join("ballast");
    let store = open(&data);
    let mut kept = Vec::new();
    let append = |kept: &mut Vec<Record>, n: u64| {
        let fact = accepted(n);
        store.append(fact.clone()).map(|()| kept.push(fact))
    };
    for round in 1..4_u64 {
        // The database may have free pages inside: until they are used up, a flush makes room again.
        let mut tries = 0..100;
        let error = loop {
            tries.next().expect("the disk fills up in the end");
            // Someone else takes all but the room for a few hundred facts.
            let mut other = fs::File::options().append(true).create(true).open(&ballast).unwrap();
            while std::io::Write::write_all(&mut other, &[1; 4096]).is_ok() {}
            other.set_len(other.metadata().unwrap().len() - round * 16_384).unwrap();

            let first = kept.len() as u64;
            let error = (first..first + 10_000).find_map(|n| append(&mut kept, n).err());
            let error = error.expect("10,000 facts do not fit");
            assert!(matches!(error, StoreError::Full { .. }), "{error}");
            if let Err(error) = wait(store.flush()) {
                break error;
            }
        };
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        assert!(matches!(wait(store.load()), Err(StoreError::Full { .. })));

        fs::remove_file(&ballast).unwrap();
        let n = kept.len() as u64;
        append(&mut kept, n).unwrap();
        wait(store.flush()).unwrap();
        assert!(load(&store) == added_up(kept.iter().cloned()), "round {round}");
    }
    drop(store);
    assert!(load(&open(&data)) == added_up(kept));
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Record>),
    Flush,
    Reopen,
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => records(1..20).prop_map(Step::Append),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ];
    proptest::collection::vec(step, 1..12)
}

/// What is done to a file.
#[derive(Debug, Clone)]
enum Harm {
    Flip(Index, u8),
    Fill(Index, u8, u8),
    Cut(Index),
    Add(Vec<u8>),
}

impl Harm {
    fn strike(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Flip(at, bit) => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << (bit % 8);
            }
            Self::Fill(at, length, value) => {
                let at = at.index(bytes.len());
                let end = bytes.len().min(at + usize::from(*length));
                bytes[at..end].fill(*value);
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Add(more) => bytes.extend(more),
        }
    }
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, bit)| Harm::Flip(at, bit)),
        2 => (any::<Index>(), any::<u8>(), any::<u8>()).prop_map(|(at, len, value)| Harm::Fill(at, len, value)),
        1 => any::<Index>().prop_map(Harm::Cut),
        1 => any::<Vec<u8>>().prop_map(Harm::Add),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_loaded_is_what_was_appended(steps in steps()) {
        let mut dir = directory();
        let mut store = Some(open(dir.path()));
        let mut kept = Vec::new();
        for step in steps {
            let current = store.as_ref().expect("it is opened again at once");
            match step {
                Step::Append(facts) => for fact in facts {
                    current.append(fact.clone()).unwrap();
                    kept.push(fact);
                },
                Step::Flush => wait(current.flush()).unwrap(),
                Step::Reopen => {
                    drop(store.take());
                    store = Some(open(dir.path()));
                }
                Step::Kill => {
                    // Nothing moves while the last batch is in: these are the files that a kill leaves.
                    wait(current.flush()).unwrap();
                    let copy = copy(dir.path());
                    drop(store.take());
                    store = Some(open(copy.path()));
                    dir = copy;
                }
            }
            if let Some(store) = &store {
                prop_assert_eq!(load(store), added_up(kept.iter().cloned()));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_harmed_log_is_an_error_or_costs_its_end(
        harm in harm(),
        facts in records(2..20),
        first in any::<Index>(),
        other_boot in any::<bool>(),
    ) {
        let first = first.index(facts.len());
        let dir = killed(&facts[..first], &facts[first..]);
        let [path, _] = log::paths(dir.path());
        let mut bytes = fs::read(&path).unwrap();
        harm.strike(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let boot = if other_boot { Some(1) } else { boot() };
        match EmbeddedStore::open_after(dir.path(), boot) {
            Ok(store) => {
                let found = load(&store);
                let prefix = (first..=facts.len()).any(|n| added_up(facts[..n].iter().cloned()) == found);
                prop_assert!(prefix, "{found:?}");
            }
            Err(error) => {
                prop_assert!(!other_boot, "a power cut may do this: {error}");
                prop_assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
            }
        }
    }

    #[test]
    fn a_harmed_database_is_an_error_or_whole(harm in harm(), facts in records(2..20)) {
        let dir = killed(&facts, &[]);
        let path = dir.path().join("store.redb");
        let mut bytes = fs::read(&path).unwrap();
        harm.strike(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        if let Ok(store) = EmbeddedStore::open(dir.path()) {
            prop_assert_eq!(load(&store), added_up(facts));
        }
    }
}
