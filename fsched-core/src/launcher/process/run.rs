//! One launch on its thread, from the first directory to the last process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getpgid, kill_process_group, pidfd_open, pidfd_send_signal};

use super::birth::Stillborn;
use super::cgroup::{self, Slot};
use super::identity::Marks;
use super::scratch::Scratch;
use super::spawn::{self, NOT_STARTED, Start, StatusPipe};
use super::streams::{BUFFER, Capture, Feed, Pipes};
use super::sys::{self, Reaped};
use super::{Shared, TaskMove, migration, tree};
use crate::cache::{Bytes, ClosId, DomainId};
use crate::invocation::Output;
use crate::launcher::{Exit, ExitKind, Launch, OnExit, Stop};

/// How long nothing but the end is waited for. What a function says meanwhile lies in its pipes; one that is over by then
/// wakes its thread once instead of for every line.
const BRIEF: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// A launch that was asked for.
pub(super) struct Job {
    pub(super) launch: Launch,
    pub(super) on_exit: OnExit,
    pub(super) running: Arc<Running>,
}

impl Job {
    /// Ends it without a process.
    pub(super) fn refuse(self, shared: &Shared, reason: String) {
        self.finish(shared, not_started(reason));
    }

    fn finish(self, shared: &Shared, exit: Exit) {
        shared.running.lock().remove(&self.launch.attempt);
        if catch_unwind(AssertUnwindSafe(|| (self.on_exit)(exit))).is_err() {
            tracing::error!(attempt = %self.launch.attempt, "the receiver of an exit panicked");
        }
    }
}

/// What can be signalled of a launch, and when.
pub(super) struct Running {
    domain: DomainId,
    state: Mutex<State>,
}

enum State {
    /// Not started; how it is to be ended, and where it is to be moved, as soon as it is.
    Waiting {
        stop: Option<Stop>,
        class: Option<(ClosId, TaskMove)>,
    },
    /// The first process, which is not reaped while this state is held.
    Started(First),
    Over,
}

impl Running {
    pub(super) fn new(domain: DomainId) -> Self {
        Self { domain, state: Mutex::new(State::Waiting { stop: None, class: None }) }
    }

    /// Ends the tree, now or as soon as there is one.
    pub(super) fn stop(&self, how: Stop) {
        match &mut *self.state.lock() {
            State::Waiting { stop, .. } => *stop = if *stop == Some(Stop::Kill) { *stop } else { Some(how) },
            State::Started(first) => first.stop(how),
            State::Over => {}
        }
    }

    /// Moves the tree to another class, now or as soon as there is one.
    pub(super) fn move_to(&self, to: ClosId, task_move: &TaskMove) {
        match &mut *self.state.lock() {
            State::Waiting { class, .. } => *class = Some((to, Arc::clone(task_move))),
            State::Started(first) => first.move_to(self.domain, to, task_move),
            State::Over => {}
        }
    }

    /// Whether it was stopped before it was started.
    fn is_stopped(&self) -> bool {
        matches!(&*self.state.lock(), State::Waiting { stop: Some(_), .. })
    }

    fn started(&self, first: First) {
        let mut state = self.state.lock();
        if let State::Waiting { stop, class } = &mut *state {
            if let Some((class, task_move)) = class.take() {
                first.move_to(self.domain, class, &task_move);
            }
            if let Some(how) = *stop {
                first.stop(how);
            }
        }
        *state = State::Started(first);
    }

    fn over(&self) {
        *self.state.lock() = State::Over;
    }
}

/// The first process of a tree, alive or not yet reaped, and how the others are found.
struct First {
    pid: Pid,
    handle: Arc<OwnedFd>,
    marks: Marks,
    /// The list of its control group's members.
    members: Option<PathBuf>,
}

impl First {
    fn stop(&self, how: Stop) {
        let signal = match how {
            Stop::Terminate => Signal::TERM,
            Stop::Kill => Signal::KILL,
        };
        let in_group = getpgid(Some(self.pid)).is_ok_and(|group| group == self.pid);
        let _ = kill_process_group(self.pid, signal);
        if !in_group {
            let _ = pidfd_send_signal(&*self.handle, signal);
        }
        // Killing the first process ends the tree: its thread sees to the others.
        if how == Stop::Terminate {
            tree::terminate_outside(self.pid, &self.marks, self.members.as_deref().map(cgroup::members_of));
        }
    }

    fn move_to(&self, domain: DomainId, class: ClosId, task_move: &TaskMove) {
        let processes = || match self.members.as_deref().map(cgroup::members_of) {
            Some(members) => members,
            None => tree::members(self.pid, &self.marks),
        };
        let moved = migration::move_all(processes, |task| task_move(domain, class, task));
        if let Err(error) = moved {
            tracing::error!(pid = %self.pid.as_raw_pid(), %class, %error, "a tree is not all in its new class");
        }
    }
}

