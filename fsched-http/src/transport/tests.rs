//! The contract over real sockets, and peers that are slow, silent, cut off, or something else altogether.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use fsched_core::id::ContentHash;
use fsched_core::invocation::Output;
use fsched_core::launcher::{ExitKind, Stop, ended};
use fsched_core::transport::conformance::{self, Listening};
use fsched_core::transport::{Address, Peer, Refusal, Transport, TransportError};
use fsched_core::worker::WorkerConfig;

use super::{HttpAddress, HttpTransport, HttpTransportOptions, largest_report};
use crate::wire::ReportBody;
use crate::worker::WorkerOptions;
use crate::worker::rig::{LIMIT, Rig, Served, attempt, within};

fn transport() -> Arc<HttpTransport> {
    Arc::new(HttpTransport::new(HttpTransportOptions::default()))
}

fn impatient() -> HttpTransport {
    let options = HttpTransportOptions {
        answer_timeout: Duration::from_millis(200),
        ..HttpTransportOptions::default()
    };
    HttpTransport::new(options)
}

/// An address at which nobody listens.
fn nobody() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (&HttpAddress::at(listener.local_addr().unwrap())).into()
}

#[actix_web::test]
async fn it_keeps_the_contract() {
    let listen = async |node| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let served = Served::start(listener, node, WorkerOptions::default());
        let address = served.address();
        Listening { transport: transport(), address, nobody: nobody(), keep: Box::new(served) }
    };
    conformance::check(listen).await;
}

#[actix_web::test]
async fn the_token_is_shown_and_a_missing_one_is_said() {
    let token: crate::auth::Token = "correct-horse-battery".parse().unwrap();
    let rig = Rig::new();
    let served = rig.serve(WorkerOptions { token: Some(token.clone()), ..WorkerOptions::default() });
    let without = transport().inspect(&served.address()).await;
    assert!(
        matches!(&without, Err(TransportError::Protocol { reason, .. }) if reason.contains("401")),
        "{without:?}"
    );
    let options = HttpTransportOptions { token: Some(token), ..HttpTransportOptions::default() };
    let with = HttpTransport::new(options).inspect(&served.address()).await;
    assert_eq!(with.unwrap().key, rig.node.heartbeat().key);
}

#[actix_web::test]
async fn a_restarted_worker_gets_orders_at_once() {
    let transport = transport();
    let mut listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for _ in 0..3 {
        let rig = Rig::new();
        let served = Served::start(listener, rig.node.clone(), WorkerOptions::default());
        // Several connections, all of which are idle when the worker goes.
        let answers = [1, 2, 3].map(|n| {
            let (transport, peer, order) = (transport.clone(), served.peer(), rig.order(n));
            tokio::spawn(async move { transport.execute(&peer, order).await })
        });
        within("the launches", rig.launcher.until_launched(3)).await;
        for (n, answer) in (1..).zip(answers) {
            rig.launcher.end(attempt(n), ended(ExitKind::Exited(0), Duration::ZERO));
            assert!(within("a report", answer).await.unwrap().unwrap().succeeded());
        }
        let at = served.at;
        served.stop().await;
        let gone = transport.inspect(&(&HttpAddress::at(at)).into()).await;
        assert!(matches!(&gone, Err(TransportError::Unreachable { .. })), "{gone:?}");
        listener = TcpListener::bind(at).unwrap();
    }
}

#[actix_web::test]
async fn an_end_of_the_transport_ends_what_is_under_way() {
    let rig = Rig::new();
    let served = rig.serve(WorkerOptions::default());
    let (transport, peer, order) = (transport(), served.peer(), rig.order(1));
    let waiting = {
        let transport = transport.clone();
        tokio::spawn(async move { transport.execute(&peer, order).await })
    };
    within("the launch", rig.launcher.until_launched(1)).await;
    waiting.abort();
    drop(transport);
    within("the end", rig.launcher.until_stopped(attempt(1), Stop::Terminate)).await;
}

