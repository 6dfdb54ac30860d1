//! Files reach workers once, whole; orders whose line breaks are not forgotten.

use std::fs;

use serde_json::json;

use crate::harness::{Cluster, Fault, Function, Gate, Line, MARKER, Plan, Server, left_of, wait_until};

/// A cluster whose only worker is at the other end of a wire.
fn wired(fault: Fault, faults: usize) -> (Cluster, Line, Server) {
    let cluster = Cluster::start(Plan { workers: 0, master: Plan::IMPATIENT, ..Plan::default() });
    let worker = cluster.spawn_lone_worker(0, &[]);
    let line = Line::to(worker.api.at, fault, faults);
    cluster.api().post("/cluster/worker/add", &json!({"host": line.api.url()})).ok();
    (cluster, line, worker)
}

/// A script of some length in which faults find something to spoil.
fn long_script(last: &str) -> String {
    let marker = String::from_utf8_lossy(MARKER).into_owned();
    format!(
        "{}{last}\n",
        format!("# {marker} and so on and so forth, line after line after line\n").repeat(4000)
    )
}

#[test]
fn a_file_goes_to_a_worker_once() {
    let (cluster, line, _worker) = wired(Fault::None, 0);
    cluster.push_script("f", &long_script("echo whole"));
    for _ in 0..3 {
        assert_eq!(cluster.submit("f", json!({})).printed(), "whole");
    }
    assert_eq!(line.files(), 1);
    cluster.push_script("the-same-under-another-name", &long_script("echo whole"));
    assert_eq!(cluster.submit("the-same-under-another-name", json!({})).printed(), "whole");
    assert_eq!(line.files(), 1, "files are known by their content");
    cluster.push_script("other", &long_script("echo other"));
    assert_eq!(cluster.submit("other", json!({})).printed(), "other");
    assert_eq!(line.files(), 2);
}

#[test]
fn a_file_that_many_wait_for_goes_once() {
    let (cluster, line, _worker) = wired(Fault::None, 0);
    cluster.push_script("f", &long_script("echo whole"));
    let asked: Vec<_> = (0..20).map(|_| cluster.submit_later("f")).collect();
    for answer in asked {
        assert_eq!(answer.join().expect("an answer").printed(), "whole");
    }
    assert_eq!(line.files(), 1);
}

#[test]
fn a_transfer_that_is_cut_is_repeated() {
    let (cluster, line, _worker) = wired(Fault::Cut, 1);
    cluster.push_script("f", &long_script("echo whole"));
    assert_eq!(cluster.submit("f", json!({})).printed(), "whole");
    assert_eq!(line.files(), 2);
}

#[test]
fn a_file_that_arrives_corrupted_is_noticed_and_sent_again() {
    let (cluster, line, _worker) = wired(Fault::Flip, 1);
    cluster.push_script("f", &long_script("echo whole"));
    assert_eq!(cluster.submit("f", json!({})).printed(), "whole");
    assert_eq!(line.files(), 2);
}

#[test]
fn a_file_that_never_arrives_whole_is_given_up_and_said_so() {
    let message = in_vain(Fault::Flip);
    assert!(message.contains("did not arrive whole"), "{message}");
}

#[test]
fn a_line_that_always_breaks_is_given_up_and_said_so() {
    let message = in_vain(Fault::Cut);
    assert!(message.contains("broke"), "{message}");
}

/// What a client is told whose function's file always suffers this.
fn in_vain(fault: Fault) -> String {
    let (cluster, line, worker) = wired(fault, usize::MAX);
    cluster.push_script("f", &long_script("echo whole"));
    let answer = cluster.submit("f", json!({}));
    let message = answer.refused(503, "unplaceable");
    assert!(line.files() >= 2, "it was tried once only");
    let kept = || fs::read_dir(cluster.state_dir(0).join("files")).expect("a folder").count();
    wait_until("no half of a file is kept", || (kept() == 0).then_some(()));
    cluster.push_script("small", "echo small\n");
    assert_eq!(cluster.submit("small", json!({})).printed(), "small");
    worker.api.get("/healthz").ok();
    message
}

#[test]
fn a_worker_keeps_its_files_over_a_restart_and_fetches_only_the_damaged_ones_again() {
    let (cluster, line, worker) = wired(Fault::None, 0);
    cluster.push_script("good", &long_script("echo good"));
    cluster.push_script("bad", &long_script("echo bad"));
    for name in ["good", "bad"] {
        cluster.submit(name, json!({})).result();
    }
    let hash = cluster.api().get("/functions/bad").ok()["file"].as_str().expect("a hash").to_owned();
    let at = worker.api.at.to_string();
    worker.kill();
    let file = cluster.state_dir(0).join("files").join(hash);
    let mut bytes = fs::read(&file).expect("it is there");
    bytes[0] ^= 1;
    fs::write(&file, bytes).expect("it can be damaged");
    let _again = cluster.spawn_lone_worker(0, &["--listen", &at]);
    wait_until("it is alive again", || (cluster.submit("good", json!({})).status == 200).then_some(()));
    assert_eq!(line.files(), 2, "what it has is not sent again");
    assert_eq!(cluster.submit("bad", json!({})).printed(), "bad");
    assert_eq!(line.files(), 3);
}

#[test]
fn every_worker_gets_the_file_when_it_needs_it() {
    let cluster = Cluster::start(Plan { workers: 2, ..Plan::default() });
    let function = Function::script("wide", &long_script("sleep 0.05")).with("cores", "2");
    cluster.push(&function);
    let asked: Vec<_> = (0..6).map(|_| cluster.submit_later("wide")).collect();
    let ran =
        asked.into_iter().map(|answer| answer.join().expect("an answer").result()["worker"].to_string());
    let workers: std::collections::BTreeSet<String> = ran.collect();
    for (number, _) in workers.iter().enumerate() {
        assert_eq!(fs::read_dir(cluster.state_dir(number).join("files")).expect("a folder").count(), 1);
    }
    assert_eq!(workers.len(), 2);
}

#[test]
fn a_run_whose_line_breaks_is_lost_and_ended() {
    let (cluster, line, _worker) = wired(Fault::None, 0);
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("long", &gate.script());
    let run = cluster.submit_later("long");
    gate.wait_for(1);
    line.cut();
    run.join().expect("an answer").refused(502, "lost");
    wait_until("nobody runs what nobody waits for", || left_of(cluster.folder()).is_empty().then_some(()));
    gate.open();
    assert_eq!(cluster.submit("long", json!({})).result()["exit_status"], 0);
}

#[test]
fn a_run_whose_line_breaks_runs_again_where_it_may() {
    let (cluster, line, _worker) = wired(Fault::None, 0);
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("long", &(gate.script() + "echo finished\n"));
    let run = cluster.api().post_later("/submit", json!({"function_name": "long", "idempotent": true}));
    gate.wait_for(1);
    line.cut();
    gate.wait_for(2);
    gate.open();
    assert_eq!(run.join().expect("an answer").printed(), "finished");
    assert_eq!(gate.arrived(), 2);
}
