//! Plain tables for people: aligned columns, nothing else, so that `awk` reads them too.

use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use fsched_core::cache::Bytes;
use serde_json::Value;

use crate::client::answer::{BenchmarkAnswer, FunctionRow, InvocationRow, WorkerRow};

/// A table that is never wider than its content; columns named in `right` hold numbers.
pub fn plain(header: &[&str], right: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    table.add_rows(rows);
    for (column, name) in table.column_iter_mut().zip(header) {
        column.set_padding((0, 2));
        if right.contains(name) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// Functions, one version per line.
pub fn functions(rows: &[FunctionRow]) -> String {
    if rows.is_empty() {
        return "No functions. Push one with `fsched function push FILE`.".to_owned();
    }
    let header =
        ["id", "name", "version", "size", "command", "cores", "memory", "isolation", "benchmarked at"];
    let line = |row: &FunctionRow| {
        let sizes: Vec<String> = row.benchmarked.iter().map(u64::to_string).collect();
        vec![
            row.task_id.clone(),
            row.name.clone(),
            row.version.to_string(),
            Bytes(row.size).to_string(),
            row.command.clone().unwrap_or_else(|| "(itself)".to_owned()),
            row.cores.to_string(),
            Bytes(row.memory).to_string(),
            row.isolation.clone(),
            or_dash(if row.removing { "being removed".to_owned() } else { sizes.join(" ") }),
        ]
    };
    plain(&header, &["version", "size", "cores", "memory"], rows.iter().map(line).collect())
}

/// Invocations, one per line.
pub fn invocations(rows: &[InvocationRow]) -> String {
    if rows.is_empty() {
        return "No invocations.".to_owned();
    }
    let mut header = vec!["id", "function", "input size", "state", "mode", "worker", "ways", "time"];
    // Where nobody has a name, it would say the same in every line.
    let named = rows.iter().any(|row| !row.tenant.is_default());
    header.extend(named.then_some("tenant"));
    let line = |row: &InvocationRow| {
        let function = row
            .name
            .as_ref()
            .map_or_else(|| row.function.clone(), |name| format!("{name} ({})", row.function));
        let state = match (&row.ending, row.exit_status) {
            (Some(ending), Some(status)) if ending == "exited" => format!("exited {status}"),
            (Some(ending), _) => ending.replace('_', " "),
            (None, _) => row.state.clone(),
        };
        let mut line = vec![
            row.id.clone(),
            function,
            scalar(&row.input_size),
            state,
            or_dash(row.mode.clone().unwrap_or_default()),
            or_dash(row.worker.clone().unwrap_or_default()),
            or_dash(row.ways.map(|ways| ways.to_string()).unwrap_or_default()),
            or_dash(row.seconds.map(seconds).unwrap_or_default()),
        ];
        line.extend(named.then(|| row.tenant.to_string()));
        line
    };
    plain(&header, &["input size", "ways", "time"], rows.iter().map(line).collect())
}

/// Workers, one per line.
pub fn workers(rows: &[WorkerRow]) -> String {
    if rows.is_empty() {
        return "No workers. Start one with `fsched worker --master URL`.".to_owned();
    }
    let header =
        ["id", "host", "state", "running", "free cores", "free memory", "free ways", "masks", "last seen"];
    let line = |row: &WorkerRow| {
        let ways: Vec<String> =
            row.domains.iter().map(|domain| format!("{}/{}", domain.free_ways, domain.ways)).collect();
        vec![
            row.id.clone(),
            row.host.clone(),
            row.state.clone(),
            row.running.to_string(),
            format!("{}/{}", row.free_cores, row.cores),
            format!("{} of {}", Bytes(row.free_memory), Bytes(row.memory)),
            or_dash(ways.join(" ")),
            enforced(row.enforced).to_owned(),
            format!("{:.1} s ago", row.last_seen_secs),
        ]
    };
    plain(&header, &["running", "free cores", "free memory", "free ways"], rows.iter().map(line).collect())
}

/// The points of a benchmark.
pub fn benchmark(answer: &BenchmarkAnswer) -> String {
    let rows = answer
        .points
        .iter()
        .map(|point| {
            vec![
                point.ways.to_string(),
                Bytes(point.cache_bytes).to_string(),
                seconds(point.seconds),
                point.times.join(" "),
            ]
        })
        .collect();
    plain(&["ways", "cache", "median", "runs"], &["ways", "cache", "median"], rows)
}

/// Nested JSON as lines of `key value`, for answers of no fixed shape.
pub fn facts(value: &Value) -> String {
    fn walk(path: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
        if let Some(time) = time(value) {
            rows.push(vec![path.to_owned(), time]);
            return;
        }
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    walk(&path, value, rows);
                }
            }
            Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
                for (index, item) in items.iter().enumerate() {
                    walk(&format!("{path}[{index}]"), item, rows);
                }
            }
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(scalar).collect();
                rows.push(vec![path.to_owned(), or_dash(items.join(" "))]);
            }
            scalar_value => rows.push(vec![path.to_owned(), scalar(scalar_value)]),
        }
    }
    let mut rows = Vec::new();
    walk("", value, &mut rows);
    plain(&["what", "value"], &[], rows)
}

