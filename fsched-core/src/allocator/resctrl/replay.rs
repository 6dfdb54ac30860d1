//! A script of operations, replayed on any resctrl filesystem, so that two of them can be compared answer by answer.

use super::fs::ResctrlFs;

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Make a group.
    MakeGroup(String),
    /// Remove a group.
    RemoveGroup(String),
    /// Write to a file.
    Write {
        /// Which.
        path: String,
        /// What.
        text: String,
    },
    /// Read a file.
    Read(String),
    /// List the directories in a directory.
    List(String),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The number of the error; none: it worked.
    pub errno: Option<i32>,
    /// What was read or listed (a name per line).
    pub text: String,
    /// What `info/last_cmd_status` says after it.
    pub status: String,
}

/// Does all of it, one after the other.
pub fn replay(fs: &dyn ResctrlFs, script: &[Operation]) -> Vec<Answer> {
    let answer = |operation: &Operation| {
        let result = match operation {
            Operation::MakeGroup(path) => fs.make_group(path).map(|()| String::new()),
            Operation::RemoveGroup(path) => fs.remove_group(path).map(|()| String::new()),
            Operation::Write { path, text } => fs.write(path, text).map(|()| String::new()),
            Operation::Read(path) => fs.read(path),
            Operation::List(path) => fs.directories(path).map(|names| names.join("\n")),
        };
        let errno = result.as_ref().err().and_then(std::io::Error::raw_os_error);
        let status = fs.read("info/last_cmd_status").unwrap_or_default();
        Answer { errno, text: result.unwrap_or_default(), status }
    };
    script.iter().map(answer).collect()
}
