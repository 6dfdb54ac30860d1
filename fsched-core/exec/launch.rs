//! Becomes a function: limits, marks, parent-death signal, then its program.
//!
//! Arguments: `fsched-exec <numbers> <cgroup.procs or nothing> <program> <argument 0> <argument 1>…`; the numbers are
//! written by fsched-core's `launcher/process/spawn.rs` and read in the same order here.

use core::ffi::CStr;

use crate::text::{Text, next_number};
use crate::{NOT_STARTED, Start, platform};

/// A number that leaves a limit as it is.
const UNCHANGED: u64 = u64::MAX;
/// How often a program that is still open for writing somewhere is tried again, and how long we wait for that.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE_NANOS: i64 = 2_000_000;

/// What could not be done; the numbers are part of the protocol with fsched-core.
#[derive(Clone, Copy)]
enum Stage {
    Arguments = 0,
    Limits = 1,
    Cgroup = 2,
    Program = 3,
}

pub(crate) fn run(start: Start) -> ! {
    let mut numbers = start.argument(1).to_bytes();
    let mut number = || next_number(&mut numbers);
    let (Some(worker), Some(status_fd), Some(launch), Some(dye)) = (number(), number(), number(), number()) else {
        platform::exit(NOT_STARTED)
    };
    let failed = |stage: Stage, errno: i32| -> ! { report(worker, status_fd, launch, stage, errno) };

    // Nothing depends on the dye but finding strays, for which there is a second mark.
    let _ = platform::set_limit(platform::RLIMIT_RTTIME, dye, dye);
    let _ = platform::prctl(platform::PR_SET_PDEATHSIG, platform::SIGKILL as usize);
    if platform::parent() as u64 != worker {
        platform::exit(NOT_STARTED); // It died before we asked to die with it.
    }
    let resources = [
        platform::RLIMIT_FSIZE,
        platform::RLIMIT_NOFILE,
        platform::RLIMIT_NPROC,
        platform::RLIMIT_DATA,
        platform::RLIMIT_CPU,
        platform::RLIMIT_CORE,
    ];
    for resource in resources {
        let Some(limit) = number() else { failed(Stage::Arguments, 0) };
        // One second between SIGXCPU, which can be caught, and SIGKILL.
        let hard = if resource == platform::RLIMIT_CPU { limit.saturating_add(1) } else { limit };
        if limit != UNCHANGED
            && let Err(errno) = platform::set_limit(resource, limit, hard)
        {
            failed(Stage::Limits, errno)
        }
    }
    let _ = platform::prctl(platform::PR_SET_NO_NEW_PRIVS, 1);
    // Whatever the worker was started with stays the worker's: only the three standard streams go on.
    platform::close_others_on_exec();
    let cgroup = start.argument(2);
    if !cgroup.is_empty()
        && let Err(errno) = join(cgroup)
    {
        failed(Stage::Cgroup, errno)
    }
    failed(Stage::Program, become_program(start, start.argument(3)))
}

fn join(cgroup: &CStr) -> Result<(), i32> {
    let fd = platform::open(cgroup, platform::O_WRONLY | platform::O_CLOEXEC)?;
    platform::write(fd, b"0").map(|_| ())
}

/// Returns only the error.
fn become_program(start: Start, program: &CStr) -> i32 {
    if program.to_bytes().contains(&b'/') {
        return execute(start, program);
    }
    if program.is_empty() {
        return platform::ENOENT;
    }
    let path = start.variable(b"PATH=").unwrap_or(b"/usr/local/bin:/usr/bin:/bin");
    let mut worst = platform::ENOENT;
    for directory in path.split(|b| *b == b':') {
        let candidate = Text::<4096>::new().and(directory).and(b"/").and(program.to_bytes());
        let Some(candidate) = candidate.path().filter(|_| !directory.is_empty()) else { continue };
        match execute(start, candidate) {
            platform::ENOENT | platform::ENOTDIR => {}
            platform::EACCES => worst = platform::EACCES,
            errno => return errno,
        }
    }
    worst
}

fn execute(start: Start, program: &CStr) -> i32 {
    for _ in 0..BUSY_TRIES {
        // SAFETY: both lists come from the kernel, are ended by null pointers and not changed by us; `argument(3)`
        // was there, so what is behind it is at least the null pointer.
        let errno = unsafe { platform::execve(program, start.argv.add(4.min(start.argc)), start.envp) };
        if errno != platform::ETXTBSY {
            return errno;
        }
        platform::pause(BUSY_PAUSE_NANOS);
    }
    platform::ETXTBSY
}

/// Tells the worker why there is no function. Its status pipe is opened only now, through /proc: a spawn that goes
/// well pays nothing for it, and no function ever inherits it.
fn report(worker: u64, status_fd: u64, launch: u64, stage: Stage, errno: i32) -> ! {
    let pipe = Text::<64>::new().and(b"/proc/").and_number(worker).and(b"/fd/").and_number(status_fd);
    let message = Text::<64>::new()
        .and_number(launch)
        .and(b" ")
        .and_number(stage as u64)
        .and(b" ")
        .and_number(errno as u64)
        .and(b"\n");
    let told = pipe
        .path()
        .ok_or(platform::ENOENT)
        .and_then(|pipe| platform::open(pipe, platform::O_WRONLY | platform::O_CLOEXEC))
        .and_then(|pipe| platform::write(pipe, message.bytes()));
    if told.is_err() {
        let _ = platform::write(2, b"fsched-exec: not started (launch, stage, errno): ");
        let _ = platform::write(2, message.bytes());
    }
    platform::exit(NOT_STARTED)
}
