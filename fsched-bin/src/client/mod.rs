//! The REST API from the client's side.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`Client`]: one request, one JSON answer |
//! | `error.rs` | [`ClientError`]: what goes wrong, and what to do about it |
//! | `upload.rs` | a file as a multipart body, streamed |
//! | `answer.rs` | the answers, as far as they are shown |
//!
//! There is no limit of time on an answer: a function runs as long as it runs. Dropping a request closes its
//! connection, which cancels the invocation at the master.

pub mod answer;
mod error;
mod upload;

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use awc::error::{ConnectError, SendRequestError};
use awc::http::Method;
use awc::http::header::AUTHORIZATION;
use awc::{ClientRequest, ClientResponse};
use fsched_http::auth::Token;
use fsched_http::transport::{AddressError, HttpAddress};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::settings::MASTER_PORT;

pub use error::ClientError;

/// The longest answer we read: outputs of a function are capped far below it.
const LONGEST_ANSWER: usize = 256 << 20;

/// Speaks to one master. Lives on an actix runtime.
#[derive(Clone)]
pub struct Client {
    http: awc::Client,
    url: String,
}

impl Client {
    /// A client of the master at `url`.
    ///
    /// # Errors
    /// Where `url` is not the base URL of a server.
    pub fn new(url: &str, token: Option<&Token>) -> Result<Self, AddressError> {
        let url = HttpAddress::parse(url.trim(), MASTER_PORT)?.to_string();
        let connector = awc::Connector::new().timeout(Duration::from_secs(5));
        let mut builder = awc::Client::builder().connector(connector).disable_timeout().disable_redirects();
        if let Some(token) = token {
            builder = builder.add_default_header((AUTHORIZATION, token.header_value()));
        }
        Ok(Self { http: builder.finish(), url })
    }

    /// The master's base URL, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads something.
    ///
    /// # Errors
    /// Where there is no answer, or one that says no.
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.send(self.request(Method::GET, path), None).await
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// Where there is no answer, or one that says no.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.send(self.request(Method::POST, path), Some(body)).await
    }

    /// Removes or ends something.
    ///
    /// # Errors
    /// Where there is no answer, or one that says no.
    pub async fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.send(self.request(Method::DELETE, path), None).await
    }

    /// Uploads a function's file with its form fields.
    ///
    /// # Errors
    /// Where the file cannot be read, there is no answer, or one that says no.
    pub async fn push(
        &self,
        file: &Path,
        file_name: &str,
        fields: &[(&str, String)],
    ) -> Result<Value, ClientError> {
        let form = upload::Form::open(file, file_name, fields)?;
        let request = self.request(Method::POST, "/controller/task/new").content_type(form.content_type());
        let response = request.send_body(form.into_body()).await.map_err(|error| self.no_answer(error))?;
        self.read(response).await
    }

    /// Downloads a file into `to`, which must not be there yet.
    ///
    /// # Errors
    /// Where there is no answer, one that says no, or the file cannot be written.
    pub async fn download(&self, path: &str, to: &Path) -> Result<(), ClientError> {
        let sent = self.request(Method::GET, path).send().await;
        let mut response = sent.map_err(|error| self.no_answer(error))?;
        if !response.status().is_success() {
            return self.read(response).await.map(|_| ());
        }
        let unwritable =
            |error: std::io::Error| ClientError::File { path: to.to_owned(), reason: error.to_string() };
        let mut file = std::fs::File::create_new(to).map_err(unwritable)?;
        while let Some(chunk) = response.next().await {
            let broken = |error: awc::error::PayloadError| ClientError::Broken {
                url: self.url.clone(),
                reason: error.to_string(),
            };
            file.write_all(&chunk.map_err(broken)?).map_err(unwritable)?;
        }
        Ok(())
    }

    fn request(&self, method: Method, path: &str) -> ClientRequest {
        self.http.request(method, format!("{}{path}", self.url))
    }

    async fn send(&self, request: ClientRequest, body: Option<&Value>) -> Result<Value, ClientError> {
        let sent = match body {
            Some(body) => request.send_json(body),
            None => request.send(),
        };
        let response = sent.await.map_err(|error| self.no_answer(error))?;
        self.read(response).await
    }

    async fn read<S>(&self, mut response: ClientResponse<S>) -> Result<Value, ClientError>
    where
        S: futures_util::Stream<Item = Result<actix_web::web::Bytes, awc::error::PayloadError>> + Unpin,
    {
        let status = response.status();
        let broken = |reason: String| ClientError::Broken { url: self.url.clone(), reason };
        let bytes = response.body().limit(LONGEST_ANSWER).await.map_err(|error| broken(error.to_string()))?;
        let body: Value = serde_json::from_slice(&bytes).map_err(|error| {
            // awc hands out a body that broke off as if it were whole.
            if error.is_eof() && !bytes.is_empty() {
                return broken("the answer is not whole".to_owned());
            }
            let reason = format!("status {status}, and no JSON: {error}");
            ClientError::Stranger { url: self.url.clone(), reason }
        })?;
        if status.is_success() {
            return Ok(body);
        }
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        Err(ClientError::Refused {
            status: status.as_u16(),
            code: text("code").unwrap_or_else(|| format!("http {}", status.as_u16())),
            message: text("message").unwrap_or_else(|| format!("the master answered {status}")),
            body,
        })
    }

    fn no_answer(&self, error: SendRequestError) -> ClientError {
        let url = self.url.clone();
        match error {
            SendRequestError::Connect(ConnectError::Io(error)) => {
                ClientError::Unreachable { url, reason: error.to_string() }
            }
            // What awc says when the other side goes away before it has answered: the request was sent.
            SendRequestError::Connect(ConnectError::Disconnected) => {
                ClientError::Broken { url, reason: "it was closed before the answer".to_owned() }
            }
            SendRequestError::Connect(error) => ClientError::Unreachable { url, reason: error.to_string() },
            SendRequestError::Url(error) => ClientError::Unreachable { url, reason: error.to_string() },
            SendRequestError::Response(error) => ClientError::Stranger { url, reason: error.to_string() },
            error => ClientError::Broken { url, reason: error.to_string() },
        }
    }

    /// Reads an answer as a type of ours.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn parse<T: DeserializeOwned>(&self, body: Value) -> Result<T, ClientError> {
        serde_json::from_value(body)
            .map_err(|error| ClientError::Stranger { url: self.url.clone(), reason: error.to_string() })
    }
}

