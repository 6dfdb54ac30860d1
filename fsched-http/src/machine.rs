//! What this machine is: its cache domains as the kernel shows them, its memory, and the key of the worker on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fsched_core::cache::{Bytes, CacheDomain, CacheGeometry, CpuId, DomainId, Ways};
use fsched_core::id::WorkerKey;
use fsched_core::worker::MachineStatus;

/// Where the kernel shows CPUs and their caches.
pub const SYSFS_CPUS: &str = "/sys/devices/system/cpu";

/// The cache of a machine that does not show one: 16 ways of 1 MiB.
pub const NOMINAL_WAYS: u8 = 16;
/// See [`NOMINAL_WAYS`].
pub const NOMINAL_WAY_SIZE: Bytes = Bytes::mib(1);
/// Classes that most hardware has beside the default one. What it really has, only resctrl knows.
pub const NOMINAL_CLASSES: u16 = 15;

/// The cache domains of a machine, and what had to be assumed about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// By rising id; at least one, each with at least one CPU.
    pub domains: Vec<CacheDomain>,
    /// What was not as the kernel says, in sentences for the log.
    pub notes: Vec<String>,
}

/// Finds the L3 caches below `root` (usually [`SYSFS_CPUS`]) and the CPUs among `allowed` that share each.
///
/// Never fails: what cannot be read becomes a note and the nearest thing that makes sense. Where there is no L3 to
/// be seen, all CPUs share one domain of nominal size. More than 32 ways, which no mask can name, are taken together:
/// two, three, ... neighbouring ways of the hardware count as one.
pub fn topology(root: &Path, allowed: &BTreeSet<CpuId>) -> Topology {
    let mut notes = Vec::new();
    let mut caches: BTreeMap<Vec<CpuId>, L3> = BTreeMap::new();
    let mut without = Vec::new();
    for cpu in online_cpus(root).into_iter().filter(|cpu| allowed.contains(cpu)) {
        match l3_of(root, cpu, allowed) {
            Some(cache) => _ = caches.entry(cache.cpus.clone()).or_insert(cache),
            None => without.push(cpu),
        }
    }
    if caches.is_empty() {
        notes.push(format!(
            "the kernel shows no L3 cache: all CPUs count as one domain of {NOMINAL_WAYS} ways of {NOMINAL_WAY_SIZE}"
        ));
        let cpus = if without.is_empty() { allowed.iter().copied().collect() } else { without };
        return Topology { domains: vec![nominal(cpus)], notes };
    }
    if !without.is_empty() {
        notes.push(format!("CPUs {} have no L3 cache and are not used", write_cpu_list(&without)));
    }
    let ids: BTreeSet<_> = caches.values().filter_map(|cache| cache.id).collect();
    let numbered = ids.len() == caches.len();
    if !numbered {
        notes.push(
            "the kernel does not number the L3 caches: they are numbered by their first CPU".to_owned(),
        );
    }
    let mut domains: Vec<_> = caches
        .into_values()
        .enumerate()
        .map(|(index, cache)| {
            let by_order = DomainId(u16::try_from(index).unwrap_or(u16::MAX));
            let id = if numbered { cache.id.unwrap_or(by_order) } else { by_order };
            CacheDomain { id, geometry: cache.geometry(id, &mut notes), cpus: cache.cpus }
        })
        .collect();
    domains.sort_by_key(|domain| domain.id);
    Topology { domains, notes }
}

/// The CPUs that this process may run on; all those that the system knows where that cannot be found out.
pub fn allowed_cpus() -> BTreeSet<CpuId> {
    let bound = rustix::thread::sched_getaffinity(None).ok().map(|set| {
        let most = rustix::thread::CpuSet::MAX_CPU;
        (0..most)
            .filter(|&cpu| set.is_set(cpu))
            .filter_map(|cpu| u16::try_from(cpu).ok())
            .map(CpuId)
            .collect()
    });
    let all = || {
        let count = std::thread::available_parallelism().map_or(1, |n| n.get());
        (0..u16::try_from(count).unwrap_or(u16::MAX)).map(CpuId).collect()
    };
    bound.filter(|set: &BTreeSet<CpuId>| !set.is_empty()).unwrap_or_else(all)
}

/// The machine's memory now.
pub fn memory() -> MachineStatus {
    let info = rustix::system::sysinfo();
    let unit = u64::from(info.mem_unit).max(1);
    let bytes = |count: u64| Bytes(count.saturating_mul(unit));
    MachineStatus {
        total_ram: bytes(info.totalram as u64),
        free_ram: bytes(info.freeram as u64),
        total_swap: bytes(info.totalswap as u64),
        free_swap: bytes(info.freeswap as u64),
    }
}

/// Why there is no worker key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the worker's key at {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else. Remove it to become a new worker.
    #[error(
        "{path} does not hold a worker key of 32 lowercase hex digits: restore it, or remove it to become a new worker"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// The system has no random numbers for us.
    #[error("no random numbers for a worker key: {0}")]
    Random(String),
}

/// The key in `state_dir`, made at random the first time. The directory has to exist.
///
/// # Errors
/// Where the file can be neither read nor made, or holds something else: then nothing is overwritten.
pub fn worker_key(state_dir: &Path) -> Result<WorkerKey, KeyError> {
    let path = state_dir.join("key");
    let io_error = |source| KeyError::Io { path: path.clone(), source };
    match read_key(&path) {
        Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        known => return known,
    }
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| KeyError::Random(e.to_string()))?;
    let key = WorkerKey(bytes);
    // Made under another name (readable by its owner alone) and then linked: whoever reads `key` reads all of it.
    let mut file = tempfile::NamedTempFile::new_in(state_dir).map_err(io_error)?;
    writeln!(file, "{key}").and_then(|()| file.as_file().sync_all()).map_err(io_error)?;
    match file.persist_noclobber(&path) {
        Ok(_) => {}
        // Another process was faster: its key is ours.
        Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => return read_key(&path),
        Err(failed) => return Err(io_error(failed.error)),
    }
    fs::File::open(state_dir).and_then(|dir| dir.sync_all()).map_err(io_error)?;
    Ok(key)
}

