//! Beside `pqos -I` (intel-cmt-cat), which wants every class for groups of its own, COS1 and so on: it changes no mask of ours, what
//! it holds is left alone, and we go on with the classes that are left.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::RESCTRL;
use super::doctor::doctor;
use super::whole::{cluster, groups, push_tree, ran_where_promised, schemata_of};

/// Where Debian has it.
const PQOS: &str = "/usr/sbin/pqos";

/// Runs it; whether it did what it was told.
fn pqos(words: &[&str]) -> bool {
    let output = Command::new(PQOS).arg("-I").args(words).output().expect("pqos can be started");
    println!("pqos -I {words:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stdout));
    output.status.success()
}

/// The groups that it made.
fn theirs() -> Vec<String> {
    let entries = fs::read_dir(RESCTRL).expect("resctrl can be listed");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("COS")).collect()
}

/// Gives back those of its groups whose number is at least this.
fn remove_from(first: u32) {
    for name in theirs() {
        if name[3..].parse::<u32>().is_ok_and(|number| number >= first) {
            fs::remove_dir(Path::new(RESCTRL).join(name)).expect("a group can be removed");
        }
    }
}

fn masks(names: &[String]) -> Vec<String> {
    names.iter().map(|name| schemata_of(name)).collect()
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn pqos_beside_us_changes_no_mask_of_ours() {
    let cluster = cluster();
    push_tree(&cluster, "shared", &[]);
    ran_where_promised(&cluster.submit("shared", json!({"input_size": 1})).result());
    let ours = groups();
    let before = masks(&ours);
    for words in [&["-s"][..], &["-e", "llc:1=0x00f"], &["-a", "llc:1=1"], &["-a", "pid:1=1"], &["-R"]] {
        pqos(words);
        assert_eq!(groups(), ours, "{words:?}");
        assert_eq!(masks(&ours), before, "{words:?}");
    }
    ran_where_promised(&cluster.submit("shared", json!({"input_size": 1})).result());
    drop(cluster);
    remove_from(1);
    remove_ours();
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn groups_of_pqos_count_as_foreign_and_we_go_on_with_what_is_left() {
    assert!(pqos(&["-e", "llc:1=0x003"]), "with all classes to itself it works");
    remove_from(6);
    let kept = theirs();
    let before = masks(&kept);
    let mut cluster = cluster();
    push_tree(&cluster, "shared", &[]);
    push_tree(&cluster, "alone", &[("isolation", "exclusive")]);
    for name in ["shared", "alone"] {
        let result = cluster.submit(name, json!({"input_size": 1})).result();
        ran_where_promised(&result);
        let mask = u32::from_str_radix(result["mask"].as_str().expect("a mask"), 16).expect("hex");
        assert_eq!(mask & 3, 0, "what COS1 keeps for itself is left alone");
    }
    let ours = groups();
    assert!(!ours.is_empty() && !kept.is_empty(), "{ours:?} {kept:?}");
    pqos(&["-e", "llc:2=0x00c"]);
    assert_eq!(groups(), ours);
    let worker = cluster.workers.remove(0);
    assert!(worker.terminate().success());
    assert_eq!(groups(), Vec::<String>::new());
    assert_eq!(masks(&kept), before);
    remove_from(1);
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn where_pqos_holds_every_class_functions_run_unmanaged() {
    assert!(pqos(&["-e", "llc:1=0x003"]), "with all classes to itself it works");
    let before = masks(&theirs());
    assert_eq!(doctor()["exit_code"], 4, "the doctor says so");
    let mut cluster = cluster();
    cluster.push_script("hello", "echo hello\n");
    let result = cluster.submit("hello", json!({"input_size": 1})).result();
    assert_eq!((&result["enforced"], &result["stdout"]), (&false.into(), &"hello\n".into()), "{result:#}");
    assert!(cluster.workers.remove(0).terminate().success());
    assert_eq!(masks(&theirs()), before);
    remove_from(1);
}

/// A cluster that is dropped is killed: its groups stay.
fn remove_ours() {
    for name in groups() {
        fs::remove_dir(Path::new(RESCTRL).join(name)).expect("a group can be removed");
    }
}
