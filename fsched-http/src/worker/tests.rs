//! The service on real sockets, and clients that are slow, cut off or hostile.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fsched_core::allocator::{Counter, Monitor, Monitored};
use fsched_core::cache::{Bytes, ClosId, DomainId};
use fsched_core::id::ContentHash;
use fsched_core::launcher::{ExitKind, Stop, ended};
use serde_json::{Value, json};

use super::rig::{LIMIT, Rig, Served, attempt, within};
use super::{MAX_ORDER, WorkerOptions};
use crate::wire::OrderBody;

/// One request, by hand.
struct Request {
    head: String,
    body: Vec<u8>,
}

fn request(method: &str, path: &str) -> Request {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-fsched-protocol: 1\r\n");
    Request { head, body: Vec::new() }
}

impl Request {
    fn header(mut self, header: &str) -> Self {
        self.head = format!("{}{header}\r\n", self.head);
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn order(self, rig: &Rig, n: u64) -> Self {
        self.body(serde_json::to_vec(&OrderBody::from(rig.order(n))).unwrap())
    }

    /// Sends it, and keeps the connection.
    fn send(self, to: &Served) -> TcpStream {
        let length = self.body.len();
        let head = format!("{}content-length: {length}\r\n\r\n", self.head);
        send_raw(to, &[head.as_bytes(), &self.body].concat())
    }

    /// Sends it, and waits for the answer: status, head and body.
    async fn ask(self, to: &Served) -> (u16, String, Value) {
        answer(self.send(to)).await
    }
}

fn send_raw(to: &Served, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(to.at).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    // A service that refuses early may close before it has read everything.
    let _ = stream.write_all(bytes);
    stream
}

async fn answer(mut stream: TcpStream) -> (u16, String, Value) {
    let read = move || {
        let mut read = Vec::new();
        let mut byte = [0];
        while !read.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            read.push(byte[0]);
        }
        let head = String::from_utf8(read).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).unwrap();
        (head, body)
    };
    let (head, body) = within("an answer", tokio::task::spawn_blocking(read)).await.unwrap();
    let status = head[9..12].parse().unwrap();
    (
        status,
        head,
        serde_json::from_slice(&body).unwrap_or(Value::String(String::from_utf8_lossy(&body).into())),
    )
}

fn code(body: &Value) -> &str {
    body["code"].as_str().unwrap_or_default()
}

#[actix_web::test]
async fn an_order_is_answered_by_its_report() {
    let rig = Rig::new();
    let served = rig.serve(WorkerOptions::default());
    let waiting = request("POST", "/worker/orders").order(&rig, 1).send(&served);
    within("the launch", rig.launcher.until_launched(1)).await;
    rig.launcher.end(attempt(1), ended(ExitKind::Exited(7), Duration::from_millis(3)));
    let (status, head, body) = answer(waiting).await;
    assert_eq!((status, &body["ending"]["exited"]), (200, &7.into()));
    assert!(head.contains("x-fsched-protocol: 1\r\n") && head.contains("x-fsched-instance: "), "{head}");
}

