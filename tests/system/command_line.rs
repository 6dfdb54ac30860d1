//! `fsched` for people and for programs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Cluster, FSCHED, Function, Gate, MASTER, Plan, Server, all_of, command, fsched, json, left_of, wait_until,
};

/// A script on disk.
fn script(cluster: &Cluster, name: &str, text: &str) -> String {
    let path: PathBuf = cluster.folder().join(name);
    fs::write(&path, text).expect("a file");
    path.to_str().expect("a path").to_owned()
}

#[test]
fn a_function_lives_its_whole_life_on_the_command_line() {
    let cluster = Cluster::usual();
    let (home, url) = (cluster.folder(), cluster.api().url());
    let json = |words: &[&str]| json(home, &url, words);
    let file = script(&cluster, "double.sh", "echo $(($1 * 2)); echo to stderr >&2\n");
    let pushed =
        json(&["function", "push", &file, "--command", "sh", "--memory", "64MiB", "--timeout", "30s"]);
    assert_eq!((&pushed["name"], &pushed["version"]), (&json!("double.sh"), &json!(1)));

    let early = fsched(home, Some(&url), &["run", "double.sh", "--input-size", "21"]);
    assert_eq!(early.code, Some(125), "{early:?}");
    assert!(early.stderr.contains("benchmark"), "{early:?}");

    assert_eq!(json(&["benchmark", "double.sh", "--input-size", "21"])["exec_time"]["input_size"], 21);
    let ran = fsched(home, Some(&url), &["run", "double.sh", "--input-size", "21"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "42\n"), "{ran:?}");
    assert!(ran.stderr.contains("to stderr"), "{ran:?}");
    let ran = json(&["run", "double.sh", "--input-size", "21"]);
    assert_eq!((&ran["mode"], &ran["result"]["stdout"]), (&json!("BENCHMARKED"), &json!("42\n")));

    let task = pushed["task_id"].as_str().expect("an id");
    assert_eq!(json(&["function", "list"])["functions"][0]["task_id"], task);
    assert_eq!(json(&["function", "show", "double.sh"])["memory"], 64 << 20);
    let invocations = json(&["invocations", "list", "--function", "double.sh", "--limit", "1"]);
    let id = invocations["invocations"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(id, ran["invocation_id"]);
    assert_eq!(json(&["invocations", "show", &id])["result"]["stdout"], "42\n");
    assert_eq!(json(&["status"])["functions"], 1);
    assert_eq!(json(&["workers", "list"])["workers"][0]["state"], "alive");
    assert_eq!(json(&["function", "remove", "double.sh"])["removed"], json!([task]));
    assert_eq!(json(&["function", "list"])["functions"], json!([]));
}

#[test]
fn people_get_tables() {
    let cluster = Cluster::usual();
    let (home, url) = (cluster.folder(), cluster.api().url());
    cluster.push_script("shown-to-people", "echo hello\n");
    cluster.submit("shown-to-people", json!({})).result();
    for (words, wanted) in [
        (&["function", "list"][..], "shown-to-people"),
        (&["function", "show", "shown-to-people"], "shown-to-people"),
        (&["invocations", "list"], "shown-to-people"),
        (&["workers", "list"], "alive"),
        (&["status"], "1"),
    ] {
        let done = fsched(home, Some(&url), words);
        assert_eq!(done.code, Some(0), "{words:?}: {done:?}");
        assert!(done.stdout.contains(wanted), "{words:?}: {done:?}");
        assert!(serde_json::from_str::<Value>(&done.stdout).is_err(), "{words:?}: {done:?}");
        assert!(!done.stdout.contains('\u{1b}'), "colours where nobody sees them: {done:?}");
    }
}

#[test]
fn a_run_ends_as_its_function_ends() {
    let cluster = Cluster::usual();
    let (home, url) = (cluster.folder(), cluster.api().url());
    let file = script(
        &cluster,
        "ends.sh",
        "case $1 in 0) ;; 1) ;; 2) exit 7;; 3) kill -9 $$;; 4) sleep 1000;; esac\n",
    );
    json(home, &url, &["function", "push", &file, "--command", "sh", "--name", "ends"]);
    json(home, &url, &["benchmark", "ends", "--input-size", "0"]);
    let run = |size: &str, more: &[&str]| {
        fsched(home, Some(&url), &[&["run", "ends", "--input-size", size], more].concat()).code
    };
    assert_eq!(run("1", &[]), Some(0));
    assert_eq!(run("2", &[]), Some(7));
    assert_eq!(run("3", &[]), Some(128 + 9));
    assert_eq!(run("4", &["--timeout", "300ms"]), Some(124));
    assert_eq!(fsched(home, Some(&url), &["run", "nobody", "--input-size", "1"]).code, Some(125));
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let cluster = Cluster::usual();
    let (home, url) = (cluster.folder(), cluster.api().url());
    let code = |url: Option<&str>, words: &[&str]| fsched(home, url, words).code;
    assert_eq!(code(Some(&url), &["status"]), Some(0));
    assert_eq!(code(Some(&url), &["function", "show", "nobody"]), Some(1));
    assert_eq!(code(Some(&url), &["invocations", "cancel", "i-99"]), Some(1));
    assert_eq!(code(Some(&url), &["no-such-command"]), Some(2));
    assert_eq!(code(Some(&url), &["run", "f", "--input-size", "-1"]), Some(2));
    assert_eq!(code(Some("http://127.0.0.1:9"), &["status"]), Some(3));
    assert_eq!(code(Some("http://127.0.0.1:9"), &["run", "f", "--input-size", "1"]), Some(125));
    let missing = fsched(home, Some(&url), &["function", "push", "/nonexistent/file"]);
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.stderr.contains("/nonexistent/file"), "{missing:?}");
    let unknown = fsched(home, Some(&url), &["--json", "function", "show", "nobody"]);
    assert!(unknown.stderr.contains("unknown_function"), "{unknown:?}");
}

