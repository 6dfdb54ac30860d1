//! What a platform has seen of its own functions, as lessons beside whole curves.

use super::dataset::{Dataset, FunctionCurves};
use super::learning::{Example, Lessons};
use super::network::{Network, needs};
use super::shape::{GRID, Point, join, settle};
use crate::predictor::Lesson;

/// The column that a platform's own times are in.
pub const COLUMN: &str = "est_time_platform";
/// The most sizes of a function that are learnt from: the cost of learning grows with their square.
const MAX_SIZES: usize = 12;

/// A lesson as whole curves on the grid; none where it is too little to learn from: fewer than two sizes.
pub fn curves(name: String, lesson: &Lesson) -> Option<FunctionCurves> {
    let largest = lesson.iter().flat_map(|(_, points)| points).map(|(cache, _)| cache.0).max()?;
    let unit = largest as f64 / GRID as f64;
    let mut lesson: Vec<_> =
        lesson.iter().filter(|(size, points)| size.0 > 0 && !points.is_empty()).collect();
    let step = lesson.len().div_ceil(MAX_SIZES).max(1);
    lesson = lesson.into_iter().step_by(step).collect();
    let shape = |points: &[(crate::cache::Bytes, f64)]| {
        let points: Vec<Point> = points.iter().map(|(cache, t)| (cache.0 as f64 / unit, t.ln())).collect();
        let mut shape = join(&points);
        settle(&mut shape);
        shape
    };
    let curves: Vec<_> = lesson.into_iter().map(|(size, points)| (size.0, shape(points))).collect();
    (curves.len() > 1).then_some(FunctionCurves { name, curves })
}

/// As a file of curves.
pub fn write(functions: &[FunctionCurves]) -> String {
    let mut text = format!("name,input_size,ways,{COLUMN}\n");
    for function in functions {
        for (size, shape) in &function.curves {
            for (i, t) in shape.iter().enumerate() {
                text.push_str(&format!("{},{size},{},{:e}\n", function.name, i + 1, t.exp()));
            }
        }
    }
    text
}

/// Reads such a file.
///
/// # Errors
/// Where it is none.
pub fn read(text: &str) -> Result<Dataset, super::dataset::DatasetError> {
    Dataset::parse(text, &[COLUMN.to_owned()])
}

/// How badly networks tell the need of functions, every function counting the same: the ranked probability score, ways. A curve
/// of few points says what is enough and little about times, so that this is all it is asked.
pub fn score(networks: &[Network], lessons: &Lessons) -> Option<f64> {
    let families = lessons.families();
    let one = |family: &String| {
        let examples = lessons.examples(|other| other == family);
        examples.iter().map(|e| wrong(networks, e)).sum::<f64>() / examples.len() as f64
    };
    (!families.is_empty()).then(|| families.iter().map(one).sum::<f64>() / families.len() as f64)
}

fn wrong(networks: &[Network], example: &Example) -> f64 {
    let mut below = 0.0;
    let squared = needs(networks, &example.case).into_iter().enumerate().map(|(g, p)| {
        below += p;
        let truth = if g >= example.need { 1.0 } else { 0.0 };
        f64::powi(below - truth, 2)
    });
    squared.sum()
}
