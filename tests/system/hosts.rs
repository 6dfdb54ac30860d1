//! Hosts that are no workers, and masters that are none.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bad_input::{clients_fault, is_well};
use crate::harness::{Cluster, Plan};

#[test]
fn a_workers_service_checks_what_it_is_told() {
    let cluster = Cluster::usual();
    let worker = &cluster.workers[0].api;
    let protocol = [("x-fsched-protocol", "1"), ("Content-Type", "application/json")];
    for body in ["", "{", "[]", "{}", "{\"attempt\": 1}", "null"] {
        clients_fault(&worker.send("POST", "/worker/orders", &protocol, body.as_bytes()), body);
    }
    clients_fault(&worker.send("POST", "/worker/orders", &protocol[1..], b"{}"), "no protocol");
    let other = [("x-fsched-protocol", "999")];
    clients_fault(&worker.send("GET", "/worker/heartbeat", &other, b""), "another protocol");
    clients_fault(&worker.send("DELETE", "/worker/orders/nonsense", &protocol, b""), "an id");
    let hash = "ab".repeat(32);
    let path = format!("/worker/files/{hash}");
    worker.send("PUT", &path, &protocol, b"something else").refused(422, "damaged");
    worker.get("/nowhere").refused(404, "not_found");
    is_well(&cluster);
}

#[test]
fn registrations_that_make_no_sense_bring_no_worker() {
    let cluster = Cluster::usual();
    let heartbeat =
        cluster.workers[0].api.send("GET", "/worker/heartbeat", &[("x-fsched-protocol", "1")], b"").ok();
    let good = json!({"protocol": 1, "address": "http://127.0.0.1:9", "heartbeat": heartbeat});
    let odd: [(&str, Value); 6] = [
        ("/protocol", json!(999)),
        ("/protocol", json!("one")),
        ("/address", json!("ftp://nowhere")),
        ("/address", json!(7)),
        ("/heartbeat", json!({})),
        ("/heartbeat", json!([])),
    ];
    for (place, value) in odd {
        let mut body = good.clone();
        *body.pointer_mut(place).expect("a key") = value;
        clients_fault(&cluster.api().post("/cluster/register", &body), place);
    }
    // Every value in turn becomes something that no worker says.
    for key in heartbeat.as_object().expect("an object").keys() {
        for value in [json!(-1), json!("../x"), json!(1e300), Value::Null, json!([[]])] {
            let mut body = good.clone();
            body["heartbeat"][key] = value.clone();
            let answer = cluster.api().post("/cluster/register", &body);
            assert!(answer.status < 500, "{key} {value}: {}", answer.text());
        }
    }
    assert!(!cluster.rows().is_empty());
}

#[test]
fn a_host_that_is_no_worker_is_unresponsive() {
    let cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let add = |host: &str| cluster.api().post("/cluster/worker/add", &json!({"host": host}));
    let nobody = Stranger::nobody();
    for host in [nobody.as_str(), "no-such-host.invalid"] {
        let message = add(host).refused(500, "worker_unresponsive");
        assert!(message.starts_with("worker node is unresponsive"), "{message}");
    }
    let master = cluster.api().at.to_string();
    add(&master).refused(500, "worker_unresponsive");
    let nonsense = [
        "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nnonsense",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-fsched-protocol: 1\r\nContent-Length: 999999\r\n\r\n{",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "",
    ];
    for answer in nonsense {
        let stranger = Stranger::who_says(answer);
        add(&stranger.at).refused(500, "worker_unresponsive");
    }
    for host in
        ["http://", "http://a b", "host:0", "host:99999", "1.2.3.4.5", "http://u:p@h", "[::1", "http://h/x?y"]
    {
        clients_fault(&add(host), host);
    }
    assert_eq!(cluster.rows(), [Value::Null; 0]);
}

#[test]
fn a_host_that_never_answers_holds_nobody_up() {
    let cluster = Cluster::usual();
    let silent = Stranger::who_is_silent();
    let added = cluster.api().post_later("/cluster/worker/add", json!({"host": silent.at}));
    is_well(&cluster);
    added.join().expect("an answer").refused(500, "worker_unresponsive");
    assert_eq!(cluster.rows().len(), 1);
}

#[test]
fn a_host_that_answers_byte_by_byte_is_given_up() {
    let cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let slow = Stranger::who_is_slow();
    let answer = cluster.api().post("/cluster/worker/add", &json!({"host": slow.at}));
    answer.refused(500, "worker_unresponsive");
    cluster.api().get("/healthz").ok();
}

/// Somebody who listens and is no worker.
struct Stranger {
    at: String,
    _kept: Option<TcpListener>,
}

impl Stranger {
    /// An address at which nobody listens.
    fn nobody() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address").to_string()
    }

    fn who_says(answer: &'static str) -> Self {
        Self::who(move |mut stream| {
            let mut request = [0; 4096];
            // Whatever it was, the answer is the same.
            let _ = stream.read(&mut request).and_then(|_| stream.write_all(answer.as_bytes()));
        })
    }

    /// Takes connections (the system does), and never says a word.
    fn who_is_silent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self { at: listener.local_addr().expect("an address").to_string(), _kept: Some(listener) }
    }

    /// Says one byte whenever its last one must have been seen long ago.
    fn who_is_slow() -> Self {
        Self::who(|mut stream| {
            let head = b"HTTP/1.1 200 OK\r\nx-fsched-protocol: 1\r\nContent-Length: 100000\r\n\r\n";
            let _ = stream.write_all(head);
            while stream.write_all(b" ").is_ok() {
                std::thread::park_timeout(Duration::from_millis(100));
            }
        })
    }

    fn who(talks: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("an address").to_string();
        let talks = Arc::new(talks);
        // Ends with the test program.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let talks = Arc::clone(&talks);
                std::thread::spawn(move || talks(stream));
            }
        });
        Self { at, _kept: None }
    }
}
