//! Pictures: how slowdowns are distributed, what was asked for and what it cost over time, whose ways were whose.

use plotters::prelude::*;

use super::compare::Comparison;
use super::measure::Look;

const SIZE: (u32, u32) = (640, 400);

/// Every picture by name, of all seeds or of the first.
///
/// # Errors
/// What the drawing library says.
pub(super) fn all(comparison: &Comparison<'_>) -> anyhow::Result<Vec<(String, String)>> {
    let mut pictures = Vec::new();
    for (number, workload) in comparison.workloads.iter().enumerate() {
        let name: String =
            workload.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let title = &workload.name;
        pictures.push((format!("slowdowns-{name}"), slowdowns(comparison, number, title)?));
        type Of = fn(&Look) -> f64;
        let of: [(&str, &str, Of); 2] = [
            ("ways", "ways asked for, of all", |look| look.ways_asked),
            ("price", "what a way is worth, s", |look| look.price),
        ];
        for (kind, what, value) in of {
            pictures.push((format!("{kind}-{name}"), over_time(comparison, number, title, what, value)?));
        }
        let first = comparison.of(number, 0).next();
        if let Some(outcome) = first {
            let policy = outcome.numbers.policy;
            let title = format!("{title}: ways of worker 0 under {policy}, by function");
            let ways = comparison.experiment.cluster.ways.get();
            pictures.push((format!("map-{name}"), map(&outcome.looks, ways, &title)?));
        }
    }
    Ok(pictures)
}

fn colour(number: usize) -> RGBColor {
    const COLOURS: [(u8, u8, u8); 10] = [
        (31, 119, 180),
        (255, 127, 14),
        (44, 160, 44),
        (214, 39, 40),
        (148, 103, 189),
        (140, 86, 75),
        (227, 119, 194),
        (127, 127, 127),
        (188, 189, 34),
        (23, 190, 207),
    ];
    let (r, g, b) = COLOURS[number % COLOURS.len()];
    RGBColor(r, g, b)
}

type Line = (String, Vec<(f64, f64)>);

/// Lines with a legend.
fn lines(
    title: &str,
    (x_name, y_name): (&str, &str),
    x: (f64, f64),
    y: (f64, f64),
    all: &[Line],
) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 14))
            .margin(8)
            .x_label_area_size(32)
            .y_label_area_size(48)
            .build_cartesian_2d(x.0..x.1, y.0..y.1)?;
        chart.configure_mesh().x_desc(x_name).y_desc(y_name).draw()?;
        for (number, (name, points)) in all.iter().enumerate() {
            let colour = colour(number);
            let series = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
            let legend = move |(x, y)| Rectangle::new([(x, y - 3), (x + 12, y + 3)], colour.filled());
            chart.draw_series(series)?.label(name.as_str()).legend(legend);
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}

/// The share of calls that are no slower than so much; quantiles are means over seeds.
fn slowdowns(comparison: &Comparison<'_>, workload: usize, title: &str) -> anyhow::Result<String> {
    let policies = &comparison.experiment.policies;
    let curve = |number: usize| -> Vec<(f64, f64)> {
        let seeds = comparison.experiment.seeds as f64;
        let mean =
            |i: usize| comparison.of(workload, number).map(|one| one.quantiles[i]).sum::<f64>() / seeds;
        (0..200).map(|i| (mean(i), (i + 1) as f64 / 200.0)).collect()
    };
    let all: Vec<Line> =
        policies.iter().enumerate().map(|(n, policy)| (policy.name().to_owned(), curve(n))).collect();
    // The last hundredth would hide the rest.
    let far = all.iter().map(|(_, points)| points[197].0).fold(1.1, f64::max);
    let all: Vec<Line> = all
        .into_iter()
        .map(|(name, points)| (name, points.into_iter().filter(|(slowdown, _)| *slowdown <= far).collect()))
        .collect();
    lines(title, ("slowdown", "share of calls"), (1.0, far), (0.0, 1.0), &all)
}

fn over_time(
    comparison: &Comparison<'_>,
    workload: usize,
    title: &str,
    what: &str,
    value: fn(&Look) -> f64,
) -> anyhow::Result<String> {
    let policies = &comparison.experiment.policies;
    let line = |(number, policy): (usize, &super::policies::Policy)| {
        let looks = comparison.of(workload, number).next().map_or(&[][..], |one| &one.looks);
        (policy.name().to_owned(), looks.iter().map(|look| (look.at, value(look))).collect())
    };
    let all: Vec<Line> = policies.iter().enumerate().map(line).collect();
    let points = || all.iter().flat_map(|(_, points)| points);
    let (from, to) = points().fold((f64::INFINITY, 1e-9_f64), |(a, b), (x, _)| (a.min(*x), b.max(*x)));
    let most = points().map(|(_, y)| *y).fold(1e-9, f64::max);
    lines(title, ("seconds", what), (from.min(to), to), (0.0, 1.05 * most), &all)
}

/// Each way over time in the colour of the function that holds it; lighter, the more hold it.
fn map(looks: &[Look], ways: u8, title: &str) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (from, to) = match (looks.first(), looks.last()) {
            (Some(first), Some(last)) if first.at < last.at => (first.at, last.at),
            _ => (0.0, 1.0),
        };
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 14))
            .margin(8)
            .x_label_area_size(32)
            .y_label_area_size(48)
            .build_cartesian_2d(from..to, 0.0..f64::from(ways))?;
        chart.configure_mesh().x_desc("seconds").y_desc("way").disable_mesh().draw()?;
        for pair in looks.windows(2) {
            for way in 0..ways {
                let holders = || pair[0].masks.iter().filter(move |(_, bits)| bits >> way & 1 == 1);
                let Some((function, _)) = holders().next() else { continue };
                let colour = colour(*function as usize).mix(1.0 / holders().count() as f64);
                let corners = [(pair[0].at, f64::from(way)), (pair[1].at, f64::from(way) + 1.0)];
                chart.draw_series([Rectangle::new(corners, colour.filled())])?;
            }
        }
        area.present()?;
    }
    Ok(svg)
}
