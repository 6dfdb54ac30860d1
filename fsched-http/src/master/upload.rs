//! The form a function is pushed with, streamed to disk as it comes.

use std::time::Duration;

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::error::PayloadError;
use fsched_core::cache::Bytes;
use fsched_core::function::{Command, FunctionName, FunctionSpec, Isolation, Needs};
use fsched_core::node::{FileStore, FileWriter};
use fsched_core::tenant::Tenant;
use futures_util::{FutureExt as _, TryStreamExt as _};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::MasterOptions;
use crate::error::{ApiError, Code};
use crate::wire::api::{parse_command, values};

/// The longest text field, bytes: as long as a command may be, and its quotes.
const MAX_TEXT: usize = 32 << 10;
/// How long a form that is being sent may make no progress.
const STALL: Duration = Duration::from_secs(30);
/// The most fields of a form.
const MAX_FIELDS: usize = 64;
/// The most CPUs a function can ask for.
const MAX_CORES: u16 = 1024;
/// The least memory a function can be given.
const LEAST_MEMORY: Bytes = Bytes::mib(1);

/// The form a function is pushed with.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only describes the form in the OpenAPI document")]
pub(crate) struct PushForm {
    /// The program.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// What it is called; without it, the file's name.
    name: Option<String>,
    /// CPUs a run needs, 1 to 1024.
    #[schema(example = 1)]
    cores: Option<u16>,
    /// Memory a run needs: bytes, or such as 64KiB, 256MiB, 1GiB.
    #[schema(example = "256MiB")]
    memory: Option<String>,
    /// How long a run may take: seconds, or such as 500ms, 30s, 5m.
    #[schema(example = "30s")]
    timeout: Option<String>,
    /// What it is run with where an invocation names no command; without it, the file itself is executed.
    #[schema(example = "python3")]
    command: Option<String>,
    /// `shared` or `exclusive`: with whom it may share cache ways.
    #[schema(example = "shared")]
    isolation: Option<String>,
}

/// What came so far.
#[derive(Debug, Default)]
struct Form {
    /// Gets its name only when the rest of the form is good, too.
    file: Option<FileWriter>,
    file_name: Option<String>,
    name: Option<FunctionName>,
    command: Option<Command>,
    timeout: Option<Duration>,
    needs: Needs,
}

/// Receives the form; its file is in `files` afterwards.
///
/// # Errors
/// Says what is wrong with it; nothing of the file is kept then.
pub(super) async fn receive(
    mut form: Multipart,
    tenant: &Tenant,
    files: &FileStore,
    options: &MasterOptions,
) -> Result<FunctionSpec, ApiError> {
    let mut got = Form::default();
    for _ in 0..MAX_FIELDS {
        let Some(field) = prompt(form.try_next()).await? else {
            return got.into_spec(tenant, options).await;
        };
        got.take(field, files, options).await?;
    }
    Err(ApiError::new(Code::BadMultipart, format!("the form has more than {MAX_FIELDS} fields")))
}

