//! `fsched demo`: a master and two workers as real processes, three functions of different cache appetite, put to work
//! for a moment.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`run`]: the whole of it, and what happens on Ctrl-C |
//! | `functions.rs` | the three functions, compiled beside us, and the sizes they are run at |
//! | `cluster.rs` | the processes and the folder they live in; gone when dropped |
//! | `work.rs` | upload, benchmark, run |
//! | `show.rs` | progress while it goes on |
//! | `summary.rs` | what came out of it: a table for people, JSON for programs |

mod cluster;
mod functions;
mod show;
mod summary;
mod work;

use std::time::Instant;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::client::ClientError;
use crate::exit;

use cluster::Cluster;
use show::Show;
use summary::Summary;

/// Runs the demo; answers with the exit code.
pub fn run(json: bool) -> u8 {
    let outcome = actix_rt::System::new().block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        // What is dropped when a signal comes first takes its processes and its folder with it.
        tokio::select! {
            summary = demo() => summary.map(Some),
            _ = terminate.recv() => Ok(None),
            _ = interrupt.recv() => Ok(None),
            _ = hangup.recv() => Ok(None),
        }
    });
    match outcome {
        Ok(Some(summary)) => {
            println!("{}", if json { summary.json() } else { summary.text() });
            exit::DONE
        }
        Ok(None) => {
            eprintln!("interrupted");
            exit::INTERRUPTED
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(hint) = error.downcast_ref::<ClientError>().and_then(ClientError::hint) {
                eprintln!("hint: {hint}");
            }
            exit::FAILED
        }
    }
}

async fn demo() -> anyhow::Result<Summary> {
    let began = Instant::now();
    let show = Show::default();
    show.step("starting a master and two workers");
    let cluster = Cluster::start().await?;
    show.step(&format!("master at {}", cluster.client().url()));
    let functions = work::upload(&cluster, &show).await?;
    let benchmarks = work::benchmark(cluster.client(), &functions, &show).await?;
    let runs = work::run_all(cluster.client(), &functions, &show).await?;
    show.step("stopping");
    cluster.stop()?;
    Ok(Summary::new(benchmarks, runs, began.elapsed()))
}
