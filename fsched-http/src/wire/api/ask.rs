//! What clients ask for, checked key by key.

use std::sync::Arc;
use std::time::Duration;

use fsched_core::function::{Command, FunctionName, InputSize};
use fsched_core::id::FunctionId;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::values;
use crate::error::{ApiError, Code};
use crate::json::JsonObject;

/// The body of `POST /controller/task/run` and `POST /controller/task/benchmark`.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
pub struct RunBody {
    /// What to run it with: `{command} {file} {input_size}`, split like a shell splits words, without a shell.
    #[schema(value_type = String, example = "python3")]
    pub command: Command,
    /// The function, as `/controller/task/new` named it.
    #[schema(value_type = String, example = "f-1")]
    pub task_id: FunctionId,
    /// How much input: a whole number, or a string of digits.
    #[schema(value_type = u64, example = 2000)]
    pub input_size: InputSize,
    /// How long it may take: seconds, or a string such as "500ms"; without it, the function's own limit.
    #[schema(value_type = Option<f64>, example = 30)]
    pub timeout: Option<Duration>,
    /// Whether it may be run again when its worker is lost.
    #[schema(value_type = Option<bool>)]
    pub idempotent: bool,
}

impl TryFrom<JsonObject> for RunBody {
    type Error = ApiError;

    fn try_from(mut body: JsonObject) -> Result<Self, ApiError> {
        body.require(&["command", "task_id", "input_size"])?;
        let command = body.take_text("command")?.unwrap_or_default();
        let task_id = body.take("task_id").unwrap_or_default();
        let input_size = body.take("input_size").unwrap_or_default();
        Ok(Self {
            task_id: function_id(&task_id)?,
            input_size: values::input_size("input_size", &input_size)?,
            command: parse_command(command)?,
            timeout: take_timeout(&mut body)?,
            idempotent: body.take_bool("idempotent")?.unwrap_or(false),
        })
    }
}

/// The body of `POST /submit`.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
pub struct SubmitBody {
    /// The name the function was pushed under; its newest version runs.
    #[schema(value_type = String, example = "resize")]
    pub function_name: FunctionName,
    /// What the function reads from standard input, as it was written here; `{}` where there is nothing.
    #[schema(value_type = Option<Object>)]
    pub parameters: Arc<str>,
    /// `parameters.input_size`, else the length of the parameters in bytes.
    #[schema(ignore)]
    pub input_size: InputSize,
    /// How long it may take: seconds, or a string such as "500ms"; without it, the function's own limit.
    #[schema(value_type = Option<f64>, example = 30)]
    pub timeout: Option<Duration>,
    /// Whether it may be run again when its worker is lost.
    #[schema(value_type = Option<bool>)]
    pub idempotent: bool,
}

impl SubmitBody {
    /// Reads the body.
    ///
    /// # Errors
    /// Says which key breaks which rule.
    pub fn parse(text: &[u8]) -> Result<Self, ApiError> {
        /// The parameters as they were written: numbers beyond ours, order and all.
        #[derive(Deserialize)]
        struct Written<'a> {
            #[serde(borrow)]
            parameters: Option<&'a RawValue>,
        }

        let mut body = JsonObject::parse(text)?;
        body.require(&["function_name"])?;
        let name = body.take_text("function_name")?.unwrap_or_default();
        let input_size =
            body.take_object("parameters")?.and_then(|mut parameters| parameters.remove("input_size"));
        let written: Written<'_> = serde_json::from_slice(text)
            .map_err(|error| ApiError::new(Code::BadJson, format!("the body is not JSON: {error}")))?;
        let parameters = written.parameters.map_or("{}", RawValue::get);
        let input_size = match input_size {
            Some(value) => values::input_size("parameters.input_size", &value)?,
            None => InputSize(parameters.len() as u64),
        };
        Ok(Self {
            function_name: name
                .try_into()
                .map_err(|rule| ApiError::new(Code::BadValue, format!("function_name: {rule}")))?,
            parameters: parameters.into(),
            input_size,
            timeout: take_timeout(&mut body)?,
            idempotent: body.take_bool("idempotent")?.unwrap_or(false),
        })
    }
}

fn take_timeout(body: &mut JsonObject) -> Result<Option<Duration>, ApiError> {
    body.take("timeout").map(|value| values::timeout("timeout", &value)).transpose()
}

/// A function's id; a string that is none names a function that there cannot be.
fn function_id(value: &Value) -> Result<FunctionId, ApiError> {
    let Value::String(text) = value else { return Err(ApiError::bad_value("task_id", "a string")) };
    text.parse().map_err(|_| no_such_function(text))
}

