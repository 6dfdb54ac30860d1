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

/// A part of its source that needs no process to be tested.
#[cfg(test)]
#[path = "../../../exec/text.rs"]
mod text;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::text::{Text, next_number, parse};

    proptest! {
        #[test]
        fn fsched_exec_reads_the_numbers_that_it_is_told(numbers in prop::collection::vec(any::<u64>(), 0..12)) {
            let told = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
            let mut rest = told.as_bytes();
            for number in &numbers {
                prop_assert_eq!(next_number(&mut rest), Some(*number));
                let written = Text::<32>::new().and_number(*number);
                prop_assert_eq!(written.bytes().to_vec(), number.to_string().into_bytes());
            }
            prop_assert_eq!(next_number(&mut rest), None);
        }

        #[test]
        fn fsched_exec_takes_nothing_for_a_number_that_is_none(text in ".{0,24}") {
            prop_assert_eq!(parse(text.as_bytes()), text.parse().ok().filter(|_| !text.starts_with('+')));
        }

        #[test]
        fn a_path_of_fsched_exec_is_whole_or_none(parts in prop::collection::vec("[a-z/]{0,12}", 0..8)) {
            let whole = parts.concat();
            let text = parts.iter().fold(Text::<32>::new(), |text, part| text.and(part.as_bytes()));
            let path = text.path().map(|path| path.to_str().unwrap().to_owned());
            prop_assert_eq!(path, (whole.len() < 32).then_some(whole));
        }
    }
}
