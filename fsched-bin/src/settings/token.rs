//! The secret that clients, master and workers share: from a file or the environment, never from the command line,
//! where every user of the machine sees it.

use std::path::Path;

use anyhow::Context as _;
use fsched_http::auth::Token;

/// The environment variable that may hold it.
pub(super) const VARIABLE: &str = "FSCHED_TOKEN";

/// The token in `file`, else in the environment, else none.
///
/// # Errors
/// Where the file cannot be read, or holds no usable token.
pub fn find_token(file: Option<&Path>) -> anyhow::Result<Option<Token>> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the token file {}", path.display()))?;
        let token = text.parse().with_context(|| format!("the token file {}", path.display()))?;
        return Ok(Some(token));
    }
    match std::env::var(VARIABLE) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text.parse().context(VARIABLE)?)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).context(VARIABLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_that_is_missing_is_an_error_that_names_it() {
        let error = find_token(Some(Path::new("/nonexistent/token"))).unwrap_err();
        assert!(format!("{error:#}").contains("/nonexistent/token"), "{error:#}");
    }

    #[test]
    fn a_token_file_may_end_with_a_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef0123\n").unwrap();
        let token = find_token(Some(file.path())).unwrap().unwrap();
        assert!(token.matches(b"0123456789abcdef0123"));
    }

    #[test]
    fn a_token_that_can_be_guessed_is_refused_and_not_repeated() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2").unwrap();
        let error = format!("{:#}", find_token(Some(file.path())).unwrap_err());
        assert!(!error.contains("hunter2"), "{error}");
    }
}
