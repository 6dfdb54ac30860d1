//! `fsched profile`, and what `fsched benchmark --profile` shares with it.

use std::ffi::OsString;
use std::path::Path;
use std::str::FromStr;

use clap::Args;
use fsched_core::cache::Ways;
use serde_json::{Value, json};

use super::session::{Done, Session, Stop};
use crate::client::{ClientError, segment};
use crate::profile::{FORMULA, Limits, Point, Profile, ProfileError, Request, csv, profile};
use crate::settings::Span;
use crate::{exit, table};

pub(super) const HELP: &str = "\
The command runs under Valgrind's Cachegrind once per cache size, each 12 to 55 times as long as by itself. It
has to be installed: apt-get install valgrind. Counts are exact for the simulated cache (ways of 1 MiB, 64-byte
lines, least recently used, 32 KiB first-level caches); times are estimated from them:
(0.5 × instructions + 30 × L1 misses + 200 × LLC misses) / 3 GHz.

The command's output is dropped, its input is empty, and of the environment it sees HOME and PATH only.

Examples:
  fsched profile -- ./resize 2048
  fsched profile --function resize.py --input-size 2048 -- python3 resize.py 2048
  fsched profile --points 20 --csv -- ./resize 2048";

/// How a profile is made.
#[derive(Debug, Clone, Args)]
pub(super) struct How {
    /// The largest cache to simulate, in ways of 1 MiB
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u8).range(2..=32))]
    ways: u8,
    /// How many cache sizes to simulate at most; as many as --ways simulates every one
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u8).range(1..=32))]
    points: u8,
    /// How long it may take in all, such as 10m
    #[arg(long, value_name = "TIME", default_value = "10m")]
    time_limit: Span,
    /// How many instructions the command may execute, such as 500M or 20G
    #[arg(long, value_name = "N", default_value = "20G")]
    instruction_limit: Instructions,
}

#[derive(Debug, Clone, Args)]
pub(super) struct ProfileArgs {
    #[command(flatten)]
    how: How,
    /// Teach the master what was found: about this function (name or id) …
    #[arg(long, value_name = "NAME", requires = "input_size")]
    function: Option<String>,
    /// … at this input size
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    input_size: Option<u64>,
    /// Print rows for a file of curves instead of a table
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Program and arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// A number of instructions: `500M`, `20G`, or digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instructions(u64);

impl FromStr for Instructions {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let units = [("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("T", 1_000_000_000_000), ("", 1)];
        let unit = units.into_iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
        let digits = unit.filter(|(digits, _)| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|(digits, factor)| digits.parse::<u64>().ok()?.checked_mul(factor));
        number.filter(|number| *number > 0).map(Self).ok_or("a number above 0, such as 500M or 20G")
    }
}

impl How {
    fn request(&self, command: Vec<OsString>) -> Request {
        Request {
            command,
            ways: Ways::clamped(self.ways),
            points: usize::from(self.points),
            limits: Limits { instructions: self.instruction_limit.0, time: self.time_limit.0 },
        }
    }

    /// Profiles a command, saying on standard error how far it is.
    pub(super) async fn profile(&self, session: &Session, command: Vec<OsString>) -> Result<Profile, Stop> {
        let name = command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        eprintln!(
            "profiling `{name}`: up to {} runs under Valgrind, each 12 to 55 times as long as by itself",
            self.points
        );
        let request = self.request(command);
        let profiled = profile(&request, |point| {
            eprintln!("  {}", progress(point));
        });
        session.wait(format!("profiling {name}"), profiled).await.map_err(|error| fail(session, &error))
    }
}

impl ProfileArgs {
    pub(super) async fn run(&self, session: &Session) -> Done {
        // Better now than after an hour of simulation.
        if let Some(function) = &self.function {
            session.client.get(&format!("/functions/{}", segment(function))).await?;
        }
        let profile = self.how.profile(session, self.command.clone()).await?;
        let mut answer = to_json(&profile);
        answer["command"] = self.command.iter().map(|word| word.to_string_lossy()).collect();
        if let (Some(function), Some(input_size)) = (&self.function, self.input_size) {
            let stored = store(session, function, input_size, &profile).await?;
            eprintln!("{function}: {}", stored["message"].as_str().unwrap_or_default());
            answer["stored"] = stored;
        }
        if self.csv {
            session.print(self.rows(&profile).as_bytes());
            return Ok(exit::DONE);
        }
        session.show(&answer, || Ok(to_text(&profile)))
    }