/// What `{"secs": .., "nanos": ..}` means: a point in time where it is large, else a duration.
fn time(value: &Value) -> Option<String> {
    let map = value.as_object().filter(|map| map.len() == 2)?;
    let (secs, nanos) = (map.get("secs")?.as_u64()?, map.get("nanos")?.as_u64()?);
    // No function of ours runs for thirty years.
    let point = secs > 1_000_000_000;
    Some(if point { utc(secs, nanos / 1_000_000) } else { seconds(secs as f64 + nanos as f64 / 1e9) })
}

/// A point in time as `2026-11-23 07:06:29.438 UTC`, by the calendar's rule that 400 years have 146,097 days.
fn utc(secs: u64, millis: u64) -> String {
    // Days since 0000-03-01, so that a leap day ends its year.
    let days = secs / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    let second = secs % 86_400;
    format!(
        "{:04}-{month:02}-{day_of_month:02} {:02}:{:02}:{:02}.{millis:03} UTC",
        400 * era + year,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// What `enforced` is called in a table.
pub fn enforced(enforced: bool) -> &'static str {
    if enforced { "enforced" } else { "not enforced" }
}

/// A time as people read it: three digits and a unit.
pub fn seconds(seconds: f64) -> String {
    let (number, unit) = match seconds {
        s if s >= 120.0 => (s / 60.0, "min"),
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "µs"),
    };
    let digits = if number >= 100.0 { 0 } else { 1 + usize::from(number < 10.0) };
    format!("{number:.digits$} {unit}")
}

