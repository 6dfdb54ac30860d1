//! The one system call that no library offers.
#![expect(unsafe_code, reason = "neither rustix nor libc has a function for landlock's system calls")]

use std::io;
use std::ptr;

/// `LANDLOCK_CREATE_RULESET_VERSION`: asks for the version of the interface, and makes no rule set.
const ASK_FOR_VERSION: libc::c_uint = 1;

/// The version of landlock's interface (landlock_create_ruleset(2)).
pub(super) fn landlock_version() -> io::Result<u32> {
    // SAFETY: with this flag the kernel takes a null pointer and the size 0, reads no memory, and opens nothing.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::null::<libc::c_void>(),
            0_usize,
            ASK_FOR_VERSION,
        )
    };
    u32::try_from(version).map_err(|_| io::Error::last_os_error())
}
