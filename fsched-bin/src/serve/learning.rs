//! Has the predictor's networks trained on what this platform has seen of its own functions, beside the requests.
//!
//! A child process learns ([`retrain`](crate::predictor::retrain)); functions whose names' hash says so are never learnt from, and say
//! whether what came out is better than the model in use. Only then it takes its place, and a restarted master begins with it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use fsched_core::function::FunctionName;
use fsched_core::id::FunctionId;
use fsched_core::node::MasterNode;
use fsched_core::predictor::ModelSlot;
use fsched_core::predictor::engine::dataset::FunctionCurves;
use fsched_core::predictor::engine::model::Model;
use fsched_core::predictor::engine::platform;
use fsched_http::master::MasterNumbers;
use metrics::{Counter, Label};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::predictor::retrain::{ARGUMENT, Job, Scores};
use crate::predictor::{THREADS, THREADS_VARIABLE};
use crate::settings::TrainingSettings;

/// The most functions that are learnt from: the newest. Time and memory grow with them.
const MAX_FUNCTIONS: usize = 256;
/// The least functions to check with.
const LEAST_CHECKED: usize = 2;
/// The longest answer of the child that is read, bytes.
const MAX_ANSWER: u64 = 4096;

/// The models of a master, in its data directory.
#[derive(Debug, Clone)]
pub(super) struct Models(PathBuf);

impl Models {
    /// In this folder, which is made.
    pub(super) fn open(data_dir: &Path) -> anyhow::Result<Self> {
        let folder = data_dir.join("models");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let models = Self(folder);
        // What a training that was ended left behind.
        for left in [models.candidate(), models.learn(), models.check()] {
            if left.exists() {
                fs::remove_file(&left).with_context(|| format!("cannot remove {}", left.display()))?;
            }
        }
        Ok(models)
    }

    fn current(&self) -> PathBuf {
        self.0.join("current.safetensors")
    }

    fn previous(&self) -> PathBuf {
        self.0.join("previous.safetensors")
    }

    fn candidate(&self) -> PathBuf {
        self.0.join("candidate.safetensors")
    }

    fn learn(&self) -> PathBuf {
        self.0.join("learn.csv")
    }

    fn check(&self) -> PathBuf {
        self.0.join("check.csv")
    }

    /// The newest that can be used.
    pub(super) fn newest(&self) -> Option<Model> {
        [self.current(), self.previous()].iter().filter(|path| path.exists()).find_map(|path| {
            let read = read(path);
            if let Err(error) = &read {
                tracing::warn!("leaving a trained model aside: {error:#}");
            }
            read.ok()
        })
    }

    /// Makes the candidate the current one, so that the death of the machine leaves the one or the other.
    fn adopt(&self) -> anyhow::Result<()> {
        File::open(self.candidate())?.sync_all()?;
        // A current one that cannot be used must not take the place of a previous one that can.
        if read(&self.current()).is_ok() {
            fs::rename(self.current(), self.previous())?;
        }
        fs::rename(self.candidate(), self.current())?;
        File::open(&self.0)?.sync_all()?;
        Ok(())
    }
}

/// Reads and checks a model.
fn read(path: &Path) -> anyhow::Result<Model> {
    let length = fs::metadata(path).with_context(|| path.display().to_string())?.len();
    ensure!(length <= Model::MAX_BYTES as u64, "{} is too large for a model", path.display());
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    Model::read(&bytes).with_context(|| path.display().to_string())
}

/// Trains when enough was learnt.
pub(super) struct Learner {
    pub(super) node: Arc<MasterNode>,
    pub(super) slot: ModelSlot,
    pub(super) models: Models,
    pub(super) settings: TrainingSettings,
    results: [Counter; 3],
}

/// What a training came to; the places of [`Learner::results`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Adopted,
    Kept,
    Failed,
}

impl Learner {
    pub(super) fn new(
        node: Arc<MasterNode>,
        slot: ModelSlot,
        models: Models,
        settings: TrainingSettings,
        numbers: &MasterNumbers,
    ) -> Self {
        let results = ["adopted", "kept", "failed"].map(|result| {
            let help = "Trainings of the predictor on this platform's functions, by what came of them.";
            let labels = vec![Label::new("result", result)];
            numbers.metrics().counter("fsched_predictor_trainings_total", help, labels)
        });
        Self { node, slot, models, settings, results }
    }