/// One segment of a path, with everything escaped that could be taken for something else.
pub fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => escaped.push(char::from(byte)),
            b'.' if text.bytes().any(|other| other != b'.') => escaped.push('.'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_taken_as_people_write_them() {
        let url = |text: &str| Client::new(text, None).map(|client| client.url().to_owned());
        for text in ["http://127.0.0.1:3200", "127.0.0.1", "http://127.0.0.1:3200/", " 127.0.0.1:3200 "] {
            assert_eq!(url(text).unwrap(), "http://127.0.0.1:3200", "{text:?}");
        }
        for text in ["", "https://x:1", "http://x/y", "http://x?y", "http://", "a b"] {
            assert!(url(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_stay_one_segment_of_a_path() {
        assert_eq!(segment("resize.py"), "resize.py");
        assert_eq!(segment("../etc"), "..%2Fetc");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("a b?c#é"), "a%20b%3Fc%23%C3%A9");
    }
    /// Answers one request with these bytes, and closes.
    fn server_that_says(answer: &'static [u8]) -> String {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4096];
            assert!(stream.read(&mut head).unwrap() > 0);
            stream.write_all(answer).unwrap();
        });
        url
    }

    async fn error_of(answer: &'static [u8]) -> ClientError {
        let client = Client::new(&server_that_says(answer), None).unwrap();
        client.get("/status").await.unwrap_err()
    }

    #[actix_web::test]
    async fn a_connection_that_breaks_is_not_a_master_that_was_not_reached() {
        let error = error_of(b"").await;
        assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
        let error = error_of(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{").await;
        assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
    }

    #[actix_web::test]
    async fn nobody_there_is_a_master_that_was_not_reached() {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = Client::new(&address.to_string(), None).unwrap();
        let error = client.get("/status").await.unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    }

    #[actix_web::test]
    async fn strangers_are_told_from_masters() {
        let error = error_of(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
        assert!(matches!(error, ClientError::Stranger { .. }), "{error:?}");
    }

    #[actix_web::test]
    async fn what_a_master_refuses_is_said_in_its_words() {
        let error = error_of(
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 52\r\n\r\n{\"code\": \"unknown_function\", \"message\": \"no such f\"}",
        )
        .await;
        assert_eq!(error.to_string(), "no such f (unknown_function)");
        assert!(error.hint().is_some());
    }
}
