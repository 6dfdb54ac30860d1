//! How real functions react to cache: curve files, and who gets which curve.

use std::collections::BTreeMap;
use std::sync::Arc;

use fsched_core::cache::{Bytes, CacheGeometry, Ways};
use fsched_core::curve::{Curve, CurvePoint, Provenance, Traffic, TrafficPoint};
use fsched_core::function::InputSize;

use crate::SimFunction;
use crate::random::Random;

/// A function's curves, by rising input size; at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// What it is called in its file.
    pub name: String,
    /// Its curves.
    pub curves: Vec<(InputSize, Arc<Curve>)>,
}

/// Why a file holds no profiles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// It is of neither kind.
    #[error(
        "the header needs the columns name, input_size, ways, ll_misses, d1_misses, i1_misses and {column}; or BENCH, NR_WAYS, ipc, llcrpki and llcmpki"
    )]
    Header {
        /// The column of times asked for.
        column: String,
    },
    /// A line cannot be used.
    #[error("line {line}: {what}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// There is nothing in it.
    #[error("there are no curves in it")]
    Empty,
}

/// The size of a cache line, bytes.
const LINE: f64 = 64.0;
/// A way of the cache that functions were simulated with.
const FUNCTION_WAY: u64 = 1 << 20;
/// A way of the machine that SPEC was measured on.
const SPEC_WAY: u64 = 5 << 19;
/// Instructions of a SPEC program that count as one run.
const SPEC_RUN: f64 = 1e9;

#[derive(Debug, Clone, Copy)]
struct Point {
    seconds: f64,
    misses: f64,
    accesses: f64,
}

/// Reads function curves (times from `column`) or SPEC programs by ways: the header says which. A time or a miss count that rises with cache is
/// taken for noise, and kept at what it was.
///
/// # Errors
/// Says what is wrong, and where.
pub fn parse(text: &str, column: &str) -> Result<Vec<Profile>, ProfileError> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header: Vec<&str> =
        lines.next().map(|(_, line)| line.split(',').map(str::trim).collect()).unwrap_or_default();
    let places = |names: &[&str]| -> Option<Vec<usize>> {
        names.iter().map(|name| header.iter().position(|known| known == name)).collect()
    };
    let functions = places(&["name", "ways", "input_size", column, "ll_misses", "d1_misses", "i1_misses"]);
    let programs = places(&["BENCH", "NR_WAYS", "ipc", "llcmpki", "llcrpki"]);
    let (places, are_functions) = match (functions, programs) {
        (Some(places), _) => (places, true),
        (None, Some(places)) => (places, false),
        (None, None) => return Err(ProfileError::Header { column: column.to_owned() }),
    };
    type Sizes = BTreeMap<u64, BTreeMap<u8, Point>>;
    let mut read: BTreeMap<String, Sizes> = BTreeMap::new();
    for (at, line) in lines {
        let bad = |what: String| ProfileError::Line { line: at + 1, what };
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let text = |i: usize| fields.get(places[i]).copied().unwrap_or_default();
        let number = |i: usize| {
            let number = text(i).parse::<f64>().ok().filter(|n| (0.0..=1e18).contains(n));
            number.ok_or_else(|| bad(format!("{:?} is not a number from 0 to 10^18", text(i))))
        };
        let positive = |i: usize| {
            number(i)?;
            let number = number(i).ok().filter(|n| *n >= 1e-9);
            number.ok_or_else(|| bad(format!("{:?} has to be above zero", text(i))))
        };
        let ways = text(1).parse::<u8>().ok().filter(|ways| (1..=Ways::MAX).contains(ways));
        let ways = ways.ok_or_else(|| bad(format!("{:?} is not a number of ways", text(1))))?;
        let (size, point) = if are_functions {
            let size = text(2).parse::<u64>().ok().filter(|size| *size > 0);
            let size = size.ok_or_else(|| bad(format!("{:?} is not an input size", text(2))))?;
            let (misses, accesses) = (number(4)? * LINE, number(5)? + number(6)?);
            (size, Point { seconds: positive(3)?, misses, accesses })
        } else {
            // At 3 GHz.
            let seconds = SPEC_RUN / positive(2)? / 3e9;
            let per_run = |per_kilo: f64| per_kilo / 1000.0 * SPEC_RUN;
            (1, Point { seconds, misses: per_run(number(3)?) * LINE, accesses: per_run(number(4)?) })
        };
        let points = read.entry(text(0).to_owned()).or_default().entry(size).or_default();
        if points.insert(ways, point).is_some() {
            return Err(bad(format!("{} has {ways} ways twice at one input size", text(0))));
        }
    }
    if read.is_empty() {
        return Err(ProfileError::Empty);
    }
    let way = if are_functions { FUNCTION_WAY } else { SPEC_WAY };
    let profile = |(name, sizes): (String, Sizes)| {
        let curves =
            sizes.iter().map(|(size, points)| (InputSize(*size), Arc::new(curve(points, way)))).collect();
        Profile { name, curves }
    };
    Ok(read.into_iter().map(profile).collect())
}

