//! Workers come, go, die and come back.

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Cluster, Gate, Plan, left_of, wait_until};

#[test]
fn workers_register_themselves_and_are_alive() {
    let cluster = Cluster::start(Plan { workers: 2, ..Plan::default() });
    let rows = cluster.rows();
    assert_eq!(rows.len(), 2);
    for (row, worker) in rows.iter().zip(&cluster.workers) {
        assert_eq!((&row["state"], &row["host"]), (&json!("alive"), &json!(worker.api.url())));
        assert_eq!((&row["cores"], &row["free_cores"], &row["running"]), (&json!(2), &json!(2), &json!(0)));
        assert_eq!((&row["memory"], &row["enforced"]), (&json!(4_u64 << 30), &json!(false)));
        let domain = &row["domains"][0];
        assert_eq!(
            (&domain["ways"], &domain["way_size"], &domain["free_ways"]),
            (&json!(8), &json!(1 << 20), &json!(8))
        );
        assert!(row["last_seen_secs"].is_number() && row["version"].is_string(), "{row}");
    }
    assert_ne!(rows[0]["id"], rows[1]["id"]);
}

#[test]
fn the_same_worker_twice_is_one_worker() {
    let cluster = Cluster::usual();
    let id = cluster.workers_in("alive").remove(0);
    let port = cluster.workers[0].api.at.port();
    for host in
        [format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}/"), format!("localhost:{port}")]
    {
        let added = cluster.api().post("/cluster/worker/add", &json!({"host": host})).ok();
        assert_eq!(added["id"], id, "{host}");
    }
    assert_eq!(cluster.rows().len(), 1);
}

#[test]
fn a_worker_that_comes_back_elsewhere_is_still_itself() {
    let mut cluster = Cluster::start(Plan { workers: 2, master: Plan::IMPATIENT, ..Plan::default() });
    let before = cluster.rows();
    cluster.workers.remove(0).kill();
    let again = cluster.spawn_worker(0, &[]);
    wait_until("it is alive at its new address", || {
        let rows = cluster.rows();
        (rows[0]["state"] == "alive" && rows[0]["host"] == again.api.url()).then_some(())
    });
    let ids = |rows: &[serde_json::Value]| rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&cluster.rows()), ids(&before));
}

#[test]
fn a_worker_with_a_state_of_its_own_is_another_worker() {
    let mut cluster = Cluster::usual();
    cluster.workers.remove(0).kill();
    let other = cluster.spawn_worker(1, &[]);
    cluster.workers.push(other);
    wait_until("there are two", || (cluster.rows().len() == 2).then_some(()));
}

#[test]
fn ids_survive_a_restart_of_the_master() {
    let mut cluster = Cluster::start(Plan { workers: 2, ..Plan::default() });
    let before = cluster.workers_in("alive");
    cluster.master.take().expect("a master").terminate();
    cluster.start_master();
    cluster.wait_for_alive(2);
    assert_eq!(cluster.workers_in("alive"), before);
    cluster.push_script("f", "echo fine\n");
    assert_eq!(cluster.submit("f", json!({})).printed(), "fine");
}

#[test]
fn a_worker_waits_for_a_master_that_is_not_there_yet() {
    let mut cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let worker = cluster.spawn_lone_worker(0, &["--master", "http://127.0.0.1:9"]);
    worker.api.get("/healthz").ok();
    wait_until("it says what is wrong", || worker.log().contains("cannot register").then_some(()));
    cluster.workers.push(worker);
    assert!(cluster.workers[0].runs());
}

#[test]
fn a_worker_that_is_silent_is_suspect_then_dead_and_rejoins_by_itself() {
    let cluster = Cluster::start(Plan { workers: 2, master: Plan::IMPATIENT_AND_BLIND, ..Plan::default() });
    let quiet = &cluster.workers[0];
    let id = cluster.workers_in("alive").remove(0);
    quiet.signal(Signal::STOP);
    wait_until("it is suspect", || cluster.workers_in("suspect").contains(&id).then_some(()));
    cluster.push_script("where", ":\n");
    for _ in 0..4 {
        assert_ne!(cluster.submit("where", json!({})).result()["worker"], id, "suspects get no work");
    }
    wait_until("it is dead", || cluster.workers_in("dead").contains(&id).then_some(()));
    quiet.signal(Signal::CONT);
    cluster.wait_for_alive(2);
    wait_until_it_gets_work_again(&cluster, &id);
}