#[test]
fn workers_are_added_drained_and_removed() {
    let cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let (home, url) = (cluster.folder(), cluster.api().url());
    let worker = cluster.spawn_lone_worker(0, &[]);
    let added = json(home, &url, &["workers", "add", &worker.api.at.to_string()]);
    let id = added["id"].as_str().expect("an id");
    assert_eq!(json(home, &url, &["workers", "drain", id])["draining"], true);
    assert_eq!(json(home, &url, &["workers", "list"])["workers"][0]["state"], "draining");
    assert_eq!(json(home, &url, &["workers", "remove", id])["waiting_for"], 0);
    assert_eq!(json(home, &url, &["workers", "list"])["workers"], json!([]));
}

#[test]
fn an_invocation_is_cancelled_from_the_command_line() {
    let cluster = Cluster::usual();
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("stuck", &gate.script());
    let run = cluster.submit_later("stuck");
    gate.wait_for(1);
    let id = cluster.wait_for_invocations("running", 1).remove(0);
    json(cluster.folder(), &cluster.api().url(), &["invocations", "cancel", &id]);
    run.join().expect("an answer").refused(409, "cancelled");
}

#[test]
fn everything_in_one_command_stays_up_and_goes_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data").display().to_string();
    let words = ["up", "--listen", "127.0.0.1:0", "--workers", "2", "--data-dir", &data_dir];
    let up = |name: &str| Server::start(FSCHED, folder.path(), name, &words, &[]);
    let mut first = up("first");
    let api = first.api.clone();
    let rows = api.get("/cluster/workers").ok()["workers"].clone();
    assert_eq!(rows.as_array().map(Vec::len), Some(2), "it is ready when it says so: {rows}");
    assert!(rows.as_array().is_some_and(|rows| rows.iter().all(|row| row["state"] == "alive")), "{rows}");
    let function = Function::script("f", "echo up\n");
    api.push(&function).ok();
    assert_eq!(api.post("/submit", &json!({"function_name": "f"})).printed(), "up");
    assert!(all_of(folder.path()).len() >= 3, "a master and two workers");
    first.signal(Signal::TERM);
    assert!(first.ended().success());
    assert_eq!(all_of(folder.path()), [""; 0], "processes are left");

    let second = up("second");
    assert_eq!(
        second.api.post("/submit", &json!({"function_name": "f"})).printed(),
        "up",
        "what was pushed is kept"
    );
    let again = second.api.get("/cluster/workers").ok()["workers"].clone();
    assert_eq!((&again[0]["id"], &again[1]["id"]), (&rows[0]["id"], &rows[1]["id"]));
    second.kill();
    wait_until("workers do not outlive what started them", || all_of(folder.path()).is_empty().then_some(()));
}

