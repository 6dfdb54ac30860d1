use std::collections::BTreeMap;

use fsched_core::cache::Bytes;
use fsched_core::split::Row;
use fsched_core::split::contention::{Demand, DemandPoint};

/// The size of a cache line, bytes.
const LINE: f64 = 64.0;
/// A way of the machine that SPEC was measured on.
const SPEC_WAY: f64 = 2.5 * 1024.0 * 1024.0;
/// A way of the cache that functions were simulated with.
const FUNCTION_WAY: f64 = 1024.0 * 1024.0;

/// Programs by ways.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    way_size: f64,
    /// By name, what it does with 1, 2, … ways.
    curves: BTreeMap<String, Vec<Point>>,
    /// The number of ways of every curve.
    ways: u8,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    /// Seconds per unit of work.
    seconds: f64,
    /// Bytes fetched per unit of work.
    misses: f64,
    /// What would be fetched if everything missed, bytes per unit of work.
    accesses: f64,
}

/// Programs as they are in a cache of so many ways.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    pub(crate) way_size: f64,
    pub(crate) programs: Vec<Program>,
}

/// One program in one cache.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) slowdown: Row,
    /// Misses per second with the whole cache's speed, by ways.
    pub(crate) misses: Row,
    pub(crate) demand: Demand,
}

/// Why a file holds no curves.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CurvesError {
    #[error(
        "the first line is not a known header: it needs the columns {SPEC:?} (SPEC by ways) or {FUNCTIONS:?} (function curves)"
    )]
    Header,
    #[error("line {line}: {what}")]
    Line { line: usize, what: String },
    #[error("{name}: {what}")]
    Curve { name: String, what: String },
    #[error("there are no programs in it")]
    Empty,
}

const SPEC: [&str; 5] = ["BENCH", "NR_WAYS", "ipc", "llcrpki", "llcmpki"];
const FUNCTIONS: [&str; 7] =
    ["name", "input_size", "ways", "est_time_s", "ll_misses", "d1_misses", "i1_misses"];

impl Programs {
    /// Reads SPEC programs by ways, or function curves: the header says which.
    pub(crate) fn parse(text: &str) -> Result<Self, CurvesError> {
        let mut lines = text.lines().enumerate();
        let header: Vec<&str> =
            lines.next().map(|(_, line)| line.split(',').map(str::trim).collect()).unwrap_or_default();
        let columns = |names: &[&str]| -> Option<Vec<usize>> {
            names.iter().map(|name| header.iter().position(|column| column == name)).collect()
        };
        let (columns, spec) = match (columns(&SPEC), columns(&FUNCTIONS)) {
            (Some(columns), _) => (columns, true),
            (None, Some(columns)) => (columns, false),
            (None, None) => return Err(CurvesError::Header),
        };
        let mut read: BTreeMap<String, BTreeMap<u8, Point>> = BTreeMap::new();
        for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let bad = |what: String| CurvesError::Line { line: at + 1, what };
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            if fields.len() != header.len() {
                return Err(bad(format!("{} fields where the header has {}", fields.len(), header.len())));
            }
            let text = |column: usize| fields[columns[column]];
            let number = |column: usize| {
                let read = text(column).parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
                read.ok_or_else(|| bad(format!("{:?} is not a number of at least 0", text(column))))
            };
            let ways_at = if spec { 1 } else { 2 };
            let ways = text(ways_at).parse().ok().filter(|ways| (1..=32).contains(ways));
            let ways: u8 = ways.ok_or_else(|| bad(format!("{:?} is not a number of ways", text(ways_at))))?;
            let (name, point) = if spec {
                let per_instruction = |per_kilo: f64| per_kilo / 1000.0 * LINE;
                let ipc = number(2)?;
                if ipc <= 0.0 {
                    return Err(bad("the instructions per cycle have to be above 0".to_owned()));
                }
                // In cycles, of 3 GHz.
                let seconds = 1.0 / ipc / 3e9;
                let (accesses, misses) = (per_instruction(number(3)?), per_instruction(number(4)?));
                (text(0).to_owned(), Point { seconds, misses, accesses })
            } else {
                let seconds = number(3)?;
                if seconds <= 0.0 {
                    return Err(bad("the time has to be above 0".to_owned()));
                }
                let accesses = (number(5)? + number(6)?) * LINE;
                (format!("{} {}", text(0), text(1)), Point { seconds, misses: number(4)? * LINE, accesses })
            };
            if read.entry(name.clone()).or_default().insert(ways, point).is_some() {
                return Err(bad(format!("{name} has {ways} ways twice")));
            }
        }
        let most = read.values().filter_map(|points| points.keys().next_back()).max().copied();
        let most = most.ok_or(CurvesError::Empty)?;
        let mut curves = BTreeMap::new();
        for (name, points) in read {
            if !points.keys().copied().eq(1..=most) {
                return Err(CurvesError::Curve {
                    name,
                    what: format!("it needs each of 1 to {most} ways once"),
                });
            }
            curves.insert(name, points.into_values().collect());
        }
        Ok(Self { way_size: if spec { SPEC_WAY } else { FUNCTION_WAY }, curves, ways: most })
    }

    /// The caches to evaluate in, by ways: the file's own, and of 20 ways also 16 and 12.
    pub(crate) fn caches(&self) -> Vec<u8> {
        if self.ways == 20 { vec![20, 16, 12] } else { vec![self.ways] }
    }

    /// The programs in a cache of so many of the file's ways.
    pub(crate) fn in_ways(&self, ways: u8) -> Cache {
        let program = |points: &Vec<Point>| {
            let points = &points[..usize::from(ways)];
            let whole = points[points.len() - 1].seconds;
            let row = |value: &dyn Fn(&Point) -> f64| {
                Row::new(&points.iter().map(value).collect::<Vec<_>>())
                    .expect("read as numbers of at least 0")
            };
            Program {
                slowdown: row(&|p| p.seconds / whole),
                misses: row(&|p| p.misses / LINE / whole),
                demand: self.demand(points),
            }
        };
        Cache { way_size: self.way_size, programs: self.curves.values().map(program).collect() }
    }

    fn demand(&self, points: &[Point]) -> Demand {
        let (least, most) = (points[0], points[points.len() - 1]);
        // With nothing held everything misses, and costs what misses cost elsewhere on the curve.
        let spread = least.misses - most.misses;
        let per_byte = if spread > 0.0 { (least.seconds - most.seconds).max(0.0) / spread } else { 0.0 };
        let all = least.accesses.max(least.misses);
        let seconds = least.seconds + per_byte * (all - least.misses);
        let none = DemandPoint { cache: 0.0, seconds, misses: all };
        let known = (1_u8..).zip(points).map(|(ways, point)| DemandPoint {
            cache: f64::from(ways) * self.way_size,
            seconds: point.seconds,
            misses: point.misses,
        });
        let capacity = Bytes((points.len() as f64 * self.way_size) as u64);
        Demand::new(&std::iter::once(none).chain(known).collect::<Vec<_>>(), capacity)
            .expect("times above 0, misses of at least 0, caches that rise")
    }
}

