//! Reads a table of `input_size` KiB at random places, each place depending on what the last one held:
//! fast as long as the table fits in the cache.

const READS: u64 = 1_500_000;

fn mix(value: u64) -> u64 {
    let mut x = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn main() {
    let Some(kib) = std::env::args().nth(1).and_then(|size| size.parse::<u64>().ok()) else {
        eprintln!("usage: lookup INPUT_SIZE (the table's size in KiB)");
        std::process::exit(2);
    };
    let entries = (kib * 128).max(1);
    let table: Vec<u64> = (0..entries).map(mix).collect();
    let mut sum = 0u64;
    for read in 0..READS {
        let place = (u128::from(mix(sum ^ read)) * u128::from(entries)) >> 64;
        sum = sum.wrapping_add(table[place as usize]);
    }
    println!("{READS} reads in {kib} KiB: {sum:016x}");
}
