//! The command line tool.

use std::path::Path;

use serde_json::Value;

use super::server::command;

/// The program `fsched`.
pub(crate) const FSCHED: &str = env!("CARGO_BIN_EXE_fsched");

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it said.
    pub(crate) stderr: String,
}

/// Runs `fsched` with these words; where `url` is given, against that master.
#[track_caller]
pub(crate) fn fsched(home: &Path, url: Option<&str>, words: &[&str]) -> Done {
    let environment: Vec<(&str, &str)> = url.map(|url| ("FSCHED_URL", url)).into_iter().collect();
    let output = command(FSCHED, home, &environment).args(words).output().expect("fsched can be started");
    Done {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs `fsched --json` with these words, which has to end well; what it printed.
#[track_caller]
pub(crate) fn json(home: &Path, url: &str, words: &[&str]) -> Value {
    let done = fsched(home, Some(url), &[&["--json"], words].concat());
    assert_eq!(done.code, Some(0), "fsched {words:?}: {done:?}");
    match serde_json::from_str(&done.stdout) {
        Ok(value) => value,
        Err(error) => panic!("fsched --json {words:?} printed no JSON ({error}): {done:?}"),
    }
}
