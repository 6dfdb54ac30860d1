//! The same calls over libc, for architectures that the raw ones do not know.

use core::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};

use crate::Start;

/// The C library's names; everything 64-bit Linux agrees on.
mod libc {
    use super::{c_char, c_int, c_long, c_void};

    #[link(name = "c")]
    unsafe extern "C" {
        pub(super) fn __errno_location() -> *mut c_int;
        pub(super) fn _exit(status: c_int) -> !;
        pub(super) fn read(fd: c_int, bytes: *mut c_void, n: usize) -> isize;
        pub(super) fn write(fd: c_int, bytes: *const c_void, n: usize) -> isize;
        pub(super) fn open(path: *const c_char, flags: c_int, ...) -> c_int;
        pub(super) fn close(fd: c_int) -> c_int;
        pub(super) fn getdents64(fd: c_int, bytes: *mut c_void, n: usize) -> isize;
        pub(super) fn rmdir(path: *const c_char) -> c_int;
        pub(super) fn chdir(path: *const c_char) -> c_int;
        pub(super) fn prctl(operation: c_int, ...) -> c_int;
        pub(super) fn getppid() -> c_int;
        pub(super) fn setsid() -> c_int;
        pub(super) fn signal(signal: c_int, handler: usize) -> usize;
        pub(super) fn usleep(micros: u32) -> c_int;
        pub(super) fn prlimit(pid: c_int, resource: c_int, new: *const u64, old: *mut u64) -> c_int;
        pub(super) fn poll(fds: *mut c_void, n: usize, milliseconds: c_int) -> c_int;
        pub(super) fn syscall(number: c_long, ...) -> c_long;
        pub(super) fn execve(path: *const c_char, argv: *const *const c_char, envp: *const *const c_char) -> c_int;
    }
}

const PIDFD_SEND_SIGNAL: c_long = 424;
const CLOSE_RANGE: c_long = 436;
const CLOSE_RANGE_CLOEXEC: usize = 4;
const PIDFD_OPEN: c_long = 434;

pub(crate) const O_WRONLY: i32 = 1;
pub(crate) const O_CLOEXEC: i32 = 0o2000000;
/// No flag where its value differs by architecture: reading entries fails on all else anyway.
pub(crate) const O_DIRECTORY: i32 = 0;

pub(crate) const ENOENT: i32 = 2;
pub(crate) const EINTR: i32 = 4;
pub(crate) const EACCES: i32 = 13;
pub(crate) const ENOTDIR: i32 = 20;
pub(crate) const ETXTBSY: i32 = 26;

pub(crate) const SIGHUP: i32 = 1;
pub(crate) const SIGINT: i32 = 2;
pub(crate) const SIGKILL: i32 = 9;
pub(crate) const SIGTERM: i32 = 15;

pub(crate) const PR_SET_PDEATHSIG: i32 = 1;
pub(crate) const PR_SET_NO_NEW_PRIVS: i32 = 38;

pub(crate) const RLIMIT_CPU: i32 = 0;
pub(crate) const RLIMIT_FSIZE: i32 = 1;
pub(crate) const RLIMIT_DATA: i32 = 2;
pub(crate) const RLIMIT_CORE: i32 = 4;
pub(crate) const RLIMIT_NPROC: i32 = 6;
pub(crate) const RLIMIT_NOFILE: i32 = 7;
pub(crate) const RLIMIT_RTTIME: i32 = 15;

const POLLIN: i16 = 1;
const SIG_IGN: usize = 1;

#[unsafe(no_mangle)]
unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) -> c_int {
    crate::main(Start { argc: argc as usize, argv, envp })
}

/// The result of a call, or the error number.
fn checked(result: isize) -> Result<usize, i32> {
    // SAFETY: the C library gives the address of this thread's error number.
    if result < 0 { Err(unsafe { *libc::__errno_location() }) } else { Ok(result as usize) }
}

pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: takes a number.
    unsafe { libc::_exit(status) }
}

pub(crate) fn read(fd: i32, bytes: &mut [u8]) -> Result<usize, i32> {
    // SAFETY: pointer and length are those of a slice that we may write.
    checked(unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) })
}

pub(crate) fn write(fd: i32, bytes: &[u8]) -> Result<usize, i32> {
    // SAFETY: pointer and length are those of a slice.
    checked(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) })
}

pub(crate) fn open(path: &CStr, flags: i32) -> Result<i32, i32> {
    // SAFETY: the path ends with NUL.
    checked(unsafe { libc::open(path.as_ptr(), flags) } as isize).map(|fd| fd as i32)
}

