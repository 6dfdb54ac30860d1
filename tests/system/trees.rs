//! Nothing that a function starts outlives its invocation.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Cluster, Function, Gate, Plan, has, left_of, wait_until};
use crate::processes::{NO_GROUPS, nothing_is_left, scratches};

#[test]
fn a_run_that_takes_too_long_is_ended_with_its_whole_tree() {
    let cluster = Cluster::usual();
    let script = "sleep 1000 & (sleep 1000 & sleep 1000) & echo begun; sleep 1000\n";
    cluster.push(&Function::script("long", script).with("timeout", "300ms"));
    let body = cluster.submit("long", json!({})).ok();
    assert_eq!(
        (&body["result"]["ending"], &body["result"]["exit_status"]),
        (&json!("timed_out"), &Value::Null)
    );
    assert_eq!(body["result"]["stdout"], "begun\n", "what was printed before is kept");
    assert!(body["message"].as_str().is_some_and(|message| message.contains("failed")), "{body}");
    nothing_is_left(&cluster);
}

#[test]
fn an_invocation_may_shorten_its_time_and_the_worker_too() {
    let cluster = Cluster::start(Plan { worker: &[("FSCHED_WORKER_MAX_TIMEOUT", "1s")], ..Plan::default() });
    cluster.push_script("long", "sleep 1000\n");
    for timeout in [json!("200ms"), json!(0.2), json!("1h")] {
        let ask = json!({"function_name": "long", "timeout": timeout});
        assert_eq!(cluster.api().post("/submit", &ask).ok()["result"]["ending"], "timed_out", "{timeout}");
    }
    nothing_is_left(&cluster);
}

#[test]
fn a_function_is_asked_to_end_before_it_is_killed() {
    let cluster = Cluster::start(Plan { worker: &[("FSCHED_WORKER_GRACE", "30s")], ..Plan::default() });
    let script = "trap 'echo goodbye; exit 0' TERM\necho hello; while :; do sleep 0.02; done\n";
    cluster.push(&Function::script("polite", script).with("timeout", "500ms"));
    let result = cluster.submit("polite", json!({})).ok()["result"].clone();
    assert_eq!((&result["stdout"], &result["ending"]), (&json!("hello\ngoodbye\n"), &json!("timed_out")));
}

#[test]
fn a_function_that_will_not_end_is_killed() {
    let cluster = Cluster::usual();
    let script = "trap '' TERM INT HUP; while :; do sleep 0.02; done\n";
    cluster.push(&Function::script("stubborn", script).with("timeout", "200ms"));
    assert_eq!(cluster.submit("stubborn", json!({})).ok()["result"]["ending"], "timed_out");
    nothing_is_left(&cluster);
}

#[test]
fn cancelling_ends_the_whole_tree() {
    let cluster = Cluster::usual();
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("tree", &format!("sleep 1000 & (sleep 1000 &)\n{}", gate.script()));
    let run = cluster.submit_later("tree");
    gate.wait_for(1);
    let id = cluster.wait_for_invocations("running", 1).remove(0);
    cluster.api().delete(&format!("/invocations/{id}")).ok();
    run.join().expect("an answer").refused(409, "cancelled");
    nothing_is_left(&cluster);
}

#[test]
fn a_client_that_goes_away_takes_its_function_with_it() {
    let cluster = Cluster::usual();
    let gate = Gate::new(cluster.folder(), "gate");
    let task = cluster.push_script("tree", &format!("sleep 1000 & (sleep 1000 &)\n{}", gate.script()));
    let ways = [
        ("/submit", json!({"function_name": "tree"})),
        ("/controller/task/benchmark", json!({"command": "sh", "task_id": task, "input_size": 1})),
    ];
    for (number, (path, ask)) in ways.into_iter().enumerate() {
        let connection = cluster.api().begin(path, &ask);
        gate.wait_for(number + 1);
        drop(connection);
        cluster.wait_for_invocations("running", 0);
        wait_until("the tree is ended", || left_of(cluster.folder()).is_empty().then_some(()));
    }
    cluster.push_script("next", "echo next\n");
    assert_eq!(cluster.submit("next", json!({})).printed(), "next");
}

