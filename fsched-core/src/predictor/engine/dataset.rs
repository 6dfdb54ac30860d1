//! Whole curves of many functions, as evaluations and training need them.

use std::collections::BTreeMap;

use super::shape::{GRID, Shape};

/// One function's curves under one time model.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionCurves {
    /// Its name.
    pub name: String,
    /// Input size and the logarithm of seconds at 1 to [`GRID`] ways; rising sizes.
    pub curves: Vec<(u64, Shape)>,
}

/// Functions under one or more time models.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dataset {
    /// By time column, functions by name.
    pub columns: BTreeMap<String, Vec<FunctionCurves>>,
}

/// A file that is not of the schema of `curves.csv`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// A column that has to be there is not.
    #[error("the header has no column {0:?}; needed are name, input_size, ways and a column of times")]
    NoColumn(String),
    /// A line has a field that cannot be read.
    #[error("line {line}: {field:?} is not a good {column}")]
    BadField {
        /// Counted from 1.
        line: usize,
        /// Which column.
        column: String,
        /// What is there.
        field: String,
    },
    /// A curve has not every way count once.
    #[error("{name} at {input_size} has not every way count from 1 to {GRID} exactly once")]
    Incomplete {
        /// Of which function.
        name: String,
        /// At which input size.
        input_size: u64,
    },
    /// There is nothing in it.
    #[error("there are no curves in it")]
    Empty,
}

/// How a time column's name begins.
const TIME: &str = "est_time";

impl Dataset {
    /// This project's own curves: 22 functions at 4 to 8 input sizes, under three time models.
    pub const OWN: &'static str = include_str!("curves.csv");

    /// Reads comma-separated text with a header: `name`, `input_size`, `ways`, and `columns`; all whose names begin with
    /// `est_time` where none are named.
    ///
    /// # Errors
    /// Says what is wrong and where. Times that rise with cache are settled, not refused.
    pub fn parse(text: &str, columns: &[String]) -> Result<Self, DatasetError> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let (_, header) = lines.next().ok_or(DatasetError::Empty)?;
        let header: Vec<&str> = header.split(',').map(str::trim).collect();
        let place = |name: &str| {
            header.iter().position(|h| *h == name).ok_or_else(|| DatasetError::NoColumn(name.to_owned()))
        };
        let (name_at, size_at, ways_at) = (place("name")?, place("input_size")?, place("ways")?);
        let columns: Vec<String> = if columns.is_empty() {
            header.iter().filter(|h| h.starts_with(TIME)).map(|h| (*h).to_owned()).collect()
        } else {
            columns.to_vec()
        };
        if columns.is_empty() {
            return Err(DatasetError::NoColumn(TIME.to_owned()));
        }
        let times_at: Vec<usize> = columns.iter().map(|c| place(c)).collect::<Result<_, _>>()?;
        type Sizes = BTreeMap<u64, Vec<[Option<f64>; GRID]>>;
        let mut functions: BTreeMap<String, Sizes> = BTreeMap::new();
        for (i, line) in lines {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let bad = |at: usize, column: &str| DatasetError::BadField {
                line: i + 1,
                column: column.to_owned(),
                field: fields.get(at).unwrap_or(&"").chars().take(40).collect(),
            };
            let field = |at: usize, column: &str| fields.get(at).copied().ok_or_else(|| bad(at, column));
            let name = field(name_at, "name")?;
            let size: u64 = field(size_at, "input_size")?.parse().map_err(|_| bad(size_at, "input_size"))?;
            let ways: usize = field(ways_at, "ways")?.parse().map_err(|_| bad(ways_at, "ways"))?;
            if size == 0 {
                return Err(bad(size_at, "input_size"));
            }
            let incomplete = || DatasetError::Incomplete { name: name.to_owned(), input_size: size };
            if !(1..=GRID).contains(&ways) {
                return Err(bad(ways_at, "ways"));
            }
            let sizes = functions.entry(name.to_owned()).or_default();
            let curves = sizes.entry(size).or_insert_with(|| vec![[None; GRID]; columns.len()]);
            for (k, &at) in times_at.iter().enumerate() {
                let seconds: f64 = field(at, &columns[k])?.parse().map_err(|_| bad(at, &columns[k]))?;
                if !(seconds.is_finite() && seconds > 0.0) {
                    return Err(bad(at, &columns[k]));
                }
                if curves[k][ways - 1].replace(seconds.ln()).is_some() {
                    return Err(incomplete());
                }
            }
        }
        if functions.is_empty() {
            return Err(DatasetError::Empty);
        }
        let mut dataset = Self::default();
        for (k, column) in columns.into_iter().enumerate() {
            let mut all = Vec::new();
            for (name, sizes) in &functions {
                let mut curves = Vec::new();
                for (&input_size, shapes) in sizes {
                    let whole: Option<Vec<f64>> = shapes[k].iter().copied().collect();
                    let whole = whole.and_then(|w| Shape::try_from(w).ok());
                    let mut shape =
                        whole.ok_or_else(|| DatasetError::Incomplete { name: name.clone(), input_size })?;
                    super::shape::settle(&mut shape);
                    curves.push((input_size, shape));
                }
                all.push(FunctionCurves { name: name.clone(), curves });
            }
            dataset.columns.insert(column, all);
        }
        Ok(dataset)
    }
}

/// What relatives share: `np_x` and `py_x` do what `x` does.
pub fn family(name: &str) -> &str {
    name.strip_prefix("np_").or_else(|| name.strip_prefix("py_")).unwrap_or(name)
}

/// What a function's name says it runs in, a runtime with its libraries; none for native ones.
fn environment(name: &str) -> Option<&str> {
    ["np_", "py_"].into_iter().find(|prefix| name.starts_with(prefix))
}

/// The runtime that a function's name says it has; none for native ones.
pub fn runtime(name: &str) -> Option<&'static str> {
    environment(name).map(|_| "python")
}

/// The smallest curve of every other function that is alike and no relative of it.
fn smallest(functions: &[FunctionCurves], name: &str, alike: impl Fn(&str) -> bool) -> Vec<Shape> {
    let others = functions.iter().filter(|f| alike(&f.name) && family(&f.name) != family(name));
    others.filter_map(|f| f.curves.first()).map(|(_, shape)| *shape).collect()
}

/// The start-up curve of a function's runtime and libraries: the fastest of the smallest curves of other functions.
pub fn startup(functions: &[FunctionCurves], name: &str) -> Option<Shape> {
    let own = environment(name)?;
    let smallest = smallest(functions, name, |other| environment(other) == Some(own));
    smallest.into_iter().min_by(|a, b| a[GRID - 1].total_cmp(&b[GRID - 1]))
}

/// Curves of which one may be a function's start-up, by its runtime alone: a platform does not know the libraries.
pub fn startups(functions: &[FunctionCurves], name: &str) -> Vec<Shape> {
    let Some(own) = runtime(name) else { return Vec::new() };
    smallest(functions, name, |other| runtime(other) == Some(own))
}
