//! The system calls, raw, and the entry point that needs no C runtime.

use core::arch::{asm, global_asm};
use core::ffi::{CStr, c_char};

use crate::Start;

#[cfg(target_arch = "x86_64")]
mod number {
    pub(super) const READ: usize = 0;
    pub(super) const WRITE: usize = 1;
    pub(super) const CLOSE: usize = 3;
    pub(super) const RT_SIGACTION: usize = 13;
    pub(super) const NANOSLEEP: usize = 35;
    pub(super) const EXECVE: usize = 59;
    pub(super) const CHDIR: usize = 80;
    pub(super) const GETPPID: usize = 110;
    pub(super) const SETSID: usize = 112;
    pub(super) const PRCTL: usize = 157;
    pub(super) const GETDENTS64: usize = 217;
    pub(super) const EXIT_GROUP: usize = 231;
    pub(super) const OPENAT: usize = 257;
    pub(super) const UNLINKAT: usize = 263;
    pub(super) const PPOLL: usize = 271;
    pub(super) const PRLIMIT64: usize = 302;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub(super) const UNLINKAT: usize = 35;
    pub(super) const CHDIR: usize = 49;
    pub(super) const OPENAT: usize = 56;
    pub(super) const CLOSE: usize = 57;
    pub(super) const GETDENTS64: usize = 61;
    pub(super) const READ: usize = 63;
    pub(super) const WRITE: usize = 64;
    pub(super) const PPOLL: usize = 73;
    pub(super) const EXIT_GROUP: usize = 94;
    pub(super) const NANOSLEEP: usize = 101;
    pub(super) const RT_SIGACTION: usize = 134;
    pub(super) const SETSID: usize = 157;
    pub(super) const PRCTL: usize = 167;
    pub(super) const GETPPID: usize = 173;
    pub(super) const EXECVE: usize = 221;
    pub(super) const PRLIMIT64: usize = 261;
}

const PIDFD_SEND_SIGNAL: usize = 424;
const PIDFD_OPEN: usize = 434;
const CLOSE_RANGE: usize = 436;
const CLOSE_RANGE_CLOEXEC: usize = 4;

pub(crate) const O_WRONLY: i32 = 1;
pub(crate) const O_CLOEXEC: i32 = 0o2000000;
#[cfg(target_arch = "x86_64")]
pub(crate) const O_DIRECTORY: i32 = 0o200000;
#[cfg(target_arch = "aarch64")]
pub(crate) const O_DIRECTORY: i32 = 0o40000;

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

const AT_FDCWD: usize = -100isize as usize;
const AT_REMOVEDIR: usize = 0x200;
const POLLIN: i16 = 1;

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {entry}",
    "ud2",
    entry = sym entry,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "bl {entry}",
    "brk #1",
    entry = sym entry,
);

/// The stack as the kernel leaves it: argument count, arguments, null, environment, null.
unsafe extern "C" fn entry(stack: *const usize) -> ! {
    // SAFETY: the layout is the kernel's promise, for every architecture alike.
    let start = unsafe {
        let argc = *stack;
        let argv = stack.add(1).cast::<*const c_char>();
        Start { argc, argv, envp: argv.add(argc + 1) }
    };
    crate::main(start)
}

/// A system call; its result, or the error number.
///
/// # Safety
/// The arguments must be what the call with this number takes: pointers valid for what it reads and writes.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: usize, a: [usize; 5]) -> Result<usize, i32> {
    let result: isize;
    // SAFETY: the kernel keeps all registers but these; the rest is promised by our caller.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a[0], in("rsi") a[1], in("rdx") a[2], in("r10") a[3], in("r8") a[4],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    if result < 0 { Err(-result as i32) } else { Ok(result as usize) }
}

