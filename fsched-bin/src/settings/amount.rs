//! Spans of time and amounts of memory, as people write them in files, variables and flags.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use fsched_core::cache::{Bytes, humane_bytes};
use fsched_core::time::humane;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A span of time: `500ms`, `30s`, `5m`, `2h`, or a number of seconds, which may be fractional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// An amount of memory: `64KiB`, `256MiB`, `1GiB`, or a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub Bytes);

/// A text that is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseAmountError {
    text: String,
    expected: &'static str,
}

const A_SPAN: &str = "a span of time such as 500ms, 30s, 5m or 2h";
const A_SIZE: &str = "an amount of memory such as 64KiB, 256MiB or 1GiB";

impl FromStr for Span {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, ParseAmountError> {
        humane::parse(text.trim()).map(Self).map_err(|_| ParseAmountError::new(text, A_SPAN))
    }
}

impl FromStr for Size {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, ParseAmountError> {
        humane_bytes::parse(text.trim()).map(Self).map_err(|_| ParseAmountError::new(text, A_SIZE))
    }
}

impl ParseAmountError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(40).collect(), expected }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&humane::format(self.0))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&humane_bytes::format(self.0))
    }
}

/// Reads a text with a unit, or a bare number in the base unit.
struct Amount<T> {
    expected: &'static str,
    from_number: fn(f64) -> Option<T>,
}

impl<T: FromStr<Err = ParseAmountError>> Visitor<'_> for Amount<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        (self.from_number)(number).ok_or_else(|| E::invalid_value(de::Unexpected::Float(number), &self))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let from_number = |seconds: f64| format!("{seconds}").parse().ok();
        deserializer.deserialize_any(Amount { expected: A_SPAN, from_number })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Amount { expected: A_SIZE, from_number: |_| None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_and_without_a_unit() {
        let millis = |text: &str| text.parse::<Span>().map(|span| span.0.as_millis());
        assert_eq!(millis("500ms"), Ok(500));
        assert_eq!(millis("30s"), Ok(30_000));
        assert_eq!(millis("1.5"), Ok(1_500));
        assert_eq!(millis("5m"), Ok(300_000));
        assert_eq!(millis("2h"), Ok(7_200_000));
        for text in ["", "s", "-1s", "1e3", "inf", "nan", "1..2", "1d", "99999999999999h", "1s2"] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        let bytes = |text: &str| text.parse::<Size>().map(|size| size.0.0);
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("1 GiB"), Ok(1 << 30));
        assert_eq!(bytes("1024"), Ok(1024));
        for text in ["", "KiB", "-1", "1.3B", "1MB", "18446744073709551615KiB", "1e3"] {
            assert!(text.parse::<Size>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn amounts_in_a_file_may_be_texts_or_numbers() {
        #[derive(serde::Deserialize)]
        struct Holder {
            span: Span,
            size: Size,
        }
        let read = |text: &str| toml::from_str::<Holder>(text).map(|h| (h.span.0.as_millis(), h.size.0.0));
        assert_eq!(read("span = \"30s\"\nsize = \"1KiB\"").unwrap(), (30_000, 1024));
        assert_eq!(read("span = 2\nsize = 7").unwrap(), (2_000, 7));
        assert_eq!(read("span = 0.25\nsize = 7").unwrap(), (250, 7));
        assert!(read("span = -1\nsize = 7").is_err());
        assert!(read("span = 1\nsize = 1.5").is_err());
    }
}
