//! Values as clients write them: sizes, durations, counts.

use std::time::Duration;

use fsched_core::cache::Bytes;
use fsched_core::function::InputSize;
use serde_json::Value;

use crate::error::ApiError;

/// The longest time limit that can be asked for: a year.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

const INPUT_SIZE_RULE: &str =
    "a whole number from 0 to 18446744073709551615, as a number or as a string of digits";
const TIMEOUT_RULE: &str =
    "a number of seconds above 0, or a string such as \"500ms\", \"30s\" or \"5m\"; at most a year";
const BYTES_RULE: &str =
    "a whole number of bytes above 0, or a string such as \"64KiB\", \"256MiB\" or \"1GiB\"";

/// An input size: a number, or a string of digits.
///
/// # Errors
/// `bad_value`, naming `key`.
pub fn input_size(key: &str, value: &Value) -> Result<InputSize, ApiError> {
    let size = match value {
        Value::Number(number) => number.as_u64().map(InputSize),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    size.ok_or_else(|| ApiError::bad_value(key, INPUT_SIZE_RULE))
}

/// A time limit: a number of seconds, or a text with a unit.
///
/// # Errors
/// `bad_value`, naming `key`.
pub fn timeout(key: &str, value: &Value) -> Result<Duration, ApiError> {
    match value {
        Value::Number(number) => number.as_f64().and_then(seconds),
        Value::String(text) => parse_timeout(text),
        _ => None,
    }
    .ok_or_else(|| ApiError::bad_value(key, TIMEOUT_RULE))
}

/// A time limit in a form field.
///
/// # Errors
/// `bad_value`, naming `key`.
pub fn timeout_text(key: &str, text: &str) -> Result<Duration, ApiError> {
    parse_timeout(text).ok_or_else(|| ApiError::bad_value(key, TIMEOUT_RULE))
}

/// An amount of memory in a form field.
///
/// # Errors
/// `bad_value`, naming `key`.
pub fn bytes_text(key: &str, text: &str) -> Result<Bytes, ApiError> {
    parse_bytes(text.trim()).ok_or_else(|| ApiError::bad_value(key, BYTES_RULE))
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let text = text.trim();
    // `ms` before `s` and `m`: both would match it.
    for (unit, factor) in [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return seconds(decimal(number.trim_end())? * factor);
        }
    }
    None
}

/// Digits, at most one point among them: no sign, no exponent, no words.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if plain { text.parse().ok() } else { None }
}

fn seconds(seconds: f64) -> Option<Duration> {
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (!duration.is_zero() && duration <= MAX_TIMEOUT).then_some(duration)
}

fn parse_bytes(text: &str) -> Option<Bytes> {
    for (unit, shift) in [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("", 0)] {
        if let Some(number) = text.strip_suffix(unit) {
            let number = number.trim_end();
            if !number.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let bytes = number.parse::<u64>().ok()?.checked_mul(1 << shift)?;
            return (bytes > 0).then_some(Bytes(bytes));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::error::Code;

    #[test]
    fn input_sizes_are_numbers_or_digits() {
        for (value, size) in [
            (json!(0), 0),
            (json!(1024), 1024),
            (json!("2000"), 2000),
            (json!("00"), 0),
            (json!(u64::MAX), u64::MAX),
            (json!(u64::MAX.to_string()), u64::MAX),
        ] {
            assert_eq!(input_size("input_size", &value).unwrap(), InputSize(size), "{value}");
        }
        for value in [
            json!(-1),
            json!(1.5),
            json!(1e30),
            json!("-1"),
            json!("1.0"),
            json!(""),
            json!(" 1"),
            json!("18446744073709551616"),
            json!("../1"),
            json!(true),
            json!([1]),
            json!({"n": 1}),
        ] {
            let error = input_size("input_size", &value).unwrap_err();
            assert_eq!(error.code(), Code::BadValue, "{value}");
            assert!(error.message().starts_with("input_size has to be a whole number"), "{value}");
        }
    }

    #[test]
    fn timeouts_are_seconds_or_have_a_unit() {
        for (value, millis) in [
            (json!(2), 2000),
            (json!(0.25), 250),
            (json!("500ms"), 500),
            (json!("30s"), 30_000),
            (json!("5m"), 300_000),
            (json!("1.5"), 1500),
            (json!("2 s"), 2000),
        ] {
            assert_eq!(timeout("timeout", &value).unwrap(), Duration::from_millis(millis), "{value}");
        }
        for value in [
            json!(0),
            json!(-1),
            json!(1e300),
            json!("inf"),
            json!("nan"),
            json!("-3s"),
            json!("s"),
            json!("."),
            json!("1e3"),
            json!("1d"),
            json!(""),
            json!(null),
            json!(false),
        ] {
            assert_eq!(timeout("timeout", &value).unwrap_err().code(), Code::BadValue, "{value}");
        }
    }

    #[test]
    fn memory_is_bytes_or_has_a_unit() {
        for (text, bytes) in [("1", 1), ("64KiB", 64 << 10), ("256 MiB", 256 << 20), ("1GiB", 1 << 30)] {
            assert_eq!(bytes_text("memory", text).unwrap(), Bytes(bytes), "{text}");
        }
        for text in ["", "0", "0MiB", "-1", "1.5GiB", "MiB", "1KB", "99999999999TiB", "+1", "１"] {
            assert_eq!(bytes_text("memory", text).unwrap_err().code(), Code::BadValue, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text in ".{0,40}", number in any::<f64>()) {
            let _ = bytes_text("k", &text);
            if let Ok(limit) = timeout_text("k", &text) {
                prop_assert!(limit > Duration::ZERO && limit <= MAX_TIMEOUT);
            }
            let _ = timeout("k", &json!(number));
            let _ = input_size("k", &json!(number));
        }
    }
}
