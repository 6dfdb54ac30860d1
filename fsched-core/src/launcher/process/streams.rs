//! What goes into a function and what comes out of it.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};

use crate::cache::Bytes;
use crate::invocation::Output;

/// How much is read at once; also what a pipe holds at most, unless a function enlarges it.
pub(super) const BUFFER: usize = 64 << 10;
/// The most that a pipe can hold, whatever a function did to it.
const LARGEST_PIPE: usize = 32 << 20;

/// Standard output or standard error: the first bytes are kept, the others counted.
#[derive(Debug)]
pub(super) struct Capture {
    pipe: Option<PipeReader>,
    output: Output,
    limit: usize,
}

impl Capture {
    /// A new pipe, and its other end for the function.
    pub(super) fn new(limit: Bytes) -> io::Result<(Self, PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        let limit = usize::try_from(limit.0).unwrap_or(usize::MAX);
        Ok((Self { pipe: Some(reader), output: Output::default(), limit }, writer))
    }

    /// What to wait for; none once the function has closed its end.
    pub(super) fn pipe(&self) -> Option<&PipeReader> {
        self.pipe.as_ref()
    }

    /// Reads once, which does not wait if there is something to read or the end was reached.
    pub(super) fn read(&mut self, buffer: &mut [u8]) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read(buffer) {
            Ok(0) => self.pipe = None,
            Ok(read) => self.keep(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::warn!(%error, "a function's output cannot be read");
                self.pipe = None;
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.limit - self.output.bytes.len();
        let (kept, dropped) = bytes.split_at(room.min(bytes.len()));
        self.output.bytes.extend_from_slice(kept);
        self.output.dropped += dropped.len() as u64;
    }

    /// Reads what is there without waiting for more, and gives it all.
    pub(super) fn finish(mut self, buffer: &mut [u8]) -> Output {
        let mut left = LARGEST_PIPE;
        while left > 0 && self.pipe.as_ref().is_some_and(is_readable) {
            let before = self.output.bytes.len() as u64 + self.output.dropped;
            self.read(buffer);
            let read = self.output.bytes.len() as u64 + self.output.dropped - before;
            left = left.saturating_sub(usize::try_from(read).unwrap_or(usize::MAX).max(1));
        }
        self.output
    }
}

fn is_readable(pipe: &PipeReader) -> bool {
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// Standard input: what the pipe did not take at once.
#[derive(Debug)]
pub(super) struct Feed {
    pipe: PipeWriter,
    text: Arc<str>,
    written: usize,
}

impl Feed {
    /// The end for the function (none: its input is empty), and what remains to be written while it runs.
    pub(super) fn new(text: Option<Arc<str>>) -> io::Result<(Option<PipeReader>, Option<Self>)> {
        let Some(text) = text else { return Ok((None, None)) };
        let (reader, pipe) = io::pipe()?;
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        let mut feed = Self { pipe, text, written: 0 };
        // Mostly all of it fits, and nobody has to wait for room.
        let goes_on = feed.write();
        Ok((Some(reader), goes_on.then_some(feed)))
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

    proptest! {
        #[test]
        fn the_first_bytes_are_kept_and_all_are_counted(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20), limit in 0u64..400,
        ) {
            let (mut capture, _writer) = Capture::new(Bytes(limit)).unwrap();
            chunks.iter().for_each(|chunk| capture.keep(chunk));
            let all = chunks.concat();
            let kept = all.len().min(limit as usize);
            prop_assert_eq!(&capture.output.bytes, &all[..kept]);
            prop_assert_eq!(capture.output.dropped, (all.len() - kept) as u64);
        }
    }

    #[test]
    fn finishing_does_not_wait_for_an_end_that_does_not_come() {
        let (capture, mut writer) = Capture::new(Bytes(3)).unwrap();
        writer.write_all(b"hello").unwrap();
        let output = capture.finish(&mut [0; 2]);
        assert_eq!(output, Output { bytes: b"hel".to_vec(), dropped: 2 });
        drop(writer);
    }

    #[test]
    fn a_text_larger_than_a_pipe_is_fed_in_pieces() {
        let (_stdin, feed) = Feed::new(Some("x".repeat(1 << 20).into())).unwrap();
        let feed = feed.unwrap();
        assert!(feed.written > 0 && feed.written < 1 << 20);
        assert!(Feed::new(Some("{}".into())).unwrap().1.is_none());
    }
}
