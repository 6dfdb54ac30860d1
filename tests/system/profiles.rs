//! Curves without hardware that divides a cache. What needs Valgrind is ignored elsewhere and run by `.ci/run`.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Cluster, FSCHED, Function, command, fsched, json, left_of, wait_until};

/// Reads an array of so many KiB again and again, from first to last: a cache that replaces what was used least recently
/// serves all of it or, from the first KiB too many on, none.
const WALK: &str = "
fn main() {
    let kib: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let array = vec![1u64; kib << 7];
    let mut sum = 0;
    for _ in 0..8 {
        // One number per line.
        sum += std::hint::black_box(&array).iter().step_by(8).sum::<u64>();
    }
    println!(\"{sum}\");
}
";

/// Compiles [`WALK`] into a folder.
fn walk(folder: &Path) -> String {
    let (source, program) = (folder.join("walk.rs"), folder.join("walk"));
    std::fs::write(&source, WALK).expect("a file");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let done = Command::new(rustc).args(["-O", "-C", "panic=abort", "-o"]).args([&program, &source]).status();
    assert!(done.expect("a compiler").success());
    program.to_str().expect("a path").to_owned()
}

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("fsched-system-").tempdir().expect("a folder")
}

fn profile(home: &Path, words: &[&str]) -> Value {
    json(home, "http://127.0.0.1:9", &[&["profile"], words].concat())
}

/// Fails after a while, not at the first look: what was killed is still there for a moment.
fn nothing_is_left_of(home: &Path) {
    wait_until("nothing is left of it", || left_of(home).is_empty().then_some(()));
    let entries = std::fs::read_dir(home).expect("a folder").filter_map(Result::ok);
    let temporary = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("fsched-profile"));
    assert_eq!(temporary.count(), 0, "folders are left");
}

#[test]
#[ignore = "needs Valgrind: .ci/run has it"]
fn a_cliff_is_found_where_it_is() {
    let folder = folder();
    let walk = walk(folder.path());
    for (kib, fewest) in [(2 * 1024 - 64, 2), (5 * 1024 - 64, 5), (9 * 1024 - 64, 9)] {
        let found = profile(folder.path(), &["--", &walk, &kib.to_string()]);
        assert_eq!(found["fewest_ways"], fewest, "{kib} KiB: {found}");
        assert_eq!(
            (&found["source"], found["points"].as_array().map(Vec::len) <= Some(7)),
            (&json!("simulated"), true)
        );
        let points = found["points"].as_array().expect("points");
        let misses = |ways: u64| {
            let point =
                points.iter().find(|point| point["ways"] == ways).expect("the cliff's ends are among them");
            point["llc_misses"].as_f64().expect("a number")
        };
        // Eight times around, once at most missed: so many lines.
        let lines = f64::from(kib) * 16.0;
        assert!(misses(fewest) < 1.3 * lines, "{kib} KiB fit in {fewest} ways: {found}");
        assert!(misses(fewest - 1) > 7.9 * lines, "and in no way fewer: {found}");
    }
}

#[test]
#[ignore = "needs Valgrind: .ci/run has it"]
fn every_number_of_ways_is_simulated_and_repeats() {
    let folder = folder();
    let every = || profile(folder.path(), &["--ways", "32", "--points", "32", "--", "true"]);
    let (mut one, mut other) = (every(), every());
    for found in [&mut one, &mut other] {
        let points = found["points"].as_array_mut().expect("points");
        let ways: Vec<_> = points.iter().map(|point| point["ways"].as_u64().expect("a number")).collect();
        assert_eq!(ways, (1..=32).collect::<Vec<_>>());
        let misses: Vec<_> =
            points.iter().map(|point| point["llc_misses"].as_u64().expect("a number")).collect();
        assert!(misses.is_sorted_by(|less, more| less >= more), "{misses:?}");
        for point in points {
            point.as_object_mut().expect("an object").remove("took_seconds");
        }
    }
    assert_eq!(one["points"], other["points"]);
}

