//! What is asked of a worker, and what its answers mean. Lives on one thread.

use std::collections::HashMap;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_service::ServiceExt as _;
use actix_tls::connect::{Connection, Connector as TcpConnector, Resolver};
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Bytes;
use awc::body::SizedStream;
use awc::http::Uri;
use awc::{ClientRequest, ClientResponse, Connector};
use fsched_core::cluster::{Heartbeat, PROTOCOL_VERSION};
use fsched_core::id::{AttemptId, ContentHash};
use fsched_core::invocation::{Order, Report};
use fsched_core::transport::{Address, Refusal, TransportError};
use futures_util::Stream;
use parking_lot::Mutex;

use super::answer::{Answer, BadBody, NoAnswer};
use super::{HttpAddress, HttpTransportOptions};
use crate::wire::{HeartbeatBody, INSTANCE_HEADER, OrderBody, PROTOCOL_HEADER, RefusalBody, ReportBody};

/// How long an idle connection is kept: less than the worker keeps it, so that it is we who close it.
const IDLE: Duration = Duration::from_secs(30);
/// Heartbeats and refusals are short.
const SHORT_LIMIT: usize = 4 << 20;

/// Which process answered last at each address.
#[derive(Default)]
pub(super) struct Instances(Mutex<HashMap<Address, Arc<str>>>);

impl Instances {
    /// More addresses than any cluster has: somebody is playing with us.
    const MOST: usize = 1 << 16;

    fn at(&self, address: &Address) -> Option<Arc<str>> {
        self.0.lock().get(address).cloned()
    }

    fn note(&self, address: &Address, instance: &str) {
        let mut known = self.0.lock();
        match known.get_mut(address) {
            Some(last) if **last == *instance => {}
            Some(last) => *last = instance.into(),
            None => {
                if known.len() >= Self::MOST {
                    known.clear();
                }
                known.insert(address.clone(), instance.into());
            }
        }
    }
}

pub(super) struct Client {
    http: awc::Client,
    options: Arc<HttpTransportOptions>,
    instances: Arc<Instances>,
}

impl Client {
    pub(super) fn new(options: Arc<HttpTransportOptions>, instances: Arc<Instances>) -> Self {
        Self { http: http_client(&options), options, instances }
    }

    pub(super) async fn execute(&self, to: Address, order: Order) -> Result<Report, TransportError> {
        let attempt = order.attempt;
        let body = serde_json::to_vec(&OrderBody::from(order)).map_err(|error| protocol(&to, error))?;
        let body = Bytes::from(body);
        // Asked before anything is sent: a process that answered before this order was sent is alive since then, so if
        // the second try reaches it, no other process can have got the first.
        let known = self.instances.at(&to);
        match self.post(&to, attempt, body.clone(), None).await {
            Err(Tried::Disconnected(reason)) => match known {
                Some(instance) => self.post_again(&to, attempt, body, &instance, reason).await,
                None => Err(broken(&to, reason)),
            },
            Err(Tried::Failed(error)) => Err(error),
            Ok(report) => Ok(report),
        }
    }

    /// The second try of an order whose line broke for `reason`, for the process `instance` alone.
    async fn post_again(
        &self,
        to: &Address,
        attempt: AttemptId,
        body: Bytes,
        instance: &str,
        reason: String,
    ) -> Result<Report, TransportError> {
        match self.post(to, attempt, body, Some(instance)).await {
            Ok(report) => Ok(report),
            // The same process, and it does not know the attempt: nothing was started.
            Err(Tried::Failed(TransportError::Refused(refusal))) if refusal != Refusal::Duplicate => {
                Err(refusal.into())
            }
            Err(_) => Err(broken(to, reason)),
        }
    }