#[actix_web::test]
async fn the_largest_payload_fits_however_it_is_written() {
    let rig = Rig::new();
    let served = rig.serve(WorkerOptions::default());
    let payload = format!("\"{}\"", r#"\""#.repeat(crate::json::MAX_JSON / 2 - 1));
    let order = fsched_core::invocation::Order { payload: Some(payload.as_str().into()), ..rig.order(1) };
    let body = serde_json::to_vec(&OrderBody::from(order)).unwrap();
    let _waiting = request("POST", "/worker/orders").body(body).send(&served);
    let launched = within("the launch", rig.launcher.until_launched(1)).await.remove(0);
    assert_eq!(launched.stdin.as_deref(), Some(payload.as_str()));
}

#[actix_web::test]
async fn a_closed_connection_cancels_its_attempt() {
    let rig = Rig::new();
    let served = rig.serve(WorkerOptions::default());
    for (n, how) in [(1, std::net::Shutdown::Both), (2, std::net::Shutdown::Write)] {
        let waiting = request("POST", "/worker/orders").order(&rig, n).send(&served);
        within("the launch", rig.launcher.until_launched(n as usize)).await;
        waiting.shutdown(how).unwrap();
        within("the end", rig.launcher.until_stopped(attempt(n), Stop::Terminate)).await;
    }
}

#[actix_web::test]
async fn an_attempt_can_be_cancelled_by_name() {
    let rig = Rig::new();
    let served = rig.serve(WorkerOptions::default());
    let waiting = request("POST", "/worker/orders").order(&rig, 1).send(&served);
    within("the launch", rig.launcher.until_launched(1)).await;
    assert_eq!(request("DELETE", "/worker/orders/i-1.0").ask(&served).await.0, 204);
    let (status, _, body) = answer(waiting).await;
    assert_eq!((status, &body["ending"]), (200, &"cancelled".into()));
    let (status, _, body) = request("DELETE", "/worker/orders/..%2f..").ask(&served).await;
    assert_eq!((status, code(&body)), (400, "bad_value"));
}

#[actix_web::test]
async fn orders_that_make_no_sense_are_refused() {
    let rig = Rig::new();
    let served = rig.serve(WorkerOptions::default());
    let order = || request("POST", "/worker/orders");
    let impossible = |key: &str, value: Value| {
        let mut body = serde_json::to_value(OrderBody::from(rig.order(1))).unwrap();
        body[key] = value;
        order().body(body.to_string())
    };
    let deep = "[".repeat(100_000);
    for (request, status, expected) in [
        (order(), 400, "bad_json"),
        (order().body("{"), 400, "bad_json"),
        (order().body("[]"), 400, "bad_json"),
        (order().body(deep), 400, "bad_json"),
        (order().body(b"\xff\xfe".as_slice()), 400, "bad_json"),
        (impossible("file", "../../etc/passwd".into()), 400, "bad_json"),
        (impossible("input_size", (-1).into()), 400, "bad_json"),
        (impossible("cores", 0.into()), 400, "bad_value"),
        (impossible("protocol", 2.into()), 400, "bad_value"),
        (order().body(vec![b' '; MAX_ORDER + 1]), 413, "too_large"),
        (impossible("domain", 9.into()), 409, "refused"),
        (impossible("file", "0".repeat(64).into()), 409, "refused"),
    ] {
        let (got, _, body) = request.ask(&served).await;
        assert_eq!((got, code(&body)), (status, expected), "{body}");
        assert!(!body["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(rig.launcher.launched(), []);
}

#[actix_web::test]
async fn an_order_that_never_arrives_whole_is_not_waited_for() {
    let rig = Rig::new();
    let served = rig.serve(WorkerOptions { stall: Duration::from_millis(50), ..WorkerOptions::default() });
    let head = format!("{}content-length: 100\r\n\r\n{{", request("POST", "/worker/orders").head);
    let (status, _, body) = answer(send_raw(&served, head.as_bytes())).await;
    assert_eq!((status, code(&body)), (408, "request_timeout"));
}

#[actix_web::test]
async fn others_than_this_machine_need_a_token() {
    let rig = Rig::new();
    let everywhere = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let served = Served::start(everywhere, rig.node.clone(), WorkerOptions::default());
    let refused = served.ended().await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
}

#[actix_web::test]
async fn other_versions_are_refused_clearly() {
    let rig = Rig::new();
    let served = rig.serve(WorkerOptions::default());
    for (method, path) in [
        ("POST", "/worker/orders"),
        ("DELETE", "/worker/orders/i-1.0"),
        ("PUT", "/worker/files/00"),
        ("DELETE", "/worker/files/00"),
        ("GET", "/worker/heartbeat"),
    ] {
        for version in ["x-fsched-protocol: 2\r\n", "x-fsched-protocol: one\r\n", ""] {
            let head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{version}");
            let (status, _, body) = Request { head, body: Vec::new() }.ask(&served).await;
            assert_eq!((status, code(&body)), (400, "bad_value"), "{method} {path} {version}");
            assert!(body["message"].as_str().unwrap().contains("version 1"), "{body}");
        }
    }
}

#[actix_web::test]
async fn an_order_for_another_process_is_not_begun() {
    let rig = Rig::new();
    let served = rig.serve(WorkerOptions::default());
    let other = request("POST", "/worker/orders").header("x-fsched-instance: another").order(&rig, 1);
    let (status, _, body) = other.ask(&served).await;
    assert_eq!((status, code(&body), body.get("refusal")), (409, "refused", None));
    assert_eq!(rig.launcher.launched(), []);
}

#[actix_web::test]
async fn without_the_token_only_health_is_told() {
    let rig = Rig::new();
    let token = Some("correct-horse-battery".parse().unwrap());
    let served = rig.serve(WorkerOptions { token, ..WorkerOptions::default() });
    for (method, path) in
        [("POST", "/worker/orders"), ("GET", "/worker/heartbeat"), ("GET", "/metrics"), ("GET", "/x")]
    {
        let (status, _, body) = request(method, path).order(&rig, 1).ask(&served).await;
        assert_eq!((status, code(&body)), (401, "unauthorized"), "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(request("GET", path).ask(&served).await.0, 200);
    }
    let with = request("GET", "/worker/heartbeat").header("authorization: Bearer correct-horse-battery");
    assert_eq!(with.ask(&served).await.0, 200);
    assert_eq!(rig.launcher.launched(), []);
}

#[actix_web::test]
async fn reports_heartbeats_and_numbers_say_what_classes_use() {
    let traffic = Arc::new(AtomicU64::new(1000));
    let counted = Arc::clone(&traffic);
    let ask = move |_, class| Monitored {
        occupancy: if class == ClosId(0) { Counter::Failed } else { Counter::Bytes(Bytes(4096)) },
        total_traffic: Counter::Bytes(Bytes(counted.load(Ordering::SeqCst))),
        local_traffic: Counter::Unassigned,
    };
    let classes = (0..2).map(|class| (DomainId(0), ClosId(class))).collect();
    let rig = Rig::monitored(Some(Monitor { classes, ask: Arc::new(ask) }));
    let served = rig.serve(WorkerOptions::default());
    let running = request("POST", "/worker/orders").order(&rig, 1).send(&served);
    within("the launch", rig.launcher.until_launched(1)).await;
    traffic.store(1700, Ordering::SeqCst);
    rig.launcher.end(attempt(1), ended(ExitKind::Exited(0), Duration::ZERO));
    let (_, _, report) = answer(running).await;
    let used = json!({"occupancy": 4096, "total_traffic": 700, "local_traffic": "unassigned"});
    assert_eq!(report["monitored"], used, "{report}");
    let (_, _, heartbeat) = request("GET", "/worker/heartbeat").ask(&served).await;
    let class = json!({"domain": 0, "class": 0, "occupancy": "error", "total_traffic": 1700, "local_traffic": "unassigned"});
    assert_eq!(heartbeat["classes"][0], class, "{heartbeat}");
    let (_, _, Value::String(text)) = request("GET", "/metrics").ask(&served).await else { panic!() };
    for line in [
        r#"fsched_worker_class_occupancy_bytes{domain="0",class="0"} NaN"#,
        r#"fsched_worker_class_occupancy_bytes{domain="0",class="1"} 4096"#,
        r#"fsched_worker_class_traffic_bytes{domain="0",class="1",memory="total"} 1700"#,
        r#"fsched_worker_class_traffic_bytes{domain="0",class="1",memory="local"} NaN"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[actix_web::test]
async fn what_is_not_there_is_said_as_json() {
    let rig = Rig::new();
    let served = rig.serve(WorkerOptions::default());
    let (status, _, body) = request("GET", "/nothing").ask(&served).await;
    assert_eq!((status, code(&body)), (404, "not_found"));
    let (status, _, body) = request("PUT", "/worker/orders").ask(&served).await;
    assert_eq!((status, code(&body)), (405, "method_not_allowed"));
}

fn hash_of(content: &[u8]) -> ContentHash {
    use sha2::Digest as _;
    ContentHash(sha2::Sha256::digest(content).into())
}

/// What is in the directory of files, finished or not.
fn kept(rig: &Rig) -> usize {
    std::fs::read_dir(rig.dir.path().join("files")).unwrap().count()
}

#[actix_web::test]
async fn many_may_send_the_same_file_at_once() {
    let rig = Rig::new();
    let served = rig.serve(WorkerOptions::default());
    let content = vec![7; 1 << 20];
    let path = format!("/worker/files/{}", hash_of(&content));
    let sent: Vec<_> = (0..8)
        .map(|_| {
            let request = request("PUT", &path).body(content.clone());
            let at = served.at;
            tokio::task::spawn_blocking(move || {
                let head = format!("{}content-length: {}\r\n\r\n", request.head, request.body.len());
                let mut stream = TcpStream::connect(at).unwrap();
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                stream.write_all(&[head.as_bytes(), &request.body].concat()).unwrap();
                stream
            })
        })
        .collect();
    for stream in sent {
        assert_eq!(answer(stream.await.unwrap()).await.0, 204);
    }
    assert_eq!(kept(&rig), 2);
    rig.node.files().verify(hash_of(&content)).unwrap();
}

#[actix_web::test]
async fn of_a_file_that_does_not_arrive_whole_nothing_is_kept() {
    let rig = Rig::new();
    let options = WorkerOptions {
        max_file: fsched_core::cache::Bytes(100_000),
        stall: Duration::from_millis(100),
        ..WorkerOptions::default()
    };
    let served = rig.serve(options);
    let file = hash_of(b"content");
    let put = || request("PUT", &format!("/worker/files/{file}"));
    let (status, _, body) = put().body("Content").ask(&served).await;
    assert_eq!((status, code(&body)), (422, "damaged"));
    let (status, _, body) = put().body(vec![0; 100_001]).ask(&served).await;
    assert_eq!((status, code(&body)), (413, "too_large"));
    let (status, _, body) = request("PUT", "/worker/files/..%2f..%2fx").body("content").ask(&served).await;
    assert_eq!((status, code(&body)), (400, "bad_value"));
    // No length is announced, and too much comes.
    let head = format!("{}transfer-encoding: chunked\r\n\r\n", put().head);
    let chunk = format!("186a1\r\n{}\r\n0\r\n\r\n", "x".repeat(100_001));
    let (status, _, body) = answer(send_raw(&served, &[head.as_bytes(), chunk.as_bytes()].concat())).await;
    assert_eq!((status, code(&body)), (413, "too_large"));
    // It stops in the middle.
    let head = format!("{}content-length: 7\r\n\r\ncont", put().head);
    let (status, _, body) = answer(send_raw(&served, head.as_bytes())).await;
    assert_eq!((status, code(&body)), (408, "request_timeout"));
    // The line breaks in the middle.
    let cut = send_raw(&served, head.as_bytes());
    drop(cut);
    let gone = async {
        while kept(&rig) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within("the removal of what is unfinished", gone).await;
    assert!(!rig.node.files().contains(file));
    assert_eq!(put().body("content").ask(&served).await.0, 204);
}

#[actix_web::test]
async fn what_happens_is_counted() {
    let rig = Rig::new();
    let served = rig.serve(WorkerOptions::default());
    let done = request("POST", "/worker/orders").order(&rig, 1).send(&served);
    within("the launch", rig.launcher.until_launched(1)).await;
    rig.launcher.end(attempt(1), ended(ExitKind::Exited(0), Duration::from_millis(1)));
    answer(done).await;
    let abandoned = request("POST", "/worker/orders").order(&rig, 2).send(&served);
    within("the launch", rig.launcher.until_launched(2)).await;
    drop(abandoned);
    within("the end", rig.launcher.until_stopped(attempt(2), Stop::Terminate)).await;
    let _running = request("POST", "/worker/orders").order(&rig, 3).send(&served);
    within("the launch", rig.launcher.until_launched(3)).await;
    request("POST", "/worker/orders").order(&rig, 3).ask(&served).await;
    let file = format!("/worker/files/{}", hash_of(b"content"));
    request("PUT", &file).body("content").ask(&served).await;
    request("PUT", &file).body("other").ask(&served).await;
    let (status, head, Value::String(text)) = request("GET", "/metrics").ask(&served).await else { panic!() };
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain"), "{head}");
    for line in [
        "fsched_worker_orders_total 4",
        r#"fsched_worker_ended_total{ending="exited"} 1"#,
        r#"fsched_worker_ended_total{ending="abandoned"} 1"#,
        r#"fsched_worker_refused_total{reason="duplicate"} 1"#,
        "fsched_worker_running 1",
        r#"fsched_worker_ways{domain="0",state="free"} 14"#,
        r#"fsched_worker_ways{domain="0",state="shared"} 2"#,
        r#"fsched_worker_cores{domain="0",state="reserved"} 1"#,
        "fsched_worker_start_seconds_count 1",
        "fsched_worker_overhead_seconds_count 1",
        r#"fsched_worker_files_total{result="kept"} 1"#,
        r#"fsched_worker_files_total{result="failed"} 1"#,
        "fsched_worker_file_bytes_total 7",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[actix_web::test]
async fn a_service_that_stops_lets_what_runs_go_on() {
    let rig = Rig::new();
    let mut served = rig.serve(WorkerOptions::default());
    let waiting = request("POST", "/worker/orders").order(&rig, 1).send(&served);
    within("the launch", rig.launcher.until_launched(1)).await;
    served.tell_to_stop();
    let not_ready = async {
        while request("GET", "/readyz").ask(&served).await.0 != 503 {
            tokio::task::yield_now().await;
        }
    };
    within("it to stop", not_ready).await;
    let (status, _, body) = request("POST", "/worker/orders").order(&rig, 2).ask(&served).await;
    assert_eq!((status, &body["refusal"]), (409, &"stopping".into()));
    rig.launcher.end(attempt(1), ended(ExitKind::Exited(0), Duration::from_millis(1)));
    assert_eq!(answer(waiting).await.0, 200);
    served.stop().await;
}

#[actix_web::test]
async fn a_service_that_lost_its_patience_ends_what_runs() {
    let rig = Rig::new();
    let served = rig.serve(WorkerOptions { patience: Duration::from_millis(10), ..WorkerOptions::default() });
    let waiting = request("POST", "/worker/orders").order(&rig, 1).send(&served);
    within("the launch", rig.launcher.until_launched(1)).await;
    served.stop().await;
    let (status, _, body) = answer(waiting).await;
    assert_eq!((status, &body["ending"]), (200, &"cancelled".into()));
}
