//! The three calls that no safe library offers.
#![expect(
    unsafe_code,
    reason = "rustix has neither wait4 with resource usage nor prlimit of another process nor signal masks"
)]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use rustix::process::Pid;

/// What the kernel says of a child that is no more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reaped {
    /// The status as `wait` gives it.
    pub(super) status: libc::c_int,
    /// CPU time, of its own reaped children too.
    pub(super) cpu: Duration,
    /// Peak resident memory in bytes; for a child that was started with vfork at least that of its parent.
    pub(super) peak: u64,
}

/// Reaps one child, waiting for its end.
pub(super) fn reap(pid: Pid) -> io::Result<Reaped> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are valid for writing and outlive the call.
        let reaped = unsafe { libc::wait4(pid.as_raw_pid(), &raw mut status, 0, usage.as_mut_ptr()) };
        if reaped >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: all-zero is a valid rusage, and the kernel has filled it.
    let usage = unsafe { usage.assume_init() };
    let duration = |time: libc::timeval| {
        Duration::new(time.tv_sec.unsigned_abs(), 0) + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    Ok(Reaped {
        status,
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        peak: usage.ru_maxrss.unsigned_abs() * 1024,
    })
}

/// The hard limit of any process, zombies too, for real-time CPU: where we write our dye.
pub(super) fn dye_of(pid: Pid) -> Option<u64> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a null new limit only asks; the old one is valid for writing and outlives the call.
    let asked =
        unsafe { libc::prlimit64(pid.as_raw_pid(), libc::RLIMIT_RTTIME, ptr::null(), &raw mut limit) };
    (asked == 0).then_some(limit.rlim_max)
}

/// From now on, writing to a pipe that nobody reads is an error on this thread and never a signal.
pub(super) fn block_broken_pipe_signal() {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the set is initialised by sigemptyset before it is used, and outlives the calls.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut());
    }
}
