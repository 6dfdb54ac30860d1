//! The three functions, compiled beside us, and the sizes they are run at.

/// A function of the demo.
pub(super) struct DemoFunction {
    /// What it is called.
    pub(super) name: &'static str,
    /// What it does.
    pub(super) what: &'static str,
    /// The program.
    pub(super) program: &'static [u8],
    /// Input sizes it is benchmarked at, then run at.
    pub(super) benchmarked: [u64; 2],
    /// Input sizes it is run at without.
    pub(super) unseen: [u64; 2],
}

impl DemoFunction {
    /// All the sizes it is run at, from small to large.
    pub(super) fn sizes(&self) -> Vec<u64> {
        let mut sizes = [self.benchmarked, self.unseen].concat();
        sizes.sort_unstable();
        sizes
    }
}

/// The three.
pub(super) const ALL: [DemoFunction; 3] = [
    DemoFunction {
        name: "lookup",
        what: "reads a table of so many KiB at random places: all depends on the cache",
        program: include_bytes!(concat!(env!("OUT_DIR"), "/lookup")),
        benchmarked: [1_024, 4_096],
        unseen: [2_048, 6_144],
    },
    DemoFunction {
        name: "stream",
        what: "sums so many KiB from first to last: too much for any cache",
        program: include_bytes!(concat!(env!("OUT_DIR"), "/stream")),
        benchmarked: [49_152, 98_304],
        unseen: [65_536, 131_072],
    },
    DemoFunction {
        name: "spin",
        what: "computes so many thousand rounds in registers: needs no cache",
        program: include_bytes!(concat!(env!("OUT_DIR"), "/spin")),
        benchmarked: [15_000, 40_000],
        unseen: [25_000, 60_000],
    },
];
