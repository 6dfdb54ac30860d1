//! What Cachegrind writes, and the time estimated from it.

use std::iter::Sum;

use fsched_core::cache::Bytes;

/// Bytes in a line of every simulated cache.
pub(super) const LINE: u64 = 64;

/// How time is estimated, in words.
pub const FORMULA: &str = "(0.5 × instructions + 30 × L1 misses + 200 × LLC misses) / 3 GHz";

/// Cycles per instruction, more per access to the last-level cache, more per access to memory, and cycles per second.
const INSTRUCTION: f64 = 0.5;
const LLC_ACCESS: f64 = 30.0;
const MEMORY_ACCESS: f64 = 200.0;
const CLOCK: f64 = 3e9;

/// What was counted over a whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Instructions executed.
    pub instructions: u64,
    /// Reads and writes of data.
    pub data_accesses: u64,
    /// Instruction fetches that the first-level cache did not hold.
    pub i1_misses: u64,
    /// Reads and writes that the first-level cache did not hold.
    pub d1_misses: u64,
    /// Of both, those that the last-level cache did not hold either.
    pub ll_misses: u64,
}

/// Cachegrind's file is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CachegrindError {
    /// It lacks something: the run was cut short, or this Cachegrind writes something else.
    #[error("Cachegrind's output has no line {0:?}")]
    NoLine(&'static str),
    /// It does not count what we need.
    #[error("Cachegrind did not count {0}: it has to simulate caches")]
    NotCounted(&'static str),
    /// A count is no number.
    #[error("Cachegrind's output has {0:?} where a count should be")]
    NoCount(String),
    /// It simulated another cache than it was told.
    #[error("Cachegrind simulated a last-level cache of {found:?}, not {expected:?}")]
    OtherCache {
        /// What it was told.
        expected: String,
        /// What it says.
        found: String,
    },
}

impl Counts {
    /// Reads what Cachegrind writes at the end of a run, and checks that it simulated `ways` ways of `way` bytes.
    ///
    /// # Errors
    /// Where that is something else.
    pub fn parse(text: &str, ways: u8, way: Bytes) -> Result<Self, CachegrindError> {
        let line = |key: &'static str| {
            let found = text.lines().find_map(|line| line.strip_prefix(key));
            found.map(str::trim).ok_or(CachegrindError::NoLine(key))
        };
        let kind = if ways == 1 { "direct-mapped".to_owned() } else { format!("{ways}-way associative") };
        let expected = format!("{} B, {LINE} B, {kind}", u64::from(ways) * way.0);
        let found = line("desc: LL cache:")?;
        if found != expected {
            return Err(CachegrindError::OtherCache { expected, found: found.to_owned() });
        }
        let names: Vec<&str> = line("events:")?.split_ascii_whitespace().collect();
        let sums: Vec<&str> = line("summary:")?.split_ascii_whitespace().collect();
        let count = |name: &'static str| {
            let place = names.iter().position(|other| *other == name);
            let sum = place.and_then(|place| sums.get(place)).ok_or(CachegrindError::NotCounted(name))?;
            // Some versions group digits.
            sum.replace(',', "")
                .parse::<u64>()
                .map_err(|_| CachegrindError::NoCount(sum.chars().take(40).collect()))
        };
        let sum = |names: &[&'static str]| {
            names.iter().try_fold(0u64, |sum, name| Ok(sum.saturating_add(count(name)?)))
        };
        Ok(Self {
            instructions: count("Ir")?,
            data_accesses: sum(&["Dr", "Dw"])?,
            i1_misses: count("I1mr")?,
            d1_misses: sum(&["D1mr", "D1mw"])?,
            ll_misses: sum(&["ILmr", "DLmr", "DLmw"])?,
        })
    }

    /// How often the last-level cache was looked into.
    pub fn accesses(&self) -> u64 {
        self.i1_misses.saturating_add(self.d1_misses)
    }

    /// What was fetched from memory.
    pub fn miss_bytes(&self) -> Bytes {
        Bytes(self.ll_misses.saturating_mul(LINE))
    }

    /// The share of accesses that missed.
    pub fn miss_rate(&self) -> f64 {
        self.ll_misses as f64 / self.accesses().max(1) as f64
    }

    /// How long it may take, by [`FORMULA`]: an upper bound on how much the cache matters, because no miss overlaps another and
    /// nothing is prefetched.
    pub fn estimated_seconds(&self) -> f64 {
        let cycles = INSTRUCTION * self.instructions as f64
            + LLC_ACCESS * self.accesses() as f64
            + MEMORY_ACCESS * self.ll_misses as f64;
        cycles / CLOCK
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self {
            instructions: a.instructions.saturating_add(b.instructions),
            data_accesses: a.data_accesses.saturating_add(b.data_accesses),
            i1_misses: a.i1_misses.saturating_add(b.i1_misses),
            d1_misses: a.d1_misses.saturating_add(b.d1_misses),
            ll_misses: a.ll_misses.saturating_add(b.ll_misses),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WAY: Bytes = Bytes::mib(1);

    /// As Valgrind 3.19 wrote it, some lines left out.
    const WRITTEN: &str = "\
desc: I1 cache:         32768 B, 64 B, 8-way associative
desc: D1 cache:         32768 B, 64 B, 8-way associative
desc: LL cache:         3145728 B, 64 B, 3-way associative
cmd: /bin/true
events: Ir I1mr ILmr Dr D1mr DLmr Dw D1mw DLmw \nfl=./csu/../csu/libc-start.c
fn=__libc_start_main@@GLIBC_2.34
128 2 1 1 2 0 0 0 0 0
summary: 127877 1091 1072 29418 1228 1019 10267 345 312
";

    #[test]
    fn what_it_wrote_is_read() {
        let counts = Counts::parse(WRITTEN, 3, WAY).unwrap();
        let expected = Counts {
            instructions: 127_877,
            data_accesses: 39_685,
            i1_misses: 1091,
            d1_misses: 1573,
            ll_misses: 2403,
        };
        assert_eq!(counts, expected);
        assert_eq!((counts.accesses(), counts.miss_bytes()), (2664, Bytes(2403 * 64)));
        let cycles = 0.5 * 127_877.0 + 30.0 * 2664.0 + 200.0 * 2403.0;
        assert!((counts.estimated_seconds() - cycles / 3e9).abs() < 1e-15);
    }

    #[test]
    fn what_is_something_else_is_said() {
        let parse = |text: &str| Counts::parse(text, 3, WAY).unwrap_err();
        let without =
            |key: &str| WRITTEN.lines().filter(|line| !line.starts_with(key)).collect::<Vec<_>>().join("\n");
        assert_eq!(parse(""), CachegrindError::NoLine("desc: LL cache:"));
        assert_eq!(parse(&without("summary")), CachegrindError::NoLine("summary:"));
        assert_eq!(parse(&without("events")), CachegrindError::NoLine("events:"));
        assert_eq!(parse(&WRITTEN.replace("DLmw", "Bc")), CachegrindError::NotCounted("DLmw"));
        assert_eq!(parse(&WRITTEN.replace(" 345 312", "")), CachegrindError::NotCounted("D1mw"));
        assert_eq!(parse(&WRITTEN.replace("127877", "-1")), CachegrindError::NoCount("-1".to_owned()));
        let single = WRITTEN.replace("3145728 B, 64 B, 3-way associative", "1048576 B, 64 B, direct-mapped");
        assert!(Counts::parse(&single, 1, WAY).is_ok(), "so it calls a cache of one way");
        assert!(matches!(Counts::parse(WRITTEN, 4, WAY), Err(CachegrindError::OtherCache { .. })));
    }

    proptest! {
        #[test]
        fn any_counts_survive_being_written(
            events in Just(["Ir", "I1mr", "ILmr", "Dr", "D1mr", "DLmr", "Dw", "D1mw", "DLmw"]).prop_shuffle(),
            more in "[A-Z][a-z]{3}",
            sums in prop::collection::vec(any::<u32>(), 10),
            grouped in any::<bool>(),
        ) {
            let write = |n: u32| match (grouped, n) {
                (true, 1000..) => format!("{},{:03}", n / 1000, n % 1000),
                _ => n.to_string(),
            };
            let summary: Vec<String> = sums.iter().copied().map(write).collect();
            let text = format!(
                "desc: LL cache: 3145728 B, 64 B, 3-way associative\nevents: {} {more}\nsummary: {}\n",
                events.join(" "), summary.join(" ")
            );
            let of = |name: &str| u64::from(sums[events.iter().position(|event| *event == name).unwrap()]);
            let counts = Counts::parse(&text, 3, WAY).unwrap();
            prop_assert_eq!(counts.instructions, of("Ir"));
            prop_assert_eq!(counts.data_accesses, of("Dr") + of("Dw"));
            prop_assert_eq!(counts.accesses(), of("I1mr") + of("D1mr") + of("D1mw"));
            prop_assert_eq!(counts.ll_misses, of("ILmr") + of("DLmr") + of("DLmw"));
            prop_assert!(counts.estimated_seconds().is_finite());
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}", place in any::<prop::sample::Index>()) {
            let _ = Counts::parse(&text, 3, WAY);
            let mut spoilt = WRITTEN.to_owned();
            let place = place.index(spoilt.len());
            spoilt.insert_str(place, &text);
            let _ = Counts::parse(&spoilt, 3, WAY);
            let _ = Counts::parse(&WRITTEN[..place], 3, WAY);
        }
    }
}
