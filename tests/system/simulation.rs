//! `fsched sim` and `fsched record`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Cluster, fsched, json};

/// Two policies that need no training, on little work.
const SMALL: &str = r#"
name = "small"
seeds = 2
policies = ["fsched_true", "unmanaged"]
cluster = { workers = 1, cores = 4 }
[[workloads]]
name = "cliffs"
load = 0.6
calls = { kind = "adversarial", functions = "cliffs", synthetic = { functions = 5, length = "20s" } }
[[workloads]]
name = "bursts"
load = [0.3, 0.5]
mix = "sensitive"
calls = { kind = "synthetic", pattern = "bursty", functions = 5, length = "20s" }
"#;

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("a file");
    path.to_str().expect("a path").to_owned()
}

#[test]
fn a_comparison_writes_a_report_that_is_the_same_the_next_time() {
    let folder = tempfile::tempdir().expect("a directory");
    let config = write(folder.path(), "small.toml", SMALL);
    let read =
        |out: &str, file: &str| fs::read_to_string(folder.path().join(out).join(file)).expect("a file");
    for (out, jobs) in [("first", "1"), ("second", "2")] {
        let to = folder.path().join(out);
        let to = to.to_str().expect("a path");
        let done = fsched(folder.path(), None, &["sim", "compare", &config, "--out", to, "--jobs", jobs]);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.stdout.contains("## cliffs") && done.stdout.contains("`unmanaged`"), "{done:?}");
    }
    for file in
        ["report.md", "runs.csv", "quantiles.csv", "series.csv", "report.html", "slowdowns-cliffs.svg"]
    {
        assert!(read("first", file) == read("second", file), "{file} depends on more than its seeds");
    }
    let runs = read("first", "runs.csv");
    assert_eq!(runs.lines().count(), 1 + 3 * 2 * 2, "{runs}");
    let page = read("first", "report.html");
    assert!(page.contains("<svg") && !page.contains("src="));
}

#[test]
fn one_simulation_is_printed_for_programs_too() {
    let folder = tempfile::tempdir().expect("a directory");
    let config = write(folder.path(), "small.toml", SMALL);
    let run = |words: &[&str]| -> Value {
        let done = fsched(folder.path(), None, &[&["--json", "sim", "run", &config], words].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        serde_json::from_str(&done.stdout).expect("JSON")
    };
    let number = |value: &Value, name: &str| value[name].as_f64().expect("a number");
    let ours = run(&[]);
    assert_eq!((&ours["policy"], &ours["workload"]), (&json!("fsched_true"), &json!("cliffs")));
    assert!(number(&ours, "calls") > 20.0 && number(&ours, "cache") >= 0.999, "{ours}");
    let parts = number(&ours, "queueing") + number(&ours, "start") + number(&ours, "cache");
    assert!((parts / number(&ours, "mean") - 1.0).abs() < 1e-3, "{ours}");
    let log = folder.path().join("log");
    let log = log.to_str().expect("a path");
    let shared = run(&["--policy", "unmanaged", "--seed", "0", "--log", log]);
    assert_eq!(number(&ours, "calls"), number(&shared, "calls"), "both meet the same calls");
    assert!(fs::read_to_string(log).expect("a log").contains("arrival of function"));
}

#[test]
fn what_makes_no_sense_is_bad_usage() {
    let folder = tempfile::tempdir().expect("a directory");
    for (text, said) in [(SMALL.replace("0.6", "7"), "cliffs"), ("colour = 1".to_owned(), "colour")] {
        let config = write(folder.path(), "bad.toml", &text);
        let done = fsched(folder.path(), None, &["sim", "run", &config]);
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.stderr.contains(said), "{done:?}");
    }
    let config = write(folder.path(), "small.toml", SMALL);
    let done = fsched(folder.path(), None, &["sim", "run", &config, "--workload", "none"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("cliffs, bursts at 0.3, bursts at 0.5"), "{done:?}");
}

#[test]
fn what_a_master_ran_is_simulated() {
    let cluster = Cluster::usual();
    let (home, url) = (cluster.folder(), cluster.api().url());
    cluster.push_script("recorded", "echo hello\n");
    for _ in 0..3 {
        cluster.submit("recorded", json!({})).result();
    }
    let trace = home.join("trace.csv");
    let path = trace.to_str().expect("a path");
    let done = fsched(home, Some(&url), &["record", "--out", path]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(fs::read_to_string(&trace).expect("a trace").lines().count(), 4);
    let text = r#"
        name = "recorded"
        seeds = 1
        warm_up = 0.0
        policies = ["fsched_true"]
        [[workloads]]
        name = "hour"
        load = 1.0
        calls = { kind = "azure2021", file = "trace.csv", copies = 1 }
    "#;
    let config = write(home, "recorded.toml", text);
    let ran = json(home, &url, &["sim", "run", &config]);
    assert_eq!((&ran["calls"], &ran["unfinished"]), (&json!(3), &json!(0)), "{ran}");
}
