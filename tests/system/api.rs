//! The REST API of old to the letter, and what was added beside it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};

use serde_json::{Value, json};

use crate::harness::{Cluster, Function, Gate, Plan, Server, WORKER, wait_until};

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

#[test]
fn invocations_are_listed_and_shown_while_they_run_and_after() {
    let cluster = Cluster::usual();
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("slow", &(gate.script() + "echo done\n"));
    let run = cluster.submit_later("slow");
    gate.wait_for(1);
    let id = cluster.wait_for_invocations("running", 1).remove(0);
    let shown = cluster.api().get(&format!("/invocations/{id}")).ok();
    assert_eq!(
        (&shown["state"], &shown["name"], &shown["ended"]),
        (&json!("running"), &json!("slow"), &Value::Null)
    );
    assert!(shown["worker"].is_string() && shown["started"]["secs"].is_u64(), "{shown}");

    gate.open();
    run.join().expect("an answer").result();
    let shown = cluster.api().get(&format!("/invocations/{id}")).ok();
    assert_eq!(
        (&shown["state"], &shown["ending"], &shown["exit_status"]),
        (&json!("ended"), &json!("exited"), &json!(0))
    );
    assert_eq!(shown["result"]["stdout"], "done\n");
    assert!(shown["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{shown}");

    cluster.push_script("other", ":\n");
    cluster.submit("other", json!({})).result();
    let listed = |query: &str| {
        let rows = cluster.api().get(&format!("/invocations{query}")).ok();
        let rows = rows["invocations"].as_array().expect("a list").clone();
        rows.iter().map(|row| row["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(""), ["other", "slow"], "newest first");
    assert_eq!(listed("?limit=1"), ["other"]);
    assert_eq!(listed("?function=slow"), ["slow"]);
    assert_eq!(listed("?state=running"), [""; 0]);
}

#[test]
fn cancelling_ends_what_runs_and_tells_who_waits() {
    let cluster = Cluster::usual();
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("stuck", &gate.script());
    let run = cluster.submit_later("stuck");
    gate.wait_for(1);
    let id = cluster.wait_for_invocations("running", 1).remove(0);
    let path = format!("/invocations/{id}");
    assert!(cluster.api().delete(&path).ok()["message"].is_string());
    run.join().expect("an answer").refused(409, "cancelled");
    cluster.api().delete(&path).refused(409, "already_ended");
    assert_eq!(cluster.api().get(&path).ok()["ending"], "cancelled");
}

#[test]
fn what_waits_can_be_cancelled_too() {
    let cluster = Cluster::start(Plan { cores: 1, ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    cluster.push_script("first", &gate.script());
    let running = cluster.submit_later("first");
    gate.wait_for(1);
    let waiting = cluster.submit_later("first");
    let id = cluster.wait_for_invocations("queued", 1).remove(0);
    cluster.api().delete(&format!("/invocations/{id}")).ok();
    waiting.join().expect("an answer").refused(409, "cancelled");
    gate.open();
    running.join().expect("an answer").result();
    assert_eq!(gate.arrived(), 1, "it never ran");
}

#[test]
fn the_document_names_every_route_and_every_route_answers() {
    let cluster = Cluster::usual();
    let api = cluster.api();
    let document = api.get("/openapi.json").ok();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")), "{document}");
    let paths = document["paths"].as_object().expect("paths");
    let promised = [
        "/controller/task/new",
        "/controller/task/run",
        "/controller/task/benchmark",
        "/submit",
        "/cluster/worker/add",
        "/cluster/worker/list",
        "/cluster/workers",
        "/cluster/workers/{id}",
        "/cluster/workers/{id}/drain",
        "/cluster/register",
        "/scheduler/generosity",
        "/functions",
        "/invocations",
        "/invocations/{id}",
        "/status",
        "/healthz",
        "/readyz",
        "/metrics",
    ];
    for path in promised {
        assert!(paths.contains_key(path), "{path} is not in the document");
    }
    for (path, methods) in paths {
        let real = path.replace("{id}", "i-999999").replace("{function}", "nobody");
        for method in methods.as_object().expect("methods").keys().filter(|key| *key != "parameters") {
            let answer =
                api.send(&method.to_uppercase(), &real, &[("Content-Type", "application/json")], b"{}");
            let served = answer.status < 400
                || !["not_found", "method_not_allowed"].contains(&answer.error().0.as_str());
            assert!(served, "{method} {real}: {}", answer.text());
            assert_ne!(answer.status, 500, "{method} {real}: {}", answer.text());
        }
    }
}

#[test]
fn there_is_a_page_to_try_it() {
    let cluster = Cluster::usual();
    let page = cluster.api().get("/docs/");
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(
        page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")),
        "{:?}",
        page.headers
    );
    assert!(page.text().contains("swagger"), "{}", page.text());
}

#[test]
fn health_readiness_and_numbers_are_served_by_both() {
    let mut cluster = Cluster::start(Plan { workers: 0, master: Plan::IMPATIENT, ..Plan::default() });
    assert_eq!(cluster.api().get("/healthz").ok()["status"], "ok");
    cluster.api().get("/readyz").refused(503, "not_ready");
    let worker = cluster.spawn_worker(0, &[]);
    cluster.workers.push(worker);
    cluster.wait_for_alive(1);
    cluster.api().get("/readyz").ok();
    cluster.push_script("counted", ":\n");
    cluster.submit("counted", json!({})).result();

    let worker = &cluster.workers[0].api;
    worker.get("/healthz").ok();
    worker.get("/readyz").ok();
    for api in [cluster.api(), worker] {
        let numbers = api.get("/metrics");
        assert_eq!(numbers.status, 200);
        assert!(numbers.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
        let text = numbers.text();
        let lines = || text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        assert!(lines().count() > 10, "{text}");
        for line in lines() {
            let number = line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok());
            assert!(line.starts_with("fsched_") && number.is_some(), "{line}");
        }
        assert!(text.contains("requests"), "{text}");
    }
    let text = cluster.api().get("/metrics").text();
    for about in ["invocations", "queue", "ways", "prediction", "placement"] {
        assert!(text.contains(about), "{about} is not counted: {text}");
    }
}

#[test]
fn one_connection_serves_many_requests() {
    let cluster = Cluster::usual();
    cluster.push_script("f", "echo $1\n");
    let mut stream = cluster.api().open().expect("a connection");
    for number in 1..=3 {
        let body = json!({"function_name": "f", "parameters": {"input_size": number}}).to_string();
        let length = body.len();
        let head = format!("POST /submit HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all((head + &body).as_bytes()).expect("it is read");
        let mut answer = String::new();
        while !answer.contains("}}") {
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).expect("it answers");
            assert!(read > 0, "it hung up after {answer:?}");
            answer += &String::from_utf8_lossy(&piece[..read]);
        }
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains(&format!("\"stdout\":\"{number}\\n\"")), "{answer}");
    }
    drop(stream);
    let old = cluster.api().exchange(&[b"GET /healthz HTTP/1.0\r\n\r\n"]).expect("an answer");
    assert_eq!(old.status, 200);
}

#[test]
fn clients_that_ask_before_they_send_a_file_are_told_to_go_on() {
    let cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let (kind, form) = Function::script("polite", "echo\n").form();
    let headers = [("Content-Type", kind.as_str()), ("Expect", "100-continue")];
    let pushed = cluster.api().send("POST", "/controller/task/new", &headers, &form).ok();
    assert_eq!(pushed["name"], "polite");
}

#[test]
fn names_may_hold_anything_that_can_be_read() {
    let cluster = Cluster::usual();
    let api = cluster.api();
    for (name, encoded) in
        [("a/b", "a%2Fb"), ("größe 50%", "gr%C3%B6%C3%9Fe%2050%25"), ("f-1", "f-1"), ("?#&", "%3F%23%26")]
    {
        let task = cluster.push_script(name, "echo fine\n");
        assert_eq!(cluster.submit(name, json!({})).printed(), "fine", "{name}");
        if name == "f-1" {
            continue;
        }
        assert_eq!(api.get(&format!("/functions/{encoded}")).ok()["task_id"], task, "{name}");
        let listed = api.get(&format!("/invocations?function={encoded}")).ok();
        assert_eq!(listed["invocations"].as_array().map(Vec::len), Some(1), "{name}");
        assert_eq!(api.delete(&format!("/functions/{encoded}")).ok()["removed"], json!([task]), "{name}");
    }
}

#[test]
fn only_so_many_ended_invocations_are_remembered() {
    let mut cluster = Cluster::start(Plan { master: &[("FSCHED_MASTER_HISTORY", "5")], ..Plan::default() });
    cluster.push_script("f", ":\n");
    let id = |answer: Value| answer["invocation_id"].as_str().expect("an id").to_owned();
    let ids: Vec<String> = (0..8).map(|_| id(cluster.submit("f", json!({})).ok())).collect();
    for _ in 0..2 {
        let rows = cluster.api().get("/invocations").ok();
        let rows: Vec<&str> = rows["invocations"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|row| row["id"].as_str())
            .collect();
        let newest: Vec<&str> = ids.iter().rev().take(5).map(String::as_str).collect();
        assert_eq!(rows, newest);
        cluster.api().get(&format!("/invocations/{}", ids[0])).refused(404, "unknown_invocation");
        assert!(cluster.master.take().expect("a master").terminate().success());
        cluster.start_master();
    }
}

#[test]
fn the_numbers_count_what_happened() {
    let cluster = Cluster::usual();
    cluster.push_script("f", "exit $1\n");
    for status in [0, 0, 0, 1] {
        cluster.submit("f", json!({"input_size": status})).ok();
    }
    let text = cluster.api().get("/metrics").text();
    let sum = |wanted: &[&str]| -> f64 {
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#') && wanted.iter().all(|part| line.contains(part)));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    assert!((sum(&["fsched_http_requests_total", "/submit"]) - 4.0).abs() < 0.5, "{text}");
    assert!((sum(&["fsched_invocations", "succeeded"]) - 3.0).abs() < 0.5, "{text}");
    let text = cluster.workers[0].api.get("/metrics").text();
    assert!(text.lines().any(|line| line.starts_with("fsched_") && line.ends_with(" 4")), "{text}");
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
fn the_status_counts_what_there_is() {
    let cluster = Cluster::usual();
    cluster.push_script("counted", ":\n");
    cluster.submit("counted", json!({})).result();
    let status = cluster.api().get("/status").ok();
    assert_eq!(status["workers"]["alive"], 1);
    assert_eq!((&status["cores"]["total"], &status["cores"]["free"]), (&json!(2), &json!(2)));
    assert_eq!((&status["ways"]["total"], &status["ways"]["free"]), (&json!(8), &json!(8)));
    assert_eq!((&status["functions"], &status["invocations"]["ended"]["succeeded"]), (&json!(1), &json!(1)));
}

#[test]
fn every_answer_carries_the_requests_id() {
    let cluster = Cluster::usual();
    let named = cluster.api().send("GET", "/status", &[("X-Request-Id", "mine-7")], b"");
    assert_eq!(named.header("x-request-id"), Some("mine-7"));
    let minted = cluster.api().get("/nowhere");
    minted.refused(404, "not_found");
    assert!(minted.header("x-request-id").is_some_and(|id| !id.is_empty()));
}

#[test]
fn one_id_leads_through_the_logs_from_request_to_process() {
    let cluster = Cluster::usual();
    cluster.push_script("traced", "echo $FSCHED_INVOCATION\n");
    let answer = cluster.submit("traced", json!({}));
    let id = answer.ok()["invocation_id"].as_str().expect("an id").to_owned();
    assert!(answer.printed().starts_with(&id), "{}", answer.printed());
    let logs = |server: &Server| server.log().contains(&id);
    wait_until("the master's log names it", || cluster.master.as_ref().is_some_and(logs).then_some(()));
    wait_until("the worker's log names it", || logs(&cluster.workers[0]).then_some(()));
}

#[test]
fn logs_are_json_where_that_is_wanted() {
    let cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let state = cluster.folder().join("json");
    let state = state.to_str().expect("a path");
    let words = ["--listen", "127.0.0.1:0", "--state-dir", state, "--log-format", "json", "--log", "debug"];
    let worker = Server::start(WORKER, cluster.folder(), "json", &words, &[]);
    worker.api.get("/healthz").ok();
    let log = wait_until("something is logged", || Some(worker.log()).filter(|log| log.ends_with('\n')));
    for line in log.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line["level"].is_string()), "{line}");
    }
}

fn files_in(folder: &std::path::Path) -> usize {
    fs::read_dir(folder).expect("a folder").count()
}
