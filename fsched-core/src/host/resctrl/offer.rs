//! What resctrl offers: its `info` directory, read through whatever can read it.

use std::io;
use std::str::FromStr;

use crate::cache::{Bytes, CacheGeometry, GeometryError, WayMask, Ways};

/// The resources that have classes. The classes that can be used are those of the scarcest.
const WITH_CLASSES: [&str; 8] = ["L3", "L3CODE", "L3DATA", "L2", "L2CODE", "L2DATA", "MB", "SMBA"];

/// The longest text that is repeated in an error, in characters.
const SHOWN: usize = 60;

/// What resctrl offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer {
    /// Division of the L3 caches.
    pub cache: Option<CacheOffer>,
    /// Division of memory bandwidth.
    pub bandwidth: Option<BandwidthOffer>,
    /// Monitoring of the L3 caches.
    pub monitoring: Option<MonitoringOffer>,
    /// Control groups that there can be over all resources, the root group included; 0: none.
    pub classes: u16,
}

/// How L3 caches can be divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheOffer {
    /// All ways.
    pub all: WayMask,
    /// The fewest bits of a mask; AMD allows none at all.
    pub min_bits: u32,
    /// Ways that I/O fills too, as bits.
    pub shareable: u32,
    /// Whether the bits of a mask have to be neighbours.
    pub contiguous: bool,
    /// Whether code and data are divided apart, with a line each in `schemata`.
    pub code_and_data: bool,
    /// Classes of this resource, the root's included.
    pub classes: u16,
}

/// How memory bandwidth can be divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BandwidthOffer {
    /// The least that can be given.
    pub least: u32,
    /// The steps in which it is given.
    pub step: u32,
    /// Classes of this resource, the root's included.
    pub classes: u16,
}

/// What can be monitored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitoringOffer {
    /// Groups that can be monitored at once, the root included.
    pub groups: u32,
    /// `llc_occupancy`, `mbm_total_bytes`, `mbm_local_bytes`, and whatever comes.
    pub events: Vec<String>,
}

/// Why it cannot be said what resctrl offers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Which, below the mount point.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else than what is known.
    #[error("{path} holds {text:?}, which is no {wanted}")]
    Text {
        /// Which, below the mount point.
        path: String,
        /// What is in it, shortened.
        text: String,
        /// What should be.
        wanted: &'static str,
    },
}

impl Offer {
    /// Reads it; `read` reads a file below the mount point whole. What is not there is not offered.
    ///
    /// # Errors
    /// Where a file that is there cannot be read, or makes no sense.
    pub fn read(read: &dyn Fn(&str) -> io::Result<String>) -> Result<Self, OfferError> {
        let info = Info { read };
        let mut scarcest = None;
        for resource in WITH_CLASSES {
            if let Some(classes) = info.number::<u16>(resource, "num_closids")? {
                scarcest = Some(scarcest.map_or(classes, |fewest: u16| fewest.min(classes)));
            }
        }
        let cache = match info.cache("L3", false)? {
            None => info.cache("L3DATA", true)?,
            found => found,
        };
        Ok(Self {
            cache,
            bandwidth: info.bandwidth()?,
            monitoring: info.monitoring()?,
            classes: scarcest.unwrap_or(0),
        })
    }

    /// Control groups that can be made beside the root group, when nobody else has made any.
    pub fn usable_classes(&self) -> u16 {
        self.classes.saturating_sub(1)
    }

    /// The shape of an L3 cache of `size` under these rules; `None` where the cache cannot be divided.
    ///
    /// # Errors
    /// Where the rules leave no mask that could be given.
    pub fn geometry(&self, size: Bytes) -> Option<Result<CacheGeometry, GeometryError>> {
        let cache = self.cache?;
        let geometry = CacheGeometry {
            size,
            ways: cache.all.ways(),
            min_ways: Ways::clamped(u8::try_from(cache.min_bits).unwrap_or(Ways::MAX)),
            contiguous: cache.contiguous,
            shareable: cache.shareable,
            classes: self.usable_classes(),
        };
        Some(geometry.validate().map(|()| geometry))
    }
}

