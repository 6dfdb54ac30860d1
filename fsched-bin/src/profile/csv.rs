//! Points as the rows of a file of curves: one per function, input size and way count.

use fsched_core::cache::{Bytes, Ways};
use fsched_core::sample;

use super::{Point, WAY};

/// The columns, a part of those that `fsched predictor` reads.
pub const HEADER: &str = "name,input_size,ways,instructions,d1_misses,ll_misses,est_time_s,d_refs,i1_misses";

/// One point as a row. A name that would break the row is given without what would.
pub fn row(name: &str, input_size: u64, point: &Point) -> String {
    let name: String = name.chars().filter(|c| !matches!(c, ',' | '"') && !c.is_control()).collect();
    let counts = &point.counts;
    format!(
        "{name},{input_size},{},{},{},{},{:.9},{},{}",
        point.ways,
        counts.instructions,
        counts.d1_misses,
        counts.ll_misses,
        counts.estimated_seconds(),
        counts.data_accesses,
        counts.i1_misses
    )
}

/// What a row says that a master wants to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The function.
    pub name: String,
    /// On how much input.
    pub input_size: u64,
    /// With how much cache.
    pub cache: Bytes,
    /// The time estimated, seconds.
    pub seconds: f64,
    /// What was counted.
    pub counts: sample::Counts,
}

/// Reads rows under [`HEADER`], as [`row`] writes them. `None` where they are something else.
pub fn parse(text: &str) -> Option<Vec<Known>> {
    let mut lines = text.lines();
    (lines.next()? == HEADER).then_some(())?;
    lines.map(known).collect()
}

fn known(line: &str) -> Option<Known> {
    let cells: Vec<&str> = line.split(',').collect();
    let [name, input_size, ways, _, d1_misses, ll_misses, seconds, _, i1_misses] = cells[..] else {
        return None;
    };
    let ways = Ways::new(ways.parse().ok()?).ok()?;
    let count = |cell: &str| cell.parse::<u64>().ok();
    Some(Known {
        name: name.to_owned(),
        input_size: count(input_size)?,
        cache: Bytes(WAY.0 * u64::from(ways.get())),
        seconds: seconds.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds > 0.0)?,
        counts: sample::Counts {
            misses: Bytes(count(ll_misses)?.checked_mul(super::cachegrind::LINE)?),
            accesses: count(d1_misses)?.checked_add(count(i1_misses)?)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::Counts;
    use super::*;

    proptest! {
        #[test]
        fn rows_are_read_as_they_are_written(
            name in ".{0,12}", size in any::<u64>(), ways in 1u8..=32, numbers in any::<[u32; 5]>()
        ) {
            let [instructions, data_accesses, i1_misses, d1_misses, ll_misses] = numbers.map(u64::from);
            let instructions = instructions + 10;
            let counts = Counts { instructions, data_accesses, i1_misses, d1_misses, ll_misses };
            let point = Point { ways: Ways::clamped(ways), counts, took: Duration::ZERO };
            let text = format!("{HEADER}\n{}\n", row(&name, size, &point));
            let known = parse(&text).unwrap().remove(0);
            prop_assert_eq!((known.input_size, known.cache), (size, Bytes::mib(u64::from(ways))));
            prop_assert!((known.seconds - counts.estimated_seconds()).abs() < 1e-9);
            prop_assert_eq!(known.counts.misses, counts.miss_bytes());
            prop_assert_eq!(known.counts.accesses, counts.accesses());
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let _ = parse(&text);
            let _ = parse(&format!("{HEADER}\n{text}"));
        }
    }
}
