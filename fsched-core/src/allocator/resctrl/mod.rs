//! Masks that hardware enforces, through the kernel's resctrl filesystem.
//!
//! | file | what |
//! | --- | --- |
//! | `fs.rs` | [`ResctrlFs`]: what there is to do with such a filesystem, and its errors |
//! | `directory.rs` | [`Directory`]: the kernel's, or plain files |
//! | `fake/` | `FakeKernel`: one that only pretends, with the kernel's rules and failures on demand (feature `test-util`) |
//! | `replay.rs` | a script of operations, for comparing two of them (feature `test-util`) |

mod directory;
#[cfg(any(test, feature = "test-util"))]
pub mod fake;
mod fs;
#[cfg(any(test, feature = "test-util"))]
pub mod replay;

pub use self::directory::Directory;
pub use self::fs::{Act, FsError, ResctrlFs};
