//! What a configuration file says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fsched_core::cache::{Bytes, CacheDomain, CacheGeometry, Ways, humane_bytes};
use fsched_core::time::humane;
use serde::Deserialize;

use super::policies::Policy;

/// Policies × workloads × seeds, and what they run on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Experiment {
    /// What it is called in reports.
    pub(super) name: String,
    /// Seeds 0 to one less.
    #[serde(default = "ten")]
    pub(super) seeds: u64,
    /// What is compared; differences are to the first.
    pub(super) policies: Vec<Policy>,
    /// At how many input sizes each function is benchmarked before it begins.
    #[serde(default = "two")]
    pub(super) benchmarked: usize,
    /// Which share of a workload's time passes before anything is counted.
    #[serde(default = "tenth")]
    pub(super) warm_up: f64,
    /// How long work may take to end after the last call, before it counts as unfinished.
    #[serde(default = "ten_minutes", with = "humane")]
    pub(super) patience: Duration,
    #[serde(default)]
    pub(super) cluster: Cluster,
    #[serde(default)]
    pub(super) functions: Functions,
    workloads: Vec<Workload>,
    /// Where the file is: other files are named from there.
    #[serde(skip)]
    directory: PathBuf,
}

fn ten() -> u64 {
    10
}

fn two() -> usize {
    2
}

fn tenth() -> f64 {
    0.1
}

fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

/// The workers, all alike.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Cluster {
    pub(super) workers: usize,
    pub(super) cores: u16,
    pub(super) ways: Ways,
    #[serde(with = "humane_bytes")]
    pub(super) way_size: Bytes,
    pub(super) classes: u16,
    #[serde(with = "humane_bytes")]
    pub(super) memory: Bytes,
    /// The first start of a function on a worker takes so long,
    #[serde(with = "humane")]
    pub(super) cold: Duration,
    /// and each later one so long.
    #[serde(with = "humane")]
    pub(super) warm: Duration,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            workers: 4,
            cores: 8,
            ways: Ways::clamped(20),
            way_size: Bytes::mib(1),
            classes: 15,
            memory: Bytes::mib(1 << 20),
            cold: Duration::from_millis(20),
            warm: Duration::from_millis(1),
        }
    }
}

impl Cluster {
    pub(super) fn domain(&self) -> CacheDomain {
        let mut domain = CacheDomain::nominal(self.cores, self.ways, self.way_size);
        domain.geometry.classes = self.classes;
        domain
    }

    pub(super) fn geometry(&self) -> CacheGeometry {
        self.domain().geometry
    }

    pub(super) fn all_cores(&self) -> f64 {
        self.workers as f64 * f64::from(self.cores)
    }
}

/// Where functions have their curves from.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Functions {
    /// A curve file; none: the project's own.
    pub(super) curves: Option<PathBuf>,
    /// Which column of times.
    pub(super) column: String,
    /// Decides, with the seed of the run, which function has which curve.
    pub(super) assignment: u64,
}

impl Default for Functions {
    fn default() -> Self {
        Self { curves: None, column: "est_time_s".to_owned(), assignment: 1 }
    }
}

/// How many functions depend on cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mix {
    #[default]
    Even,
    Sensitive,
    Insensitive,
}

impl From<Mix> for fsched_sim::profile::Mix {
    fn from(mix: Mix) -> Self {
        match mix {
            Mix::Even => Self::Even,
            Mix::Sensitive => Self::Sensitive,
            Mix::Insensitive => Self::Insensitive,
        }
    }
}

/// Who calls what.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Workload {
    /// What it is called in reports; with several loads, each is named after it.
    pub(super) name: String,
    pub(super) calls: Calls,
    /// Which share of all cores it keeps busy if nothing is slowed down: one or several.
    pub(super) load: Load,
    #[serde(default)]
    pub(super) mix: Mix,
}

/// One load, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Load {
    One(f64),
    Several(Vec<f64>),
}

impl Load {
    /// The one that is left when every workload has one.
    pub(super) fn get(&self) -> f64 {
        match self {
            Self::One(load) => *load,
            Self::Several(loads) => loads.first().copied().unwrap_or_default(),
        }
    }
}

/// Where calls come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Calls {
    /// By a formula, of functions with curves from the file.
    Synthetic(Synthetic),
    /// The same, of functions that are hard on a cache.
    Adversarial { functions: Adversary, synthetic: Synthetic },
    /// The three files of the trace of 2019.
    Azure2019 {
        invocations: PathBuf,
        durations: PathBuf,
        memory: PathBuf,
        /// From which column of counts on.
        #[serde(default)]
        from: usize,
        minutes: usize,
        /// The minutes begin anywhere in so many from there, drawn by the seed; none: right there.
        within: Option<usize>,
        /// At most so many copies.
        copies: Option<usize>,
        #[serde(default)]
        without: Vec<Without>,
    },
    /// The file of the trace of 2021.
    Azure2021 {
        file: PathBuf,
        /// At most so many copies.
        copies: Option<usize>,
        #[serde(default)]
        without: Vec<Without>,
    },
}

