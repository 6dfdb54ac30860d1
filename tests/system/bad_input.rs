//! Whatever comes from outside brings a clear error, and no harm.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::path::Path;

use serde_json::json;

use crate::harness::{Answer, Api, Cluster, Function, Plan, wait_until};

/// Paths that take a JSON object.
const TAKE_JSON: [&str; 5] = [
    "/controller/task/run",
    "/controller/task/benchmark",
    "/submit",
    "/cluster/worker/add",
    "/cluster/register",
];

/// Names that would be somewhere else if they were paths.
const ELSEWHERE: [&str; 6] =
    ["../outside", "../../outside", "/tmp/fsched-outside", "..", "a/../../outside", "..\\outside"];

/// The client is at fault, it is told so in JSON, and the server is well.
#[track_caller]
pub(crate) fn clients_fault(answer: &Answer, what: &str) {
    let (code, message) = answer.error();
    assert!((400..500).contains(&answer.status), "{what}: {} {code} {message}", answer.status);
}

#[track_caller]
pub(crate) fn is_well(cluster: &Cluster) {
    cluster.push_script("still-well", "echo well\n");
    assert_eq!(cluster.submit("still-well", json!({})).printed(), "well");
}

#[test]
fn bodies_that_are_no_object_are_refused() {
    let cluster = Cluster::usual();
    let deep = "[".repeat(100_000);
    let bodies =
        ["", " ", "{", "nonsense", "[]", "1", "null", "\"text\"", "{\"a\":}", "\u{feff}{}", "{} {}", &deep];
    for path in TAKE_JSON {
        for body in bodies {
            let answer = cluster.api().post_text(path, body);
            clients_fault(&answer, &format!("{path} {body:.40}"));
            assert_eq!(answer.status, 400, "{path} {body:.40}: {}", answer.text());
        }
        let answer =
            cluster.api().send("POST", path, &[("Content-Type", "application/json")], b"\xff\xfe{\0}");
        clients_fault(&answer, path);
        // Clients of old do not always name the kind of what they send.
        clients_fault(&cluster.api().send("POST", path, &[], b"nonsense"), path);
    }
    is_well(&cluster);
}

#[test]
fn parameters_that_are_nested_too_deep_are_refused() {
    let cluster = Cluster::usual();
    cluster.push_script("f", ":\n");
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let (open, close) = (open.repeat(50_000), close.repeat(50_000));
        let body = format!(r#"{{"function_name": "f", "parameters": {{"a": {open}1{close}}}}}"#);
        clients_fault(&cluster.api().post_text("/submit", &body), "deep parameters");
    }
    is_well(&cluster);
}

#[test]
fn missing_keys_are_named() {
    let cluster = Cluster::usual();
    for path in ["/controller/task/run", "/controller/task/benchmark"] {
        let all = json!({"command": "sh", "task_id": "f-1", "input_size": 1});
        for key in ["command", "task_id", "input_size"] {
            let mut body = all.clone();
            body.as_object_mut().expect("an object").remove(key);
            let message = cluster.api().post(path, &body).refused(400, "missing_keys");
            assert!(message.starts_with("Required keys not specified") && message.contains(key), "{message}");
        }
        let message = cluster.api().post(path, &json!({})).refused(400, "missing_keys");
        assert!(["command", "task_id", "input_size"].iter().all(|key| message.contains(key)), "{message}");
    }
    let message = cluster.api().post("/submit", &json!({"parameters": {}})).refused(400, "missing_keys");
    assert!(message.contains("function_name"), "{message}");
    for body in [json!({}), json!({"host": ""}), json!({"host": null})] {
        let message = cluster.api().post("/cluster/worker/add", &body).refused(400, "no_host");
        assert_eq!(message, "no worker host specified");
    }
}