fn curve(points: &BTreeMap<u8, Point>, way: u64) -> Curve {
    let (mut seconds, mut misses) = (f64::INFINITY, f64::INFINITY);
    let mut times = Vec::new();
    let mut traffic = Vec::new();
    for (&ways, point) in points {
        (seconds, misses) = (seconds.min(point.seconds), misses.min(point.misses));
        let cache = Bytes(way * u64::from(ways));
        times.push(CurvePoint { cache, seconds, low: seconds, high: seconds });
        traffic.push(TrafficPoint { cache, misses, accesses: point.accesses });
    }
    let traffic = Traffic::new(traffic, Provenance::Simulated).expect("misses of at least zero that fall");
    let curve = Curve::new(times, Provenance::Simulated).expect("times above zero that fall");
    curve.with_traffic(Some(traffic))
}

/// How many of the functions depend on cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// As they come.
    Even,
    /// Four of five do.
    Sensitive,
    /// One of five does.
    Insensitive,
}

/// Who counts as sensitive: on an eighth of the cache it takes this many times as long as on all of it.
const SENSITIVE: f64 = 1.1;

/// Hands out profiles by seed.
#[derive(Debug, Clone)]
pub struct Assignment {
    sensitive: Vec<Profile>,
    others: Vec<Profile>,
    mix: Mix,
    geometry: CacheGeometry,
    random: Random,
}

impl Assignment {
    /// From these profiles, judged on a cache of this shape; at least one.
    pub fn new(profiles: Vec<Profile>, mix: Mix, geometry: CacheGeometry, random: Random) -> Self {
        let ways = Ways::clamped((geometry.usable_ways().get() / 8).max(1));
        let is_sensitive = |profile: &Profile| {
            let curve = &profile.curves[profile.curves.len() / 2].1;
            let whole = curve.seconds(&geometry, geometry.usable_ways());
            curve.seconds(&geometry, ways) >= SENSITIVE * whole
        };
        let (sensitive, others) = profiles.into_iter().partition(is_sensitive);
        Self { sensitive, others, mix, geometry, random }
    }

    /// How many profiles are sensitive, and how many are not.
    pub fn kinds(&self) -> (usize, usize) {
        (self.sensitive.len(), self.others.len())
    }

    /// A function that takes so many seconds alone with the whole cache, at the middle of the input sizes of the profile it gets. Of that
    /// profile it has the sizes that take from a quarter of that to four times as long.
    ///
    /// # Panics
    /// Where there are no profiles.
    pub fn function(&mut self, number: usize, seconds: f64) -> SimFunction {
        let draw = self.random.unit();
        let all = self.sensitive.len() + self.others.len();
        assert!(all > 0, "there has to be a profile to hand out");
        let share = match self.mix {
            Mix::Even => self.sensitive.len() as f64 / all as f64,
            Mix::Sensitive => 0.8,
            Mix::Insensitive => 0.2,
        };
        let from_sensitive = (draw < share && !self.sensitive.is_empty()) || self.others.is_empty();
        let from = if from_sensitive { &self.sensitive } else { &self.others };
        let profile = &from[self.random.below(from.len() as u64) as usize];
        scaled(number, profile, &self.geometry, seconds)
    }
}

fn scaled(number: usize, profile: &Profile, geometry: &CacheGeometry, seconds: f64) -> SimFunction {
    let whole = |curve: &Curve| curve.seconds(geometry, geometry.usable_ways());
    let middle = profile.curves.len() / 2;
    let own = whole(&profile.curves[middle].1);
    let mut curves: Vec<(InputSize, Arc<Curve>)> = Vec::new();
    for (size, curve) in &profile.curves {
        // More input that takes no longer would make sizes ambiguous.
        let rises = curves.last().is_none_or(|(_, before)| whole(curve) > 1.01 * whole(before));
        if rises && (0.25..=4.0).contains(&(whole(curve) / own)) {
            curves.push((*size, Arc::clone(curve)));
        }
    }
    if curves.is_empty() {
        curves.push(profile.curves[middle].clone());
    }
    let growth = match (curves.first(), curves.last()) {
        (Some((small, first)), Some((large, last))) if small < large => {
            (whole(last) / whole(first)).ln() / (large.0 as f64 / small.0 as f64).ln()
        }
        _ => 1.0,
    };
    let name = name_of(&profile.name, number);
    let base = Curve::flat(1.0, 1.0, Provenance::Simulated);
    let mut function = SimFunction::growing(&name, curves[0].0, base, growth.max(0.1));
    function.curves = curves;
    function.stretched(seconds / own)
}

/// A name that functions may have: not too long, and none that looks like an id.
fn name_of(profile: &str, number: usize) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let stem: String = profile.chars().take(64).map(plain).collect();
    format!("{stem}.{number}")
}

