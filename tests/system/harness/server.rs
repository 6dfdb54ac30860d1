//! One of our programs as a process, its log shown when a test fails.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};

use super::{Api, LIMIT, wait_until};

/// The program `fsched-master`.
pub(crate) const MASTER: &str = env!("CARGO_BIN_EXE_fsched-master");
/// The program `fsched-worker`.
pub(crate) const WORKER: &str = env!("CARGO_BIN_EXE_fsched-worker");

/// A running server. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Held open: the server ends when we are gone, however we went.
    _lifeline: Option<ChildStdin>,
    log: PathBuf,
    /// Where it listens.
    pub(crate) api: Api,
}

impl Server {
    /// Starts a program and waits until it says where it listens. Its log goes to `<home>/<name>.log`.
    #[track_caller]
    pub(crate) fn start(
        program: &str,
        home: &Path,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let lifeline = if program == MASTER || program == WORKER { &["--lifeline"][..] } else { &[] };
        let log = home.join(format!("{name}.log"));
        let mut child = command(program, home, environment)
            .args(arguments)
            .args(lifeline)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&log).expect("logs can be written"))
            .spawn()
            .expect("our programs can be started");
        let mut stdout = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = stdout.read_line(&mut line);
            // Where nobody listens any more, the test is over.
            let _ = say.send(read.map(|_| line));
            let _ = stdout.read_to_string(&mut String::new());
        });
        let lifeline = child.stdin.take();
        let line = match said.recv_timeout(LIMIT) {
            Ok(Ok(line)) => line,
            other => panic!("{name} says nothing: {other:?}"),
        };
        let Some((_, url)) = line.trim_end().split_once("http://") else {
            let _ = child.wait();
            panic!("{name} does not say where it listens but {line:?}\n{}", read(&log));
        };
        Self { child, _lifeline: lifeline, log, api: Api::new(&format!("http://{url}")) }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// Whether it is still there.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
        kill_process(pid, signal).expect("it is there");
    }

    /// SIGTERM, and how it ended.
    #[track_caller]
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        wait_until("a server ends", || self.child.try_wait().expect("it is our child"))
    }

    fn end(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("---- {} ----\n{}", self.log.display(), self.log());
        }
    }
}

/// One of our programs with an environment of its own.
pub(crate) fn command(program: &str, home: &Path, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("TMPDIR", home)
        .envs(environment.iter().copied())
        .current_dir(home);
    command
}

fn read(log: &Path) -> String {
    fs::read_to_string(log).unwrap_or_default()
}
