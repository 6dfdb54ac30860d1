//! Processes that only pretend: for tests of everything above a launcher.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Exit, ExitKind, Launch, Launcher, OnExit, Stop};
use crate::cache::{Bytes, ClosId};
use crate::id::AttemptId;
use crate::invocation::Output;

/// SIGKILL.
const KILL: i32 = 9;
/// SIGTERM.
const TERM: i32 = 15;

/// What a pretended process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// It ends at once.
    End(Exit),
    /// It runs until it is told to end, by [`ScriptedLauncher::end`] or by a signal.
    Wait,
    /// As `Wait`, but it ignores SIGTERM.
    Stubborn,
}

impl Script {
    /// It ends at once, well, after having run for `wall`.
    pub fn succeed(wall: Duration) -> Self {
        Self::End(ended(ExitKind::Exited(0), wall))
    }
}

/// An exit after `wall`, with nothing printed.
pub fn ended(kind: ExitKind, wall: Duration) -> Exit {
    Exit {
        kind,
        pid: Some(4242),
        wall,
        cpu: wall,
        peak_memory: Bytes::mib(1),
        stdout: Output::default(),
        stderr: Output::default(),
    }
}

/// A launcher of processes that only pretend, each by a script, and end on command or at once; it keeps the contract
/// of [`Launcher`] as far as there is no process. Ends are told from one thread of its own.
pub struct ScriptedLauncher {
    script: Box<dyn Fn(&Launch) -> Script + Send + Sync>,
    running: Mutex<BTreeMap<AttemptId, Running>>,
    launched: watch::Sender<Vec<Launch>>,
    stopped: watch::Sender<Vec<(AttemptId, Stop)>>,
    moved: Mutex<Vec<(AttemptId, ClosId)>>,
    ends: Option<Sender<(OnExit, Exit)>>,
    teller: Option<JoinHandle<()>>,
}

struct Running {
    on_exit: OnExit,
    stubborn: bool,
}

impl ScriptedLauncher {
    /// Processes do what `script` says.
    ///
    /// # Panics
    /// Where no thread can be started.
    pub fn new(script: impl Fn(&Launch) -> Script + Send + Sync + 'static) -> Self {
        let (ends, told) = mpsc::channel::<(OnExit, Exit)>();
        let tell = move || told.into_iter().for_each(|(on_exit, exit)| on_exit(exit));
        let teller = std::thread::Builder::new()
            .name("scripted-launcher".to_owned())
            .spawn(tell)
            .expect("a test can start a thread");
        Self {
            script: Box::new(script),
            running: Mutex::default(),
            launched: watch::Sender::new(Vec::new()),
            stopped: watch::Sender::new(Vec::new()),
            moved: Mutex::default(),
            ends: Some(ends),
            teller: Some(teller),
        }
    }

    /// Processes run until they are told to end.
    pub fn waiting() -> Self {
        Self::new(|_| Script::Wait)
    }

    /// Ends a process; says whether it was running.
    pub fn end(&self, attempt: AttemptId, exit: Exit) -> bool {
        let running = self.running.lock().remove(&attempt);
        let was_running = running.is_some();
        if let Some(running) = running {
            self.tell(running.on_exit, exit);
        }
        was_running
    }

    /// Which processes run.
    pub fn running(&self) -> Vec<AttemptId> {
        self.running.lock().keys().copied().collect()
    }

    /// What was launched so far, in order.
    pub fn launched(&self) -> Vec<Launch> {
        self.launched.borrow().clone()
    }

    /// What was stopped so far, and how, in order.
    pub fn stopped(&self) -> Vec<(AttemptId, Stop)> {
        self.stopped.borrow().clone()
    }

    /// What was moved so far, and to which class, in order; only what ran.
    pub fn moved(&self) -> Vec<(AttemptId, ClosId)> {
        self.moved.lock().clone()
    }

    /// Waits until `count` processes were launched in all; all of them, in order.
    pub async fn until_launched(&self, count: usize) -> Vec<Launch> {
        let mut launched = self.launched.subscribe();
        launched.wait_for(|all| all.len() >= count).await.map(|all| all.clone()).unwrap_or_default()
    }

    /// Waits until a process was stopped in this way.
    pub async fn until_stopped(&self, attempt: AttemptId, how: Stop) {
        let mut stopped = self.stopped.subscribe();
        let _ = stopped.wait_for(|all| all.contains(&(attempt, how))).await;
    }

    fn tell(&self, on_exit: OnExit, exit: Exit) {
        if let Some(ends) = &self.ends {
            ends.send((on_exit, exit)).expect("the thread lives as long as the launcher");
        }
    }
}