    /// Looks from time to time whether there is enough to learn, for good. Dropped, it ends the child.
    pub(super) async fn run(self) {
        // What was known when the master was started was learnt from before, or is too little.
        let mut learnt: BTreeSet<FunctionId> =
            if self.models.newest().is_some() { ids(&self.lessons().await) } else { BTreeSet::new() };
        loop {
            tokio::time::sleep(self.settings.every.0).await;
            let functions = self.lessons().await;
            let now = ids(&functions);
            if now.difference(&learnt).count() < self.settings.functions {
                continue;
            }
            let came = match self.train(functions).await {
                Ok(Some(scores)) if scores.after < scores.before => Came::Adopted,
                Ok(Some(_)) => Came::Kept,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!("training the predictor failed; the old model stays: {error:#}");
                    Came::Failed
                }
            };
            self.results[came as usize].increment(1);
            learnt = now;
        }
    }

    /// What is known well of the newest functions, one short look at the master after the other.
    async fn lessons(&self) -> Vec<(FunctionId, bool, FunctionCurves)> {
        let mut newest: Vec<(FunctionId, bool, bool)> = self.node.read(|master| {
            let told = |f: &fsched_core::function::Function| {
                (f.id, f.spec.runtime() == Some("python"), is_checked(&f.spec.name))
            };
            master.newest().map(told).collect()
        });
        newest.sort_unstable_by_key(|(id, ..)| std::cmp::Reverse(*id));
        let mut lessons = Vec::new();
        for (id, python, checked) in newest {
            let lesson = self.node.read(|master| master.lesson(id));
            // As the names of curves tell what is started with them.
            let name = format!("{}{id}", if python { "py_" } else { "" });
            lessons.extend(platform::curves(name, &lesson).map(|curves| (id, checked, curves)));
            if lessons.len() == MAX_FUNCTIONS {
                break;
            }
            tokio::task::yield_now().await;
        }
        lessons
    }

    /// None: there is too little to check with, or to learn from.
    async fn train(
        &self,
        functions: Vec<(FunctionId, bool, FunctionCurves)>,
    ) -> anyhow::Result<Option<Scores>> {
        let (check, learn): (Vec<_>, Vec<_>) = functions.into_iter().partition(|(_, checked, _)| *checked);
        if check.len() < LEAST_CHECKED || learn.is_empty() {
            return Ok(None);
        }
        let count = learn.len();
        for (path, functions) in [(self.models.learn(), learn), (self.models.check(), check)] {
            let functions: Vec<FunctionCurves> = functions.into_iter().map(|(.., curves)| curves).collect();
            fs::write(&path, platform::write(&functions))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        // What is in use is what has to be beaten, wherever it came from.
        let current = self.models.0.join("in-use.safetensors");
        fs::write(&current, self.slot.model().write())?;
        let job = Job {
            learn: self.models.learn(),
            check: self.models.check(),
            current: Some(current),
            out: self.models.candidate(),
            epochs: self.settings.epochs,
            seconds: self.settings.limit.0.as_secs().max(1),
        };
        tracing::info!(functions = count, "training the predictor");
        let scores = tokio::time::timeout(self.settings.limit.0, child(&job))
            .await
            .with_context(|| format!("not done after {}", self.settings.limit))??;
        let model = read(&self.models.candidate())?;
        if scores.after < scores.before {
            self.models.adopt().context("cannot keep the new model")?;
            self.slot.replace(Arc::new(model));
            tracing::info!(before = scores.before, after = scores.after, "the predictor has a new model");
        } else {
            tracing::info!(
                before = scores.before,
                after = scores.after,
                "the new model is no better: the old one stays"
            );
        }
        Ok(Some(scores))
    }
}

fn ids(functions: &[(FunctionId, bool, FunctionCurves)]) -> BTreeSet<FunctionId> {
    functions.iter().map(|(id, ..)| *id).collect()
}

/// Whether functions of that name check, and are never learnt from: one name in four, and all its versions.
fn is_checked(name: &FunctionName) -> bool {
    // FNV-1a (Fowler, Noll, Vo).
    let hash = name.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash >> 62 == 0
}

/// The process that learns. Killed when this is dropped; it also ends when its standard input is closed, however we ended.
async fn child(job: &Job) -> anyhow::Result<Scores> {
    let program = std::env::current_exe().context("cannot find our own executable")?;
    let mut child = tokio::process::Command::new(&program)
        .arg(ARGUMENT)
        .env(THREADS_VARIABLE, THREADS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut lifeline = child.stdin.take().context("no pipe to the child")?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let mut order = serde_json::to_vec(job)?;
    order.push(b'\n');
    lifeline.write_all(&order).await.context("cannot say what to do")?;
    let (mut answer, mut trouble) = (String::new(), String::new());
    let mut out = out.context("no pipe from the child")?.take(MAX_ANSWER);
    let mut err = err.context("no pipe from the child")?.take(MAX_ANSWER);
    let (out, err) = tokio::join!(out.read_to_string(&mut answer), err.read_to_string(&mut trouble));
    out.context("cannot read its answer")?;
    err.context("cannot read its troubles")?;
    let status = child.wait().await.context("cannot wait for it")?;
    if !status.success() {
        bail!("it ended with {status}: {}", trouble.trim());
    }
    serde_json::from_str(&answer).context("its answer makes no sense")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models() -> (tempfile::TempDir, Models) {
        let folder = tempfile::tempdir().unwrap();
        let models = Models::open(folder.path()).unwrap();
        (folder, models)
    }

    #[test]
    fn one_name_in_four_is_for_checking_whatever_its_version() {
        let checked = (0..1000).filter(|i| is_checked(&format!("resize-{i}.py").parse().unwrap())).count();
        assert!((200..300).contains(&checked), "{checked}");
    }

    #[test]
    fn a_damaged_model_is_left_aside_for_the_one_before() {
        let (_folder, models) = models();
        assert!(models.newest().is_none());
        let mut model = Model::pretrained();
        model.networks.truncate(1);
        fs::write(models.candidate(), model.write()).unwrap();
        models.adopt().unwrap();
        fs::write(models.candidate(), Model::pretrained().write()).unwrap();
        models.adopt().unwrap();
        assert_eq!(models.newest(), Some(Model::pretrained()));
        for damage in [&b"nothing"[..], &[0; 100], &[]] {
            fs::write(models.current(), damage).unwrap();
            assert_eq!(models.newest().as_ref(), Some(&model), "{damage:?}");
        }
        fs::write(models.candidate(), Model::pretrained().write()).unwrap();
        models.adopt().unwrap();
        fs::remove_file(models.current()).unwrap();
        assert_eq!(models.newest(), Some(model), "what is damaged does not become the one before");
    }

    #[test]
    fn what_an_ended_training_left_is_removed() {
        let (folder, models) = models();
        fs::write(models.candidate(), "half").unwrap();
        let models = Models::open(folder.path()).unwrap();
        assert!(!models.candidate().exists());
    }
}
