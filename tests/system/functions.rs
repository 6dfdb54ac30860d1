//! Functions and their versions, from push to removal.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::json;

use crate::harness::{Cluster, Function, Gate, Plan, wait_until};

#[test]
fn pushing_a_name_again_makes_a_version_of_which_nothing_is_known() {
    let cluster = Cluster::usual();
    let first = cluster.api().push(&Function::script("name", "echo one\n")).ok();
    let task = first["task_id"].as_str().expect("an id");
    cluster.benchmark(task, 1);
    let second = cluster.api().push(&Function::script("name", "echo two\n")).ok();
    assert_eq!((&first["version"], &second["version"]), (&json!(1), &json!(2)));
    assert_ne!(first["task_id"], second["task_id"]);
    assert_ne!(first["file"], second["file"]);

    let newest = cluster.submit("name", json!({"input_size": 1}));
    assert_eq!((newest.printed().as_str(), &newest.ok()["mode"]), ("two", &json!("UNKNOWN")));
    let older = cluster.run(task, 1);
    assert_eq!((older.printed().as_str(), &older.ok()["mode"]), ("one", &json!("BENCHMARKED")));
    assert_eq!(cluster.api().get("/functions/name").ok()["task_id"], second["task_id"]);
}

#[test]
fn pushes_of_one_name_at_once_make_one_version_each() {
    let cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let push = |n: usize| {
        let (api, function) = (cluster.api().clone(), Function::script("same", &format!("echo {n}\n")));
        std::thread::spawn(move || api.push(&function).ok())
    };
    let pushed: Vec<_> = (0..10).map(push).collect();
    let versions = pushed.into_iter().map(|pushed| pushed.join().expect("an answer")["version"].as_u64());
    let versions: BTreeSet<_> = versions.map(|version| version.expect("a number")).collect();
    assert_eq!(versions, (1..=10).collect());
}

#[test]
fn old_versions_go_when_there_are_too_many_and_their_files_with_them() {
    let plan = Plan { workers: 0, master: &[("FSCHED_MASTER_VERSIONS", "3")], ..Plan::default() };
    let cluster = Cluster::start(plan);
    let ids: Vec<String> = (0..5).map(|n| cluster.push_script("many", &format!("echo {n}\n"))).collect();
    let listed = cluster.api().get("/functions").ok();
    let listed = listed["functions"].as_array().expect("a list");
    let kept: BTreeSet<&str> = listed.iter().filter_map(|function| function["task_id"].as_str()).collect();
    assert_eq!(kept, ids[2..].iter().map(String::as_str).collect());
    wait_until("their files are collected", || {
        (files_in(&cluster.data_dir().join("files")) == 3).then_some(())
    });
}

#[test]
fn a_function_is_shown_as_it_was_pushed() {
    let cluster = Cluster::usual();
    let function = Function::script("shown", "exit 0\n")
        .with("cores", "2")
        .with("memory", "64MiB")
        .with("timeout", "1500ms")
        .with("isolation", "exclusive");
    let task = cluster.push(&function);
    cluster.benchmark(&task, 12);
    let shown = cluster.api().get(&format!("/functions/{task}")).ok();
    let expected = json!({
        "task_id": task, "name": "shown", "version": 1, "size": 7, "command": "sh", "cores": 2,
        "memory": 64 << 20, "timeout_secs": 1.5, "isolation": "exclusive", "benchmarked": [12], "running": 0,
        "removing": false,
    });
    for (key, value) in expected.as_object().expect("an object") {
        assert_eq!(&shown[key], value, "{key}: {shown}");
    }
    let listed = cluster.api().get("/functions").ok();
    assert_eq!(listed["functions"], json!([shown]));
}

#[test]
fn names_may_hold_anything_that_can_be_read() {
    let cluster = Cluster::usual();
    let api = cluster.api();
    for (name, encoded) in
        [("a/b", "a%2Fb"), ("größe 50%", "gr%C3%B6%C3%9Fe%2050%25"), ("f-x", "f-x"), ("?#&", "%3F%23%26")]
    {
        let task = cluster.push_script(name, "echo fine\n");
        assert_eq!(cluster.submit(name, json!({})).printed(), "fine", "{name}");
        assert_eq!(api.get(&format!("/functions/{encoded}")).ok()["task_id"], task, "{name}");
        let listed = api.get(&format!("/invocations?function={encoded}")).ok();
        assert_eq!(listed["invocations"].as_array().map(Vec::len), Some(1), "{name}");
        assert_eq!(api.delete(&format!("/functions/{encoded}")).ok()["removed"], json!([task]), "{name}");
    }
}

#[test]
fn no_name_can_be_taken_for_an_id() {
    let cluster = Cluster::usual();
    let said = cluster.api().push(&Function::script("f-1", ":\n")).refused(400, "bad_value");
    assert!(said.contains("name"), "{said}");
    assert_eq!(cluster.api().get("/functions").ok()["functions"], json!([]));
}

#[test]
fn removing_a_function_waits_for_what_runs_and_collects_its_file() {
    let cluster = Cluster::usual();
    let gate = Gate::new(cluster.folder(), "gate");
    let script = gate.script() + "echo through\n";
    let task = cluster.push_script("going", &script);
    let run = cluster.submit_later("going");
    gate.wait_for(1);

    let answer = cluster.api().delete("/functions/going").ok();
    assert_eq!((&answer["removed"], &answer["waiting_for"]), (&json!([task]), &json!(1)));
    cluster.submit("going", json!({})).refused(404, "unknown_function");
    assert_eq!(files_in(&cluster.data_dir().join("files")), 1, "what runs still needs its file");

    gate.open();
    assert_eq!(run.join().expect("an answer").printed(), "through");
    wait_until("the function is gone", || {
        (cluster.api().get(&format!("/functions/{task}")).status == 404).then_some(())
    });
    for folder in [cluster.data_dir(), cluster.state_dir(0)] {
        wait_until("its file is collected", || (files_in(&folder.join("files")) == 0).then_some(()));
    }
}

#[test]
fn files_that_another_function_refers_to_stay() {
    let cluster = Cluster::usual();
    cluster.push_script("one", "echo same\n");
    cluster.push_script("two", "echo same\n");
    cluster.api().delete("/functions/one").ok();
    assert_eq!(files_in(&cluster.data_dir().join("files")), 1);
    assert_eq!(cluster.submit("two", json!({})).printed(), "same");
}

#[test]
fn removing_by_name_removes_all_versions_and_by_id_one() {
    let cluster = Cluster::usual();
    let ids: Vec<String> = (0..3).map(|n| cluster.push_script("many", &format!("echo {n}\n"))).collect();
    let removed = cluster.api().delete(&format!("/functions/{}", ids[2])).ok();
    assert_eq!(removed["removed"], json!([ids[2]]));
    assert_eq!(cluster.submit("many", json!({})).printed(), "1", "the version before is the newest again");
    let removed = cluster.api().delete("/functions/many").ok();
    assert_eq!(removed["removed"], json!([ids[0], ids[1]]));
    assert_eq!(cluster.api().get("/functions").ok()["functions"], json!([]));
}

fn files_in(folder: &Path) -> usize {
    fs::read_dir(folder).expect("a folder").count()
}
