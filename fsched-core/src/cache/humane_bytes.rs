//! Numbers of bytes as people write them: `256MiB`, `1.5 GiB`, `65536`.
//!
//! With `#[serde(with = "cache::humane_bytes")]` for configurations, which may hold a plain number too.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;

use super::Bytes;

/// From the smallest to the largest.
const UNITS: [(&str, u128); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// A text that is not a number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a number of bytes such as 65536, 512KiB, 256MiB or 1.5GiB")]
pub struct ParseBytesError(pub String);

/// Reads a number and a unit (in any case, after at most one space); without a unit it is bytes.
///
/// # Errors
/// Where it is anything else, no whole number of bytes, or 2⁶⁴ and more.
pub fn parse(text: &str) -> Result<Bytes, ParseBytesError> {
    exact(text).map(Bytes).ok_or_else(|| ParseBytesError(text.chars().take(40).collect()))
}

fn exact(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(if unit.is_empty() { "B" } else { unit });
    let (_, size) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let whole = whole.parse::<u128>().ok()?.checked_mul(scale)?;
    let scaled = whole.checked_add(fraction.parse().ok()?)?.checked_mul(*size)?;
    if scaled % scale == 0 { u64::try_from(scaled / scale).ok() } else { None }
}

/// Writes a number of bytes exactly, in the largest unit that leaves no fraction.
pub fn format(bytes: Bytes) -> String {
    let n = u128::from(bytes.0);
    let fits = UNITS.iter().rev().find(|(_, size)| n > 0 && n.is_multiple_of(*size));
    let (name, size) = fits.unwrap_or(&UNITS[0]);
    format!("{}{name}", n / size)
}

/// For `#[serde(with)]`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*bytes))
}

/// For `#[serde(with)]`.
///
/// # Errors
/// Where it is neither a whole number nor a text with a number of bytes.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    deserializer.deserialize_any(NumberOrText)
}

struct NumberOrText;

impl Visitor<'_> for NumberOrText {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, such as 65536 or \"256MiB\"")
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Bytes, E> {
        Ok(Bytes(n))
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Bytes, E> {
        u64::try_from(n).map(Bytes).map_err(|_| E::invalid_value(de::Unexpected::Signed(n), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
        parse(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_read_as_people_write_them() {
        let good = [
            ("256MiB", Bytes::mib(256)),
            ("1.5 gib", Bytes::mib(1536)),
            ("65536", Bytes(65536)),
            ("0", Bytes(0)),
            ("7B", Bytes(7)),
            ("18446744073709551615", Bytes(u64::MAX)),
        ];
        for (text, bytes) in good {
            assert_eq!(parse(text), Ok(bytes), "{text:?}");
        }
        let bad = [
            "",
            "MiB",
            ".",
            ".5KiB",
            "1.KiB",
            "-1",
            "+1",
            "1.5",
            "1e6",
            "1 MB",
            "1  KiB",
            "1.2.3GiB",
            "16777216TiB",
            "٣",
            "18446744073709551616",
        ];
        for text in bad {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert_eq!(format(Bytes::mib(1024)), "1GiB");
        assert_eq!(format(Bytes(0)), "0B");
    }

    proptest! {
        #[test]
        fn bytes_survive_their_text(n in any::<u64>(), shift in 0u32..64) {
            let bytes = Bytes(n << shift);
            prop_assert_eq!(parse(&format(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9.]{0,60} ?([KMGT]?i?B)?|.*") {
            let _ = parse(&text);
        }
    }
}
