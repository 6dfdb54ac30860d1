//! Invocations, listed, shown, remembered and cancelled.

use serde_json::{Value, json};

use crate::harness::{Cluster, Gate, Plan};

#[test]
fn invocations_are_listed_and_shown_while_they_run_and_after() {
    let cluster = Cluster::usual();
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("slow", &(gate.script() + "echo done\n"));
    let run = cluster.submit_later("slow");
    gate.wait_for(1);
    let id = cluster.wait_for_invocations("running", 1).remove(0);
    let shown = cluster.api().get(&format!("/invocations/{id}")).ok();
    assert_eq!(
        (&shown["state"], &shown["name"], &shown["ended"]),
        (&json!("running"), &json!("slow"), &Value::Null)
    );
    assert!(shown["worker"].is_string() && shown["started"]["secs"].is_u64(), "{shown}");

    gate.open();
    run.join().expect("an answer").result();
    let shown = cluster.api().get(&format!("/invocations/{id}")).ok();
    assert_eq!(
        (&shown["state"], &shown["ending"], &shown["exit_status"]),
        (&json!("ended"), &json!("exited"), &json!(0))
    );
    assert_eq!(shown["result"]["stdout"], "done\n");
    assert!(shown["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{shown}");

    cluster.push_script("other", ":\n");
    cluster.submit("other", json!({})).result();
    let listed = |query: &str| {
        let rows = cluster.api().get(&format!("/invocations{query}")).ok();
        let rows = rows["invocations"].as_array().expect("a list").clone();
        rows.iter().map(|row| row["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(""), ["other", "slow"], "newest first");
    assert_eq!(listed("?limit=1"), ["other"]);
    assert_eq!(listed("?function=slow"), ["slow"]);
    assert_eq!(listed("?state=running"), [""; 0]);
}

#[test]
fn only_so_many_ended_invocations_are_remembered() {
    let mut cluster = Cluster::start(Plan { master: &[("FSCHED_MASTER_HISTORY", "5")], ..Plan::default() });
    cluster.push_script("f", ":\n");
    let id = |answer: Value| answer["invocation_id"].as_str().expect("an id").to_owned();
    let ids: Vec<String> = (0..8).map(|_| id(cluster.submit("f", json!({})).ok())).collect();
    for _ in 0..2 {
        let rows = cluster.api().get("/invocations").ok();
        let rows: Vec<&str> = rows["invocations"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|row| row["id"].as_str())
            .collect();
        let newest: Vec<&str> = ids.iter().rev().take(5).map(String::as_str).collect();
        assert_eq!(rows, newest);
        cluster.api().get(&format!("/invocations/{}", ids[0])).refused(404, "unknown_invocation");
        assert!(cluster.master.take().expect("a master").terminate().success());
        cluster.start_master();
    }
}

#[test]
fn cancelling_ends_what_runs_and_tells_who_waits() {
    let cluster = Cluster::usual();
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("stuck", &gate.script());
    let run = cluster.submit_later("stuck");
    gate.wait_for(1);
    let id = cluster.wait_for_invocations("running", 1).remove(0);
    let path = format!("/invocations/{id}");
    assert!(cluster.api().delete(&path).ok()["message"].is_string());
    run.join().expect("an answer").refused(409, "cancelled");
    cluster.api().delete(&path).refused(409, "already_ended");
    assert_eq!(cluster.api().get(&path).ok()["ending"], "cancelled");
}

#[test]
fn what_waits_can_be_cancelled_too() {
    let cluster = Cluster::start(Plan { cores: 1, ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("first", &gate.script());
    let running = cluster.submit_later("first");
    gate.wait_for(1);
    let waiting = cluster.submit_later("first");
    let id = cluster.wait_for_invocations("queued", 1).remove(0);
    cluster.api().delete(&format!("/invocations/{id}")).ok();
    waiting.join().expect("an answer").refused(409, "cancelled");
    gate.open();
    running.join().expect("an answer").result();
    assert_eq!(gate.arrived(), 1, "it never ran");
}
