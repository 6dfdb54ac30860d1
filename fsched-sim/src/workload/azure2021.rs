//! The Azure Functions trace of 2021: one line per call.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::trace::{Call, Open, Table, Trace, TraceError, TraceFunction};
use crate::random::Random;

const FILE: &str = "Azure 2021 trace";
/// How many lines are looked ahead for one that began earlier.
const WINDOW: usize = 65_536;

/// Lines `app,func,end_timestamp,duration`, seconds, as published with Zhang et al., "Faster and Cheaper Serverless Computing on Harvested
/// Resources", SOSP 2021. A call begins its duration before its end. Lines are in no strict order: the file is read twice, and calls come by their
/// beginning as far as 65,536 lines of look-ahead put them in order; later ones come when they are found.
pub struct Azure2021 {
    open: Open,
    functions: Vec<TraceFunction>,
    numbers: BTreeMap<String, usize>,
    /// When the first call begins, seconds on the trace's own clock.
    first: f64,
    length: Duration,
}

struct Row {
    name: String,
    start: f64,
    seconds: f64,
}

impl Azure2021 {
    /// Reads it once, for its functions.
    ///
    /// # Errors
    /// Says what is wrong, and where.
    pub fn read(open: Open) -> Result<Self, TraceError> {
        let (mut functions, mut numbers) = (Vec::<TraceFunction>::new(), BTreeMap::new());
        let (mut first, mut last) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut rows = Rows::open(&open)?;
        while let Some(row) = rows.next() {
            let Row { name, start, seconds } = row?;
            (first, last) = (first.min(start), last.max(start));
            let number = *numbers.entry(name.clone()).or_insert_with(|| {
                functions.push(TraceFunction { name, calls: 0, seconds: 0.0, memory: None });
                functions.len() - 1
            });
            functions[number].calls += 1;
            functions[number].seconds += seconds;
        }
        if functions.is_empty() {
            return Err(TraceError::Empty(FILE));
        }
        functions.iter_mut().for_each(|function| function.seconds /= function.calls as f64);
        let length = Duration::from_secs_f64(last - first) + Duration::from_nanos(1);
        Ok(Self { open, functions, numbers, first, length })
    }
}

struct Rows {
    table: Table,
    places: [usize; 4],
}

impl Rows {
    fn open(open: &Open) -> Result<Self, TraceError> {
        let table = Table::open(FILE, open)?;
        let places = [
            table.place("app")?,
            table.place("func")?,
            table.place("end_timestamp")?,
            table.place("duration")?,
        ];
        Ok(Self { table, places })
    }

    fn next(&mut self) -> Option<Result<Row, TraceError>> {
        let [app, function, end, duration] = self.places;
        let read = |fields: super::trace::Fields| {
            let name = format!("{}/{}", fields.text(app)?, fields.text(function)?);
            // It counts milliseconds: what took less says 0.
            let (end, seconds) = (fields.number(end)?, fields.number(duration)?.max(1e-3));
            Ok(Row { name, start: end - seconds, seconds })
        };
        Some(self.table.next()?.and_then(read))
    }
}

impl Trace for Azure2021 {
    fn functions(&self) -> &[TraceFunction] {
        &self.functions
    }

    fn length(&self) -> Duration {
        self.length
    }

    fn calls(&self, _: Random) -> Box<dyn Iterator<Item = Call> + Send> {
        // It was read before: what cannot be read again is not there any more.
        let mut rows = Rows::open(&self.open).ok();
        let (numbers, first, length) = (self.numbers.clone(), self.first, self.length);
        let mut ahead: BinaryHeap<Reverse<(Duration, u64, usize, u64)>> = BinaryHeap::new();
        let (mut seq, mut last) = (0, Duration::ZERO);
        Box::new(std::iter::from_fn(move || {
            while ahead.len() < WINDOW
                && let Some(row) = rows.as_mut().and_then(Rows::next)
            {
                let Ok(row) = row else {
                    rows = None;
                    break;
                };
                let Some(&function) = numbers.get(&row.name) else { continue };
                let after = Duration::try_from_secs_f64(row.start - first).unwrap_or_default();
                ahead.push(Reverse((after, seq, function, row.seconds.to_bits())));
                seq += 1;
            }
            let Reverse((after, _, function, seconds)) = ahead.pop()?;
            last = last.max(after).min(length);
            Some(Call { after: last, function, seconds: f64::from_bits(seconds) })
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::trace::text;
    use super::*;

    const HEADER: &str = "app,func,end_timestamp,duration\n";

    #[test]
    fn calls_come_by_their_beginning() {
        // They begin at 1, 4.5 and 2.
        let trace = Azure2021::read(text(format!("{HEADER}a,f,5,4\na,g,5,0.5\n\nb,f,3,1\n"))).unwrap();
        let names: Vec<&str> = trace.functions().iter().map(|function| function.name.as_str()).collect();
        assert_eq!(names, ["a/f", "a/g", "b/f"]);
        let calls: Vec<(f64, usize, f64)> = trace
            .calls(Random::new(0))
            .map(|call| (call.after.as_secs_f64(), call.function, call.seconds))
            .collect();
        assert_eq!(calls, [(0.0, 0, 4.0), (1.0, 2, 1.0), (3.5, 1, 0.5)]);
        assert!(trace.length() > Duration::from_secs_f64(3.5));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let error = |rows: &str| Azure2021::read(text(rows)).err().unwrap().to_string();
        assert!(error("a,b\n").contains("no column \"app\""));
        assert!(error(HEADER).contains("no calls"));
        for (row, what) in [("a,f,1", "too short"), ("a,f,x,1", "\"x\""), ("a,f,1,-1", "\"-1\"")] {
            let said = error(&format!("{HEADER}a,f,1,1\n{row}\n"));
            assert!(said.starts_with("line 3 ") && said.contains(what), "{said}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_has_all_its_calls_in_order(
            rows in "(app,func,end_timestamp,duration\n)?([ab],[fg],[0-9.e]{1,4},[0-9.]{1,4}\n){0,20}"
        ) {
            if let Ok(trace) = Azure2021::read(text(rows)) {
                let calls: Vec<Call> = trace.calls(Random::new(0)).collect();
                let known: u64 = trace.functions().iter().map(|function| function.calls).sum();
                prop_assert_eq!(calls.len() as u64, known);
                prop_assert!(calls.windows(2).all(|pair| pair[0].after <= pair[1].after));
                prop_assert!(calls.iter().all(|call| call.after <= trace.length()));
            }
        }
    }
}