#[test]
#[ignore = "needs Valgrind: .ci/run has it"]
fn counts_are_those_of_stock_cachegrind() {
    let folder = folder();
    let walk = walk(folder.path());
    let found = profile(folder.path(), &["--ways", "4", "--points", "4", "--", &walk, "2000"]);
    for ways in 1..=4u64 {
        let counts = folder.path().join("stock");
        let stock = command("valgrind", folder.path(), &[])
            .env_remove("TMPDIR")
            .envs([("LANG", "C.UTF-8"), ("PYTHONHASHSEED", "0"), ("FSCHED_PROFILE", "0123456789abcdef")])
            .args(["--quiet", "--tool=cachegrind", "--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64"])
            .arg(format!("--LL={},{ways},64", ways << 20))
            .arg(format!("--cachegrind-out-file={}", counts.display()))
            .args([&walk, "2000"])
            .output()
            .expect("Valgrind");
        assert!(stock.status.success(), "{stock:?}");
        let text = std::fs::read_to_string(&counts).expect("counts");
        let summary = text.lines().find_map(|line| line.strip_prefix("summary: ")).expect("a summary");
        let sums: Vec<u64> = summary.split(' ').map(|sum| sum.parse().expect("a number")).collect();
        let point = &found["points"][usize::try_from(ways).expect("small") - 1];
        assert_eq!(point["instructions"], sums[0], "{ways} ways");
        assert_eq!(point["l1_misses"], sums[1] + sums[4] + sums[7], "{ways} ways");
        assert_eq!(point["llc_misses"], sums[2] + sums[5] + sums[8], "{ways} ways");
    }
}

#[test]
#[ignore = "needs Valgrind: .ci/run has it"]
fn a_profile_becomes_samples_that_survive_a_restart() {
    let mut cluster = Cluster::usual();
    let walk = walk(cluster.folder());
    let (home, url) = (cluster.folder().to_owned(), cluster.api().url());
    json(&home, &url, &["function", "push", &walk]);
    let benchmark =
        json(&home, &url, &["benchmark", "walk", "--input-size", "1900", "--profile", "--ways", "8"]);
    assert_eq!(benchmark["profile"]["fewest_ways"], 2, "{benchmark}");
    json(
        &home,
        &url,
        &["profile", "--ways", "8", "--function", "walk", "--input-size", "3900", "--", &walk, "3900"],
    );
    let curve = |cluster: &Cluster, size: u64| {
        cluster.api().get(&format!("/functions/walk/curve?input_size={size}")).ok()
    };
    let before = [1900, 3000, 3900, 9000].map(|size| curve(&cluster, size));
    for curve in &before {
        assert_eq!((&curve["source"], &curve["misses"].is_object()), (&json!("simulated"), &true), "{curve}");
    }
    let run = json(&home, &url, &["run", "walk", "--input-size", "3900"]);
    assert_eq!(
        (&run["mode"], &run["result"]["ways_source"]),
        (&json!("BENCHMARKED"), &json!("simulated")),
        "{run}"
    );
    cluster.kill_master();
    cluster.start_master();
    let after = [1900].map(|size| curve(&cluster, size));
    assert_eq!(after[0], before[0], "the run of another size may have taught more about that one only");
}

#[test]
#[ignore = "needs Valgrind: .ci/run has it"]
fn limits_end_a_command_that_does_not_end() {
    let folder = folder();
    let script = folder.path().join("endless");
    std::fs::write(&script, "while :; do :; done\n").expect("a file");
    let script = script.to_str().expect("a path");
    for (limit, value, code) in
        [("--instruction-limit", "50M", "instruction_limit"), ("--time-limit", "2s", "time_limit")]
    {
        let done = fsched(folder.path(), None, &["--json", "profile", limit, value, "--", "sh", script]);
        assert_eq!(done.code, Some(124), "{limit}: {done:?}");
        let said: Value = serde_json::from_str(&done.stdout).expect("JSON");
        assert_eq!(said["code"], code, "{done:?}");
        assert!(done.stderr.contains(limit), "it says what to change: {done:?}");
        nothing_is_left_of(folder.path());
    }
}