/// A system call; its result, or the error number.
///
/// # Safety
/// The arguments must be what the call with this number takes: pointers valid for what it reads and writes.
#[cfg(target_arch = "aarch64")]
unsafe fn call(number: usize, a: [usize; 5]) -> Result<usize, i32> {
    let result: isize;
    // SAFETY: the kernel keeps all registers but these; the rest is promised by our caller.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a[0] as isize => result,
            in("x1") a[1], in("x2") a[2], in("x3") a[3], in("x4") a[4],
            options(nostack),
        );
    }
    if result < 0 { Err(-result as i32) } else { Ok(result as usize) }
}

pub(crate) fn exit(status: i32) -> ! {
    loop {
        // SAFETY: takes a number.
        let _ = unsafe { call(number::EXIT_GROUP, [status as usize, 0, 0, 0, 0]) };
    }
}

pub(crate) fn read(fd: i32, bytes: &mut [u8]) -> Result<usize, i32> {
    // SAFETY: pointer and length are those of a slice that we may write.
    unsafe { call(number::READ, [fd as usize, bytes.as_mut_ptr() as usize, bytes.len(), 0, 0]) }
}

pub(crate) fn write(fd: i32, bytes: &[u8]) -> Result<usize, i32> {
    // SAFETY: pointer and length are those of a slice.
    unsafe { call(number::WRITE, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0]) }
}

pub(crate) fn open(path: &CStr, flags: i32) -> Result<i32, i32> {
    // SAFETY: the path ends with NUL.
    unsafe { call(number::OPENAT, [AT_FDCWD, path.as_ptr() as usize, flags as usize, 0, 0]) }.map(|fd| fd as i32)
}

pub(crate) fn close(fd: i32) {
    // SAFETY: takes a number; the callers own the descriptor.
    let _ = unsafe { call(number::CLOSE, [fd as usize, 0, 0, 0, 0]) };
}

pub(crate) fn entries(fd: i32, bytes: &mut [u8]) -> Result<usize, i32> {
    // SAFETY: pointer and length are those of a slice that we may write.
    unsafe { call(number::GETDENTS64, [fd as usize, bytes.as_mut_ptr() as usize, bytes.len(), 0, 0]) }
}

pub(crate) fn remove_directory(path: &CStr) -> Result<(), i32> {
    // SAFETY: the path ends with NUL.
    unsafe { call(number::UNLINKAT, [AT_FDCWD, path.as_ptr() as usize, AT_REMOVEDIR, 0, 0]) }.map(|_| ())
}

pub(crate) fn change_directory(path: &CStr) -> Result<(), i32> {
    // SAFETY: the path ends with NUL.
    unsafe { call(number::CHDIR, [path.as_ptr() as usize, 0, 0, 0, 0]) }.map(|_| ())
}

pub(crate) fn prctl(operation: i32, argument: usize) -> Result<(), i32> {
    // SAFETY: the operations that we use take a number.
    unsafe { call(number::PRCTL, [operation as usize, argument, 0, 0, 0]) }.map(|_| ())
}

/// Every open file but the standard streams is closed when the program becomes another; older kernels cannot.
pub(crate) fn close_others_on_exec() {
    // SAFETY: takes numbers only.
    let _ = unsafe { call(CLOSE_RANGE, [3, u32::MAX as usize, CLOSE_RANGE_CLOEXEC, 0, 0]) };
}

pub(crate) fn parent() -> i32 {
    // SAFETY: takes nothing.
    unsafe { call(number::GETPPID, [0; 5]) }.map_or(0, |pid| pid as i32)
}

pub(crate) fn new_session() {
    // SAFETY: takes nothing.
    let _ = unsafe { call(number::SETSID, [0; 5]) };
}

pub(crate) fn ignore(signal: i32) {
    // struct sigaction of the kernel: handler (1 ignores), flags, restorer, mask; never longer than this.
    let action = [1usize, 0, 0, 0];
    // SAFETY: the action outlives the call; 8 is the size of the kernel's signal set.
    let _ = unsafe { call(number::RT_SIGACTION, [signal as usize, action.as_ptr() as usize, 0, 8, 0]) };
}