#[test]
fn a_function_that_overwrites_its_own_file_changes_no_later_run() {
    let cluster = Cluster::usual();
    cluster.push_script("vain", "echo first\necho 'echo other' > \"$0\"\n");
    for _ in 0..3 {
        assert_eq!(cluster.submit("vain", json!({})).printed(), "first");
    }
}

#[test]
fn what_a_function_leaves_running_ends_with_it() {
    daemons_end(Plan::default());
}

#[test]
fn what_a_function_leaves_running_ends_with_it_without_control_groups() {
    daemons_end(Plan { worker: NO_GROUPS, ..Plan::default() });
}

fn daemons_end(plan: Plan) {
    if !has("setsid") {
        return;
    }
    let cluster = Cluster::start(plan);
    let noted = cluster.folder().join("pids");
    fs::write(&noted, "").expect("a file");
    let note = format!("echo $$ >> {}", noted.display());
    cluster.push_script(
        "daemons",
        &format!(
            "sleep 1000 > /dev/null 2>&1 &\n\
             setsid sh -c '{note}; sleep 1000' > /dev/null 2>&1 < /dev/null &\n\
             (setsid sh -c '{note}; (setsid sh -c \"{note}; exec sleep 1000\" &) ; exit' &)\n\
             setsid env -i /bin/sh -c '{note}; trap \"\" TERM; while :; do sleep 0.05; done' &\n\
             while [ \"$(wc -l < {})\" -lt 4 ]; do sleep 0.02; done\n\
             echo done\n",
            noted.display()
        ),
    );
    assert_eq!(cluster.submit("daemons", json!({})).printed(), "done");
    nothing_is_left(&cluster);
    let pids = fs::read_to_string(&noted).expect("they noted their ids");
    let alive: Vec<&str> = pids.lines().filter(|pid| process_is_there(pid)).collect();
    assert_eq!(alive, [""; 0], "daemons are left");
}

#[test]
fn a_storm_of_processes_fails_nobody_else_and_ends() {
    let cluster = Cluster::start(Plan {
        worker: &[("FSCHED_WORKER_MAX_PROCESSES", "40"), ("FSCHED_WORKER_GRACE", "200ms")],
        ..Plan::default()
    });
    let script = "i=0; while [ $i -lt 300 ]; do sleep 1000 & i=$((i+1)); done; wait\n";
    cluster.push(&Function::script("storm", script).with("timeout", "3s"));
    cluster.push_script("calm", "echo calm\n");
    let storm = cluster.submit_later("storm");
    cluster.wait_for_invocations("running", 1);
    for _ in 0..5 {
        assert_eq!(cluster.submit("calm", json!({})).printed(), "calm");
    }
    assert_ne!(storm.join().expect("an answer").ok()["result"]["exit_status"], 0);
    nothing_is_left(&cluster);
}

#[test]
fn a_killed_worker_takes_its_functions_with_it() {
    killed_worker_takes_all(Plan::default());
}

#[test]
fn a_killed_worker_takes_its_functions_with_it_without_control_groups() {
    killed_worker_takes_all(Plan { worker: NO_GROUPS, ..Plan::default() });
}

fn killed_worker_takes_all(plan: Plan) {
    let mut cluster = Cluster::start(plan);
    let gate = Gate::new(cluster.folder(), "gate");
    let daemon = if has("setsid") { "(setsid sleep 1000 > /dev/null 2>&1 < /dev/null &)\n" } else { "" };
    cluster.push_script(
        "running",
        &format!("trap '' TERM; echo x > left-behind; sleep 1000 &\n{daemon}{}", gate.script()),
    );
    let run = cluster.submit_later("running");
    gate.wait_for(1);
    assert!(!left_of(cluster.folder()).is_empty());
    cluster.workers.remove(0).kill();
    run.join().expect("an answer").refused(502, "lost");
    wait_until("its functions are gone", || left_of(cluster.folder()).is_empty().then_some(()));

    let again = cluster.spawn_worker(0, &[]);
    cluster.workers.push(again);
    cluster.wait_for_alive(1);
    wait_until("what it left on disk is gone", || (scratches(&cluster, 0) == 0).then_some(()));
    gate.open();
    assert_eq!(cluster.submit("running", json!({})).ok()["result"]["ending"], "exited");
}

fn process_is_there(pid: &str) -> bool {
    // A zombie has no command line any more.
    fs::read(format!("/proc/{}/cmdline", pid.trim())).is_ok_and(|line| !line.is_empty())
}