/// The files below `info`.
struct Info<'a> {
    read: &'a dyn Fn(&str) -> io::Result<String>,
}

impl Info<'_> {
    fn cache(&self, resource: &str, code_and_data: bool) -> Result<Option<CacheOffer>, OfferError> {
        let (Some(all), Some(classes)) = (
            self.parsed(resource, "cbm_mask", "mask of ways", |text| text.parse::<WayMask>().ok())?,
            self.number(resource, "num_closids")?,
        ) else {
            return Ok(None);
        };
        let hex = |text: &str| u32::from_str_radix(text, 16).ok().filter(|_| !text.starts_with('+'));
        let shareable = self.parsed(resource, "shareable_bits", "set of ways", hex)?.unwrap_or(0);
        let min_bits = self.number(resource, "min_cbm_bits")?.unwrap_or(1);
        // Kernels before 6.7 do not say whether masks may have gaps. Those that may be empty may have gaps: AMD's.
        let sparse =
            self.number::<u32>(resource, "sparse_masks")?.map_or(min_bits == 0, |sparse| sparse != 0);
        Ok(Some(CacheOffer {
            all,
            min_bits,
            shareable: shareable & all.bits(),
            contiguous: !sparse,
            code_and_data,
            classes,
        }))
    }

    fn bandwidth(&self) -> Result<Option<BandwidthOffer>, OfferError> {
        let Some(classes) = self.number("MB", "num_closids")? else { return Ok(None) };
        let least = self.number("MB", "min_bandwidth")?.unwrap_or(1);
        let step = self.number("MB", "bandwidth_gran")?.unwrap_or(1).max(1);
        Ok(Some(BandwidthOffer { least, step, classes }))
    }

    fn monitoring(&self) -> Result<Option<MonitoringOffer>, OfferError> {
        let Some(groups) = self.number("L3_MON", "num_rmids")? else { return Ok(None) };
        let events = self.text("L3_MON", "mon_features")?.map(|(_, text)| text).unwrap_or_default();
        Ok(Some(MonitoringOffer { groups, events: events.split_whitespace().map(str::to_owned).collect() }))
    }

    fn number<N: FromStr>(&self, resource: &str, file: &str) -> Result<Option<N>, OfferError> {
        // `parse` would take a sign.
        let plain =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        self.parsed(resource, file, "number", plain)
    }

    fn parsed<T>(
        &self,
        resource: &str,
        file: &str,
        wanted: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, OfferError> {
        let Some((path, text)) = self.text(resource, file)? else { return Ok(None) };
        match parse(text.trim()) {
            Some(value) => Ok(Some(value)),
            None => Err(OfferError::Text { path, text: text.trim().chars().take(SHOWN).collect(), wanted }),
        }
    }

    fn text(&self, resource: &str, file: &str) -> Result<Option<(String, String)>, OfferError> {
        let path = format!("info/{resource}/{file}");
        match (self.read)(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(OfferError::Io { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn offer(files: &[(&str, &str)]) -> Result<Offer, OfferError> {
        let files: BTreeMap<String, &str> =
            files.iter().map(|(path, text)| (format!("info/{path}"), *text)).collect();
        Offer::read(&|path| {
            files.get(path).map(|text| (*text).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    const SKYLAKE: &[(&str, &str)] = &[
        ("L3/cbm_mask", "7ff\n"),
        ("L3/min_cbm_bits", "1\n"),
        ("L3/num_closids", "16\n"),
        ("L3/shareable_bits", "600\n"),
        ("MB/num_closids", "8\n"),
        ("MB/min_bandwidth", "10\n"),
        ("MB/bandwidth_gran", "10\n"),
        ("L3_MON/num_rmids", "144\n"),
        ("L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n"),
    ];

    #[test]
    fn the_scarcest_resource_says_how_many_classes_there_are() {
        let offer = offer(SKYLAKE).unwrap();
        assert_eq!(offer.cache.unwrap().classes, 16);
        assert_eq!(offer.usable_classes(), 7);
        let geometry = offer.geometry(Bytes::mib(11)).unwrap().unwrap();
        assert_eq!((geometry.ways.get(), geometry.shareable, geometry.classes), (11, 0x600, 7));
        assert!(geometry.contiguous);
        assert_eq!(offer.bandwidth, Some(BandwidthOffer { least: 10, step: 10, classes: 8 }));
        assert_eq!(offer.monitoring.unwrap().events.len(), 3);
    }

    #[test]
    fn masks_of_amd_may_have_gaps() {
        let files = [("L3/cbm_mask", "ffff\n"), ("L3/min_cbm_bits", "0\n"), ("L3/num_closids", "16\n")];
        let old = offer(&files).unwrap();
        assert!(!old.cache.unwrap().contiguous);
        assert_eq!(old.geometry(Bytes::mib(32)).unwrap().unwrap().min_ways.get(), 1);
        let new = offer(&[&files[..], &[("L3/sparse_masks", "0\n")]].concat()).unwrap();
        assert!(new.cache.unwrap().contiguous, "the kernel's word counts");
    }

    #[test]
    fn code_and_data_apart_are_one_cache_with_half_the_classes() {
        let files = [
            ("L3CODE/cbm_mask", "fffff\n"),
            ("L3CODE/num_closids", "8\n"),
            ("L3DATA/cbm_mask", "fffff\n"),
            ("L3DATA/num_closids", "8\n"),
        ];
        let offer = offer(&files).unwrap();
        assert!(offer.cache.unwrap().code_and_data);
        assert_eq!(offer.usable_classes(), 7);
    }

    #[test]
    fn a_machine_that_only_monitors_offers_no_classes() {
        let offer = offer(&[("L3_MON/num_rmids", "32\n")]).unwrap();
        assert_eq!((offer.cache, offer.usable_classes()), (None, 0));
        assert_eq!(offer.monitoring, Some(MonitoringOffer { groups: 32, events: Vec::new() }));
        assert_eq!(offer_of_nothing(), Offer::default());
    }

    fn offer_of_nothing() -> Offer {
        offer(&[]).unwrap()
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_file() {
        let error = offer(&[("L3/cbm_mask", "zz\n"), ("L3/num_closids", "16\n")]).unwrap_err();
        assert_eq!(error.to_string(), r#"info/L3/cbm_mask holds "zz", which is no mask of ways"#);
        let error = offer(&[("L3/num_closids", "-1\n")]).unwrap_err();
        assert_eq!(error.to_string(), r#"info/L3/num_closids holds "-1", which is no number"#);
        let denied = Offer::read(&|_| Err(io::ErrorKind::PermissionDenied.into())).unwrap_err();
        assert!(matches!(denied, OfferError::Io { .. }), "{denied}");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(texts in proptest::collection::vec("[0-9a-f+x \n-]{0,12}|(?s).{0,20}", 6)) {
            let names = ["cbm_mask", "num_closids", "shareable_bits", "min_cbm_bits", "sparse_masks", "num_rmids"];
            let read = |path: &str| {
                let file = path.rsplit('/').next().and_then(|file| names.iter().position(|name| *name == file));
                file.map(|file| texts[file].clone()).ok_or_else(|| io::ErrorKind::NotFound.into())
            };
            if let Ok(offer) = Offer::read(&read) {
                let _ = offer.geometry(Bytes::mib(1));
            }
        }

        #[test]
        fn every_geometry_comes_back(ways in 1u32..=32, min in 0u32..5, closids in 1u16..200, share in any::<u32>(), sparse in 0u8..2) {
            let all = u32::MAX >> (32 - ways);
            let files = [
                ("L3/cbm_mask", format!("{all:x}\n")),
                ("L3/min_cbm_bits", format!("{min}\n")),
                ("L3/num_closids", format!("{closids}\n")),
                ("L3/shareable_bits", format!("{share:x}\n")),
                ("L3/sparse_masks", format!("{sparse}\n")),
            ];
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
            let cache = offer(&files).unwrap().cache.unwrap();
            prop_assert_eq!(cache, CacheOffer {
                all: WayMask::new(all).unwrap(),
                min_bits: min,
                shareable: share & all,
                contiguous: sparse == 0,
                code_and_data: false,
                classes: closids,
            });
        }
    }
}
