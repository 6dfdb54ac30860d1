//! Reading an answer that may be anything: of a worker, of something else, whole or not.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use fsched_core::cluster::PROTOCOL_VERSION;
use fsched_core::transport::{Address, TransportError};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::CONTENT_LENGTH;
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::remote::{Connection, Remote};
use crate::wire::{INSTANCE_HEADER, PROTOCOL_HEADER};

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// No connection came about: nothing was sent.
    NotConnected(String),
    /// The line broke before the head of an answer was there.
    Disconnected(String),
    /// What answers does not speak HTTP, or not ours.
    Odd(String),
    /// Our own body could not be read.
    Unreadable(String),
}

impl From<hyper::Error> for NoAnswer {
    fn from(error: hyper::Error) -> Self {
        let reason = with_cause(&error);
        let of_body = || error.source().is_some_and(|cause| cause.is::<io::Error>());
        if error.is_parse() {
            Self::Odd(format!("its answer is not HTTP: {reason}"))
        } else if error.is_user() && of_body() {
            Self::Unreadable(reason)
        } else {
            // Also where the runtime of the connection ended, which hyper takes for a mistake of its user.
            Self::Disconnected(reason)
        }
    }
}

/// An error, and what is behind it, which hyper's text leaves out.
fn with_cause(error: &hyper::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl NoAnswer {
    /// What it means where nothing can have been started by it.
    pub(super) fn harmless(self, address: &Address) -> TransportError {
        let address = address.clone();
        match self {
            Self::NotConnected(reason) | Self::Disconnected(reason) => {
                TransportError::Unreachable { address, reason }
            }
            Self::Odd(reason) | Self::Unreadable(reason) => TransportError::Protocol { address, reason },
        }
    }
}

/// An answer of which the head is there.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Whether it is a worker of our version that answers.
    pub(super) ours: Result<(), String>,
    response: Response<Incoming>,
    remote: Arc<Remote>,
    /// What it comes by; none once it was read to its end.
    connection: Option<Connection>,
}

/// Why the body of an answer is of no use.
#[derive(Debug)]
pub(super) enum BadBody {
    /// It did not come whole.
    Cut(String),
    /// It is not what it should be.
    Odd(String),
}

impl BadBody {
    pub(super) fn reason(self) -> String {
        match self {
            Self::Cut(reason) | Self::Odd(reason) => reason,
        }
    }
}

impl Answer {
    pub(super) fn new(response: Response<Incoming>, remote: Arc<Remote>, connection: Connection) -> Self {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let ours = match header(PROTOCOL_HEADER).map(str::parse::<u32>) {
            Some(Ok(PROTOCOL_VERSION)) => Ok(()),
            Some(Ok(other)) => {
                Err(format!("it speaks protocol version {other}, we speak {PROTOCOL_VERSION}"))
            }
            Some(Err(_)) => Err("its protocol version is no number".to_owned()),
            None => Err(format!("it answers {} and names no protocol version", response.status())),
        };
        let instance = header(INSTANCE_HEADER).filter(|text| text.len() <= 64).map(str::to_owned);
        if let (Ok(()), Some(instance)) = (&ours, &instance) {
            remote.note_instance(instance);
        }
        Self { status: response.status(), ours, response, remote, connection: Some(connection) }
    }

    /// The body, as long as it is whole and no longer than `limit`. Read to its end, its connection is used again.
    pub(super) async fn body(&mut self, limit: usize) -> Result<Vec<u8>, BadBody> {
        let announced = self.response.headers().get(CONTENT_LENGTH);
        let announced = announced.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let too_long = || BadBody::Odd(format!("its answer is longer than {limit} bytes"));
        if announced.is_some_and(|length| length > limit) {
            return Err(too_long());
        }
        let mut body = Vec::with_capacity(announced.unwrap_or(0).min(64 << 10));
        while let Some(frame) = self.response.frame().await {
            let frame = frame.map_err(|error| BadBody::Cut(with_cause(&error)))?;
            let Ok(chunk) = frame.into_data() else { continue };
            if body.len() + chunk.len() > limit {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        if let Some(connection) = self.connection.take() {
            self.remote.give_back(connection);
        }
        Ok(body)
    }

    /// The body, read as JSON.
    pub(super) async fn json<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, BadBody> {
        let body = self.body(limit).await?;
        serde_json::from_slice(&body).map_err(|error| match error.is_eof() {
            true => BadBody::Cut(error.to_string()),
            false => BadBody::Odd(error.to_string()),
        })
    }

    /// What an answer that we cannot use says, on one line.
    pub(super) async fn complaint(&mut self) -> Complaint {
        let error: Result<ErrorBody, _> = self.json(64 << 10).await;
        let ErrorBody { code, message } = error.unwrap_or_default();
        let text = match (&self.ours, code.as_str()) {
            (Err(other), "") => other.clone(),
            _ => format!("{} {}: {}", self.status.as_u16(), one_line(&code), one_line(&message)),
        };
        Complaint { code, text }
    }
}

/// What an error answer says.
pub(super) struct Complaint {
    pub(super) code: String,
    pub(super) text: String,
}

#[derive(Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// `text` without control characters, cut to 200 characters: it comes from outside and goes to logs and clients.
fn one_line(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
