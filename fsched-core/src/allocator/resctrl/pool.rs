//! The groups of one worker, made or adopted once: a group is a class in every domain.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::bandwidth;
use super::config::{OpenError, PREFIX, ResctrlConfig};
use super::fs::{FsError, ResctrlFs, Told, ToldFile};
use super::schemata::Schemata;
use crate::cache::{CacheDomain, ClosId, DomainId};
use crate::host::resctrl::Offer;

/// What other users of resctrl have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Foreign {
    /// Their groups, each of which is a class; they are never touched.
    pub groups: Vec<String>,
    /// Ways that they keep for themselves, by domain, as bits: no lease gets them.
    pub ways: Vec<(DomainId, u32)>,
}

/// The groups of this worker.
pub(super) struct Pool {
    pub(super) fs: Arc<dyn ResctrlFs>,
    /// The lines of a cache: one, or one for code and one for data.
    pub(super) lines: &'static [&'static str],
    /// Class `i + 1` at `i`.
    pub(super) groups: Vec<PoolGroup>,
    /// The root group's schemata as they were before us.
    root_before: Schemata,
    root_backup: Option<std::path::PathBuf>,
    pub(super) foreign: Foreign,
}

/// One group.
#[derive(Debug)]
pub(super) struct PoolGroup {
    pub(super) name: String,
    /// What was written last, of all our domains.
    pub(super) schemata: Schemata,
    /// It was found to be gone.
    pub(super) lost: bool,
}

/// A mask that is not what was written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error("{} was told {wrote:?} and says {reads:?}: the hardware changed the mask", .path.display())]
    Differs { path: std::path::PathBuf, wrote: String, reads: String },
    #[error("the root group has not had the ways {0:x} any more: somebody else has taken them")]
    Taken(u32),
}

