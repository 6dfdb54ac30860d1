//! What people come for, from the first worker to the last result.

use actix_web::http::header::AUTHORIZATION;
use futures_util::future::join_all;
use serde_json::json;

use super::world::{ECHOES, FAILS, PRINTS_BYTES, World, read, run_body};
use crate::auth::Token;
use crate::master::MasterOptions;

#[actix_web::test]
async fn a_function_is_pushed_benchmarked_and_run() {
    let world = World::new(4).await;
    let pushed = world
        .push(&[("file", "print(1)"), ("cores", "2"), ("memory", "64MiB"), ("timeout", "5m")])
        .await
        .ok();
    assert_eq!(
        (&pushed["task_id"], &pushed["name"], &pushed["version"]),
        (&json!("f-1"), &json!("x"), &json!(1))
    );
    assert_eq!(pushed["size"], 8);

    let early = world.run("f-1", 2000).await.ok();
    let message = "Task is not yet ready for execution. Try benchmarking it with a specific input size";
    assert_eq!(early, json!({"message": message}));

    let benchmark = world.post("/controller/task/benchmark", run_body("f-1", 1024)).await.ok();
    assert_eq!(benchmark["message"], "Benchmarking was successful and task is ready for execution");
    assert_eq!(benchmark["exec_time"], json!({"input_size": 1024, "time": "15ms"}));
    assert_eq!((&benchmark["benchmark_id"], &benchmark["enforced"]), (&json!("b-1"), &json!(true)));
    assert!(benchmark["points"].as_array().unwrap().len() > 1, "{benchmark}");

    let run = world.run("f-1", 1024).await.ok();
    assert_eq!(run["mode"], "BENCHMARKED");
    let result = &run["result"];
    assert_eq!(run["invocation_id"], result["id"]);
    assert_eq!((&result["exit_status"], &result["ending"]), (&json!(0), &json!("exited")));
    assert_eq!((&result["command"], &result["input_size"]), (&json!("python3 -u"), &json!("1024")));
    assert_eq!(result["execution_time"], json!({"secs": 0, "nanos": 15_000_000}));
    assert_eq!((&result["worker"], &result["pid"]), (&json!("w-1"), &json!(4242)));
    assert_eq!((&result["ways_source"], &result["enforced"]), (&json!("measured"), &json!(true)));
    assert!(result["cos"].as_u64().unwrap() >= 1);
    assert!(result["predicted_seconds"].as_f64().unwrap() > 0.0);
    assert!(run.get("message").is_none() && result.get("stdout_base64").is_none());

    assert_eq!(world.run("f-1", 4096).await.ok()["mode"], "ASSISTED");

    let function = world.get("/functions/x").await.ok();
    assert_eq!(
        (&function["cores"], &function["memory"], &function["timeout_secs"]),
        (&json!(2), &json!(64 << 20), &json!(300.0))
    );
    assert_eq!(function["benchmarked"], json!([1024, 4096]));
    let curve = world.get("/functions/f-1/curve?input_size=1024").await.ok();
    assert_eq!((&curve["knowledge"], &curve["source"]), (&json!("BENCHMARKED"), &json!("measured")));
    assert!(!curve["points"].as_array().unwrap().is_empty());
}

#[actix_web::test]
async fn a_profile_makes_a_function_ready_and_its_ways_simulated() {
    let world = World::new(4).await;
    world.push(&[("file", "print(1)"), ("name", "profiled")]).await.ok();
    let point = |mib: u64, seconds: f64, miss_bytes: u64| json!({"cache_bytes": mib << 20, "seconds": seconds, "miss_bytes": miss_bytes, "accesses": 1000});
    let points = [point(1, 4.0, 64_000), point(4, 4.0, 64_000), point(5, 1.0, 64), point(16, 1.0, 64)];
    let body = json!({"input_size": 1024, "points": points});
    let answer = world.post("/functions/profiled/profile", body.to_string()).await.ok();
    assert_eq!(answer["samples"], 4);

    let curve = world.get("/functions/profiled/curve?input_size=1024").await.ok();
    assert_eq!((&curve["knowledge"], &curve["source"]), (&json!("BENCHMARKED"), &json!("simulated")));
    assert_eq!(curve["misses"]["source"], "simulated");
    assert_eq!(curve["misses"]["points"][0]["miss_bytes"], 64_000.0);
    assert_eq!(world.get("/functions/profiled").await.ok()["benchmarked"], json!([1024]));
    let run = world.run("f-1", 1024).await.ok();
    assert_eq!((&run["mode"], &run["result"]["ways_source"]), (&json!("BENCHMARKED"), &json!("simulated")));

    let unknown = world.post("/functions/f-9/profile", body.to_string()).await;
    assert_eq!(unknown.code(), (404, "unknown_function".to_owned()));
    let empty = world.post("/functions/profiled/profile", "{}").await;
    assert_eq!(empty.code(), (400, "missing_keys".to_owned()));
}

