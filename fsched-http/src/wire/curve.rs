//! Curves as text, written and read once however often they go over the wire: from one benchmark or surprise to the next, all
//! orders for a function and size carry the same.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;
use fsched_core::curve::Curve;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A curve and its text.
type Entry = (Arc<Curve>, Box<RawValue>);

/// How many curves each thread remembers; beyond, it begins anew.
const KEPT: usize = 256;

thread_local! {
    /// By where they lie, which they do as long as they are remembered.
    static WRITTEN: RefCell<HashMap<usize, Entry>> = RefCell::default();
    static READ: RefCell<HashMap<Box<str>, Arc<Curve>, RandomState>> = RefCell::default();
}

pub(super) fn serialize<S: Serializer>(curve: &Arc<Curve>, serializer: S) -> Result<S::Ok, S::Error> {
    let place = Arc::as_ptr(curve).addr();
    WRITTEN.with_borrow_mut(|written| {
        if let Some((_, text)) = written.get(&place) {
            return text.serialize(serializer);
        }
        let text = serde_json::value::to_raw_value(&**curve).map_err(S::Error::custom)?;
        if written.len() >= KEPT {
            written.clear();
        }
        written.entry(place).or_insert((Arc::clone(curve), text)).1.serialize(serializer)
    })
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Curve>, D::Error> {
    let text = <&RawValue>::deserialize(deserializer)?.get();
    READ.with_borrow_mut(|read| {
        if let Some(curve) = read.get(text) {
            return Ok(Arc::clone(curve));
        }
        let curve = Arc::new(serde_json::from_str(text).map_err(D::Error::custom)?);
        if read.len() >= KEPT {
            read.clear();
        }
        read.insert(text.into(), Arc::clone(&curve));
        Ok(curve)
    })
}

#[cfg(test)]
mod tests {
    use fsched_core::curve::Provenance;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Body {
        #[serde(with = "super")]
        curve: Arc<Curve>,
    }

    #[test]
    fn more_curves_than_are_remembered_are_all_right() {
        let curves: Vec<_> = (1..=3 * KEPT as u32)
            .map(|n| Arc::new(Curve::flat(f64::from(n), 1.5, Provenance::Measured)))
            .collect();
        for _ in 0..2 {
            for curve in &curves {
                let text = serde_json::to_string(&Body { curve: Arc::clone(curve) }).unwrap();
                assert_eq!(text, format!("{{\"curve\":{}}}", serde_json::to_string(curve).unwrap()));
                assert_eq!(serde_json::from_str::<Body>(&text).unwrap().curve, *curve);
            }
        }
    }

    #[test]
    fn what_is_no_curve_is_refused_every_time() {
        for text in [r#"{"curve":{"points":[],"provenance":"prior"}}"#, r#"{"curve":7}"#] {
            for _ in 0..2 {
                assert!(serde_json::from_str::<Body>(text).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn a_curve_that_is_gone_is_not_mistaken_for_one_in_its_place() {
        for n in 1..1_000 {
            let curve = Arc::new(Curve::flat(f64::from(n), 1.0, Provenance::Prior));
            let own = serde_json::to_string(&*curve).unwrap();
            assert_eq!(serde_json::to_string(&Body { curve }).unwrap(), format!("{{\"curve\":{own}}}"));
        }
    }
}
