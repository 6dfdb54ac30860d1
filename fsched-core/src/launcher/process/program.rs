//! fsched-exec, embedded and ready to be executed.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

static IMAGE: &[u8] = include_bytes!(env!("FSCHED_EXEC"));

/// The program in a sealed piece of memory: nobody can change it, and no file system has to allow it.
#[derive(Debug)]
pub(super) struct Program {
    // Open as long as the path is used.
    _memory: File,
    path: PathBuf,
}

impl Program {
    pub(super) fn new() -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = match memfd_create("fsched-exec", flags | MemfdFlags::EXEC) {
            // Kernels before 6.3 know no such flag, and need none.
            Err(Errno::INVAL) => memfd_create("fsched-exec", flags)?,
            made => made?,
        };
        let mut memory = File::from(memory);
        memory.write_all(IMAGE)?;
        fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let path = format!("/proc/self/fd/{}", memory.as_raw_fd()).into();
        Ok(Self { _memory: memory, path })
    }

    /// Where a child of this process finds it.
    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }
}
