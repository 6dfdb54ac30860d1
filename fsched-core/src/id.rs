//! Names of things: small numbers with a text form, minted by whoever owns the counter.
//!
//! | id | text | minted by |
//! | --- | --- | --- |
//! | [`FunctionId`] | `f-17` | the master |
//! | [`WorkerId`] | `w-3` | the master |
//! | [`InvocationId`] | `i-204` | the master |
//! | [`BenchmarkId`] | `b-5` | the master |
//! | [`AttemptId`] | `i-204.1` | the master, one per try to run an invocation |
//! | [`WorkerKey`] | 32 hex digits | the worker, at random, once |
//! | [`ContentHash`] | 64 hex digits | SHA-256 of a function's file |

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
#[non_exhaustive]
pub struct ParseIdError {
    /// What was found, cut to 80 characters.
    pub text: String,
    /// What was expected, with an example.
    pub expected: &'static str,
}

impl ParseIdError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), expected }
    }
}

/// The number behind `prefix`, written the one way we write it: no sign, no leading zero.
fn parse_number(text: &str, prefix: &str) -> Option<u64> {
    let digits = text.strip_prefix(prefix)?;
    let canonical = digits == "0" || !digits.starts_with('0');
    if !canonical || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

macro_rules! numbered_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_number(text, $prefix).map(Self).ok_or_else(|| ParseIdError::new(text, $expected))
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

numbered_id!(
    /// One version of an uploaded function; the REST API calls it `task_id`.
    FunctionId, "f-", "a function id such as f-17"
);
numbered_id!(
    /// A worker, as the master knows it; stays the same when either side restarts.
    WorkerId, "w-", "a worker id such as w-3"
);
numbered_id!(
    /// One run of a function that was asked for.
    InvocationId, "i-", "an invocation id such as i-204"
);
numbered_id!(
    /// One benchmark: a row of runs of the same function and input size.
    BenchmarkId, "b-", "a benchmark id such as b-5"
);

/// One try to run an invocation. A second try is made only where the caller allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttemptId {
    /// What is being run.
    pub invocation: InvocationId,
    /// The try, counted from 0.
    pub attempt: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.invocation, self.attempt)
    }
}

impl FromStr for AttemptId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let parse = || {
            let (invocation, attempt) = text.split_once('.')?;
            let attempt = u32::try_from(parse_number(attempt, "")?).ok()?;
            Some(Self { invocation: invocation.parse().ok()?, attempt })
        };
        parse().ok_or_else(|| ParseIdError::new(text, "an attempt id such as i-204.0"))
    }
}

impl TryFrom<String> for AttemptId {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        text.parse()
    }
}

impl From<AttemptId> for String {
    fn from(id: AttemptId) -> String {
        id.to_string()
    }
}

/// `N` bytes written as `2·N` lowercase hex digits.
fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// The same, the other way round.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)].into());
        text.push(DIGITS[usize::from(byte & 15)].into());
    }
    text
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; $bytes]);

        impl Hash for $name {
            /// Any part of it is as good as all: it is a hash, or random.
            fn hash<H: Hasher>(&self, state: &mut H) {
                let [a, b, c, d, e, f, g, h, ..] = self.0;
                state.write_u64(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&hex(&self.0))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text).map(Self).ok_or_else(|| ParseIdError::new(text, $expected))
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                hex(&id.0)
            }
        }
    };
}

hex_id!(
    /// Who a worker is, wherever it listens: random, kept in its state directory.
    WorkerKey, 16, "a worker key of 32 lowercase hex digits"
);
hex_id!(
    /// SHA-256 of a function's file: how files are named, compared and fetched.
    ContentHash, 32, "a SHA-256 hash of 64 lowercase hex digits"
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_read_as_they_are_written() {
        assert_eq!(FunctionId(17).to_string(), "f-17");
        assert_eq!("i-204.1".parse(), Ok(AttemptId { invocation: InvocationId(204), attempt: 1 }));
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in ["", "f-", "f-01", "f-+1", "f--1", "f-1 ", "w-1", "f-99999999999999999999", "../f-1"] {
            assert!(text.parse::<FunctionId>().is_err(), "{text:?}");
        }
        for text in ["i-1", "i-1.", "i-1.01", "i-1.4294967296", ".0"] {
            assert!(text.parse::<AttemptId>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_id_survives_its_text(n in any::<u64>(), attempt in any::<u32>(), bytes in any::<[u8; 32]>()) {
            let attempt = AttemptId { invocation: InvocationId(n), attempt };
            prop_assert_eq!(attempt.to_string().parse(), Ok(attempt));
            prop_assert_eq!(WorkerId(n).to_string().parse(), Ok(WorkerId(n)));
            let hash = ContentHash(bytes);
            prop_assert_eq!(hash.to_string().parse(), Ok(hash));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in ".*") {
            let _ = text.parse::<FunctionId>();
            let _ = text.parse::<AttemptId>();
            let _ = text.parse::<WorkerKey>();
        }
    }
}
