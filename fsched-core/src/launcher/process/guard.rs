//! A process that outlives us if we are killed, and then ends what we left behind.

use std::io::{self, PipeWriter, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::identity::Life;
use super::program::Program;

/// The running guard: fsched-exec in its second role.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
    line: PipeWriter,
}

impl Guard {
    /// Starts it. It watches one end of a pipe whose other end nobody but us holds.
    pub(super) fn start(program: &Program, life: Life, group_parents: &[PathBuf]) -> io::Result<Self> {
        let (watched, line) = io::pipe()?;
        let child = Command::new(program.path())
            .arg0("fsched-guard")
            .args([life.dye(0).to_string(), life.mark_prefix(), life.group_prefix()])
            .args(group_parents)
            .env_clear()
            .process_group(0)
            .stdin(watched)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, line })
    }
}

impl Drop for Guard {
    /// Tells it that all is in order, and waits for its end.
    fn drop(&mut self) {
        if let Err(error) = self.line.write_all(b".") {
            tracing::warn!(%error, "the guard was gone before its worker");
        }
        let _ = self.child.wait();
    }
}