#[test]
fn what_ran_on_a_silent_worker_is_lost_and_ended_when_it_is_back() {
    let cluster = Cluster::start(Plan { master: Plan::IMPATIENT, ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("stuck", &gate.script());
    let run = cluster.submit_later("stuck");
    gate.wait_for(1);
    cluster.workers[0].signal(Signal::STOP);
    run.join().expect("an answer").refused(502, "lost");
    assert!(!left_of(cluster.folder()).is_empty(), "nobody could end it yet");
    cluster.workers[0].signal(Signal::CONT);
    cluster.wait_for_alive(1);
    wait_until("nothing is left of it", || left_of(cluster.folder()).is_empty().then_some(()));
    let ended = cluster.api().get("/invocations").ok();
    assert_eq!(ended["invocations"][0]["ending"], "lost_worker");
    assert_eq!(ended["invocations"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_may_run_again_is_failed_over_when_its_worker_dies() {
    let mut cluster = Cluster::start(Plan { workers: 2, master: Plan::IMPATIENT, ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("again", &(gate.script() + "echo survived\n"));
    let ask = json!({"function_name": "again", "idempotent": true});
    let run = cluster.api().post_later("/submit", ask);
    gate.wait_for(1);
    let row = cluster.api().get("/invocations").ok()["invocations"][0].clone();
    let first = row["worker"].as_str().expect("it runs somewhere").to_owned();
    let number = cluster.number_of(&first);
    cluster.workers.remove(number).kill();
    gate.wait_for(2);
    gate.open();
    let answer = run.join().expect("an answer");
    assert_eq!(answer.printed(), "survived");
    assert_ne!(answer.result()["worker"], first);
    assert_eq!(answer.ok()["invocation_id"], row["id"], "it is the same invocation");
    assert_eq!(cluster.api().get("/status").ok()["invocations"]["failed_over"], 1);
}

#[test]
fn what_may_not_run_again_is_lost_when_its_worker_dies() {
    let mut cluster = Cluster::start(Plan { workers: 2, master: Plan::IMPATIENT, ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("once", &gate.script());
    let run = cluster.submit_later("once");
    gate.wait_for(1);
    let row = cluster.api().get("/invocations").ok()["invocations"][0].clone();
    let number = cluster.number_of(row["worker"].as_str().expect("it runs somewhere"));
    cluster.workers.remove(number).kill();
    let answer = run.join().expect("an answer");
    answer.refused(502, "lost");
    assert_eq!(answer.json()["invocation_id"], row["id"]);
    assert_eq!(gate.arrived(), 1, "it ran once only");
    wait_until("the functions of a killed worker go too", || {
        left_of(cluster.folder()).is_empty().then_some(())
    });
}

#[test]
fn what_a_stopping_worker_ends_may_run_again_elsewhere() {
    let mut cluster = Cluster::start(Plan {
        workers: 2,
        worker: &[("FSCHED_WORKER_PATIENCE", "100ms"), ("FSCHED_WORKER_GRACE", "100ms")],
        ..Plan::default()
    });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("again", &(gate.script() + "echo survived\n"));
    let run = cluster.api().post_later("/submit", json!({"function_name": "again", "idempotent": true}));
    gate.wait_for(1);
    let row = cluster.api().get("/invocations").ok()["invocations"][0].clone();
    let number = cluster.number_of(row["worker"].as_str().expect("it runs somewhere"));
    assert!(cluster.workers.remove(number).terminate().success());
    gate.wait_for(2);
    gate.open();
    assert_eq!(run.join().expect("an answer").printed(), "survived");
}

#[test]
fn failing_over_happens_once() {
    let mut cluster = Cluster::start(Plan { workers: 2, master: Plan::IMPATIENT, ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("again", &gate.script());
    let run = cluster.api().post_later("/submit", json!({"function_name": "again", "idempotent": true}));
    gate.wait_for(1);
    let running_on = |cluster: &Cluster| {
        let row = cluster.api().get("/invocations").ok()["invocations"][0].clone();
        row["worker"].as_str().map(|id| cluster.number_of(id))
    };
    let first = running_on(&cluster).expect("it runs");
    cluster.workers.remove(first).kill();
    gate.wait_for(2);
    cluster.workers.remove(0).kill();
    run.join().expect("an answer").refused(502, "lost");
    assert_eq!(gate.arrived(), 2);
}

#[test]
fn a_worker_that_is_drained_finishes_and_gets_nothing_new() {
    let cluster = Cluster::start(Plan { workers: 2, master: Plan::BLIND, ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("long", &(gate.script() + "echo finished\n"));
    cluster.push_script("short", ":\n");
    let run = cluster.submit_later("long");
    gate.wait_for(1);
    let row = cluster.api().get("/invocations").ok()["invocations"][0].clone();
    let id = row["worker"].as_str().expect("it runs somewhere").to_owned();
    let path = format!("/cluster/workers/{id}/drain");
    assert_eq!(cluster.api().send("POST", &path, &[], b"").ok()["draining"], true);
    assert_eq!(cluster.workers_in("draining"), std::slice::from_ref(&id));
    let counted = cluster.api().get("/status").ok()["workers"].clone();
    assert_eq!((&counted["alive"], &counted["draining"]), (&json!(1), &json!(1)));
    for _ in 0..4 {
        assert_ne!(cluster.submit("short", json!({})).result()["worker"], id);
    }
    gate.open();
    assert_eq!(run.join().expect("an answer").printed(), "finished");
    cluster.api().post(&path, &json!({"draining": false})).ok();
    cluster.wait_for_alive(2);
    wait_until_it_gets_work_again(&cluster, &id);
}

/// Waits until the first of idle workers runs something.
#[track_caller]
fn wait_until_it_gets_work_again(cluster: &Cluster, id: &str) {
    cluster.push_script("again", ":\n");
    wait_until("it gets work again", || {
        (cluster.submit("again", json!({})).result()["worker"] == id).then_some(())
    });
}

#[test]
fn draining_survives_a_restart_of_the_master() {
    let mut cluster = Cluster::usual();
    let id = cluster.workers_in("alive").remove(0);
    cluster.api().post(&format!("/cluster/workers/{id}/drain"), &json!({"draining": true})).ok();
    cluster.kill_master();
    cluster.start_master();
    wait_until("it still drains", || (cluster.workers_in("draining") == [id.clone()]).then_some(()));
}

#[test]
fn removing_a_worker_waits_for_what_runs_there() {
    let cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let worker = cluster.spawn_lone_worker(0, &[]);
    let added = cluster.api().post("/cluster/worker/add", &json!({"host": worker.api.url()})).ok();
    let path = format!("/cluster/workers/{}", added["id"].as_str().expect("an id"));
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("long", &(gate.script() + "echo finished\n"));
    let run = cluster.submit_later("long");
    gate.wait_for(1);
    assert_eq!(cluster.api().delete(&path).ok()["waiting_for"], 1);
    gate.open();
    assert_eq!(run.join().expect("an answer").printed(), "finished");
    wait_until("it is gone", || cluster.rows().is_empty().then_some(()));
    cluster.api().delete(&path).refused(404, "unknown_worker");
    cluster.submit("long", json!({})).refused(503, "no_workers");
}

#[test]
fn a_worker_that_was_removed_may_come_again() {
    let cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let worker = cluster.spawn_lone_worker(0, &[]);
    let add =
        || cluster.api().post("/cluster/worker/add", &json!({"host": worker.api.url()})).ok()["id"].clone();
    let first = add();
    cluster.api().delete(&format!("/cluster/workers/{}", first.as_str().expect("an id"))).ok();
    assert_eq!(cluster.rows().len(), 0);
    add();
    cluster.push_script("f", "echo again\n");
    assert_eq!(cluster.submit("f", json!({})).printed(), "again");
}

#[test]
fn a_worker_that_registers_itself_stays_away_once_it_was_removed() {
    let cluster = Cluster::usual();
    let id = cluster.workers_in("alive").remove(0);
    cluster.api().delete(&format!("/cluster/workers/{id}")).ok();
    let worker = &cluster.workers[0];
    wait_until("it asks again, and is told why not", || worker.log().contains("was removed").then_some(()));
    assert_eq!(cluster.rows().len(), 0);
    cluster.api().post("/cluster/worker/add", &json!({"host": worker.api.url()})).ok();
    cluster.wait_for_alive(1);
}

#[test]
fn a_worker_that_stops_in_order_gets_no_work_and_finishes_its_own() {
    let mut cluster = Cluster::start(Plan { workers: 2, master: Plan::IMPATIENT, ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("long", &(gate.script() + "echo finished\n"));
    cluster.push_script("short", ":\n");
    let run = cluster.submit_later("long");
    gate.wait_for(1);
    let row = cluster.api().get("/invocations").ok()["invocations"][0].clone();
    let id = row["worker"].as_str().expect("it runs somewhere").to_owned();
    let number = cluster.number_of(&id);
    let mut worker = cluster.workers.remove(number);
    worker.signal(Signal::TERM);
    for _ in 0..4 {
        assert_ne!(cluster.submit("short", json!({})).result()["worker"], id);
    }
    gate.open();
    assert_eq!(run.join().expect("an answer").printed(), "finished");
    assert!(worker.ended().success());
}

#[test]
fn what_waits_when_the_last_worker_dies_is_told_so() {
    let mut cluster = Cluster::start(Plan { cores: 1, master: Plan::HASTY, ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("stuck", &gate.script());
    let running = cluster.submit_later("stuck");
    gate.wait_for(1);
    let waiting = cluster.submit_later("stuck");
    cluster.wait_for_invocations("queued", 1);
    cluster.workers.remove(0).kill();
    running.join().expect("an answer").refused(502, "lost");
    waiting.join().expect("an answer").refused(503, "unplaceable");
    assert_eq!(gate.arrived(), 1);
}

#[test]
fn what_waits_when_the_last_worker_dies_runs_when_another_comes() {
    let mut cluster = Cluster::start(Plan { cores: 1, master: Plan::IMPATIENT, ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("stuck", &(gate.script() + "echo through\n"));
    let running = cluster.submit_later("stuck");
    gate.wait_for(1);
    let waiting = cluster.submit_later("stuck");
    cluster.wait_for_invocations("queued", 1);
    cluster.workers.remove(0).kill();
    running.join().expect("an answer").refused(502, "lost");
    let other = cluster.spawn_worker(1, &[]);
    cluster.workers.push(other);
    gate.open();
    assert_eq!(waiting.join().expect("an answer").printed(), "through");
}

#[test]
fn a_benchmark_whose_worker_dies_is_lost_and_can_be_repeated() {
    let mut cluster = Cluster::start(Plan { workers: 2, master: Plan::HASTY, ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    let task = cluster.push_script("learn", &gate.script());
    let ask = json!({"command": "sh", "task_id": task, "input_size": 1});
    let benchmark = cluster.api().post_later("/controller/task/benchmark", ask);
    gate.wait_for(1);
    let row = cluster.api().get("/invocations").ok()["invocations"][0].clone();
    assert!(row["benchmark"].is_string(), "{row}");
    let number = cluster.number_of(row["worker"].as_str().expect("it runs somewhere"));
    cluster.workers.remove(number).kill();
    benchmark.join().expect("an answer").refused(502, "lost");
    gate.open();
    cluster.benchmark(&task, 1);
}