impl Pool {
    /// Finds, adopts and makes groups; those that are adopted are emptied of tasks. `domains` are the worker's, by rising id;
    /// their geometries become those that resctrl and other users leave.
    pub(super) fn open(
        fs: Arc<dyn ResctrlFs>,
        domains: &mut Vec<CacheDomain>,
        config: &ResctrlConfig,
    ) -> Result<Self, OpenError> {
        let root = fs.root().to_path_buf();
        match fs.is_mounted() {
            Ok(true) => {}
            Ok(false) => return Err(OpenError::NotMounted(root)),
            Err(_) => return Err(OpenError::NotSupported(root)),
        }
        let _lock = lock(&*fs);
        let told = Told(&*fs);
        let offer = Offer::read(&|path| fs.read(path))?;
        let cache = offer.cache.ok_or(OpenError::NoCache)?;
        let lines: &'static [&'static str] =
            if cache.code_and_data { &["L3DATA", "L3CODE"] } else { &["L3"] };
        let now: Schemata = told.read("schemata")?.parse()?;
        domains.retain(|domain| now.get(lines[0], domain.id).is_some());
        if domains.is_empty() {
            return Err(OpenError::NoDomain);
        }
        let prefix = config.prefix();
        let (mut ours, mut theirs) = (Vec::new(), Foreign::default());
        for name in told.directories("")? {
            // The kernel's own directories have no schemata.
            if name == "info" || told.read_if_there(&format!("{name}/schemata"))?.is_none() {
                continue;
            }
            if name.starts_with(&prefix) { ours.push(name) } else { theirs.groups.push(name) }
        }
        let root_before = root_before(&told, &now, (lines, cache.all.bits()), &ours, &theirs, config)?;
        for domain in domains.iter_mut() {
            let geometry = offer.geometry(domain.geometry.size).ok_or(OpenError::NoCache)?;
            let wrong = |source| OpenError::Geometry { domain: domain.id, source };
            domain.geometry = geometry.map_err(wrong)?;
        }
        let mut pool = Self {
            lines,
            groups: Vec::new(),
            root_before,
            root_backup: config.root_backup.clone(),
            foreign: theirs,
            fs: Arc::clone(&fs),
        };
        pool.leave_alone(domains)?;
        pool.keep_root()?;
        let most = config.max_classes.unwrap_or(u16::MAX).min(offer.usable_classes()).max(1);
        pool.fill(ours, &prefix, usize::from(most))?;
        pool.begin(domains, config, &offer)?;
        pool.find_contended(domains)?;
        let classes = u16::try_from(pool.groups.len()).unwrap_or(u16::MAX);
        for domain in domains.iter_mut() {
            domain.geometry.classes = classes;
            let wrong = |source| OpenError::Geometry { domain: domain.id, source };
            domain.geometry.validate().map_err(wrong)?;
        }
        Ok(pool)
    }

    /// The ways that the root group had before us in a domain.
    pub(super) fn whole(&self, domain: DomainId) -> u32 {
        self.lines.iter().fold(u32::MAX, |all, line| all & self.root_before.get(line, domain).unwrap_or(0))
    }

    /// Takes what others have from what may be leased: ways that the root group never had, and those of groups that keep to
    /// a part of the cache.
    fn leave_alone(&mut self, domains: &mut [CacheDomain]) -> Result<(), OpenError> {
        let told = Told(&*self.fs);
        for domain in domains {
            let whole = self.whole(domain.id);
            let of_others = domain.geometry.usable().map_or(0, |mask| mask.bits()) & !whole;
            let mut theirs = of_others;
            for group in &self.foreign.groups {
                let text = told.read_if_there(&format!("{group}/schemata"))?.unwrap_or_default();
                let Ok(schemata) = text.parse::<Schemata>() else { continue };
                let mask =
                    self.lines.iter().filter_map(|line| schemata.get(line, domain.id)).fold(0, |a, b| a | b);
                // Who never chose a part of the cache has what every new group gets.
                if mask & whole != whole {
                    theirs |= mask;
                }
            }
            let all = u32::MAX >> (32 - u32::from(domain.geometry.ways.get()));
            for taken in [theirs, of_others] {
                let left =
                    largest_part(domain.geometry.contiguous, all & !domain.geometry.shareable & !taken);
                let mut geometry = domain.geometry;
                geometry.shareable = all & !left;
                // A way for somebody alone, and one for those who share: with less there is nothing to divide.
                if left.count_ones() >= 2 * u32::from(geometry.min_ways.get()) || taken == of_others {
                    geometry
                        .validate()
                        .map_err(|source| OpenError::Geometry { domain: domain.id, source })?;
                    domain.geometry = geometry;
                    break;
                }
            }
            if theirs != 0 {
                self.foreign.ways.push((domain.id, theirs));
            }
        }
        Ok(())
    }

    /// Notes what the root group had, before anything is changed.
    fn keep_root(&self) -> Result<(), OpenError> {
        let Some(path) = &self.root_backup else { return Ok(()) };
        let temporary = path.with_extension("new");
        let kept =
            fs::write(&temporary, self.root_before.to_string()).and_then(|()| fs::rename(&temporary, path));
        kept.map_err(|source| {
            let act = super::fs::Act::Write;
            FsError { act, path: path.clone(), text: None, status: String::new(), source }.into()
        })
    }

    /// Adopts `ours` and makes more, until there are enough or the kernel has none left.
    fn fill(&mut self, mut ours: Vec<String>, prefix: &str, most: usize) -> Result<(), OpenError> {
        let told = Told(&*self.fs);
        let number = |name: &String| name[prefix.len()..].parse::<u16>().unwrap_or(u16::MAX);
        ours.sort_by_key(number);
        let mut names = Vec::new();
        for name in ours {
            let is_number = name[prefix.len()..].parse::<u16>().is_ok();
            if is_number && names.len() < most {
                evict(&told, &name)?;
                names.push(name);
            } else {
                told.remove_group(&name)?;
            }
        }
        let mut said = "fsched was told to take none".to_owned();
        for number in 1..=most {
            let name = format!("{prefix}{number}");
            if names.len() >= most {
                break;
            }
            if names.contains(&name) {
                continue;
            }
            match told.make_group(&name) {
                Ok(()) => names.push(name),
                // The kernel has no more for us; RMIDs that cool down will be had at the next start.
                Err(error) if error.is_full() => {
                    tracing::info!(%error, groups = names.len(), "no more classes are to be had");
                    said = error.to_string();
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if names.is_empty() {
            return Err(OpenError::NoClass { foreign: self.foreign.groups.len(), said });
        }
        names.sort_by_key(number);
        self.groups = names
            .into_iter()
            .map(|name| PoolGroup { name, schemata: Schemata::default(), lost: false })
            .collect();
        Ok(())
    }

    /// Gives every group what the root group has, and its bandwidth; and the root group what it had.
    fn begin(
        &mut self,
        domains: &[CacheDomain],
        config: &ResctrlConfig,
        offer: &Offer,
    ) -> Result<(), OpenError> {
        let in_percent = bandwidth::check(&*self.fs, &self.groups, domains, config, offer)?;
        for index in 0..self.groups.len() {
            let class = ClosId(u16::try_from(index + 1).unwrap_or(u16::MAX));
            let percent = config.bandwidth.get(&class).map(|percent| u32::from(*percent));
            let mut schemata = Schemata::default();
            for domain in domains {
                if in_percent {
                    schemata.set(bandwidth::LINE, domain.id, percent.unwrap_or(100));
                }
                for line in self.lines {
                    schemata.set(line, domain.id, self.initial(domain));
                }
            }
            self.groups[index].schemata = schemata;
            self.write_group(index).map_err(write_refused)?;
        }
        for domain in domains {
            self.write_root(domain, None, self.initial(domain), 0).map_err(write_refused)?;
        }
        Ok(())
    }

    /// What class 0, and every class without leases, has in a domain at the beginning.
    pub(super) fn initial(&self, domain: &CacheDomain) -> u32 {
        largest_part(domain.geometry.contiguous, self.whole(domain.id))
    }

    /// Finds ways that the hardware does not give alone: a mask that touches one reads back wider. I/O uses such ways
    /// too, and they lie at the ends of a cache.
    fn find_contended(&mut self, domains: &mut [CacheDomain]) -> Result<(), OpenError> {
        for domain in domains {
            let initial = self.initial(domain);
            for from_above in [true, false] {
                for _ in 0..32 {
                    let usable = domain.geometry.usable().map_or(0, |mask| mask.bits());
                    let few = u32::from(domain.geometry.min_ways.get());
                    let probe = (0..usable.count_ones().saturating_sub(few)).fold(usable, |rest, _| {
                        if from_above { rest & (rest - 1) } else { rest & !(1 << rest.ilog2()) }
                    });
                    match self.write_mask(0, domain.id, probe) {
                        Ok(()) => break,
                        Err(WriteError::Differs { reads, .. }) => {
                            let reads = reads.parse::<Schemata>()?;
                            let wide = reads.get(self.lines[0], domain.id).unwrap_or(0);
                            tracing::info!(
                                domain = %domain.id,
                                ways = format!("{wide:x}"),
                                "ways that the hardware does not give alone are left out"
                            );
                            domain.geometry.shareable |= wide | probe;
                            let wrong = |source| OpenError::Geometry { domain: domain.id, source };
                            domain.geometry.validate().map_err(wrong)?;
                        }
                        Err(error) => return Err(write_refused(error)),
                    }
                }
            }
            self.write_mask(0, domain.id, initial).map_err(write_refused)?;
        }
        Ok(())
    }

    /// Classes whose groups are not among `there`, and were when somebody last looked.
    pub(super) fn vanished(&self, there: &[String]) -> Vec<ClosId> {
        let groups = (1..).map(ClosId).zip(&self.groups);
        let gone = groups.filter(|(_, group)| !group.lost && !there.contains(&group.name));
        gone.map(|(class, _)| class).collect()
    }

    /// Which of the groups `there` are somebody else's and have some of these ways.
    pub(super) fn reaching(&self, there: &[String], ways: &[(DomainId, u32)]) -> Vec<String> {
        let others = there.iter().filter(|name| !self.groups.iter().any(|group| group.name == **name));
        let reaches = |name: &&String| {
            // What is no control group has no schemata.
            let text = self.fs.read(&format!("{name}/schemata")).unwrap_or_default();
            text.parse::<Schemata>().is_ok_and(|schemata| schemata.has_any_of(self.lines, ways))
        };
        others.filter(reaches).cloned().collect()
    }

    /// Sets the mask of a group in a domain: one write of all that the group has, then a look whether it came true.
    pub(super) fn write_mask(&mut self, index: usize, domain: DomainId, bits: u32) -> Result<(), WriteError> {
        for line in self.lines {
            self.groups[index].schemata.set(line, domain, bits);
        }
        self.write_group(index)
    }

    fn write_group(&self, index: usize) -> Result<(), WriteError> {
        let group = &self.groups[index];
        let path = format!("{}/schemata", group.name);
        let told = Told(&*self.fs);
        self.write_and_look(&told.open(&path)?, &path, &group.schemata)
    }

    /// Sets what the root group has in a domain, exactly, or changes it from `before`: somebody else may have taken ways
    /// from it since, which then stay away. Only masks of that group are written.
    ///
    /// What is to be somebody's `alone`, and the root group had before, it still has to have: else it is another's by now.
    pub(super) fn write_root(
        &self,
        domain: &CacheDomain,
        before: Option<u32>,
        bits: u32,
        alone: u32,
    ) -> Result<(), WriteError> {
        let told = Told(&*self.fs);
        let file = told.open("schemata")?;
        let found: Schemata = file.read()?.parse().unwrap_or_default();
        let now = found.get(self.lines[0], domain.id).unwrap_or(0);
        let taken = before.map_or(0, |before| before & alone & !now);
        if taken != 0 {
            return Err(WriteError::Taken(taken));
        }
        let added = before.map_or(bits, |before| bits & !before);
        let wanted = largest_part(domain.geometry.contiguous, now & bits | added);
        if self.lines.iter().all(|line| found.get(line, domain.id) == Some(wanted)) {
            return Ok(());
        }
        let mut schemata = found.only(self.lines);
        for line in self.lines {
            schemata.set(line, domain.id, wanted);
        }
        self.write_and_look(&file, "schemata", &schemata)
    }

    fn write_and_look(&self, file: &ToldFile<'_>, path: &str, schemata: &Schemata) -> Result<(), WriteError> {
        let wrote = schemata.to_string();
        file.write(&wrote)?;
        let reads = file.read()?;
        let found: Schemata = reads.parse().unwrap_or_default();
        // As numbers: the kernel writes zeros before them. Bandwidth is rounded up.
        let same = |line: &&str| schemata.domains(line).all(|d| found.get(line, d) == schemata.get(line, d));
        if self.lines.iter().all(same) {
            return Ok(());
        }
        Err(WriteError::Differs { path: self.fs.root().join(path), wrote, reads })
    }

    /// Gives everything back: groups are removed, and the root group has what it had before us.
    pub(super) fn give_back(&mut self) -> Result<(), FsError> {
        let lock = lock(&*self.fs);
        let told = Told(&*self.fs);
        let mut first = None;
        for group in self.groups.drain(..) {
            match told.remove_group(&group.name) {
                Err(error) if !error.is_gone() => _ = first.get_or_insert(error),
                _ => {}
            }
        }
        // Another worker keeps ways from the root group, and gives them back itself.
        let others = told.directories("").unwrap_or_default();
        if !others.iter().any(|name| name.starts_with(PREFIX))
            && let Err(error) = told.write("schemata", &self.root_before.only(self.lines).to_string())
        {
            first.get_or_insert(error);
        }
        drop(lock);
        self.fs.rest();
        match first {
            Some(error) => Err(error),
            None => {
                if let Some(path) = &self.root_backup {
                    let _ = fs::remove_file(path);
                }
                Ok(())
            }
        }
    }
}

/// The lock, for reading, deciding and writing. It is advisory: when somebody does not give it back, we go on without.
pub(super) fn lock(fs: &dyn ResctrlFs) -> Option<Box<dyn Send>> {
    match fs.lock() {
        Ok(lock) => Some(lock),
        Err(error) => {
            tracing::warn!(%error, root = %fs.root().display(), "somebody keeps resctrl locked: going on without");
            None
        }
    }
}

fn write_refused(error: WriteError) -> OpenError {
    match error {
        WriteError::Fs(error) => error.into(),
        WriteError::Taken(_) => unreachable!("nothing is taken from the root group at the start"),
        WriteError::Differs { path, wrote, reads } => {
            let source = io::Error::other(format!("it says {reads:?} then"));
            FsError { act: super::fs::Act::Write, path, text: Some(wrote), status: String::new(), source }
                .into()
        }
    }
}

/// What the root group had before any life of this worker changed it.
fn root_before(
    told: &Told<'_>,
    now: &Schemata,
    (lines, all): (&[&str], u32),
    ours: &[String],
    theirs: &Foreign,
    config: &ResctrlConfig,
) -> Result<Schemata, OpenError> {
    if ours.is_empty() {
        // Groups go with the mount. What was kept from before is of another one.
        return Ok(now.clone());
    }
    let kept =
        config.root_backup.as_deref().map(Path::to_path_buf).and_then(|path| fs::read_to_string(path).ok());
    if let Some(kept) = kept.and_then(|text| text.parse().ok()) {
        return Ok(kept);
    }
    // What it has now, and all that is in no group of others: beside exclusive ways it lacks what those cut off.
    let mut before = now.clone();
    let mut masks = Vec::new();
    for name in &theirs.groups {
        let text = told.read_if_there(&format!("{name}/schemata"))?;
        masks.extend(text.and_then(|text| text.parse::<Schemata>().ok()));
    }
    for line in lines {
        for domain in now.domains(line) {
            let others = masks.iter().filter_map(|schemata| schemata.get(line, domain)).fold(0, |a, b| a | b);
            before.set(line, domain, now.get(line, domain).unwrap_or(0) | all & !others);
        }
    }
    Ok(before)
}

/// Sends what is in a group of a former life back to the root group.
fn evict(told: &Told<'_>, group: &str) -> Result<(), FsError> {
    let tasks = told.read(&format!("{group}/tasks"))?;
    for task in tasks.lines() {
        match told.write("tasks", task) {
            Err(error) if error.errno() != Some(libc::ESRCH) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The largest part of a set of ways that can be a mask, were it large enough; the lowest of several.
pub(super) fn largest_part(contiguous: bool, set: u32) -> u32 {
    if !contiguous {
        return set;
    }
    let (mut best, mut rest) = (0u32, set);
    while rest != 0 {
        let first = rest.trailing_zeros();
        let run = (rest >> first).trailing_ones();
        let part = (u32::MAX >> (32 - run)) << first;
        if part.count_ones() > best.count_ones() {
            best = part;
        }
        rest &= !part;
    }
    best
}