#[actix_web::test]
async fn an_order_whose_runtime_ends_may_have_run() {
    let rig = Rig::new();
    let served = rig.serve(WorkerOptions::default());
    let (transport, peer, order) = (transport(), served.peer(), rig.order(1));
    let launcher = rig.launcher.clone();
    let orphan = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut waiting = Box::pin(async move { transport.execute(&peer, order).await });
        runtime.block_on(async {
            tokio::select! {
                answer = &mut waiting => panic!("{answer:?}"),
                _ = launcher.until_launched(1) => {}
            }
        });
        waiting
    });
    let orphan = within("the launch", orphan).await.unwrap();
    let answer = within("an answer", orphan).await;
    assert!(matches!(&answer, Err(TransportError::Broken { .. })), "{answer:?}");
}

/// Somebody who accepts connections and does what `talk` says with each, in order.
struct Odd {
    peer: Peer,
}

impl Odd {
    fn new(talk: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = (&HttpAddress::at(listener.local_addr().unwrap())).into();
        let talk = Arc::new(talk);
        std::thread::spawn(move || {
            for (n, stream) in listener.incoming().enumerate() {
                let (stream, talk) = (stream.unwrap(), talk.clone());
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                std::thread::spawn(move || talk(n, stream));
            }
        });
        Self { peer: Peer { worker: fsched_core::id::WorkerId(1), address } }
    }

    /// Reads each request and answers `answer`, then closes.
    fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |_, mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(&answer);
        })
    }
}

/// The head and the body of one request; `None` where the connection ended before.
fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        read.push(byte[0]);
    }
    let head = String::from_utf8(read).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(head)
}

