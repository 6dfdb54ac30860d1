//! What master and worker can be told, by file, environment and flag.
//!
//! | file | what |
//! | --- | --- |
//! | `master.rs` | [`MasterSettings`] and its sample file |
//! | `worker.rs` | [`WorkerSettings`] and its sample file |
//! | `amount.rs` | [`Span`] and [`Size`]: `30s`, `256MiB` |
//! | `token.rs` | the secrets, from files or the environment |
//! | `place.rs` | where data is kept, and where we may listen |
//!
//! Flags win over the environment, the environment over the file, the file over the defaults. A key that is not
//! known is refused.

mod amount;
mod master;
mod place;
#[cfg(test)]
mod sample_tests;
mod token;
mod worker;

use std::path::Path;

use anyhow::Context as _;
use confique::{Config, File, FileFormat, Layer};
use serde::Deserialize;

pub use amount::{ParseAmountError, Size, Span};
pub use master::{MasterFlags, MasterSettings, TrainingSettings};
pub use place::{default_data_dir, listen, make_private};
pub use token::find_token;
pub use worker::{Cache, CacheMode, WorkerFlags, WorkerSettings};

/// The port of a master whose URL names none.
pub const MASTER_PORT: u16 = 3200;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, Config)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub struct LogSettings {
    /// `human` or `json`.
    #[config(default = "human", env = "FSCHED_LOG_FORMAT")]
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives as in `info,fsched_core=debug`.
    #[config(default = "info,actix_server=warn", env = "RUST_LOG")]
    pub level: String,
}

/// Lays flags over the environment over a file over the defaults.
///
/// # Errors
/// Where the file cannot be read, holds an unknown key or a value that makes no sense.
fn load<C: Config>(flags: C::Layer, file: Option<&Path>) -> anyhow::Result<C> {
    let from_file = match file {
        None => C::Layer::empty(),
        Some(path) => File::with_format(path, FileFormat::Toml)
            .required()
            .load()
            .with_context(|| format!("cannot use the configuration {}", path.display()))?,
    };
    let environment = C::Layer::from_env().context("cannot use the environment")?;
    let merged = flags.with_fallback(environment).with_fallback(from_file);
    Ok(C::from_layer(merged.with_fallback(C::Layer::default_values()))?)
}

/// Reads the name of an implementation from the environment: `best_fit` is `{ kind = "best_fit" }`.
fn kind<T: serde::de::DeserializeOwned>(name: &str) -> Result<T, toml::de::Error> {
    let kind = toml::Value::String(name.to_owned());
    toml::Table::from_iter([("kind".to_owned(), kind)]).try_into()
}
