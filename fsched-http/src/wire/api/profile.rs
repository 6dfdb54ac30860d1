//! What a profile found, from outside: checked before anything learns from it.

use std::time::Duration;

use fsched_core::cache::Bytes;
use fsched_core::function::InputSize;
use fsched_core::master::ProfilePoint;
use fsched_core::sample::Counts;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::values;
use crate::error::ApiError;
use crate::json::JsonObject;

/// The body of `POST /functions/{function}/profile`.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
pub struct ProfileBody {
    /// On how much input: a whole number, or a string of digits.
    #[schema(value_type = u64, example = 2000)]
    pub input_size: InputSize,
    /// What each simulated cache brought: 1 to 64, by rising cache, with misses that never rise.
    #[schema(value_type = Vec<ProfilePointBody>)]
    pub points: Vec<ProfilePoint>,
}

/// One simulated cache. Only for the document: the body is taken apart key by key.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is read, and is not read itself")]
pub struct ProfilePointBody {
    /// How much cache was simulated, bytes.
    #[schema(example = 1_048_576)]
    cache_bytes: u64,
    /// The time estimated from what was counted, seconds.
    #[schema(example = 0.25)]
    seconds: f64,
    /// Misses of the last-level cache times the size of a line, bytes.
    #[schema(example = 64_000_000)]
    miss_bytes: u64,
    /// How often the last-level cache was looked into.
    #[schema(example = 2_000_000)]
    accesses: u64,
}

/// The answer of `POST /functions/{function}/profile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProfiledAnswer {
    /// That it went well.
    pub message: String,
    /// How many samples were made of it.
    pub samples: usize,
}

impl ProfileBody {
    /// The most points of a profile.
    pub const MAX_POINTS: usize = 64;
}

/// The largest cache that is believed: 1 TiB.
const MAX_CACHE: u64 = 1 << 40;
/// The most that is believed to be missed, or looked for: far more than a run of a year does.
const MAX_COUNT: u64 = 1 << 60;

impl TryFrom<JsonObject> for ProfileBody {
    type Error = ApiError;

    fn try_from(mut body: JsonObject) -> Result<Self, ApiError> {
        body.require(&["input_size", "points"])?;
        let input_size = body.take("input_size").unwrap_or_default();
        let input_size = values::input_size("input_size", &input_size)?;
        let list = match body.take("points") {
            Some(Value::Array(list)) if (1..=Self::MAX_POINTS).contains(&list.len()) => list,
            _ => return Err(ApiError::bad_value("points", format!("a list of 1 to {}", Self::MAX_POINTS))),
        };
        let points = list.into_iter().enumerate().map(|(i, value)| point(i, value));
        let points = points.collect::<Result<Vec<_>, _>>()?;
        for (i, pair) in points.windows(2).enumerate() {
            if pair[0].cache >= pair[1].cache {
                return Err(ApiError::bad_value(&key(i + 1, "cache_bytes"), "more than in the point before"));
            }
            if pair[0].counts.misses < pair[1].counts.misses {
                return Err(ApiError::bad_value(
                    &key(i + 1, "miss_bytes"),
                    "no more than in the point before, which had less cache",
                ));
            }
        }
        Ok(Self { input_size, points })
    }
}

fn point(i: usize, value: Value) -> Result<ProfilePoint, ApiError> {
    let Value::Object(point) = value else {
        return Err(ApiError::bad_value(&format!("points[{i}]"), "an object"));
    };
    Ok(ProfilePoint {
        cache: Bytes(number(i, &point, "cache_bytes", 1, MAX_CACHE)?),
        estimated: point.get("seconds").and_then(Value::as_f64).and_then(seconds).ok_or_else(|| {
            ApiError::bad_value(&key(i, "seconds"), "a number of seconds above 0, at most a year")
        })?,
        counts: Counts {
            misses: Bytes(number(i, &point, "miss_bytes", 0, MAX_COUNT)?),
            accesses: number(i, &point, "accesses", 0, MAX_COUNT)?,
        },
    })
}

