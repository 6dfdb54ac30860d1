//! The REST API of old to the letter: push, benchmark, run, submit.

use std::fs;

use serde_json::json;

use crate::harness::{Cluster, Function, Plan, Server, WORKER, has};

const INOP: &str = "Task is not yet ready for execution. Try benchmarking it with a specific input size";
const BENCHMARKED: &str = "Benchmarking was successful and task is ready for execution";

#[test]
fn the_original_client_works_unchanged() {
    let cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let api = cluster.api();
    let worker = cluster.spawn_lone_worker(0, &[]);

    let added = api.post("/cluster/worker/add", &json!({"host": worker.api.at.to_string()})).ok();
    assert_eq!(added["message"], "worker node successfully added");
    let listed = api.get("/cluster/workers").ok();
    assert_eq!(listed["workers"][0]["id"], added["id"]);
    assert_eq!(listed["workers"][0]["host"], worker.api.url());

    let task = api.push(&Function {
        file: b"echo \"ran with $1\"\n".to_vec(),
        file_name: "program.sh".to_owned(),
        fields: Vec::new(),
    });
    let task = task.ok()["task_id"].clone();
    let ask = json!({"command": "sh", "task_id": task, "input_size": 1024});
    assert_eq!(api.post("/controller/task/run", &ask).ok()["message"], INOP);

    let learnt = api.post("/controller/task/benchmark", &ask).ok();
    assert_eq!(learnt["message"], BENCHMARKED);
    assert_eq!(learnt["exec_time"]["input_size"], 1024);
    assert!(learnt["exec_time"]["time"].as_str().is_some_and(|time| time.ends_with('s')), "{learnt}");

    let ran = api.post("/controller/task/run", &ask).ok();
    assert_eq!(ran["mode"], "BENCHMARKED");
    let result = &ran["result"];
    assert!(result["cos"].as_u64().is_some_and(|ways| (1..=8).contains(&ways)), "{result}");
    assert_eq!(result["command"], "sh");
    assert_eq!(result["input_size"], "1024");
    assert_eq!(result["stdout"], "ran with 1024\n");
    assert_eq!(result["stderr"], "");
    assert_eq!(result["exit_status"], 0);
    assert!(result["id"].is_string() && result["pid"].as_u64().is_some_and(|pid| pid > 0), "{result}");
    for time in ["execution_time", "timestamp"] {
        assert!(result[time]["secs"].is_u64() && result[time]["nanos"].is_u64(), "{result}");
    }

    // Not every client says that what it sends is JSON.
    let other = json!({"command": "sh", "task_id": task, "input_size": "4096"}).to_string();
    let ran = api.send("POST", "/controller/task/run", &[], other.as_bytes()).ok();
    assert_eq!((&ran["mode"], &ran["result"]["stdout"]), (&json!("ASSISTED"), &json!("ran with 4096\n")));
}

#[test]
fn the_list_of_workers_says_how_their_machines_are() {
    let cluster = Cluster::usual();
    let list = cluster.api().get("/cluster/worker/list").ok();
    let worker = &list[cluster.workers_in("alive")[0].as_str()];
    let keys = [
        "cpu_cores",
        "free_ram",
        "total_ram",
        "used_ram",
        "free_swap",
        "total_swap",
        "used_swap",
        "free_cache",
        "total_cache",
    ];
    for key in keys {
        assert!(worker[key].is_u64(), "{key}: {list}");
    }
    assert_eq!((worker["total_cache"].as_u64(), worker["free_cache"].as_u64()), (Some(8), Some(8)));
    assert!(worker["total_ram"].as_u64() >= worker["free_ram"].as_u64(), "{worker}");
}

#[test]
fn generosity_is_a_number() {
    let cluster = Cluster::usual();
    assert!(cluster.api().get("/scheduler/generosity").ok()["generosity"].is_number());
}

#[test]
fn submit_runs_by_name_what_nobody_has_benchmarked() {
    let cluster = Cluster::usual();
    cluster.push_script("greet", "read -r json; echo \"$1 $json $FSCHED_PAYLOAD\"\n");
    let parameters = json!({"name": "you", "n": [1, 2.5]});
    let answer = cluster.submit("greet", parameters.clone());
    let text = parameters.to_string();
    assert_eq!(answer.printed(), format!("{} {text} {text}", text.len()));
    let body = answer.ok();
    assert_eq!(body["mode"], "UNKNOWN");
    assert_eq!(body["invocation_id"], body["result"]["id"]);
}

#[test]
fn submit_takes_the_input_size_from_the_parameters_where_they_name_one() {
    let cluster = Cluster::usual();
    cluster.push_script("sized", "echo \"$1 $FSCHED_INPUT_SIZE\"\n");
    assert_eq!(cluster.submit("sized", json!({"input_size": 77})).printed(), "77 77");
    assert_eq!(cluster.submit("sized", json!({"input_size": "78"})).printed(), "78 78");
    let answer = cluster.api().post("/submit", &json!({"function_name": "sized"}));
    assert_eq!(answer.printed(), "2 2", "no parameters are {{}}");
}

#[test]
fn submit_executes_the_file_itself_where_there_is_no_command() {
    let cluster = Cluster::usual();
    let file = b"#!/bin/sh\necho \"itself $1\"\n".to_vec();
    cluster.push(&Function { file, file_name: "direct".to_owned(), fields: Vec::new() });
    assert_eq!(cluster.submit("direct", json!({"input_size": 3})).printed(), "itself 3");
}

