//! The results as a table: medians over the rounds, with their spread, and the ratios that are promised.

use super::load::Measured;
use super::{Case, System};

type Results = [(Case, Vec<Measured>)];

/// The machine's load averages, as text.
pub(crate) fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Median, least and most.
fn spread(all: &[Measured], value: impl Fn(&Measured) -> f64) -> (f64, f64, f64) {
    let mut values: Vec<f64> = all.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

fn find(results: &Results, slots: u16, clients: usize, functions: usize, system: System) -> &[Measured] {
    let case = Case { slots, clients, functions, system };
    results.iter().find(|(known, _)| *known == case).map_or(&[], |(_, all)| all)
}

/// One value over another, round by round: median, least and most.
fn ratio(over: &[Measured], under: &[Measured], value: impl Fn(&Measured) -> f64) -> String {
    let mut ratios: Vec<f64> = over.iter().zip(under).map(|(a, b)| value(a) / value(b)).collect();
    ratios.sort_by(f64::total_cmp);
    match ratios.as_slice() {
        [] => "not measured".to_owned(),
        all => format!("{:.2} ({:.2} to {:.2})", all[all.len() / 2], all[0], all[all.len() - 1]),
    }
}

/// Prints everything.
pub(crate) fn print(results: &Results, load_before: &str) {
    println!("load before: {load_before}; after: {}", load_average());
    println!();
    println!("| slots | clients | functions | asked | p50 ms | p99 ms | per second | CPU ms |");
    println!("| ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |");
    for (case, all) in results.iter().filter(|(_, all)| !all.is_empty()) {
        let show = |value: fn(&Measured) -> f64, digits: usize| {
            let (middle, least, most) = spread(all, value);
            format!("{middle:.digits$} ({least:.digits$} to {most:.digits$})")
        };
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            case.slots,
            case.clients,
            case.functions,
            match case.system {
                System::Bare => "bare posix_spawn",
                System::Worker => "worker",
                System::Platform => "master + worker",
            },
            show(|m| m.p50, 2),
            show(|m| m.p99, 2),
            show(|m| m.throughput, 0),
            show(|m| m.cpu, 2),
        );
    }
    let of = |clients, functions, system| find(results, 16, clients, functions, system);
    let bare = |clients| of(clients, 1, System::Bare);
    let platform = |clients| of(clients, 1, System::Platform);
    println!();
    println!("With 16 slots, master + worker over bare, round by round: median (least to most)");
    println!();
    println!("| ratio | measured | to reach |");
    println!("| --- | --- | --- |");
    println!("| p50, 1 client | {} | at most 1.5 |", ratio(platform(1), bare(1), |m| m.p50));
    println!(
        "| throughput, 16 clients | {} | at least 0.65 |",
        ratio(platform(16), bare(16), |m| m.throughput)
    );
    for clients in [1, 4, 16] {
        let cpu = ratio(platform(clients), bare(clients), |m| m.cpu);
        println!("| CPU per invocation, {clients} clients | {cpu} | at most 1.6 |");
    }
    let hundred = of(16, 100, System::Platform);
    println!(
        "| throughput, 100 functions over 1 | {} | at least 0.95 |",
        ratio(hundred, platform(16), |m| m.throughput)
    );
    for clients in [32, 64] {
        let more = ratio(platform(clients), platform(16), |m| m.throughput);
        println!("| throughput, {clients} clients over 16 | {more} | no fall |");
    }
}
