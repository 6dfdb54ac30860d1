//! The Azure Functions trace of 2019: calls by the minute.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fsched_core::cache::Bytes;

use super::trace::{Call, Fields, Open, Table, Trace, TraceError, TraceFunction};
use crate::random::Random;

const INVOCATIONS: &str = "file of invocations";
const DURATIONS: &str = "file of durations";
const MEMORY: &str = "file of memory";
const MINUTE: Duration = Duration::from_secs(60);

/// The three files of a day.
#[derive(Clone)]
pub struct Azure2019Files {
    /// `HashOwner,HashApp,HashFunction,Trigger`, then a count per minute.
    pub invocations: Open,
    /// `HashFunction`, `Average` and `percentile_Average_0` to `_100`, milliseconds.
    pub durations: Open,
    /// `HashFunction` and `AverageAllocatedMb`.
    pub memory: Open,
}

/// Calls by the minute, as published with Shahrad et al., "Serverless in the Wild", ATC 2020, expanded to calls at even chance within their
/// minute. How long a run takes is drawn from the function's percentiles, straight lines between: they are percentiles of 30-second averages, so single
/// runs scatter more than this. Functions without durations are left out.
pub struct Azure2019 {
    functions: Vec<TraceFunction>,
    parts: Arc<Vec<Counted>>,
    minutes: usize,
}

struct Counted {
    /// By minute; what is not there is nothing.
    counts: BTreeMap<u32, u32>,
    /// Seconds at each of the percentiles.
    quantiles: [f64; 7],
}

/// A call of the minute that is looked ahead at, in few bytes: there are hundreds of thousands of them. Of two of one function at the same
/// time, the one that was drawn later comes first.
struct Ahead {
    /// Nanoseconds from the start of the minute.
    within: Reverse<u64>,
    function: Reverse<u32>,
    number: u32,
    seconds: f64,
}

const PERCENTILES: [f64; 7] = [0.0, 1.0, 25.0, 50.0, 75.0, 99.0, 100.0];

impl Azure2019 {
    /// Reads `minutes` minutes from the `from`th column of counts on.
    ///
    /// # Errors
    /// Says what is wrong, and where.
    pub fn read(files: &Azure2019Files, from: usize, minutes: usize) -> Result<Self, TraceError> {
        let quantiles = durations(&files.durations)?;
        let memory = memory(&files.memory)?;
        let mut table = Table::open(INVOCATIONS, &files.invocations)?;
        let (name, first) = (table.place("HashFunction")?, table.place("Trigger")? + 1);
        let (mut functions, mut parts) = (Vec::new(), Vec::new());
        while let Some(fields) = table.next() {
            let fields = fields?;
            let name = fields.text(name)?.to_owned();
            let mut counts = BTreeMap::new();
            for (minute, text) in fields.from(first + from).take(minutes).enumerate() {
                let count = text.parse::<u32>().ok().filter(|count| *count <= 10_000_000);
                let count = count.ok_or_else(|| fields.bad(format!("{text:?} is not a count of calls")))?;
                if count > 0 {
                    counts.insert(minute as u32, count);
                }
            }
            let Some(&quantiles) = quantiles.get(&name).filter(|_| !counts.is_empty()) else { continue };
            let counted = Counted { counts, quantiles };
            functions.push(TraceFunction {
                calls: counted.counts.values().map(|&count| u64::from(count)).sum(),
                seconds: counted.mean(),
                memory: memory.get(&name).copied(),
                name,
            });
            parts.push(counted);
        }
        if functions.is_empty() {
            return Err(TraceError::Empty(INVOCATIONS));
        }
        Ok(Self { functions, parts: Arc::new(parts), minutes })
    }
}

impl Counted {
    /// The mean of what is drawn.
    fn mean(&self) -> f64 {
        let part = |i: usize| {
            (PERCENTILES[i + 1] - PERCENTILES[i]) / 100.0 * (self.quantiles[i] + self.quantiles[i + 1]) / 2.0
        };
        (0..PERCENTILES.len() - 1).map(part).sum()
    }