fn number(i: usize, point: &Map<String, Value>, name: &str, least: u64, most: u64) -> Result<u64, ApiError> {
    let number = point.get(name).and_then(Value::as_u64).filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| ApiError::bad_value(&key(i, name), format!("a whole number from {least} to {most}")))
}

fn seconds(seconds: f64) -> Option<Duration> {
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (!duration.is_zero() && duration <= values::MAX_TIMEOUT).then_some(duration)
}

fn key(i: usize, name: &str) -> String {
    format!("points[{i}].{name}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::error::Code;
    use crate::json::tests::any_json;

    fn parse(body: Value) -> Result<ProfileBody, ApiError> {
        JsonObject::parse(body.to_string().as_bytes()).and_then(ProfileBody::try_from)
    }

    fn good() -> Value {
        json!({"input_size": "7", "points": [
            {"cache_bytes": 1 << 20, "seconds": 0.5, "miss_bytes": 6400, "accesses": 200},
            {"cache_bytes": 4 << 20, "seconds": 0.25, "miss_bytes": 0, "accesses": 200, "more": "?"},
        ]})
    }

    #[test]
    fn a_profile_is_understood() {
        let body = parse(good()).unwrap();
        let point = |mib, millis, misses| ProfilePoint {
            cache: Bytes::mib(mib),
            estimated: Duration::from_millis(millis),
            counts: Counts { misses: Bytes(misses), accesses: 200 },
        };
        let points = vec![point(1, 500, 6400), point(4, 250, 0)];
        assert_eq!(body, ProfileBody { input_size: InputSize(7), points });
    }

    #[test]
    fn what_is_wrong_is_said_precisely() {
        let bad = |pointer: &str, value: Value| {
            let mut body = good();
            *body.pointer_mut(pointer).unwrap() = value;
            parse(body).unwrap_err()
        };
        for (pointer, value, key) in [
            ("/input_size", json!(-1), "input_size"),
            ("/points", json!([]), "points"),
            ("/points", json!({}), "points"),
            ("/points", json!(vec![1; 65]), "points"),
            ("/points/1", json!(1), "points[1]"),
            ("/points/0/cache_bytes", json!(0), "points[0].cache_bytes"),
            ("/points/0/cache_bytes", json!(1.5), "points[0].cache_bytes"),
            ("/points/1/cache_bytes", json!(1u64 << 41), "points[1].cache_bytes"),
            ("/points/1/cache_bytes", json!(1 << 20), "points[1].cache_bytes"),
            ("/points/0/seconds", json!(0), "points[0].seconds"),
            ("/points/0/seconds", json!(-1e300), "points[0].seconds"),
            ("/points/0/seconds", json!(1e300), "points[0].seconds"),
            ("/points/0/seconds", json!("1"), "points[0].seconds"),
            ("/points/0/miss_bytes", json!(-1), "points[0].miss_bytes"),
            ("/points/0/miss_bytes", json!(u64::MAX), "points[0].miss_bytes"),
            ("/points/1/miss_bytes", json!(6401), "points[1].miss_bytes"),
            ("/points/0/accesses", json!(null), "points[0].accesses"),
        ] {
            let error = bad(pointer, value.clone());
            assert_eq!(error.code(), Code::BadValue, "{pointer} {value}");
            assert!(error.message().starts_with(&format!("{key} has to be")), "{pointer} {value}: {error}");
        }
        assert_eq!(parse(json!({"points": []})).unwrap_err().code(), Code::MissingKeys);
    }

    proptest! {
        #[test]
        fn any_json_is_understood_or_the_clients_fault(mut body in any_json(), points in any_json()) {
            if let Value::Object(body) = &mut body {
                body.insert("input_size".to_owned(), json!(1));
                body.insert("points".to_owned(), json!([points]));
            }
            if let Err(error) = parse(body) {
                prop_assert!(error.code().status().is_client_error(), "{}", error);
            }
        }
    }
}