#[cfg(test)]
mod tests {
    use fsched_core::cache::CacheDomain;
    use fsched_core::function::FunctionName;
    use fsched_core::predictor::engine::dataset::Dataset;
    use proptest::prelude::*;

    use super::*;

    fn geometry() -> CacheGeometry {
        CacheDomain::nominal(8, Ways::clamped(20), Bytes::mib(1)).geometry
    }

    #[test]
    fn whatever_a_profile_is_called_its_functions_have_names() {
        for profile in ["f", "matmul", "", "\u{0}", "a b/c", &"x".repeat(1000)] {
            name_of(profile, 1).parse::<FunctionName>().unwrap();
        }
    }

    #[test]
    fn the_projects_own_curves_are_profiles() {
        for column in ["est_time_s", "est_time_pf_s", "est_time_cal_s"] {
            let profiles = parse(Dataset::OWN, column).unwrap();
            assert_eq!(profiles.len(), 22);
            let mut assignment = Assignment::new(profiles, Mix::Sensitive, geometry(), Random::new(1));
            let (sensitive, others) = assignment.kinds();
            assert!(sensitive > 3 && others > 1, "{column}: {sensitive}, {others}");
            let functions: Vec<SimFunction> = (0..400).map(|n| assignment.function(n, 0.5)).collect();
            let hungry = functions.iter().filter(|f| {
                let curve = &f.curves[f.curves.len() / 2].1;
                curve.seconds(&geometry(), Ways::clamped(1))
                    > 1.05 * curve.seconds(&geometry(), Ways::clamped(20))
            });
            assert!(hungry.count() > 260);
        }
    }

    #[test]
    fn both_kinds_of_file_are_read_and_what_is_wrong_is_said_with_its_line() {
        let spec = "BENCH,NR_WAYS,ipc,llcrpki,llcmpki\na,2,2.0,3,1\na,1,1.0,4,2\n";
        let profiles = parse(spec, "none").unwrap();
        let curve = &profiles[0].curves[0].1;
        assert_eq!(curve.points().len(), 2);
        assert!((curve.at(Bytes(SPEC_WAY)).seconds - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(curve.traffic().unwrap().at(Bytes(SPEC_WAY)).misses, 2e6 * 64.0);
        let header = "name,input_size,ways,t,ll_misses,d1_misses,i1_misses\n";
        let good = parse(&format!("{header}f,10,1,0.3,5,9,1\n"), "t").unwrap();
        assert_eq!(good[0].curves[0].0, InputSize(10));
        let text = |rows: &str| parse(&format!("{header}{rows}"), "t").unwrap_err().to_string();
        assert!(parse("a,b\n", "t").unwrap_err().to_string().contains("NR_WAYS"));
        assert_eq!(text(""), "there are no curves in it");
        for (row, expected) in [
            ("f,10,1,0,5,9,1", "above zero"),
            ("f,10,0,1,5,9,1", "not a number of ways"),
            ("f,0,1,1,5,9,1", "not an input size"),
            ("f,10,1,x,5,9,1", "\"x\" is not a number"),
            ("f,10,1", "\"\" is not a number"),
        ] {
            let said = text(row);
            assert!(said.starts_with("line 2: ") && said.contains(expected), "{row}: {said}");
        }
        assert!(text("f,10,1,1,5,9,1\nf,10,1,1,5,9,1").contains("twice"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_it_reads_can_be_simulated(
            text in "(name,input_size,ways,t,ll_misses,d1_misses,i1_misses\n|BENCH,NR_WAYS,ipc,llcrpki,llcmpki\n)?([fg],[0-9]{1,2},[0-9]{1,2},[0-9.e-]{1,4},[0-9.]{1,3},[0-9.,\n]{1,6}\n){0,6}",
            seconds in 1e-3f64..1e3,
        ) {
            if let Ok(profiles) = parse(&text, "t") {
                let mut assignment = Assignment::new(profiles, Mix::Even, geometry(), Random::new(1));
                let function = assignment.function(0, seconds);
                for size in [1, 7, 1_000_000] {
                    let times = function.times(InputSize(size), 1.0);
                    prop_assert!(times.seconds(&geometry(), Ways::ONE) > 0.0);
                }
            }
        }

        #[test]
        fn a_function_takes_as_long_as_was_asked_for(seconds in 1e-3f64..1e3, seed in 0u64..1000) {
            let profiles = parse(Dataset::OWN, "est_time_s").unwrap();
            let mut assignment = Assignment::new(profiles, Mix::Even, geometry(), Random::new(seed));
            let function = assignment.function(3, seconds);
            let size = function.size_taking(seconds, &geometry());
            let took = function.times(size, 1.0).seconds(&geometry(), Ways::clamped(20));
            prop_assert!((took / seconds - 1.0).abs() < 0.05, "{took} instead of {seconds} at {size}");
        }
    }
}
