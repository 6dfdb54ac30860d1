//! What the platform costs beside starting a process: bare `posix_spawn`, a worker, and a master with a worker, in one
//! run, side by side.
//!
//! `cargo bench -p fsched-bin --bench overhead` measures three shuffled rounds; `-- --quick` one short one;
//! `-- --rounds N` as many as you like. `docs/performance.md` has the results and says what they mean.

mod http;
mod load;
mod platform;
mod report;

use std::process::ExitCode;

use load::{Measured, Plan};
use platform::{Cluster, Program};

/// One line of the result: what was driven, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    /// How many functions the worker may run at once.
    slots: u16,
    /// How many clients ask at once.
    clients: usize,
    /// How many different functions they ask for, in turn.
    functions: usize,
    /// What is asked.
    system: System,
}

/// What is asked to run the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum System {
    /// `std::process::Command`, with both outputs captured: `posix_spawn`, pipes, `wait`.
    Bare,
    /// A worker, over HTTP.
    Worker,
    /// A master, over HTTP, which asks that worker.
    Platform,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for slots in [16, 2] {
        for clients in [1, 4, 16] {
            for system in [System::Bare, System::Worker, System::Platform] {
                cases.push(Case { slots, clients, functions: 1, system });
            }
        }
    }
    // More clients than slots wait in the master; a hundred functions, and the way from 16 clients to 64.
    for (clients, functions) in [(16, 100), (32, 1), (64, 1)] {
        cases.push(Case { slots: 16, clients, functions, system: System::Platform });
    }
    cases
}

/// The same numbers in the same order for the same seed: a round's order of cases.
fn shuffle(cases: &mut [Case], mut seed: u64) {
    for i in (1..cases.len()).rev() {
        // Knuth's MMIX generator; the high bits are the good ones.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        cases.swap(i, (seed >> 33) as usize % (i + 1));
    }
}

/// Every case, with what each round brought.
type Results = Vec<(Case, Vec<Measured>)>;

fn run(plan: &Plan) -> Result<Results, Box<dyn std::error::Error>> {
    let program = Program::build()?;
    let mut results: Vec<(Case, Vec<Measured>)> =
        cases().into_iter().map(|case| (case, Vec::new())).collect();
    for round in 0..plan.rounds {
        let mut order = cases();
        shuffle(&mut order, round as u64 + 1);
        for (slots, cores) in [(16, 16), (2, 2)] {
            let cluster = Cluster::start(&program, cores)?;
            for case in order.iter().filter(|case| case.slots == slots) {
                eprintln!("round {} of {}: {case:?}", round + 1, plan.rounds);
                let measured = load::measure(case, plan, &program, &cluster)?;
                if let Some((_, all)) = results.iter_mut().find(|(known, _)| known == case) {
                    all.push(measured);
                }
            }
        }
    }
    Ok(results)
}

fn main() -> ExitCode {
    let plan = match Plan::from_arguments(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let load_before = report::load_average();
    match run(&plan) {
        Ok(results) => {
            report::print(&results, &load_before);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the benchmark failed: {error}");
            ExitCode::FAILURE
        }
    }
}
