//! Cache allocation and monitoring as the processor shows them by CPUID: Intel's leaves 0x7, 0xF and 0x10 (SDM volume 3B,
//! 18.18.4 and 18.19.3), which AMD has too, and AMD's leaf 0x8000_0020 (APM volume 3, E.4.17).
//!
//! A hypervisor may answer something else than the kernel found, or than there is: the kernel's word counts.

/// What a processor says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// Division of the L3 cache.
    pub l3: Option<CacheClaim>,
    /// Division of the L2 cache.
    pub l2: Option<CacheClaim>,
    /// Division of memory bandwidth.
    pub bandwidth: Option<BandwidthClaim>,
    /// Monitoring.
    pub monitoring: Option<MonitoringClaim>,
}

/// How a cache can be divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheClaim {
    /// How many bits a mask has.
    pub ways: u8,
    /// How many classes there are, the default one included.
    pub classes: u32,
    /// Ways that I/O fills too, as bits.
    pub shareable: u32,
    /// Whether code and data can be divided apart.
    pub code_and_data: bool,
}

/// How memory bandwidth can be divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BandwidthClaim {
    /// How many classes there are, the default one included.
    pub classes: u32,
}

/// What can be monitored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonitoringClaim {
    /// How many groups can be told apart.
    pub groups: u32,
    /// Whether they know how much of the L3 each holds.
    pub occupancy: bool,
    /// Whether they know how much each moves to and from memory.
    pub bandwidth: bool,
}

