//! How things end before their time: clients that go away, cancellation, shutdown.

use std::io::Write as _;
use std::net::TcpStream;

use actix_web::rt::{self, time::timeout};
use fsched_core::launcher::{ExitKind, Stop, ended};
use serde_json::json;

use super::world::{LIMIT, WAITS, World, run_body};

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
    let exit = ended(ExitKind::Exited(0), std::time::Duration::from_millis(20));
    assert!(launcher.end(launched[before].attempt, exit));
    let answer = timeout(LIMIT, running).await.unwrap().unwrap();
    assert_eq!(answer.ok()["result"]["exit_status"], json!(0));
    timeout(LIMIT, stopping).await.unwrap().unwrap();
}
