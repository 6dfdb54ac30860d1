//! Drives a master or a worker: performs what they want done, and tells them what came of it.
//!
//! | file | what |
//! | --- | --- |
//! | `files.rs` | [`FileStore`]: functions' files by content hash |

mod files;

pub use files::{FileError, FileStore, FileWriter};
