//! What a last-level cache is made of: bytes, ways, masks, classes and the domains they belong to.

pub mod humane_bytes;

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// `n` KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 30 => write!(f, "{:.1} GiB", n as f64 / (1u64 << 30) as f64),
            n if n >= 1 << 20 => write!(f, "{:.1} MiB", n as f64 / (1u64 << 20) as f64),
            n if n >= 1 << 10 => write!(f, "{:.1} KiB", n as f64 / 1024.0),
            n => write!(f, "{n} B"),
        }
    }
}

/// How many ways: at least one, at most 32 (no mask of the kernel is wider).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Ways(NonZeroU8);

/// A number of ways outside 1..=32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a number of ways: it has to be between 1 and 32")]
pub struct WaysOutOfRange(pub u8);

impl Ways {
    /// One way.
    pub const ONE: Self = Self(NonZeroU8::MIN);
    /// The most ways there can be.
    pub const MAX: u8 = 32;

    /// `n` ways.
    ///
    /// # Errors
    /// Where `n` is 0 or above 32.
    pub fn new(n: u8) -> Result<Self, WaysOutOfRange> {
        NonZeroU8::new(n).filter(|n| n.get() <= Self::MAX).map(Self).ok_or(WaysOutOfRange(n))
    }

    /// The nearest legal number of ways.
    pub fn clamped(n: u8) -> Self {
        Self(NonZeroU8::new(n.clamp(1, Self::MAX)).unwrap_or(NonZeroU8::MIN))
    }

    /// The number itself.
    pub fn get(self) -> u8 {
        self.0.get()
    }
}

impl TryFrom<u8> for Ways {
    type Error = WaysOutOfRange;

    fn try_from(n: u8) -> Result<Self, WaysOutOfRange> {
        Self::new(n)
    }
}

impl From<Ways> for u8 {
    fn from(ways: Ways) -> u8 {
        ways.get()
    }
}

impl fmt::Display for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which ways: the capacity bitmask, never empty. Written as hex without `0x`, as the kernel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WayMask(u32);

/// A text or number that is no way mask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a way mask: 1 to 8 hex digits, not all zero")]
pub struct ParseWayMaskError(pub String);

impl WayMask {
    /// The mask with these bits; `None` where there are none.
    pub fn new(bits: u32) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    /// `ways` neighbouring bits, the lowest being bit `first`; `None` where they do not fit in 32.
    pub fn contiguous(first: u8, ways: Ways) -> Option<Self> {
        let end = u32::from(first) + u32::from(ways.get());
        (end <= 32).then(|| Self((u32::MAX >> (32 - u32::from(ways.get()))) << first))
    }

    /// The bits.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// How many ways.
    pub fn ways(self) -> Ways {
        Ways::clamped(self.0.count_ones() as u8)
    }

    /// Whether the bits are neighbours.
    pub fn is_contiguous(self) -> bool {
        let shifted = self.0 >> self.0.trailing_zeros();
        shifted & shifted.wrapping_add(1) == 0
    }

    /// Whether the two have a way in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for WayMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for WayMask {
    type Err = ParseWayMaskError;

    fn from_str(text: &str) -> Result<Self, ParseWayMaskError> {
        let error = || ParseWayMaskError(text.chars().take(40).collect());
        if text.is_empty() || text.len() > 8 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(error());
        }
        u32::from_str_radix(text, 16).ok().and_then(Self::new).ok_or_else(error)
    }
}

impl TryFrom<String> for WayMask {
    type Error = ParseWayMaskError;

    fn try_from(text: String) -> Result<Self, ParseWayMaskError> {
        text.parse()
    }
}

impl From<WayMask> for String {
    fn from(mask: WayMask) -> String {
        mask.to_string()
    }
}

/// A class of service: the hardware's name for "those who share this mask". 0 is everybody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClosId(pub u16);

impl fmt::Display for ClosId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An L3 cache of a worker, by the kernel's number; numbers may have gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DomainId(pub u16);

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A logical CPU, by the kernel's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CpuId(pub u16);

/// The shape of one L3 cache and the rules for masks on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheGeometry {
    /// The whole cache.
    pub size: Bytes,
    /// How many ways it has.
    pub ways: Ways,
    /// The fewest ways a mask may have.
    pub min_ways: Ways,
    /// Whether the bits of a mask have to be neighbours (Intel) or not (AMD).
    pub contiguous: bool,
    /// Ways that I/O fills too, as bits; no lease gets them.
    pub shareable: u32,
    /// How many classes may be used, the default class not counted.
    pub classes: u16,
}

