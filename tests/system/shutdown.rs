//! Servers that are asked to stop do so in order.

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Cluster, Gate, Plan, WORKER, left_of, wait_until};

#[test]
fn servers_that_are_idle_end_well_when_asked_to() {
    let mut cluster = Cluster::usual();
    cluster.push_script("f", ":\n");
    cluster.submit("f", json!({})).result();
    for signal in [Signal::TERM, Signal::INT] {
        let mut worker = cluster.spawn_worker(1, &[]);
        worker.signal(signal);
        assert!(worker.ended().success(), "{signal:?}");
    }
    assert!(cluster.workers.remove(0).terminate().success());
    assert!(cluster.master.take().expect("a master").terminate().success());
}

#[test]
fn a_master_that_stops_waits_for_what_runs_and_takes_nothing_new() {
    let mut cluster = Cluster::usual();
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("long", &(gate.script() + "echo finished\n"));
    // What asks while the signal is on its way is still answered, and must not stay.
    cluster.push_script("quick", ":\n");
    let run = cluster.submit_later("long");
    gate.wait_for(1);
    let mut master = cluster.master.take().expect("a master");
    master.signal(Signal::TERM);
    let ask = json!({"function_name": "quick"});
    wait_until("new work is refused", || {
        let ask = ask.to_string();
        let answer =
            master.api.try_send("POST", "/submit", &[("Content-Type", "application/json")], ask.as_bytes());
        answer.ok().filter(|answer| answer.status == 503)
    })
    .refused(503, "stopping");
    gate.open();
    assert_eq!(run.join().expect("an answer").printed(), "finished");
    assert!(master.ended().success());
}

#[test]
fn servers_whose_patience_is_over_end_what_runs() {
    let mut cluster = Cluster::start(Plan {
        master: &[("FSCHED_MASTER_PATIENCE", "200ms")],
        worker: &[("FSCHED_WORKER_PATIENCE", "200ms"), ("FSCHED_WORKER_GRACE", "200ms")],
        ..Plan::default()
    });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("stuck", &format!("trap '' TERM\n{}", gate.script()));
    let run = cluster.submit_later("stuck");
    gate.wait_for(1);
    assert!(cluster.workers.remove(0).terminate().success());
    run.join().expect("an answer").refused(502, "lost");
    assert_eq!(left_of(cluster.folder()), [""; 0]);

    let again = cluster.spawn_worker(0, &[]);
    cluster.workers.push(again);
    cluster.wait_for_alive(1);
    let run = cluster.submit_later("stuck");
    gate.wait_for(2);
    assert!(cluster.master.take().expect("a master").terminate().success());
    drop(run);
    wait_until("nothing is left", || left_of(cluster.folder()).is_empty().then_some(()));
}

#[test]
fn a_worker_that_stops_leaves_nothing_in_its_folder() {
    let mut cluster = Cluster::usual();
    cluster.push_script("f", ":\n");
    for _ in 0..10 {
        let asked: Vec<_> = (0..8).map(|_| cluster.submit_later("f")).collect();
        asked.into_iter().for_each(|answer| drop(answer.join().expect("an answer").result()));
        assert!(cluster.workers.remove(0).terminate().success());
        let scratch = cluster.state_dir(0).join("processes/scratch");
        let left = fs::read_dir(scratch).expect("the worker has made it");
        assert_eq!(left.count(), 0);
        let again = cluster.spawn_worker(0, &[]);
        cluster.workers.push(again);
        cluster.wait_for_alive(1);
    }
}

#[test]
fn two_workers_cannot_share_a_state_directory() {
    let cluster = Cluster::usual();
    let state = cluster.state_dir(0);
    let output = Command::new(WORKER)
        .args(["--listen", "127.0.0.1:0", "--state-dir"])
        .arg(&state)
        .output()
        .expect("it can be started");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("another process uses"), "{said}");
    cluster.push_script("f", "echo fine\n");
    assert_eq!(cluster.submit("f", json!({})).printed(), "fine");
}
