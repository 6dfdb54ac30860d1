//! From a workload of the file and a seed to functions and arrivals.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fsched_core::cache::Bytes;
use fsched_core::predictor::engine::dataset::{Dataset, family};
use fsched_core::time::Timestamp;
use fsched_sim::SimFunction;
use fsched_sim::profile::{self, Assignment, Profile};
use fsched_sim::random::Random;
use fsched_sim::simulation::START;
use fsched_sim::workload::{
    self, Azure2019, Azure2019Files, Azure2021, MOST_COPIES, Open, Replay, Trace, parts,
};

use super::config::{Adversary, Calls, Experiment, Pattern, Synthetic, Without, Workload};

/// What all simulations of an experiment have in common.
pub(super) struct Setting {
    profiles: Vec<Profile>,
    /// The curves as the predictor's training reads them; none where the file's are of another kind.
    dataset: Option<Dataset>,
}

/// One workload under one seed.
pub(super) struct Scene {
    pub(super) functions: Vec<SimFunction>,
    pub(super) replay: Replay,
    /// When its first and its last call may come.
    pub(super) start: Timestamp,
    pub(super) length: Duration,
    /// Which share of the cores it keeps busy if nothing is slowed down.
    pub(super) load: f64,
    /// The families of the functions whose curves may run.
    pub(super) families: BTreeSet<String>,
}

/// Workers need some time to be there.
const LEAD: Duration = Duration::from_secs(5);
/// No function of a trace is taken to need more.
const MOST_MEMORY: Bytes = Bytes::mib(1024);

impl Setting {
    /// Reads the curves.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub(super) fn new(experiment: &Experiment) -> anyhow::Result<Self> {
        let named = experiment.functions.curves.as_deref().map(|path| experiment.path(path));
        let text = match &named {
            None => Dataset::OWN.to_owned(),
            Some(path) => {
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
            }
        };
        let profiles = profile::parse(&text, &experiment.functions.column).context("functions.curves")?;
        let dataset = Dataset::parse(&text, &[]).ok();
        Ok(Self { profiles, dataset })
    }

    pub(super) fn dataset(&self) -> Option<&Dataset> {
        self.dataset.as_ref()
    }

    /// The families whose functions run under a seed: every other one, in an order drawn by the assignment's seed; the other half under the
    /// seed after it. The predictor is trained on the rest.
    pub(super) fn families(&self, assignment: u64, seed: u64) -> BTreeSet<String> {
        let all: BTreeSet<&str> = self.profiles.iter().map(|profile| family(&profile.name)).collect();
        if self.dataset.is_none() {
            return all.into_iter().map(str::to_owned).collect();
        }
        let mut order: Vec<&str> = all.into_iter().collect();
        let mut random = Random::new(assignment).fork(11);
        for i in (1..order.len()).rev() {
            order.swap(i, random.below(i as u64 + 1) as usize);
        }
        let half = order.iter().enumerate().filter(|(i, _)| (*i as u64 + seed).is_multiple_of(2));
        half.map(|(_, name)| (*name).to_owned()).collect()
    }

    /// A workload under a seed.
    ///
    /// # Errors
    /// Where a trace cannot be read, or none of its functions fits the load.
    pub(super) fn scene(&self, experiment: &Experiment, of: &Workload, seed: u64) -> anyhow::Result<Scene> {
        let cluster = &experiment.cluster;
        let geometry = cluster.geometry();
        let chance = Random::new(seed).fork(21);
        let (cores, name) = (of.load.get() * cluster.all_cores(), &of.name);
        let trace = trace(experiment, of, cores, &chance).with_context(|| name.clone())?;
        let skipped = skipped(&*trace, &of.calls);
        let is_whole = matches!(of.calls, Calls::Synthetic(_) | Calls::Adversarial { .. });
        // What is made for a load has it, give or take rounding.
        let wanted = if is_whole { 1.01 * cores } else { cores };
        let copies = match &of.calls {
            // They are made for the load.
            Calls::Synthetic(_) | Calls::Adversarial { .. } => 1,
            Calls::Azure2019 { copies, .. } | Calls::Azure2021 { copies, .. } => {
                copies.unwrap_or(MOST_COPIES)
            }
        };
        let skips = |function: usize| skipped.contains(&function);
        let (parts, busy) = parts(&*trace, wanted, copies, chance.fork(2), skips);
        ensure!(!parts.is_empty(), "{name}: every function is too much for this load");
        let families = self.families(experiment.functions.assignment, seed);
        let seconds: Vec<f64> = parts.iter().map(|part| trace.functions()[part.function].seconds).collect();
        let mut functions: Vec<SimFunction> = if let Calls::Adversarial { functions, .. } = &of.calls {
            let kind = match functions {
                Adversary::Streaming => workload::Adversary::Streaming,
                Adversary::Cliffs => workload::Adversary::Cliffs,
                Adversary::Insensitive => workload::Adversary::Insensitive,
                Adversary::Giant => workload::Adversary::Giant,
            };
            workload::adversarial(kind, &seconds, &geometry, chance.fork(3))
        } else {
            let known = self.profiles.iter().filter(|profile| families.contains(family(&profile.name)));
            let random = Random::new(experiment.functions.assignment).fork(seed);
            let mut assignment = Assignment::new(known.cloned().collect(), of.mix.into(), geometry, random);
            seconds.iter().enumerate().map(|(i, &seconds)| assignment.function(i, seconds)).collect()
        };
        for (function, part) in functions.iter_mut().zip(&parts) {
            if let Some(memory) = trace.functions()[part.function].memory {
                function.needs.memory = memory.min(MOST_MEMORY);
            }
        }
        let start = START + LEAD;
        let known = functions.clone().into();
        let replay = Replay::new(&trace, &parts, known, geometry, start, &chance.fork(4));
        let load = busy / cluster.all_cores();
        Ok(Scene { functions, replay, start, length: trace.length(), load, families })
    }
}