/// A geometry that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cache geometry: {0}")]
pub struct GeometryError(pub &'static str);

impl CacheGeometry {
    /// Checks that the numbers fit each other.
    ///
    /// # Errors
    /// Names the first rule that does not hold.
    pub fn validate(&self) -> Result<(), GeometryError> {
        if self.size.0 < u64::from(self.ways.get()) {
            return Err(GeometryError("a way has to hold at least one byte"));
        }
        if self.shareable & !self.all_bits() != 0 {
            return Err(GeometryError("the shareable bits lie outside the cache"));
        }
        if self.usable().is_none_or(|mask| mask.ways() < self.min_ways) {
            return Err(GeometryError("fewer usable ways than a mask has to have"));
        }
        if self.contiguous && self.usable().is_some_and(|mask| !mask.is_contiguous()) {
            return Err(GeometryError("the shareable bits split the cache in two"));
        }
        Ok(())
    }

    /// Bytes in one way.
    pub fn way_size(&self) -> Bytes {
        Bytes(self.size.0 / u64::from(self.ways.get()))
    }

    /// Bytes in `ways` ways.
    pub fn bytes(&self, ways: Ways) -> Bytes {
        Bytes(self.way_size().0 * u64::from(ways.get()))
    }

    /// The ways that leases may be made of; `None` where I/O has all.
    pub fn usable(&self) -> Option<WayMask> {
        WayMask::new(self.all_bits() & !self.shareable)
    }

    /// How many ways leases may be made of.
    pub fn usable_ways(&self) -> Ways {
        self.usable().map_or(Ways::ONE, WayMask::ways)
    }

    /// Ways that may be promised exclusively at most: the last few stay for those who share, as does one class.
    pub fn exclusive_limit(&self) -> u8 {
        if self.classes < 2 {
            return 0;
        }
        self.usable_ways().get().saturating_sub(self.min_ways.get())
    }

    fn all_bits(&self) -> u32 {
        u32::MAX >> (32 - u32::from(self.ways.get()))
    }
}

/// One L3 cache and the CPUs that share it. Capacity is always per domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheDomain {
    /// The kernel's number.
    pub id: DomainId,
    /// The CPUs that share it.
    pub cpus: Vec<CpuId>,
    /// Its shape.
    pub geometry: CacheGeometry,
}

impl CacheDomain {
    /// A made-up domain, number 0: the CPUs 0 to `cpus` − 1, and `ways` ways of `way_size` without special rules. For
    /// tests, simulations, and whoever does not care.
    pub fn nominal(cpus: u16, ways: Ways, way_size: Bytes) -> Self {
        let geometry = CacheGeometry {
            size: Bytes(way_size.0 * u64::from(ways.get())),
            ways,
            min_ways: Ways::ONE,
            contiguous: true,
            shareable: 0,
            classes: 15,
        };
        Self { id: DomainId(0), cpus: (0..cpus).map(CpuId).collect(), geometry }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_mask_survives_its_text(bits in 1u32..) {
            let mask = WayMask::new(bits).unwrap();
            prop_assert_eq!(mask.to_string().parse(), Ok(mask));
        }

        #[test]
        fn contiguous_masks_are(first in 0u8..40, ways in 1u8..=32) {
            let ways = Ways::new(ways).unwrap();
            let mask = WayMask::contiguous(first, ways);
            prop_assert_eq!(mask.is_some(), u32::from(first) + u32::from(ways.get()) <= 32);
            if let Some(mask) = mask {
                prop_assert!(mask.is_contiguous());
                prop_assert_eq!(mask.ways(), ways);
                prop_assert_eq!(mask.bits().trailing_zeros(), u32::from(first));
            }
        }

        #[test]
        fn no_text_makes_the_mask_parser_panic(text in ".*") {
            let _ = text.parse::<WayMask>();
        }
    }

    #[test]
    fn gaps_are_not_contiguous() {
        assert!(!WayMask::new(0b101).unwrap().is_contiguous());
        assert!(WayMask::new(u32::MAX).unwrap().is_contiguous());
    }

    #[test]
    fn a_geometry_that_io_cuts_in_two_is_refused() {
        let whole = CacheGeometry {
            size: Bytes::mib(8),
            ways: Ways::new(8).unwrap(),
            min_ways: Ways::ONE,
            contiguous: true,
            shareable: 0,
            classes: 7,
        };
        assert_eq!(whole.validate(), Ok(()));
        assert!(CacheGeometry { shareable: 0b1000, ..whole }.validate().is_err());
        assert!(CacheGeometry { shareable: 0b1000, contiguous: false, ..whole }.validate().is_ok());
        assert!(CacheGeometry { shareable: 0xff, ..whole }.validate().is_err());
        assert!(CacheGeometry { shareable: 0x100, ..whole }.validate().is_err());
    }
}