#[test]
#[ignore = "needs Valgrind: .ci/run has it"]
fn whoever_interrupts_a_profile_leaves_nothing_behind() {
    let folder = folder();
    // One that also leaves the process group and handles the signals that end others.
    let script = folder.path().join("stubborn");
    let text = "trap '' TERM INT HUP VTALRM\nsetsid sh -c 'trap \"\" TERM INT; while :; do sleep 1; done' &\n\
                while :; do sleep 1; done\n";
    std::fs::write(&script, text).expect("a file");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut running = command(FSCHED, folder.path(), &[])
            .args(["profile", "--", "sh", script.to_str().expect("a path")])
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("fsched can be started");
        wait_until("it simulates", || (left_of(folder.path()).len() >= 3).then_some(()));
        let id = Pid::from_raw(running.id().cast_signed()).expect("a process id");
        kill_process(id, signal).expect("it is there");
        assert_eq!(wait_until("it ends", || running.try_wait().expect("it is our child")).code(), Some(130));
        nothing_is_left_of(folder.path());
    }
}

#[test]
#[ignore = "needs Valgrind: .ci/run has it"]
fn a_command_that_fails_is_shown_with_what_it_said() {
    let folder = folder();
    let done =
        fsched(folder.path(), None, &["profile", "--", "sh", "-c", "echo no such picture >&2; exit 3"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("exit status: 3") && done.stderr.contains("no such picture"), "{done:?}");
}

#[test]
#[ignore = "needs Valgrind: .ci/run has it"]
fn the_demo_profiles_its_functions() {
    let folder = folder();
    let demo = json(folder.path(), "http://127.0.0.1:9", &["demo", "--profile"]);
    assert_eq!(demo["curves"], "profiled");
    ways_are_simulated(&demo);
}

#[test]
fn the_demo_uses_the_curves_that_come_with_it() {
    let folder = folder();
    let demo = json(folder.path(), "http://127.0.0.1:9", &["demo"]);
    assert_eq!(demo["curves"], "shipped");
    ways_are_simulated(&demo);
}

/// Where hardware divides the cache they are measured, and that is better.
fn ways_are_simulated(demo: &Value) {
    for row in demo["rows"].as_array().expect("rows") {
        let source = if row["enforced"] == true { "measured" } else { "simulated" };
        assert_eq!(row["ways_source"], json!([source]), "{row}");
    }
}

#[test]
fn without_valgrind_it_is_said_how_to_get_it() {
    let folder = folder();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).expect("a folder");
    let program = PathBuf::from(FSCHED);
    let done = command(program.to_str().expect("a path"), folder.path(), &[])
        .env("PATH", &empty)
        .args(["profile", "--", "/bin/true"])
        .output()
        .expect("fsched can be started");
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("not installed") && said.contains("apt-get install valgrind"), "{said}");
}

#[test]
fn what_was_taught_by_a_profile_survives_a_restart() {
    let mut cluster = Cluster::usual();
    cluster.push(&Function::script("f", "exit 0\n"));
    let point = |mib: u64, seconds: f64, miss_bytes: u64| json!({"cache_bytes": mib << 20, "seconds": seconds, "miss_bytes": miss_bytes, "accesses": 1000});
    let points = [point(1, 3.0, 64_000), point(3, 3.0, 64_000), point(4, 1.0, 640), point(8, 1.0, 0)];
    cluster.api().post("/functions/f/profile", &json!({"input_size": 7, "points": points})).ok();
    let curves = |cluster: &Cluster| {
        [7, 8, 70].map(|size| cluster.api().get(&format!("/functions/f/curve?input_size={size}")).ok())
    };
    let before = curves(&cluster);
    assert_eq!((&before[0]["source"], &before[0]["knowledge"]), (&json!("simulated"), &json!("BENCHMARKED")));
    assert_eq!(before[0]["misses"]["source"], "simulated");
    assert_eq!(before[2]["misses"]["source"], "prior", "at another size they are an assumption");
    cluster.kill_master();
    cluster.start_master();
    assert_eq!(curves(&cluster), before);
}