impl Launcher for ScriptedLauncher {
    fn launch(&self, launch: Launch, on_exit: OnExit) {
        match (self.script)(&launch) {
            Script::End(exit) => self.tell(on_exit, exit),
            script => {
                let running = Running { on_exit, stubborn: script == Script::Stubborn };
                self.running.lock().insert(launch.attempt, running);
            }
        }
        self.launched.send_modify(|all| all.push(launch));
    }

    fn stop(&self, attempt: AttemptId, how: Stop) {
        let ends = match (how, self.running.lock().get(&attempt)) {
            (_, None) => false,
            (Stop::Kill, Some(_)) => true,
            (Stop::Terminate, Some(running)) => !running.stubborn,
        };
        if ends {
            let signal = if how == Stop::Kill { KILL } else { TERM };
            self.end(attempt, ended(ExitKind::Signalled(signal), Duration::from_millis(1)));
        }
        // Last, so that whoever waits for this finds it done.
        self.stopped.send_modify(|all| all.push((attempt, how)));
    }

    fn move_to(&self, attempt: AttemptId, class: ClosId) {
        if self.running.lock().contains_key(&attempt) {
            self.moved.lock().push((attempt, class));
        }
    }
}

impl Drop for ScriptedLauncher {
    fn drop(&mut self) {
        self.ends = None;
        let Some(teller) = self.teller.take() else { return };
        // The last handle may be dropped by what the thread itself calls.
        if teller.thread().id() != std::thread::current().id() {
            let _ = teller.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::DomainId;
    use crate::id::{ContentHash, InvocationId};
    use crate::launcher::Limits;

    fn launch(number: u64) -> Launch {
        Launch {
            attempt: AttemptId { invocation: InvocationId(number), attempt: 0 },
            domain: DomainId(0),
            class: ClosId(0),
            command: vec![],
            file: ContentHash([0; 32]),
            arguments: vec![],
            environment: BTreeMap::new(),
            stdin: None,
            limits: Limits {
                memory: Bytes::mib(1),
                processes: 1,
                file_size: Bytes(0),
                cpu_time: Duration::from_secs(1),
                open_files: 8,
                output: Bytes(0),
            },
        }
    }

    fn start(launcher: &ScriptedLauncher, number: u64) -> (AttemptId, mpsc::Receiver<ExitKind>) {
        let (sender, receiver) = mpsc::channel();
        let launch = launch(number);
        let attempt = launch.attempt;
        launcher.launch(launch, Box::new(move |exit| sender.send(exit.kind).unwrap()));
        (attempt, receiver)
    }

    #[test]
    fn what_ends_at_once_is_told_from_another_thread() {
        let launcher = ScriptedLauncher::new(|_| Script::succeed(Duration::from_millis(5)));
        let here = std::thread::current().id();
        let (sender, receiver) = mpsc::channel();
        launcher.launch(
            launch(1),
            Box::new(move |exit| sender.send((exit, std::thread::current().id())).unwrap()),
        );
        let (exit, there) = receiver.recv().unwrap();
        assert_eq!(exit.wall, Duration::from_millis(5));
        assert_ne!(here, there);
    }

    #[test]
    fn the_stubborn_end_only_when_killed() {
        let launcher = ScriptedLauncher::new(|_| Script::Stubborn);
        let (attempt, exit) = start(&launcher, 1);
        launcher.stop(attempt, Stop::Terminate);
        assert_eq!(launcher.running(), [attempt]);
        launcher.stop(attempt, Stop::Kill);
        assert_eq!(exit.recv().unwrap(), ExitKind::Signalled(KILL));
        launcher.stop(attempt, Stop::Kill);
        assert!(exit.recv().is_err(), "told twice");
    }

    #[test]
    fn commands_end_what_runs_and_nothing_else() {
        let launcher = ScriptedLauncher::waiting();
        let (first, exit) = start(&launcher, 1);
        let (second, _other) = start(&launcher, 2);
        assert!(launcher.end(first, ended(ExitKind::Exited(3), Duration::ZERO)));
        assert!(!launcher.end(first, ended(ExitKind::Exited(3), Duration::ZERO)));
        assert_eq!(exit.recv().unwrap(), ExitKind::Exited(3));
        assert_eq!(launcher.running(), [second]);
        launcher.move_to(first, ClosId(3));
        launcher.move_to(second, ClosId(4));
        assert_eq!(launcher.moved(), [(second, ClosId(4))], "what is over is not moved");
    }
}