pub(crate) fn pause(nanos: i64) {
    let time = [0i64, nanos];
    // SAFETY: the time outlives the call.
    let _ = unsafe { call(number::NANOSLEEP, [time.as_ptr() as usize, 0, 0, 0, 0]) };
}

pub(crate) fn set_limit(resource: i32, soft: u64, hard: u64) -> Result<(), i32> {
    let limit = [soft, hard];
    // SAFETY: the limit outlives the call; process 0 is this one.
    unsafe { call(number::PRLIMIT64, [0, resource as usize, limit.as_ptr() as usize, 0, 0]) }.map(|_| ())
}

pub(crate) fn hard_limit(pid: u64, resource: i32) -> Result<u64, i32> {
    let mut limit = [0u64; 2];
    // SAFETY: the kernel writes two numbers of 8 bytes.
    unsafe { call(number::PRLIMIT64, [pid as usize, resource as usize, 0, limit.as_mut_ptr() as usize, 0]) }?;
    Ok(limit[1])
}

pub(crate) fn pidfd_open(pid: u64) -> Result<i32, i32> {
    // SAFETY: takes numbers.
    unsafe { call(PIDFD_OPEN, [pid as usize, 0, 0, 0, 0]) }.map(|fd| fd as i32)
}

pub(crate) fn pidfd_kill(fd: i32) -> Result<(), i32> {
    // SAFETY: takes numbers; no signal information is given.
    unsafe { call(PIDFD_SEND_SIGNAL, [fd as usize, SIGKILL as usize, 0, 0, 0]) }.map(|_| ())
}

pub(crate) fn wait_readable(fd: i32, milliseconds: i64) -> bool {
    #[repr(C)]
    struct PollFd {
        fd: i32,
        events: i16,
        found: i16,
    }
    let mut poll = PollFd { fd, events: POLLIN, found: 0 };
    let time = [milliseconds / 1000, milliseconds % 1000 * 1_000_000];
    // SAFETY: one entry, which the kernel may write, and a time; both outlive the call.
    let ready = unsafe { call(number::PPOLL, [&raw mut poll as usize, 1, time.as_ptr() as usize, 0, 8]) };
    ready == Ok(1)
}

/// Returns only the error.
///
/// # Safety
/// Both lists must be valid and ended by null pointers.
pub(crate) unsafe fn execve(path: &CStr, argv: *const *const c_char, envp: *const *const c_char) -> i32 {
    // SAFETY: the path ends with NUL; the lists are our caller's promise.
    match unsafe { call(number::EXECVE, [path.as_ptr() as usize, argv as usize, envp as usize, 0, 0]) } {
        Ok(_) => 0,
        Err(errno) => errno,
    }
}

/// What the compiler calls for copying, filling and comparing, where no C library brings it.
mod memory {
    // Volatile accesses keep the compiler from turning the loops into calls of themselves.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
        for i in 0..n {
            // SAFETY: the caller promises `n` bytes on either side.
            unsafe { to.add(i).write_volatile(*from.add(i)) };
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
        for i in 0..n {
            // SAFETY: the caller promises `n` bytes.
            unsafe { to.add(i).write_volatile(byte as u8) };
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
        for i in 0..n {
            // SAFETY: the caller promises `n` bytes on either side.
            let (a, b) = unsafe { (a.add(i).read_volatile(), b.add(i).read_volatile()) };
            if a != b {
                return i32::from(a) - i32::from(b);
            }
        }
        0
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
        // SAFETY: as promised to us.
        unsafe { memcmp(a, b, n) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn strlen(text: *const u8) -> usize {
        let mut n = 0;
        // SAFETY: the caller promises a NUL.
        while unsafe { text.add(n).read_volatile() } != 0 {
            n += 1;
        }
        n
    }
}