#[test]
fn values_of_the_wrong_kind_are_refused_and_named() {
    let cluster = Cluster::usual();
    let task = cluster.push_script("f", ":\n");
    let odd =
        [json!([]), json!({}), json!(true), json!(-1), json!(1.5), json!(1e300), json!("-1"), json!("1e3")];
    for path in ["/controller/task/run", "/controller/task/benchmark"] {
        for value in odd.iter().chain(&[json!("18446744073709551616"), json!(""), json!("x"), json!("../1")])
        {
            let body = json!({"command": "sh", "task_id": task, "input_size": value});
            let message = cluster.api().post(path, &body).refused(400, "bad_value");
            assert!(message.contains("input_size"), "{value}: {message}");
        }
        let huge = format!(r#"{{"command": "sh", "task_id": "{task}", "input_size": 1{}}}"#, "0".repeat(400));
        clients_fault(&cluster.api().post_text(path, &huge), "a number of 400 digits");
        for value in [json!(1), json!([]), json!({}), json!(false)] {
            let body = json!({"command": value, "task_id": task, "input_size": 1});
            assert!(cluster.api().post(path, &body).refused(400, "bad_value").contains("command"));
            let body = json!({"command": "sh", "task_id": value, "input_size": 1});
            assert!(cluster.api().post(path, &body).refused(400, "bad_value").contains("task_id"));
        }
    }
    for value in &odd {
        let body = json!({"function_name": "f", "parameters": {"input_size": value}});
        cluster.api().post("/submit", &body).refused(400, "bad_value");
    }
    for (key, value) in [
        ("parameters", json!([])),
        ("parameters", json!("text")),
        ("timeout", json!("soon")),
        ("timeout", json!(-1)),
        ("timeout", json!(0)),
        ("idempotent", json!("yes")),
    ] {
        let mut body = json!({"function_name": "f"});
        body[key] = value;
        assert!(cluster.api().post("/submit", &body).refused(400, "bad_value").contains(key));
    }
    for value in [json!(1), json!([]), json!({})] {
        clients_fault(&cluster.api().post("/submit", &json!({"function_name": value})), "function_name");
        clients_fault(&cluster.api().post("/cluster/worker/add", &json!({"host": value})), "host");
    }
    is_well(&cluster);
}

#[test]
fn the_largest_input_size_is_passed_on_whole() {
    let cluster = Cluster::usual();
    cluster.push_script("size", "echo $1\n");
    let most = u64::MAX.to_string();
    assert_eq!(cluster.submit("size", json!({"input_size": u64::MAX})).printed(), most);
    assert_eq!(cluster.submit("size", json!({"input_size": most})).printed(), most);
    assert_eq!(cluster.submit("size", json!({"input_size": 0})).printed(), "0");
}

#[test]
fn commands_that_are_none_are_refused() {
    let cluster = Cluster::usual();
    let task = cluster.push_script("f", ":\n");
    for command in ["", "   ", "'", "sh \"", "sh 'a", "a\0b"] {
        for path in ["/controller/task/run", "/controller/task/benchmark"] {
            let body = json!({"command": command, "task_id": task, "input_size": 1});
            let answer = cluster.api().post(path, &body);
            assert_eq!(answer.status, 400, "{command:?}: {}", answer.text());
            answer.refused(400, "bad_command");
        }
        if !command.trim().is_empty() {
            let answer = cluster.api().push(&Function::script("g", ":\n").with("command", command));
            clients_fault(&answer, command);
        }
    }
}

#[test]
fn what_there_is_not_is_404() {
    let cluster = Cluster::usual();
    let api = cluster.api();
    for id in ["f-999", "f-0", "f-", "w-1", "", "f-18446744073709551616", "no such", "\u{1F4A5}", "f-1 "] {
        let body = json!({"command": "sh", "task_id": id, "input_size": 1});
        api.post("/controller/task/run", &body).refused(404, "unknown_function");
        api.post("/controller/task/benchmark", &body).refused(404, "unknown_function");
    }
    api.post("/submit", &json!({"function_name": "nobody"})).refused(404, "unknown_function");
    api.get("/functions/nobody").refused(404, "unknown_function");
    api.get("/functions/f-77/curve?input_size=1").refused(404, "unknown_function");
    api.delete("/functions/f-77").refused(404, "unknown_function");
    for id in ["i-999", "nonsense", "f-1", "%00", "i-99999999999999999999"] {
        api.get(&format!("/invocations/{id}")).refused(404, "unknown_invocation");
        api.delete(&format!("/invocations/{id}")).refused(404, "unknown_invocation");
    }
    for id in ["w-999", "nonsense", "w-99999999999999999999"] {
        api.delete(&format!("/cluster/workers/{id}")).refused(404, "unknown_worker");
        api.post(&format!("/cluster/workers/{id}/drain"), &json!({})).refused(404, "unknown_worker");
    }
    api.get("/no/such/thing").refused(404, "not_found");
    api.get("/controller/task/run").refused(405, "method_not_allowed");
    api.send("PATCH", "/submit", &[], b"").refused(405, "method_not_allowed");
}

#[test]
fn queries_that_make_no_sense_are_refused() {
    let cluster = Cluster::usual();
    let task = cluster.push_script("f", ":\n");
    for query in ["state=asleep", "limit=-1", "limit=many", "limit=99999999999999999999"] {
        clients_fault(&cluster.api().get(&format!("/invocations?{query}")), query);
    }
    for query in ["", "?input_size=", "?input_size=-1", "?input_size=x", "?input_size=1.5"] {
        clients_fault(&cluster.api().get(&format!("/functions/{task}/curve{query}")), query);
    }
}

#[test]
fn forms_that_are_none_are_refused_and_leave_nothing() {
    let cluster = Cluster::usual();
    let api = cluster.api();
    let before = everything_in(cluster.folder());
    let new = "/controller/task/new";
    api.send("POST", new, &[], b"").refused(400, "no_file");
    api.post(new, &json!({})).refused(400, "bad_multipart");
    let (kind, form) = Function::script("f", ":\n").form();
    let kind = [("Content-Type", kind.as_str())];
    let text = String::from_utf8(form.clone()).expect("a text");
    let without_file = text.replace("name=\"file\"", "name=\"other\"");
    api.send("POST", new, &kind, without_file.as_bytes()).refused(400, "no_file");
    api.send("POST", new, &kind, b"").error();
    for end in [10, form.len() / 2, form.len() - 4] {
        clients_fault(&api.send("POST", new, &kind, &form[..end]), "half a form");
    }
    for (key, value) in [
        ("cores", "0"),
        ("cores", "-1"),
        ("cores", "1025"),
        ("cores", "many"),
        ("cores", "99999999999999999999"),
        ("memory", "0"),
        ("memory", "1023KiB"),
        ("memory", "much"),
        ("memory", "-1MiB"),
        ("memory", "99999999999999GiB"),
        ("timeout", "0"),
        ("timeout", "-1"),
        ("timeout", "later"),
        ("timeout", "1e400"),
        ("isolation", "total"),
        ("name", "a\0b"),
    ] {
        let answer = api.push(&Function::script("f", ":\n").with(key, value));
        assert!(answer.refused(400, "bad_value").contains(key), "{key} {value}: {}", answer.text());
    }
    let long = "n".repeat(100_000);
    clients_fault(&api.push(&Function::script("f", ":\n").with("name", &long)), "a long name");
    let nothing = Function { file_name: "empty".to_owned(), ..Function::default() };
    clients_fault(&api.push(&nothing), "an empty file");
    assert_eq!(api.get("/functions").ok()["functions"], json!([]));
    assert_eq!(everything_in(cluster.folder()), before, "something was left behind");
    is_well(&cluster);
}

#[test]
fn no_name_becomes_a_path() {
    let cluster = Cluster::usual();
    let api = cluster.api();
    cluster.push_script("plain", ":\n");
    cluster.submit("plain", json!({})).result();
    let before = everything_around(cluster.folder());
    for name in ELSEWHERE {
        let quoted = name.replace('\\', "\\\\");
        let by_name = api.push(&Function::script(name, "echo $1\n"));
        let by_file = api.push(&Function { file: b"x".to_vec(), file_name: quoted, fields: Vec::new() });
        for answer in [by_name, by_file] {
            assert!(answer.status == 200 || answer.error().0 == "bad_value", "{}", answer.text());
        }
        // Where such a name is allowed, it is a name and nothing else.
        let answer = api.post("/submit", &json!({"function_name": name, "parameters": {"path": name}}));
        assert!(answer.status == 200 || answer.status < 500, "{}", answer.text());
        let encoded = name.replace('/', "%2F").replace('\\', "%5C");
        for path in ["/functions/", "/invocations/", "/cluster/workers/"] {
            let answer = api.get(&format!("{path}{encoded}"));
            assert!(
                answer.status == 200 || answer.error().0 != "internal",
                "{path}{name}: {}",
                answer.text()
            );
        }
        for (path, body) in [
            ("/controller/task/run", json!({"command": "sh", "task_id": name, "input_size": 1})),
            ("/controller/task/run", json!({"command": "sh", "task_id": "f-1", "input_size": name})),
            ("/cluster/worker/add", json!({"host": name})),
        ] {
            clients_fault(&api.post(path, &body), name);
        }
        let hash = format!("/worker/files/{encoded}");
        let protocol = [("x-fsched-protocol", "1")];
        clients_fault(&cluster.workers[0].api.send("PUT", &hash, &protocol, b"content"), &hash);
        clients_fault(&cluster.workers[0].api.send("DELETE", &hash, &protocol, b""), &hash);
    }
    for path in ["/docs/../../../../etc/passwd", "/docs/%2e%2e%2f%2e%2e%2fetc/passwd", "//etc/passwd"] {
        let answer = api.get(path);
        assert!(answer.status >= 300 && !answer.text().contains("root:"), "{path}: {}", answer.text());
    }
    assert_eq!(everything_around(cluster.folder()), before, "something was written elsewhere");
    is_well(&cluster);
}

#[test]
fn a_body_of_100_mb_is_refused_where_json_is_expected() {
    let cluster = Cluster::usual();
    let body = vec![b' '; 100 << 20];
    let send = |path| cluster.api().send("POST", path, &[("Content-Type", "application/json")], &body);
    std::thread::scope(|scope| {
        let answers = TAKE_JSON.map(|path| scope.spawn(move || send(path)));
        for answer in answers {
            answer.join().expect("an answer").refused(413, "too_large");
        }
    });
    is_well(&cluster);
}

#[test]
fn a_file_of_100_mb_is_taken_and_one_beyond_the_limit_is_not() {
    let cluster = Cluster::start(Plan {
        workers: 0,
        master: &[("FSCHED_MASTER_UPLOAD_LIMIT", "101MiB")],
        ..Plan::default()
    });
    let before = everything_in(cluster.folder());
    let mut function = Function::script("large", "");
    function.file = vec![b'#'; 102 << 20];
    cluster.api().push(&function).refused(413, "too_large");
    assert_eq!(everything_in(cluster.folder()), before, "something was left behind");
    function.file.truncate(100 << 20);
    assert_eq!(cluster.api().push(&function).ok()["size"], 100 << 20);
}

#[test]
fn an_output_of_64_mb_is_cut_and_says_so() {
    let cluster = Cluster::start(Plan { worker: &[("FSCHED_WORKER_MAX_OUTPUT", "1MiB")], ..Plan::default() });
    cluster.push_script(
        "flood",
        "head -c 67108864 /dev/zero | tr '\\0' x; head -c 2097152 /dev/zero | tr '\\0' e >&2\n",
    );
    let result = cluster.submit("flood", json!({})).result();
    for (stream, printed) in [("stdout", 64 << 20), ("stderr", 2 << 20)] {
        let kept = result[stream].as_str().expect("text").len() as u64;
        assert_eq!(kept, 1 << 20);
        assert_eq!(result[format!("{stream}_dropped")], printed - kept);
    }
    is_well(&cluster);
}

#[test]
fn requests_that_are_not_http_harm_nobody() {
    let cluster = Cluster::usual();
    let bad: [&[u8]; 7] = [
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /submit HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST /submit HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}",
        b"POST /submit HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /%ff%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    for api in [cluster.api(), &cluster.workers[0].api] {
        for bytes in bad {
            let mut stream = api.open().expect("a connection");
            stream.write_all(bytes).expect("it is read");
            stream.shutdown(Shutdown::Write).expect("it is open");
            let mut answer = Vec::new();
            // Cut off or answered, but not waited for.
            let _ = stream.read_to_end(&mut answer);
            let text = String::from_utf8_lossy(&answer).into_owned();
            assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{bytes:?}: {text}");
        }
        let head = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(1 << 20));
        let answer = api.exchange(&[head.as_bytes()]);
        assert!(answer.is_err() || answer.is_ok_and(|answer| (400..500).contains(&answer.status)));
    }
    is_well(&cluster);
}

