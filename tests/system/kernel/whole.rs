//! Master and worker on a real kernel: functions run in the class that they were promised, all of their tree does, and nothing is
//! left over.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use fsched_core::allocator::resctrl::Schemata;
use fsched_core::cache::DomainId;
use serde_json::{Value, json};

use super::doctor::doctor;
use super::{RESCTRL, class_of, function};
use crate::harness::{Cluster, Function, Gate, Plan, left_of, wait_until};
use crate::isolation::push_exclusive;

/// A cluster whose worker has the machine's own cache.
pub(super) fn cluster() -> Cluster {
    Cluster::start(Plan { ways: None, ..Plan::default() })
}

/// Groups that workers of fsched have made.
pub(super) fn groups() -> Vec<String> {
    let entries = fs::read_dir(RESCTRL).expect("resctrl can be listed");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("fsched")).collect();
    names.sort();
    names
}

/// The schemata of a group, `""` being the root.
#[track_caller]
pub(super) fn schemata_of(group: &str) -> String {
    fs::read_to_string(Path::new(RESCTRL).join(group).join("schemata")).expect("a group has schemata")
}

/// Pushes a function that says in which groups its tree is.
#[track_caller]
pub(super) fn push_tree(cluster: &Cluster, name: &str, fields: &[(&str, &str)]) {
    let mut function = Function {
        file: b"only its command counts".to_vec(),
        file_name: name.to_owned(),
        ..Function::default()
    }
    .with("name", name)
    .with("command", &function::command());
    for (key, value) in fields {
        function = function.with(key, value);
    }
    cluster.push(&function);
}

