//! The secret that operators, master and workers share, and those of tenants: from files or the environment, never from the
//! command line, where every user of the machine sees them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fsched_core::tenant::Tenant;
use fsched_http::auth::Token;

/// The environment variable that may hold it.
pub(super) const VARIABLE: &str = "FSCHED_TOKEN";

/// The token in `file`, else in the environment, else none.
///
/// # Errors
/// Where the file cannot be read, or holds no usable token.
pub fn find_token(file: Option<&Path>) -> anyhow::Result<Option<Token>> {
    if let Some(path) = file {
        return read_token(path).map(Some);
    }
    match std::env::var(VARIABLE) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text.parse().context(VARIABLE)?)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).context(VARIABLE),
    }
}

/// The token in a file.
///
/// # Errors
/// Where it cannot be read, or holds no usable token.
pub(super) fn read_token(path: &Path) -> anyhow::Result<Token> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the token file {}", path.display()))?;
    text.parse().with_context(|| format!("the token file {}", path.display()))
}

/// A text that does not say which tenant's token is in which file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not NAME=FILE with the name of a tenant that was not named before")]
pub(super) struct TokenFilesError(String);

/// Reads `blue=/etc/fsched/blue,red=/etc/fsched/red`, as the environment has it.
pub(super) fn token_files(text: &str) -> Result<BTreeMap<Tenant, PathBuf>, TokenFilesError> {
    let mut files = BTreeMap::new();
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        let mut note = || {
            let (name, file) = pair.split_once('=')?;
            let file = Some(file.trim()).filter(|file| !file.is_empty())?;
            files.insert(name.trim().parse::<Tenant>().ok()?, PathBuf::from(file)).is_none().then_some(())
        };
        note().ok_or_else(|| TokenFilesError(pair.to_owned()))?;
    }
    Ok(files)
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
    fn tenants_token_files_come_by_name() {
        let files = token_files("blue=/etc/blue, red = /etc/red,").unwrap();
        let files: Vec<_> = files.iter().map(|(tenant, file)| (tenant.as_str(), file.to_str())).collect();
        assert_eq!(files, [("blue", Some("/etc/blue")), ("red", Some("/etc/red"))]);
        assert!(token_files("").unwrap().is_empty());
        for text in ["blue", "Blue=/x", "=/x", "blue=", "blue=/x,blue=/y"] {
            assert!(token_files(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,64}") {
            let _ = token_files(&text);
        }
    }

    #[test]
    fn a_token_that_can_be_guessed_is_refused_and_not_repeated() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2").unwrap();
        let error = format!("{:#}", find_token(Some(file.path())).unwrap_err());
        assert!(!error.contains("hunter2"), "{error}");
    }
}
