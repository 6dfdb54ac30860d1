//! `fsched run` and `fsched benchmark`.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use clap::Args;
use fsched_core::function::Command;
use serde_json::{Value, json};

use super::profile::{self, How};
use super::session::{Done, Session, Stop};
use crate::client::answer::{BenchmarkAnswer, FunctionRow, RunAnswer, RunResult};
use crate::client::{ClientError, segment};
use crate::profile::Profile;
use crate::settings::Span;
use crate::{exit, table};

/// What a file is run with that has no command of its own: it executes it.
pub(crate) const EXECUTE: &str = "env";

pub(super) const HELP: &str = "\
The function's standard output and error become ours, and its exit code too.
Ctrl-C cancels it. 124: its time was over; 125: it was not run.

Examples:
  fsched run resize.py --input-size 2048
  fsched run sort --input-size 100000 --idempotent --timeout 10s --json";

#[derive(Debug, Clone, Args)]
pub(super) struct What {
    /// The function's name or id (f-1)
    function: String,
    /// How much input it gets: the number passed as its last argument
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    input_size: u64,
    /// Program (and arguments) to run it with, instead of its own
    #[arg(long)]
    command: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    what: What,
    /// It may be run again where its worker is lost
    #[arg(long)]
    idempotent: bool,
    /// How long it may take, such as 10s [default: the function's own limit]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct BenchmarkArgs {
    #[command(flatten)]
    what: What,
    /// Profile it too, here and now, under Valgrind: for hardware that does not divide its cache
    #[arg(long)]
    profile: bool,
    #[command(flatten, next_help_heading = "Options of --profile")]
    how: How,
}

impl What {
    /// The body that `run` and `benchmark` have in common. On the wire a command is required, so a function without
    /// one is looked up and executed itself.
    async fn body(&self, session: &Session) -> Result<Value, ClientError> {
        let answer = session.client.get(&format!("/functions/{}", segment(&self.function))).await?;
        let function: FunctionRow = session.client.parse(answer)?;
        let command = self.command.clone().or(function.command).unwrap_or_else(|| EXECUTE.to_owned());
        Ok(json!({"task_id": function.task_id, "command": command, "input_size": self.input_size}))
    }
}

impl RunArgs {
    pub(super) async fn run(&self, session: &Session) -> Done {
        match self.answer(session).await {
            Ok((answer, run)) => self.show(session, &answer, &run),
            Err(error) => Err(Stop::Code(session.fail(&error, exit::NOT_RUN))),
        }
    }

    async fn answer(&self, session: &Session) -> Result<(Value, RunAnswer), ClientError> {
        let mut body = self.what.body(session).await?;
        if self.idempotent {
            body["idempotent"] = json!(true);
        }
        if let Some(Span(timeout)) = self.timeout {
            body["timeout"] = json!(timeout.as_secs_f64());
        }
        let running = session.client.post("/controller/task/run", &body);
        let answer = session.wait(format!("running {}", self.what.function), running).await?;
        let run = session.client.parse(answer.clone())?;
        Ok((answer, run))
    }

    fn show(&self, session: &Session, answer: &Value, run: &RunAnswer) -> Done {
        if session.json {
            session.show(answer, || Ok(String::new()))?;
        }
        let Some(result) = &run.result else {
            let message = run.message.as_deref().unwrap_or("the master did not run it");
            eprintln!("error: {message}");
            eprintln!(
                "hint: `fsched benchmark {} --input-size {}` makes it ready",
                self.what.function, self.what.input_size
            );
            return Ok(exit::NOT_RUN);
        };
        if !session.json {
            pass_on(session, result);
            if let Some(note) = ending_note(result) {
                eprintln!("{note}");
            }
        }
        Ok(exit_code(result))
    }
}

/// Prints what the function printed. What is not text comes as base64, and is said to be.
fn pass_on(session: &Session, result: &RunResult) {
    session.print(result.stdout.as_bytes());
    if let Err(error) = std::io::stderr().lock().write_all(result.stderr.as_bytes()) {
        eprintln!("error: cannot write: {error}");
    }
    for (stream, base64, dropped) in [
        ("output", result.stdout_base64, result.stdout_dropped),
        ("error", result.stderr_base64, result.stderr_dropped),
    ] {
        if base64 {
            eprintln!("note: standard {stream} is not text; shown as base64");
        }
        if dropped > 0 {
            eprintln!("note: {dropped} more bytes of standard {stream} were dropped");
        }
    }
}

/// What to say about an ending that the exit code alone does not tell.
fn ending_note(result: &RunResult) -> Option<String> {
    let time = table::duration(result.execution_time.duration());
    match result.ending.as_str() {
        "timed_out" => Some(format!("error: its time was over after {time}")),
        "out_of_memory" => Some(format!("error: it used more memory than it may, after {time}")),
        "cancelled" => Some(format!("error: it was cancelled after {time}")),
        "signalled" => {
            Some(format!("error: signal {} ended it after {time}", result.signal.unwrap_or_default()))
        }
        _ => None,
    }
}

