//! What can go wrong between the command line and the master, and what to do about it.

use crate::exit;

/// Why there is no answer, or one that says no.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens there.
    #[error("cannot reach a master at {url}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// The connection ended before the answer was whole.
    #[error("the connection to {url} broke: {reason}")]
    Broken {
        /// Where to.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// Whoever answers there is no master of ours.
    #[error("{url} does not answer like an fsched master: {reason}")]
    Stranger {
        /// Where.
        url: String,
        /// What was odd.
        reason: String,
    },
    /// The master says no.
    #[error("{message} ({code})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The reason, for programs.
        code: String,
        /// The reason, for people.
        message: String,
        /// The whole answer.
        body: serde_json::Value,
    },
    /// The file to be sent cannot be read, or changed meanwhile; or the one that comes cannot be written.
    #[error("cannot use {path}: {reason}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl ClientError {
    /// What the reader could do about it.
    pub fn hint(&self) -> Option<&'static str> {
        let code = match self {
            Self::Unreachable { .. } => {
                return Some("start one with `fsched up`, or name another with --url");
            }
            Self::Broken { .. } => return Some("`fsched invocations list` shows what became of it"),
            Self::Stranger { .. } => return Some("check --url: it is the master's base URL, without a path"),
            Self::File { .. } => return None,
            Self::Refused { code, .. } => code.as_str(),
        };
        Some(match code {
            "unknown_function" => "`fsched function list` shows what there is",
            "unknown_invocation" => "`fsched invocations list` shows those that are remembered",
            "unknown_worker" => "`fsched workers list` shows what there is",
            "unauthorized" => {
                "show the master's token: --token-file FILE, or FSCHED_TOKEN in the environment"
            }
            "forbidden" => "show the platform's own token, or the token of the tenant whose this is",
            "no_workers" => {
                "start one with `fsched worker --master URL`, or add one with `fsched workers add`"
            }
            "worker_unresponsive" => "check that `fsched worker` runs there and that its port can be reached",
            "never_fits" => "ask for fewer cores or less memory, or add a larger worker",
            "queue_full" => "try again in a moment, or add workers",
            "too_large" => "raise upload_limit of the master",
            "not_started" => "a program that does not exist on the worker cannot be started; check --command",
            "benchmark_failed" => "the function itself failed: --json shows the whole of its run",
            "store_full" => "make room on the master's disk",
            "stopping" => "the master is shutting down",
            "already_ended" => "there is nothing left to cancel",
            _ => return None,
        })
    }

    /// How the program ends after it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } => exit::UNREACHABLE,
            Self::File { .. } => exit::USAGE,
            Self::Broken { .. } | Self::Stranger { .. } | Self::Refused { .. } => exit::FAILED,
        }
    }

    /// The code a program would look at.
    pub fn code(&self) -> &str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Broken { .. } => "broken",
            Self::Stranger { .. } => "stranger",
            Self::File { .. } => "file",
            Self::Refused { code, .. } => code,
        }
    }
}