/// There is no function of this id or name.
pub(crate) fn no_such_function(text: &str) -> ApiError {
    let text: String = text.chars().take(80).collect();
    let message =
        format!("there is no function {text:?}; /controller/task/new answers with a task_id such as f-17");
    ApiError::new(Code::UnknownFunction, message)
}

/// A command that can be split into words.
///
/// # Errors
/// `bad_command`.
pub(crate) fn parse_command(text: String) -> Result<Command, ApiError> {
    text.try_into().map_err(|error: fsched_core::function::CommandError| {
        ApiError::new(Code::BadCommand, error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::json::tests::any_json;

    fn run(body: Value) -> Result<RunBody, ApiError> {
        JsonObject::parse(body.to_string().as_bytes()).and_then(RunBody::try_from)
    }

    fn submit(text: &str) -> Result<SubmitBody, ApiError> {
        SubmitBody::parse(text.as_bytes())
    }

    #[test]
    fn the_body_of_old_is_understood() {
        let body =
            run(json!({"command": "python3", "task_id": "f-1", "input_size": "2000", "extra": [1]})).unwrap();
        assert_eq!(body.task_id, FunctionId(1));
        assert_eq!(body.input_size, InputSize(2000));
        assert_eq!((body.timeout, body.idempotent), (None, false));
    }

    #[test]
    fn what_is_wrong_is_said_precisely() {
        let cases = [
            (json!({}), Code::MissingKeys, "Required keys not specified: command, task_id, input_size"),
            (
                json!({"command": "x", "task_id": null}),
                Code::MissingKeys,
                "Required keys not specified: task_id, input_size",
            ),
            (
                json!({"command": 3, "task_id": "f-1", "input_size": 1}),
                Code::BadValue,
                "command has to be a string",
            ),
            (
                json!({"command": "x", "task_id": 1, "input_size": 1}),
                Code::BadValue,
                "task_id has to be a string",
            ),
            (
                json!({"command": "", "task_id": "f-1", "input_size": 1}),
                Code::BadCommand,
                "the command is empty",
            ),
            (
                json!({"command": "a 'b", "task_id": "f-1", "input_size": 1}),
                Code::BadCommand,
                "the command has an unbalanced quote",
            ),
            (
                json!({"command": "x", "task_id": "f-1", "input_size": 1, "idempotent": 1}),
                Code::BadValue,
                "idempotent has to be true or false",
            ),
        ];
        for (body, code, message) in cases {
            let error = run(body.clone()).unwrap_err();
            assert_eq!((error.code(), error.message()), (code, message), "{body}");
        }
        for id in ["../f-1", "9a1e", "", "f-01", "w-1"] {
            let error = run(json!({"command": "x", "task_id": id, "input_size": 1})).unwrap_err();
            assert_eq!(error.code(), Code::UnknownFunction, "{id}");
        }
        let error =
            run(json!({"command": "x", "task_id": "f-1", "input_size": 1, "timeout": "soon"})).unwrap_err();
        assert!(error.message().starts_with("timeout has to be a number of seconds"), "{error}");
    }

    #[test]
    fn parameters_reach_the_function_as_they_were_written() {
        let written = r#"{ "b":1.0, "a" : 123456789012345678901234567890 }"#;
        let body = submit(&format!(r#"{{"function_name": "f", "parameters": {written} }}"#)).unwrap();
        assert_eq!(&*body.parameters, written);
        assert_eq!(body.input_size, InputSize(written.len() as u64));
    }

    #[test]
    fn the_parameters_may_name_the_input_size() {
        let size = |text: &str| submit(text).map(|body| body.input_size);
        assert_eq!(size(r#"{"function_name": "f", "parameters": {"input_size": 7}}"#), Ok(InputSize(7)));
        assert_eq!(size(r#"{"function_name": "f", "parameters": {"input_size": "7"}}"#), Ok(InputSize(7)));
        assert_eq!(size(r#"{"function_name": "f"}"#), Ok(InputSize(2)));
        let error = size(r#"{"function_name": "f", "parameters": {"input_size": -7}}"#).unwrap_err();
        assert!(error.message().starts_with("parameters.input_size has to be"), "{error}");
        let error = size(r#"{"function_name": "f", "parameters": [1]}"#).unwrap_err();
        assert_eq!(error.message(), "parameters has to be an object");
        assert_eq!(size(r#"{"function_name": "a\u0000b"}"#).unwrap_err().code(), Code::BadValue);
    }

    proptest! {
        #[test]
        fn any_json_is_understood_or_the_clients_fault(body in any_json()) {
            let text = body.to_string();
            let run = JsonObject::parse(text.as_bytes()).and_then(RunBody::try_from).err();
            let submit = SubmitBody::parse(text.as_bytes()).err();
            for error in run.into_iter().chain(submit) {
                prop_assert!(error.code().status().is_client_error(), "{}", error);
            }
        }
    }
}
