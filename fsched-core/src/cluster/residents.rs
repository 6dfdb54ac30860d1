//! Who runs in a domain, as far as splitting its cache goes.

use std::sync::Arc;
use std::time::Duration;

use super::row::Row;
use crate::cache::CacheGeometry;
use crate::curve::Curve;
use crate::function::Isolation;
use crate::id::AttemptId;
use crate::invocation::Weight;
use crate::maps::Few;
use crate::split::{self, Runner};
use crate::time::Timestamp;

/// How many times longer everything takes on a worker than on the one that curves speak of, in sixteenths of an
/// octave (steps of 4.4 %), between a quarter and four times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pace(i8);

impl Pace {
    /// The nearest step to `factor`; what is no factor counts as 1.
    pub fn of(factor: f64) -> Self {
        let steps = if factor > 0.0 && factor.is_finite() { (factor.log2() * 16.0).round() } else { 0.0 };
        Self(steps.clamp(-32.0, 32.0) as i8)
    }

    /// The factor.
    pub fn factor(self) -> f64 {
        (f64::from(self.0) / 16.0).exp2()
    }
}

/// One that runs in a domain or is on its way there.
#[derive(Debug, Clone, PartialEq)]
pub struct Resident {
    /// How its time depends on cache.
    pub curve: Arc<Curve>,
    /// How much its time counts; 1 for most.
    pub weight: Weight,
    /// Whether others may share its ways.
    pub isolation: Isolation,
    /// Since when it is there.
    pub since: Timestamp,
    /// How long it should take in all.
    pub expected: Duration,
}

impl Resident {
    /// How much of it is still to come, as a share: never below a tenth, as nobody knows when one ends that is overdue.
    pub fn left(&self, now: Timestamp) -> f64 {
        let expected = self.expected.as_secs_f64();
        let spent = now.since(self.since).as_secs_f64();
        if expected > 0.0 { (1.0 - spent / expected).max(0.1) } else { 1.0 }
    }
}

/// A function is insensitive to a cache where the smallest mask costs it at most this part of its time.
pub const INSENSITIVE: f64 = 0.01;

/// Whether more cache than the smallest mask makes it noticeably faster here.
pub fn is_sensitive(curve: &Curve, geometry: &CacheGeometry) -> bool {
    if let [_] = curve.points() {
        return false;
    }
    let slowest = curve.seconds(geometry, geometry.min_ways);
    let fastest = curve.seconds(geometry, geometry.usable_ways());
    slowest > fastest * (1.0 + INSENSITIVE)
}

/// What a second of a run counts while it runs: its [`worth`](split::worth) over the time that it takes with all the cache that its curve
/// knows of, so that it is the same wherever it is looked at.
pub fn worth_of_a_second(curve: &Curve) -> f64 {
    let fastest = curve.points().last().map_or(1.0, |point| point.seconds);
    split::worth(fastest) / fastest
}

/// What a row was made for.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Basis {
    geometry: CacheGeometry,
    pace: Pace,
    exclusive: u8,
}

/// A resident, and what it comes to in its domain.
#[derive(Debug, Clone, PartialEq)]
struct Seated {
    resident: Resident,
    role: Role,
}

/// How a resident shares.
#[derive(Debug, Clone, PartialEq)]
enum Role {
    /// Not looked at yet, or in a cache of another shape.
    Unknown,
    /// More cache than the smallest mask does not help it.
    Light,
    /// Its times by ways, seconds.
    Sensitive(Box<split::Row>),
}

impl Role {
    fn of(curve: &Curve, geometry: &CacheGeometry) -> Self {
        if is_sensitive(curve, geometry) {
            Self::Sensitive(Box::new(split::Row::times(curve, geometry)))
        } else {
            Self::Light
        }
    }
}

/// Who runs in a domain, and the last row of the split of its ways among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Residents {
    all: Few<AttemptId, Seated>,
    row: Row,
    /// The cache whose ways the times are for.
    shape: Option<CacheGeometry>,
    /// What the row was made for; none: it has to be made anew.
    basis: Option<Basis>,
    /// How many ways were kept out of the row, and how many classes there were, where it is over nobody.
    over_nobody: Option<(u8, u16)>,
    /// When somebody came or went last, or the row was found to be out of date.
    at: Timestamp,
    /// Until when the row's remaining times are near enough.
    good_until: Timestamp,
}

