//! JSON bodies, taken apart key by key, so that what is wrong with one can be said precisely.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::error::{ApiError, Code};

/// The largest JSON body, bytes.
pub const MAX_JSON: usize = 1 << 20;

/// How long a body that is read whole may take to arrive.
const SLOWEST: Duration = Duration::from_secs(30);

/// A body that is a JSON object. What the content type says does not matter: clients of old say nothing.
///
/// Keys that nobody takes are ignored, and so are keys whose value is `null`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JsonObject(Map<String, Value>);

impl JsonObject {
    /// Reads an object.
    ///
    /// # Errors
    /// `bad_json` where it is none.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(keys)) => Ok(Self(keys)),
            Ok(_) => Err(ApiError::new(Code::BadJson, "the body has to be a JSON object")),
            Err(_) if body.trim_ascii().is_empty() => {
                Err(ApiError::new(Code::BadJson, "the body is empty, it has to be a JSON object"))
            }
            Err(error) => Err(ApiError::new(Code::BadJson, format!("the body is not JSON: {error}"))),
        }
    }

    /// Checks that all of `keys` are there.
    ///
    /// # Errors
    /// `missing_keys`, naming those that are not.
    pub fn require(&self, keys: &[&str]) -> Result<(), ApiError> {
        let there = |key: &&str| self.0.get(*key).is_some_and(|value| !value.is_null());
        let missing: Vec<&str> = keys.iter().filter(|key| !there(key)).copied().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!("Required keys not specified: {}", missing.join(", "));
        Err(ApiError::new(Code::MissingKeys, message))
    }

    /// Takes a value out; `None` where it is not there, or `null`.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key).filter(|value| !value.is_null())
    }

    /// Takes a text.
    ///
    /// # Errors
    /// `bad_value` where it is something else.
    pub fn take_text(&mut self, key: &str) -> Result<Option<String>, ApiError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ApiError::bad_value(key, "a string")),
        }
    }

    /// Takes a truth value.
    ///
    /// # Errors
    /// `bad_value` where it is something else.
    pub fn take_bool(&mut self, key: &str) -> Result<Option<bool>, ApiError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(ApiError::bad_value(key, "true or false")),
        }
    }

    /// Takes an object.
    ///
    /// # Errors
    /// `bad_value` where it is something else.
    pub fn take_object(&mut self, key: &str) -> Result<Option<Map<String, Value>>, ApiError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Object(value)) => Ok(Some(value)),
            Some(_) => Err(ApiError::bad_value(key, "an object")),
        }
    }
}

impl FromRequest for JsonObject {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let payload = web::Payload::from_request(request, payload).into_inner();
        Box::pin(async move {
            let payload = payload.map_err(|error| ApiError::new(Code::BadJson, error.to_string()))?;
            Self::parse(&read_body(payload, MAX_JSON).await?)
        })
    }
}

/// The whole body, where it is no larger than `limit`.
///
/// # Errors
/// `too_large`, `request_timeout`, or `bad_json` where it does not arrive whole.
pub async fn read_body(payload: web::Payload, limit: usize) -> Result<web::Bytes, ApiError> {
    let Ok(body) = timeout(SLOWEST, payload.to_bytes_limited(limit)).await else {
        return Err(ApiError::new(Code::RequestTimeout, "the body did not arrive in time"));
    };
    match body {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => {
            Err(ApiError::new(Code::BadJson, format!("the body did not arrive whole: {error}")))
        }
        Err(_) => {
            Err(ApiError::new(Code::TooLarge, format!("the body is larger than the limit of {limit} bytes")))
        }
    }
}

/// An object, or nothing at all: for requests whose body is optional.
///
/// # Errors
/// `bad_json` where it is something else.
pub fn parse_optional(body: &[u8]) -> Result<JsonObject, ApiError> {
    if body.trim_ascii().is_empty() { Ok(JsonObject::default()) } else { JsonObject::parse(body) }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any JSON, with the keys that matter often among its keys.
    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let key = prop_oneof![
            Just("command".to_owned()),
            Just("task_id".to_owned()),
            Just("input_size".to_owned()),
            Just("timeout".to_owned()),
            Just("idempotent".to_owned()),
            Just("function_name".to_owned()),
            Just("parameters".to_owned()),
            Just("host".to_owned()),
            Just("draining".to_owned()),
            ".{0,8}",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,16}".prop_map(Value::from),
            "f-[0-9]{1,20}".prop_map(Value::from),
            "[0-9]{1,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 48, 8, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(key.clone(), inner, 0..8)
                    .prop_map(|keys| Value::Object(keys.into_iter().collect())),
            ]
        })
    }

    fn object(text: &str) -> JsonObject {
        JsonObject::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn missing_keys_are_named() {
        let error = object(r#"{"a": 1, "b": null}"#).require(&["a", "b", "c"]).unwrap_err();
        assert_eq!(error.code(), Code::MissingKeys);
        assert_eq!(error.message(), "Required keys not specified: b, c");
    }

    #[test]
    fn what_is_no_object_is_bad_json() {
        let deep = "[".repeat(100_000);
        for text in ["", " ", "null", "[]", "1", "\"x\"", "{", "{]", r#"{"a": 1} x"#, "\u{feff}{}", &deep] {
            assert_eq!(JsonObject::parse(text.as_bytes()).unwrap_err().code(), Code::BadJson, "{text:.20}");
        }
        assert_eq!(JsonObject::parse(b"{\"a\": \"\xff\"}").unwrap_err().code(), Code::BadJson);
    }

    #[test]
    fn wrong_types_name_the_key() {
        let mut body = object(r#"{"text": 1, "flag": "yes", "object": []}"#);
        assert_eq!(body.take_text("text").unwrap_err().message(), "text has to be a string");
        assert_eq!(body.take_bool("flag").unwrap_err().message(), "flag has to be true or false");
        assert_eq!(body.take_object("object").unwrap_err().message(), "object has to be an object");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            if let Err(error) = JsonObject::parse(&bytes) {
                prop_assert_eq!(error.code(), Code::BadJson);
            }
        }
    }
}
