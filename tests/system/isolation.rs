//! `isolation = "exclusive"`, from the command line to the masks. Here they are the bookkeeping's; the same on a real kernel is in
//! `kernel/whole.rs`.

use serde_json::{Value, json};

use crate::harness::{Cluster, Function, Gate, Plan, fsched, wait_until};

/// Pushes a script with `fsched function push --isolation exclusive`.
#[track_caller]
pub(crate) fn push_exclusive(cluster: &Cluster, name: &str, script: &str) {
    let file = cluster.folder().join(name);
    std::fs::write(&file, script).expect("a file");
    let file = file.display().to_string();
    let words = ["function", "push", &file, "--name", name, "--command", "sh", "--isolation", "exclusive"];
    let done = fsched(cluster.folder(), Some(&cluster.api().url()), &words);
    assert_eq!(done.code, Some(0), "{done:?}");
    let shown = cluster.api().get(&format!("/functions/{name}")).ok();
    assert_eq!(shown["isolation"], "exclusive", "{shown}");
}

/// The mask that a run had when it ended.
#[track_caller]
fn mask(result: &Value) -> u32 {
    u32::from_str_radix(result["mask"].as_str().expect("a mask"), 16).expect("hex")
}

/// How many ways the worker says are exclusively somebody's.
fn exclusive_ways(cluster: &Cluster) -> u64 {
    let numbers = cluster.workers[0].api.get("/metrics");
    let text = String::from_utf8(numbers.body).expect("text");
    let line =
        text.lines().find_map(|l| l.strip_prefix(r#"fsched_worker_ways{domain="0",state="exclusive"} "#));
    line.expect("a line with the exclusive ways").parse().expect("a number")
}

#[test]
fn what_is_pushed_as_exclusive_has_ways_that_nobody_else_has_while_it_runs() {
    let cluster = Cluster::start(Plan { cores: 4, ..Plan::default() });
    let gates = ["first", "second"].map(|name| Gate::new(cluster.folder(), name));
    for (name, gate) in ["first", "second"].iter().zip(&gates) {
        push_exclusive(&cluster, &format!("alone-{name}"), &gate.script());
    }
    cluster.push(&Function::script("shared", "true\n"));
    assert_eq!(exclusive_ways(&cluster), 0);
    let run = |name: &str| cluster.submit(name, json!({"input_size": 1})).result();

    let first = cluster.submit_later("alone-first");
    gates[0].wait_for(1);
    let held = exclusive_ways(&cluster);
    assert!(held > 0, "it has ways of its own");
    let beside: Vec<Value> = (0..3).map(|_| run("shared")).collect();
    // Where ways are left for it, it runs beside the first; else when that has ended.
    let second = cluster.submit_later("alone-second");
    wait_until("the second waits or runs", || {
        let rows = cluster.api().get("/invocations?function=alone-second").ok();
        let state = rows["invocations"][0]["state"].as_str().map(str::to_owned);
        (state.as_deref() == Some("queued") || gates[1].arrived() == 1).then_some(())
    });
    let together = gates[1].arrived() == 1;
    gates[0].open();
    let first = first.join().expect("it ends").result();
    gates[1].wait_for(1);
    let later: Vec<Value> = (0..3).map(|_| run("shared")).collect();
    gates[1].open();
    let second = second.join().expect("it ends").result();

    assert_eq!(u64::from(mask(&first).count_ones()), held);
    for shared in &beside {
        assert_eq!(mask(shared) & mask(&first), 0, "{shared:#} beside {first:#}");
        assert_ne!(shared["class"], first["class"]);
    }
    for shared in &later {
        assert_eq!(mask(shared) & mask(&second), 0, "{shared:#} beside {second:#}");
    }
    assert!(!together || mask(&first) & mask(&second) == 0, "{first:#} and {second:#}");
    assert_eq!(first["enforced"], false, "and it says that nobody enforces it here");
    assert_eq!(exclusive_ways(&cluster), 0, "afterwards they are everybody's");
}
