//! What is known of the functions of a trace, and its calls one after the other.

use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use fsched_core::cache::Bytes;

use crate::random::Random;

/// A function of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceFunction {
    /// What the trace calls it.
    pub name: String,
    /// How often it is called in the whole trace.
    pub calls: u64,
    /// How long it takes in the mean, seconds.
    pub seconds: f64,
    /// Memory it needs, where the trace knows.
    pub memory: Option<Bytes>,
}

/// Somebody calls a function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Call {
    /// How long after the trace's start.
    pub after: Duration,
    /// Which function, by its place in the trace.
    pub function: usize,
    /// How long the run takes alone with the whole cache.
    pub seconds: f64,
}

/// Calls of functions over some time. Functions are known from the start, calls come one after the other: a trace holds only as much of them as
/// it has to look ahead.
pub trait Trace: Send + Sync {
    /// The functions, by number.
    fn functions(&self) -> &[TraceFunction];

    /// How long it is: every call is earlier.
    fn length(&self) -> Duration;

    /// The calls in the order of time; what the trace does not say, chance decides. The same chance, the same calls.
    fn calls(&self, random: Random) -> Box<dyn Iterator<Item = Call> + Send>;

    /// Those of the calls that are no earlier than that, without looking at all before them where that can be.
    fn calls_from(&self, random: Random, from: Duration) -> Box<dyn Iterator<Item = Call> + Send> {
        Box::new(self.calls(random).filter(move |call| call.after >= from))
    }
}

/// Opens a file from its start, as often as is wanted.
pub type Open = Arc<dyn Fn() -> std::io::Result<Box<dyn BufRead + Send>> + Send + Sync>;

/// Why a file is no trace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// It cannot be read.
    #[error("the {file} cannot be read: {source}")]
    Unreadable {
        /// Which file of the trace.
        file: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A column that has to be there is not.
    #[error("the header of the {file} has no column {column:?}")]
    NoColumn {
        /// Which file of the trace.
        file: &'static str,
        /// Which column.
        column: String,
    },
    /// A line cannot be used.
    #[error("line {line} of the {file}: {what}")]
    Line {
        /// Which file of the trace.
        file: &'static str,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// There is nothing in it.
    #[error("there are no calls in the {0}")]
    Empty(&'static str),
}

/// A CSV file without quotes, line by line, and where its columns are.
pub(super) struct Table {
    file: &'static str,
    pub(super) header: Vec<String>,
    lines: std::iter::Enumerate<std::io::Lines<Box<dyn BufRead + Send>>>,
}

impl Table {
    pub(super) fn open(file: &'static str, open: &Open) -> Result<Self, TraceError> {
        let unreadable = |source| TraceError::Unreadable { file, source };
        let mut lines = open().map_err(unreadable)?.lines().enumerate();
        let header = match lines.next() {
            None => String::new(),
            Some((_, line)) => line.map_err(unreadable)?,
        };
        let header = header.split(',').map(|name| name.trim().to_owned()).collect();
        Ok(Self { file, header, lines })
    }

    /// Where a column is.
    pub(super) fn place(&self, column: &str) -> Result<usize, TraceError> {
        let place = self.header.iter().position(|name| name == column);
        place.ok_or_else(|| TraceError::NoColumn { file: self.file, column: column.to_owned() })
    }

    /// The next line that is not empty.
    pub(super) fn next(&mut self) -> Option<Result<Fields, TraceError>> {
        loop {
            let (at, line) = self.lines.next()?;
            match line {
                Err(source) => return Some(Err(TraceError::Unreadable { file: self.file, source })),
                Ok(line) if line.trim().is_empty() => {}
                Ok(line) => return Some(Ok(Fields { file: self.file, line: at + 1, text: line })),
            }
        }
    }
}

/// A line, cut at commas.
pub(super) struct Fields {
    file: &'static str,
    line: usize,
    text: String,
}

impl Fields {
    pub(super) fn text(&self, place: usize) -> Result<&str, TraceError> {
        self.text.split(',').nth(place).map(str::trim).ok_or_else(|| self.bad("it is too short".to_owned()))
    }

    /// All fields from this one on.
    pub(super) fn from(&self, place: usize) -> impl Iterator<Item = &str> {
        self.text.split(',').skip(place).map(str::trim)
    }

    /// A number from 0 to a billion.
    pub(super) fn number(&self, place: usize) -> Result<f64, TraceError> {
        let text = self.text(place)?;
        let number = text.parse::<f64>().ok().filter(|number| (0.0..=1e9).contains(number));
        number.ok_or_else(|| self.bad(format!("{text:?} is not a number from 0 to 10^9")))
    }

    pub(super) fn bad(&self, what: String) -> TraceError {
        TraceError::Line { file: self.file, line: self.line, what }
    }
}

#[cfg(test)]
pub(super) fn text(text: impl Into<String>) -> Open {
    let text = text.into();
    Arc::new(move || Ok(Box::new(std::io::Cursor::new(text.clone()))))
}
