//! Starts a process as cheaply as Linux can: the child lives on our memory, and the thread that starts it stands still,
//! until it becomes the function.
//!
//! `posix_spawn` does no more, but sets neither limits nor marks: for those, a program has to stand in between, which
//! costs an `execve` more. glibc's also resets every signal by a call of its own, where the kernel does it at once.
//!
//! What the child may do is little, since it runs on our memory, below the frame of [`clone_below`]: system calls, and
//! no more. It neither allocates nor locks nor panics, and touches no file before it has taken its own. No signal handler
//! runs in it (the kernel has reset them). It writes nothing but its own frames, the `errno` of the thread that waits for
//! it, and the word that says why it failed.
#![expect(
    unsafe_code,
    reason = "no safe library starts a process that shares memory and sets limits on itself"
)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, chdir, getpid, getppid, set_parent_process_death_signal, setpgid,
    setrlimit,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::thread::{Timespec, nanosleep, set_no_new_privs};

use super::spawn::{NOT_STARTED, Stage};
use super::sys;

/// How often a program that is still open for writing somewhere is tried again, and how long we wait for that.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// A process, and a handle on it.
pub(super) type Born = (Pid, OwnedFd);

/// Why there is no function.
#[derive(Debug)]
pub(super) enum Stillborn {
    /// There was no process.
    NoProcess(io::Error),
    /// It did not become the function, and is no more.
    Failed(Stage, io::Error),
}

/// All that a child has to know, made before it is born.
pub(super) struct Birth<'a> {
    /// Where its program may be; the first that is there is executed.
    pub(super) programs: Vec<CString>,
    pub(super) arguments: Vec<CString>,
    pub(super) environment: Vec<CString>,
    pub(super) directory: CString,
    /// What it writes to, to join its control group; none where it is born as a member.
    pub(super) joins: Option<CString>,
    pub(super) streams: [BorrowedFd<'a>; 3],
    pub(super) limits: Vec<(Resource, Rlimit)>,
    /// The limit that is our mark. Nothing depends on it but finding strays, for which there is another mark.
    pub(super) dye: (Resource, Rlimit),
}

/// What the child reads, in the form in which the kernel takes it.
struct Plan<'a> {
    birth: &'a Birth<'a>,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    parent: Pid,
    /// Zero, or stage and error number: the one word that the child writes.
    failure: AtomicU64,
}

/// Whether processes can be started this way here: whether the kernel (and what filters its calls) and we know how.
pub(super) fn is_possible() -> bool {
    extern "C" fn end(_: *const c_void) -> ! {
        exit(if take_own_files(2).is_ok() { 0 } else { NOT_STARTED })
    }
    // SAFETY: `end` makes two system calls.
    let born = unsafe { clone_below(end, ptr::null()) };
    born.is_ok_and(|(pid, _handle)| sys::reap(pid).is_ok_and(|reaped| reaped.status == 0))
}

impl Birth<'_> {
    /// Starts the process. It is the function when this returns.
    pub(super) fn give(&self) -> Result<Born, Stillborn> {
        let plan = Plan {
            birth: self,
            argv: pointers(&self.arguments),
            envp: pointers(&self.environment),
            parent: getpid(),
            failure: AtomicU64::new(0),
        };
        // SAFETY: `live` takes a plan, which outlives the call, and keeps to what the module's documentation allows.
        let born = unsafe { clone_below(live, (&raw const plan).cast()) };
        let (pid, handle) = born.map_err(Stillborn::NoProcess)?;
        match Stage::of(plan.failure.load(Ordering::Relaxed)) {
            None => Ok((pid, handle)),
            Some((stage, error)) => {
                let _ = sys::reap(pid);
                Err(Stillborn::Failed(stage, error))
            }
        }
    }
}

