//! One request at a time over a plain socket, well formed or not.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;

use serde_json::Value;

use super::{Function, LIMIT};

/// Where one of our servers listens, and what is shown there.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    /// Where it listens.
    pub(crate) at: SocketAddr,
    /// The token that is shown, if any.
    pub(crate) token: Option<String>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

impl Api {
    /// Whoever listens at `url`.
    pub(crate) fn new(url: &str) -> Self {
        let at = url.strip_prefix("http://").expect("a plain URL").parse().expect("an address and a port");
        Self { at, token: None }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// The same with this token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], b"")
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, &body.to_string())
    }

    #[track_caller]
    pub(crate) fn post_text(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("Content-Type", "application/json")], body.as_bytes())
    }

    /// Posts on a thread of its own; the answer comes with its end.
    pub(crate) fn post_later(&self, path: &str, body: Value) -> JoinHandle<Answer> {
        let (api, path) = (self.clone(), path.to_owned());
        std::thread::spawn(move || api.post(&path, &body))
    }

    /// Pushes a function.
    #[track_caller]
    pub(crate) fn push(&self, function: &Function) -> Answer {
        let (kind, form) = function.form();
        self.send("POST", "/controller/task/new", &[("Content-Type", &kind)], &form)
    }

    /// Any request.
    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        match self.try_send(method, path, headers, body) {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {path} at {} brought no answer: {error}", self.at),
        }
    }

    /// Any request, where it may well bring no answer.
    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("Host: {}\r\n", self.at);
        }
        if method != "GET" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        if let Some(token) = &self.token {
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        self.exchange(&[head.as_bytes(), body])
    }

    /// Sends these bytes as they are, and reads what comes back.
    pub(crate) fn exchange(&self, pieces: &[&[u8]]) -> io::Result<Answer> {
        let mut stream = self.open()?;
        // Whoever refuses a body need not read it; its answer counts, not ours having been read.
        let sent = pieces.iter().try_for_each(|piece| stream.write_all(piece));
        let mut text = Vec::new();
        let read = stream.read_to_end(&mut text);
        match Answer::parse(&text) {
            Some(answer) => Ok(answer),
            None => Err(sent.err().or(read.err()).unwrap_or_else(|| {
                io::Error::other(format!("no whole answer: {:?}", String::from_utf8_lossy(&text)))
            })),
        }
    }

    /// A connection, for those who want to go away before the answer.
    pub(crate) fn open(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.at, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(stream)
    }

    /// Sends a JSON request and leaves the connection open without reading the answer.
    pub(crate) fn begin(&self, path: &str, body: &Value) -> TcpStream {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.at,
            body.len()
        );
        let mut stream = self.open().expect("the server takes connections");
        stream.write_all((head + &body).as_bytes()).expect("the server reads requests");
        stream
    }
}

impl Answer {
    /// The last whole answer in `text`; before it there may be a `100 Continue`.
    fn parse(text: &[u8]) -> Option<Self> {
        let end = text.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (head, rest) = (std::str::from_utf8(&text[..end]).ok()?, &text[end + 4..]);
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        if status == 100 {
            return Self::parse(rest);
        }
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Self { status, headers, body: Vec::new() };
        answer.body = match (answer.header("content-length"), answer.header("transfer-encoding")) {
            (_, Some(_)) => unchunked(rest)?,
            (Some(length), None) => rest.get(..length.parse().ok()?)?.to_vec(),
            (None, None) => rest.to_vec(),
        };
        Some(answer)
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {} {:?}", self.status, self.text()),
        }
    }

    /// The body of a 200.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// The `result` of a run that went well.
    #[track_caller]
    pub(crate) fn result(&self) -> Value {
        let body = self.ok();
        assert_eq!(body["result"]["exit_status"], 0, "{body}");
        body["result"].clone()
    }

    /// What a run printed that went well, without the line end.
    #[track_caller]
    pub(crate) fn printed(&self) -> String {
        self.result()["stdout"].as_str().expect("standard output is text").trim_end().to_owned()
    }

    /// The message of an error that has to have this status and code.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> String {
        let (was, message) = self.error();
        assert_eq!((self.status, was.as_str()), (status, code), "{}", self.text());
        message
    }

    /// Code and message of an error, whichever it is.
    #[track_caller]
    pub(crate) fn error(&self) -> (String, String) {
        assert!(self.status >= 400, "this is no error: {} {}", self.status, self.text());
        let kind = self.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/json"), "an error as {kind:?}: {}", self.text());
        let body = self.json();
        let part = |key: &str| body[key].as_str().unwrap_or_else(|| panic!("no {key} in {body}")).to_owned();
        let (code, message) = (part("code"), part("message"));
        assert!(!code.is_empty() && !message.is_empty(), "{body}");
        (code, message)
    }
}

/// A body that came in chunks; `None` where the last is missing.
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let length = std::str::from_utf8(&rest[..end]).ok()?;
        let length = usize::from_str_radix(length.split(';').next()?.trim(), 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + length)?);
        rest = rest.get(end + 4 + length..)?;
    }
}
