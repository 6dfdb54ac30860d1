//! `fsched record`: what a master ran, as a trace that the simulator replays.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::session::{Done, Session, Stop};
use crate::client::answer::{InvocationRow, Invocations};
use crate::exit;

pub(super) const HELP: &str = "\
The file is of the form of the Azure trace of 2021 (app,func,end_timestamp,duration; seconds since the first call), with input_size and ways
beside it. A call begins when it was accepted; its duration is how long its process ran, with whatever cache it had. Only invocations
that ended well count, and no benchmarks. A master remembers the newest 100,000 invocations.

Example:
  fsched record --out hour.csv
  fsched sim compare examples/sim/recorded.toml --out report";

/// What `fsched record` is told.
#[derive(Debug, Clone, Args)]
pub(super) struct RecordArgs {
    /// The file to write; standard output where none is named
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// At most so many invocations, the newest
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

impl RecordArgs {
    pub(super) async fn run(&self, session: &Session) -> Done {
        let path = format!("/invocations?state=ended&limit={}", self.limit);
        let answer = session.wait("asking", session.client.get(&path)).await?;
        let rows: Invocations = session.client.parse(answer)?;
        let text = trace(&rows.invocations);
        let Some(path) = &self.out else { return Ok(super::print_text(&text)) };
        if let Err(error) = std::fs::write(path, &text) {
            eprintln!("error: cannot write {}: {error}", path.display());
            return Err(Stop::Code(exit::FAILED));
        }
        eprintln!("{} invocations", text.lines().count() - 1);
        Ok(exit::DONE)
    }
}

/// The trace of what ended well, oldest first.
fn trace(rows: &[InvocationRow]) -> String {
    let mut calls: Vec<(f64, f64, &InvocationRow)> = rows
        .iter()
        .filter(|row| row.benchmark.is_none() && row.exit_status == Some(0))
        .filter_map(|row| Some((row.submitted?.duration().as_secs_f64(), row.seconds?, row)))
        .collect();
    calls.sort_by(|a, b| a.0.total_cmp(&b.0));
    let first = calls.first().map_or(0.0, |call| call.0);
    let mut text = "app,func,end_timestamp,duration,input_size,ways\n".to_owned();
    for (submitted, seconds, row) in calls {
        let name = row.name.as_deref().unwrap_or(&row.function).replace([',', '\n'], "-");
        let (end, ways) = (submitted - first + seconds, row.ways.unwrap_or_default());
        // Writing to a string does not fail.
        let _ = writeln!(text, "fsched,{name},{end:.6},{seconds:.6},{},{ways}", row.input_size);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_ended_well_is_in_it_by_when_it_was_asked_for() {
        let row = |submitted: u64, seconds: f64, status: i32, benchmark: Option<&str>| {
            json!({
                "id": "i-1", "function": "f-1", "name": "a,b", "input_size": 7, "state": "ended", "exit_status": status,
                "submitted": {"secs": submitted, "nanos": 0}, "seconds": seconds, "ways": 3, "benchmark": benchmark,
            })
        };
        let rows = [
            row(1_700_000_012, 0.5, 0, None),
            row(1_700_000_011, 1.0, 1, None),
            row(1_700_000_010, 2.0, 0, None),
            row(1_700_000_009, 1.0, 0, Some("b-1")),
        ];
        let rows = rows.map(|row| serde_json::from_value(row).unwrap());
        let expected = "app,func,end_timestamp,duration,input_size,ways\n\
                        fsched,a-b,2.000000,2.000000,7,3\n\
                        fsched,a-b,2.500000,0.500000,7,3\n";
        assert_eq!(trace(&rows), expected);
    }
}
