//! How things end before their time: clients that go away, cancellation, shutdown.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use actix_web::http::header::RETRY_AFTER;
use actix_web::rt::{self, time::timeout};
use fsched_core::launcher::{ExitKind, Stop, ended};
use fsched_core::master::MasterConfig;
use serde_json::json;

use super::world::{LIMIT, WAITS, World, run_body};
use crate::master::MasterOptions;

#[actix_web::test]
async fn a_client_that_goes_away_ends_its_run() {
    let world = World::new(2).await;
    let task = world.ready("waiting").await;
    let before = world.launcher.launched().len();
    let mut client = TcpStream::connect(world.address).unwrap();
    let body = run_body(&task, WAITS);
    let head = format!(
        "POST /controller/task/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.write_all((head + &body).as_bytes()).unwrap();
    let launched = timeout(LIMIT, world.launcher.until_launched(before + 1)).await.unwrap();
    drop(client);
    let attempt = launched[before].attempt;
    timeout(LIMIT, world.launcher.until_stopped(attempt, Stop::Terminate)).await.unwrap();
}

#[actix_web::test]
async fn a_run_that_is_cancelled_is_told_so() {
    let world = World::new(2).await;
    let task = world.ready("waiting").await;
    let before = world.launcher.launched().len();
    let cancel = async {
        let launched = world.launcher.until_launched(before + 1).await;
        let path = format!("/invocations/{}", launched[before].attempt.invocation);
        assert_eq!(world.get(&path).await.ok()["state"], "running");
        let running = world.get("/invocations?state=running").await.ok();
        assert_eq!(running["invocations"].as_array().unwrap().len(), 1);
        world.delete(&path).await.ok();
        path
    };
    let (answer, path) =
        timeout(LIMIT, futures_util::future::join(world.run(&task, WAITS), cancel)).await.unwrap();
    assert_eq!(answer.code(), (409, "cancelled".into()));
    assert_eq!(answer.json()["result"]["ending"], "cancelled");
    assert_eq!(world.get(&path).await.ok()["ending"], "cancelled");
    assert_eq!(world.delete(&path).await.code(), (409, "already_ended".into()));
}

#[actix_web::test]
async fn stopping_waits_for_what_runs_and_refuses_what_is_new() {
    let world = World::new(2).await;
    let task = world.ready("waiting").await;
    let (launcher, client, url) =
        (world.launcher.clone(), world.client.clone(), world.url("/controller/task/run"));
    let before = launcher.launched().len();
    let body = run_body(&task, WAITS);
    let asked = client.post(&url).send_body(body.clone());
    let running = rt::spawn(async move { super::world::read(asked.await).await });
    let launched = timeout(LIMIT, launcher.until_launched(before + 1)).await.unwrap();
    let stopping = rt::spawn(world.stop());
    let refused = async {
        loop {
            let answer = super::world::read(client.post(&url).send_body(run_body(&task, 1024)).await).await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    assert_eq!(timeout(LIMIT, refused).await.unwrap().code(), (503, "stopping".into()));
    let exit = ended(ExitKind::Exited(0), Duration::from_millis(20));
    assert!(launcher.end(launched[before].attempt, exit));
    let answer = timeout(LIMIT, running).await.unwrap().unwrap();
    assert_eq!(answer.ok()["result"]["exit_status"], json!(0));
    timeout(LIMIT, stopping).await.unwrap().unwrap();
}

#[actix_web::test]
async fn where_the_queue_is_full_clients_are_told_when_to_come_back() {
    let config = MasterConfig { queue: 0, ..MasterConfig::default() };
    let world = World::configured(config, MasterOptions::default()).await.with_worker(1).await;
    let task = world.ready("waiting").await;
    let before = world.launcher.launched().len();
    let second = async {
        let launched = world.launcher.until_launched(before + 1).await;
        let refused = world.run(&task, 1024).await;
        assert_eq!(refused.code(), (503, "queue_full".into()));
        let after = refused.headers.get(RETRY_AFTER).unwrap().to_str().unwrap();
        assert!(after.parse::<u64>().unwrap() >= 1);
        world.launcher.end(launched[before].attempt, ended(ExitKind::Exited(0), Duration::from_millis(1)));
    };
    let (first, ()) =
        timeout(LIMIT, futures_util::future::join(world.run(&task, WAITS), second)).await.unwrap();
    first.ok();
}

#[actix_web::test]
async fn a_run_whose_worker_is_lost_is_reported_as_lost() {
    let world = World::new(2).await;
    let task = world.ready("waiting").await;
    let before = world.launcher.launched().len();
    let cut = async {
        world.launcher.until_launched(before + 1).await;
        world.loopback.disconnect(&"http://worker-1:3000".into());
    };
    let (answer, ()) =
        timeout(LIMIT, futures_util::future::join(world.run(&task, WAITS), cut)).await.unwrap();
    assert_eq!(answer.code(), (502, "lost".into()));
    let id = answer.json()["invocation_id"].as_str().unwrap().to_owned();
    assert_eq!(world.get(&format!("/invocations/{id}")).await.ok()["ending"], "lost_worker");
}
