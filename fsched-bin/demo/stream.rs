//! Sums `input_size` KiB of numbers once, from the first to the last: no cache holds them, none is missed.

fn main() {
    let Some(kib) = std::env::args().nth(1).and_then(|size| size.parse::<u64>().ok()) else {
        eprintln!("usage: stream INPUT_SIZE (the stream's length in KiB)");
        std::process::exit(2);
    };
    let numbers: Vec<u64> = (0..kib * 128).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let sum = std::hint::black_box(&numbers).iter().fold(0u64, |sum, n| sum.wrapping_add(n ^ (n >> 7)));
    println!("sum of {kib} KiB: {sum:016x}");
}