/// A duration as people read it.
pub fn duration(duration: Duration) -> String {
    seconds(duration.as_secs_f64())
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let times = [0.0, 0.000_012_34, 0.0151, 0.9994, 1.0, 59.94, 119.0, 120.0].map(seconds);
        assert_eq!(
            times,
            ["0.00 µs", "12.3 µs", "15.1 ms", "999 ms", "1.00 s", "59.9 s", "119 s", "2.00 min"]
        );
    }

    #[test]
    fn an_invocation_is_one_line_of_aligned_columns() {
        let rows: Vec<InvocationRow> = serde_json::from_value(json!([
            {"id": "i-12", "function": "f-1", "name": "lookup", "input_size": 4096, "state": "ended",
             "ending": "exited", "exit_status": 0, "mode": "BENCHMARKED", "worker": "w-1", "ways": 5, "seconds": 0.051},
            {"id": "i-3", "function": "f-9", "name": null, "input_size": "7", "state": "queued", "ending": null},
            {"id": "i-2", "function": "f-9", "input_size": 7, "state": "ended", "ending": "lost_worker"},
        ]))
        .unwrap();
        let expected = "\
ID    FUNCTION      INPUT SIZE  STATE        MODE         WORKER  WAYS     TIME
i-12  lookup (f-1)        4096  exited 0     BENCHMARKED  w-1        5  51.0 ms
i-3   f-9                    7  queued       -            -          -        -
i-2   f-9                    7  lost worker  -            -          -        -";
        assert_eq!(invocations(&rows), expected);
    }

    #[test]
    fn where_there_are_tenants_each_invocation_says_whose_it_is() {
        let rows: Vec<InvocationRow> = serde_json::from_value(json!([
            {"id": "i-2", "function": "f-9", "input_size": 7, "state": "queued", "tenant": "team-blue"},
            {"id": "i-1", "function": "f-9", "input_size": 7, "state": "queued", "tenant": "default"},
        ]))
        .unwrap();
        let expected = "\
ID   FUNCTION  INPUT SIZE  STATE   MODE  WORKER  WAYS  TIME  TENANT
i-2  f-9                7  queued  -     -          -     -  team-blue
i-1  f-9                7  queued  -     -          -     -  default";
        assert_eq!(invocations(&rows), expected);
    }

    #[test]
    fn a_worker_shows_what_is_free_and_whether_masks_are_enforced() {
        let rows: Vec<WorkerRow> = serde_json::from_value(json!([{
            "id": "w-1", "host": "http://127.0.0.1:3000", "state": "alive", "cores": 2, "free_cores": 1,
            "memory": 4_294_967_296_u64, "free_memory": 1_073_741_824, "running": 1, "last_seen_secs": 0.44,
            "domains": [{"id": 0, "ways": 16, "free_ways": 9}, {"id": 1, "ways": 16, "free_ways": 16}]
        }]))
        .unwrap();
        let expected = "\
ID   HOST                   STATE  RUNNING  FREE CORES         FREE MEMORY   FREE WAYS  MASKS         LAST SEEN
w-1  http://127.0.0.1:3000  alive        1         1/2  1.0 GiB of 4.0 GiB  9/16 16/16  not enforced  0.4 s ago";
        assert_eq!(workers(&rows), expected);
    }

    #[test]
    fn a_function_shows_where_it_was_benchmarked() {
        let rows: Vec<FunctionRow> = serde_json::from_value(json!([
            {"task_id": "f-1", "name": "resize", "version": 2, "size": 1024, "command": "python3", "cores": 1,
             "memory": 268_435_456, "isolation": "shared", "benchmarked": [1024, 4096]},
            {"task_id": "f-2", "name": "spin", "version": 1}
        ]))
        .unwrap();
        let expected = "\
ID   NAME    VERSION     SIZE  COMMAND   CORES     MEMORY  ISOLATION  BENCHMARKED AT
f-1  resize        2  1.0 KiB  python3       1  256.0 MiB  shared     1024 4096
f-2  spin          1      0 B  (itself)      0        0 B             -";
        assert_eq!(functions(&rows), expected);
    }

    #[test]
    fn points_in_time_are_shown_by_the_calendar() {
        assert_eq!(utc(0, 0), "1970-01-01 00:00:00.000 UTC");
        assert_eq!(utc(951_782_400, 7), "2000-02-29 00:00:00.007 UTC");
        assert_eq!(utc(1_735_689_599, 999), "2024-12-31 23:59:59.999 UTC");
        assert_eq!(utc(4_107_542_400, 0), "2100-03-01 00:00:00.000 UTC");
        let text = facts(
            &json!({"took": {"secs": 0, "nanos": 15_100_000}, "at": {"secs": 1_735_689_599, "nanos": 0}}),
        );
        assert!(text.contains("15.1 ms") && text.contains("2024-12-31"), "{text}");
    }

    #[test]
    fn answers_of_any_shape_become_lines() {
        let text =
            facts(&json!({"queued": 0, "workers": {"alive": 2}, "sizes": [1, 2], "list": [{"id": "x"}]}));
        assert!(text.contains("workers.alive"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("list[0].id") && line.ends_with('x')), "{text}");
        assert!(text.lines().any(|line| line.starts_with("sizes") && line.ends_with("1 2")), "{text}");
    }
}