    async fn post(
        &self,
        to: &Address,
        attempt: AttemptId,
        body: Bytes,
        instance: Option<&str>,
    ) -> Result<Report, Tried> {
        let mut request =
            self.request(Method::POST, to, "/worker/orders").map_err(|none| none.harmless(to))?;
        if let Some(instance) = instance {
            request = request.insert_header((INSTANCE_HEADER, instance));
        }
        let sent = request.insert_header((CONTENT_TYPE, "application/json")).send_body(body).await;
        let mut answer = match sent.map_err(NoAnswer::from) {
            Ok(response) => self.heard(to, response),
            Err(NoAnswer::Disconnected(reason)) => return Err(Tried::Disconnected(reason)),
            Err(other) => return Err(other.harmless(to).into()),
        };
        if let Err(other) = &answer.ours {
            return Err(protocol(to, other).into());
        }
        match answer.status {
            StatusCode::OK => {
                // It is a worker, and it ran something: whatever is wrong now, it may have been this attempt.
                let body: ReportBody =
                    answer.json(self.options.report_limit).await.map_err(|bad| broken(to, bad.reason()))?;
                let report = Report::try_from(body).map_err(|error| broken(to, error))?;
                if report.attempt != attempt {
                    return Err(
                        broken(to, format!("it reports {} instead of {attempt}", report.attempt)).into()
                    );
                }
                Ok(report)
            }
            StatusCode::CONFLICT => {
                let body: RefusalBody =
                    answer.json(SHORT_LIMIT).await.map_err(|bad| protocol(to, bad.reason()))?;
                Err(TransportError::Refused(body.refusal).into())
            }
            status if status.is_server_error() => Err(broken(to, answer.complaint().await.text).into()),
            _ => Err(protocol(to, answer.complaint().await.text).into()),
        }
    }

    pub(super) async fn cancel(&self, to: Address, attempt: AttemptId) -> Result<(), TransportError> {
        self.short(&to, self.delete(&to, format!("/worker/orders/{attempt}"))).await
    }

    pub(super) async fn discard_file(&self, to: Address, file: ContentHash) -> Result<(), TransportError> {
        self.short(&to, self.delete(&to, format!("/worker/files/{file}"))).await
    }

    async fn delete(&self, to: &Address, path: String) -> Result<(), TransportError> {
        let mut answer =
            self.twice(to, async || Ok(self.request(Method::DELETE, to, &path)?.send().await?)).await?;
        match answer.status {
            status if answer.ours.is_ok() && status.is_success() => {
                let _ = answer.body(SHORT_LIMIT).await;
                Ok(())
            }
            _ => Err(protocol(to, answer.complaint().await.text)),
        }
    }

    pub(super) async fn inspect(&self, to: Address) -> Result<Heartbeat, TransportError> {
        let ask = async {
            let send = async || Ok(self.request(Method::GET, &to, "/worker/heartbeat")?.send().await?);
            let mut answer = self.twice(&to, send).await?;
            if answer.ours.is_err() || answer.status != StatusCode::OK {
                return Err(protocol(&to, answer.complaint().await.text));
            }
            let body: HeartbeatBody = answer.json(SHORT_LIMIT).await.map_err(|bad| match bad {
                BadBody::Cut(reason) => unreachable(&to, reason),
                BadBody::Odd(reason) => protocol(&to, reason),
            })?;
            Heartbeat::try_from(body).map_err(|error| protocol(&to, error))
        };
        self.short(&to, ask).await
    }

    pub(super) async fn put_file(
        &self,
        to: Address,
        file: ContentHash,
        path: PathBuf,
    ) -> Result<(), TransportError> {
        let unreadable = |reason: String| TransportError::Unreadable { path: path.clone(), reason };
        let length = std::fs::metadata(&path).map_err(|error| unreadable(error.to_string()))?.len();
        let put = async {
            let send = async || {
                let source = File::open(&path).map_err(|e| NoAnswer::Unreadable(e.to_string()))?;
                let body = SizedStream::new(length, file_chunks(source, length));
                Ok(self.request(Method::PUT, &to, &format!("/worker/files/{file}"))?.send_body(body).await?)
            };
            let sent = match send().await {
                // The connection may have been stale; a file may arrive twice.
                Err(NoAnswer::Disconnected(_)) => send().await,
                sent => sent,
            };
            let mut answer = match sent {
                Ok(response) => self.heard(&to, response),
                Err(NoAnswer::Unreadable(reason)) => return Err(unreadable(reason)),
                Err(NoAnswer::Disconnected(reason)) => return Err(broken(&to, reason)),
                Err(other) => return Err(other.harmless(&to)),
            };
            if answer.ours.is_ok() && answer.status.is_success() {
                let _ = answer.body(SHORT_LIMIT).await;
                return Ok(());
            }
            let complaint = answer.complaint().await;
            match answer.status {
                _ if answer.ours.is_err() => Err(protocol(&to, complaint.text)),
                _ if complaint.code == "damaged" => {
                    Err(TransportError::Damaged { address: to.clone(), file })
                }
                status if status.is_server_error() => Err(broken(&to, complaint.text)),
                _ => Err(protocol(&to, complaint.text)),
            }
        };
        // A worker that reads slower than 1 MiB/s, or not at all, must not hold the transfer for ever.
        let patience = Duration::from_secs(30 + (length >> 20));
        tokio::time::timeout(patience, put).await.unwrap_or_else(|_| {
            Err(broken(&to, format!("{length} bytes were not taken within {} s", patience.as_secs())))
        })
    }