fn read_key(path: &Path) -> Result<WorkerKey, KeyError> {
    let bytes = fs::read(path).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
    let text = std::str::from_utf8(&bytes).ok().map(|text| text.strip_suffix('\n').unwrap_or(text));
    text.and_then(|text| text.parse().ok()).ok_or_else(|| KeyError::Damaged { path: path.to_owned() })
}

/// One L3 as the kernel shows it.
struct L3 {
    id: Option<DomainId>,
    cpus: Vec<CpuId>,
    ways: Option<u32>,
    size: Option<Bytes>,
}

impl L3 {
    fn geometry(&self, id: DomainId, notes: &mut Vec<String>) -> CacheGeometry {
        let hardware = self.ways.filter(|&ways| ways > 0).unwrap_or_else(|| {
            notes.push(format!("L3 {id} does not say how many ways it has: taken for {NOMINAL_WAYS}"));
            u32::from(NOMINAL_WAYS)
        });
        let together = hardware.div_ceil(u32::from(Ways::MAX));
        let ways = Ways::clamped(u8::try_from(hardware / together).unwrap_or(Ways::MAX));
        if together > 1 {
            notes.push(format!(
                "L3 {id} has {hardware} ways, more than a mask can name: {together} of them count as one, {ways} in all"
            ));
        }
        let size = self.size.filter(|size| size.0 >= u64::from(ways.get())).unwrap_or_else(|| {
            notes.push(format!("L3 {id} does not say its size: taken for {NOMINAL_WAY_SIZE} per way"));
            Bytes(NOMINAL_WAY_SIZE.0 * u64::from(ways.get()))
        });
        geometry(size, ways)
    }
}

fn nominal(cpus: Vec<CpuId>) -> CacheDomain {
    let ways = Ways::clamped(NOMINAL_WAYS);
    let size = Bytes(NOMINAL_WAY_SIZE.0 * u64::from(NOMINAL_WAYS));
    CacheDomain { id: DomainId(0), cpus, geometry: geometry(size, ways) }
}

/// What can be said without resctrl: the strictest rules for masks that are usual.
fn geometry(size: Bytes, ways: Ways) -> CacheGeometry {
    CacheGeometry {
        size,
        ways,
        min_ways: Ways::ONE,
        contiguous: true,
        shareable: 0,
        classes: NOMINAL_CLASSES,
    }
}

fn l3_of(root: &Path, cpu: CpuId, allowed: &BTreeSet<CpuId>) -> Option<L3> {
    let caches = fs::read_dir(root.join(format!("cpu{}", cpu.0)).join("cache")).ok()?;
    let mut indexes: Vec<_> = caches.filter_map(|entry| Some(entry.ok()?.path())).collect();
    indexes.sort();
    indexes.into_iter().find_map(|index| {
        let read = |name: &str| fs::read_to_string(index.join(name)).ok().map(|text| text.trim().to_owned());
        if read("level")? != "3" {
            return None;
        }
        let shared = read("shared_cpu_list").and_then(|list| parse_cpu_list(&list));
        let mut cpus: Vec<_> = shared.unwrap_or_default().intersection(allowed).copied().collect();
        if !cpus.contains(&cpu) {
            cpus = vec![cpu];
        }
        Some(L3 {
            id: read("id").and_then(|id| id.parse().ok()).map(DomainId),
            cpus,
            ways: read("ways_of_associativity").and_then(|ways| ways.parse().ok()),
            size: read("size").and_then(|size| parse_size(&size)),
        })
    })
}

/// The CPUs below `root` that are on.
fn online_cpus(root: &Path) -> BTreeSet<CpuId> {
    if let Some(online) =
        fs::read_to_string(root.join("online")).ok().and_then(|list| parse_cpu_list(list.trim()))
    {
        return online;
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("cpu")?.parse().ok().map(CpuId))
        .collect()
}

/// Reads `0-3,8,10-11`, as the kernel writes sets of CPUs; `None` where it is something else.
pub fn parse_cpu_list(text: &str) -> Option<BTreeSet<CpuId>> {
    let number = |digits: &str| -> Option<u16> {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten()
    };
    let mut cpus = BTreeSet::new();
    if text.is_empty() {
        return Some(cpus);
    }
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        cpus.extend((first..=last).map(CpuId));
    }
    Some(cpus)
}

/// Writes CPUs, in rising order, as the kernel does.
pub fn write_cpu_list<'a>(cpus: impl IntoIterator<Item = &'a CpuId>) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for &CpuId(cpu) in cpus {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(cpu) => *last = cpu,
            _ => ranges.push((cpu, cpu)),
        }
    }
    let text = |&(first, last): &(u16, u16)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

/// Reads `32768K`, as the kernel writes the size of a cache.
fn parse_size(text: &str) -> Option<Bytes> {
    let (digits, unit) = match text.strip_suffix(['K', 'M', 'G']) {
        Some(digits) => (digits, &text[digits.len()..]),
        None => (text, ""),
    };
    let factor: u64 = match unit {
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => 1,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse::<u64>().ok()?.checked_mul(factor)).flatten().map(Bytes)
}

#[cfg(test)]
mod tests;
