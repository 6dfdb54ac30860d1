//! A worker and masters that are away, refuse, forget, or are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use fsched_core::cluster::Heartbeat;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::worker::WorkerOptions;
use crate::worker::rig::{Rig, within};

/// What a master was told: the worker's address and key, and what it showed as its token.
type Told = (String, fsched_core::id::WorkerKey, Option<String>);

/// A master that gives `answers` in turn, the last one again and again.
struct Master {
    address: HttpAddress,
    told: UnboundedReceiver<Told>,
    server: ServerHandle,
}

impl Master {
    fn new(answers: Vec<(u16, &'static str)>) -> Self {
        let (sender, told) = unbounded_channel();
        let asked = Arc::new(AtomicUsize::new(0));
        let answers = Arc::new(answers);
        let register = move |request: HttpRequest, body: web::Json<RegisterBody>| {
            let n = asked.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
            let (address, heartbeat): (String, Heartbeat) = body.into_inner().try_into().unwrap();
            let token = request.headers().get(AUTHORIZATION.as_str()).map(|t| t.to_str().unwrap().to_owned());
            sender.send((address, heartbeat.key, token)).unwrap();
            let (status, text) = answers[n];
            let answer = HttpResponse::build(status.try_into().unwrap()).body(text);
            async move { answer }
        };
        let server =
            HttpServer::new(move || App::new().route("/cluster/register", web::post().to(register.clone())))
                .workers(1)
                .disable_signals()
                .shutdown_timeout(0)
                .bind("127.0.0.1:0")
                .unwrap();
        let address = HttpAddress::at(server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Self { address, told, server: handle }
    }

    async fn told(&mut self) -> Told {
        within("a registration", self.told.recv()).await.unwrap()
    }
}

const ACCEPTED: (u16, &str) = (200, r#"{"id": "w-1", "heartbeat_secs": 1.0}"#);

fn quick(master: &Master) -> Registration {
    Registration {
        first_wait: Duration::from_millis(1),
        silence: Duration::from_secs(1000),
        ..Registration::new(master.address.clone())
    }
}

fn options(registration: Registration) -> WorkerOptions {
    WorkerOptions { registration: Some(registration), ..WorkerOptions::default() }
}

#[actix_web::test]
async fn a_worker_says_where_it_listens() {
    let mut master = Master::new(vec![ACCEPTED]);
    let rig = Rig::new();
    let served = rig.serve(options(quick(&master)));
    let (address, key, token) = master.told().await;
    assert_eq!(address, HttpAddress::at(served.at).to_string());
    assert_eq!(key, rig.node.heartbeat().key);
    assert_eq!(token, None);
}

#[test]
fn a_worker_leaves_its_host_to_the_master_where_it_cannot_know_it() {
    for (master, at, said) in [
        ("10.0.0.1:3200", "10.0.0.7:3000", "http://10.0.0.7:3000"),
        ("master:3200", "[2001:db8::7]:3000", "http://[2001:db8::7]:3000"),
        ("127.0.0.1:3200", "[::1]:3000", "http://[::1]:3000"),
        ("10.0.0.1:3200", "0.0.0.0:3000", "http://:3000"),
        ("127.0.0.1:3200", "[::]:3000", "http://:3000"),
        ("10.0.0.1:3200", "127.0.0.1:3000", "http://:3000"),
        ("localhost:3200", "127.0.0.1:3000", "http://:3000"),
    ] {
        let registration = Registration::new(master.parse().unwrap());
        assert_eq!(registration.address(at.parse().unwrap()), said, "{at} with {master}");
    }
}

#[actix_web::test]
async fn a_worker_says_what_it_was_told_to_advertise_and_shows_its_token() {
    let mut master = Master::new(vec![ACCEPTED]);
    let rig = Rig::new();
    let advertise = Some("node7:81".parse().unwrap());
    let token = Some("correct-horse-battery".parse().unwrap());
    let registration = Registration { advertise, ..quick(&master) };
    let _served = rig.serve(WorkerOptions { token, ..options(registration) });
    let (address, _, token) = master.told().await;
    assert_eq!(address, "http://node7:81");
    assert_eq!(token.as_deref(), Some("Bearer correct-horse-battery"));
}

#[actix_web::test]
async fn it_tries_until_it_is_accepted() {
    let refusals = [(503, "{}"), (401, "no"), (200, "not json"), (200, "{}"), (307, ""), ACCEPTED];
    let mut master = Master::new(refusals.to_vec());
    let rig = Rig::new();
    let _served = rig.serve(options(quick(&master)));
    for _ in refusals {
        master.told().await;
    }
}

#[actix_web::test]
async fn it_registers_again_when_the_master_is_silent() {
    let mut master = Master::new(vec![ACCEPTED]);
    let rig = Rig::new();
    let registration = Registration { silence: Duration::from_millis(20), ..quick(&master) };
    let _served = rig.serve(options(registration));
    for _ in 0..3 {
        master.told().await;
    }
}

#[actix_web::test]
async fn it_finds_a_master_that_comes_later() {
    let master = Master::new(vec![ACCEPTED]);
    let at = master.address.socket_address().unwrap();
    master.server.stop(false).await;
    let rig = Rig::new();
    let _served = rig.serve(options(quick(&master)));
    let (sender, mut told) = unbounded_channel();
    let register = move |_: web::Json<RegisterBody>| {
        sender.send(()).unwrap();
        async { HttpResponse::Ok().body(ACCEPTED.1) }
    };
    let later =
        HttpServer::new(move || App::new().route("/cluster/register", web::post().to(register.clone())));
    actix_rt::spawn(later.workers(1).disable_signals().bind(at).unwrap().run());
    within("a registration", told.recv()).await.unwrap();
}

#[test]
fn silence_is_counted_from_the_last_question() {
    let second = Duration::from_secs(1);
    let heard = Heard::default();
    let asked = *heard.0.lock();
    assert_eq!(heard.still_patient(10 * second, asked + 8 * second), Some(2 * second));
    assert_eq!(heard.still_patient(10 * second, asked + 10 * second), None);
    *heard.0.lock() = asked + 8 * second;
    assert_eq!(heard.still_patient(10 * second, asked + 10 * second), Some(8 * second));
}

#[test]
fn waits_vary_and_stay_within_bounds() {
    let wait = Duration::from_millis(800);
    let waits: std::collections::BTreeSet<_> = (0..200).map(|_| jittered(wait)).collect();
    assert!(waits.len() > 10);
    assert!(waits.iter().all(|w| (wait / 2..=wait).contains(w)), "{waits:?}");
}