/// All files and folders of a test but logs and what grows by itself.
fn everything_in(folder: &Path) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut to_see = vec![folder.to_owned()];
    while let Some(folder) = to_see.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                to_see.push(path.clone());
            }
            all.insert(path.display().to_string());
        }
    }
    all
}

/// What lies beside and above a test's own folders: the places where names with `..` would lead to.
fn everything_around(folder: &Path) -> BTreeSet<String> {
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.path().display().to_string()).collect()
    };
    let mut all = names(folder);
    all.extend(names(&folder.join("master")));
    all.extend(names(&folder.join("worker-0")));
    all.extend(names(Path::new("/tmp")).into_iter().filter(|name| name.contains("outside")));
    all
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let before = everything_in(cluster.folder());
    let (kind, form) = Function::script("half", &"x".repeat(1 << 20)).form();
    let api: &Api = cluster.api();
    let mut stream = api.open().expect("a connection");
    let head = format!(
        "POST /controller/task/new HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        api.at,
        form.len()
    );
    stream.write_all(head.as_bytes()).expect("it is read");
    stream.write_all(&form[..form.len() / 2]).expect("it is read");
    wait_until("it has begun", || (everything_in(cluster.folder()) != before).then_some(()));
    drop(stream);
    wait_until("nothing is left of it", || (everything_in(cluster.folder()) == before).then_some(()));
    assert_eq!(api.get("/functions").ok()["functions"], json!([]));
}
