//! A set-associative cache with way masks, access by access, and runners with streams of various shapes: what the model is held against.

use crate::random::SplitMix;

/// Which lines a runner asks for.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// The same lines round and round.
    Loop(usize),
    /// Any of these lines, all as likely.
    Uniform(usize),
    /// The line of rank r with a probability like 1/(r+1)^`skew`: the sums of those.
    Zipf(Vec<f64>),
    /// Never the same line again.
    Stream,
}

impl Shape {
    pub(super) fn zipf(lines: usize, skew: f64) -> Self {
        let mut all = 0.0;
        let sum = |rank: usize| {
            all += (rank as f64 + 1.0).powf(-skew);
            all
        };
        Self::Zipf((0..lines).map(sum).collect())
    }
}

/// Shapes, each with its share of the accesses, on lines of their own.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    parts: Vec<(f64, Shape, u32)>,
    seeded: SplitMix,
    /// Where this runner's lines begin.
    base: u32,
}

impl Stream {
    pub(super) fn new(parts: Vec<(f64, Shape)>, seed: u64) -> Self {
        let mut seeded = SplitMix::new(seed);
        let base = seeded.draw() as u32;
        let parts = parts.into_iter().map(|(share, shape)| (share, shape, 0)).collect();
        Self { parts, seeded, base }
    }

    pub(super) fn next(&mut self) -> u32 {
        let mut left = self.seeded.unit();
        let last = self.parts.len() - 1;
        let chosen = self.parts.iter().position(|(share, ..)| {
            left -= share;
            left < 0.0
        });
        let chosen = chosen.unwrap_or(last);
        let (_, shape, at) = &mut self.parts[chosen];
        let line = match shape {
            Shape::Loop(lines) => {
                *at = (*at + 1) % *lines as u32;
                *at
            }
            Shape::Uniform(lines) => self.seeded.below(*lines) as u32,
            Shape::Zipf(sums) => {
                let at = self.seeded.unit() * sums[sums.len() - 1];
                sums.partition_point(|&sum| sum <= at) as u32
            }
            Shape::Stream => {
                *at = (*at + 1) % (1 << 24);
                *at
            }
        };
        // The parts' lines lie far apart.
        self.base.wrapping_add((chosen as u32) << 25).wrapping_add(line)
    }
}

/// Who has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replacement {
    /// The line not used for longest.
    Lru,
    /// Any.
    Random,
    /// Static re-reference interval prediction with 2 bits: Jaleel et al., "High Performance Cache Replacement", ISCA 2010.
    Srrip,
}

pub(super) struct Cache {
    ways: usize,
    sets: usize,
    replacement: Replacement,
    /// (line, runner), and when it was used last or how long it may wait.
    lines: Vec<Option<(u32, u32)>>,
    stamps: Vec<u64>,
    now: u64,
    seeded: SplitMix,
}

impl Cache {
    pub(super) fn new(sets: usize, ways: usize, replacement: Replacement) -> Self {
        let all = sets * ways;
        Self {
            ways,
            sets,
            replacement,
            lines: vec![None; all],
            stamps: vec![0; all],
            now: 0,
            seeded: SplitMix::new(1),
        }
    }

    /// Whether the line was there; it is now, in a way of the mask.
    pub(super) fn access(&mut self, runner: u32, line: u32, mask: u32) -> bool {
        self.now += 1;
        let first = line as usize % self.sets * self.ways;
        let set = &self.lines[first..first + self.ways];
        if let Some(way) = set.iter().position(|held| *held == Some((line, runner))) {
            self.stamps[first + way] = if self.replacement == Replacement::Srrip { 0 } else { self.now };
            return true;
        }
        let allowed = (0..self.ways).filter(|way| mask >> way & 1 == 1);
        let empty = allowed.clone().find(|way| set[*way].is_none());
        let way = empty.unwrap_or_else(|| self.victim(first, allowed));
        self.lines[first + way] = Some((line, runner));
        self.stamps[first + way] = if self.replacement == Replacement::Srrip { 2 } else { self.now };
        false
    }

    fn victim(&mut self, first: usize, allowed: impl Iterator<Item = usize> + Clone) -> usize {
        let stamp = |way: &usize| self.stamps[first + way];
        match self.replacement {
            Replacement::Lru => allowed.min_by_key(stamp).expect("a mask has a way"),
            Replacement::Random => {
                let chosen = self.seeded.below(allowed.clone().count());
                allowed.clone().nth(chosen).expect("a mask has a way")
            }
            Replacement::Srrip => loop {
                if let Some(way) = allowed.clone().find(|way| self.stamps[first + way] >= 3) {
                    return way;
                }
                allowed.clone().for_each(|way| self.stamps[first + way] += 1);
            },
        }
    }
}

/// One who runs: its stream, and what an access costs it, in seconds.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) stream: Stream,
    pub(super) hit: f64,
    pub(super) miss: f64,
}

/// Mean seconds per access of programs that run together, each in its mask, once everybody has made `accesses` to warm up.
pub(super) fn together(cache: &mut Cache, programs: &[Program], masks: &[u32], accesses: u64) -> Vec<f64> {
    let mut programs = programs.to_vec();
    let runners = programs.len();
    let (mut clocks, mut made) = (vec![0.0; runners], vec![0_u64; runners]);
    let mut starts: Option<(Vec<f64>, Vec<u64>)> = None;
    loop {
        let next =
            (0..runners).min_by(|&a, &b| f64::total_cmp(&clocks[a], &clocks[b])).expect("somebody runs");
        let line = programs[next].stream.next();
        let hit = cache.access(next as u32, line, masks[next]);
        clocks[next] += programs[next].hit + if hit { 0.0 } else { programs[next].miss };
        made[next] += 1;
        match &starts {
            None if made.iter().all(|&made| made >= accesses) => {
                starts = Some((clocks.clone(), made.clone()))
            }
            Some((from, before))
                if made.iter().zip(before).all(|(made, before)| made - before >= accesses) =>
            {
                let mean = |i: usize| (clocks[i] - from[i]) / (made[i] - before[i]) as f64;
                return (0..runners).map(mean).collect();
            }
            _ => {}
        }
    }
}

/// How often of `accesses` a stream misses in a cache of 1, 2, … `ways` ways: Mattson's stacks, one per set.
///
/// Mattson et al., "Evaluation techniques for storage hierarchies", IBM Systems Journal 1970.
pub(super) fn misses_by_ways(stream: &Stream, sets: usize, ways: usize, accesses: u64) -> Vec<f64> {
    let mut stream = stream.clone();
    let mut stacks: Vec<Vec<u32>> = vec![Vec::new(); sets];
    let mut hits = vec![0_u64; ways];
    for made in 0..2 * accesses {
        let line = stream.next();
        let stack = &mut stacks[line as usize % sets];
        let depth = stack.iter().position(|&held| held == line);
        match depth {
            Some(depth) => {
                stack[..=depth].rotate_right(1);
                if made >= accesses {
                    hits[depth] += 1;
                }
            }
            None => {
                stack.truncate(ways - 1);
                stack.insert(0, line);
            }
        }
    }
    let mut missed = accesses;
    let after = |hits: &u64| {
        missed -= hits;
        missed as f64 / accesses as f64
    };
    hits.iter().map(after).collect()
}
