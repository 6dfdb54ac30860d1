//! How the three functions depend on the cache, on machines that do not divide theirs: simulated here and now, or as it
//! was when the demo was made.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use fsched_core::cache::Ways;
use serde::Serialize;
use serde_json::{Value, json};

use super::DemoArgs;
use super::cluster::Cluster;
use super::show::Show;
use super::work::Pushed;
use crate::cli::profile::{body, progress};
use crate::client::{Client, segment};
use crate::profile::{Limits, Profile, Request, csv, profile};

/// As `fsched demo --profile --save-curves fsched-bin/demo/curves.csv` wrote it.
const SHIPPED: &str = include_str!("../../demo/curves.csv");

/// How closely the demo profiles: as `fsched profile` does.
const WAYS: u8 = 20;
const POINTS: usize = 7;

/// Where the curves come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// Simulated when the demo was made, elsewhere.
    Shipped,
    /// Simulated on this machine just now.
    Profiled,
}

/// Teaches the master the curves of the three functions.
pub(super) async fn teach(
    cluster: &Cluster,
    functions: &[Pushed],
    args: &DemoArgs,
    show: &Show,
) -> anyhow::Result<Source> {
    if !args.profile {
        show.step(
            "curves: the simulated ones that come with the demo (--profile makes them here, with Valgrind)",
        );
        for pushed in functions {
            for (input_size, points) in shipped(pushed.function.name)? {
                let body = json!({"input_size": input_size, "points": points});
                send(cluster.client(), pushed, &body).await?;
            }
        }
        return Ok(Source::Shipped);
    }
    show.step("profiling: each runs under Valgrind, 12 to 55 times as long as by itself");
    let steps = show.steps("profiling", functions.iter().map(|f| f.function.benchmarked.len()).sum());
    let mut rows = format!("{}\n", csv::HEADER);
    for pushed in functions {
        let file = cluster.folder().join(pushed.function.name);
        std::fs::set_permissions(&file, Permissions::from_mode(0o700))
            .with_context(|| format!("cannot make {} executable", file.display()))?;
        for input_size in pushed.function.benchmarked {
            let profile = simulate(&file, input_size, args).await?;
            send(cluster.client(), pushed, &body(input_size, &profile)).await?;
            let line =
                profile.points.iter().map(|point| csv::row(pushed.function.name, input_size, point) + "\n");
            rows.extend(line);
            steps.done(&summary(pushed.function.name, input_size, &profile));
        }
    }
    if let Some(path) = &args.save_curves {
        let saved = File::create(path).and_then(|mut file| file.write_all(rows.as_bytes()));
        saved.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Source::Profiled)
}

async fn simulate(file: &Path, input_size: u64, args: &DemoArgs) -> anyhow::Result<Profile> {
    let request = Request {
        command: vec![file.into(), input_size.to_string().into()],
        ways: Ways::clamped(WAYS),
        points: if args.save_curves.is_some() { usize::from(WAYS) } else { POINTS },
        limits: Limits { instructions: 10_000_000_000, time: std::time::Duration::from_secs(120) },
    };
    Ok(profile(&request, |point| tracing::debug!("{}", progress(point))).await?)
}

async fn send(client: &Client, pushed: &Pushed, body: &Value) -> anyhow::Result<()> {
    let sent = client.post(&format!("/functions/{}/profile", segment(&pushed.id)), body).await;
    sent.map(|_| ()).with_context(|| format!("teaching the master the curve of {}", pushed.function.name))
}

fn summary(name: &str, input_size: u64, profile: &Profile) -> String {
    format!(
        "{name} at {input_size}: {} of {WAYS} ways suffice ({} points, each {:.0} times as long as the run)",
        profile.fewest_ways().0,
        profile.points.len(),
        profile.slowdown()
    )
}

/// The shipped points of a function, by input size.
fn shipped(name: &str) -> anyhow::Result<Vec<(u64, Vec<Value>)>> {
    let rows = csv::parse(SHIPPED).context("the demo's curves are damaged")?;
    let mut sizes: Vec<(u64, Vec<Value>)> = Vec::new();
    for row in rows.into_iter().filter(|row| row.name == name) {
        let point = json!({
            "cache_bytes": row.cache.0,
            "seconds": row.seconds,
            "miss_bytes": row.counts.misses.0,
            "accesses": row.counts.accesses,
        });
        match sizes.last_mut() {
            Some((size, points)) if *size == row.input_size => points.push(point),
            _ => sizes.push((row.input_size, vec![point])),
        }
    }
    ensure!(!sizes.is_empty(), "the demo has no curve of {name}");
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::functions::ALL;

    #[test]
    fn there_are_curves_of_all_functions_at_all_sizes_that_are_benchmarked() {
        for function in ALL {
            let sizes: Vec<u64> = shipped(function.name).unwrap().into_iter().map(|(size, _)| size).collect();
            assert_eq!(sizes, function.benchmarked, "{}", function.name);
        }
        assert!(shipped("nothing").is_err());
    }

    #[test]
    fn the_shipped_curves_are_what_the_functions_are_for() {
        let slowdown = |name: &str| {
            let (_, points) = shipped(name).unwrap().pop().unwrap();
            let seconds = |point: &Value| point["seconds"].as_f64().unwrap();
            seconds(&points[0]) / seconds(&points[points.len() - 1])
        };
        assert!(slowdown("lookup") > 2.0, "all depends on the cache: {}", slowdown("lookup"));
        assert!(slowdown("spin") < 1.05, "it needs none: {}", slowdown("spin"));
        assert!(slowdown("stream") < 1.3, "none suffices: {}", slowdown("stream"));
    }
}
