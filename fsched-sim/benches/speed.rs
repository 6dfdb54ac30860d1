//! How many invocations are simulated per CPU-second.
//!
//! ```console
//! cargo bench -p fsched-sim                                                        # small clusters, calls by a formula
//! cargo bench -p fsched-sim -- --trace DIR --workers 1000                          # a trace as it is, least loaded
//! cargo bench -p fsched-sim -- --trace DIR --workers 1000 --load 0.6 --minutes 4 --policy default --contention
//! ```
//!
//! `DIR` holds the three files of a day of the Azure trace of 2019: `invocations.csv`, `durations.csv`, `memory.csv`.

mod speed {
    pub(crate) mod measure;
    pub(crate) mod options;
    pub(crate) mod scene;
}

use speed::measure::{cpu_seconds, most_memory};
use speed::options::Options;
use speed::scene::scene_of;

/// As in the programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    println!(
        "| workers × cores | policy | contention | calls | CPU-seconds | calls per CPU-second | events per call | mean slowdown | setting up, s | most memory, MiB |"
    );
    println!("| ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    options.each().iter().for_each(run);
}

fn run(options: &Options) {
    let began = cpu_seconds();
    let mut scene = scene_of(options);
    let ready = cpu_seconds();
    let mut slowdowns = 0.0;
    let mut ended = 0_u32;
    for step in 1..=1_000 {
        scene.simulation.run_until(scene.start + scene.length * step / 1_000);
        for one in scene.simulation.take_ended() {
            slowdowns += one.at.since(one.submitted).as_secs_f64() / one.alone.as_secs_f64().max(0.01);
            ended += 1;
        }
    }
    let took = cpu_seconds() - ready;
    let counts = scene.simulation.counts();
    println!(
        "| {} × {} | {} | {} | {} | {took:.2} | {:.0} | {:.1} | {:.3} | {:.1} | {:.0} |",
        options.workers,
        options.cores,
        options.policy,
        if options.contention { "on" } else { "off" },
        counts.accepted,
        counts.accepted as f64 / took,
        counts.events as f64 / counts.accepted.max(1) as f64,
        slowdowns / f64::from(ended.max(1)),
        ready - began,
        most_memory(),
    );
}