    fn draw(&self, random: &mut Random) -> f64 {
        let at = random.unit() * 100.0;
        let after = PERCENTILES.partition_point(|p| *p <= at).clamp(1, PERCENTILES.len() - 1);
        let (low, high) = (PERCENTILES[after - 1], PERCENTILES[after]);
        let share = (at - low) / (high - low);
        self.quantiles[after - 1] * (1.0 - share) + self.quantiles[after] * share
    }
}

/// Seconds by function at each of the percentiles; no less than a tenth of a millisecond, and never falling.
fn durations(open: &Open) -> Result<BTreeMap<String, [f64; 7]>, TraceError> {
    let mut table = Table::open(DURATIONS, open)?;
    let name = table.place("HashFunction")?;
    let mut places = [0; 7];
    for (place, percentile) in places.iter_mut().zip(PERCENTILES) {
        *place = table.place(&format!("percentile_Average_{percentile}"))?;
    }
    let mut known = BTreeMap::new();
    while let Some(fields) = table.next() {
        let fields = fields?;
        let (mut quantiles, mut least) = ([0.0; 7], 1e-4_f64);
        for (quantile, place) in quantiles.iter_mut().zip(places) {
            least = least.max(fields.number(place)? / 1000.0);
            *quantile = least;
        }
        known.insert(fields.text(name)?.to_owned(), quantiles);
    }
    Ok(known)
}

fn memory(open: &Open) -> Result<BTreeMap<String, Bytes>, TraceError> {
    let mut table = Table::open(MEMORY, open)?;
    let (name, mean) = (table.place("HashFunction")?, table.place("AverageAllocatedMb")?);
    let read = |fields: Fields| {
        let mib = fields.number(mean)?.clamp(1.0, 1e6);
        Ok((fields.text(name)?.to_owned(), Bytes((mib * 1048576.0) as u64)))
    };
    std::iter::from_fn(|| table.next()).map(|fields| fields.and_then(read)).collect()
}

impl Trace for Azure2019 {
    fn functions(&self) -> &[TraceFunction] {
        &self.functions
    }

    fn length(&self) -> Duration {
        MINUTE * self.minutes as u32
    }

    fn calls(&self, random: Random) -> Box<dyn Iterator<Item = Call> + Send> {
        self.calls_from(random, Duration::ZERO)
    }

