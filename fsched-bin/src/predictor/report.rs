//! Results of an evaluation as tables and JSON.

use std::fmt::Write as _;

use fsched_core::predictor::engine::evaluation::{Metrics, Report};
use serde_json::{Value, json};

use crate::table;

/// One object for one column, a list for several.
pub(super) fn json(reports: &[Report]) -> anyhow::Result<String> {
    let objects: Vec<Value> = reports.iter().map(one).collect::<Result<_, _>>()?;
    Ok(match <[Value; 1]>::try_from(objects) {
        Ok([only]) => only.to_string(),
        Err(objects) => Value::from(objects).to_string(),
    })
}

fn one(report: &Report) -> serde_json::Result<Value> {
    let mut tasks = serde_json::to_value(&report.tasks)?;
    tasks["H"] = json!({ "mlp": report.planner.get("until_known"), "mlp_at_most_6": report.planner.get("at_most_6"),
        "mlp_at_most_5": report.planner.get("at_most_5") });
    Ok(json!({
        "column": report.column,
        "tasks": tasks,
        "coverage90": report.coverage90,
        "width90": report.width90,
        "comparisons": report.comparisons,
    }))
}

/// For people.
pub(super) fn tables(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        let _ = writeln!(text, "{}\n{}\n", report.column, methods(report));
        let _ = writeln!(text, "{}\n", planner(report));
        let _ = writeln!(
            text,
            "90 % intervals over A to F hold {:.1} % of the times not known; mean width {:.0} % of the time.\n",
            100.0 * report.coverage90,
            100.0 * report.width90
        );
        let _ = writeln!(text, "{}", comparisons(report));
    }
    text.trim_end().to_owned()
}

fn methods(report: &Report) -> String {
    let header = [
        "task",
        "method",
        "cases",
        "|dW|",
        "worst",
        "slowdown",
        "p95",
        "excess",
        "over 10 %",
        "extra",
        "time error",
        "covered",
        "width",
    ];
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let row = |task: &str, method: &str, m: &Metrics| {
        vec![
            task.to_owned(),
            method.to_owned(),
            m.cases.to_string(),
            format!("{:.2}", m.abs_dw_mean),
            format!("{:.0}", m.abs_dw_max),
            percent(m.slowdown_mean),
            percent(m.slowdown_p95),
            format!("{:.2}", 100.0 * (m.slowdown_mean - m.slowdown_oracle)),
            percent(m.slow10_share),
            format!("{:.1}", m.extra_ways),
            percent(m.time_error),
            m.coverage90.map_or_else(String::new, percent),
            m.width90.map_or_else(String::new, percent),
        ]
    };
    let mut rows = Vec::new();
    for (task, methods) in &report.tasks {
        for (method, metrics) in methods {
            rows.push(row(&task.to_string(), method, metrics));
        }
    }
    table::plain(&header, &header[2..], rows)
}

fn planner(report: &Report) -> String {
    let header = ["task", "planner", "cases", "runs", "most", "|dW|"];
    let rows = report.planner.iter().map(|(name, m)| {
        vec![
            "H".to_owned(),
            name.replace('_', " "),
            m.cases.to_string(),
            format!("{:.2}", m.runs_mean),
            format!("{:.0}", m.runs_max),
            format!("{:.2}", m.abs_dw_mean),
        ]
    });
    table::plain(&header, &header[2..], rows.collect())
}

fn comparisons(report: &Report) -> String {
    let header = ["task", "against", "better by (ways)", "95 % from", "to"];
    let rows = report.comparisons.iter().map(|c| {
        let ways = |x: f64| format!("{x:.2}");
        vec![c.task.to_string(), c.rule.to_owned(), ways(c.better_by), ways(c.low), ways(c.high)]
    });
    table::plain(&header, &header[2..], rows.collect())
}