/// The exit code that mirrors the function's ending.
fn exit_code(result: &RunResult) -> u8 {
    match (result.ending.as_str(), result.exit_status, result.signal) {
        ("timed_out", ..) => exit::TIMED_OUT,
        ("out_of_memory", ..) => exit::OUT_OF_MEMORY,
        ("cancelled", ..) => exit::INTERRUPTED,
        (_, Some(status), _) => u8::try_from(status & 0xff).unwrap_or(exit::FAILED),
        (_, None, Some(signal)) => u8::try_from(128 + signal).unwrap_or(exit::FAILED),
        _ => exit::FAILED,
    }
}

impl BenchmarkArgs {
    pub(super) async fn run(&self, session: &Session) -> Done {
        let body = self.what.body(session).await?;
        let running = session.client.post("/controller/task/benchmark", &body);
        let what = format!("benchmarking {}", self.what.function);
        let answer = match session.wait(what, running).await {
            Ok(answer) => answer,
            Err(error) => {
                let code = session.fail(&error, error.exit_code());
                show_failed_run(session, &error);
                return Err(Stop::Code(code));
            }
        };
        let Some(profile) = self.profiled(session, &body).await? else {
            return session.show(&answer, || self.text(session, &answer));
        };
        let mut both = answer.clone();
        both["profile"] = profile::to_json(&profile);
        session
            .show(&both, || Ok(format!("{}\n{}", self.text(session, &answer)?, profile::to_text(&profile))))
    }

    fn text(&self, session: &Session, answer: &Value) -> Result<String, ClientError> {
        let benchmark: BenchmarkAnswer = session.client.parse(answer.clone())?;
        let mut text = format!(
            "{}\n{} runs, spread {:.1} %, masks {}\n\n{}\n",
            benchmark.message,
            benchmark.runs,
            benchmark.noise * 100.0,
            table::enforced(benchmark.enforced),
            table::benchmark(&benchmark)
        );
        for warning in &benchmark.warnings {
            text += &format!("note: {warning}\n");
        }
        Ok(text)
    }

    /// Profiles the function here, if that was asked for, as a worker would run it, and teaches the master what was found.
    async fn profiled(&self, session: &Session, body: &Value) -> Result<Option<Profile>, Stop> {
        if !self.profile {
            return Ok(None);
        }
        let word = |key: &str| body[key].as_str().unwrap_or_default();
        let id = word("task_id");
        let folder = tempfile::Builder::new().prefix("fsched-profile-").tempdir().map_err(|error| {
            eprintln!("error: cannot make a folder for the function's file: {error}");
            Stop::Code(exit::FAILED)
        })?;
        let file = folder.path().join("function");
        session.client.download(&format!("/functions/{}/file", segment(id)), &file).await?;
        std::fs::set_permissions(&file, Permissions::from_mode(0o700))
            .map_err(|error| ClientError::File { path: file.clone(), reason: error.to_string() })?;
        let mut command: Vec<OsString> = match word("command") {
            EXECUTE => Vec::new(),
            text => Command::try_from(text.to_owned())
                .map(|command| command.words().iter().map(OsString::from).collect())
                .map_err(|error| {
                    eprintln!("error: {error}");
                    Stop::Code(exit::USAGE)
                })?,
        };
        command.extend([file.into(), self.what.input_size.to_string().into()]);
        let profile = self.how.profile(session, command).await?;
        profile::store(session, id, self.what.input_size, &profile).await?;
        Ok(Some(profile))
    }
}

/// What the failing run of a benchmark printed last, for people.
fn show_failed_run(session: &Session, error: &ClientError) {
    let ClientError::Refused { body, .. } = error else { return };
    let stderr = body.pointer("/result/stderr").and_then(Value::as_str).unwrap_or_default();
    if !session.json && !stderr.trim().is_empty() {
        eprintln!("its standard error:\n{}", stderr.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_exit_code_is_the_functions() {
        let code = |value: Value| exit_code(&serde_json::from_value(value).unwrap());
        assert_eq!(code(json!({"ending": "exited", "exit_status": 0})), 0);
        assert_eq!(code(json!({"ending": "exited", "exit_status": 7})), 7);
        assert_eq!(code(json!({"ending": "exited", "exit_status": 256})), 0);
        assert_eq!(code(json!({"ending": "signalled", "exit_status": null, "signal": 11})), 139);
        assert_eq!(code(json!({"ending": "timed_out", "exit_status": null, "signal": 15})), 124);
        assert_eq!(code(json!({"ending": "timed_out", "exit_status": 0})), 124);
        assert_eq!(code(json!({"ending": "out_of_memory", "signal": 9})), 137);
        assert_eq!(code(json!({"ending": "cancelled"})), 130);
        assert_eq!(code(json!({"ending": "something new"})), 1);
    }
}
