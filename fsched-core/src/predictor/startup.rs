//! What starting a runtime costs, as told by the smallest runs of the functions that share it.

use std::collections::BTreeMap;

use crate::curve::Provenance;
use crate::function::{Function, FunctionName};
use crate::id::FunctionId;
use crate::predictor::engine::candidates::Known;
use crate::predictor::engine::shape::{Point, Shape, join};
use crate::tenant::Tenant;

/// The start-up curves of runtimes.
///
/// Nothing but what is known of functions now: whatever order they came in, and whoever was forgotten since.
#[derive(Debug, Default)]
pub(super) struct Startups {
    functions: BTreeMap<FunctionId, Told>,
    runtimes: BTreeMap<(&'static str, Provenance), Runtime>,
    stamp: u64,
}

/// A function that runs in a runtime.
#[derive(Debug)]
struct Told {
    runtime: &'static str,
    owner: Owner,
    /// Where its smallest curve is kept.
    kept: Option<Provenance>,
}

/// Whose a function is, and what it is called.
#[derive(Debug, Clone, PartialEq)]
struct Owner {
    tenant: Tenant,
    name: FunctionName,
}

impl Owner {
    /// No tenant learns from another's functions; and versions of one function say nothing about each other's start-up.
    fn learns_from(&self, other: &Self) -> bool {
        self.tenant == other.tenant && self.name != other.name
    }
}

/// The smallest curves of the functions in a runtime.
type Runtime = BTreeMap<FunctionId, Smallest>;

/// The most curves of which one is taken for a function's start-up.
const MAX_CURVES: usize = 16;

/// The curve of a function's smallest input: bytes, and the logarithm of seconds.
#[derive(Debug, PartialEq)]
struct Smallest {
    owner: Owner,
    points: Vec<Point>,
}

impl Startups {
    /// A function was pushed.
    pub(super) fn introduce(&mut self, function: &Function) {
        let Some(runtime) = function.spec.runtime() else { return };
        let owner = Owner { tenant: function.spec.tenant.clone(), name: function.spec.name.clone() };
        self.functions.insert(function.id, Told { runtime, owner, kept: None });
    }

    /// Whether a function runs in a runtime.
    pub(super) fn knows(&self, function: FunctionId) -> bool {
        self.functions.contains_key(&function)
    }

    /// Changes whenever some start-up curve does.
    pub(super) fn stamp(&self) -> u64 {
        self.stamp
    }

    /// What is known of a function's sizes has changed; `unit` is bytes.
    pub(super) fn learn(&mut self, function: FunctionId, known: &Known, unit: f64, provenance: Provenance) {
        let Some(told) = self.functions.get_mut(&function) else { return };
        let first = known.seen.first().filter(|_| provenance != Provenance::Prior);
        let smallest = first.map(|seen| Smallest {
            owner: told.owner.clone(),
            points: seen.points.iter().map(|(units, t)| (units * unit, *t)).collect(),
        });
        let now = smallest.is_some().then_some(provenance);
        let before = std::mem::replace(&mut told.kept, now);
        let runtime = told.runtime;
        if let Some(before) = before.filter(|_| before != now) {
            self.change(runtime, before, function, None);
        }
        if smallest.is_some() {
            self.change(runtime, provenance, function, smallest);
        }
    }

    /// A function was removed.
    pub(super) fn forget(&mut self, function: FunctionId) {
        let Some(Told { runtime, kept: Some(kept), .. }) = self.functions.remove(&function) else { return };
        self.change(runtime, kept, function, None);
    }

    /// Curves that the start-up of a function may have, by units of so many bytes: of the smallest runs of other functions in its
    /// runtime, at most [`MAX_CURVES`] from the fastest to the slowest.
    pub(super) fn of(&self, function: FunctionId, unit: f64, provenance: Provenance) -> Vec<Shape> {
        let Some(told) = self.functions.get(&function) else { return Vec::new() };
        let runtime = self.runtimes.get(&(told.runtime, provenance));
        let others = runtime
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter(|other| told.owner.learns_from(&other.owner));
        let mut others: Vec<&Smallest> = others.collect();
        others.sort_by(|a, b| a.seconds().total_cmp(&b.seconds()));
        let step = others.len().div_ceil(MAX_CURVES).max(1);
        let shape = |other: &Smallest| {
            join(&other.points.iter().map(|(bytes, t)| (bytes / unit, *t)).collect::<Vec<Point>>())
        };
        others.into_iter().step_by(step).map(shape).collect()
    }

    fn change(
        &mut self,
        name: &'static str,
        provenance: Provenance,
        function: FunctionId,
        now: Option<Smallest>,
    ) {
        let runtime = self.runtimes.entry((name, provenance)).or_default();
        if runtime.get(&function) == now.as_ref() {
            return;
        }
        match now {
            Some(now) => runtime.insert(function, now),
            None => runtime.remove(&function),
        };
        self.stamp += 1;
    }
}

impl Smallest {
    /// The logarithm of seconds with the most cache.
    fn seconds(&self) -> f64 {
        self.points.last().map_or(f64::INFINITY, |p| p.1)
    }
}
