//! One command at work: a client, where its output goes, and what Ctrl-C does.

use std::future::Future;
use std::io::Write as _;

use serde_json::{Value, json};

use super::Global;
use crate::client::{Client, ClientError};
use crate::progress::Waiting;
use crate::settings::find_token;
use crate::{exit, signals};

/// One command at work.
pub(super) struct Session {
    /// Speaks to the master.
    pub(super) client: Client,
    /// Whether a program reads the output.
    pub(super) json: bool,
}

/// Why a command ends early.
pub(super) enum Stop {
    /// The master, or the way to it.
    Client(ClientError),
    /// Said already: end with this code.
    Code(u8),
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// How a command ends.
pub(super) type Done = Result<u8, Stop>;

impl Session {
    /// Does `work` with a client, until it is done or interrupted; answers with the exit code.
    pub(super) fn work(global: &Global, work: impl AsyncFnOnce(&Self) -> Done) -> u8 {
        let json = global.json;
        actix_rt::System::new().block_on(async {
            let client = find_token(global.token_file.as_deref())
                .and_then(|token| Ok(Client::new(&global.url, token.as_ref())?));
            let session = match client {
                Ok(client) => Self { client, json },
                Err(error) => {
                    eprintln!("error: {error:#}");
                    return exit::USAGE;
                }
            };
            let asked_to_end = match signals::asked_to_end() {
                Ok(asked) => asked,
                Err(error) => {
                    eprintln!("error: cannot listen for signals: {error}");
                    return exit::FAILED;
                }
            };
            // Dropping the work closes its connection, and the master ends what it waited for.
            let done = tokio::select! {
                done = work(&session) => done,
                () = asked_to_end => {
                    eprintln!("interrupted");
                    return exit::INTERRUPTED;
                }
            };
            match done {
                Ok(code) | Err(Stop::Code(code)) => code,
                Err(Stop::Client(error)) => session.fail(&error, error.exit_code()),
            }
        })
    }

    /// Waits for an answer, showing after two seconds that it waits.
    pub(super) async fn wait<T>(&self, what: impl Into<String>, answer: impl Future<Output = T>) -> T {
        let _shown = Waiting::begin(what);
        answer.await
    }

    /// Shows an answer: whole for programs, as `text` makes it for people.
    pub(super) fn show(&self, answer: &Value, text: impl FnOnce() -> Result<String, ClientError>) -> Done {
        let text = if self.json { format!("{answer:#}") } else { text()? };
        self.print(text.as_bytes());
        if !text.ends_with('\n') {
            self.print(b"\n");
        }
        Ok(exit::DONE)
    }

    /// Shows the `message` of an answer.
    pub(super) fn show_message(&self, answer: &Value) -> Done {
        let message = answer.get("message").and_then(Value::as_str).unwrap_or("done");
        self.show(answer, || Ok(message.to_owned()))
    }

    /// Writes to standard output; a reader that went away is no failure of ours.
    pub(super) fn print(&self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        if let Err(error) = out.write_all(bytes).and_then(|()| out.flush())
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            eprintln!("error: cannot write: {error}");
        }
    }

    /// Says what went wrong and what to do about it.
    pub(super) fn fail(&self, error: &ClientError, code: u8) -> u8 {
        if self.json {
            let body = match error {
                ClientError::Refused { body, .. } => body.clone(),
                other => json!({"code": other.code(), "message": other.to_string()}),
            };
            self.print(format!("{body:#}\n").as_bytes());
        }
        eprintln!("error: {error}");
        if let Some(hint) = error.hint() {
            eprintln!("hint: {hint}");
        }
        code
    }
}
