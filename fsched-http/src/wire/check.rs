//! What is wrong with a body that was read, in words for the log of whoever sent it.

use std::fmt;
use std::time::Duration;

use fsched_core::cluster::PROTOCOL_VERSION;

/// A body that is JSON of the right shape and still cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The other side speaks another version.
    #[error("it speaks protocol version {found}, we speak {PROTOCOL_VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// A value breaks a rule.
    #[error("{key}: {reason}")]
    Value {
        /// Which.
        key: &'static str,
        /// What the rule is.
        reason: String,
    },
}

impl WireError {
    pub(super) fn value(key: &'static str, reason: impl fmt::Display) -> Self {
        Self::Value { key, reason: reason.to_string() }
    }
}

/// Longer than anything that we have to do with: times that add up to more would overflow somewhere.
const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

pub(super) fn version(found: u32) -> Result<(), WireError> {
    if found == PROTOCOL_VERSION { Ok(()) } else { Err(WireError::Version { found }) }
}

pub(super) fn at_most<T: PartialOrd + fmt::Display>(
    key: &'static str,
    value: T,
    most: T,
) -> Result<(), WireError> {
    if value <= most { Ok(()) } else { Err(WireError::value(key, format!("{value} is more than {most}"))) }
}

/// Checks that the durations, added up, stay within a century.
pub(super) fn durations(key: &'static str, all: impl IntoIterator<Item = Duration>) -> Result<(), WireError> {
    let total = all.into_iter().try_fold(Duration::ZERO, Duration::checked_add);
    match total {
        Some(total) if total <= CENTURY => Ok(()),
        _ => Err(WireError::value(key, "longer than a century")),
    }
}

/// Checks a text for people: what it may not do is fill a log or move the cursor of a terminal.
pub(super) fn plain_text(key: &'static str, text: &str, most: usize) -> Result<(), WireError> {
    at_most(key, text.len(), most)?;
    if text.chars().any(char::is_control) {
        return Err(WireError::value(key, "contains control characters"));
    }
    Ok(())
}
