//! Functions: uploaded programs and what they need to run.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache::Bytes;
use crate::id::{ContentHash, FunctionId};
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// How much input an invocation gets: the number that is passed as its last argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputSize(pub u64);

impl fmt::Display for InputSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is not an input size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an input size: a whole number from 0 to 18446744073709551615")]
pub struct ParseInputSizeError(pub String);

impl FromStr for InputSize {
    type Err = ParseInputSizeError;

    fn from_str(text: &str) -> Result<Self, ParseInputSizeError> {
        let error = || ParseInputSizeError(text.chars().take(40).collect());
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        text.parse().map(Self).map_err(|_| error())
    }
}

/// What a function is called: 1 to 128 characters, no control characters, and not what an id looks like. Never used as
/// a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FunctionName(String);

/// A text that cannot be a function's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a function's name has 1 to 128 characters, no control characters, and is not of the form f-17")]
pub struct FunctionNameError;

impl FunctionName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FunctionName {
    type Error = FunctionNameError;

    fn try_from(name: String) -> Result<Self, FunctionNameError> {
        let fits =
            !name.trim().is_empty() && name.chars().count() <= 128 && !name.chars().any(char::is_control);
        let fits = fits && name.parse::<FunctionId>().is_err();
        if fits { Ok(Self(name)) } else { Err(FunctionNameError) }
    }
}

impl FromStr for FunctionName {
    type Err = FunctionNameError;

    fn from_str(name: &str) -> Result<Self, FunctionNameError> {
        name.to_owned().try_into()
    }
}

impl From<FunctionName> for String {
    fn from(name: FunctionName) -> String {
        name.0
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What goes before the file on the command line, split into words as a shell does, without a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Command {
    text: String,
    words: Vec<String>,
}

/// A text that is not a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Nothing in it.
    #[error("the command is empty")]
    Empty,
    /// A quote is opened and never closed.
    #[error("the command has an unbalanced quote")]
    UnbalancedQuote,
    /// It holds a NUL, which no argument can.
    #[error("the command contains a NUL character")]
    Nul,
    /// It is longer than [`Command::MAX_LEN`].
    #[error("the command is longer than {} bytes", Command::MAX_LEN)]
    TooLong,
}

impl Command {
    /// The longest command, in bytes.
    pub const MAX_LEN: usize = 16 << 10;

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Program and arguments: at least one word.
    pub fn words(&self) -> &[String] {
        &self.words
    }
}

impl TryFrom<String> for Command {
    type Error = CommandError;

    fn try_from(text: String) -> Result<Self, CommandError> {
        if text.len() > Self::MAX_LEN {
            return Err(CommandError::TooLong);
        }
        if text.contains('\0') {
            return Err(CommandError::Nul);
        }
        let words = shell_words::split(&text).map_err(|_| CommandError::UnbalancedQuote)?;
        match words.first() {
            Some(program) if !program.is_empty() => Ok(Self { text, words }),
            _ => Err(CommandError::Empty),
        }
    }
}

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(text: &str) -> Result<Self, CommandError> {
        text.to_owned().try_into()
    }
}

impl From<Command> for String {
    fn from(command: Command) -> String {
        command.text
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// With whom a function may share its ways while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// With others: never waits for ways.
    #[default]
    Shared,
    /// With nobody: its ways are hard capacity, and it waits for them.
    Exclusive,
}

/// What is reserved for an invocation from the moment it is placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// Whole CPUs; at least one.
    pub cores: u16,
    /// Memory of the whole process tree; also its limit.
    pub memory: Bytes,
    /// With whom it may share ways.
    pub isolation: Isolation,
}

impl Default for Needs {
    fn default() -> Self {
        Self { cores: 1, memory: Bytes::mib(256), isolation: Isolation::Shared }
    }
}