    /// Each minute has chance of its own, so none has to be drawn for those before it.
    fn calls_from(&self, random: Random, from: Duration) -> Box<dyn Iterator<Item = Call> + Send> {
        let (parts, minutes) = (Arc::clone(&self.parts), self.minutes as u32);
        let first = u32::try_from(from.as_secs() / MINUTE.as_secs()).unwrap_or(u32::MAX);
        let (mut minute, mut ahead) = (first, Vec::<Ahead>::new());
        Box::new(std::iter::from_fn(move || {
            while ahead.is_empty() && minute < minutes {
                let mut random = random.fork(u64::from(minute) + 1);
                let mut number = 0;
                for (function, part) in (0u32..).zip(parts.iter()) {
                    for _ in 0..part.counts.get(&minute).copied().unwrap_or_default() {
                        let within = random.duration(MINUTE).as_nanos() as u64;
                        let seconds = part.draw(&mut random);
                        ahead.push(Ahead {
                            within: Reverse(within),
                            function: Reverse(function),
                            number,
                            seconds,
                        });
                        number += 1;
                    }
                }
                // The last comes first out.
                ahead.sort_unstable_by_key(|one| (one.within, one.function, one.number));
                if from > MINUTE * minute {
                    let before = u64::try_from((from - MINUTE * minute).as_nanos()).unwrap_or(u64::MAX);
                    ahead.truncate(ahead.partition_point(|one| one.within.0 >= before));
                }
                minute += 1;
            }
            let Ahead { within, function, seconds, .. } = ahead.pop()?;
            let after = MINUTE * (minute - 1) + Duration::from_nanos(within.0);
            Some(Call { after, function: function.0 as usize, seconds })
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::trace::text;
    use super::*;

    const COUNTS: &str = "HashOwner,HashApp,HashFunction,Trigger,1,2,3\n";
    const TIMES: &str = "HashFunction,Average,percentile_Average_0,percentile_Average_1,percentile_Average_25,percentile_Average_50,percentile_Average_75,percentile_Average_99,percentile_Average_100\nf,1,100,100,100,100,100,100,100\ng,1,0,0,0,1000,2000,2000,2000\n";
    const SIZES: &str = "HashFunction,AverageAllocatedMb\nf,100\n";

    fn files(counts: &str) -> Azure2019Files {
        Azure2019Files {
            invocations: text(format!("{COUNTS}{counts}")),
            durations: text(TIMES),
            memory: text(SIZES),
        }
    }

    #[test]
    fn counts_become_calls_within_their_minutes() {
        let trace =
            Azure2019::read(&files("o,a,f,http,1,0,2\no,a,g,http,0,3,0\no,a,h,http,9,9,9\n"), 0, 3).unwrap();
        let functions = trace.functions();
        assert_eq!(functions.len(), 2, "one has no durations");
        assert_eq!((functions[0].calls, functions[0].memory), (3, Some(Bytes::mib(100))));
        assert!((functions[0].seconds - 0.1).abs() < 1e-9);
        let calls: Vec<Call> = trace.calls(Random::new(1)).collect();
        let minutes: Vec<(u64, usize)> =
            calls.iter().map(|call| (call.after.as_secs() / 60, call.function)).collect();
        assert_eq!(minutes, [(0, 0), (1, 1), (1, 1), (1, 1), (2, 0), (2, 0)]);
        assert!(calls.iter().all(|call| call.function == 1 || call.seconds == 0.1));
        assert_eq!(calls, trace.calls(Random::new(1)).collect::<Vec<_>>());
        for from in [0, 59, 61, 130, 1_000].map(Duration::from_secs) {
            let later: Vec<Call> = calls.iter().copied().filter(|call| call.after >= from).collect();
            assert_eq!(trace.calls_from(Random::new(1), from).collect::<Vec<_>>(), later, "{from:?}");
        }
        let later = Azure2019::read(&files("o,a,f,http,1,0,2\n"), 2, 5).unwrap();
        assert_eq!(later.functions()[0].calls, 2);
    }

    #[test]
    fn durations_have_the_mean_that_is_said() {
        let trace = Azure2019::read(&files("o,a,g,http,20000,0,0\n"), 0, 1).unwrap();
        let mean = trace.calls(Random::new(5)).map(|call| call.seconds).sum::<f64>() / 20_000.0;
        assert!((mean / trace.functions()[0].seconds - 1.0).abs() < 0.03, "{mean}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |counts: &str| Azure2019::read(&files(counts), 0, 3).err().unwrap().to_string();
        assert!(error("").contains("no calls"));
        assert!(error("o,a\n").starts_with("line 2 of the file of invocations"));
        assert!(error("o,a,f,http,1,x,2\n").contains("\"x\" is not a count"));
        let none = Azure2019Files { durations: text("a,b\n"), ..files("") };
        assert!(Azure2019::read(&none, 0, 3).err().unwrap().to_string().contains("HashFunction"));
    }

    proptest! {
        #[test]
        fn whatever_is_read_has_all_its_calls_in_order(
            rows in "(o,a,[fgh],http,[0-9]{1,2},[0-9x]{1,2},[0-9]?\n){0,8}",
            (from, minutes) in (0usize..4, 0usize..4),
        ) {
            if let Ok(trace) = Azure2019::read(&files(&rows), from, minutes) {
                let calls: Vec<Call> = trace.calls(Random::new(0)).collect();
                let known: u64 = trace.functions().iter().map(|function| function.calls).sum();
                prop_assert_eq!(calls.len() as u64, known);
                prop_assert!(calls.windows(2).all(|pair| pair[0].after <= pair[1].after));
                prop_assert!(calls.iter().all(|call| call.after < trace.length()));
            }
        }
    }
}