#[actix_web::test]
async fn a_functions_file_can_be_had_back() {
    let world = World::new(4).await;
    let content = "x".repeat(700_000);
    world.push(&[("file", &content), ("name", "long")]).await.ok();
    let answer = world.get("/functions/long/file").await;
    assert!(answer.status.is_success() && answer.text == content, "{} bytes", answer.text.len());
    world.push(&[("file", ""), ("name", "long")]).await;
    assert_eq!(world.get("/functions/f-1/file").await.text.len(), content.len());
}

#[actix_web::test]
async fn what_there_is_can_be_listed() {
    let world = World::new(2).await;
    let task = world.ready("lister").await;
    world.run(&task, 1024).await.ok();
    world.run(&task, FAILS).await.ok();

    let workers = world.get("/cluster/workers").await.ok();
    let worker = &workers["workers"][0];
    assert_eq!((&worker["id"], &worker["host"]), (&json!("w-1"), &json!("http://worker-1:3000")));
    assert_eq!(
        (&worker["state"], &worker["cores"], &worker["free_cores"]),
        (&json!("alive"), &json!(2), &json!(2))
    );
    assert_eq!(worker["domains"][0]["ways"], 16);
    let systems = world.get("/cluster/worker/list").await.ok();
    assert_eq!((&systems["w-1"]["cpu_cores"], &systems["w-1"]["total_cache"]), (&json!(2), &json!(16)));
    assert!(world.get("/scheduler/generosity").await.ok()["generosity"].as_f64().unwrap() <= 0.0);

    let newest = world.get("/invocations?limit=1&state=ended&function=lister").await.ok();
    let newest = &newest["invocations"][0];
    assert_eq!(
        (&newest["ending"], &newest["exit_status"], &newest["name"]),
        (&json!("exited"), &json!(3), &json!("lister"))
    );
    let shown = world.get(&format!("/invocations/{}", newest["id"].as_str().unwrap())).await.ok();
    assert_eq!(shown["result"]["exit_status"], 3);
    let probes = world.get(&format!("/invocations?function={task}")).await.ok();
    assert!(probes["invocations"].as_array().unwrap().iter().any(|row| row["benchmark"] == "b-1"));
    assert_eq!(world.get("/invocations?function=other").await.ok(), json!({"invocations": []}));

    let status = world.get("/status").await.ok();
    assert_eq!((&status["functions"], &status["workers"]["alive"]), (&json!(1), &json!(1)));
    assert_eq!(status["invocations"]["running"], 0);
    assert_eq!(world.get("/healthz").await.ok(), json!({"status": "ok"}));
    assert_eq!(world.get("/readyz").await.ok(), json!({"status": "ready"}));
}

