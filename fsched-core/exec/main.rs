//! fsched-exec: what has to happen inside a new process before it becomes a function.
//!
//! | file | what |
//! | --- | --- |
//! | `launch.rs` | as `fsched-exec`: limits, marks, parent-death signal, then the function's program |
//! | `guard.rs` | as `fsched-guard`: outlives a worker that was killed, and ends what it left behind |
//! | `text.rs` | numbers and paths without an allocator |
//! | `without_libc.rs` | the system calls, raw |
//! | `with_libc.rs` | the same over libc, for architectures that the raw one does not know |
//!
//! Built by fsched-core's build script and embedded there. It has neither std nor an allocator, because a program
//! that starts up costs as much as the function's own spawn, and this one stands in every spawn's way.

#![no_std]
#![no_main]
#![deny(unsafe_op_in_unsafe_fn)]

mod guard;
mod launch;
#[cfg_attr(fsched_libc, path = "with_libc.rs")]
#[cfg_attr(not(fsched_libc), path = "without_libc.rs")]
mod platform;
mod text;

use core::ffi::{CStr, c_char};

/// The exit status of a process that never became a function; the reason is on the status pipe.
const NOT_STARTED: i32 = 127;

/// What the kernel put on the stack: arguments and environment, each ended by a null pointer.
#[derive(Clone, Copy)]
struct Start {
    argc: usize,
    argv: *const *const c_char,
    envp: *const *const c_char,
}

impl Start {
    /// The argument with this number; empty where there is none.
    fn argument(&self, n: usize) -> &'static CStr {
        if n >= self.argc {
            return c"";
        }
        // SAFETY: the kernel gives `argc` pointers to strings that live as long as the process.
        unsafe { CStr::from_ptr(*self.argv.add(n)) }
    }

    /// The value of an environment variable; `name` ends with `=`.
    fn variable(&self, name: &[u8]) -> Option<&'static [u8]> {
        let mut n = 0;
        loop {
            // SAFETY: the list ends with a null pointer, behind which we do not read.
            let entry = unsafe { *self.envp.add(n) };
            if entry.is_null() {
                return None;
            }
            // SAFETY: entries are strings that live as long as the process.
            let entry = unsafe { CStr::from_ptr(entry) }.to_bytes();
            if let Some(value) = entry.strip_prefix(name) {
                return Some(value);
            }
            n += 1;
        }
    }
}

fn main(start: Start) -> ! {
    match start.argument(0).to_bytes() {
        b"fsched-guard" => guard::run(start),
        _ => launch::run(start),
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    platform::exit(NOT_STARTED)
}

/// Nothing unwinds here, but the compiled `core` names it where the linker keeps a part that could.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