impl Form {
    async fn take(
        &mut self,
        mut field: Field,
        files: &FileStore,
        options: &MasterOptions,
    ) -> Result<(), ApiError> {
        let key = field.name().unwrap_or_default().to_owned();
        if key == "file" {
            if self.file.is_some() {
                return Err(ApiError::new(Code::BadMultipart, "the form has more than one field file"));
            }
            let disposition = field.content_disposition();
            self.file_name = disposition.and_then(|d| d.get_filename()).map(str::to_owned);
            self.file = Some(store(field, files, options.max_upload).await?);
            return Ok(());
        }
        let text = text(&key, &mut field).await?;
        // A page's form sends fields that were left empty, too.
        if !text.trim().is_empty() {
            self.set(&key, text)?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, text: String) -> Result<(), ApiError> {
        match key {
            "name" => self.name = Some(name(text)?),
            "command" => self.command = Some(parse_command(text)?),
            "timeout" => self.timeout = Some(values::timeout_text(key, &text)?),
            "memory" => {
                self.needs.memory = values::bytes_text(key, &text)?;
                if self.needs.memory < LEAST_MEMORY {
                    return Err(ApiError::bad_value(key, "at least 1MiB: no process starts in less"));
                }
            }
            "cores" => self.needs.cores = cores(key, &text)?,
            "isolation" => self.needs.isolation = isolation(key, &text)?,
            _ => {}
        }
        Ok(())
    }

    async fn into_spec(self, tenant: &Tenant, options: &MasterOptions) -> Result<FunctionSpec, ApiError> {
        let Some(file) = self.file else {
            return Err(ApiError::new(Code::NoFile, "no file: the form has to have a field file"));
        };
        let name = match (self.name, self.file_name) {
            (Some(name), _) => name,
            (None, Some(file_name)) => name(last_part(&file_name).to_owned())?,
            (None, None) => {
                return Err(ApiError::bad_value("name", "given where the file has no name"));
            }
        };
        let (file, file_size) = file.finish(None).await?;
        Ok(FunctionSpec {
            tenant: tenant.clone(),
            name,
            file,
            file_size,
            command: self.command,
            needs: self.needs,
            timeout: self.timeout.unwrap_or(options.default_timeout),
        })
    }
}

async fn store(mut field: Field, files: &FileStore, limit: Bytes) -> Result<FileWriter, ApiError> {
    let mut writer = files.writer()?;
    while let Some(piece) = prompt(field.try_next()).await? {
        if writer.len().0.saturating_add(piece.len() as u64) > limit.0 {
            return Err(ApiError::new(Code::TooLarge, format!("the file is larger than {limit}")));
        }
        writer.write(&piece)?;
    }
    if writer.is_empty() {
        return Err(ApiError::new(Code::BadValue, "the file is empty"));
    }
    Ok(writer)
}

/// What comes next, unless it takes too long.
async fn prompt<T>(next: impl Future<Output = Result<T, MultipartError>>) -> Result<T, ApiError> {
    match timeout(STALL, next).await {
        Ok(next) => next.map_err(multipart_error),
        Err(_) => Err(ApiError::new(Code::RequestTimeout, "the form stopped coming")),
    }
}

async fn text(key: &str, field: &mut Field) -> Result<String, ApiError> {
    let too_long =
        |_| ApiError::new(Code::TooLarge, format!("the field {key:.40} is longer than {MAX_TEXT} bytes"));
    let bytes = prompt(field.bytes(MAX_TEXT).map(Ok)).await?.map_err(too_long)?.map_err(multipart_error)?;
    String::from_utf8(bytes.into()).map_err(|_| ApiError::bad_value(&format!("{key:.40}"), "UTF-8 text"))
}

fn name(text: String) -> Result<FunctionName, ApiError> {
    text.try_into().map_err(|rule: fsched_core::function::FunctionNameError| {
        ApiError::new(Code::BadValue, format!("name: {rule}"))
    })
}

/// What comes after the last slash of either kind: some clients send whole paths.
fn last_part(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

fn cores(key: &str, text: &str) -> Result<u16, ApiError> {
    let text = text.trim();
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let cores = text.parse().ok().filter(|cores| digits && (1..=MAX_CORES).contains(cores));
    cores.ok_or_else(|| ApiError::bad_value(key, format!("a whole number from 1 to {MAX_CORES}")))
}

fn isolation(key: &str, text: &str) -> Result<Isolation, ApiError> {
    match text.trim() {
        "shared" => Ok(Isolation::Shared),
        "exclusive" => Ok(Isolation::Exclusive),
        _ => Err(ApiError::bad_value(key, "shared or exclusive")),
    }
}

fn multipart_error(error: MultipartError) -> ApiError {
    match error {
        MultipartError::ContentTypeMissing => {
            ApiError::new(Code::NoFile, "no file: a multipart form with a field file is needed")
        }
        MultipartError::Payload(PayloadError::Overflow) => {
            ApiError::new(Code::TooLarge, "the form is too large")
        }
        other => ApiError::new(Code::BadMultipart, format!("the form cannot be read: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_by_the_last_part_of_its_path() {
        assert_eq!(last_part("../../etc/passwd"), "passwd");
        assert_eq!(last_part(r"C:\tmp\resize.py"), "resize.py");
        assert_eq!(last_part("plain"), "plain");
    }

    #[test]
    fn cores_are_counted_from_1_to_1024() {
        assert_eq!(cores("cores", " 4 "), Ok(4));
        for text in ["0", "1025", "-1", "+1", "1.5", "many", "99999999"] {
            assert_eq!(cores("cores", text).unwrap_err().code(), Code::BadValue, "{text}");
        }
    }
}
