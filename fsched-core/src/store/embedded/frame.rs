//! The log's bytes: frames, and what can be told from them after the process, or the machine, died.
//!
//! A frame is the payload's length (4 bytes), a CRC-32 of all but itself (4), a sequence number (8), and the
//! payload, in little-endian order. A frame without payload is a mark: "the next fact has this number".

use std::ops::Range;

/// Length, checksum and sequence number.
pub(super) const HEADER: usize = 16;
/// The longest payload; a longer one is damage.
pub(super) const MAX_PAYLOAD: usize = 16 << 20;

/// Fills in the header: `frame` is [`HEADER`] bytes of anything, then the payload.
pub(super) fn seal(frame: &mut [u8], sequence: u64) {
    let length = (frame.len() - HEADER) as u32;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[8..HEADER].copy_from_slice(&sequence.to_le_bytes());
    let checksum = checksum(frame);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
}

/// A mark: the next fact has this number.
pub(super) fn mark(sequence: u64) -> [u8; HEADER] {
    let mut frame = [0; HEADER];
    seal(&mut frame, sequence);
    frame
}

/// One frame of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its sequence number.
    pub(super) sequence: u64,
    /// Where its payload is; empty: a mark.
    pub(super) payload: Range<usize>,
}

/// What a segment holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its whole frames up to the first that is not.
    pub(super) frames: Vec<Frame>,
    /// Where that one starts; none: there is none.
    pub(super) torn_at: Option<usize>,
    /// Whether there are whole frames after it, which a write cut short does not leave behind.
    pub(super) damaged: bool,
}

impl Segment {
    /// Reads a segment.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut frames: Vec<Frame> = Vec::new();
        let mut at = 0;
        while let Some(frame) = frame_at(bytes, at) {
            at = frame.payload.end;
            frames.push(frame);
        }
        if at == bytes.len() {
            return Self { frames, torn_at: None, damaged: false };
        }
        let last = frames.last().map_or(0, |frame| frame.sequence);
        let damaged =
            (at + 1..bytes.len()).any(|at| frame_at(bytes, at).is_some_and(|frame| frame.sequence > last));
        Self { frames, torn_at: Some(at), damaged }
    }
}

/// Why a log does not go on from what has been applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Break {
    /// Frames follow one that is not whole.
    Damage {
        /// Where in its segment.
        at: usize,
    },
    /// The frame that should come next is not there, but later ones are.
    Gap {
        /// What should come.
        expected: u64,
        /// What comes.
        found: u64,
    },
}

/// The payloads of all segments that come after the fact with the number `applied`, in order and without a gap,
/// and what is wrong with those after them.
pub(super) fn following<'a>(segments: &[&'a [u8]], applied: u64) -> (Vec<(u64, &'a [u8])>, Option<Break>) {
    let mut read: Vec<_> = segments.iter().map(|bytes| (*bytes, Segment::read(bytes))).collect();
    read.sort_by_key(|(_, segment)| segment.frames.first().map(|frame| frame.sequence));
    let mut payloads = Vec::new();
    let mut expected = applied.saturating_add(1);
    for (bytes, segment) in read {
        for frame in segment.frames.into_iter().filter(|frame| frame.sequence > applied) {
            if frame.sequence != expected {
                return (payloads, Some(Break::Gap { expected, found: frame.sequence }));
            }
            if !frame.payload.is_empty() {
                payloads.push((frame.sequence, &bytes[frame.payload]));
                expected = expected.saturating_add(1);
            }
        }
        if let (true, Some(at)) = (segment.damaged, segment.torn_at) {
            return (payloads, Some(Break::Damage { at }));
        }
    }
    (payloads, None)
}

fn frame_at(bytes: &[u8], at: usize) -> Option<Frame> {
    let header = bytes.get(at..at.checked_add(HEADER)?)?;
    let length = u32::from_le_bytes(header[..4].try_into().ok()?) as usize;
    if length > MAX_PAYLOAD {
        return None;
    }
    let payload = at + HEADER..at + HEADER + length;
    let whole = bytes.get(at..payload.end)?;
    let sequence = u64::from_le_bytes(header[8..].try_into().ok()?);
    (header[4..8] == checksum(whole).to_le_bytes()).then_some(Frame { sequence, payload })
}

fn checksum(frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..4]);
    hasher.update(&frame[8..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(range: Range<u64>) -> Vec<u8> {
        let mut bytes = mark(range.start).to_vec();
        for sequence in range {
            let mut frame = [&[0; HEADER], format!("fact {sequence}").as_bytes()].concat();
            seal(&mut frame, sequence);
            bytes.extend(frame);
        }
        bytes
    }

    fn numbers(segments: &[&[u8]], applied: u64) -> (Vec<u64>, Option<Break>) {
        let (payloads, broken) = following(segments, applied);
        for (sequence, payload) in &payloads {
            assert_eq!(*payload, format!("fact {sequence}").as_bytes());
        }
        (payloads.into_iter().map(|(sequence, _)| sequence).collect(), broken)
    }

    #[test]
    fn segments_are_read_in_the_order_of_their_numbers() {
        let (old, new) = (facts(3..6), facts(6..8));
        assert_eq!(numbers(&[&new, &old], 2), (vec![3, 4, 5, 6, 7], None));
        assert_eq!(numbers(&[&old, &new], 5), (vec![6, 7], None), "what has been applied is left out");
        assert_eq!(numbers(&[&old, &new], 9), (vec![], None));
        assert_eq!(numbers(&[&[], &new], 5), (vec![6, 7], None));
    }

    #[test]
    fn a_missing_segment_is_a_gap_even_when_the_next_one_is_empty() {
        assert_eq!(numbers(&[&facts(6..8)], 2), (vec![], Some(Break::Gap { expected: 3, found: 6 })));
        assert_eq!(numbers(&[&facts(6..6)], 2), (vec![], Some(Break::Gap { expected: 3, found: 6 })));
    }

    #[test]
    fn zeros_are_no_frames() {
        assert_eq!(Segment::read(&[0; 100]), Segment { torn_at: Some(0), ..Segment::default() });
    }

    proptest! {
        #[test]
        fn a_cut_tail_leaves_the_frames_before_it(cut in any::<proptest::sample::Index>()) {
            let bytes = facts(1..9);
            let cut = cut.index(bytes.len());
            let (found, broken) = numbers(&[&bytes[..cut]], 0);
            prop_assert_eq!(broken, None);
            prop_assert!((1..=found.len() as u64).eq(found));
        }

        #[test]
        fn a_flipped_bit_is_damage_or_costs_the_last_frame(
            byte in any::<proptest::sample::Index>(),
            bit in 0..8,
        ) {
            let mut bytes = facts(1..9);
            let byte = byte.index(bytes.len());
            bytes[byte] ^= 1_u8 << bit;
            let (found, broken) = numbers(&[&bytes], 0);
            prop_assert!((1..=found.len() as u64).eq(found.iter().copied()));
            prop_assert!(found.len() < 8);
            prop_assert_eq!(broken.is_none(), found.len() == 7);
        }

        #[test]
        fn no_bytes_make_it_panic(a in any::<Vec<u8>>(), b in any::<Vec<u8>>(), applied in any::<u64>()) {
            following(&[&a, &b], applied);
        }
    }
}
