//! `fsched demo`: a master and two workers as real processes, three functions of different cache appetite, put to work
//! for a moment.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`run`]: the whole of it, and what happens on Ctrl-C |
//! | `functions.rs` | the three functions, compiled beside us, and the sizes they are run at |
//! | `cluster.rs` | the processes and the folder they live in; gone when dropped |
//! | `curves.rs` | how they depend on the cache: simulated here, or shipped |
//! | `work.rs` | upload, benchmark, run |
//! | `show.rs` | progress while it goes on |
//! | `summary.rs` | what came out of it: a table for people, JSON for programs |

mod cluster;
mod curves;
mod functions;
mod show;
mod summary;
mod work;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;

use crate::client::ClientError;
use crate::profile::ProfileError;
use crate::{exit, signals};

use cluster::Cluster;
use show::Show;
use summary::Summary;

/// What `fsched demo` understands.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DemoArgs {
    /// Simulate how the functions depend on the cache here and now, with Valgrind, instead of using the curves shipped with them
    #[arg(long)]
    profile: bool,
    /// Write the curves of every way count to this file
    #[arg(long, value_name = "FILE", requires = "profile")]
    save_curves: Option<PathBuf>,
}

/// Runs the demo; answers with the exit code.
pub fn run(args: &DemoArgs, json: bool) -> u8 {
    let outcome = actix_rt::System::new().block_on(async {
        let asked_to_end = signals::asked_to_end().context("cannot listen for signals")?;
        // What is dropped when a signal comes first takes its processes and its folder with it.
        tokio::select! {
            summary = demo(args) => summary.map(Some),
            () = asked_to_end => Ok(None),
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
            let client = error.downcast_ref::<ClientError>().and_then(ClientError::hint);
            if let Some(hint) = client.or_else(|| error.downcast_ref::<ProfileError>()?.hint()) {
                eprintln!("hint: {hint}");
            }
            exit::FAILED
        }
    }
}

async fn demo(args: &DemoArgs) -> anyhow::Result<Summary> {
    let began = Instant::now();
    let show = Show::default();
    show.step("starting a master and two workers");
    let cluster = Cluster::start().await?;
    show.step(&format!("master at {}", cluster.client().url()));
    let functions = work::upload(&cluster, &show).await?;
    let curves = curves::teach(&cluster, &functions, args, &show).await?;
    let benchmarks = work::benchmark(cluster.client(), &functions, &show).await?;
    let runs = work::run_all(cluster.client(), &functions, &show).await?;
    show.step("stopping");
    cluster.stop()?;
    Ok(Summary::new(curves, benchmarks, runs, began.elapsed()))
}
