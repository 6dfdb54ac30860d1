//! Who is in which class: threads and running tasks of the worker's groups.

use std::io;
use std::sync::Arc;

use super::fs::{FsError, ResctrlFs, Told};
use crate::allocator::Monitored;
use crate::cache::{ClosId, DomainId};

/// Puts threads and running tasks into classes, beside the allocator and without waiting for it.
#[derive(Clone)]
pub struct Membership {
    pub(super) fs: Arc<dyn ResctrlFs>,
    /// The group of class `i + 1` at `i`.
    pub(super) groups: Arc<[String]>,
}

impl Membership {
    /// Makes the calling thread a member of a class: what it starts from now on is born there, in whatever domain.
    ///
    /// # Errors
    /// The kernel's, with what was written and what it said.
    pub fn join(&self, class: ClosId) -> Result<(), FsError> {
        self.write(class, "0")
    }

    /// Makes a running task (a thread, by its number) a member of a class. Tasks that are gone are ESRCH.
    ///
    /// # Errors
    /// The kernel's, with what was written and what it said.
    pub fn admit(&self, class: ClosId, task: u32) -> Result<(), FsError> {
        self.write(class, &task.to_string())
    }

    /// What monitoring says of a class in a domain.
    pub fn monitor(&self, domain: DomainId, class: ClosId) -> Monitored {
        super::monitor::read(&*self.fs, self.group(class), domain)
    }

    /// The classes that there are, class 0 included.
    pub fn classes(&self) -> impl Iterator<Item = ClosId> + use<> {
        (0..=u16::try_from(self.groups.len()).unwrap_or(u16::MAX)).map(ClosId)
    }

    fn write(&self, class: ClosId, text: &str) -> Result<(), FsError> {
        let path = match self.group(class) {
            Some("") => "tasks".to_owned(),
            Some(group) => format!("{group}/tasks"),
            None => format!("(class {class})/tasks"),
        };
        Told(&*self.fs).write(&path, text)
    }

    fn group(&self, class: ClosId) -> Option<&str> {
        match usize::from(class.0).checked_sub(1) {
            None => Some(""),
            Some(index) => self.groups.get(index).map(String::as_str),
        }
    }
}

/// So that the number of the error is seen where only the system's errors are expected.
impl From<FsError> for io::Error {
    fn from(error: FsError) -> Self {
        match error.errno() {
            Some(number @ (libc::ESRCH | libc::ENOENT)) => io::Error::from_raw_os_error(number),
            _ => io::Error::other(error),
        }
    }
}