    fn request(&self, method: Method, to: &Address, path: &str) -> Result<ClientRequest, NoAnswer> {
        let address: HttpAddress =
            to.0.parse().map_err(|e: super::AddressError| NoAnswer::NotConnected(e.to_string()))?;
        let request = self.http.request(method, format!("{address}{path}"));
        Ok(match address.socket_address() {
            Some(socket) => request.address(socket),
            None => request,
        })
    }

    /// Sends what may be sent twice, once more where the line broke: the connection may have been stale.
    async fn twice(
        &self,
        to: &Address,
        send: impl AsyncFn() -> Result<ClientResponse, NoAnswer>,
    ) -> Result<Answer, TransportError> {
        let sent = match send().await {
            Err(NoAnswer::Disconnected(_)) => send().await,
            sent => sent,
        };
        Ok(self.heard(to, sent.map_err(|none| none.harmless(to))?))
    }

    fn heard(&self, to: &Address, response: ClientResponse) -> Answer {
        let answer = Answer::new(response);
        if let (Ok(()), Some(instance)) = (&answer.ours, &answer.instance) {
            self.instances.note(to, instance);
        }
        answer
    }

    async fn short<T>(
        &self,
        to: &Address,
        ask: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        let limit = self.options.answer_timeout;
        let late = |_| Err(unreachable(to, format!("no answer within {limit:?}")));
        tokio::time::timeout(limit, ask).await.unwrap_or_else(late)
    }
}

fn http_client(options: &HttpTransportOptions) -> awc::Client {
    let tcp =
        TcpConnector::new(Resolver::default()).service().map(|connection: Connection<Uri, TcpStream>| {
            tune(connection.io_ref());
            connection
        });
    let connector = Connector::new()
        .connector(tcp)
        .timeout(options.connect_timeout)
        .limit(0)
        .conn_keep_alive(IDLE)
        .conn_lifetime(Duration::from_secs(3600));
    let client = awc::Client::builder()
        .connector(connector)
        .disable_timeout()
        .disable_redirects()
        .no_default_headers()
        .add_default_header((PROTOCOL_HEADER, PROTOCOL_VERSION));
    match &options.token {
        Some(token) => client.add_default_header((AUTHORIZATION, token.header_value())).finish(),
        None => client.finish(),
    }
}

/// Sends at once, and notices within a minute that a machine is gone without a word. Where that cannot be set, all
/// works without.
fn tune(stream: &TcpStream) {
    use rustix::net::sockopt;
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, Duration::from_secs(15));
    let _ = sockopt::set_tcp_keepintvl(stream, Duration::from_secs(5));
    let _ = sockopt::set_tcp_keepcnt(stream, 6);
}

/// Exactly `length` bytes of `file`, or an error: a body that ends early would be waited for.
fn file_chunks(file: File, length: u64) -> impl Stream<Item = io::Result<Bytes>> {
    const CHUNK: u64 = 256 << 10;
    futures_util::stream::try_unfold((file, length), async |(mut file, left)| {
        if left == 0 {
            return Ok(None);
        }
        let read = move || {
            let mut chunk = vec![0; CHUNK.min(left) as usize];
            file.read_exact(&mut chunk)?;
            Ok::<_, io::Error>((file, chunk))
        };
        let (file, chunk) = actix_rt::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        let left = left - chunk.len() as u64;
        Ok(Some((Bytes::from(chunk), (file, left))))
    })
}

/// How a try to carry an order failed.
enum Tried {
    /// The line broke before an answer: it may be worth another try.
    Disconnected(String),
    /// Another try would help nobody.
    Failed(TransportError),
}

impl From<TransportError> for Tried {
    fn from(error: TransportError) -> Self {
        Self::Failed(error)
    }
}

fn broken(address: &Address, reason: impl ToString) -> TransportError {
    TransportError::Broken { address: address.clone(), reason: reason.to_string() }
}

fn unreachable(address: &Address, reason: impl ToString) -> TransportError {
    TransportError::Unreachable { address: address.clone(), reason: reason.to_string() }
}

fn protocol(address: &Address, reason: impl ToString) -> TransportError {
    TransportError::Protocol { address: address.clone(), reason: reason.to_string() }
}