pub(crate) fn close(fd: i32) {
    // SAFETY: takes a number; the callers own the descriptor.
    let _ = unsafe { libc::close(fd) };
}

pub(crate) fn entries(fd: i32, bytes: &mut [u8]) -> Result<usize, i32> {
    // SAFETY: pointer and length are those of a slice that we may write.
    checked(unsafe { libc::getdents64(fd, bytes.as_mut_ptr().cast(), bytes.len()) })
}

pub(crate) fn remove_directory(path: &CStr) -> Result<(), i32> {
    // SAFETY: the path ends with NUL.
    checked(unsafe { libc::rmdir(path.as_ptr()) } as isize).map(|_| ())
}

pub(crate) fn change_directory(path: &CStr) -> Result<(), i32> {
    // SAFETY: the path ends with NUL.
    checked(unsafe { libc::chdir(path.as_ptr()) } as isize).map(|_| ())
}

pub(crate) fn prctl(operation: i32, argument: usize) -> Result<(), i32> {
    // SAFETY: the operations that we use take a number, and zeros behind it.
    checked(unsafe { libc::prctl(operation, argument, 0usize, 0usize, 0usize) } as isize).map(|_| ())
}

/// Every open file but the standard streams is closed when the program becomes another; older kernels cannot.
pub(crate) fn close_others_on_exec() {
    // SAFETY: takes numbers only.
    let _ = unsafe { libc::syscall(CLOSE_RANGE, 3usize, c_uint::MAX as usize, CLOSE_RANGE_CLOEXEC) };
}

pub(crate) fn parent() -> i32 {
    // SAFETY: takes nothing.
    unsafe { libc::getppid() }
}

pub(crate) fn new_session() {
    // SAFETY: takes nothing.
    let _ = unsafe { libc::setsid() };
}

pub(crate) fn ignore(signal: i32) {
    // SAFETY: ignoring installs no code.
    let _ = unsafe { libc::signal(signal, SIG_IGN) };
}

pub(crate) fn pause(nanos: i64) {
    // SAFETY: takes a number.
    let _ = unsafe { libc::usleep((nanos / 1000) as u32) };
}

pub(crate) fn set_limit(resource: i32, soft: u64, hard: u64) -> Result<(), i32> {
    let limit = [soft, hard];
    // SAFETY: the limit outlives the call; process 0 is this one.
    checked(unsafe { libc::prlimit(0, resource, limit.as_ptr(), core::ptr::null_mut()) } as isize).map(|_| ())
}

pub(crate) fn hard_limit(pid: u64, resource: i32) -> Result<u64, i32> {
    let mut limit = [0u64; 2];
    // SAFETY: two numbers of 8 bytes are written.
    checked(unsafe { libc::prlimit(pid as c_int, resource, core::ptr::null(), limit.as_mut_ptr()) } as isize)?;
    Ok(limit[1])
}

pub(crate) fn pidfd_open(pid: u64) -> Result<i32, i32> {
    // SAFETY: takes numbers.
    checked(unsafe { libc::syscall(PIDFD_OPEN, pid as c_long, 0 as c_long) } as isize).map(|fd| fd as i32)
}

pub(crate) fn pidfd_kill(fd: i32) -> Result<(), i32> {
    let (fd, signal, none) = (c_long::from(fd), c_long::from(SIGKILL), 0 as c_long);
    // SAFETY: takes numbers; no signal information is given.
    checked(unsafe { libc::syscall(PIDFD_SEND_SIGNAL, fd, signal, none, none) } as isize).map(|_| ())
}

pub(crate) fn wait_readable(fd: i32, milliseconds: i64) -> bool {
    #[repr(C)]
    struct PollFd {
        fd: i32,
        events: i16,
        found: i16,
    }
    let mut poll = PollFd { fd, events: POLLIN, found: 0 };
    // SAFETY: one entry, which may be written, and which outlives the call.
    unsafe { libc::poll((&raw mut poll).cast(), 1, milliseconds as c_int) == 1 }
}

/// Returns only the error.
///
/// # Safety
/// Both lists must be valid and ended by null pointers.
pub(crate) unsafe fn execve(path: &CStr, argv: *const *const c_char, envp: *const *const c_char) -> i32 {
    // SAFETY: the path ends with NUL; the lists are our caller's promise.
    match checked(unsafe { libc::execve(path.as_ptr(), argv, envp) } as isize) {
        Ok(_) => 0,
        Err(errno) => errno,
    }
}
