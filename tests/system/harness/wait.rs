//! Waiting for a condition, with a limit.

use std::time::{Duration, Instant};

/// How long anything may take on a machine that is busy with other things. Nothing is measured by it: what never comes
/// fails a test, what comes late does not.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until `look` finds something.
#[track_caller]
pub(crate) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited {LIMIT:?} in vain: {what}");
        std::thread::park_timeout(LOOK_EVERY);
    }
}
