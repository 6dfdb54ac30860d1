//! Ctrl-C and its kin, for commands that have something to tidy up.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// What ends when somebody asks us to end: SIGINT, SIGTERM or SIGHUP. From this call on, whether or not anybody waits
/// already, these no longer end the process by themselves.
///
/// # Errors
/// Where they cannot be listened for.
pub fn asked_to_end() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