fn trace(
    experiment: &Experiment,
    of: &Workload,
    cores: f64,
    chance: &Random,
) -> anyhow::Result<Arc<dyn Trace>> {
    let file = |path: &Path| open(experiment.path(path));
    Ok(match &of.calls {
        Calls::Synthetic(synthetic) | Calls::Adversarial { synthetic, .. } => {
            let giant = matches!(of.calls, Calls::Adversarial { functions: Adversary::Giant, .. });
            Arc::new(made(synthetic, cores, giant, chance.fork(1)))
        }
        Calls::Azure2019 { invocations, durations, memory, from, minutes, within, .. } => {
            let spare = within.map_or(0, |within| within - minutes) as u64;
            let from = from + chance.fork(5).below(spare + 1) as usize;
            let files = Azure2019Files {
                invocations: file(invocations),
                durations: file(durations),
                memory: file(memory),
            };
            Arc::new(Azure2019::read(&files, from, *minutes)?)
        }
        Calls::Azure2021 { file: path, .. } => Arc::new(Azure2021::read(file(path))?),
    })
}

fn made(synthetic: &Synthetic, cores: f64, giant: bool, mut random: Random) -> workload::Synthetic {
    let (least, most) = synthetic.seconds;
    let mut seconds: Vec<f64> =
        (0..synthetic.functions).map(|_| least * (most / least).powf(random.unit())).collect();
    if giant {
        seconds[0] = 10.0 * most;
    }
    let pattern = match synthetic.pattern {
        Pattern::Even => workload::Pattern::Even,
        Pattern::Bursty => workload::Pattern::Bursty,
        Pattern::Diurnal => workload::Pattern::Diurnal,
    };
    workload::Synthetic::new(&seconds, pattern, synthetic.length, cores)
}

fn skipped(trace: &dyn Trace, calls: &Calls) -> Vec<usize> {
    let (Calls::Azure2019 { without, .. } | Calls::Azure2021 { without, .. }) = calls else {
        return Vec::new();
    };
    let functions = trace.functions();
    let most = |key: &dyn Fn(usize) -> f64| (0..functions.len()).max_by(|&a, &b| key(a).total_cmp(&key(b)));
    let which = |without: &Without| match without {
        Without::MostCalled => most(&|i| functions[i].calls as f64),
        Without::MostBusy => most(&|i| functions[i].calls as f64 * functions[i].seconds),
    };
    without.iter().filter_map(which).collect()
}

fn open(path: PathBuf) -> Open {
    Arc::new(move || Ok(Box::new(BufReader::new(File::open(&path)?))))
}
