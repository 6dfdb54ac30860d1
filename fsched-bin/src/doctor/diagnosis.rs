//! What follows from the facts: whether masks will be enforced, what fsched does, where CPUID and kernel disagree.

use fsched_core::cache::CacheGeometry;
use fsched_core::host::Claims;
use fsched_core::host::resctrl::{Filesystem, Offer};

use super::Facts;
use super::cure::{self, Cure};
use crate::exit;

/// Whether masks will be enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// They will.
    Enforced,
    /// They will not, because of this; a command would change that.
    NotYet(String),
    /// They will not, because of this, and no command changes that.
    NotHere(String),
}

impl Verdict {
    /// See [`exit`].
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Enforced => exit::DONE,
            Self::NotYet(_) => exit::NOT_ENFORCED_YET,
            Self::NotHere(_) => exit::NOT_ENFORCED_HERE,
        }
    }
}

/// What follows from the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Whether masks will be enforced.
    pub verdict: Verdict,
    /// What fsched does with what there is, in sentences.
    pub plan: Vec<String>,
    /// What is odd, in sentences: disagreements, assumptions.
    pub notes: Vec<String>,
    /// What would help.
    pub cures: Vec<Cure>,
}

impl Diagnosis {
    /// Draws the conclusions.
    pub fn of(facts: &Facts) -> Self {
        let verdict = verdict(facts);
        let mut notes = facts.topology.notes.clone();
        notes.extend(disagreements(facts));
        notes.extend(foreign(facts));
        notes.extend(of_workers(facts));
        notes.extend(intruders(facts));
        Self { plan: plan(facts, &verdict), notes, cures: cure::all(facts), verdict }
    }
}

/// The shapes of the caches as resctrl would have them, those that cannot be divided left out.
pub(super) fn geometries(facts: &Facts, offer: &Offer) -> Vec<CacheGeometry> {
    let sizes = facts.topology.domains.iter().map(|domain| domain.geometry.size);
    sizes.filter_map(|size| offer.geometry(size)?.ok()).collect()
}

/// Classes that are left for us.
pub(super) fn classes_left(facts: &Facts, offer: &Offer) -> usize {
    usize::from(offer.usable_classes()).saturating_sub(facts.groups.foreign.len())
}

fn verdict(facts: &Facts) -> Verdict {
    let (mount, offer) = match (&facts.filesystem, &facts.offer) {
        (Filesystem::Absent, _) if facts.can_divide() => {
            return Verdict::NotYet("the processor can divide its L3, the kernel has no resctrl".to_owned());
        }
        (Filesystem::Absent, _) => {
            return Verdict::NotHere("neither kernel nor processor can divide the L3".to_owned());
        }
        (Filesystem::Unmounted, _) if facts.can_divide() || !is_x86(facts) => {
            return Verdict::NotYet("resctrl is not mounted".to_owned());
        }
        (Filesystem::Unmounted, _) => {
            return Verdict::NotHere("the kernel's resctrl has no L3 to divide".to_owned());
        }
        (Filesystem::Mounted(_), Some(Err(why))) => return Verdict::NotHere(format!("resctrl: {why}")),
        (Filesystem::Mounted(_), None) => return Verdict::NotHere("resctrl says nothing".to_owned()),
        (Filesystem::Mounted(mount), Some(Ok(offer))) => (mount, offer),
    };
    if offer.cache.is_none() {
        Verdict::NotHere("resctrl does not offer to divide the L3 (it may monitor it)".to_owned())
    } else if offer.usable_classes() == 0 || geometries(facts, offer).is_empty() {
        Verdict::NotHere("resctrl leaves nothing that could be divided".to_owned())
    } else if mount.read_only {
        Verdict::NotYet("resctrl is mounted read-only".to_owned())
    } else if !facts.rights.divides {
        Verdict::NotYet(format!("user {} may not write to resctrl", facts.rights.user))
    } else if classes_left(facts, offer) == 0 {
        Verdict::NotYet("the control groups of others hold all classes".to_owned())
    } else {
        Verdict::Enforced
    }
}

fn is_x86(facts: &Facts) -> bool {
    matches!(facts.architecture, "x86" | "x86_64")
}

