//! Ctrl-C and its kin, for commands that have something to tidy up.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Waits until somebody asks us to end: SIGINT, SIGTERM or SIGHUP. From the first call on these no longer end the process
/// by themselves.
///
/// # Errors
/// Where they cannot be listened for.
pub async fn asked_to_end() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