/// An answer of a worker.
fn answer(status: &str, instance: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nx-fsched-protocol: 1\r\nx-fsched-instance: {instance}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn report_of(n: u64) -> String {
    let mut report: ReportBody = serde_json::from_str(include_str!("../wire/golden/report.json")).unwrap();
    report.attempt = attempt(n);
    serde_json::to_string(&report).unwrap()
}

const HEARTBEAT: &str = include_str!("../wire/golden/heartbeat.json");

async fn order_to(odd: &Odd, n: u64) -> Result<(), TransportError> {
    let rig = Rig::new();
    within("an answer", impatient().execute(&odd.peer, rig.order(n))).await.map(|_| ())
}

async fn inspect(odd: &Odd) -> Result<(), TransportError> {
    within("an answer", impatient().inspect(&odd.peer.address)).await.map(|_| ())
}

#[actix_web::test]
async fn who_is_no_worker_is_told_from_a_worker() {
    for said in [
        "hello\r\n\r\n".to_owned(),
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}", report_of(1).len(), report_of(1)),
        "HTTP/1.1 200 OK\r\nx-fsched-protocol: 2\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
        "HTTP/1.1 200 OK\r\nx-fsched-protocol: x\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
        "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_owned(),
        answer("404 Not Found", "a", r#"{"code": "not_found", "message": "\u001b[2J"}"#),
        answer("409 Conflict", "a", "no json"),
        answer("204 No Content", "a", ""),
    ] {
        let odd = Odd::answering(said.clone());
        let order = order_to(&odd, 1).await;
        assert!(matches!(&order, Err(TransportError::Protocol { .. })), "{said:?}: {order:?}");
        assert!(!order.unwrap_err().to_string().contains('\u{1b}'));
        let heartbeat = inspect(&odd).await;
        assert!(matches!(&heartbeat, Err(TransportError::Protocol { .. })), "{said:?}: {heartbeat:?}");
    }
}

#[actix_web::test]
async fn an_order_that_may_have_run_is_broken() {
    let whole = answer("200 OK", "a", &report_of(1));
    let too_long = answer("200 OK", "a", &format!("\"{}\"", "x".repeat(17 << 20)));
    let chunked =
        "HTTP/1.1 200 OK\r\nx-fsched-protocol: 1\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"pro\r\n";
    for said in [
        String::new(),
        whole[..20].to_owned(),
        whole[..whole.len() - 1].to_owned(),
        chunked.to_owned(),
        answer("200 OK", "a", "{}"),
        answer("200 OK", "a", &report_of(2)),
        answer("500 Oh", "a", r#"{"code": "internal", "message": "oh"}"#),
        too_long,
    ] {
        let order = order_to(&Odd::answering(said.clone()), 1).await;
        assert!(matches!(&order, Err(TransportError::Broken { .. })), "{said:.80?}: {order:?}");
    }
}

#[actix_web::test]
async fn a_slow_answer_is_waited_for() {
    let odd = Odd::new(|_, mut stream| {
        read_request(&mut stream);
        for piece in answer("200 OK", "a", &report_of(1)).as_bytes().chunks(7) {
            std::thread::sleep(Duration::from_millis(1));
            stream.write_all(piece).unwrap();
        }
    });
    order_to(&odd, 1).await.unwrap();
}

#[actix_web::test]
async fn questions_to_somebody_silent_end_and_orders_wait_until_they_are_dropped() {
    let (gone, told) = mpsc::channel();
    let odd = Odd::new(move |n, mut stream| {
        read_request(&mut stream);
        // Nothing more comes: this returns when the other side closes.
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
        gone.send(n).unwrap();
    });
    let transport = Arc::new(impatient());
    let order = {
        let (transport, peer, rig) = (transport.clone(), odd.peer.clone(), Rig::new());
        tokio::spawn(async move { transport.execute(&peer, rig.order(1)).await.map(|_| ()) })
    };
    let silent = inspect(&odd).await;
    assert!(matches!(&silent, Err(TransportError::Unreachable { .. })), "{silent:?}");
    let silent = transport.cancel(&odd.peer, attempt(1)).await;
    assert!(matches!(&silent, Err(TransportError::Unreachable { .. })), "{silent:?}");
    let silent = transport.discard_file(&odd.peer, ContentHash([1; 32])).await;
    assert!(matches!(&silent, Err(TransportError::Unreachable { .. })), "{silent:?}");
    assert!(!order.is_finished());
    order.abort();
    let closed = tokio::task::spawn_blocking(move || {
        (0..4).map(|_| told.recv_timeout(LIMIT).unwrap()).collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!(closed.await.unwrap().len(), 4);
}

/// Answers a heartbeat as process `a`, breaks off when the order comes, and answers the second try with `second`.
fn breaking_off(second: String) -> (Odd, mpsc::Receiver<String>) {
    let (heads, seen) = mpsc::channel();
    let odd = Odd::new(move |n, mut stream| match n {
        0 => {
            read_request(&mut stream);
            stream.write_all(answer("200 OK", "a", HEARTBEAT).as_bytes()).unwrap();
            heads.send(read_request(&mut stream).unwrap()).unwrap();
        }
        _ => {
            heads.send(read_request(&mut stream).unwrap()).unwrap();
            let _ = stream.write_all(second.as_bytes());
        }
    });
    (odd, seen)
}

#[actix_web::test]
async fn a_connection_that_was_stale_costs_nothing() {
    let (odd, seen) = breaking_off(answer("200 OK", "a", &report_of(1)));
    let (transport, rig) = (transport(), Rig::new());
    transport.inspect(&odd.peer.address).await.unwrap();
    within("a report", transport.execute(&odd.peer, rig.order(1))).await.unwrap();
    let (first, second) = (seen.recv().unwrap(), seen.recv().unwrap());
    assert!(!first.contains("x-fsched-instance"), "{first}");
    assert!(second.contains("x-fsched-instance: a\r\n"), "{second}");
}

#[actix_web::test]
async fn what_may_have_arrived_on_a_stale_connection_is_broken() {
    for (second, refused) in [
        (answer("409 Conflict", "a", r#"{"code": "refused", "refusal": "duplicate"}"#), false),
        (answer("409 Conflict", "b", r#"{"code": "refused", "message": "another process"}"#), false),
        (String::new(), false),
        (answer("409 Conflict", "a", r#"{"code": "refused", "refusal": "stopping"}"#), true),
    ] {
        let (odd, _seen) = breaking_off(second.clone());
        let (transport, rig) = (transport(), Rig::new());
        transport.inspect(&odd.peer.address).await.unwrap();
        let order = within("an answer", transport.execute(&odd.peer, rig.order(1))).await;
        match order {
            Err(TransportError::Refused(Refusal::Stopping)) if refused => {}
            Err(TransportError::Broken { .. }) if !refused => {}
            other => panic!("{second}: {other:?}"),
        }
    }
}

#[actix_web::test]
async fn questions_on_a_stale_connection_are_asked_again() {
    let odd = Odd::new(|_, mut stream| {
        read_request(&mut stream);
        stream.write_all(answer("200 OK", "a", HEARTBEAT).as_bytes()).unwrap();
        read_request(&mut stream);
    });
    let transport = transport();
    for _ in 0..3 {
        transport.inspect(&odd.peer.address).await.unwrap();
    }
}

#[actix_web::test]
async fn addresses_that_lead_nowhere_are_unreachable() {
    for address in
        ["https://127.0.0.1:1", "http://127.0.0.1:1/path", "", "http://user@127.0.0.1", "127.0.0.1:1"]
    {
        let peer = Peer { worker: fsched_core::id::WorkerId(1), address: address.into() };
        let order = transport().execute(&peer, Rig::new().order(1)).await;
        assert!(matches!(&order, Err(TransportError::Unreachable { .. })), "{address}: {order:?}");
    }
}

#[actix_web::test]
async fn ipv6_is_spoken() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
    let rig = Rig::new();
    let served = Served::start(listener, rig.node.clone(), WorkerOptions::default());
    assert_eq!(transport().inspect(&served.address()).await.unwrap().key, rig.node.heartbeat().key);
}

#[actix_web::test]
async fn a_file_for_somebody_odd_fails_with_a_reason() {
    let rig = Rig::new();
    let path = rig.node.files().path(rig.file);
    let put =
        async |odd: Odd| within("an answer", impatient().put_file(&odd.peer, rig.file, path.clone())).await;
    let answer =
        put(Odd::answering(answer("507 Full", "a", r#"{"code": "store_full", "message": "full"}"#))).await;
    assert!(
        matches!(&answer, Err(TransportError::Broken { reason, .. }) if reason.contains("full")),
        "{answer:?}"
    );
    let answer = put(Odd::answering("what?\r\n\r\n")).await;
    assert!(matches!(&answer, Err(TransportError::Protocol { .. })), "{answer:?}");
    let answer = put(Odd::answering("")).await;
    assert!(matches!(&answer, Err(TransportError::Broken { .. })), "{answer:?}");
}

#[actix_web::test]
async fn a_connection_whose_file_nobody_takes_holds_up_no_order() {
    let odd = Odd::new(|n, mut stream| {
        if n > 0 {
            read_request(&mut stream);
            return stream.write_all(answer("200 OK", "a", &report_of(1)).as_bytes()).unwrap();
        }
        // All is well, it says, and reads no further.
        let _ = stream.read(&mut [0; 64]).unwrap();
        stream.write_all(answer("200 OK", "a", "{}").as_bytes()).unwrap();
        std::thread::sleep(LIMIT);
    });
    let rig = Rig::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(64 << 20).unwrap();
    let options = HttpTransportOptions {
        connect_timeout: Duration::from_millis(200),
        ..HttpTransportOptions::default()
    };
    let transport = HttpTransport::new(options);
    let put = transport.put_file(&odd.peer, rig.file, file.path().to_path_buf());
    within("an answer", put).await.unwrap();
    within("a report", transport.execute(&odd.peer, rig.order(1))).await.unwrap();
}

#[test]
fn the_largest_report_that_a_worker_may_send_is_read() {
    let size = 3 << 18;
    let largest = WorkerConfig::LARGEST_OUTPUT.0 as usize;
    assert_eq!(HttpTransportOptions::default().report_limit, largest_report(largest));
    // One quote in three makes text as long as it may become before it goes as base64.
    for unit in [&b"\xff"[..], b"\0", b"\"aa", b"\n"] {
        let bytes = unit.repeat(size / unit.len());
        let output = Output { bytes, dropped: u64::MAX };
        let mut report: ReportBody = serde_json::from_str(&report_of(1)).unwrap();
        (report.stdout, report.stderr) = (output.clone().into(), output.into());
        let length = serde_json::to_vec(&report).unwrap().len();
        assert!(length <= largest_report(size), "{unit:?}: {length}");
    }
}
