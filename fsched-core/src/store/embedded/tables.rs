//! The facts in redb: what they add up to, kept up to date batch by batch.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{
    Builder, Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Record, Snapshot, StoreError, error};
use crate::id::{FunctionId, InvocationId, WorkerId};
use crate::sample::{Kind, Sample};
use crate::store::InvocationRecord;

/// The version of what is written here and in the log.
///
/// | version | what is new |
/// | --- | --- |
/// | 1 | |
/// | 2 | samples say where they come from; without a word they come from a run |
/// | 3 | invocations say on whose behalf they run; without a word that is the default tenant |
const VERSION: u32 = 3;
/// The oldest version that is read; it becomes the newest when it is opened.
const OLDEST_VERSION: u32 = 1;
/// redb's page cache; what is read more than once are the inner pages of small trees.
const CACHE: usize = 8 << 20;

/// Numbers by name, see the constants below.
const META: TableDefinition<'_, &str, u128> = TableDefinition::new("meta");
/// JSON by id, as all that follow.
const FUNCTIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("functions");
const WORKERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("workers");
const INVOCATIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("invocations");
/// By function and sequence number of the fact.
const SAMPLES: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("samples");

const META_VERSION: &str = "version";
const META_APPLIED: &str = "applied";
const META_BOOT: &str = "boot";
const META_NEXT_FUNCTION: &str = "next_function";
const META_NEXT_WORKER: &str = "next_worker";
const META_NEXT_INVOCATION: &str = "next_invocation";

/// An open database and what is needed to forget the right things in time.
#[derive(Debug)]
pub(super) struct Tables {
    path: PathBuf,
    db: Database,
    index: Index,
}

/// What is in the tables, without the content.
#[derive(Debug, Default, PartialEq)]
struct Index {
    functions: BTreeSet<u64>,
    /// Sequence numbers by function and kind, oldest first.
    samples: BTreeMap<u64, BTreeMap<Kind, VecDeque<u64>>>,
    ended: BTreeSet<u64>,
    version: u32,
    applied: u64,
    boot: u128,
    next_function: u64,
    next_worker: u64,
    next_invocation: u64,
}

impl Index {
    /// The sequence numbers that a sample's counts among.
    fn kept(&mut self, sample: &Sample) -> &mut VecDeque<u64> {
        self.samples.entry(sample.function.0).or_default().entry(sample.kind()).or_default()
    }
}

impl Tables {
    /// Makes an empty database at `path`, whole or not at all.
    pub(super) fn create(path: &Path) -> Result<(), StoreError> {
        let fresh = path.with_extension("new");
        let fail = |e: &std::io::Error| error::of_io(&fresh, e);
        match std::fs::remove_file(&fresh) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fail(&e)),
            _ => {}
        }
        let redb = |e: redb::Error| error::of_redb(&fresh, e);
        let db = Database::create(&fresh).map_err(|e| redb(e.into()))?;
        let result = initialise(&db).map_err(redb);
        db.close().map_err(|e| redb(e.into()))?;
        result?;
        std::fs::rename(&fresh, path).map_err(|e| fail(&e))
    }

    /// Opens the database at `path` and checks all of it.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        // redb says that it reports what it finds damaged; a panic of it on strange bytes must not be ours.
        catch_unwind(AssertUnwindSafe(|| {
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
            let db = builder.open(path).map_err(|e| error::of_redb(path, e))?;
            let (_, index) = read(path, &db)?;
            Ok(Self { path: path.to_owned(), db, index })
        }))
        .unwrap_or_else(|_| Err(error::damaged(path, "redb cannot read it")))
    }

    /// The sequence number of the last fact in here.
    pub(super) fn applied(&self) -> u64 {
        self.index.applied
    }

    /// Since which start of the machine this has been written; none: never yet.
    pub(super) fn boot(&self) -> Option<u128> {
        (self.index.boot != 0).then_some(self.index.boot)
    }

    /// Whether this was written by an older version: to be committed before anything else is written, so that the older
    /// version refuses what it would misunderstand.
    pub(super) fn is_old(&self) -> bool {
        self.index.version < VERSION
    }

    /// What all facts in here add up to.
    pub(super) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        read(&self.path, &self.db).map(|(snapshot, _)| snapshot)
    }

    /// Remembers, with the next commit, that the machine has been started anew.
    pub(super) fn set_boot(&mut self, boot: Option<u128>) {
        self.index.boot = boot.unwrap_or(0);
    }

    /// Takes in facts, with their sequence numbers, and returns when they survive the death of the machine.
    ///
    /// After an error this must not be used any more, but opened anew: redb refuses to go on, and nobody knows
    /// whether the facts are in.
    pub(super) fn commit(&mut self, facts: &[(u64, Record)]) -> Result<(), StoreError> {
        let Self { path, db, index } = self;
        let transaction = db.begin_write().map_err(|e| error::of_redb(path, e))?;
        apply(path, &transaction, index, facts)?;
        finish(transaction, index).map_err(|e| error::of_redb(path, e))?;
        index.version = VERSION;
        Ok(())
    }

    /// Closes the file, as far as that goes.
    pub(super) fn close(self) {
        if let Err(e) = self.db.close() {
            tracing::warn!(path = %self.path.display(), error = %e, "the store was not closed cleanly");
        }
    }
}