/// The strings as `execve` takes them, ended by a null pointer.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// The child's life, until it is the function or no more.
extern "C" fn live(plan: *const c_void) -> ! {
    // SAFETY: `Birth::give` gives a plan, which stays where it is while its thread stands still.
    let plan = unsafe { &*plan.cast::<Plan<'_>>() };
    let (stage, errno) = match prepare(plan) {
        Ok(()) => (Stage::Program, become_program(plan)),
        Err(failed) => failed,
    };
    plan.failure.store(stage.with(errno), Ordering::Relaxed);
    exit(NOT_STARTED)
}

/// Everything that has to happen inside of the new process.
fn prepare(plan: &Plan<'_>) -> Result<(), (Stage, Errno)> {
    let birth = plan.birth;
    let _ = setrlimit(birth.dye.0, birth.dye.1);
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    if getppid() != Some(plan.parent) {
        exit(NOT_STARTED); // It died before we asked to die with it.
    }
    let [stdin, stdout, stderr] = birth.streams;
    let last = birth.streams.map(|stream| stream.as_raw_fd()).into_iter().fold(2, i32::max);
    take_own_files(last)
        .and_then(|()| setpgid(None, None))
        .and_then(|()| dup2_stdin(stdin))
        .and_then(|()| dup2_stdout(stdout))
        .and_then(|()| dup2_stderr(stderr))
        .and_then(|()| chdir(birth.directory.as_c_str()))
        .map_err(|errno| (Stage::Place, errno))?;
    for &(resource, limit) in &birth.limits {
        setrlimit(resource, limit).map_err(|errno| (Stage::Limits, errno))?;
    }
    let _ = set_no_new_privs(true);
    reset_signals();
    close_others_on_exec();
    birth.joins.as_deref().map_or(Ok(()), join).map_err(|errno| (Stage::Cgroup, errno))
}

fn join(group: &CStr) -> Result<(), Errno> {
    let list = open(group, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&list, b"0").map(|_| ())
}

/// Handlers are gone already; what our runtime ignores and what our thread blocks shall reach the function.
fn reset_signals() {
    let mut none = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: an all-zero action is the default one; both outlive the calls, and the set is initialised before it is used.
    unsafe {
        let default = MaybeUninit::<libc::sigaction>::zeroed();
        libc::sigaction(libc::SIGPIPE, default.as_ptr(), ptr::null_mut());
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}

/// Until here our files are the child's, too. It gets copies of those up to `last`, and the others are none of its
/// business: to copy hundreds and close them again would cost a tenth of the whole start.
fn take_own_files(last: i32) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    let taken =
        unsafe { libc::syscall(libc::SYS_close_range, last + 1, u32::MAX, libc::CLOSE_RANGE_UNSHARE) };
    if taken == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Whatever the worker was started with stays the worker's: only the three standard streams go on.
fn close_others_on_exec() {
    // SAFETY: takes numbers only. Kernels before 5.11 cannot; there, too, our own files are closed.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Returns only the error: of the program that is there, or that there is none.
fn become_program(plan: &Plan<'_>) -> Errno {
    let mut worst = Errno::NOENT;
    for program in &plan.birth.programs {
        match execute(plan, program) {
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => worst = Errno::ACCESS,
            errno => return errno,
        }
    }
    worst
}

fn execute(plan: &Plan<'_>, program: &CStr) -> Errno {
    for _ in 0..BUSY_TRIES {
        // SAFETY: both lists are ended by null pointers, and outlive the call as what they point to does.
        unsafe { libc::execve(program.as_ptr(), plan.argv.as_ptr(), plan.envp.as_ptr()) };
        let errno = last_error();
        if errno != Errno::TXTBSY {
            return errno;
        }
        let _ = nanosleep(&BUSY_PAUSE);
    }
    Errno::TXTBSY
}

fn exit(status: i32) -> ! {
    // SAFETY: ends the calling process, with nothing run before.
    unsafe { libc::_exit(status) }
}

/// Has a child run `child` on our memory, below our frame, and with our files. Returns when it has become another program, or has ended.
///
/// # Safety
/// `child` may be called with `with`, and does nothing but what the module's documentation allows.
#[cfg(target_arch = "x86_64")]
unsafe fn clone_below(child: extern "C" fn(*const c_void) -> !, with: *const c_void) -> io::Result<Born> {
    use std::os::fd::FromRawFd;

    /// `struct clone_args` of the kernel, in its first version.
    #[repr(C)]
    #[derive(Default)]
    struct Arguments {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
    }
    const CLONE_CLEAR_SIGHAND: u64 = 1 << 32;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::CLONE_PIDFD;
    let mut handle = -1i32;
    let arguments = Arguments {
        flags: u64::from(flags.cast_unsigned()) | CLONE_CLEAR_SIGHAND,
        pidfd: &raw mut handle as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..Arguments::default()
    };
    let result: i64;
    // SAFETY: no stack is named, so the child goes on with ours, while CLONE_VFORK has us stand still. It calls `child`
    // below our frame, which it therefore leaves whole, and never returns here. The kernel keeps all registers but rax, rcx and r11.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "and rsp, -16",
            "mov rdi, rdx",
            "call r8",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") &raw const arguments,
            in("rsi") size_of::<Arguments>(),
            in("rdx") with,
            in("r8") child,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result as i32));
    }
    let pid = Pid::from_raw(result as i32).expect("the kernel numbers children from one on");
    // SAFETY: the kernel has given us this descriptor along with the child.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(handle) }))
}

/// Elsewhere functions are started by way of fsched-exec.
///
/// # Safety
/// Nothing is done.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn clone_below(_: extern "C" fn(*const c_void) -> !, _: *const c_void) -> io::Result<Born> {
    Err(io::ErrorKind::Unsupported.into())
}
