//! What the demo does: upload, benchmark, run.

use anyhow::{Context as _, bail};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::json;

use super::cluster::Cluster;
use super::functions::{ALL, DemoFunction};
use super::show::Show;
use super::summary::{Benchmark, Run};
use crate::cli::EXECUTE;
use crate::client::Client;
use crate::client::answer::{BenchmarkAnswer, FunctionRow, RunAnswer};
use crate::table;

/// How often each function is run at each size.
const ROUNDS: usize = 4;
/// How many runs are asked for at once: more than there are cores, so that some wait.
const AT_ONCE: usize = 4;

/// A function that the master knows.
pub(super) struct Pushed {
    /// Which.
    pub(super) function: DemoFunction,
    /// What the master calls it.
    pub(super) id: String,
}

/// Uploads the three functions.
pub(super) async fn upload(cluster: &Cluster, show: &Show) -> anyhow::Result<Vec<Pushed>> {
    show.step("uploading three functions");
    let steps = show.steps("uploading", ALL.len());
    let mut pushed = Vec::new();
    for function in ALL {
        let path = cluster.folder().join(function.name);
        std::fs::write(&path, function.program)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let answer = cluster.client().push(&path, function.name, &[]).await?;
        let row: FunctionRow = cluster.client().parse(answer)?;
        steps.done(&format!("{} is {}: {}", row.task_id, function.name, function.what));
        pushed.push(Pushed { function, id: row.task_id });
    }
    Ok(pushed)
}

/// Benchmarks each function at its sizes, one after the other.
pub(super) async fn benchmark(
    client: &Client,
    functions: &[Pushed],
    show: &Show,
) -> anyhow::Result<Vec<Benchmark>> {
    show.step("benchmarking: each runs alone, a few times");
    let steps = show.steps("benchmarking", functions.iter().map(|f| f.function.benchmarked.len()).sum());
    let mut benchmarks = Vec::new();
    for Pushed { function, id } in functions {
        for input_size in function.benchmarked {
            let body = json!({"task_id": id, "command": EXECUTE, "input_size": input_size});
            let answer = client.post("/controller/task/benchmark", &body).await;
            let answer = answer.with_context(|| format!("benchmarking {}", function.name))?;
            let answer: BenchmarkAnswer = client.parse(answer)?;
            let best = answer.points.iter().map(|point| point.seconds).fold(f64::INFINITY, f64::min);
            let caches = match answer.points.len() {
                1 => "with the whole cache".to_owned(),
                several => format!("at {several} way counts"),
            };
            steps.done(&format!(
                "{} at {input_size}: {} ({} runs {caches}, spread {:.1} %{})",
                function.name,
                table::seconds(best),
                answer.runs,
                answer.noise * 100.0,
                if answer.too_noisy { ": noisy" } else { "" }
            ));
            benchmarks.push(Benchmark::new(function.name, input_size, best, &answer));
        }
    }
    Ok(benchmarks)
}

/// Runs every function at every size, several at once. In the order in which they were asked for.
pub(super) async fn run_all(client: &Client, functions: &[Pushed], show: &Show) -> anyhow::Result<Vec<Run>> {
    let mut wanted = Vec::new();
    for _ in 0..ROUNDS {
        // Neighbours are of different functions, so that different appetites meet.
        for place in 0..functions.iter().map(|f| f.function.sizes().len()).max().unwrap_or(0) {
            for pushed in functions {
                wanted.extend(pushed.function.sizes().get(place).map(|&size| (pushed, size)));
            }
        }
    }
    show.step(&format!("running {} invocations, {AT_ONCE} at once", wanted.len()));
    let steps = show.steps("running", wanted.len());
    let runs = wanted.into_iter().map(|(pushed, input_size)| {
        let steps = &steps;
        async move {
            let run = run_one(client, pushed, input_size).await?;
            steps.done(&run.line());
            anyhow::Ok(run)
        }
    });
    stream::iter(runs).buffered(AT_ONCE).try_collect().await
}

async fn run_one(client: &Client, pushed: &Pushed, input_size: u64) -> anyhow::Result<Run> {
    let name = pushed.function.name;
    let body = json!({"task_id": pushed.id, "command": EXECUTE, "input_size": input_size});
    let answer = client.post("/controller/task/run", &body).await;
    let answer = answer.with_context(|| format!("running {name} at {input_size}"))?;
    let RunAnswer { mode, message, result } = client.parse(answer)?;
    match result {
        Some(result) if result.exit_status == Some(0) => {
            Ok(Run { function: name, input_size, mode: mode.unwrap_or_else(|| "UNKNOWN".to_owned()), result })
        }
        Some(result) => bail!("{name} at {input_size} failed ({}): {}", result.ending, result.stderr.trim()),
        None => bail!("{name} at {input_size} was not run: {}", message.unwrap_or_default()),
    }
}
