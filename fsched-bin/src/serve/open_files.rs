//! How many files and connections a server may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes all that the system allows. The usual 1,024 are the soft limit for programs that wait by `select`, and fewer than
/// a worker of 64 cores or a master with a full queue needs. Functions get limits of their own.
pub(super) fn take_all_allowed() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, ?current, ?maximum, "no more files can be open at once than before");
    }
}
