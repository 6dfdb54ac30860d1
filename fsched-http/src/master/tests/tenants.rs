//! Who shows a token with a name is that tenant.

use actix_web::http::header::CONTENT_TYPE;
use serde_json::json;

use super::super::{MasterOptions, routes};
use super::world::{Answer, World, form, run_body};
use crate::auth::{TenantTokens, Token};

const PLATFORM: &str = "secret-of-the-platform";
const BLUE: &str = "secret-of-blue";
const RED: &str = "secret-of-red";

/// A master with a worker, and the tenants blue and red.
async fn world() -> World {
    let token: Token = PLATFORM.parse().unwrap();
    let named =
        [("blue", BLUE), ("red", RED)].map(|(name, secret)| (name.parse().unwrap(), secret.parse().unwrap()));
    let tenants = TenantTokens::new(named.into(), Some(&token)).unwrap();
    let world = World::empty(MasterOptions { token: Some(token), tenants, ..MasterOptions::default() }).await;
    world.worker("worker-1", 2).await;
    world.send_as(PLATFORM, "POST", "/cluster/worker/add", r#"{"host": "worker-1"}"#).await.ok();
    world
}

async fn push(world: &World, secret: &str, name: &str) -> Answer {
    let request = world.client.post(world.url("/controller/task/new"));
    let request = request.insert_header((CONTENT_TYPE, "multipart/form-data; boundary=cut"));
    let request = request.insert_header(("authorization", format!("Bearer {secret}")));
    super::world::read(request.send_body(form(&[("file", "#!"), ("name", name)])).await).await
}

async fn submit(world: &World, secret: &str, name: &str) -> String {
    let body = json!({"function_name": name}).to_string();
    let answer = world.send_as(secret, "POST", "/submit", &body).await.ok();
    answer["invocation_id"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn a_request_is_on_behalf_of_whoever_the_token_names() {
    let world = world().await;
    assert_eq!(push(&world, PLATFORM, "f").await.ok()["version"], 1);
    let ids = [
        submit(&world, PLATFORM, "f").await,
        submit(&world, BLUE, "f").await,
        submit(&world, RED, "f").await,
    ];
    let list = async |secret: &str, query: &str| {
        let rows = world.send_as(secret, "GET", &format!("/invocations{query}"), "").await.ok();
        let rows = rows["invocations"].as_array().unwrap().clone();
        let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap().to_owned();
        rows.iter().map(|row| (text(row, "id"), text(row, "tenant"))).collect::<Vec<_>>()
    };
    let row = |n: usize, tenant: &str| (ids[n].clone(), tenant.to_owned());
    assert_eq!(list(PLATFORM, "").await, [row(2, "red"), row(1, "blue"), row(0, "default")]);
    assert_eq!(list(PLATFORM, "?tenant=blue").await, [row(1, "blue")]);
    assert_eq!(list(BLUE, "").await, [row(1, "blue")]);
    assert_eq!(list(BLUE, "?tenant=red").await, []);
    for id in &ids {
        let path = format!("/invocations/{id}");
        let own = *id == ids[1];
        let unknown = (404, "unknown_invocation".to_owned());
        let shown = world.send_as(BLUE, "GET", &path, "").await;
        let cancelled = world.send_as(BLUE, "DELETE", &path, "").await;
        if own {
            assert_eq!(shown.ok()["tenant"], "blue");
            assert_eq!(cancelled.code(), (409, "already_ended".to_owned()));
        } else {
            assert_eq!(shown.code(), unknown);
            assert_eq!(cancelled.code(), unknown);
        }
        world.send_as(PLATFORM, "GET", &path, "").await.ok();
    }
    let metrics = world.send_as(PLATFORM, "GET", "/metrics", "").await.text;
    for tenant in ["default", "blue", "red"] {
        let line = format!("fsched_tenant_invocations_accepted_total{{tenant=\"{tenant}\"}} 1");
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
}

#[actix_web::test]
async fn the_runs_of_a_benchmark_are_its_tenants() {
    let world = world().await;
    let task = push(&world, BLUE, "f").await.ok()["task_id"].as_str().unwrap().to_owned();
    world.send_as(BLUE, "POST", "/controller/task/benchmark", &run_body(&task, 1024)).await.ok();
    world.send_as(BLUE, "POST", "/controller/task/run", &run_body(&task, 1024)).await.ok();
    let rows = world.send_as(PLATFORM, "GET", "/invocations", "").await.ok();
    let rows = rows["invocations"].as_array().unwrap();
    assert!(rows.len() > 1 && rows.iter().all(|row| row["tenant"] == "blue"), "{rows:?}");
}

#[actix_web::test]
async fn functions_are_for_all_and_changed_by_their_own_tenant() {
    let world = world().await;
    let forbidden = (403, "forbidden".to_owned());
    push(&world, BLUE, "f").await.ok();
    assert_eq!(world.send_as(RED, "GET", "/functions/f", "").await.ok()["tenant"], "blue");
    submit(&world, RED, "f").await;
    assert_eq!(push(&world, RED, "f").await.code(), forbidden);
    assert_eq!(world.send_as(RED, "DELETE", "/functions/f", "").await.code(), forbidden);
    let profile = json!({"input_size": 1, "points": []}).to_string();
    assert_eq!(world.send_as(RED, "POST", "/functions/f/profile", &profile).await.code(), forbidden);
    assert_eq!(push(&world, BLUE, "f").await.ok()["version"], 2);
    assert_eq!(push(&world, PLATFORM, "f").await.ok()["version"], 3);
    assert_eq!(push(&world, BLUE, "f").await.code(), forbidden, "the newest is the platform's now");
    assert_eq!(world.send_as(BLUE, "DELETE", "/functions/f-1", "").await.ok()["removed"], json!(["f-1"]));
    world.send_as(PLATFORM, "DELETE", "/functions/f", "").await.ok();
    assert_eq!(push(&world, RED, "f").await.ok()["version"], 1, "the name is free again");
}

#[actix_web::test]
async fn tenants_do_not_change_the_cluster() {
    let world = world().await;
    let mut tried = 0;
    for (method, path) in routes::names() {
        if !path.starts_with("/cluster/") || method == "GET" {
            continue;
        }
        let path = path.replace("{id}", "w-1");
        let answer = world.send_as(BLUE, method, &path, r#"{"host": "worker-1"}"#).await;
        assert_eq!(answer.code(), (403, "forbidden".to_owned()), "{method} {path}");
        tried += 1;
    }
    assert_eq!(tried, 4);
    assert_eq!(world.send_as(BLUE, "GET", "/metrics", "").await.code(), (403, "forbidden".to_owned()));
    assert_eq!(world.send_as(BLUE, "GET", "/cluster/workers", "").await.ok()["workers"][0]["state"], "alive");
    assert_eq!(
        world.send_as("secret-of-green", "GET", "/status", "").await.code(),
        (401, "unauthorized".to_owned())
    );
}
