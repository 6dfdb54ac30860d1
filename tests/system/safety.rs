//! Who may talk to us.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use crate::harness::{
    Api, Cluster, FSCHED, Function, MASTER, Plan, Server, WORKER, all_of, fsched, wait_until,
};

const TOKEN: &str = "correct-horse-battery-staple";
const WITH_TOKEN: &[(&str, &str)] = &[("FSCHED_TOKEN", TOKEN)];

fn run(program: &str, words: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    command.env_clear().args(words).envs(environment.iter().copied());
    command.output().expect("our programs can be started")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A master with a token, and a folder for it.
fn guarded() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("master").display().to_string();
    let words = ["--listen", "127.0.0.1:0", "--data-dir", &data_dir, "--log", "trace"];
    let master = Server::start(MASTER, folder.path(), "master", &words, WITH_TOKEN);
    (folder, master)
}

#[test]
fn listening_for_others_without_a_token_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().display().to_string();
    for address in ["0.0.0.0:0", "[::]:0"] {
        for (program, dir) in [(MASTER, "--data-dir"), (WORKER, "--state-dir")] {
            let output = run(program, &["--listen", address, dir, &folder], &[]);
            assert_eq!(output.status.code(), Some(1), "{program} {address}: {}", said(&output));
            assert!(said(&output).contains("token"), "{}", said(&output));
        }
        let done = fsched(Path::new("/"), None, &["up", "--listen", address, "--data-dir", &folder]);
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.stderr.contains("token"), "{done:?}");
    }
}

#[test]
fn listening_for_others_with_a_token_is_fine() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("master").display().to_string();
    let words = ["--listen", "0.0.0.0:0", "--data-dir", &data_dir];
    let master = Server::start(MASTER, folder.path(), "master", &words, WITH_TOKEN);
    let api = Api::new(&format!("http://127.0.0.1:{}", master.api.at.port()));
    api.get("/status").refused(401, "unauthorized");
    api.with_token(TOKEN).get("/status").ok();
}

#[test]
fn a_token_that_can_be_guessed_or_is_missing_is_refused_at_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().display().to_string();
    let output = run(MASTER, &["--listen", "127.0.0.1:0", "--data-dir", &dir], &[("FSCHED_TOKEN", "short")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!said(&output).contains("short"), "{}", said(&output));
    let words = ["--listen", "127.0.0.1:0", "--data-dir", &dir, "--token-file", "/nonexistent/token"];
    let output = run(MASTER, &words, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("/nonexistent/token"), "{}", said(&output));
}

#[test]
fn only_who_shows_the_token_is_answered() {
    let (_folder, master) = guarded();
    let api = &master.api;
    let document = api.with_token(TOKEN).get("/openapi.json").ok();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            let (method, path) =
                (method.to_uppercase(), path.replace("{id}", "i-1").replace("{function}", "f"));
            if ["/healthz", "/readyz", "/openapi.json"].contains(&path.as_str()) {
                assert_ne!(api.send(&method, &path, &[], b"").status, 401, "{path}");
                continue;
            }
            let answer = api.send(&method, &path, &[], b"");
            answer.refused(401, "unauthorized");
            assert_eq!(answer.header("www-authenticate").map(|how| how.starts_with("Bearer")), Some(true));
        }
    }
    // The page to try it has to come up before it can ask for the token.
    assert_eq!(api.get("/docs/").status, 200);
    api.get("/nowhere").refused(401, "unauthorized");
    for wrong in [
        "",
        "x",
        "correct-horse-battery-stapl",
        "correct-horse-battery-staplee",
        "CORRECT-HORSE-BATTERY-STAPLE",
    ] {
        api.with_token(wrong).get("/status").refused(401, "unauthorized");
    }
    let other_scheme = [("Authorization", "Basic Y29ycmVjdDpob3JzZQ==")];
    api.send("GET", "/status", &other_scheme, b"").refused(401, "unauthorized");
    api.with_token(TOKEN).get("/status").ok();
}

#[test]
fn a_cluster_with_a_token_works_and_keeps_others_out() {
    let (folder, master) = guarded();
    let api = master.api.with_token(TOKEN);
    let worker = |name: &str, environment: &[(&str, &str)]| {
        let state_dir = folder.path().join(name).display().to_string();
        let words =
            ["--listen", "127.0.0.1:0", "--master", &api.url(), "--state-dir", &state_dir, "--log", "trace"];
        Server::start(WORKER, folder.path(), name, &words, environment)
    };
    let stranger = worker("stranger", &[("FSCHED_TOKEN", "another-secret-altogether")]);
    let insider = worker("insider", WITH_TOKEN);
    wait_until("the worker with the token is there", || {
        (api.get("/cluster/workers").ok()["workers"][0]["state"] == "alive").then_some(())
    });
    api.post("/cluster/worker/add", &json!({"host": stranger.api.url()})).refused(500, "worker_unresponsive");
    assert_eq!(api.get("/cluster/workers").ok()["workers"].as_array().map(Vec::len), Some(1));
    insider.api.get("/metrics").refused(401, "unauthorized");
    let protocol = [("x-fsched-protocol", "1")];
    insider.api.send("GET", "/worker/heartbeat", &protocol, b"").refused(401, "unauthorized");
    insider.api.send("POST", "/worker/orders", &protocol, b"{}").refused(401, "unauthorized");
    insider.api.get("/healthz").ok();

    api.push(&Function::script("spy", "tr '\\0' '\\n' < /proc/$$/environ\n")).ok();
    let printed = api.post("/submit", &json!({"function_name": "spy"})).printed();
    assert!(printed.contains("FSCHED_INVOCATION") && !printed.contains(TOKEN), "{printed}");
    for server in [&master, &insider, &stranger] {
        assert!(!server.log().contains(TOKEN), "the token is logged");
        let line = fs::read(format!("/proc/{}/cmdline", server.pid())).expect("it runs");
        assert!(!String::from_utf8_lossy(&line).contains(TOKEN));
    }
}

