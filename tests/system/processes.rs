//! Functions get what they need, stay within limits, and leave nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Cluster, Function, Gate, Plan, WORKER, has, left_of, wait_until};

/// Nothing is left of any function when its answer is there.
#[track_caller]
fn nothing_is_left(cluster: &Cluster) {
    assert_eq!(left_of(cluster.folder()), [""; 0]);
    assert_eq!(scratches(cluster, 0), 0, "scratch directories are left");
}

/// How many scratch directories have anything in them.
fn scratches(cluster: &Cluster, worker: usize) -> usize {
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

fn process_is_there(pid: &str) -> bool {
    // A zombie has no command line any more.
    fs::read(format!("/proc/{}/cmdline", pid.trim())).is_ok_and(|line| !line.is_empty())
}

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
fn a_function_that_a_signal_ends_says_which() {
    let cluster = Cluster::usual();
    cluster.push_script("killed", "kill -9 $$\n");
    let result = cluster.submit("killed", json!({})).ok()["result"].clone();
    let said = (&result["ending"], &result["signal"], &result["exit_status"]);
    assert_eq!(said, (&json!("signalled"), &json!(9), &Value::Null));
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

/// Workers that have to do without control groups.
const NO_GROUPS: &[(&str, &str)] = &[("FSCHED_WORKER_CGROUPS", "false"), ("FSCHED_WORKER_GRACE", "500ms")];

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

#[test]
fn servers_that_are_idle_end_well_when_asked_to() {
    let mut cluster = Cluster::usual();
    cluster.push_script("f", ":\n");
    cluster.submit("f", json!({})).result();
    for signal in [Signal::TERM, Signal::INT] {
        let mut worker = cluster.spawn_worker(1, &[]);
        worker.signal(signal);
        assert!(worker.ended().success(), "{signal:?}");
    }
    assert!(cluster.workers.remove(0).terminate().success());
    assert!(cluster.master.take().expect("a master").terminate().success());
}

#[test]
fn a_master_that_stops_waits_for_what_runs_and_takes_nothing_new() {
    let mut cluster = Cluster::usual();
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("long", &(gate.script() + "echo finished\n"));
    let run = cluster.submit_later("long");
    gate.wait_for(1);
    let mut master = cluster.master.take().expect("a master");
    master.signal(Signal::TERM);
    let ask = json!({"function_name": "long"});
    wait_until("new work is refused", || {
        let ask = ask.to_string();
        let answer =
            master.api.try_send("POST", "/submit", &[("Content-Type", "application/json")], ask.as_bytes());
        answer.ok().filter(|answer| answer.status == 503)
    })
    .refused(503, "stopping");
    gate.open();
    assert_eq!(run.join().expect("an answer").printed(), "finished");
    assert!(master.ended().success());
}

#[test]
fn servers_whose_patience_is_over_end_what_runs() {
    let mut cluster = Cluster::start(Plan {
        master: &[("FSCHED_MASTER_PATIENCE", "200ms")],
        worker: &[("FSCHED_WORKER_PATIENCE", "200ms"), ("FSCHED_WORKER_GRACE", "200ms")],
        ..Plan::default()
    });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("stuck", &format!("trap '' TERM\n{}", gate.script()));
    let run = cluster.submit_later("stuck");
    gate.wait_for(1);
    assert!(cluster.workers.remove(0).terminate().success());
    run.join().expect("an answer").error();
    assert_eq!(left_of(cluster.folder()), [""; 0]);

    let again = cluster.spawn_worker(0, &[]);
    cluster.workers.push(again);
    cluster.wait_for_alive(1);
    let run = cluster.submit_later("stuck");
    gate.wait_for(2);
    assert!(cluster.master.take().expect("a master").terminate().success());
    drop(run);
    wait_until("nothing is left", || left_of(cluster.folder()).is_empty().then_some(()));
}

#[test]
fn two_workers_cannot_share_a_state_directory() {
    let cluster = Cluster::usual();
    let state = cluster.state_dir(0);
    let output = std::process::Command::new(WORKER)
        .args(["--listen", "127.0.0.1:0", "--state-dir"])
        .arg(&state)
        .output()
        .expect("it can be started");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("another process uses"), "{said}");
    cluster.push_script("f", "echo fine\n");
    assert_eq!(cluster.submit("f", json!({})).printed(), "fine");
}

#[test]
fn programs_in_any_language_run() {
    let cluster = Cluster::usual();
    if has("python3") {
        let program = "import sys\nprint(int(sys.argv[1]) * 2)\n";
        let function =
            Function { file: program.into(), file_name: "double.py".to_owned(), fields: Vec::new() };
        cluster.push(&function.with("command", "python3"));
        assert_eq!(cluster.submit("double.py", json!({"input_size": 21})).printed(), "42");
    }
    let program = fs::read("/bin/echo").expect("a program");
    cluster.push(&Function { file: program, file_name: "echo".to_owned(), fields: Vec::new() });
    assert_eq!(cluster.submit("echo", json!({"input_size": 21})).printed(), "21");
}