/// What a launcher thread keeps from launch to launch.
///
/// What the next launch needs is made ready, and what the last one used is put away, after the exit was told: nobody
/// waits for that.
pub(super) struct Runner {
    shared: Arc<Shared>,
    slot: Option<Slot>,
    scratch: Scratch,
    status: StatusPipe,
    buffer: Vec<u8>,
    /// For the next launch; none where they could not be made ahead.
    pipes: Option<Pipes>,
    /// The handles of the last process, to be closed.
    spent: Option<Started>,
}

impl Runner {
    pub(super) fn new(shared: Arc<Shared>, number: u32, slot: Option<Slot>) -> std::io::Result<Self> {
        let scratch = shared.scratches.of_thread(number);
        Ok(Self {
            shared,
            slot,
            scratch,
            status: StatusPipe::new()?,
            buffer: vec![0; BUFFER],
            pipes: Pipes::new().ok(),
            spent: None,
        })
    }

    /// Leaves nothing of the thread behind.
    pub(super) fn end(self) {
        if let Some(slot) = self.slot {
            slot.remove();
        }
    }

    /// Runs one function from start to end. `tells` is called before the exit is told.
    pub(super) fn run(&mut self, mut job: Job, tells: impl FnOnce()) {
        let number = self.shared.next_launch();
        let (exit, mut scratch) = match self.scratch.take() {
            Ok(scratch) => (self.run_in(&scratch, number, &mut job), Some(scratch)),
            Err(error) => (not_started(format!("its scratch directory cannot be made: {error}")), None),
        };
        // What a function left behind is gone before its exit is told.
        if !self.scratch.is_untouched()
            && let Some(scratch) = scratch.take()
        {
            self.scratch.give_back(&scratch);
        }
        job.running.over();
        tells();
        job.finish(&Arc::clone(&self.shared), exit);
        // Whoever was told may have been woken on this CPU: it goes first.
        thread::yield_now();
        self.get_ready(scratch.as_deref());
    }

    /// Puts away what the last launch used, and has what the next one needs.
    fn get_ready(&mut self, scratch: Option<&Path>) {
        if let Some(scratch) = scratch {
            self.scratch.give_back(scratch);
        }
        self.spent = None;
        if self.pipes.is_none() {
            self.pipes = Pipes::new().ok();
        }
    }

    fn run_in(&mut self, scratch: &Path, number: u32, job: &mut Job) -> Exit {
        if job.running.is_stopped() {
            return not_started("it was stopped before it was started".into());
        }
        match self.start(scratch, number, job) {
            Ok(started) => self.attend(started, number, job),
            Err(reason) => not_started(reason),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the wall time of a real process is measured here and nowhere else"
    )]
    fn start(&mut self, scratch: &Path, number: u32, job: &mut Job) -> Result<Started, String> {
        let shared = Arc::clone(&self.shared);
        let launch = &mut job.launch;
        if let Some(slot) = &mut self.slot {
            slot.prepare(launch.limits.memory, launch.limits.processes)
                .map_err(|error| format!("its control group cannot be limited: {error}"))?;
        }
        let pipes = self.pipes.take().map_or_else(Pipes::new, Ok);
        let pipes = pipes.map_err(|error| format!("its pipes cannot be made: {error}"))?;
        let (stdin, feed) = match launch.stdin.take() {
            Some(text) => (Some(pipes.stdin.0), Feed::new(pipes.stdin.1, text)),
            None => (None, None),
        };
        let ((stdout, stdout_end), (stderr, stderr_end)) = (pipes.stdout, pipes.stderr);
        let stdout = Capture::new(stdout, launch.limits.output);
        let stderr = Capture::new(stderr, launch.limits.output);
        let marks = Marks { dye: shared.life.dye(number), mark: shared.life.mark(launch.attempt) };
        let start = Start {
            number,
            marks: &marks,
            scratch,
            joins: self.slot.as_ref().and_then(Slot::joined_by),
            status: &self.status,
            stdin,
            stdout: stdout_end,
            stderr: stderr_end,
        };
        let since = Instant::now();
        let (pid, handle) = match &shared.direct {
            Some(empty) => match spawn::bear(&shared.config, &shared.limits, launch, &start, empty) {
                Ok(born) => born,
                Err(Stillborn::NoProcess(error)) => return Err(no_process(&error)),
                Err(Stillborn::Failed(stage, error)) => {
                    return Err(spawn::explain(&shared.config, launch, stage, &error));
                }
            },
            None => {
                let child = spawn::spawn(&shared.config, &shared.program, &shared.limits, launch, start);
                let pid = Pid::from_child(&child.map_err(|error| no_process(&error))?);
                (pid, self.watch(pid, &marks)?)
            }
        };
        Ok(Started { pid, handle: Arc::new(handle), since, marks, feed, stdout, stderr })
    }

