//! The policies by name; the default predictor, trained on other functions than those that run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use fsched_core::predictor::engine::dataset::{Dataset, family};
use fsched_core::predictor::engine::learning::Lessons;
use fsched_core::predictor::engine::model::Model;
use fsched_core::predictor::engine::training::{self, Recipe};
use fsched_core::predictor::{Choice, MlpPredictor, Predictor, PredictorConfig};
use fsched_core::scheduler::{Scheduler, SchedulerConfig};
use fsched_sim::policy::{self, Platform, Predictions, Rival, Scene};
use serde::{Deserialize, Serialize};

use super::config::Experiment;
use super::scene::Setting;
use crate::progress;

/// What can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Policy {
    /// The platform's defaults.
    Fsched,
    /// The same with true curves.
    FschedTrue,
    /// The same with the interpolating predictor.
    FschedInterpolating,
    /// The platform's predictor and splitting, but placed where the most cores are free.
    FschedLeastLoaded,
    Unmanaged,
    Equal,
    Original,
    Casy,
    Ucp,
    Optimum,
}

impl std::str::FromStr for Policy {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let value = toml::Value::String(name.to_owned());
        value.try_into().context("there is no such policy")
    }
}

impl Policy {
    /// What it is called in files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fsched => "fsched",
            Self::FschedTrue => "fsched_true",
            Self::FschedInterpolating => "fsched_interpolating",
            Self::FschedLeastLoaded => "fsched_least_loaded",
            Self::Unmanaged => "unmanaged",
            Self::Equal => "equal",
            Self::Original => "original",
            Self::Casy => "casy",
            Self::Ucp => "ucp",
            Self::Optimum => "optimum",
        }
    }

    /// What it is, in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Fsched => "the platform's defaults, its predictor trained on other functions",
            Self::FschedTrue => "the same with true curves",
            Self::FschedInterpolating => "the same with the interpolating predictor",
            Self::FschedLeastLoaded => {
                "the platform's predictor and splitting, placed where most cores are free"
            }
            Self::Unmanaged => "no allocation, placed where most cores are free",
            Self::Equal => "equal static parts, placed where most cores are free",
            Self::Original => {
                "the original fsched: asymptotic predictor, best fit on a picture 5 s old, nothing reserved"
            }
            Self::Casy => "CASY-like: nearest input size, fixed overlapping masks, the least stressed cache",
            Self::Ucp => "UCP on each worker with perfect monitors, placed where most cores are free",
            Self::Optimum => {
                "placed and divided so that the slowdowns of each moment add up to the least, by true curves and by trying everything"
            }
        }
    }

    /// Whether it needs a trained model.
    pub(super) fn is_trained(self) -> bool {
        matches!(self, Self::Fsched | Self::FschedLeastLoaded)
    }

    /// Its parts for the simulator.
    pub(super) fn build(self, model: Option<&Arc<Model>>) -> Arc<dyn policy::Policy> {
        let platform = |predictions| {
            Arc::new(Platform { scheduler: SchedulerConfig::default(), predictions })
                as Arc<dyn policy::Policy>
        };
        let trained = |scheduler| {
            let model = model.map_or_else(|| Arc::new(Model::pretrained()), Arc::clone);
            Arc::new(Trained { model, scheduler }) as Arc<dyn policy::Policy>
        };
        match self {
            Self::Fsched => trained(SchedulerConfig::default()),
            Self::FschedLeastLoaded => trained(SchedulerConfig::LeastLoaded {}),
            Self::FschedTrue => platform(Predictions::Oracle(1.0)),
            Self::FschedInterpolating => platform(Predictions::Learnt(PredictorConfig::Interpolating {})),
            Self::Unmanaged => Arc::new(Rival::Unmanaged),
            Self::Equal => Arc::new(Rival::Equal),
            Self::Original => Arc::new(Rival::Original),
            Self::Casy => Arc::new(Rival::Casy),
            Self::Ucp => Arc::new(Rival::Ucp),
            Self::Optimum => Arc::new(Rival::Optimum),
        }
    }
}

/// The platform with a model of its own.
struct Trained {
    model: Arc<Model>,
    scheduler: SchedulerConfig,
}

impl std::fmt::Debug for Trained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trained").field("scheduler", &self.scheduler).finish_non_exhaustive()
    }
}

impl policy::Policy for Trained {
    fn predictor(&self, _: &Scene) -> Box<dyn Predictor> {
        Box::new(MlpPredictor::new(Arc::clone(&self.model), Choice::default()))
    }

    fn scheduler(&self, _: &Scene) -> Box<dyn Scheduler> {
        self.scheduler.build()
    }
}

/// Models by the families whose functions run, none of which they were trained on.
#[derive(Default)]
pub(super) struct Models(BTreeMap<BTreeSet<String>, Arc<Model>>);

impl Models {
    /// Trains those that these policies need with these seeds.
    ///
    /// # Errors
    /// Where training fails.
    pub(super) fn train(
        experiment: &Experiment,
        setting: &Setting,
        policies: &[Policy],
        seeds: &[u64],
    ) -> anyhow::Result<Self> {
        let mut models = Self::default();
        let Some(dataset) = setting.dataset().filter(|_| policies.iter().any(|policy| policy.is_trained()))
        else {
            return Ok(models);
        };
        let held: BTreeSet<BTreeSet<String>> =
            seeds.iter().map(|&seed| setting.families(experiment.functions.assignment, seed)).collect();
        let recipe = Recipe::default();
        let bar = progress::bar((held.len() * recipe.epochs * recipe.networks) as u64);
        bar.set_message("training");
        for families in held {
            let model = train(dataset, &families, &recipe, &mut || bar.inc(1))?;
            models.0.insert(families, Arc::new(model));
        }
        bar.finish_and_clear();
        Ok(models)
    }

    /// The one that was trained on none of these families; none: there is nothing to train on, and the pretrained one knows none of them.
    pub(super) fn without(&self, families: &BTreeSet<String>) -> Option<&Arc<Model>> {
        self.0.get(families)
    }
}

fn train(
    dataset: &Dataset,
    held: &BTreeSet<String>,
    recipe: &Recipe,
    progress: &mut dyn FnMut(),
) -> anyhow::Result<Model> {
    let mut others = dataset.clone();
    for functions in others.columns.values_mut() {
        functions.retain(|function| !held.contains(family(&function.name)));
    }
    let lessons = Lessons::of(&others);
    let networks =
        training::train(&lessons.examples(|_| true), recipe, progress).context("training failed")?;
    Ok(lessons.model(networks, |_| true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_named_as_in_files() {
        use Policy::{
            Casy, Equal, Fsched, FschedInterpolating, FschedLeastLoaded, FschedTrue, Optimum, Original, Ucp,
            Unmanaged,
        };
        for policy in [
            Fsched,
            FschedTrue,
            FschedInterpolating,
            FschedLeastLoaded,
            Unmanaged,
            Equal,
            Original,
            Casy,
            Ucp,
            Optimum,
        ] {
            assert_eq!(policy.name().parse::<Policy>().unwrap(), policy);
            assert!(!policy.words().is_empty());
        }
        assert!("magic".parse::<Policy>().is_err());
    }
}