/// Takes the facts into the tables and the index.
fn apply(
    path: &Path,
    transaction: &redb::WriteTransaction,
    index: &mut Index,
    facts: &[(u64, Record)],
) -> Result<(), StoreError> {
    let redb = |e: redb::StorageError| error::of_redb(path, e);
    let table = |e: redb::TableError| error::of_redb(path, e);
    let mut functions = transaction.open_table(FUNCTIONS).map_err(table)?;
    let mut workers = transaction.open_table(WORKERS).map_err(table)?;
    let mut samples = transaction.open_table(SAMPLES).map_err(table)?;
    let mut invocations = transaction.open_table(INVOCATIONS).map_err(table)?;

    // A batch whose commit failed may be in all the same.
    let before = index.applied;
    for (sequence, fact) in facts.iter().filter(|(sequence, _)| *sequence > before) {
        match fact {
            Record::FunctionPut(function) => {
                let id = function.id.0;
                functions.insert(id, encode(path, function)?.as_slice()).map_err(redb)?;
                index.functions.insert(id);
                index.next_function = index.next_function.max(id.saturating_add(1));
            }
            Record::FunctionRemoved(FunctionId(id)) => {
                functions.remove(id).map_err(redb)?;
                index.functions.remove(id);
                for sequence in index.samples.remove(id).unwrap_or_default().into_values().flatten() {
                    samples.remove((*id, sequence)).map_err(redb)?;
                }
            }
            Record::WorkerPut(worker) => {
                let id = worker.id.0;
                workers.insert(id, encode(path, worker)?.as_slice()).map_err(redb)?;
                index.next_worker = index.next_worker.max(id.saturating_add(1));
            }
            Record::WorkerRemoved(WorkerId(id)) => {
                workers.remove(id).map_err(redb)?;
            }
            Record::Sampled(sample) => {
                let function = sample.function.0;
                if index.functions.contains(&function) {
                    samples.insert((function, *sequence), encode(path, sample)?.as_slice()).map_err(redb)?;
                    let kept = index.kept(sample);
                    kept.push_back(*sequence);
                    if kept.len() > Snapshot::SAMPLES_PER_FUNCTION
                        && let Some(oldest) = kept.pop_front()
                    {
                        samples.remove((function, oldest)).map_err(redb)?;
                    }
                }
            }
            Record::Accepted(invocation) => {
                let id = invocation.id.0;
                invocations.insert(id, encode(path, invocation)?.as_slice()).map_err(redb)?;
                index.next_invocation = index.next_invocation.max(id.saturating_add(1));
                index.ended.remove(&id);
                if invocation.end.is_some() {
                    index.ended.insert(id);
                }
            }
            Record::Ended { id: InvocationId(id), end, at } => {
                let known = invocations.get(id).map_err(redb)?.map(|json| decode(path, json.value()));
                if let Some(mut invocation) =
                    known.transpose()?.filter(|i: &InvocationRecord| i.end.is_none())
                {
                    invocation.end = Some((*end, *at));
                    invocations.insert(id, encode(path, &invocation)?.as_slice()).map_err(redb)?;
                    index.ended.insert(*id);
                }
            }
        }
        if index.ended.len() > Snapshot::INVOCATIONS
            && let Some(oldest) = index.ended.pop_first()
        {
            invocations.remove(oldest).map_err(redb)?;
        }
        index.applied = *sequence;
    }
    Ok(())
}

/// Writes empty tables.
fn initialise(db: &Database) -> Result<(), redb::Error> {
    let transaction = db.begin_write()?;
    transaction.open_table(FUNCTIONS)?;
    transaction.open_table(WORKERS)?;
    transaction.open_table(SAMPLES)?;
    transaction.open_table(INVOCATIONS)?;
    finish(transaction, &Index::default())
}

/// Writes the numbers and waits for the disk.
fn finish(mut transaction: redb::WriteTransaction, index: &Index) -> Result<(), redb::Error> {
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(META_VERSION, u128::from(VERSION))?;
        meta.insert(META_APPLIED, u128::from(index.applied))?;
        meta.insert(META_BOOT, index.boot)?;
        meta.insert(META_NEXT_FUNCTION, u128::from(index.next_function))?;
        meta.insert(META_NEXT_WORKER, u128::from(index.next_worker))?;
        meta.insert(META_NEXT_INVOCATION, u128::from(index.next_invocation))?;
    }
    transaction.commit()?;
    Ok(())
}

