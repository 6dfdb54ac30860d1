//! What functions really do, which the platform has to find out.

use std::time::Duration;

use fsched_core::cache::Bytes;
use fsched_core::curve::{Curve, CurvePoint};
use fsched_core::function::{FunctionName, FunctionSpec, InputSize, Needs};
use fsched_core::id::ContentHash;

/// A function as it really is.
#[derive(Debug, Clone, PartialEq)]
pub struct SimFunction {
    /// What it is called.
    pub name: FunctionName,
    /// What it needs.
    pub needs: Needs,
    /// How long a run takes over cache, on [`size`](Self::size).
    pub curve: Curve,
    /// The input size that the curve is for.
    pub size: InputSize,
    /// Time grows with input to this power; 0: it does not.
    pub growth: f64,
    /// How long a run may take.
    pub timeout: Duration,
    /// The length of its file.
    pub file_size: Bytes,
    /// What it exits with.
    pub status: i32,
    /// Whether it goes on when it is asked to end, until it is killed.
    pub stubborn: bool,
}

impl SimFunction {
    /// One that takes what `curve` says whatever the input, on one core, and ends well.
    ///
    /// # Panics
    /// Where `name` is no function's name.
    pub fn new(name: &str, curve: Curve) -> Self {
        Self {
            name: name.parse().expect("a function's name, as the caller promised"),
            needs: Needs { cores: 1, memory: Bytes::mib(64), ..Needs::default() },
            curve,
            size: InputSize(1),
            growth: 0.0,
            timeout: Duration::from_secs(900),
            file_size: Bytes::mib(1),
            status: 0,
            stubborn: false,
        }
    }

    /// How many times longer a run on this input takes than one on [`size`](Self::size).
    pub fn scale(&self, input_size: InputSize) -> f64 {
        if self.growth == 0.0 {
            return 1.0;
        }
        let ratio = input_size.0.max(1) as f64 / self.size.0.max(1) as f64;
        ratio.powf(self.growth).clamp(1e-9, 1e9)
    }

    /// How long a run on this input takes, over cache, `factor` times longer than it does.
    pub fn times(&self, input_size: InputSize, factor: f64) -> Curve {
        let factor = self.scale(input_size) * factor;
        let point = |p: &CurvePoint| CurvePoint {
            cache: p.cache,
            seconds: p.seconds * factor,
            low: p.low * factor,
            high: p.high * factor,
        };
        let points = self.curve.points().iter().map(point).collect();
        Curve::new(points, self.curve.provenance()).expect("a curve times a number is a curve")
    }

    /// What is pushed; `number` tells its file from others'.
    pub(crate) fn spec(&self, number: usize) -> FunctionSpec {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&(number as u64).to_be_bytes());
        FunctionSpec {
            name: self.name.clone(),
            file: ContentHash(hash),
            file_size: self.file_size,
            command: None,
            needs: self.needs,
            timeout: self.timeout,
        }
    }

    /// Whose file this is.
    pub(crate) fn number(file: ContentHash) -> usize {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&file.0[..8]);
        u64::from_be_bytes(bytes) as usize
    }
}
