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

    /// The longest duration that is accepted: a hundred years.
    const MAX_SECONDS: f64 = 100.0 * 365.25 * 86_400.0;

    /// Reads `500ms`, `30s`, `15m`, `2h`; a bare number is seconds. Fractions are fine, signs and exponents are not.
    ///
    /// # Errors
    /// Where it is none, or longer than a hundred years.
    pub fn parse(text: &str) -> Result<Duration, ParseDurationError> {
        let error = || ParseDurationError(text.chars().take(40).collect());
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit = match unit {
            "ns" => 1e-9,
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" | "" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(error()),
        };
        let seconds = number.parse::<f64>().map_err(|_| error())? * unit;
        if seconds > MAX_SECONDS {
            return Err(error());
        }
        // Rounded to the nanosecond, so that what is written reads back as the same.
        Ok(Duration::from_nanos((seconds * 1e9).round() as u64))
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
            for text in ["", "s", "-1s", "1e3s", "1 s", "1.2.3s", "9999999999h", "5d", "inf", "NaN"] {
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
