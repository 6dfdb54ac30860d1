//! Outlives a worker that was killed, and ends what it left behind.
//!
//! Arguments: `fsched-guard <dye> <mark> <cgroup prefix> <cgroup parent>…`. Standard input is a pipe whose other end only the
//! worker holds: a byte means that it ended in order, the end of the pipe that it was killed.

use core::ffi::CStr;

use crate::text::{Text, parse};
use crate::{Start, platform};

const PAUSE_NANOS: i64 = 5_000_000;
/// How often the removal of a group is tried whose last process is dead but not yet reaped.
const REMOVAL_TRIES: u32 = 200;

pub(crate) fn run(start: Start) -> ! {
    platform::new_session();
    // Whoever asks all processes of a service to end asks the worker too, and that one tells us.
    for signal in [platform::SIGHUP, platform::SIGINT, platform::SIGTERM] {
        platform::ignore(signal);
    }
    let _ = platform::change_directory(c"/");
    if worker_ended_in_order() {
        platform::exit(0);
    }
    let dye = parse(start.argument(1).to_bytes()).unwrap_or(0);
    let mark = start.argument(2).to_bytes();
    let prefix = start.argument(3).to_bytes();
    loop {
        let mut killed = false;
        each_entry(c"/proc", |name| {
            if let Some(pid) = parse(name).filter(|pid| *pid > 1) {
                killed |= kill_if(pid, |pid| is_dyed(pid, dye) || is_marked(pid, mark));
            }
        });
        each_group(start, prefix, |group| killed |= empty(group));
        if !killed {
            break;
        }
    }
    each_group(start, prefix, |group| {
        for _ in 0..REMOVAL_TRIES {
            if platform::remove_directory(group).is_ok() {
                break;
            }
            platform::pause(PAUSE_NANOS);
        }
    });
    platform::exit(0)
}

fn worker_ended_in_order() -> bool {
    let mut byte = [0];
    loop {
        match platform::read(0, &mut byte) {
            Ok(read) => return read > 0,
            Err(platform::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Kills `pid` where `belongs` holds, and waits for its end. False where there was nothing alive to kill.
fn kill_if(pid: u64, belongs: impl Fn(u64) -> bool) -> bool {
    if !belongs(pid) {
        return false;
    }
    let Ok(handle) = platform::pidfd_open(pid) else { return false };
    // Asked again behind the handle: the number may have gone to another process in between.
    let killed = !platform::wait_readable(handle, 0) && belongs(pid) && platform::pidfd_kill(handle).is_ok();
    if killed {
        platform::wait_readable(handle, 1000);
    }
    platform::close(handle);
    killed
}

fn is_dyed(pid: u64, dye: u64) -> bool {
    dye != 0 && platform::hard_limit(pid, platform::RLIMIT_RTTIME).is_ok_and(|limit| limit >> 32 == dye >> 32)
}

fn is_marked(pid: u64, mark: &[u8]) -> bool {
    let path = Text::<64>::new().and(b"/proc/").and_number(pid).and(b"/environ");
    let Some(Ok(fd)) = path.path().map(|path| platform::open(path, platform::O_CLOEXEC)) else { return false };
    // What we start has its environment sorted, with the mark before anything long: two pages are enough for all but
    // the odd program that rearranges it, and that one is dyed.
    let mut page = [0; 8192];
    let read = platform::read(fd, &mut page).unwrap_or(0);
    platform::close(fd);
    !mark.is_empty() && page[..read].split(|b| *b == 0).any(|entry| entry.starts_with(mark))
}

/// Kills everything in a group of the dead worker.
fn empty(group: &CStr) -> bool {
    let path = Text::<4096>::new().and(group.to_bytes()).and(b"/cgroup.procs");
    let Some(Ok(fd)) = path.path().map(|path| platform::open(path, platform::O_CLOEXEC)) else { return false };
    let mut page = [0; 4096];
    let read = platform::read(fd, &mut page).unwrap_or(0);
    platform::close(fd);
    let mut killed = false;
    // The last line may be cut; the next round sees it whole.
    let whole = page[..read].iter().rposition(|b| *b == b'\n').unwrap_or(0);
    for pid in page[..whole].split(|b| *b == b'\n').filter_map(parse) {
        killed |= pid > 1 && kill_if(pid, |_| true);
    }
    killed
}

/// Calls `visit` with the path of each of our groups.
fn each_group(start: Start, prefix: &[u8], mut visit: impl FnMut(&CStr)) {
    for n in 4..start.argc {
        let parent = start.argument(n);
        each_entry(parent, |name| {
            let path = Text::<4096>::new().and(parent.to_bytes()).and(b"/").and(name);
            if let Some(path) = path.path().filter(|_| !prefix.is_empty() && name.starts_with(prefix)) {
                visit(path);
            }
        });
    }
}

/// Calls `visit` with each name in a directory.
fn each_entry(directory: &CStr, mut visit: impl FnMut(&[u8])) {
    let Ok(fd) = platform::open(directory, platform::O_DIRECTORY | platform::O_CLOEXEC) else { return };
    let mut entries = [0; 8192];
    while let Ok(read) = platform::entries(fd, &mut entries) {
        if read == 0 {
            break;
        }
        let mut rest = &entries[..read];
        // struct linux_dirent64: inode and offset of 8 bytes each, record length of 2, type of 1, name.
        while rest.len() > 19 {
            let length = usize::from(u16::from_ne_bytes([rest[16], rest[17]])).clamp(19, rest.len());
            let (entry, behind) = rest.split_at(length);
            let name = entry[19..].split(|b| *b == 0).next().unwrap_or(b"");
            if name != b"." && name != b".." {
                visit(name);
            }
            rest = behind;
        }
    }
    platform::close(fd);
}