#[test]
fn a_token_may_come_from_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    fs::write(&file, format!("{TOKEN}\n")).expect("a file");
    let (file, data_dir) = (file.display().to_string(), folder.path().join("master").display().to_string());
    let words = ["--listen", "127.0.0.1:0", "--data-dir", &data_dir, "--token-file", &file];
    let master = Server::start(MASTER, folder.path(), "master", &words, &[]);
    master.api.get("/status").refused(401, "unauthorized");
    master.api.with_token(TOKEN).get("/status").ok();
    let url = master.api.url();
    assert_eq!(fsched(folder.path(), Some(&url), &["--token-file", &file, "status"]).code, Some(0));
    let refused = fsched(folder.path(), Some(&url), &["status"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("token"), "{refused:?}");
}

#[test]
fn everything_in_one_command_shares_the_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let words = ["up", "--listen", "127.0.0.1:0", "--data-dir", "state"];
    let up = Server::start(FSCHED, folder.path(), "up", &words, WITH_TOKEN);
    up.api.get("/cluster/workers").refused(401, "unauthorized");
    let workers = up.api.with_token(TOKEN).get("/cluster/workers").ok();
    assert_eq!(workers["workers"][0]["state"], "alive");
    assert!(!all_of(folder.path()).iter().any(|line| line.contains(TOKEN)));
}

#[test]
fn no_command_line_takes_a_token() {
    let folder = tempfile::tempdir().expect("a folder");
    for program in [MASTER, WORKER] {
        let output = run(program, &["--token", TOKEN], &[]);
        assert_eq!(output.status.code(), Some(2), "{program}: {}", said(&output));
    }
    for words in [&["--token", TOKEN, "status"][..], &["up", "--token", TOKEN], &["worker", "--token", TOKEN]]
    {
        assert_eq!(fsched(folder.path(), None, words).code, Some(2), "{words:?}");
    }
    for words in [&["--help"][..], &["up", "--help"], &["master", "--help"], &["worker", "--help"]] {
        let help = fsched(folder.path(), None, words).stdout;
        assert!(
            help.contains("--token-file") && !help.replace("--token-file", "").contains("--token"),
            "{help}"
        );
    }
}

#[test]
fn pages_of_others_get_no_answer() {
    let cluster = Cluster::usual();
    for api in [cluster.api(), &cluster.workers[0].api] {
        let own = api.url();
        for origin in ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"] {
            for path in ["/healthz", "/metrics"] {
                api.send("GET", path, &[("Origin", origin)], b"").refused(403, "forbidden_origin");
            }
        }
        assert_eq!(api.send("GET", "/metrics", &[("Origin", &own)], b"").status, 200);
        for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example"] {
            api.send("GET", "/metrics", &[("Host", host)], b"").refused(403, "forbidden_origin");
        }
        for host in ["localhost", "127.0.0.1", "[::1]:80"] {
            assert_eq!(api.send("GET", "/metrics", &[("Host", host)], b"").status, 200, "{host}");
        }
    }
    let ask = json!({"function_name": "f"}).to_string();
    let evil = [("Origin", "http://evil.example"), ("Content-Type", "text/plain")];
    cluster.api().send("POST", "/submit", &evil, ask.as_bytes()).refused(403, "forbidden_origin");
}

#[test]
fn data_is_kept_where_only_its_owner_looks() {
    let cluster = Cluster::usual();
    for folder in [cluster.data_dir(), cluster.state_dir(0)] {
        let mode = fs::metadata(&folder).expect("a folder").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", folder.display());
    }
}

#[test]
fn servers_listen_on_loopback_where_nothing_is_said() {
    let plan = Plan { workers: 0, ..Plan::default() };
    let cluster = Cluster::start(plan);
    for (program, of) in [(MASTER, "master"), (WORKER, "worker")] {
        let help = String::from_utf8_lossy(&run(program, &["--help"], &[]).stdout).into_owned();
        assert!(help.contains("127.0.0.1:3"), "{help}");
        let sample = fsched(cluster.folder(), None, &["config", of]).stdout;
        assert!(sample.contains("#listen = \"127.0.0.1:"), "{sample}");
    }
}
