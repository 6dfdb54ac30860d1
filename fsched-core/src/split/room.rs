use crate::cache::{CacheGeometry, WayMask, Ways};
use crate::split::MAX_WAYS;

/// The ways there are to give out, and the rules for masks made of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    free: u32,
    min: u8,
    contiguous: bool,
}

impl Room {
    /// The ways of a cache, without those that I/O fills too.
    pub fn of(geometry: &CacheGeometry) -> Self {
        Self {
            free: geometry.usable().map_or(0, WayMask::bits),
            min: geometry.min_ways.get(),
            contiguous: geometry.contiguous,
        }
    }

    /// A cache of so many ways without special rules.
    pub fn plain(ways: Ways) -> Self {
        Self { free: WayMask::contiguous(0, ways).map_or(0, WayMask::bits), min: 1, contiguous: true }
    }

    /// The same with a mask of at least `min` ways.
    #[must_use]
    pub fn with_min(self, min: Ways) -> Self {
        Self { min: min.get(), ..self }
    }

    /// What is left without these ways: foreign groups' masks, or exclusive ones.
    #[must_use]
    pub fn without(self, bits: u32) -> Self {
        Self { free: self.free & !bits, ..self }
    }

    /// The same with so many ways less, none at least: those on top.
    #[must_use]
    pub fn fewer(self, ways: u8) -> Self {
        let drop = |free: u32, _| if free == 0 { 0 } else { free & !(1 << free.ilog2()) };
        Self { free: (0..ways).fold(self.free, drop), ..self }
    }

    /// The ways, as bits.
    pub fn bits(&self) -> u32 {
        self.free
    }

    /// How many ways.
    pub fn ways(&self) -> u8 {
        self.free.count_ones() as u8
    }

    /// The fewest ways of a mask, at least one.
    pub fn min(&self) -> u8 {
        self.min.max(1)
    }

    /// Whether the ways of a mask have to be neighbours.
    pub fn is_contiguous(&self) -> bool {
        self.contiguous
    }

    /// Whether these bits are a mask that may be written.
    pub fn allows(&self, mask: WayMask) -> bool {
        mask.bits() & !self.free == 0
            && mask.ways().get() >= self.min()
            && (mask.is_contiguous() || !self.contiguous)
    }

    /// The largest legal mask within `bits`; the lowest of several.
    pub(super) fn largest_mask(&self, bits: u32) -> Option<WayMask> {
        let within = Self { free: self.free & bits, ..*self };
        within.pieces().iter().rev().copied().max_by_key(|piece| piece.count_ones()).and_then(WayMask::new)
    }

    /// The parts that masks have to lie in, one each, lowest first; parts too small for a mask are left out.
    pub(super) fn pieces(&self) -> Pieces {
        let mut pieces = Pieces { bits: [0; MAX_WAYS / 2], len: 0 };
        let mut rest = self.free;
        while rest != 0 {
            let piece = if self.contiguous { longest_run_from_lowest(rest) } else { rest };
            rest &= !piece;
            if piece.count_ones() >= u32::from(self.min()) {
                pieces.bits[pieces.len] = piece;
                pieces.len += 1;
            }
        }
        pieces
    }

    /// How many can have a part.
    pub fn most_runners(&self) -> usize {
        self.pieces().iter().map(|piece| piece.count_ones() as usize / usize::from(self.min())).sum()
    }
}

/// The parts of a room; no more than every other way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pieces {
    bits: [u32; MAX_WAYS / 2],
    len: usize,
}

impl std::ops::Deref for Pieces {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.bits[..self.len]
    }
}

/// The lowest bit that is set, and its neighbours above it.
fn longest_run_from_lowest(set: u32) -> u32 {
    let first = set.trailing_zeros();
    let length = (set >> first).trailing_ones();
    (u32::MAX >> (u32::BITS - length)) << first
}
