//! Functions get what they need, and stay within limits.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Cluster, Function, Gate, Plan, left_of};

/// Nothing is left of any function when its answer is there.
#[track_caller]
pub(crate) fn nothing_is_left(cluster: &Cluster) {
    assert_eq!(left_of(cluster.folder()), [""; 0]);
    assert_eq!(scratches(cluster, 0), 0, "scratch directories are left");
}

/// How many scratch directories have anything in them.
pub(crate) fn scratches(cluster: &Cluster, worker: usize) -> usize {
    let mut used = 0;
    let mut to_see = vec![cluster.state_dir(worker).join("processes")];
    while let Some(folder) = to_see.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => to_see.push(entry.path()),
                _ => used += usize::from(entry.file_name() == "left-behind"),
            }
        }
    }
    used
}

/// Workers that have to do without control groups.
pub(crate) const NO_GROUPS: &[(&str, &str)] =
    &[("FSCHED_WORKER_CGROUPS", "false"), ("FSCHED_WORKER_GRACE", "500ms")];

#[test]
fn a_function_sees_only_its_own_environment() {
    let cluster = Cluster::start(Plan {
        worker: &[("SECRET_OF_THE_WORKER", "s"), ("LD_LIBRARY_PATH", "/nowhere"), ("FSCHED_TOKEN", "")],
        ..Plan::default()
    });
    cluster.push_script("environment", "tr '\\0' '\\n' < /proc/$$/environ\n");
    let printed = cluster.submit("environment", json!({"input_size": 5})).printed();
    let names: BTreeSet<&str> = printed.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let expected = [
        "FSCHED_CORES",
        "FSCHED_FUNCTION",
        "FSCHED_INPUT_SIZE",
        "FSCHED_INVOCATION",
        "FSCHED_MARK",
        "FSCHED_PAYLOAD",
        "FSCHED_WAYS",
        "HOME",
        "LANG",
        "PATH",
        "TMPDIR",
    ];
    assert_eq!(names, expected.into());
    assert!(printed.contains("FSCHED_CORES=1\n") && printed.contains("FSCHED_INPUT_SIZE=5\n"), "{printed}");
}

#[test]
fn standard_input_is_closed_or_the_parameters() {
    let cluster = Cluster::usual();
    let task = cluster.push_script("input", "wc -c; [ -n \"$FSCHED_PAYLOAD\" ] && echo env; exit 0\n");
    cluster.benchmark(&task, 1);
    assert_eq!(cluster.run(&task, 1).printed(), "0");
    let long = json!({"text": "x".repeat(200_000)});
    let length = long.to_string().len().to_string();
    assert_eq!(
        cluster.submit("input", long).printed(),
        length,
        "too long for the environment, not for a pipe"
    );
}

#[test]
fn a_function_that_does_not_read_its_input_is_fine() {
    let cluster = Cluster::usual();
    cluster.push_script("deaf", "exec 0<&-; echo fine\n");
    assert_eq!(cluster.submit("deaf", json!({"text": "x".repeat(200_000)})).printed(), "fine");
    cluster.push_script("lazy", "echo lazy\n");
    assert_eq!(cluster.submit("lazy", json!({"text": "x".repeat(200_000)})).printed(), "lazy");
}

#[test]
fn a_function_works_in_a_directory_of_its_own_that_goes_with_it() {
    let cluster = Cluster::usual();
    cluster.push_script(
        "scratch",
        "ls -A | wc -l; pwd; [ \"$HOME$TMPDIR\" = \"$PWD$PWD\" ] && echo same\n\
         mkdir -p a/b; echo x > a/b/left-behind; chmod 000 a/b; ln -s / root; echo x > left-behind\n",
    );
    let mut places = BTreeSet::new();
    for _ in 0..3 {
        let printed = cluster.submit("scratch", json!({})).printed();
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!((lines[0], lines[2]), ("0", "same"), "{printed}");
        assert!(Path::new(lines[1]).starts_with(cluster.folder()), "{printed}");
        places.insert(lines[1].to_owned());
        nothing_is_left(&cluster);
    }
    for place in places {
        assert!(fs::read_dir(&place).map_or(0, Iterator::count) == 0, "{place} is not empty");
    }
}

#[test]
fn a_function_leads_a_process_group_of_its_own() {
    let cluster = Cluster::usual();
    cluster.push_script("group", "read -r line < /proc/$$/stat; set -- $line; echo $$ $5\n");
    let answer = cluster.submit("group", json!({}));
    let pid = answer.result()["pid"].to_string();
    assert_eq!(answer.printed(), format!("{pid} {pid}"));
}

#[test]
fn a_function_that_a_signal_ends_says_which() {
    let cluster = Cluster::usual();
    cluster.push_script("killed", "kill -9 $$\n");
    let result = cluster.submit("killed", json!({})).ok()["result"].clone();
    let said = (&result["ending"], &result["signal"], &result["exit_status"]);
    assert_eq!(said, (&json!("signalled"), &json!(9), &Value::Null));
}

#[test]
fn a_function_that_takes_too_much_memory_is_ended_and_others_are_not() {
    memory_is_limited(Plan::default());
}

#[test]
fn a_function_that_takes_too_much_memory_is_ended_without_control_groups() {
    memory_is_limited(Plan { worker: NO_GROUPS, ..Plan::default() });
}

fn memory_is_limited(plan: Plan) {
    let cluster = Cluster::start(plan);
    let script = "x=$(head -c 300000000 /dev/zero | tr '\\0' x); echo ${#x}\n";
    cluster.push(&Function::script("greedy", script).with("memory", "64MiB"));
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("modest", &(gate.script() + "echo modest\n"));
    let modest = cluster.submit_later("modest");
    gate.wait_for(1);
    let result = cluster.submit("greedy", json!({})).ok()["result"].clone();
    assert_ne!(result["exit_status"], 0, "{result}");
    let ending = result["ending"].as_str().expect("how it ended");
    assert!(["out_of_memory", "exited", "signalled"].contains(&ending), "{result}");
    gate.open();
    assert_eq!(modest.join().expect("an answer").printed(), "modest");
    nothing_is_left(&cluster);
}

#[test]
fn files_are_limited_in_size_and_number() {
    let cluster = Cluster::start(Plan {
        worker: &[("FSCHED_WORKER_MAX_FILE_SIZE", "1MiB"), ("FSCHED_WORKER_MAX_OPEN_FILES", "64")],
        ..Plan::default()
    });
    cluster.push_script(
        "large",
        "head -c 10000000 /dev/zero > f 2> /dev/null; wc -c < f; ulimit -n; ulimit -c\n",
    );
    assert_eq!(cluster.submit("large", json!({})).printed(), format!("{}\n64\n0", 1 << 20));
}
