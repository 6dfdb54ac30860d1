//! More work than there is room.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::harness::{Answer, Cluster, Function, Gate, Plan, left_of, wait_until};

/// Lines of a script that notes how many run on the same worker at that moment, itself included.
fn counting(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "case $PWD in */worker-0/*) w=0;; *) w=1;; esac\n\
         : > {folder}/running.$w.$FSCHED_INVOCATION\n\
         set -- {folder}/running.$w.*\n\
         echo $# >> {folder}/seen\n\
         sleep 0.02\n\
         set -- {folder}/running.$w.*\n\
         echo $# >> {folder}/seen\n\
         rm {folder}/running.$w.$FSCHED_INVOCATION\n"
    )
}

fn answers(asked: Vec<JoinHandle<Answer>>) -> Vec<Answer> {
    asked.into_iter().map(|answer| answer.join().expect("an answer")).collect()
}

#[test]
fn two_hundred_runs_at_once_end_with_two_hundred_answers_and_no_worker_is_overloaded() {
    let cluster = Cluster::start(Plan { workers: 2, ..Plan::default() });
    let folder = cluster.folder().join("count");
    fs::create_dir(&folder).expect("a folder");
    let task = cluster.push_script("counting", &counting(&folder));
    cluster.benchmark(&task, 1);
    fs::remove_file(folder.join("seen")).expect("the benchmark has run it");

    let ask = json!({"command": "sh", "task_id": task, "input_size": 1});
    let asked = (0..200).map(|_| cluster.api().post_later("/controller/task/run", ask.clone())).collect();
    let mut per_worker = BTreeMap::<String, usize>::new();
    for answer in answers(asked) {
        *per_worker.entry(answer.result()["worker"].to_string()).or_default() += 1;
    }
    assert_eq!(per_worker.len(), 2, "both have to work: {per_worker:?}");
    let seen = fs::read_to_string(folder.join("seen")).expect("they noted what they saw");
    assert_eq!(seen.lines().count(), 400);
    assert!(seen.lines().all(|count| ["1", "2"].contains(&count)), "more ran than there are cores: {seen}");
    assert!(seen.lines().any(|count| count == "2"), "the second core was never used");
    let status = cluster.api().get("/status").ok();
    assert_eq!((&status["cores"]["free"], &status["ways"]["free"]), (&json!(4), &json!(16)), "{status}");
    assert_eq!((&status["invocations"]["queued"], &status["invocations"]["running"]), (&json!(0), &json!(0)));
}

#[test]
fn exclusive_ways_are_never_promised_twice() {
    let cluster = Cluster::start(Plan {
        workers: 2,
        cores: 4,
        ways: Some(10),
        // It asks for a few ways where nothing is known, so that several fit.
        master: &[("FSCHED_MASTER_PREDICTOR", "asymptotic")],
        ..Plan::default()
    });
    for (name, isolation) in [("alone", "exclusive"), ("together", "shared")] {
        cluster.push(&Function::script(name, "sleep 0.02\n").with("isolation", isolation));
    }
    let names = ["alone", "alone", "together"].into_iter().cycle().take(90);
    let mut asked: Vec<_> = names.map(|name| (name, cluster.submit_later(name))).collect();
    while !asked.iter().all(|(_, answer)| answer.is_finished()) {
        for row in cluster.rows() {
            let domain = &row["domains"][0];
            let number = |key: &str| domain[key].as_u64().unwrap_or_else(|| panic!("{key}: {row}"));
            assert!(number("free_ways") + number("reserved_ways") <= number("ways"), "{row}");
            assert!(row["running"].as_u64() <= row["cores"].as_u64(), "{row}");
        }
    }
    let mut exclusive = BTreeMap::<String, Vec<Held>>::new();
    for (name, answer) in asked.drain(..) {
        let result = answer.join().expect("an answer").result();
        if name == "alone" {
            exclusive.entry(result["worker"].to_string()).or_default().push(Held::of(&result));
        }
    }
    let mut together = 0;
    for held in exclusive.values() {
        for (at, one) in held.iter().enumerate() {
            for other in held[at + 1..].iter().filter(|other| one.overlaps(other)) {
                together += 1;
                assert_eq!(one.mask & other.mask, 0, "{one:?} and {other:?}");
            }
        }
    }
    assert!(together > 0, "no two ever ran at the same time: this proves nothing");
}

/// Which ways a run held, and when.
#[derive(Debug)]
struct Held {
    mask: u64,
    from: u128,
    until: u128,
}

