//! Whatever is asked, the answer is JSON and says what is wrong.

use actix_web::http::header::{ALLOW, CONTENT_TYPE, HOST, ORIGIN};
use futures_util::stream;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::world::{MISSING, World, form, read, run_body};
use crate::front::REQUEST_ID;
use crate::json::tests::any_json;
use crate::master::MasterOptions;

fn code(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[actix_web::test]
async fn bad_bodies_are_the_clients_fault_and_said_precisely() {
    let world = World::new(2).await;
    world.push(&[("file", "x")]).await.ok();
    let run = "/controller/task/run";
    let cases = [
        (run, "", 400, "bad_json"),
        (run, "{", 400, "bad_json"),
        (run, "[]", 400, "bad_json"),
        (run, "{}", 400, "missing_keys"),
        (run, r#"{"command": "x", "task_id": "f-1"}"#, 400, "missing_keys"),
        (run, r#"{"command": "x", "task_id": 1, "input_size": 1}"#, 400, "bad_value"),
        (run, r#"{"command": "x", "task_id": "f-1", "input_size": -1}"#, 400, "bad_value"),
        (run, r#"{"command": "x", "task_id": "f-1", "input_size": 1e400}"#, 400, "bad_json"),
        (run, r#"{"command": "x", "task_id": "f-1", "input_size": 99999999999999999999}"#, 400, "bad_value"),
        (run, r#"{"command": "", "task_id": "f-1", "input_size": 1}"#, 400, "bad_command"),
        (run, r#"{"command": "a '", "task_id": "f-1", "input_size": 1}"#, 400, "bad_command"),
        (run, r#"{"command": "x", "task_id": "f-9", "input_size": 1}"#, 404, "unknown_function"),
        (run, r#"{"command": "x", "task_id": "../../f-1", "input_size": 1}"#, 404, "unknown_function"),
        ("/controller/task/benchmark", "{}", 400, "missing_keys"),
        (
            "/controller/task/benchmark",
            r#"{"command": "x", "task_id": "f-9", "input_size": 1}"#,
            404,
            "unknown_function",
        ),
        ("/submit", r#"{"function_name": "../x"}"#, 404, "unknown_function"),
        ("/submit", r#"{"parameters": {}}"#, 400, "missing_keys"),
        ("/cluster/worker/add", "{}", 400, "no_host"),
        ("/cluster/worker/add", r#"{"host": ""}"#, 400, "no_host"),
        ("/cluster/worker/add", r#"{"host": 5}"#, 400, "bad_value"),
        ("/cluster/worker/add", r#"{"host": "../x"}"#, 400, "bad_value"),
        ("/cluster/worker/add", r#"{"host": "nobody"}"#, 500, "worker_unresponsive"),
        ("/cluster/workers/w-9/drain", "", 404, "unknown_worker"),
        ("/cluster/workers/w-1/drain", r#"{"draining": "yes"}"#, 400, "bad_value"),
        ("/cluster/workers/..%2F/drain", "", 404, "unknown_worker"),
    ];
    for (path, body, status, name) in cases {
        assert_eq!(world.post(path, body).await.code(), code(status, name), "{path} {body}");
    }
    let text = world.post(run, "{}").await.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(text, "Required keys not specified: command, task_id, input_size");
}

#[actix_web::test]
async fn unknown_things_and_paths_are_named() {
    let world = World::new(2).await;
    for (path, status, name) in [
        ("/", 404, "not_found"),
        ("/controller", 404, "not_found"),
        ("/functions/", 404, "not_found"),
        ("/functions/f-9", 404, "unknown_function"),
        ("/functions/f-9/curve?input_size=1", 404, "unknown_function"),
        ("/functions/%00/curve?input_size=1", 404, "unknown_function"),
        ("/functions/x/curve", 400, "missing_keys"),
        ("/functions/x/curve?input_size=-1", 400, "bad_value"),
        ("/functions/f-9/file", 404, "unknown_function"),
        ("/functions/..%2F..%2Fetc%2Fpasswd/file", 404, "unknown_function"),
        ("/functions/%ff%fe", 404, "unknown_function"),
        ("/invocations/x", 404, "unknown_invocation"),
        ("/invocations/i-999", 404, "unknown_invocation"),
        ("/invocations?limit=x", 400, "bad_value"),
        ("/invocations?state=%ff", 400, "bad_value"),
        ("/docs/no-such-file", 404, "not_found"),
    ] {
        assert_eq!(world.get(path).await.code(), code(status, name), "{path}");
    }
    assert_eq!(world.delete("/invocations/i-999").await.code(), code(404, "unknown_invocation"));
    assert_eq!(world.delete("/cluster/workers/w-9").await.code(), code(404, "unknown_worker"));
    let wrong = world.get("/submit").await;
    assert_eq!(wrong.code(), code(405, "method_not_allowed"));
    assert_eq!(wrong.headers.get(ALLOW).unwrap(), "POST");
}

#[actix_web::test]
async fn forms_that_cannot_be_are_refused_and_leave_nothing() {
    let world = World::new(2).await;
    let long = "x".repeat(40 << 10);
    for (fields, status, name) in [
        (&[][..], 400, "no_file"),
        (&[("name", "x")], 400, "no_file"),
        (&[("file", "")], 400, "bad_value"),
        (&[("file", "x"), ("file", "y")], 400, "bad_multipart"),
        (&[("file", "x"), ("cores", "0")], 400, "bad_value"),
        (&[("file", "x"), ("memory", "-1")], 400, "bad_value"),
        (&[("file", "x"), ("timeout", "soon")], 400, "bad_value"),
        (&[("file", "x"), ("isolation", "alone")], 400, "bad_value"),
        (&[("file", "x"), ("command", "a \"")], 400, "bad_command"),
        (&[("file", "x"), ("name", "a\u{1}b")], 400, "bad_value"),
        (&[("file", "x"), ("note", &long)], 413, "too_large"),
    ] {
        assert_eq!(world.push(fields).await.code(), code(status, name), "{fields:?}");
    }
    let cut = form(&[("file", "x")]).replace("--cut--\r\n", "");
    let request = world.client.post(world.url("/controller/task/new"));
    let request = request.insert_header((CONTENT_TYPE, "multipart/form-data; boundary=cut"));
    assert_eq!(read(request.send_body(cut).await).await.code(), code(400, "bad_multipart"));
    assert_eq!(world.post("/controller/task/new", "x").await.status, 400);
    assert_eq!(world.state.node().files().list().unwrap(), []);
    // Fields that a page's form left empty are as good as none.
    world.push(&[("file", "x"), ("command", ""), ("cores", ""), ("extra", "?")]).await.ok();
}

#[actix_web::test]
async fn what_is_too_large_is_told_so() {
    let options =
        MasterOptions { max_upload: fsched_core::cache::Bytes::kib(64), ..MasterOptions::default() };
    let world = World::empty(options).await;
    let body = || stream::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(1 << 20).into()));
    let hundred = |body| futures_util::StreamExt::take(body, 100);
    let answer = world.client.post(world.url("/submit")).send_stream(Box::pin(hundred(body()))).await;
    assert_eq!(read(answer).await.code(), code(413, "too_large"));
    let file = "x".repeat((64 << 10) + 1);
    assert_eq!(world.push(&[("file", &file)]).await.code(), code(413, "too_large"));
    assert_eq!(world.push(&[("file", &file[1..])]).await.ok()["size"], 64 << 10);
}

#[actix_web::test]
async fn functions_that_fit_nowhere_are_told_from_those_that_wait() {
    let world = World::empty(MasterOptions::default()).await;
    world.push(&[("file", "x"), ("name", "big"), ("cores", "64")]).await.ok();
    let body = r#"{"function_name": "big"}"#;
    assert_eq!(world.post("/submit", body).await.code(), code(503, "no_workers"));
    world.worker("worker-1", 2).await;
    world.post("/cluster/worker/add", r#"{"host": "worker-1"}"#).await.ok();
    assert_eq!(world.post("/submit", body).await.code(), code(422, "never_fits"));
}

#[actix_web::test]
async fn what_cannot_be_started_is_not_called_successful() {
    let world = World::new(2).await;
    let task = world.ready("missing").await;
    let answer = world.run(&task, MISSING).await;
    assert_eq!(answer.code(), code(422, "not_started"));
    assert!(
        answer.text.contains("no such program") && answer.text.contains("invocation_id"),
        "{}",
        answer.text
    );
    let answer = world.post("/controller/task/benchmark", run_body(&task, MISSING)).await;
    assert_eq!(answer.code(), code(422, "benchmark_failed"));
    assert_eq!(answer.json()["result"]["ending"], "not_started");
}

#[actix_web::test]
async fn pages_of_others_are_kept_out() {
    let world = World::empty(MasterOptions::default()).await;
    let request = world.client.get(world.url("/status")).insert_header((ORIGIN, "http://evil.example"));
    assert_eq!(read(request.send().await).await.code(), code(403, "forbidden_origin"));
    let request = world.client.get(world.url("/status")).insert_header((HOST, "evil.example"));
    assert_eq!(read(request.send().await).await.code(), code(403, "forbidden_origin"));
}

#[actix_web::test]
async fn every_answer_carries_its_requests_id() {
    let world = World::empty(MasterOptions::default()).await;
    let request = world.client.get(world.url("/nowhere")).insert_header((REQUEST_ID, "build-7"));
    assert_eq!(read(request.send().await).await.headers.get(REQUEST_ID).unwrap(), "build-7");
    let (one, two) = (world.get("/status").await, world.get("/status").await);
    assert_ne!(one.headers.get(REQUEST_ID).unwrap(), two.headers.get(REQUEST_ID).unwrap());
}

#[actix_web::test]
async fn no_json_is_our_fault() {
    let world = World::new(2).await;
    world.push(&[("file", "x"), ("name", "command")]).await.ok();
    let mut runner = TestRunner::deterministic();
    let paths = [
        "/controller/task/run",
        "/controller/task/benchmark",
        "/submit",
        "/cluster/worker/add",
        "/cluster/workers/w-1/drain",
        "/cluster/register",
        "/functions/command/profile",
    ];
    for _ in 0..100 {
        let body = any_json().new_tree(&mut runner).unwrap().current().to_string();
        for path in paths {
            let answer = world.post(path, body.clone()).await;
            let unresponsive = answer.status == 500 && answer.code().1 == "worker_unresponsive";
            assert!(answer.status.as_u16() < 500 || unresponsive, "{path} {body}: {answer:?}");
        }
    }
}
