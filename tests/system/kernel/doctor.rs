//! `fsched doctor` is right on a real kernel, and the commands that it shows help.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::RESCTRL;
use crate::harness::FSCHED;

/// What the doctor says to a user, and the exit code, which it repeats.
#[track_caller]
fn doctor_as(user: u32) -> Value {
    let output = Command::new(FSCHED)
        .args(["doctor", "--json"])
        .uid(user)
        .gid(user)
        .output()
        .expect("fsched can be started");
    let report: Value = serde_json::from_slice(&output.stdout).expect("the doctor speaks JSON");
    assert_eq!(output.status.code().map(i64::from), report["exit_code"].as_i64(), "{report:#}");
    report
}

#[track_caller]
pub(super) fn doctor() -> Value {
    doctor_as(0)
}

/// The command for what is called this.
#[track_caller]
fn command_for<'a>(report: &'a Value, missing: &str) -> &'a str {
    let cures = report["missing"].as_array().expect("a list");
    let cure = cures.iter().find(|cure| cure["what"].as_str().is_some_and(|what| what.contains(missing)));
    let command = cure.and_then(|cure| cure["command"].as_str());
    command.unwrap_or_else(|| panic!("no command for {missing}: {report:#}"))
}

/// Does what the doctor says.
#[track_caller]
fn sh(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status().expect("there is a shell");
    assert!(status.success(), "{command}: {status}");
}

fn notes(report: &Value) -> Vec<&str> {
    report["notes"].as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn intel_is_seen_as_the_kernel_has_it() {
    let report = doctor();
    assert_eq!(report["exit_code"], 0, "{report:#}");
    assert_eq!(report["machine"]["vendor"], "GenuineIntel");
    assert_eq!(report["machine"]["domains"].as_array().map(Vec::len), Some(2));
    let resctrl = &report["resctrl"];
    assert_eq!(resctrl["state"], "mounted");
    assert_eq!(resctrl["l3"]["ways"], 11);
    assert_eq!(resctrl["l3"]["shareable"], "600");
    assert_eq!(resctrl["l3"]["contiguous"], true);
    assert_eq!(resctrl["classes"], 7, "bandwidth has 8");
    let events = serde_json::json!(["llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"]);
    assert_eq!(resctrl["monitoring"]["events"], events);
    // The processor, which is emulated, says to programs that it has nothing: as hypervisors do.
    assert_eq!(report["cpuid"]["l3"], Value::Null);
    let told = notes(&report).iter().any(|note| note.contains("CPUID says none, the kernel 11 ways"));
    assert!(told, "{report:#}");
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn intel_unmounted_is_mounted_by_the_command_that_is_shown() {
    sh("umount /sys/fs/resctrl");
    let report = doctor();
    assert_eq!((&report["exit_code"], &report["resctrl"]["state"]), (&4.into(), &"unmounted".into()));
    assert!(notes(&report).iter().any(|note| note.contains("division of the L3")), "{report:#}");
    assert!(command_for(&doctor_as(65534), "resctrl, mounted").starts_with("sudo mount "));
    sh(command_for(&report, "resctrl, mounted"));
    assert_eq!(doctor()["exit_code"], 0);
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn intel_read_only_is_made_writable_by_the_command_that_is_shown() {
    for way in ["remount,ro", "remount,bind,ro"] {
        sh(&format!("mount -o {way} /sys/fs/resctrl"));
        assert!(fs::create_dir(Path::new(RESCTRL).join("x")).is_err(), "{way} does not work here");
        let report = doctor();
        assert_eq!(
            (&report["exit_code"], &report["resctrl"]["read_only"]),
            (&4.into(), &true.into()),
            "{way}"
        );
        sh(command_for(&report, "for writing"));
        assert_eq!(doctor()["exit_code"], 0, "{way}");
        fs::create_dir(Path::new(RESCTRL).join("x")).expect("groups can be made again");
        fs::remove_dir(Path::new(RESCTRL).join("x")).expect("and removed");
    }
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn intel_without_privileges_is_for_root() {
    let report = doctor_as(65534);
    assert_eq!(report["exit_code"], 4, "{report:#}");
    assert_eq!(report["rights"]["may_divide"], false);
    assert_eq!(command_for(&report, "the right to divide"), "sudo fsched worker");
    assert_eq!(report["resctrl"]["l3"]["ways"], 11, "looking is not forbidden");
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn intel_with_the_groups_of_others_has_the_classes_that_are_left() {
    let group = |number: u32| Path::new(RESCTRL).join(format!("COS{number}"));
    (1..=3).for_each(|number| fs::create_dir(group(number)).expect("a class is free"));
    let report = doctor();
    assert_eq!(report["exit_code"], 0);
    assert!(notes(&report).iter().any(|note| note.contains("COS1, COS2, COS3")), "{report:#}");
    (4..=7).for_each(|number| fs::create_dir(group(number)).expect("a class is free"));
    let report = doctor();
    assert_eq!(report["exit_code"], 4, "{report:#}");
    sh(command_for(&report, "a class"));
    assert_eq!(doctor()["exit_code"], 0);
    (2..=7).for_each(|number| fs::remove_dir(group(number)).expect("a class can be given back"));
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn intel_control_groups_are_mounted_by_the_command_that_is_shown() {
    let report = doctor();
    assert_eq!(report["cgroups"]["version2"], Value::Null);
    sh(command_for(&report, "control groups"));
    let report = doctor();
    assert_eq!(report["limits"]["memory"], "per tree, by control group (version 2)", "{report:#}");
    let limits = report["missing"].as_array().expect("a list").iter();
    assert!(
        !limits.clone().any(|cure| cure["what"].as_str().is_some_and(|what| what.contains("control groups")))
    );
    sh("umount /sys/fs/cgroup");
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn amd_is_seen_as_the_kernel_has_it() {
    let report = doctor();
    assert_eq!(report["exit_code"], 0, "{report:#}");
    assert_eq!(report["machine"]["vendor"], "AuthenticAMD");
    let l3 = &report["resctrl"]["l3"];
    assert_eq!((&l3["ways"], &l3["min_bits"], &l3["contiguous"]), (&16.into(), &0.into(), &false.into()));
    assert_eq!(report["resctrl"]["classes"], 15);
    assert_eq!(report["resctrl"]["monitoring"], Value::Null);
}