/// What a user says when pushing a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionSpec {
    /// Who pushes it. Before there were tenants, there was none but the default.
    #[serde(default, skip_serializing_if = "Tenant::is_default")]
    pub tenant: Tenant,
    /// Pushing a name again makes a new version.
    pub name: FunctionName,
    /// The file's content.
    pub file: ContentHash,
    /// The file's length.
    pub file_size: Bytes,
    /// What runs when an invocation names no command; none: the file itself is executed.
    pub command: Option<Command>,
    /// What every run needs.
    pub needs: Needs,
    /// How long a run may take.
    pub timeout: Duration,
}

/// Programs that run functions written for them: their start-up is most of what a small input takes.
const RUNTIMES: [&str; 13] = [
    "python", "pypy", "node", "deno", "bun", "ruby", "perl", "php", "java", "julia", "Rscript", "lua",
    "dotnet",
];

impl FunctionSpec {
    /// The runtime that its own command names, whatever its version and place: `python` for `/usr/bin/python3.11 -u`.
    pub fn runtime(&self) -> Option<&'static str> {
        let of_env = |word: &&String| {
            word.as_str() == "env" || word.ends_with("/env") || word.contains('=') || word.starts_with('-')
        };
        let program = self.command.as_ref()?.words().iter().find(|word| !of_env(word))?;
        let file = program.rsplit('/').next().unwrap_or(program);
        let name = file.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        RUNTIMES.into_iter().find(|runtime| *runtime == name)
    }
}

/// One version of an uploaded function. Its curve starts afresh with every version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its id, on the wire `task_id`.
    pub id: FunctionId,
    /// Counted from 1 for every name.
    pub version: u32,
    /// What was pushed.
    pub spec: FunctionSpec,
    /// When it was pushed.
    pub pushed_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_split_like_a_shell_splits_words() {
        let command: Command = r#"python3 -c 'a b' "c d" e\ f"#.parse().unwrap();
        assert_eq!(command.words(), ["python3", "-c", "a b", "c d", "e f"]);
        assert_eq!("".parse::<Command>(), Err(CommandError::Empty));
        assert_eq!("  ''  ".parse::<Command>(), Err(CommandError::Empty));
        assert_eq!("sh 'x".parse::<Command>(), Err(CommandError::UnbalancedQuote));
        assert_eq!("sh \0".parse::<Command>(), Err(CommandError::Nul));
    }

    #[test]
    fn a_runtime_is_known_by_its_program() {
        let runtime = |command: &str| {
            FunctionSpec {
                tenant: Tenant::default(),
                name: "f".parse().unwrap(),
                file: ContentHash([0; 32]),
                file_size: Bytes(1),
                command: (!command.is_empty()).then(|| command.parse().unwrap()),
                needs: Needs::default(),
                timeout: Duration::from_secs(1),
            }
            .runtime()
        };
        for command in ["python3", "/usr/bin/python3.11 -u", "env A=1 python", "/usr/bin/env -S python3"] {
            assert_eq!(runtime(command), Some("python"), "{command}");
        }
        assert_eq!(runtime("node18 --jitless"), Some("node"));
        for command in ["", "sh", "./python3x", "3.14", "env A=1", "pythonic"] {
            assert_eq!(runtime(command), None, "{command}");
        }
    }

    #[test]
    fn no_name_looks_like_an_id() {
        assert!("f-1".parse::<FunctionName>().is_err());
        assert!("f-01".parse::<FunctionName>().is_ok());
        assert!("resize.py".parse::<FunctionName>().is_ok());
        assert!("".parse::<FunctionName>().is_err());
    }

    #[test]
    fn input_sizes_are_digits_only() {
        assert_eq!("1024".parse(), Ok(InputSize(1024)));
        for text in ["", "-1", "+1", "1.5", "1e3", " 1", "18446744073709551616", "٣"] {
            assert!(text.parse::<InputSize>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_command_survives_its_text(text in ".{0,64}") {
            if let Ok(command) = text.parse::<Command>() {
                prop_assert!(!command.words().is_empty());
                prop_assert_eq!(String::from(command.clone()).parse(), Ok(command));
            }
        }
    }
}