/// What the function of [`push_tree`] said of itself is what the answer promised.
#[track_caller]
pub(super) fn ran_where_promised(result: &Value) {
    let seen = function::Seen::parse(result["stdout"].as_str().expect("a text"));
    assert_eq!(result["enforced"], true, "{result:#}");
    let class = result["class"].as_u64().expect("a class");
    let group = seen.groups[0].as_str();
    assert!(group.starts_with("fsched") && group.ends_with(&format!(".{class}")), "class {class} is {group}");
    assert_eq!(seen.groups, vec![group; seen.groups.len()], "all of the tree is in one class");
    let schemata: Schemata = seen.schemata.parse().expect("schemata");
    let domain =
        DomainId(u16::try_from(result["domain"].as_u64().expect("a domain")).expect("a small number"));
    let mask = ["L3", "L3DATA"].iter().find_map(|line| schemata.get(line, domain)).expect("a mask");
    assert_eq!(format!("{mask:x}"), result["mask"].as_str().expect("a mask"));
    assert_eq!(u64::from(mask.count_ones()), result["cos"].as_u64().expect("a number of ways"));
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn a_function_its_threads_and_grandchildren_run_in_the_class_they_were_promised() {
    let before = schemata_of("");
    assert_eq!(doctor()["exit_code"], 0, "what the doctor promises");
    let mut cluster = cluster();
    push_tree(&cluster, "shared", &[]);
    push_tree(&cluster, "alone", &[("isolation", "exclusive")]);
    for name in ["shared", "alone", "shared"] {
        ran_where_promised(&cluster.submit(name, json!({"input_size": 1})).result());
    }
    assert!(!groups().is_empty());
    assert_eq!(doctor()["exit_code"], 0, "our own groups are no reason against us");
    let worker = cluster.workers.remove(0);
    assert!(worker.terminate().success());
    assert_eq!(groups(), Vec::<String>::new(), "a clean end gives everything back");
    assert_eq!(schemata_of(""), before);
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn two_at_once_have_classes_of_their_own() {
    let mut cluster = cluster();
    let gate = Gate::new(cluster.folder(), "gate");
    let script =
        format!("cat /proc/$$/cpu_resctrl_groups\n{}cat /proc/$$/cpu_resctrl_groups\n", gate.script());
    cluster.push(&Function::script("waits", &script).with("isolation", "exclusive"));
    let first = cluster.submit_later("waits");
    gate.wait_for(1);
    let second = cluster.submit_later("waits");
    gate.wait_for(2);
    gate.open();
    let results = [first, second].map(|answer| answer.join().expect("an answer").result());
    for result in &results {
        let class = result["class"].as_u64().expect("a class");
        let printed = result["stdout"].as_str().expect("a text");
        let seen: Vec<&str> = printed.lines().filter(|line| line.starts_with("res:")).collect();
        assert_eq!(seen.len(), 2, "{printed}");
        assert!(seen.iter().all(|line| line.ends_with(&format!(".{class}"))), "class {class}: {printed}");
    }
    // A class is one of its domain.
    let place = |result: &Value| (result["domain"].clone(), result["class"].clone());
    assert_ne!(place(&results[0]), place(&results[1]));
    let mask =
        |result: &Value| u32::from_str_radix(result["mask"].as_str().expect("a mask"), 16).expect("hex");
    assert!(results[0]["domain"] != results[1]["domain"] || mask(&results[0]) & mask(&results[1]) == 0);
    // The next test finds no groups of ours.
    assert!(cluster.workers.remove(0).terminate().success());
}

/// What every group has, the root (`""`) included.
fn all_schemata() -> BTreeMap<String, Schemata> {
    let entries = fs::read_dir(RESCTRL).expect("resctrl can be listed");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let read = |name: String| {
        let text = fs::read_to_string(Path::new(RESCTRL).join(&name).join("schemata")).ok()?;
        Some((name, text.parse().expect("the kernel's schemata make sense")))
    };
    names.chain([String::new()]).filter_map(read).collect()
}

/// The mask of a group in a domain.
fn mask_in(schemata: &Schemata, domain: DomainId) -> u32 {
    ["L3", "L3DATA"].iter().find_map(|line| schemata.get(line, domain)).expect("a mask")
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn nobody_else_has_a_way_of_an_exclusive_function_while_it_runs() {
    let before = schemata_of("");
    let mut cluster = cluster();
    let gate = Gate::new(cluster.folder(), "gate");
    push_exclusive(&cluster, "alone", &format!("cat /proc/$$/cpu_resctrl_groups\n{}", gate.script()));
    push_tree(&cluster, "shared", &[]);
    let alone = cluster.submit_later("alone");
    gate.wait_for(1);
    // Others come and go; what all groups have is read again and again meanwhile.
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = vec![all_schemata()];
            while !done.load(Ordering::SeqCst) {
                seen.push(all_schemata());
            }
            seen
        });
        for _ in 0..5 {
            ran_where_promised(&cluster.submit("shared", json!({"input_size": 1})).result());
        }
        done.store(true, Ordering::SeqCst);
        watcher.join().expect("it only reads")
    });
    gate.open();
    let result = alone.join().expect("an answer").result();
    let class = result["class"].as_u64().expect("a class");
    let domain =
        DomainId(u16::try_from(result["domain"].as_u64().expect("a domain")).expect("a small number"));
    let mask = u32::from_str_radix(result["mask"].as_str().expect("a mask"), 16).expect("hex");
    assert_ne!(mask, 0);
    let own = groups().into_iter().find(|name| name.ends_with(&format!(".{class}"))).expect("its group");
    assert!(result["stdout"].as_str().is_some_and(|printed| printed.contains(&own)), "{result:#}");
    for (moment, all) in seen.iter().enumerate() {
        assert_eq!(mask_in(&all[&own], domain), mask, "moment {moment}");
        for (group, schemata) in all.iter().filter(|(group, _)| **group != own) {
            let overlap = mask_in(schemata, domain) & mask;
            assert_eq!(overlap, 0, "moment {moment}: {group:?} has ways of {own}: {schemata}");
        }
    }
    assert!(seen.len() > 10 && seen[0].len() > 2, "{} moments of {} groups", seen.len(), seen[0].len());
    assert!(cluster.workers.remove(0).terminate().success());
    assert_eq!(schemata_of(""), before, "the root has its ways back");
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn who_is_in_a_group_that_somebody_removes_is_moved_while_it_runs() {
    let mut cluster = cluster();
    let gate = Gate::new(cluster.folder(), "gate");
    let file = cluster.folder().join("pid");
    push_exclusive(&cluster, "alone", &format!("echo $$ > {}\n{}", file.display(), gate.script()));
    let alone = cluster.submit_later("alone");
    gate.wait_for(1);
    let process = fs::read_to_string(&file).expect("it wrote its number").trim().to_owned();
    let lost = class_of(&process);
    assert!(lost.starts_with("fsched-"), "{lost:?}");
    fs::remove_dir(Path::new(RESCTRL).join(&lost)).expect("a group can be removed");
    wait_until("it is in another group of ours", || {
        let now = class_of(&process);
        (now.starts_with("fsched-") && now != lost).then_some(())
    });
    gate.open();
    let result = alone.join().expect("an answer").result();
    assert_eq!(result["enforced"], true, "{result:#}");
    assert!(cluster.workers.remove(0).terminate().success());
    assert_eq!(groups(), Vec::<String>::new());
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn a_killed_worker_leaves_classes_that_its_next_life_adopts() {
    let before = schemata_of("");
    let mut cluster = cluster();
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push(&Function::script("waits", &gate.script()).with("isolation", "exclusive"));
    push_tree(&cluster, "shared", &[]);
    let lost = cluster.submit_later("waits");
    gate.wait_for(1);
    let left = groups();
    cluster.workers.remove(0).kill();
    assert_eq!(groups(), left, "groups outlive the process");
    wait_until("what ran is ended", || left_of(cluster.folder()).is_empty().then_some(()));
    gate.open();
    let worker = cluster.spawn_worker(0, &[]);
    cluster.wait_for_alive(1);
    assert_eq!(groups(), left, "they are adopted, and none is made anew");
    // It was lost with the worker, or ran again, as it may; it has ended.
    lost.join().expect("an answer");
    ran_where_promised(&cluster.submit("shared", json!({"input_size": 1})).result());
    assert!(worker.terminate().success());
    assert_eq!(groups(), Vec::<String>::new());
    assert_eq!(schemata_of(""), before);
}