#[test]
fn commands_are_split_like_a_shell_does_without_a_shell() {
    let cluster = Cluster::usual();
    let function =
        Function::script("words", ":\n").with("command", "printf '<%s>' 'a  b' \"c\\\"d\" $HOME ; e*");
    cluster.push(&function);
    let printed = cluster.submit("words", json!({"input_size": 5})).printed();
    assert!(printed.starts_with("<a  b><c\"d><$HOME><;><e*><"), "{printed}");
    assert!(printed.ends_with("><5>"), "{printed}");
}

#[test]
fn a_run_that_fails_is_not_called_successful() {
    let cluster = Cluster::usual();
    let task = cluster.push_script("fails", "echo out; echo err >&2; exit 3\n");
    let body = cluster.submit("fails", json!({})).ok();
    let result = &body["result"];
    assert_eq!((&result["exit_status"], &result["ending"]), (&json!(3), &json!("exited")));
    assert_eq!((&result["stdout"], &result["stderr"]), (&json!("out\n"), &json!("err\n")));
    assert!(body["message"].as_str().is_some_and(|message| message.contains("failed")), "{body}");

    let ask = json!({"command": "sh", "task_id": task, "input_size": 1});
    let answer = cluster.api().post("/controller/task/benchmark", &ask);
    answer.refused(422, "benchmark_failed");
    assert_eq!(answer.json()["result"]["exit_status"], 3);
    assert_eq!(cluster.run(&task, 1).ok()["message"], INOP, "nothing was learnt from it");
}

#[test]
fn a_program_that_does_not_exist_is_not_started() {
    let cluster = Cluster::usual();
    cluster.push(&Function::script("none", ":\n").with("command", "no-such-program-here"));
    let message = cluster.submit("none", json!({})).refused(422, "not_started");
    assert!(message.contains("no-such-program-here"), "{message}");
}

#[test]
fn output_that_is_not_text_is_base64_and_flagged() {
    let cluster = Cluster::usual();
    cluster.push_script("binary", "printf '\\377\\376'\n");
    let result = cluster.submit("binary", json!({})).result();
    assert_eq!((&result["stdout"], &result["stdout_base64"]), (&json!("//4="), &json!(true)));
    assert_eq!(result.get("stderr_base64"), None);
}

#[test]
fn a_result_says_where_it_ran_with_how_much_cache() {
    let cluster = Cluster::usual();
    let task = cluster.push_script("where", "echo $FSCHED_WAYS\n");
    cluster.benchmark(&task, 10);
    let answer = cluster.run(&task, 10);
    let result = answer.result();
    assert_eq!(result["worker"], cluster.workers_in("alive")[0]);
    assert_eq!((&result["domain"], &result["enforced"]), (&json!(0), &json!(false)));
    let mask = u64::from_str_radix(result["mask"].as_str().expect("a mask in hex"), 16).expect("hex digits");
    assert_eq!(Some(u64::from(mask.count_ones())), result["cos"].as_u64());
    assert_eq!(answer.printed(), result["cos"].to_string());
    let source = result["ways_source"].as_str().expect("where the ways come from");
    assert!(["prior", "simulated", "measured"].contains(&source), "{source}");
    assert!(result["predicted_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{result}");
    assert!(result["class"].is_u64() && result["peak_memory"].is_u64(), "{result}");
    assert!(result["cpu_time"]["nanos"].is_u64(), "{result}");
}

#[test]
fn a_benchmark_says_what_it_measured_and_what_not() {
    let cluster = Cluster::usual();
    let task = cluster.push_script("learn", ":\n");
    let learnt = cluster.benchmark(&task, 7);
    assert_eq!(learnt["enforced"], false);
    assert!(learnt["benchmark_id"].as_str().is_some_and(|id| id.starts_with("b-")), "{learnt}");
    let points = learnt["points"].as_array().expect("points");
    assert_eq!(points.len(), 1, "where masks are not enforced only the whole cache is run: {learnt}");
    assert_eq!((&points[0]["ways"], &points[0]["cache_bytes"]), (&json!(8), &json!(8 << 20)));
    let times = points[0]["times"].as_array().expect("each run's time");
    assert!(times.len() >= 2 && learnt["runs"].as_u64() >= Some(times.len() as u64), "{learnt}");
    assert!(learnt["noise"].is_number() && learnt["too_noisy"].is_boolean(), "{learnt}");
    let warnings = learnt["warnings"].to_string();
    assert!(warnings.contains("enforce"), "{warnings}");

    let curve = cluster.api().get(&format!("/functions/{task}/curve?input_size=7")).ok();
    assert_eq!(curve["knowledge"], "BENCHMARKED");
    assert_ne!(curve["source"], "measured");
    let points = curve["points"].as_array().expect("a curve");
    let seconds: Vec<f64> = points.iter().filter_map(|point| point["seconds"].as_f64()).collect();
    assert!(!seconds.is_empty() && seconds.is_sorted_by(|less, more| less >= more), "{curve}");
}

#[test]
fn a_worker_that_does_not_share_out_its_cache_runs_functions_too() {
    let cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let (state, url) = (cluster.state_dir(0), cluster.api().url());
    let state = state.to_str().expect("a path");
    let words = ["--listen", "127.0.0.1:0", "--state-dir", state, "--master", &url, "--cache", "unmanaged"];
    let _worker = Server::start(WORKER, cluster.folder(), "unmanaged", &words, &[]);
    cluster.wait_for_alive(1);
    let task = cluster.push_script("f", "echo fine\n");
    cluster.benchmark(&task, 1);
    let result = cluster.run(&task, 1).result();
    assert_eq!((&result["stdout"], &result["enforced"]), (&json!("fine\n"), &json!(false)));
    cluster.push(&Function::script("alone", "echo alone\n").with("isolation", "exclusive"));
    let answer = cluster.submit("alone", json!({}));
    if answer.status != 200 {
        answer.refused(422, "never_fits");
    }
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