    fn rows(&self, profile: &Profile) -> String {
        let program = self.command.first().map(Path::new).and_then(Path::file_name);
        let program = program.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = self.function.as_ref().unwrap_or(&program);
        // As in a run of fsched: the last word is the input size.
        let last = self.command.last().and_then(|word| word.to_str()?.parse().ok());
        let input_size = self.input_size.or(last).unwrap_or_default();
        let rows = profile.points.iter().map(|point| csv::row(name, input_size, point) + "\n");
        [csv::HEADER, "\n"].into_iter().map(str::to_owned).chain(rows).collect()
    }
}

/// Teaches the master what was found.
pub(super) async fn store(
    session: &Session,
    function: &str,
    input_size: u64,
    profile: &Profile,
) -> Result<Value, ClientError> {
    session
        .client
        .post(&format!("/functions/{}/profile", segment(function)), &body(input_size, profile))
        .await
}

/// What a master wants to know of a profile.
pub(crate) fn body(input_size: u64, profile: &Profile) -> Value {
    let point = |point: &Point| {
        json!({
            "cache_bytes": point.cache().0,
            "seconds": point.counts.estimated_seconds(),
            "miss_bytes": point.counts.miss_bytes().0,
            "accesses": point.counts.accesses(),
        })
    };
    json!({"input_size": input_size, "points": profile.points.iter().map(point).collect::<Vec<_>>()})
}

/// All of a profile, for programs.
pub(super) fn to_json(profile: &Profile) -> Value {
    let point = |point: &Point| {
        let counts = &point.counts;
        json!({
            "ways": point.ways.get(),
            "cache_bytes": point.cache().0,
            "seconds": counts.estimated_seconds(),
            "instructions": counts.instructions,
            "data_accesses": counts.data_accesses,
            "l1_misses": counts.accesses(),
            "llc_misses": counts.ll_misses,
            "miss_bytes": counts.miss_bytes().0,
            "took_seconds": point.took.as_secs_f64(),
        })
    };
    let (fewest, possible) = profile.fewest_ways();
    json!({
        "source": "simulated",
        "simulator": format!("{} cachegrind", profile.version),
        "formula": FORMULA,
        "native_seconds": profile.native.as_secs_f64(),
        "slowdown": profile.slowdown(),
        "fewest_ways": fewest.get(),
        "fewest_ways_possible": possible.get(),
        "points": profile.points.iter().map(point).collect::<Vec<_>>(),
    })
}

/// The same for people.
pub(super) fn to_text(profile: &Profile) -> String {
    let header = ["ways", "cache", "estimated time", "LLC misses", "miss rate", "took"];
    let row = |point: &Point| {
        vec![
            point.ways.to_string(),
            point.cache().to_string(),
            table::seconds(point.counts.estimated_seconds()),
            point.counts.ll_misses.to_string(),
            format!("{:.1} %", point.counts.miss_rate() * 100.0),
            table::duration(point.took),
        ]
    };
    let (fewest, possible) = profile.fewest_ways();
    let unsure = match possible < fewest {
        true => format!(", or as few as {possible}, which were not simulated: more --points tell"),
        false => String::new(),
    };
    let instructions = profile.points.first().map_or(0, |point| point.counts.instructions);
    format!(
        "{}\n\n{instructions} instructions; {} by itself, {:.0} times as long simulated by {}.\n\
         Simulated: counts are exact for the simulated cache, times are estimated,\n{FORMULA}.\n\
         The fewest ways within 5 % of the best: {fewest}{unsure}.\n",
        table::plain(&header, &header, profile.points.iter().map(row).collect()),
        table::duration(profile.native),
        profile.slowdown(),
        profile.version,
    )
}

/// One point, in a line.
pub(crate) fn progress(point: &Point) -> String {
    format!(
        "{} with {}: {:.1} % of {} LLC accesses miss, about {} (took {})",
        if point.ways == Ways::ONE { "1 way".to_owned() } else { format!("{} ways", point.ways) },
        point.cache(),
        point.counts.miss_rate() * 100.0,
        point.counts.accesses(),
        table::seconds(point.counts.estimated_seconds()),
        table::duration(point.took)
    )
}

/// Says what went wrong and what to do about it.
fn fail(session: &Session, error: &ProfileError) -> Stop {
    let (code, name) = match error {
        ProfileError::NoValgrind => (exit::FAILED, "no_valgrind"),
        ProfileError::NoProgram(_) => (exit::USAGE, "no_program"),
        ProfileError::TooLong(_) => (exit::TIMED_OUT, "time_limit"),
        ProfileError::TooMany { .. } => (exit::TIMED_OUT, "instruction_limit"),
        ProfileError::Failed { .. } => (exit::FAILED, "command_failed"),
        _ => (exit::FAILED, "profile_failed"),
    };
    if session.json {
        session.print(format!("{:#}\n", json!({"code": name, "message": error.to_string()})).as_bytes());
    }
    eprintln!("error: {error}");
    if let ProfileError::Failed { said, .. } = error
        && !said.is_empty()
    {
        eprintln!("it said:\n{said}");
    }
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
    Stop::Code(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_counted_as_people_do() {
        let read = |text: &str| text.parse::<Instructions>().map(|Instructions(n)| n).ok();
        assert_eq!(read("20G"), Some(20_000_000_000));
        assert_eq!(read("500M"), Some(500_000_000));
        assert_eq!(read("7"), Some(7));
        for text in ["", "0", "G", "-1", "1.5G", "1g", "1e9", "99999999999T", " 1", "+1"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
