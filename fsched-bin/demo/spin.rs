//! Computes `input_size` thousand rounds of a random number generator in registers: needs no cache at all.

fn main() {
    let Some(thousands) = std::env::args().nth(1).and_then(|size| size.parse::<u64>().ok()) else {
        eprintln!("usage: spin INPUT_SIZE (thousands of rounds)");
        std::process::exit(2);
    };
    let mut x = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..thousands * 1000 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x = x.wrapping_add(round);
    }
    println!("{thousands} thousand rounds: {x:016x}");
}
