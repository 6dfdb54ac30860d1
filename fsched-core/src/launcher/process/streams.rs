//! What goes into a function and what comes out of it.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{OFlags, fcntl_setfl};

use crate::cache::Bytes;
use crate::invocation::Output;

/// How much is read at once; also what a pipe holds at most, unless a function enlarges it.
pub(super) const BUFFER: usize = 64 << 10;
/// The most that a pipe can hold, whatever a function did to it.
const LARGEST_PIPE: usize = 32 << 20;

/// The pipes of one launch, made before it comes. Our ends do not wait.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdin: (PipeReader, PipeWriter),
    pub(super) stdout: (PipeReader, PipeWriter),
    pub(super) stderr: (PipeReader, PipeWriter),
}

impl Pipes {
    pub(super) fn new() -> io::Result<Self> {
        let pipes = Self { stdin: io::pipe()?, stdout: io::pipe()?, stderr: io::pipe()? };
        fcntl_setfl(&pipes.stdin.1, OFlags::NONBLOCK)?;
        fcntl_setfl(&pipes.stdout.0, OFlags::NONBLOCK)?;
        fcntl_setfl(&pipes.stderr.0, OFlags::NONBLOCK)?;
        Ok(pipes)
    }
}

/// Standard output or standard error: the first bytes are kept, the others counted.
#[derive(Debug)]
pub(super) struct Capture {
    /// Does not wait.
    pipe: PipeReader,
    /// Whether nothing more will come.
    ended: bool,
    output: Output,
    limit: usize,
}

impl Capture {
    pub(super) fn new(pipe: PipeReader, limit: Bytes) -> Self {
        let limit = usize::try_from(limit.0).unwrap_or(usize::MAX);
        Self { pipe, ended: false, output: Output::default(), limit }
    }

    /// What to wait for; none once the function has closed its end.
    pub(super) fn pipe(&self) -> Option<&PipeReader> {
        (!self.ended).then_some(&self.pipe)
    }

    /// Reads once. False where nothing is there now.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> bool {
        match self.pipe.read(buffer) {
            Ok(0) => self.ended = true,
            Ok(read) => self.keep(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => {
                tracing::warn!(%error, "a function's output cannot be read");
                self.ended = true;
            }
        }
        true
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.limit - self.output.bytes.len();
        let (kept, dropped) = bytes.split_at(room.min(bytes.len()));
        self.output.bytes.extend_from_slice(kept);
        self.output.dropped += dropped.len() as u64;
    }

    /// Reads what is there without waiting for more, and gives it all.
    pub(super) fn finish(&mut self, buffer: &mut [u8]) -> Output {
        let mut left = LARGEST_PIPE;
        while left > 0 && !self.ended {
            let before = self.output.bytes.len() as u64 + self.output.dropped;
            if !self.read(buffer) {
                break;
            }
            let read = self.output.bytes.len() as u64 + self.output.dropped - before;
            left = left.saturating_sub(usize::try_from(read).unwrap_or(usize::MAX).max(1));
        }
        mem::take(&mut self.output)
    }
}

/// Standard input: what the pipe did not take at once.
#[derive(Debug)]
pub(super) struct Feed {
    pipe: PipeWriter,
    text: Arc<str>,
    written: usize,
}

impl Feed {
    /// What remains to be written while the function runs. The pipe must not wait.
    pub(super) fn new(pipe: PipeWriter, text: Arc<str>) -> Option<Self> {
        let mut feed = Self { pipe, text, written: 0 };
        // Mostly all of it fits, and nobody has to wait for room.
        let goes_on = feed.write();
        goes_on.then_some(feed)
    }

    /// What to wait for.
    pub(super) fn pipe(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Writes what the pipe takes. False once all is written, or nobody reads any more.
    pub(super) fn write(&mut self) -> bool {
        while self.written < self.text.len() {
            match self.pipe.write(&self.text.as_bytes()[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn capture(limit: u64) -> (Capture, PipeWriter) {
        let (reader, writer) = Pipes::new().unwrap().stdout;
        (Capture::new(reader, Bytes(limit)), writer)
    }

    proptest! {
        #[test]
        fn the_first_bytes_are_kept_and_all_are_counted(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20), limit in 0u64..400,
        ) {
            let (mut capture, _writer) = capture(limit);
            chunks.iter().for_each(|chunk| capture.keep(chunk));
            let all = chunks.concat();
            let kept = all.len().min(limit as usize);
            prop_assert_eq!(&capture.output.bytes, &all[..kept]);
            prop_assert_eq!(capture.output.dropped, (all.len() - kept) as u64);
        }
    }

    #[test]
    fn finishing_does_not_wait_for_an_end_that_does_not_come() {
        let (mut capture, mut writer) = capture(3);
        writer.write_all(b"hello").unwrap();
        let output = capture.finish(&mut [0; 2]);
        assert_eq!(output, Output { bytes: b"hel".to_vec(), dropped: 2 });
        drop(writer);
    }

    #[test]
    fn a_text_larger_than_a_pipe_is_fed_in_pieces() {
        let feed = |pipes: Pipes, text: String| (Feed::new(pipes.stdin.1, text.into()), pipes.stdin.0);
        let (large, _stdin) = feed(Pipes::new().unwrap(), "x".repeat(1 << 20));
        assert!(large.is_some_and(|feed| feed.written > 0 && feed.written < 1 << 20));
        assert!(feed(Pipes::new().unwrap(), "{}".into()).0.is_none());
    }
}
