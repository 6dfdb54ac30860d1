//! What is asked of a worker, and what its answers mean.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use fsched_core::cluster::{Heartbeat, PROTOCOL_VERSION};
use fsched_core::id::{AttemptId, ContentHash};
use fsched_core::invocation::{Order, Report};
use fsched_core::transport::{Address, Refusal, TransportError};
use futures_util::Stream;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::request::Builder;
use hyper::{Method, Request, StatusCode};

use super::HttpTransportOptions;
use super::answer::{Answer, BadBody, NoAnswer};
use super::remote::{Body, Remotes};
use crate::auth::Token;
use crate::wire::{HeartbeatBody, INSTANCE_HEADER, OrderBody, PROTOCOL_HEADER, RefusalBody, ReportBody};

/// Heartbeats and refusals are short.
const SHORT_LIMIT: usize = 4 << 20;

pub(super) struct Client {
    options: HttpTransportOptions,
    authorization: Option<HeaderValue>,
    remotes: Remotes,
}

impl Client {
    pub(super) fn new(options: HttpTransportOptions) -> Self {
        let header = |token: &Token| HeaderValue::from_str(&token.header_value());
        let authorization = options.token.as_ref().map(header);
        let authorization = authorization.transpose().expect("tokens are visible ASCII");
        Self { options, authorization, remotes: Remotes::default() }
    }

    pub(super) async fn execute(&self, to: &Address, order: Order) -> Result<Report, TransportError> {
        let attempt = order.attempt;
        let body = serde_json::to_vec(&OrderBody::from(order)).map_err(|error| protocol(to, error))?;
        let body = Bytes::from(body);
        let remote = self.remotes.at(to).map_err(|none| none.harmless(to))?;
        // Asked before anything is sent: a process that answered before this order was sent is alive since then, so if
        // the second try reaches it, no other process can have got the first.
        let known = remote.instance();
        match self.post(to, attempt, body.clone(), None).await {
            Err(Tried::Disconnected(reason)) => match known {
                Some(instance) => self.post_again(to, attempt, body, &instance, reason).await,
                None => Err(broken(to, reason)),
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
        let mut request = Request::post("/worker/orders").header(CONTENT_TYPE, "application/json");
        if let Some(instance) = instance {
            request = request.header(INSTANCE_HEADER, instance);
        }
        let mut answer = match self.send(to, request, Either::Left(Full::new(body))).await {
            Ok(answer) => answer,
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

    pub(super) async fn cancel(&self, to: &Address, attempt: AttemptId) -> Result<(), TransportError> {
        self.short(to, self.delete(to, format!("/worker/orders/{attempt}"))).await
    }

    pub(super) async fn discard_file(&self, to: &Address, file: ContentHash) -> Result<(), TransportError> {
        self.short(to, self.delete(to, format!("/worker/files/{file}"))).await
    }

    async fn delete(&self, to: &Address, path: String) -> Result<(), TransportError> {
        let mut answer = self.twice(to, Method::DELETE, &path).await?;
        match answer.status {
            status if answer.ours.is_ok() && status.is_success() => {
                let _ = answer.body(SHORT_LIMIT).await;
                Ok(())
            }
            _ => Err(protocol(to, answer.complaint().await.text)),
        }
    }

    pub(super) async fn inspect(&self, to: &Address) -> Result<Heartbeat, TransportError> {
        let ask = async {
            let mut answer = self.twice(to, Method::GET, "/worker/heartbeat").await?;
            if answer.ours.is_err() || answer.status != StatusCode::OK {
                return Err(protocol(to, answer.complaint().await.text));
            }
            let body: HeartbeatBody = answer.json(SHORT_LIMIT).await.map_err(|bad| match bad {
                BadBody::Cut(reason) => unreachable(to, reason),
                BadBody::Odd(reason) => protocol(to, reason),
            })?;
            Heartbeat::try_from(body).map_err(|error| protocol(to, error))
        };
        self.short(to, ask).await
    }

    pub(super) async fn put_file(
        &self,
        to: &Address,
        file: ContentHash,
        path: PathBuf,
    ) -> Result<(), TransportError> {
        let unreadable = |reason: String| TransportError::Unreadable { path: path.clone(), reason };
        let length = std::fs::metadata(&path).map_err(|error| unreadable(error.to_string()))?.len();
        let put = async {
            let send = async || {
                let source = File::open(&path).map_err(|e| NoAnswer::Unreadable(e.to_string()))?;
                let body = StreamBody::new(file_chunks(source, length)).boxed_unsync();
                let request = Request::put(format!("/worker/files/{file}")).header(CONTENT_LENGTH, length);
                self.send(to, request, Either::Right(body)).await
            };
            let sent = match send().await {
                // The connection may have been stale; a file may arrive twice.
                Err(NoAnswer::Disconnected(_)) => send().await,
                sent => sent,
            };
            let mut answer = match sent {
                Ok(answer) => answer,
                Err(NoAnswer::Unreadable(reason)) => return Err(unreadable(reason)),
                Err(NoAnswer::Disconnected(reason)) => return Err(broken(to, reason)),
                Err(other) => return Err(other.harmless(to)),
            };
            if answer.ours.is_ok() && answer.status.is_success() {
                let _ = answer.body(SHORT_LIMIT).await;
                return Ok(());
            }
            let complaint = answer.complaint().await;
            match answer.status {
                _ if answer.ours.is_err() => Err(protocol(to, complaint.text)),
                _ if complaint.code == "damaged" => {
                    Err(TransportError::Damaged { address: to.clone(), file })
                }
                status if status.is_server_error() => Err(broken(to, complaint.text)),
                _ => Err(protocol(to, complaint.text)),
            }
        };
        // A worker that reads slower than 1 MiB/s, or not at all, must not hold the transfer for ever.
        let patience = Duration::from_secs(30 + (length >> 20));
        tokio::time::timeout(patience, put).await.unwrap_or_else(|_| {
            Err(broken(to, format!("{length} bytes were not taken within {} s", patience.as_secs())))
        })
    }

    /// Sends a request, complete but for the headers that all have, and waits for the head of its answer. Dropping this
    /// closes the connection.
    async fn send(&self, to: &Address, request: Builder, body: Body) -> Result<Answer, NoAnswer> {
        let remote = self.remotes.at(to)?;
        let mut request = request.header(HOST, remote.host()).header(PROTOCOL_HEADER, PROTOCOL_VERSION);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(body).map_err(|error| NoAnswer::NotConnected(error.to_string()))?;
        let mut connection = remote.connection(self.options.connect_timeout).await?;
        let response = connection.send(request).await?;
        Ok(Answer::new(response, remote, connection))
    }

    /// Asks what may be asked twice, once more where the line broke: the connection may have been stale.
    async fn twice(&self, to: &Address, method: Method, path: &str) -> Result<Answer, TransportError> {
        let send = || {
            let request = Request::builder().method(&method).uri(path);
            self.send(to, request, Either::Left(Full::default()))
        };
        let sent = match send().await {
            Err(NoAnswer::Disconnected(_)) => send().await,
            sent => sent,
        };
        sent.map_err(|none| none.harmless(to))
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

/// Exactly `length` bytes of `file`, or an error: a body that ends early would be waited for.
fn file_chunks(file: File, length: u64) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
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
        let (file, chunk) = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        let left = left - chunk.len() as u64;
        Ok(Some((Frame::data(Bytes::from(chunk)), (file, left))))
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
