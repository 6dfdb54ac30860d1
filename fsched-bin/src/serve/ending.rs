//! When to stop, and when to stop at once.

use std::io::Read as _;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::exit;

/// Why a server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Somebody asks for it: what runs may go on for a while.
    Asked,
    /// Whoever started us has died: nobody waits for what runs.
    Orphaned,
}

/// Begins to listen for SIGTERM, SIGINT and, with `lifeline`, the end of standard input. The receiver sees the first of
/// them; a second signal ends the process at once.
///
/// # Errors
/// Where signals cannot be listened for.
pub fn ending(lifeline: bool) -> anyhow::Result<watch::Receiver<Option<Ending>>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let (tell, told) = watch::channel(None);
    let tell_of_signals = tell.clone();
    actix_rt::spawn(async move {
        let mut before = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if before {
                tracing::warn!("asked a second time: ending at once");
                std::process::exit(i32::from(exit::INTERRUPTED));
            }
            before = true;
            first(&tell_of_signals, Ending::Asked);
        }
    });
    if lifeline {
        std::thread::Builder::new()
            .name("lifeline".to_owned())
            .spawn(move || {
                wait_for_end_of_input();
                first(&tell, Ending::Orphaned);
            })
            .context("cannot watch standard input")?;
    }
    Ok(told)
}

fn first(tell: &watch::Sender<Option<Ending>>, ending: Ending) {
    tell.send_if_modified(|told| told.is_none() && told.replace(ending).is_none());
}

fn wait_for_end_of_input() {
    let mut ignored = [0; 64];
    while matches!(std::io::stdin().lock().read(&mut ignored), Ok(1..)) {}
}
