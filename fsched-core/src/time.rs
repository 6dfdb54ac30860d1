//! Points in time, as plain numbers: core never reads a clock, it is told `now`.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01 UTC on the clock of whoever drives (virtual time in a simulation).
///
/// A driver's timestamps never go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Time passed since `earlier`; zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Time passed since the epoch.
    pub fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// Durations in configurations as people write them: `500ms`, `30s`, `15m`.
pub mod humane {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    /// A text that is not a duration.
    #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
    #[error("{0:?} is not a duration such as 500ms, 30s, 1.5s, 15m or 2h")]
    pub struct ParseDurationError(pub String);

    /// The longest duration that is accepted, nanoseconds: a hundred years.
    const MAX_NANOS: u64 = 36_525 * 86_400 * 1_000_000_000;

    /// Reads `500ms`, `30s`, `15m`, `2h`; a bare number is seconds. Fractions are fine, signs and exponents are not.
    ///
    /// # Errors
    /// Where it is none, or longer than a hundred years.
    pub fn parse(text: &str) -> Result<Duration, ParseDurationError> {
        let error = || ParseDurationError(text.chars().take(40).collect());
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit: u64 = match unit {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" | "" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(error()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let parse = |digits: &str| -> Option<u64> {
            (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
        };
        // Digits beyond the ninth are below what any unit resolves.
        let fraction = fraction.get(..9).unwrap_or(fraction);
        let scale = 10u64.pow(fraction.len() as u32);
        let nanos = || {
            let fraction = u128::from(parse(fraction)?) * u128::from(unit) / u128::from(scale);
            let nanos = parse(whole)?.checked_mul(unit)?.checked_add(u64::try_from(fraction).ok()?)?;
            (nanos <= MAX_NANOS).then_some(nanos)
        };
        nanos().map(Duration::from_nanos).ok_or_else(error)
    }

    /// Writes it in the largest unit that needs no fraction.
    pub fn format(duration: Duration) -> String {
        let nanos = duration.as_nanos();
        let units: [(u128, &str); 5] = [
            (3_600_000_000_000, "h"),
            (60_000_000_000, "m"),
            (1_000_000_000, "s"),
            (1_000_000, "ms"),
            (1_000, "us"),
        ];
        match units.iter().find(|(size, _)| nanos > 0 && nanos.is_multiple_of(*size)) {
            Some((size, unit)) => format!("{}{unit}", nanos / size),
            None if nanos == 0 => "0s".to_owned(),
            None => format!("{nanos}ns"),
        }
    }

    /// For `#[serde(with = "humane")]`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(*duration))
    }

    /// For `#[serde(with = "humane")]`.
    ///
    /// # Errors
    /// Where the text is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }

    #[cfg(test)]
    mod tests {
        use proptest::prelude::*;

        use super::*;

        #[test]
        fn durations_read_as_people_write_them() {
            assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
            assert_eq!(parse("1.5"), Ok(Duration::from_millis(1500)));
            assert_eq!(parse("15m"), Ok(Duration::from_secs(900)));
            assert_eq!(parse("3288701476ms"), Ok(Duration::from_millis(3_288_701_476)));
            assert_eq!(parse("0.0000000019s"), Ok(Duration::from_nanos(1)));
            for text in
                ["", "s", "-1s", ".5s", "5.s", "1e3s", "1 s", "1.2.3s", "9999999999h", "5d", "inf", "NaN"]
            {
                assert!(parse(text).is_err(), "{text:?}");
            }
        }

        proptest! {
            #[test]
            fn what_is_written_reads_back(millis in 0u64..10_000_000_000) {
                let duration = Duration::from_millis(millis);
                prop_assert_eq!(parse(&format(duration)), Ok(duration));
            }

            #[test]
            fn no_text_makes_it_panic(text in ".*") {
                let _ = parse(&text);
            }
        }
    }
}
