//! What is served beside the work: documents, health, numbers, logs.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Cluster, Function, MASTER, Plan, Server, WORKER, wait_until};

#[test]
fn the_document_names_every_route_and_every_route_answers() {
    let cluster = Cluster::usual();
    let api = cluster.api();
    let document = api.get("/openapi.json").ok();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")), "{document}");
    let paths = document["paths"].as_object().expect("paths");
    let promised = [
        "/controller/task/new",
        "/controller/task/run",
        "/controller/task/benchmark",
        "/submit",
        "/cluster/worker/add",
        "/cluster/worker/list",
        "/cluster/workers",
        "/cluster/workers/{id}",
        "/cluster/workers/{id}/drain",
        "/cluster/register",
        "/scheduler/generosity",
        "/functions",
        "/invocations",
        "/invocations/{id}",
        "/status",
        "/healthz",
        "/readyz",
        "/metrics",
    ];
    for path in promised {
        assert!(paths.contains_key(path), "{path} is not in the document");
    }
    for (path, methods) in paths {
        let real = path.replace("{id}", "i-999999").replace("{function}", "nobody");
        for method in methods.as_object().expect("methods").keys().filter(|key| *key != "parameters") {
            let answer =
                api.send(&method.to_uppercase(), &real, &[("Content-Type", "application/json")], b"{}");
            let served = answer.status < 400
                || !["not_found", "method_not_allowed"].contains(&answer.error().0.as_str());
            assert!(served, "{method} {real}: {}", answer.text());
            assert_ne!(answer.status, 500, "{method} {real}: {}", answer.text());
        }
    }
}

#[test]
fn there_is_a_page_to_try_it() {
    let cluster = Cluster::usual();
    let page = cluster.api().get("/docs/");
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(
        page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")),
        "{:?}",
        page.headers
    );
    assert!(page.text().contains("swagger"), "{}", page.text());
}

#[test]
fn health_readiness_and_numbers_are_served_by_both() {
    let mut cluster = Cluster::start(Plan { workers: 0, master: Plan::IMPATIENT, ..Plan::default() });
    assert_eq!(cluster.api().get("/healthz").ok()["status"], "ok");
    cluster.api().get("/readyz").refused(503, "not_ready");
    let worker = cluster.spawn_worker(0, &[]);
    cluster.workers.push(worker);
    cluster.wait_for_alive(1);
    cluster.api().get("/readyz").ok();
    cluster.push_script("counted", ":\n");
    cluster.submit("counted", json!({})).result();

    let worker = &cluster.workers[0].api;
    worker.get("/healthz").ok();
    worker.get("/readyz").ok();
    for api in [cluster.api(), worker] {
        let numbers = api.get("/metrics");
        assert_eq!(numbers.status, 200);
        assert!(numbers.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
        let text = numbers.text();
        let lines = || text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        assert!(lines().count() > 10, "{text}");
        for line in lines() {
            let number = line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok());
            assert!(line.starts_with("fsched_") && number.is_some(), "{line}");
        }
        assert!(text.contains("requests"), "{text}");
    }
    let text = cluster.api().get("/metrics").text();
    for about in ["invocations", "queue", "ways", "prediction", "placement"] {
        assert!(text.contains(about), "{about} is not counted: {text}");
    }
}