#[test]
fn folders_may_be_named_from_where_one_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let words = ["up", "--listen", "127.0.0.1:0", "--data-dir", "./state"];
    let up = Server::start(FSCHED, folder.path(), "up", &words, &[]);
    up.api.push(&Function::script("f", "pwd\n")).ok();
    let printed = up.api.post("/submit", &json!({"function_name": "f"})).printed();
    assert!(PathBuf::from(&printed).starts_with(folder.path().join("state")), "{printed}");
}

#[test]
fn a_worker_that_dies_is_started_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data").display().to_string();
    let words = ["up", "--listen", "127.0.0.1:0", "--data-dir", &data_dir];
    let up = Server::start(FSCHED, folder.path(), "up", &words, &[]);
    let workers = all_of(folder.path());
    let worker = workers.iter().find(|line| line.contains(" worker ")).expect("a worker runs");
    let pid = worker.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a process id");
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
    rustix::process::kill_process(pid, Signal::KILL).expect("it is there");
    up.api.push(&Function::script("f", "echo again\n")).ok();
    wait_until("another takes its place", || {
        let answer = up.api.post("/submit", &json!({"function_name": "f", "idempotent": true}));
        (answer.status == 200).then_some(())
    });
    assert_eq!(up.api.get("/cluster/workers").ok()["workers"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_demo_shows_everything_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = json(folder.path(), "http://127.0.0.1:9", &["demo"]);
    let rows = demo["rows"].as_array().expect("rows");
    let functions: BTreeSet<String> = rows.iter().map(|row| row["function"].to_string()).collect();
    assert_eq!(functions.len(), 3, "{demo}");
    assert!(rows.iter().filter_map(|row| row["runs"].as_u64()).sum::<u64>() >= 24, "a few dozen: {demo}");
    for mode in ["BENCHMARKED", "ASSISTED"] {
        assert!(rows.iter().any(|row| row["mode"] == mode), "no run is {mode}: {demo}");
    }
    for row in rows {
        for key in ["ways", "ways_source", "workers", "masks"] {
            assert!(row[key].as_array().is_some_and(|list| !list.is_empty()), "{key}: {row}");
        }
        assert!(row["enforced"].is_boolean() && row["median_seconds"].is_number(), "{row}");
    }
    assert_eq!(all_of(folder.path()), [""; 0], "processes are left");
    assert_eq!(left_of(folder.path()), [""; 0]);
    let left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").filter_map(Result::ok).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = Running::start(folder.path(), None, &["demo"]);
    wait_until("its workers are there", || (all_of(folder.path()).len() >= 4).then_some(()));
    demo.signal(Signal::INT);
    assert_eq!(demo.code(), Some(130));
    wait_until("nothing is left of it", || all_of(folder.path()).is_empty().then_some(()));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn a_run_that_is_interrupted_is_cancelled() {
    let cluster = Cluster::usual();
    let gate = Gate::new(cluster.folder(), "gate");
    let task = cluster.push_script("stuck", &format!("[ $1 = 0 ] && exit 0\n{}", gate.script()));
    cluster.benchmark(&task, 0);
    let mut run =
        Running::start(cluster.folder(), Some(&cluster.api().url()), &["run", "stuck", "--input-size", "1"]);
    gate.wait_for(1);
    run.signal(Signal::INT);
    assert_eq!(run.code(), Some(130));
    cluster.wait_for_invocations("running", 0);
    assert_eq!(cluster.api().get("/invocations?limit=1").ok()["invocations"][0]["ending"], "cancelled");
    wait_until("its function is gone", || left_of(cluster.folder()).is_empty().then_some(()));
}

/// A command under way.
struct Running(std::process::Child);

impl Running {
    fn start(home: &Path, url: Option<&str>, words: &[&str]) -> Self {
        let environment: Vec<_> = url.map(|url| ("FSCHED_URL", url)).into_iter().collect();
        let mut command = command(FSCHED, home, &environment);
        let null = std::process::Stdio::null;
        Self(
            command
                .args(words)
                .stdin(null())
                .stdout(null())
                .stderr(null())
                .spawn()
                .expect("it can be started"),
        )
    }

    fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_raw(self.0.id().cast_signed()).expect("a process id");
        rustix::process::kill_process(pid, signal).expect("it is there");
    }

    fn code(&mut self) -> Option<i32> {
        wait_until("a command ends", || self.0.try_wait().expect("it is our child")).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_address_that_is_taken_is_a_clear_error() {
    let cluster = Cluster::usual();
    let at = cluster.api().at.to_string();
    for words in [
        &["up", "--listen", &at, "--data-dir", "other"][..],
        &["master", "--listen", &at, "--data-dir", "other"],
        &["worker", "--listen", &at, "--state-dir", "other"],
    ] {
        let done = fsched(cluster.folder(), None, words);
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.stderr.contains(&at), "{done:?}");
    }
}

#[test]
fn configuration_comes_from_file_environment_and_flag() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path();
    for of in ["master", "worker"] {
        let sample = fsched(home, None, &["config", of]);
        assert_eq!(sample.code, Some(0));
        assert!(sample.stdout.contains("#listen") && sample.stdout.contains("[log]"), "{sample:?}");
    }
    let file = home.join("master.toml");
    fs::write(&file, "upload_limit = \"1KiB\"\n[log]\nlevel = \"error\"\n").expect("a file");
    let (file, data_dir) = (file.display().to_string(), home.join("master").display().to_string());
    let words = ["--config", &file, "--listen", "127.0.0.1:0", "--data-dir", &data_dir];
    let large = Function::script("f", &"#".repeat(2000));
    let start = |environment: &[(&str, &str)], more: &[&str]| {
        Server::start(MASTER, home, "master", &[&words[..], more].concat(), environment)
    };
    let environment = [("FSCHED_MASTER_UPLOAD_LIMIT", "3KiB")];
    start(&[], &[]).api.push(&large).refused(413, "too_large");
    start(&environment, &[]).api.push(&large).ok();
    start(&environment, &["--upload-limit", "100"]).api.push(&large).refused(413, "too_large");

    fs::write(home.join("bad.toml"), "upload_limt = 1\n").expect("a file");
    let bad = home.join("bad.toml").display().to_string();
    let done = fsched(home, None, &["master", "--config", &bad, "--data-dir", &data_dir]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("upload_limt"), "{done:?}");
}

#[test]
fn shells_get_their_completions() {
    let folder = tempfile::tempdir().expect("a folder");
    for shell in ["bash", "zsh", "fish"] {
        let done = fsched(folder.path(), None, &["completions", shell]);
        assert_eq!(done.code, Some(0));
        assert!(done.stdout.contains("fsched") && done.stdout.contains("invocations"), "{shell}");
    }
}