    /// A handle on a process that was started without one.
    fn watch(&mut self, pid: Pid, marks: &Marks) -> Result<OwnedFd, String> {
        pidfd_open(pid, PidfdFlags::empty()).map_err(|error| {
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = sys::reap(pid);
            tree::end(marks, self.slot.as_mut());
            format!("its process cannot be watched: {error}")
        })
    }

    /// Feeds, reads and waits until the first process is dead, then ends the rest.
    fn attend(&mut self, mut started: Started, number: u32, job: &Job) -> Exit {
        let pid = started.pid;
        let members = self.slot.as_ref().map(|slot| slot.procs().to_path_buf());
        job.running.started(First {
            pid,
            handle: Arc::clone(&started.handle),
            marks: started.marks.clone(),
            members,
        });
        started.wait(&mut self.buffer);
        let wall = started.elapsed();
        job.running.over();
        // The dead process still holds the number of its group.
        let _ = kill_process_group(pid, Signal::KILL);
        let reaped = sys::reap(pid).unwrap_or(Reaped { status: libc::SIGKILL, cpu: Duration::ZERO, peak: 0 });
        let cpu = reaped.cpu + tree::end(&started.marks, self.slot.as_mut());
        let out_of_memory = self.slot.as_mut().is_some_and(Slot::was_out_of_memory);
        let kind = match exit_kind(reaped.status) {
            ExitKind::Exited(0) => ExitKind::Exited(0),
            _ if out_of_memory => ExitKind::OutOfMemory,
            ExitKind::Exited(NOT_STARTED) => match self.status.failure(number) {
                Some((stage, error)) => {
                    return not_started(spawn::explain(&self.shared.config, &job.launch, stage, &error));
                }
                None => ExitKind::Exited(NOT_STARTED),
            },
            kind => kind,
        };
        // What the kernel says of one process is at least what we had when we started it; the tree's own account is not.
        let peak =
            self.slot.as_ref().and_then(Slot::peak).map_or(reaped.peak, |tree| tree.0.min(reaped.peak));
        let exit = Exit {
            kind,
            pid: Some(pid.as_raw_pid().unsigned_abs()),
            wall,
            cpu,
            peak_memory: Bytes(peak),
            stdout: started.stdout.finish(&mut self.buffer),
            stderr: started.stderr.finish(&mut self.buffer),
        };
        self.spent = Some(started);
        exit
    }
}

/// A process and what connects us with it.
struct Started {
    pid: Pid,
    handle: Arc<OwnedFd>,
    since: Instant,
    marks: Marks,
    feed: Option<Feed>,
    stdout: Capture,
    stderr: Capture,
}

impl Started {
    fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    fn wait(&mut self, buffer: &mut [u8]) {
        if self.feed.is_none() && self.is_over_soon() {
            return;
        }
        loop {
            let [ended, feeds, speaks, complains] = self.ready();
            if speaks {
                self.stdout.read(buffer);
            }
            if complains {
                self.stderr.read(buffer);
            }
            if feeds && !self.feed.as_mut().is_some_and(Feed::write) {
                self.feed = None;
            }
            if ended {
                return;
            }
        }
    }

    /// Waits for the end, but not for long.
    fn is_over_soon(&self) -> bool {
        let mut end = [PollFd::from_borrowed_fd(self.handle.as_fd(), PollFlags::IN)];
        poll(&mut end, Some(&BRIEF)).is_ok_and(|ready| ready > 0)
    }

    /// Waits until something happens: the end, room in standard input, output, errors.
    fn ready(&self) -> [bool; 4] {
        let watched: [Option<(BorrowedFd<'_>, PollFlags)>; 4] = [
            Some((self.handle.as_fd(), PollFlags::IN)),
            self.feed.as_ref().map(|feed| (feed.pipe(), PollFlags::OUT)),
            self.stdout.pipe().map(|pipe| (pipe.as_fd(), PollFlags::IN)),
            self.stderr.pipe().map(|pipe| (pipe.as_fd(), PollFlags::IN)),
        ];
        let mut fds: Vec<PollFd<'_>> =
            watched.iter().flatten().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        if poll(&mut fds, None).is_err() {
            return [false; 4];
        }
        let mut results = fds.iter().map(|fd| !fd.revents().is_empty());
        watched.map(|watched| watched.is_some() && results.next().unwrap_or(false))
    }
}

fn no_process(error: &std::io::Error) -> String {
    format!("its process cannot be made: {error}")
}

fn exit_kind(status: libc::c_int) -> ExitKind {
    if libc::WIFSIGNALED(status) {
        ExitKind::Signalled(libc::WTERMSIG(status))
    } else {
        ExitKind::Exited(libc::WEXITSTATUS(status))
    }
}

/// The exit of what was never started.
fn not_started(reason: String) -> Exit {
    Exit {
        kind: ExitKind::NotStarted(reason),
        pid: None,
        wall: Duration::ZERO,
        cpu: Duration::ZERO,
        peak_memory: Bytes(0),
        stdout: Output::default(),
        stderr: Output::default(),
    }
}