#[test]
fn the_numbers_count_what_happened() {
    let cluster = Cluster::usual();
    cluster.push_script("f", "exit $1\n");
    for status in [0, 0, 0, 1] {
        cluster.submit("f", json!({"input_size": status})).ok();
    }
    let text = cluster.api().get("/metrics").text();
    let sum = |wanted: &[&str]| -> f64 {
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#') && wanted.iter().all(|part| line.contains(part)));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    assert!((sum(&["fsched_http_requests_total", "/submit"]) - 4.0).abs() < 0.5, "{text}");
    assert!((sum(&["fsched_invocations", "succeeded"]) - 3.0).abs() < 0.5, "{text}");
    let text = cluster.workers[0].api.get("/metrics").text();
    assert!(text.lines().any(|line| line.starts_with("fsched_") && line.ends_with(" 4")), "{text}");
}

#[test]
fn the_status_counts_what_there_is() {
    let cluster = Cluster::usual();
    cluster.push_script("counted", ":\n");
    cluster.submit("counted", json!({})).result();
    let status = cluster.api().get("/status").ok();
    assert_eq!(status["workers"]["alive"], 1);
    assert_eq!((&status["cores"]["total"], &status["cores"]["free"]), (&json!(2), &json!(2)));
    assert_eq!((&status["ways"]["total"], &status["ways"]["free"]), (&json!(8), &json!(8)));
    assert_eq!((&status["functions"], &status["invocations"]["ended"]["succeeded"]), (&json!(1), &json!(1)));
}

#[test]
fn one_connection_serves_many_requests() {
    let cluster = Cluster::usual();
    cluster.push_script("f", "echo $1\n");
    let mut stream = cluster.api().open().expect("a connection");
    for number in 1..=3 {
        let body = json!({"function_name": "f", "parameters": {"input_size": number}}).to_string();
        let length = body.len();
        let head = format!("POST /submit HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all((head + &body).as_bytes()).expect("it is read");
        let mut answer = String::new();
        while !answer.contains("}}") {
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).expect("it answers");
            assert!(read > 0, "it hung up after {answer:?}");
            answer += &String::from_utf8_lossy(&piece[..read]);
        }
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains(&format!("\"stdout\":\"{number}\\n\"")), "{answer}");
    }
    drop(stream);
    let old = cluster.api().exchange(&[b"GET /healthz HTTP/1.0\r\n\r\n"]).expect("an answer");
    assert_eq!(old.status, 200);
}

#[test]
fn clients_that_ask_before_they_send_a_file_are_told_to_go_on() {
    let cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let (kind, form) = Function::script("polite", "echo\n").form();
    let headers = [("Content-Type", kind.as_str()), ("Expect", "100-continue")];
    let pushed = cluster.api().send("POST", "/controller/task/new", &headers, &form).ok();
    assert_eq!(pushed["name"], "polite");
}

#[test]
fn every_answer_carries_the_requests_id() {
    let cluster = Cluster::usual();
    let named = cluster.api().send("GET", "/status", &[("X-Request-Id", "mine-7")], b"");
    assert_eq!(named.header("x-request-id"), Some("mine-7"));
    let minted = cluster.api().get("/nowhere");
    minted.refused(404, "not_found");
    assert!(minted.header("x-request-id").is_some_and(|id| !id.is_empty()));
}

#[test]
fn one_id_leads_through_the_logs_from_request_to_process() {
    let cluster = Cluster::usual();
    cluster.push_script("traced", "echo $FSCHED_INVOCATION\n");
    let answer = cluster.submit("traced", json!({}));
    let id = answer.ok()["invocation_id"].as_str().expect("an id").to_owned();
    assert!(answer.printed().starts_with(&id), "{}", answer.printed());
    let logs = |server: &Server| server.log().contains(&id);
    wait_until("the master's log names it", || cluster.master.as_ref().is_some_and(logs).then_some(()));
    wait_until("the worker's log names it", || logs(&cluster.workers[0]).then_some(()));
}

#[test]
fn logs_are_json_where_that_is_wanted() {
    let cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let state = cluster.folder().join("json");
    let state = state.to_str().expect("a path");
    let words = ["--listen", "127.0.0.1:0", "--state-dir", state, "--log-format", "json", "--log", "debug"];
    let worker = Server::start(WORKER, cluster.folder(), "json", &words, &[]);
    worker.api.get("/healthz").ok();
    let log = wait_until("something is logged", || Some(worker.log()).filter(|log| log.ends_with('\n')));
    for line in log.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line["level"].is_string()), "{line}");
    }
}

#[test]
fn servers_take_as_many_files_as_the_system_allows() {
    let folder = tempfile::tempdir().expect("a folder");
    for (program, option) in [(MASTER, "--data-dir"), (WORKER, "--state-dir")] {
        let mut server = Command::new("sh")
            .args(["-c", "ulimit -Sn 256 && exec \"$0\" --listen 127.0.0.1:0 \"$@\"", program, option])
            .arg(folder.path().join("data"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        let mut stdout = BufReader::new(server.stdout.take().expect("it is a pipe"));
        stdout.read_line(&mut line).expect("it says where it listens");
        let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).expect("it runs");
        server.kill().and_then(|()| server.wait()).expect("it is our child");
        let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
        let [.., soft, hard, _] = files.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{files}") };
        assert_eq!(soft, hard, "{program} {line}");
    }
}
