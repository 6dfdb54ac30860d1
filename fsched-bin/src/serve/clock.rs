//! The wall clock as nodes want it: nanoseconds since 1970 that never go back.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use fsched_core::node::Now;
use fsched_core::time::Timestamp;

/// A clock that is set once, now, and then goes by the machine's steady clock.
pub(super) fn wall() -> Now {
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (set, base) = (Instant::now(), Timestamp(u64::try_from(epoch.as_nanos()).unwrap_or(u64::MAX)));
    Arc::new(move || base + set.elapsed())
}
