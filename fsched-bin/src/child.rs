//! Processes of our own executable that do not outlive us: each holds the other end of a pipe to us as its standard
//! input, and ends when that is closed, however we ended.

use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long a child may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// What to start: our own executable with these words.
#[derive(Debug, Clone)]
pub struct ServerCommand {
    /// The words on its command line.
    pub arguments: Vec<String>,
    /// Which variables it must not see; it inherits the others.
    pub hidden: fn(&str) -> bool,
}

/// A process of ours that listens somewhere.
#[derive(Debug)]
pub struct ServerChild {
    url: String,
    lifeline: Option<ChildStdin>,
    pidfd: OwnedFd,
    ended: Option<JoinHandle<std::io::Result<ExitStatus>>>,
}

impl ServerChild {
    /// Starts it, and waits until it says where it listens. `on_end` is called when it has ended.
    ///
    /// # Errors
    /// Where it cannot be started, ends early, or says nothing for too long.
    pub fn start(command: &ServerCommand, on_end: impl FnOnce() + Send + 'static) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find our own executable")?;
        let ServerCommand { arguments, hidden } = command;
        let mut process = Command::new(&program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(hidden)) {
            process.env_remove(name);
        }
        let mut child = process
            .args(arguments)
            .arg("--lifeline")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C in a terminal goes to us alone; we end the children in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let lifeline = child.stdin.take();
        let pidfd = Pid::from_raw(child.id().cast_signed())
            .context("a child without a process id")
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).context("cannot watch a child"));
        let (said, ready) = mpsc::sync_channel(1);
        let ended = std::thread::spawn(move || {
            let status = follow(child, said);
            on_end();
            status
        });
        let mut server = Self { url: String::new(), lifeline, pidfd: pidfd?, ended: Some(ended) };
        match ready.recv_timeout(READY_WITHIN) {
            Ok(url) => server.url = url,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                return Err(anyhow!("fsched {} is not ready after {READY_WITHIN:?}", arguments.join(" ")));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = server.stop(Duration::ZERO);
                return Err(anyhow!("fsched {} ended at once: {status}", arguments.join(" ")));
            }
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks it to end, waits, and ends it when `patience` is over. Says how it ended.
    pub fn stop(&mut self, patience: Duration) -> String {
        self.lifeline = None;
        let Some(ended) = self.ended.take() else { return "ended before".to_owned() };
        if !patience.is_zero() && !gone_within(&self.pidfd, patience) {
            // It may have ended just now: then there is nobody to be killed.
            let _gone = pidfd_send_signal(&self.pidfd, Signal::KILL);
        }
        match ended.join() {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "nobody knows how".to_owned(),
        }
    }
}

impl Drop for ServerChild {
    fn drop(&mut self) {
        self.stop(Duration::from_secs(10));
    }
}

/// Whether the process behind `pidfd` ends within `limit`.
fn gone_within(pidfd: &OwnedFd, limit: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let limit = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(limit.subsec_nanos()),
    };
    let mut watched = [PollFd::new(pidfd, PollFlags::IN)];
    matches!(poll(&mut watched, Some(&limit)), Ok(1..))
}

/// Reads what the child says until it says no more, passes on where it listens, and waits for its end.
fn follow(mut child: Child, said: mpsc::SyncSender<String>) -> std::io::Result<ExitStatus> {
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(url) = listening_at(&line) {
                // Nobody listens any more once the first line was heard.
                let _heard = said.try_send(url.to_owned());
            }
        }
    }
    drop(said);
    child.wait()
}

/// The URL in `fsched-worker listening on http://127.0.0.1:4711`.
fn listening_at(line: &str) -> Option<&str> {
    let (_, url) = line.split_once(" listening on ")?;
    url.starts_with("http://").then(|| url.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_the_url() {
        let line = crate::serve::ready_line("fsched-worker", "http://127.0.0.1:4711");
        assert_eq!(listening_at(&line), Some("http://127.0.0.1:4711"));
        assert_eq!(listening_at("fsched-worker listening on nothing"), None);
        assert_eq!(listening_at("http://127.0.0.1:1"), None);
    }
}