impl Cache {
    /// Only the programs that one way slows down by 10 % or more.
    pub(crate) fn sensitive(&self) -> Self {
        let sensitive = self.programs.iter().filter(|program| program.slowdown.at(1) >= 1.1);
        Self { programs: sensitive.cloned().collect(), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_kinds_of_file_are_read() {
        let spec = "BENCH,NR_WAYS,ipc,llcrpki,llcmpki\na,2,2.0,3,1\na,1,1.0,4,2\n";
        let cache = Programs::parse(spec).unwrap().in_ways(2);
        assert_eq!(cache.programs[0].slowdown.at(1), 2.0);
        let functions = "name,input_size,ways,d1_misses,ll_misses,est_time_s,i1_misses\nf,10,1,9,5,0.3,1\n";
        let programs = Programs::parse(functions).unwrap();
        assert_eq!(programs.caches(), [1]);
        assert_eq!(programs.in_ways(1).programs.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let text = |text: &str| Programs::parse(text).unwrap_err().to_string();
        let header = "BENCH,NR_WAYS,ipc,llcrpki,llcmpki\n";
        assert!(text("").contains("header"));
        assert!(text("a,b\n").contains("NR_WAYS"));
        assert_eq!(text(header), "there are no programs in it");
        assert!(text(&format!("{header}a,1,1,1\n")).starts_with("line 2: 4 fields"));
        assert!(text(&format!("{header}a,0,1,1,1\n")).contains("\"0\" is not a number of ways"));
        assert!(text(&format!("{header}a,1,0,1,1\n")).contains("above 0"));
        assert!(text(&format!("{header}a,1,NaN,1,1\n")).contains("\"NaN\""));
        assert!(text(&format!("{header}a,1,1,1,1\na,1,1,1,1\n")).contains("twice"));
        assert!(
            text(&format!("{header}a,1,1,1,1\nb,2,1,1,1\nb,1,1,1,1\n"))
                .contains("a: it needs each of 1 to 2")
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(
            text in "(BENCH,NR_WAYS,ipc,llcrpki,llcmpki\n)?([ab],[0-9]{1,2},[0-9.e-]{1,4},[0-9.]{1,3},[0-9.,\n]{1,6}\n){0,6}",
        ) {
            if let Ok(programs) = Programs::parse(&text) {
                for ways in programs.caches() {
                    programs.in_ways(ways).sensitive();
                }
            }
        }

        #[test]
        fn any_curve_survives_being_written(rows in prop::collection::vec((0.01f64..10.0, 0.0f64..50.0), 1..20)) {
            let mut text = "BENCH,NR_WAYS,ipc,llcrpki,llcmpki\n".to_owned();
            for (i, (ipc, misses)) in rows.iter().enumerate() {
                text += &format!("x,{},{ipc},{misses},{misses}\n", i + 1);
            }
            let ways = rows.len() as u8;
            let cache = Programs::parse(&text).unwrap().in_ways(ways);
            for (i, (ipc, _)) in rows.iter().enumerate() {
                let expected = rows[rows.len() - 1].0 / ipc;
                prop_assert!((cache.programs[0].slowdown.at(i as u8 + 1) - expected).abs() <= 1e-9 * expected);
            }
        }
    }
}