/// Reads everything, and checks that it makes sense.
fn read(path: &Path, db: &Database) -> Result<(Snapshot, Index), StoreError> {
    let transaction = db.begin_read().map_err(|e| error::of_redb(path, e))?;
    let mut index = read_meta(path, &transaction)?;
    let mut snapshot = Snapshot {
        functions: read_table(path, &transaction, FUNCTIONS, FunctionId, |f: &crate::function::Function| {
            f.id
        })?,
        workers: read_table(path, &transaction, WORKERS, WorkerId, |w: &crate::store::WorkerRecord| w.id)?,
        invocations: read_table(path, &transaction, INVOCATIONS, InvocationId, |i: &InvocationRecord| i.id)?,
        next_function: index.next_function,
        next_worker: index.next_worker,
        next_invocation: index.next_invocation,
        ..Snapshot::default()
    };
    let beyond = |last: Option<u64>, next: u64| last.is_some_and(|last| last != u64::MAX && last >= next);
    if beyond(snapshot.functions.keys().next_back().map(|id| id.0), index.next_function)
        || beyond(snapshot.workers.keys().next_back().map(|id| id.0), index.next_worker)
        || beyond(snapshot.invocations.keys().next_back().map(|id| id.0), index.next_invocation)
    {
        return Err(error::damaged(path, "there are ids beyond the highest ever given"));
    }
    index.functions = snapshot.functions.keys().map(|id| id.0).collect();
    index.ended = snapshot.invocations.values().filter(|i| i.end.is_some()).map(|i| i.id.0).collect();

    let table = transaction.open_table(SAMPLES).map_err(|e| error::of_redb(path, e))?;
    let mut samples = Vec::new();
    for entry in table.iter().map_err(|e| error::of_redb(path, e))? {
        let (key, json) = entry.map_err(|e| error::of_redb(path, e))?;
        let (function, sequence) = key.value();
        let sample: Sample = decode(path, json.value())?;
        if sample.function.0 != function || !index.functions.contains(&function) || sequence > index.applied {
            return Err(error::damaged(path, format!("sample {sequence} belongs to nothing")));
        }
        index.kept(&sample).push_back(sequence);
        samples.push((sequence, sample));
    }
    samples.sort_unstable_by_key(|(sequence, _)| *sequence);
    snapshot.samples = samples.into_iter().map(|(_, sample)| sample).collect();
    Ok((snapshot, index))
}

fn read_meta(path: &Path, transaction: &ReadTransaction) -> Result<Index, StoreError> {
    let meta = transaction.open_table(META).map_err(|e| error::of_redb(path, e))?;
    let number = |name: &str| -> Result<u128, StoreError> {
        let value = meta.get(name).map_err(|e| error::of_redb(path, e))?;
        value
            .map(|v| v.value())
            .ok_or_else(|| error::damaged(path, format!("the number {name:?} is missing")))
    };
    let small = |name: &str| -> Result<u64, StoreError> {
        number(name)?
            .try_into()
            .map_err(|_| error::damaged(path, format!("the number {name:?} is too large")))
    };
    let found = u32::try_from(small(META_VERSION)?).unwrap_or(u32::MAX);
    if !(OLDEST_VERSION..=VERSION).contains(&found) {
        return Err(StoreError::Version { path: path.to_owned(), found, expected: VERSION });
    }
    Ok(Index {
        version: found,
        applied: small(META_APPLIED)?,
        boot: number(META_BOOT)?,
        next_function: small(META_NEXT_FUNCTION)?,
        next_worker: small(META_NEXT_WORKER)?,
        next_invocation: small(META_NEXT_INVOCATION)?,
        ..Index::default()
    })
}

fn read_table<K: Ord, V: DeserializeOwned>(
    path: &Path,
    transaction: &ReadTransaction,
    definition: TableDefinition<'_, u64, &'static [u8]>,
    id: impl Fn(u64) -> K,
    id_of: impl Fn(&V) -> K,
) -> Result<BTreeMap<K, V>, StoreError> {
    let table = transaction.open_table(definition).map_err(|e| error::of_redb(path, e))?;
    let mut values = BTreeMap::new();
    for entry in table.iter().map_err(|e| error::of_redb(path, e))? {
        let (key, json) = entry.map_err(|e| error::of_redb(path, e))?;
        let value = decode(path, json.value())?;
        let key = id(key.value());
        if id_of(&value) != key {
            return Err(error::damaged(path, "a thing is kept under another's id"));
        }
        values.insert(key, value);
    }
    Ok(values)
}

fn encode(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|e| StoreError::Io { path: path.to_owned(), reason: e.to_string() })
}

fn decode<T: DeserializeOwned>(path: &Path, json: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(json).map_err(|e| error::damaged(path, e.to_string()))
}