/// Which function of a trace is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Without {
    /// The one that is called most.
    MostCalled,
    /// The one that takes the most core time.
    MostBusy,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Synthetic {
    pub(super) pattern: Pattern,
    pub(super) functions: usize,
    #[serde(with = "humane")]
    pub(super) length: Duration,
    /// From how many seconds to how many a function takes in its middle, drawn evenly on a logarithmic scale.
    pub(super) seconds: (f64, f64),
}

impl Default for Synthetic {
    fn default() -> Self {
        Self { pattern: Pattern::Even, functions: 40, length: Duration::from_secs(300), seconds: (0.1, 1.6) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Pattern {
    Even,
    Bursty,
    Diurnal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Adversary {
    Streaming,
    Cliffs,
    Insensitive,
    Giant,
}

impl Experiment {
    /// Reads it.
    ///
    /// # Errors
    /// Says what makes no sense.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut experiment = Self::parse(&text).with_context(|| path.display().to_string())?;
        experiment.directory = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(experiment)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let experiment: Self = toml::from_str(text)?;
        ensure!((1..=1_000).contains(&experiment.seeds), "seeds: there have to be 1 to 1000");
        ensure!(!experiment.policies.is_empty(), "policies: there has to be one");
        ensure!(!experiment.workloads.is_empty(), "workloads: there has to be one");
        ensure!((0.0..1.0).contains(&experiment.warm_up), "warm_up: it has to be from 0 to below 1");
        let Cluster { workers, cores, memory, .. } = experiment.cluster;
        ensure!((1..=20_000).contains(&workers), "cluster.workers: there have to be 1 to 20000");
        ensure!((1..=1_024).contains(&cores), "cluster.cores: there have to be 1 to 1024");
        ensure!(memory >= Bytes::mib(64), "cluster.memory: it has to be at least 64 MiB");
        experiment.cluster.geometry().validate().context("cluster")?;
        for Workload { name, load, .. } in &experiment.workloads {
            let none = matches!(load, Load::Several(loads) if loads.is_empty());
            ensure!(!none, "{name}: load: there has to be one");
        }
        for workload in experiment.workloads() {
            let name = &workload.name;
            let load = workload.load.get();
            ensure!(load > 0.0 && load <= 2.0, "{name}: a load has to be above 0 and at most 2");
            if let Calls::Azure2019 { minutes, within: Some(within), .. } = workload.calls {
                ensure!(minutes <= within, "{name}: within: it has to be at least minutes");
            }
            if let Calls::Synthetic(synthetic) | Calls::Adversarial { synthetic, .. } = &workload.calls {
                let (least, most) = synthetic.seconds;
                ensure!(synthetic.functions > 0, "{name}: there has to be a function");
                ensure!(least >= 1e-4 && least <= most && most <= 1e4, "{name}: seconds: from least to most");
                ensure!(!synthetic.length.is_zero(), "{name}: length: it has to be above zero");
            }
        }
        Ok(experiment)
    }

    /// The workloads, each with one load.
    pub(super) fn workloads(&self) -> Vec<Workload> {
        let each = |workload: &Workload| match &workload.load {
            Load::One(_) => vec![workload.clone()],
            Load::Several(loads) => {
                let one = |&load: &f64| Workload {
                    name: format!("{} at {load}", workload.name),
                    load: Load::One(load),
                    ..workload.clone()
                };
                loads.iter().map(one).collect()
            }
        };
        self.workloads.iter().flat_map(each).collect()
    }

    /// Whether a policy of it has to be trained first.
    pub(super) fn trains(&self) -> bool {
        self.policies.iter().any(|policy| policy.is_trained())
    }

    /// Where a file is that the configuration names.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        name = "test"
        policies = ["fsched", "unmanaged"]
        [[workloads]]
        name = "even"
        load = [0.3, 0.5]
        calls = { kind = "synthetic", pattern = "bursty", functions = 3, length = "1m" }
        [[workloads]]
        name = "cliffs"
        load = 0.5
        calls = { kind = "adversarial", functions = "cliffs", synthetic = {} }
    "#;

    #[test]
    fn loads_become_workloads_and_defaults_are_filled_in() {
        let experiment = Experiment::parse(GOOD).unwrap();
        let names: Vec<String> = experiment.workloads().into_iter().map(|workload| workload.name).collect();
        assert_eq!(names, ["even at 0.3", "even at 0.5", "cliffs"]);
        assert_eq!((experiment.seeds, experiment.benchmarked), (10, 2));
        assert!(experiment.trains());
    }

    #[test]
    fn the_examples_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sim");
        let files: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() >= 5, "{files:?}");
        for file in files {
            Experiment::read(&file).unwrap();
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let cases = [
            ("name = \"test\"", "name = \"test\"\nseeds = 0", "seeds"),
            ("\"fsched\", \"unmanaged\"", "", "policies"),
            ("\"unmanaged\"", "\"magic\"", "magic"),
            ("load = 0.5", "load = -1.0", "cliffs"),
            ("load = [0.3, 0.5]", "load = []", "even"),
            ("functions = 3", "functions = 0", "even at 0.3"),
            ("load = 0.5", "load = 0.5\ncolour = 1", "colour"),
            ("name = \"test\"", "name = \"test\"\ncluster = { ways = 40 }", "40"),
        ];
        for (from, to, named) in cases {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            let error = format!("{:#}", Experiment::parse(&text).unwrap_err());
            assert!(error.contains(named), "{to}: {error}");
        }
    }
}