impl Claims {
    /// What the processor at hand says; `None` where there is no CPUID.
    pub fn here() -> Option<Self> {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        {
            Some(x86::claims(::x86::cpuid::native_cpuid::cpuid_count))
        }
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
        None
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod x86 {
    use ::x86::cpuid::{CpuId, CpuIdResult};

    use super::{BandwidthClaim, CacheClaim, Claims, MonitoringClaim};

    /// Leaf 0x8000_0008, EBX: bandwidth can be divided, and leaf 0x8000_0020 says how.
    const AMD_BANDWIDTH: u32 = 1 << 6;
    /// Leaf 0x8000_0020, subleaf 0, EBX: subleaf 1 is about bandwidth of the L3.
    const AMD_L3_BANDWIDTH: u32 = 1 << 1;

    /// What a processor says that answers like this. Each leaf is read only where a bit of another says that it means something.
    pub(super) fn claims(read: fn(u32, u32) -> CpuIdResult) -> Claims {
        let cpuid = CpuId::with_cpuid_fn(read);
        let features = cpuid.get_extended_feature_info();
        let has = |bit: fn(&_) -> bool| features.as_ref().is_some_and(bit);
        let allocation = has(|f: &::x86::cpuid::ExtendedFeatures| f.has_rdta())
            .then(|| cpuid.get_rdt_allocation_info())
            .flatten();
        let monitoring = has(|f: &::x86::cpuid::ExtendedFeatures| f.has_rdtm())
            .then(|| cpuid.get_rdt_monitoring_info())
            .flatten();
        let classes = |highest: u16| u32::from(highest) + 1;
        let l3 = allocation.as_ref().and_then(|all| all.l3_cat()).map(|cat| CacheClaim {
            ways: cat.capacity_mask_length(),
            classes: classes(cat.highest_cos()),
            shareable: cat.isolation_bitmap(),
            code_and_data: cat.has_code_data_prioritization(),
        });
        let l2 = allocation.as_ref().and_then(|all| all.l2_cat()).map(|cat| CacheClaim {
            ways: cat.capacity_mask_length(),
            classes: classes(cat.highest_cos()),
            shareable: cat.isolation_bitmap(),
            code_and_data: false,
        });
        let intel = allocation.as_ref().and_then(|all| all.memory_bandwidth_allocation());
        let bandwidth = intel.map(|info| classes(info.highest_cos())).or_else(|| amd_bandwidth(read));
        let monitoring = monitoring.map(|all| {
            let l3 = all.l3_monitoring();
            MonitoringClaim {
                groups: all.rmid_range().saturating_add(1),
                occupancy: l3.as_ref().is_some_and(|l3| l3.has_occupancy_monitoring()),
                bandwidth: l3.as_ref().is_some_and(|l3| l3.has_total_bandwidth_monitoring()),
            }
        });
        Claims { l3, l2, bandwidth: bandwidth.map(|classes| BandwidthClaim { classes }), monitoring }
    }

    /// Classes of bandwidth by AMD's own leaf, which the library does not know.
    fn amd_bandwidth(read: fn(u32, u32) -> CpuIdResult) -> Option<u32> {
        let last = read(0x8000_0000, 0).eax;
        if !(0x8000_0020..0x8001_0000).contains(&last) || read(0x8000_0008, 0).ebx & AMD_BANDWIDTH == 0 {
            return None;
        }
        (read(0x8000_0020, 0).ebx & AMD_L3_BANDWIDTH != 0).then(|| read(0x8000_0020, 1).edx.saturating_add(1))
    }

    #[cfg(test)]
    mod tests {
        use std::cell::RefCell;
        use std::collections::BTreeMap;

        use proptest::prelude::*;

        use super::*;

        fn registers(eax: u32, ebx: u32, ecx: u32, edx: u32) -> CpuIdResult {
            CpuIdResult { eax, ebx, ecx, edx }
        }

        fn text(vendor: &[u8; 12]) -> [u32; 3] {
            let word =
                |at: usize| u32::from_le_bytes([vendor[at], vendor[at + 1], vendor[at + 2], vendor[at + 3]]);
            [word(0), word(4), word(8)]
        }

        fn vendor(last: u32, name: &[u8; 12]) -> CpuIdResult {
            let [ebx, edx, ecx] = text(name);
            registers(last, ebx, ecx, edx)
        }

        /// A server of Intel's with 11 ways, of which I/O fills two.
        fn intel(leaf: u32, subleaf: u32) -> CpuIdResult {
            match (leaf, subleaf) {
                (0, _) => vendor(0x16, b"GenuineIntel"),
                (0x7, 0) => registers(0, 1 << 15 | 1 << 12, 0, 0),
                (0xf, 0) => registers(0, 143, 0, 2),
                (0xf, 1) => registers(0, 65_536, 143, 0b111),
                (0x10, 0) => registers(0, 0b1010, 0, 0),
                (0x10, 1) => registers(10, 0x600, 0b100, 15),
                (0x10, 3) => registers(89, 0, 4, 7),
                _ => registers(0, 0, 0, 0),
            }
        }

        fn amd(leaf: u32, subleaf: u32) -> CpuIdResult {
            match (leaf, subleaf) {
                (0, _) => vendor(0x10, b"AuthenticAMD"),
                (0x7, 0) => registers(0, 1 << 15, 0, 0),
                (0x10, 0) => registers(0, 0b10, 0, 0),
                (0x10, 1) => registers(15, 0, 0b100, 15),
                (0x8000_0000, _) => vendor(0x8000_0020, b"AuthenticAMD"),
                (0x8000_0008, _) => registers(0, AMD_BANDWIDTH, 0, 0),
                (0x8000_0020, 0) => registers(0, AMD_L3_BANDWIDTH, 0, 0),
                (0x8000_0020, 1) => registers(11, 0, 0, 15),
                _ => registers(0, 0, 0, 0),
            }
        }

        /// Answers that mean nothing, because no bit says that they do.
        fn without_bits(leaf: u32, subleaf: u32) -> CpuIdResult {
            match leaf {
                0x7 => registers(0, 0, 0, 0),
                0x8000_0008 => registers(0, 0, 0, 0),
                _ => amd(leaf, subleaf),
            }
        }

        fn noise(leaf: u32, subleaf: u32) -> CpuIdResult {
            // A hash (splitmix64), so that every leaf says something else.
            let mut state = u64::from(leaf) << 32 | u64::from(subleaf);
            let mut next = || {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                (mixed ^ mixed >> 27) as u32
            };
            registers(next(), next(), next(), next())
        }

        #[test]
        fn what_intel_says_is_understood() {
            let claims = claims(intel);
            let l3 = CacheClaim { ways: 11, classes: 16, shareable: 0x600, code_and_data: true };
            assert_eq!(claims.l3, Some(l3));
            assert_eq!(claims.l2, None);
            assert_eq!(claims.bandwidth, Some(BandwidthClaim { classes: 8 }));
            let monitoring = MonitoringClaim { groups: 144, occupancy: true, bandwidth: true };
            assert_eq!(claims.monitoring, Some(monitoring));
        }

        #[test]
        fn what_amd_says_is_understood_its_own_leaf_too() {
            let claims = claims(amd);
            assert_eq!(claims.l3.map(|l3| (l3.ways, l3.classes)), Some((16, 16)));
            assert_eq!(claims.bandwidth, Some(BandwidthClaim { classes: 16 }));
            assert_eq!(claims.monitoring, None);
        }

        #[test]
        fn leaves_mean_nothing_where_no_bit_says_that_they_do() {
            assert_eq!(claims(without_bits), Claims::default());
            assert_eq!(claims(|_, _| registers(0, 0, 0, 0)), Claims::default());
        }

        thread_local! {
            /// What [`told`] answers in this thread; a processor's answers cannot be captured.
            static ANSWERS: RefCell<BTreeMap<(u32, u32), CpuIdResult>> = const { RefCell::new(BTreeMap::new()) };
        }

        fn told(leaf: u32, subleaf: u32) -> CpuIdResult {
            let nothing = registers(0, 0, 0, 0);
            ANSWERS.with_borrow(|answers| answers.get(&(leaf, subleaf)).copied().unwrap_or(nothing))
        }

        fn claims_of(answers: impl IntoIterator<Item = ((u32, u32), CpuIdResult)>) -> Claims {
            ANSWERS.set(answers.into_iter().collect());
            claims(told)
        }

        /// The leaves that are read.
        const LEAVES: [(u32, u32); 12] = [
            (0, 0),
            (0x7, 0),
            (0xf, 0),
            (0xf, 1),
            (0x10, 0),
            (0x10, 1),
            (0x10, 2),
            (0x10, 3),
            (0x8000_0000, 0),
            (0x8000_0008, 0),
            (0x8000_0020, 0),
            (0x8000_0020, 1),
        ];

        proptest! {
            #[test]
            fn whatever_it_answers_is_understood_or_ignored(words in any::<[[u32; 4]; 12]>(), bits in any::<bool>()) {
                let mut answers: Vec<_> = words
                    .iter()
                    .zip(LEAVES)
                    .map(|([eax, ebx, ecx, edx], leaf)| (leaf, registers(*eax, *ebx, *ecx, *edx)))
                    .collect();
                // As real ones begin: else most noise ends at a leaf that there is not.
                answers[0].1 = vendor(0x16, b"GenuineIntel");
                if !bits {
                    answers[1].1 = registers(0, 0, 0, 0);
                }
                let claims = claims_of(answers);
                prop_assert!(bits || (claims.l3, claims.l2, claims.monitoring) == (None, None, None));
                prop_assert!(claims.l3.is_none_or(|l3| (1..=32).contains(&l3.ways) && (1..=65_536).contains(&l3.classes)));
            }

            #[test]
            fn what_it_has_is_what_is_understood(
                ways in 1u8..=32,
                classes in 1u32..=65_536,
                shareable: u32,
                code_and_data: bool,
                bandwidth in 1u32..=65_536,
                rmids in 1u32..=65_536,
                (occupancy, traffic) in any::<(bool, bool)>(),
            ) {
                let told = claims_of([
                    ((0, 0), vendor(0x16, b"GenuineIntel")),
                    ((0x7, 0), registers(0, 1 << 15 | 1 << 12, 0, 0)),
                    ((0xf, 0), registers(0, rmids - 1, 0, 2)),
                    ((0xf, 1), registers(0, 65_536, rmids - 1, u32::from(occupancy) | u32::from(traffic) << 1)),
                    ((0x10, 0), registers(0, 0b1010, 0, 0)),
                    ((0x10, 1), registers(u32::from(ways) - 1, shareable, u32::from(code_and_data) << 2, classes - 1)),
                    ((0x10, 3), registers(89, 0, 4, bandwidth - 1)),
                ]);
                prop_assert_eq!(told.l3, Some(CacheClaim { ways, classes, shareable, code_and_data }));
                prop_assert_eq!(told.bandwidth, Some(BandwidthClaim { classes: bandwidth }));
                prop_assert_eq!(told.monitoring, Some(MonitoringClaim { groups: rmids, occupancy, bandwidth: traffic }));
            }
        }

        #[test]
        fn no_answer_makes_us_panic() {
            let _ = claims(noise);
            let _ = claims(|_, _| registers(u32::MAX, u32::MAX, u32::MAX, u32::MAX));
            assert!(Claims::here().is_some());
        }
    }
}
