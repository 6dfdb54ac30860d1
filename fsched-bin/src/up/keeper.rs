//! Starts a worker, and again when it dies unexpectedly, ever more slowly where it keeps dying.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::child::{ServerChild, ServerCommand};

/// The pause before the first new start; doubled every time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A worker that lived so long is taken to be well.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// How long a worker has to end when asked to.
const END_WITHIN: Duration = Duration::from_secs(10);

enum Event {
    Died,
    End,
}

/// Keeps one worker running.
pub(super) struct Keeper {
    tell: mpsc::Sender<Event>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Begins to keep a worker running.
    pub(super) fn begin(command: ServerCommand) -> Self {
        let (tell, told) = mpsc::channel();
        let died = tell.clone();
        let thread = std::thread::spawn(move || keep(&command, &died, &told));
        Self { tell, thread: Some(thread) }
    }

    /// Asks the worker to end, without waiting.
    pub(super) fn ask_to_end(&self) {
        // Where nobody hears it, the thread has ended before.
        let _heard = self.tell.send(Event::End);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.ask_to_end();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the keeper of a worker failed");
        }
    }
}

fn keep(command: &ServerCommand, died: &mpsc::Sender<Event>, told: &mpsc::Receiver<Event>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let since = Instant::now();
        let died = died.clone();
        // Where nobody hears it, nobody wants the worker any more.
        match ServerChild::start(command, move || _ = died.send(Event::Died)) {
            Ok(mut child) => {
                let event = told.recv();
                let status = child.stop(END_WITHIN);
                if !matches!(event, Ok(Event::Died)) {
                    return;
                }
                tracing::warn!(%status, "a worker died; it is started again");
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "a worker cannot be started; trying again");
            }
        }
        if since.elapsed() > WELL_AFTER {
            pause = FIRST_PAUSE;
        }
        if asked_to_end_within(told, pause) {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits for `pause`, unless the worker is no longer wanted. Deaths heard meanwhile are those of failed starts.
fn asked_to_end_within(told: &mpsc::Receiver<Event>, pause: Duration) -> bool {
    let until = Instant::now() + pause;
    loop {
        match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Event::Died) => {}
            Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
    }
}
