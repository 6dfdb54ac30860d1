//! Cases of an evaluation as SVG: the best, the median and the worst of each task.

use std::path::Path;

use anyhow::Context as _;
use fsched_core::predictor::engine::evaluation::Result as Case;
use fsched_core::predictor::engine::shape::{FULL, GOOD_ENOUGH, GRID, need};
use fsched_core::predictor::engine::tasks::Task;
use plotters::prelude::*;

/// How many ways the answer was off, then how slow the ways chosen are.
fn badness(case: &Case) -> f64 {
    let truth = &case.trial.truth;
    let wrong = case.answer.need.abs_diff(need(truth, GOOD_ENOUGH)) as f64;
    wrong + (truth[case.answer.need] - truth[FULL]).exp_m1()
}

/// Draws them into a directory, which is made.
pub(super) fn cases(directory: &Path, column: &str, results: &[Case]) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for task in [Task::C, Task::D, Task::F] {
        let mut of: Vec<&Case> = results.iter().filter(|case| case.trial.task == task).collect();
        of.sort_by(|a, b| badness(a).total_cmp(&badness(b)));
        let (Some(best), Some(worst)) = (of.first(), of.last()) else { continue };
        for (name, case) in [("best", best), ("median", &of[of.len() / 2]), ("worst", worst)] {
            let path = directory.join(format!("{column}-{task}-{name}.svg"));
            draw(&path, column, case).with_context(|| format!("cannot draw {}", path.display()))?;
        }
    }
    Ok(())
}

fn draw(path: &Path, column: &str, case: &Case) -> anyhow::Result<()> {
    let truth = &case.trial.truth;
    let unit = truth[FULL];
    let relative = |t: f64| (t - unit).exp();
    let highest = relative(case.answer.high[0]).max(relative(truth[0])).min(4.0 * relative(truth[0])) * 1.05;
    let area = SVGBackend::new(path, (520, 340)).into_drawing_area();
    area.fill(&WHITE)?;
    let right = need(truth, GOOD_ENOUGH) + 1;
    let title = format!(
        "{} {} at {}: {} ways needed, {} chosen ({column})",
        case.trial.task,
        case.name,
        case.trial.input_size,
        right,
        case.answer.need + 1
    );
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 13))
        .margin(8)
        .x_label_area_size(32)
        .y_label_area_size(44)
        .build_cartesian_2d(1.0..GRID as f64, 0.0..highest)?;
    chart.configure_mesh().x_desc("ways").y_desc("time, of the time with 20 ways").draw()?;
    let at = |i: usize| (i + 1) as f64;
    let upper = (0..GRID).map(|i| (at(i), relative(case.answer.high[i]).min(highest)));
    let lower = (0..GRID).rev().map(|i| (at(i), relative(case.answer.low[i]).min(highest)));
    chart.draw_series([Polygon::new(upper.chain(lower).collect::<Vec<_>>(), BLUE.mix(0.15))])?;
    let line = |shape: &[f64; GRID]| (0..GRID).map(|i| (at(i), relative(shape[i]))).collect::<Vec<_>>();
    chart.draw_series(LineSeries::new(line(truth), BLACK.stroke_width(2)))?;
    chart.draw_series(LineSeries::new(line(&case.answer.curve), BLUE.stroke_width(2)))?;
    area.present()?;
    Ok(())
}