impl Held {
    fn of(result: &Value) -> Self {
        let nanos = |key: &str| {
            let part = |part: &str| u128::from(result[key][part].as_u64().expect("a number"));
            part("secs") * 1_000_000_000 + part("nanos")
        };
        let mask = result["mask"].as_str().expect("a mask");
        let from = nanos("timestamp");
        Self {
            mask: u64::from_str_radix(mask, 16).expect("hex digits"),
            from,
            until: from + nanos("execution_time"),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.from < other.until && other.from < self.until
    }
}

#[test]
fn shared_ways_make_nobody_wait() {
    let cluster = Cluster::start(Plan { cores: 6, ways: Some(2), ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("shared", &gate.script());
    let asked = (0..6).map(|_| cluster.submit_later("shared")).collect();
    gate.wait_for(6);
    gate.open();
    for answer in answers(asked) {
        assert!(answer.result()["cos"].as_u64().is_some_and(|ways| ways >= 1));
    }
}

#[test]
fn exclusive_ways_are_waited_for() {
    let cluster = Cluster::start(Plan { cores: 4, ways: Some(2), ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push(&Function::script("alone", &gate.script()).with("isolation", "exclusive"));
    let asked = (0..3).map(|_| cluster.submit_later("alone")).collect();
    gate.wait_for(1);
    cluster.wait_for_invocations("queued", 3 - gate.arrived());
    gate.open();
    for answer in answers(asked) {
        answer.result();
    }
    assert_eq!(gate.arrived(), 3);
}

#[test]
fn memory_is_reserved_like_cores() {
    let cluster = Cluster::start(Plan { cores: 4, ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push(&Function::script("large", &gate.script()).with("memory", "3GiB"));
    let first = cluster.submit_later("large");
    gate.wait_for(1);
    let second = cluster.submit_later("large");
    cluster.wait_for_invocations("queued", 1);
    assert_eq!(cluster.rows()[0]["free_memory"], 1_u64 << 30);
    gate.open();
    for answer in answers(vec![first, second]) {
        answer.result();
    }
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let cluster =
        Cluster::start(Plan { cores: 1, master: &[("FSCHED_MASTER_QUEUE", "2")], ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("slow", &gate.script());
    let mut asked = vec![cluster.submit_later("slow")];
    gate.wait_for(1);
    asked.extend([cluster.submit_later("slow"), cluster.submit_later("slow")]);
    cluster.wait_for_invocations("queued", 2);
    let refused = cluster.submit("slow", json!({}));
    refused.refused(503, "queue_full");
    let seconds = refused.header("retry-after").and_then(|text| text.parse::<u64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 0), "{:?}", refused.headers);
    gate.open();
    for answer in answers(asked) {
        answer.result();
    }
}

#[test]
fn what_fits_nowhere_is_refused_and_what_nobody_can_run_too() {
    let cluster = Cluster::usual();
    for (name, key, value) in [("wide", "cores", "3"), ("large", "memory", "5GiB")] {
        let task = cluster.push(&Function::script(name, ":\n").with(key, value));
        cluster.submit(name, json!({})).refused(422, "never_fits");
        let ask = json!({"command": "sh", "task_id": task, "input_size": 1});
        cluster.api().post("/controller/task/benchmark", &ask).refused(422, "never_fits");
    }
    let empty = Cluster::start(Plan { workers: 0, ..Plan::default() });
    empty.push_script("f", ":\n");
    empty.submit("f", json!({})).refused(503, "no_workers");
}

#[test]
fn those_who_wait_get_their_turn_in_order() {
    let cluster = Cluster::start(Plan { cores: 1, ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    let order = cluster.folder().join("order");
    cluster.push_script("first", &gate.script());
    cluster.push_script("next", &format!("echo $1 >> {}\n", order.display()));
    let mut asked = vec![cluster.submit_later("first")];
    gate.wait_for(1);
    for number in 1..=5 {
        let ask = json!({"function_name": "next", "parameters": {"input_size": number}});
        asked.push(cluster.api().post_later("/submit", ask));
        cluster.wait_for_invocations("queued", number);
    }
    gate.open();
    for answer in answers(asked) {
        answer.result();
    }
    assert_eq!(fs::read_to_string(order).expect("they ran"), "1\n2\n3\n4\n5\n");
}

#[test]
fn a_benchmark_runs_alone_on_its_cache() {
    let cluster = Cluster::usual();
    let folder = cluster.folder().join("running");
    fs::create_dir(&folder).expect("a folder");
    let at = folder.display();
    cluster.push_script(
        "busy",
        &format!(": > {at}/$FSCHED_INVOCATION; sleep 0.02; rm {at}/$FSCHED_INVOCATION\n"),
    );
    let task = cluster.push_script("alone", &format!("sleep 0.02; set -- {at}/*; [ ! -e $1 ]\n"));
    let before: Vec<_> = (0..20).map(|_| cluster.submit_later("busy")).collect();
    let ask = json!({"command": "sh", "task_id": task, "input_size": 1});
    let benchmark = cluster.api().post_later("/controller/task/benchmark", ask);
    let after: Vec<_> = (0..20).map(|_| cluster.submit_later("busy")).collect();
    benchmark.join().expect("an answer").ok();
    for answer in answers(before).into_iter().chain(answers(after)) {
        answer.result();
    }
}

#[test]
fn benchmarks_at_once_do_not_disturb_each_other() {
    let cluster = Cluster::usual();
    let alone = cluster.folder().join("alone");
    let at = alone.display();
    let script = format!("mkdir {at} || exit 1; sleep 0.01; rmdir {at}\n");
    let asked: Vec<_> = (0..3)
        .map(|n| {
            let task = cluster.push_script(&format!("f{n}"), &script);
            let ask = json!({"command": "sh", "task_id": task, "input_size": 1});
            cluster.api().post_later("/controller/task/benchmark", ask)
        })
        .collect();
    for answer in answers(asked) {
        answer.ok();
    }
}

#[test]
fn who_goes_away_while_waiting_never_runs() {
    let cluster = Cluster::start(Plan { cores: 1, ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("slow", &gate.script());
    let running = cluster.submit_later("slow");
    gate.wait_for(1);
    let waiting = cluster.api().begin("/submit", &json!({"function_name": "slow"}));
    cluster.wait_for_invocations("queued", 1);
    drop(waiting);
    cluster.wait_for_invocations("queued", 0);
    gate.open();
    running.join().expect("an answer").result();
    assert_eq!(gate.arrived(), 1);
}

#[test]
fn clients_that_come_and_go_leave_no_room_taken() {
    let cluster = Cluster::start(Plan { workers: 2, ..Plan::default() });
    for (name, isolation) in [("shared", "shared"), ("alone", "exclusive")] {
        cluster.push(&Function::script(name, "sleep 0.05\n").with("isolation", isolation));
    }
    let mut connections: Vec<_> = (0..60)
        .map(|n| {
            let name = if n % 3 == 0 { "alone" } else { "shared" };
            cluster.api().begin("/submit", &json!({"function_name": name}))
        })
        .collect();
    let cancelled = cluster.api().get("/invocations?limit=100").ok();
    for (n, row) in cancelled["invocations"].as_array().expect("a list").iter().enumerate() {
        if n % 4 == 0 {
            let id = row["id"].as_str().expect("an id");
            let answer = cluster.api().delete(&format!("/invocations/{id}"));
            assert!(answer.status == 200 || answer.error().0 == "already_ended", "{}", answer.text());
        }
    }
    // Some go at once, some when others have run.
    connections.truncate(40);
    cluster.submit("shared", json!({})).result();
    connections.truncate(20);
    cluster.submit("alone", json!({})).result();
    drop(connections);
    wait_until("everything is free again", || {
        let status = cluster.api().get("/status").ok();
        (status["cores"]["free"] == 4 && status["ways"]["free"] == 16).then_some(())
    });
    assert_eq!(left_of(cluster.folder()), [""; 0]);
    let status = cluster.api().get("/status").ok();
    let ended =
        status["invocations"]["ended"].as_object().expect("counts").values().filter_map(Value::as_u64);
    assert_eq!(Some(ended.sum()), status["invocations"]["accepted"].as_u64(), "{status}");
    for row in cluster.rows() {
        assert_eq!((&row["free_cores"], &row["running"]), (&json!(2), &json!(0)), "{row}");
    }
}

#[test]
fn a_cluster_under_fire_answers_everybody_and_recovers() {
    let mut cluster = Cluster::start(Plan { workers: 2, master: Plan::IMPATIENT, ..Plan::default() });
    let noted = cluster.folder().join("ran");
    cluster.push_script("work", &format!("sleep 0.05; echo $FSCHED_INVOCATION >> {}\n", noted.display()));
    let ask = json!({"function_name": "work", "idempotent": true});
    for round in 0..4 {
        let asked: Vec<_> = (0..30).map(|_| cluster.api().post_later("/submit", ask.clone())).collect();
        wait_until("some have run", || {
            let ran = fs::read_to_string(&noted).unwrap_or_default().lines().count();
            (ran > round * 30 + 5).then_some(())
        });
        cluster.workers.remove(0).kill();
        let number = round % 2;
        let again = cluster.spawn_worker(number, &[]);
        cluster.workers.push(again);
        for answer in answers(asked) {
            answer.result();
        }
        cluster.wait_for_alive(2);
    }
    wait_until("everything is free again", || {
        let status = cluster.api().get("/status").ok();
        (status["cores"]["free"] == 4 && status["ways"]["free"] == 16).then_some(())
    });
    assert_eq!(left_of(cluster.folder()), [""; 0]);
    let status = cluster.api().get("/status").ok();
    assert_eq!(status["invocations"]["ended"]["succeeded"], 120, "{status}");
    let ran = fs::read_to_string(&noted).expect("they ran");
    let ids: BTreeSet<&str> = ran.lines().filter_map(|attempt| Some(attempt.split_once('.')?.0)).collect();
    assert_eq!(ids.len(), 120, "each has run");
}