impl Residents {
    /// Nobody, in a cache of this shape.
    pub(super) fn none(geometry: &CacheGeometry) -> Self {
        let mut none = Self {
            all: Few::default(),
            row: Row::solve(Vec::new(), geometry, 0, 0),
            shape: None,
            basis: None,
            over_nobody: None,
            at: Timestamp::default(),
            good_until: Timestamp::default(),
        };
        none.settle(geometry, Pace::default(), 0);
        none
    }

    /// Everyone, by attempt.
    pub fn iter(&self) -> impl Iterator<Item = (AttemptId, &Resident)> {
        self.all.iter().map(|(&attempt, seated)| (attempt, &seated.resident))
    }

    /// One of them.
    pub fn get(&self, attempt: AttemptId) -> Option<&Resident> {
        self.all.get(&attempt).map(|seated| &seated.resident)
    }

    /// The last row of the split.
    pub fn row(&self) -> &Row {
        &self.row
    }

    pub(super) fn add(&mut self, now: Timestamp, attempt: AttemptId, resident: Resident) {
        self.all.insert(attempt, Seated { resident, role: Role::Unknown });
        self.outdate(now);
    }

    pub(super) fn remove(&mut self, now: Timestamp, attempt: AttemptId) {
        if self.all.remove(&attempt).is_some() {
            self.outdate(now);
        }
    }

    /// Time has passed: the row is to be made anew where that matters.
    pub(super) fn look(&mut self, now: Timestamp) {
        if now >= self.good_until {
            self.outdate(now);
        }
    }

    fn outdate(&mut self, now: Timestamp) {
        (self.basis, self.at) = (None, self.at.max(now));
    }

    /// Makes the row anew where it is not up to date: exclusive ways are out of it, and whoever gains nothing by cache shares
    /// one smallest mask.
    pub(super) fn settle(&mut self, geometry: &CacheGeometry, pace: Pace, exclusive: u8) {
        let basis = Basis { geometry: *geometry, pace, exclusive };
        if self.basis == Some(basis) {
            return;
        }
        self.basis = Some(basis);
        let shape_changed = self.shape.replace(*geometry) != Some(*geometry);
        let (mut light, mut leases, mut soonest) = (false, 0, f64::INFINITY);
        let (mut runners, mut still) = (Vec::new(), Vec::new());
        for Seated { resident, role } in self.all.values_mut() {
            if resident.isolation == Isolation::Exclusive {
                leases += 1;
                continue;
            }
            if shape_changed || *role == Role::Unknown {
                *role = Role::of(&resident.curve, geometry);
            }
            let Role::Sensitive(times) = role else {
                light = true;
                continue;
            };
            let left = resident.left(self.at);
            soonest = soonest.min(left * resident.expected.as_secs_f64());
            let (factor, weight) = (pace.factor(), resident.weight.get());
            still.push(Runner::new(factor * weight * left, times));
            runners.push(Runner::new(factor * weight * worth_of_a_second(&resident.curve), times));
        }
        let kept = exclusive + if light { geometry.min_ways.get() } else { 0 };
        let classes = geometry.classes.saturating_sub(leases + u16::from(light));
        let over_nobody = runners.is_empty().then_some((kept, classes));
        if shape_changed || over_nobody.is_none() || over_nobody != self.over_nobody {
            if runners.is_empty() {
                let was_vacant = self.over_nobody.is_some() && !shape_changed;
                self.row.vacate(geometry, kept, classes, was_vacant);
            } else {
                let seconds = Row::solve(still, geometry, kept, classes);
                self.row = Row::solve(runners, geometry, kept, classes).priced_by(&seconds);
            }
        }
        self.over_nobody = over_nobody;
        // A row over nobody never ages; else it is good for a quarter of what the first to end has left.
        const NEVER: Duration = Duration::from_secs(1_000_000_000);
        let quarter = |soonest: f64| Duration::from_secs_f64((soonest / 4.0).clamp(1.0, 1e9));
        self.good_until = self.at + if soonest.is_finite() { quarter(soonest) } else { NEVER };
    }
}