#[actix_web::test]
async fn numbers_are_there_for_prometheus() {
    let world = World::new(2).await;
    let task = world.ready("counted").await;
    world.run(&task, 1024).await.ok();
    world.get("/invocations/i-999").await;
    let text = world.get("/metrics").await.text;
    for line in [
        r#"fsched_http_requests_total{method="POST",route="/controller/task/run",status="200"} 1"#,
        r#"fsched_http_requests_total{method="GET",route="/invocations/{id}",status="404"} 1"#,
        r#"fsched_workers{state="alive"} 1"#,
        r#"fsched_queue_depth 0"#,
        r#"fsched_invocations{state="running"} 0"#,
        r#"fsched_ways{worker="w-1",domain="0",state="free"} 16"#,
        r#"fsched_observed_to_predicted_ratio_count 1"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    for part in [
        "fsched_prediction_seconds_count",
        "fsched_placement_seconds_bucket",
        "fsched_invocations_ended_total",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[actix_web::test]
async fn submit_runs_what_nothing_is_known_of() {
    let world = World::new(2).await;
    let parameters = format!(r#"{{"input_size": {ECHOES}, "b": 1.0, "a": 12345678901234567890123}}"#);
    world.push(&[("file", "v1"), ("name", "echo me"), ("command", "cat -u")]).await.ok();
    world.push(&[("file", "v2"), ("name", "echo me"), ("command", "cat -v")]).await.ok();
    let body = format!(r#"{{"function_name": "echo me", "parameters": {parameters}}}"#);
    let answer = world.post("/submit", body).await.ok();
    assert_eq!(answer["mode"], "UNKNOWN");
    assert_eq!(answer["result"]["stdout"], format!(r#"{parameters} ["cat", "-v"]"#));
    assert_eq!(answer["result"]["ways_source"], "prior");
    assert_eq!(world.get("/functions/echo%20me").await.ok()["version"], 2);
}

#[actix_web::test]
async fn a_function_that_fails_has_still_run() {
    let world = World::new(2).await;
    let task = world.ready("failing").await;
    let answer = world.run(&task, FAILS).await.ok();
    assert_eq!(answer["message"], "the function failed: exit status 3");
    assert_eq!(
        (&answer["result"]["exit_status"], &answer["result"]["ending"]),
        (&json!(3), &json!("exited"))
    );
    let bytes = world.run(&task, PRINTS_BYTES).await.ok();
    assert_eq!(
        (&bytes["result"]["stdout"], &bytes["result"]["stdout_base64"]),
        (&json!("/wA="), &json!(true))
    );
}

#[actix_web::test]
async fn two_hundred_clients_get_two_hundred_answers() {
    let world = World::new(2).await;
    let task = world.ready("busy").await;
    let runs = (0..200).map(|_| world.run(&task, 1024));
    for answer in join_all(runs).await {
        assert_eq!(answer.ok()["result"]["exit_status"], 0);
    }
    assert_eq!(world.get("/status").await.ok()["cores"], json!({"total": 2, "free": 2}));
}

#[actix_web::test]
async fn removing_a_name_removes_its_versions() {
    let world = World::new(2).await;
    world.push(&[("file", "1"), ("name", "gone")]).await.ok();
    world.push(&[("file", "2"), ("name", "gone")]).await.ok();
    world.push(&[("file", "2"), ("name", "stays")]).await.ok();
    let removed = world.delete("/functions/gone").await.ok();
    assert_eq!((&removed["removed"], &removed["waiting_for"]), (&json!(["f-1", "f-2"]), &json!(0)));
    assert_eq!(world.delete("/functions/gone").await.code(), (404, "unknown_function".into()));
    assert_eq!(world.get("/functions").await.ok()["functions"].as_array().unwrap().len(), 1);
}

#[actix_web::test]
async fn workers_drain_and_go() {
    let world = World::new(2).await;
    assert_eq!(world.post("/cluster/workers/w-1/drain", "").await.ok()["draining"], true);
    assert_eq!(world.get("/cluster/workers").await.ok()["workers"][0]["state"], "draining");
    assert_eq!(
        world.post("/cluster/workers/w-1/drain", r#"{"draining": false}"#).await.ok()["draining"],
        false
    );
    assert_eq!(world.delete("/cluster/workers/w-1").await.ok()["waiting_for"], 0);
    assert_eq!(world.get("/cluster/workers").await.ok(), json!({"workers": []}));
    assert_eq!(world.get("/readyz").await.code(), (503, "not_ready".into()));
}

#[actix_web::test]
async fn a_worker_registers_from_where_it_is() {
    let world = World::empty(MasterOptions::default()).await;
    let worker = world.worker("127.0.0.1", 2).await;
    let heartbeat = crate::wire::HeartbeatBody::from(worker.heartbeat());
    let body = json!({"protocol": 1, "address": "http://0.0.0.0:3000", "heartbeat": heartbeat});
    let registered = world.post("/cluster/register", body.to_string()).await.ok();
    assert_eq!(registered, json!({"id": "w-1", "heartbeat_secs": 1.0}));
    assert_eq!(world.post("/cluster/register", body.to_string()).await.ok()["id"], "w-1");
    assert_eq!(world.get("/cluster/workers").await.ok()["workers"][0]["host"], "http://127.0.0.1:3000");
    let other = json!({"protocol": 2, "address": ":3000", "heartbeat": heartbeat});
    assert_eq!(world.post("/cluster/register", other.to_string()).await.code(), (400, "bad_value".into()));
    assert_eq!(world.post("/cluster/register", "{}").await.code(), (400, "bad_value".into()));
    assert_eq!(world.post("/cluster/register", "{").await.code(), (400, "bad_json".into()));
}

#[actix_web::test]
async fn with_a_token_only_health_and_the_page_to_try_it_are_open() {
    let token: Token = "correct-horse".parse().unwrap();
    let shown = token.header_value();
    let world = World::empty(MasterOptions { token: Some(token), ..MasterOptions::default() }).await;
    assert_eq!(world.get("/healthz").await.ok(), json!({"status": "ok"}));
    assert_eq!(world.get("/readyz").await.code(), (503, "not_ready".into()));
    world.get("/openapi.json").await.ok();
    for path in ["/status", "/metrics", "/functions", "/docsx", "/nowhere"] {
        let answer = world.get(path).await;
        assert_eq!(answer.code(), (401, "unauthorized".into()), "{path}");
        assert_eq!(answer.headers.get("www-authenticate").unwrap(), "Bearer");
    }
    let request = world.client.get(world.url("/status")).insert_header((AUTHORIZATION, shown));
    read(request.send().await).await.ok();
}