fn plan(facts: &Facts, verdict: &Verdict) -> Vec<String> {
    let mut plan = Vec::new();
    match (verdict, facts.offer()) {
        (Verdict::Enforced, Some(offer)) => {
            let classes = classes_left(facts, offer);
            for (domain, geometry) in facts.topology.domains.iter().zip(geometries(facts, offer)) {
                plan.push(format!(
                    "L3 {}: up to {} of {} ways for functions, {} each, in up to {classes} classes",
                    domain.id,
                    geometry.usable_ways(),
                    geometry.ways,
                    geometry.way_size(),
                ));
            }
            plan.push("masks are enforced, and answers say so".to_owned());
            plan.push(match &offer.monitoring {
                Some(monitoring) if !monitoring.events.is_empty() => {
                    format!("shown of each class: {}", monitoring.events.join(", "))
                }
                _ => "what each class holds is not shown: the L3 is not monitored here".to_owned(),
            });
        }
        _ => {
            plan.push(
                "masks are worked out, shown as not enforced, and every function can use the whole L3"
                    .to_owned(),
            );
            plan.push("functions are benchmarked with the whole L3 only".to_owned());
        }
    }
    plan.push(format!("memory of functions: {}", facts.limits.memory));
    plan.push(format!("processes of functions: {}", facts.limits.processes));
    plan
}

/// Where CPUID says something else than the kernel.
fn disagreements(facts: &Facts) -> Vec<String> {
    let Some(claims) = &facts.claims else { return Vec::new() };
    let pairs = match facts.offer() {
        Some(offer) => against_offer(claims, offer),
        None => against_features(claims, facts),
    };
    let differ = |(what, cpuid, kernel): (&str, String, String)| {
        (cpuid != kernel)
            .then(|| format!("{what}: CPUID says {cpuid}, the kernel {kernel}; the kernel's word counts"))
    };
    pairs.into_iter().filter_map(differ).collect()
}

type Pair = (&'static str, String, String);

fn against_offer(claims: &Claims, offer: &Offer) -> Vec<Pair> {
    let none = || "none".to_owned();
    let cache = |ways: u32, classes: u32| format!("{ways} ways and {classes} classes");
    let claimed = claims.l3.map_or_else(none, |l3| cache(u32::from(l3.ways), l3.classes));
    let halves = |found: &fsched_core::host::resctrl::CacheOffer| if found.code_and_data { 2 } else { 1 };
    let offered = offer.cache.map_or_else(none, |found| {
        cache(u32::from(found.all.ways().get()), u32::from(found.classes) * halves(&found))
    });
    let classes = |classes: u32| format!("{classes} classes");
    let yes_or_none = |there: bool| if there { "some".to_owned() } else { none() };
    vec![
        ("division of the L3", claimed, offered),
        (
            "division of memory bandwidth",
            claims.bandwidth.map_or_else(none, |found| classes(found.classes)),
            offer.bandwidth.map_or_else(none, |found| classes(u32::from(found.classes))),
        ),
        (
            "monitoring of the L3",
            yes_or_none(claims.monitoring.is_some_and(|found| found.occupancy || found.bandwidth)),
            yes_or_none(offer.monitoring.is_some()),
        ),
    ]
}

/// Where resctrl is not mounted, the kernel has said something all the same: in the features of the processor.
fn against_features(claims: &Claims, facts: &Facts) -> Vec<Pair> {
    let word = |there: bool| if there { "some".to_owned() } else { "none".to_owned() };
    let has = |feature: &str| word(facts.processor.features.contains(feature));
    let monitoring = claims.monitoring;
    vec![
        ("division of the L3", word(claims.l3.is_some()), has("cat_l3")),
        ("division of memory bandwidth", word(claims.bandwidth.is_some()), has("mba")),
        ("monitoring of the L3", word(monitoring.is_some_and(|found| found.occupancy)), has("cqm_occup_llc")),
    ]
}

/// What workers of fsched hold: each goes on with its own when it is started again, and another finds what is left.
fn of_workers(facts: &Facts) -> Option<String> {
    let (workers, offer) = (facts.groups.workers(), facts.offer()?);
    let each = workers.iter().map(|(key, groups)| format!("{key} ({groups})")).collect::<Vec<_>>().join(", ");
    let left = classes_left(facts, offer).saturating_sub(facts.groups.ours.len());
    (!workers.is_empty()).then(|| {
        format!("workers of fsched hold classes and go on with them when they are started again: {each}; for another worker {left} are left")
    })
}

/// Who can fill ways that a function has exclusively.
fn intruders(facts: &Facts) -> Option<String> {
    let intruders = &facts.groups.intruders;
    (!intruders.is_empty()).then(|| {
        format!(
            "control groups of others can fill ways that a function has exclusively now, which is not kept apart from what runs in them: {}",
            named(intruders)
        )
    })
}

/// The first few of them.
fn named(groups: &[String]) -> String {
    let names = groups.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
    if groups.len() > 8 { format!("{names}, ...") } else { names }
}

fn foreign(facts: &Facts) -> Option<String> {
    let foreign = &facts.groups.foreign;
    (!foreign.is_empty()).then(|| {
        format!(
            "{} control groups are of others, hold a class each, and are left alone: {}",
            foreign.len(),
            named(foreign)
        )
    })
}
