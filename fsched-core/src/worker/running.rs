//! One attempt, from its order to its report.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::splitting::Read;
use crate::allocator::{Grant, LeaseId};
use crate::cache::{Bytes, ClosId, DomainId, WayMask};
use crate::curve::Curve;
use crate::function::{InputSize, Needs};
use crate::id::{AttemptId, ContentHash, FunctionId};
use crate::invocation::{CacheAsk, CacheGot, Ending, Order, Report, Weight};
use crate::launcher::{Exit, ExitKind};
use crate::sample::Segment;
use crate::split::contention::Demand;
use crate::time::Timestamp;

/// Why we end an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    TimedOut,
    Cancelled,
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It runs until it ends, or to its deadline.
    Running { deadline: Timestamp },
    /// It was asked to end.
    Terminating { why: Why, kill_at: Timestamp },
    /// It was ended; what is left is to hear of it.
    Killed { why: Why },
}

impl Phase {
    /// When something has to be done about it.
    pub(super) fn due(self) -> Option<Timestamp> {
        match self {
            Self::Running { deadline } => Some(deadline),
            Self::Terminating { kill_at, .. } => Some(kill_at),
            Self::Killed { .. } => None,
        }
    }

    /// How it will be said to have ended, where that is our doing.
    pub(super) fn ending(self) -> Option<Ending> {
        match self {
            Self::Running { .. } => None,
            Self::Terminating { why, .. } | Self::Killed { why } => Some(match why {
                Why::TimedOut => Ending::TimedOut,
                Why::Cancelled => Ending::Cancelled,
            }),
        }
    }
}

/// One attempt that holds CPUs, memory and cache.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) term: u64,
    pub(super) function: FunctionId,
    pub(super) file: ContentHash,
    pub(super) needs: Needs,
    pub(super) domain: DomainId,
    pub(super) lease: LeaseId,
    pub(super) class: ClosId,
    pub(super) mask: WayMask,
    pub(super) started: Timestamp,
    pub(super) co_runners: u16,
    pub(super) phase: Phase,
    pub(super) segments: Segments,
    /// Whether its ways are nobody else's.
    pub(super) exclusive: bool,
    pub(super) input_size: InputSize,
    pub(super) curve: Arc<Curve>,
    /// The curve by ways, once that was asked for.
    pub(super) read: OnceLock<Box<Read>>,
    /// What the curve says of sharing, once that was asked for.
    pub(super) demand: OnceLock<Option<Demand>>,
    pub(super) weight: Weight,
    /// How many times longer than its curve says everything takes here.
    pub(super) pace: f64,
}

impl Running {
    pub(super) fn new(
        now: Timestamp,
        order: &Order,
        grant: &Grant,
        cache: Bytes,
        co_runners: u16,
        timeout: Duration,
        pace: f64,
    ) -> Self {
        Self {
            term: order.term,
            function: order.function,
            file: order.file,
            needs: order.needs,
            domain: order.domain,
            lease: grant.lease,
            class: grant.class,
            mask: grant.mask,
            started: now,
            co_runners,
            phase: Phase::Running { deadline: now + timeout },
            segments: Segments::new(now, cache),
            exclusive: matches!(order.cache, CacheAsk::Exclusive(_)),
            input_size: order.input_size,
            curve: Arc::clone(&order.curve),
            read: OnceLock::new(),
            demand: OnceLock::new(),
            weight: order.weight,
            pace,
        }
    }

    /// What there is to say now that its processes are gone.
    pub(super) fn report(&mut self, attempt: AttemptId, exit: Exit, enforced: bool) -> Report {
        let was_started = !matches!(exit.kind, ExitKind::NotStarted(_));
        let ending = self.phase.ending().unwrap_or(match exit.kind {
            ExitKind::Exited(status) => Ending::Exited(status),
            ExitKind::Signalled(signal) => Ending::Signalled(signal),
            ExitKind::OutOfMemory => Ending::OutOfMemory,
            ExitKind::NotStarted(reason) => Ending::NotStarted(reason),
        });
        let got = CacheGot { domain: self.domain, class: self.class, mask: self.mask, enforced };
        Report {
            attempt,
            ending,
            pid: exit.pid.filter(|_| was_started),
            started: self.started,
            wall: exit.wall,
            cpu: exit.cpu,
            peak_memory: exit.peak_memory,
            stdout: exit.stdout,
            stderr: exit.stderr,
            cache: was_started.then_some(got),
            segments: if was_started { self.segments.finish(exit.wall) } else { Vec::new() },
            co_runners: self.co_runners,
            monitored: None,
        }
    }
}

/// How much cache for how long, so far.
#[derive(Debug)]
pub(super) struct Segments {
    closed: Vec<Segment>,
    cache: Bytes,
    since: Timestamp,
}

impl Segments {
    /// From this many on, a stretch is added to an earlier one of the same size: what a sample means does not depend on
    /// the order of its segments, and a run among restless neighbours must not pile them up.
    const MANY: usize = 64;

    fn new(now: Timestamp, cache: Bytes) -> Self {
        Self { closed: Vec::new(), cache, since: now }
    }

    /// The mask has changed: from now on there are `cache` bytes.
    pub(super) fn change(&mut self, now: Timestamp, cache: Bytes) {
        let duration = now.since(self.since);
        let closed = Segment { cache: self.cache, duration };
        (self.cache, self.since) = (cache, self.since.max(now));
        if duration.is_zero() {
            return;
        }
        let is_long = self.closed.len() >= Self::MANY;
        match self.closed.iter_mut().find(|segment| is_long && segment.cache == closed.cache) {
            Some(alike) => alike.duration += duration,
            None => self.closed.push(closed),
        }
    }

    /// How much of a run is done that takes `seconds` with so much cache: 1 is all of it.
    pub(super) fn progress(&self, now: Timestamp, seconds: impl Fn(Bytes) -> f64) -> f64 {
        let open = Segment { cache: self.cache, duration: now.since(self.since) };
        let parts = self.closed.iter().chain([&open]);
        parts.map(|part| part.duration.as_secs_f64() / seconds(part.cache).max(1e-9)).sum()
    }

    /// All stretches of a run that took `wall`: at least one, together exactly that long.
    fn finish(&mut self, wall: Duration) -> Vec<Segment> {
        let mut left = wall;
        let mut segments = std::mem::take(&mut self.closed);
        for segment in &mut segments {
            segment.duration = segment.duration.min(left);
            left -= segment.duration;
        }
        segments.retain(|segment| !segment.duration.is_zero());
        if !left.is_zero() || segments.is_empty() {
            segments.reserve_exact(1);
            segments.push(Segment { cache: self.cache, duration: left });
        }
        segments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default() + Duration::from_secs(seconds)
    }

    fn finished(mut segments: Segments, seconds: u64) -> Vec<(u64, u64)> {
        let segments = segments.finish(Duration::from_secs(seconds));
        segments.iter().map(|s| (s.cache.0, s.duration.as_secs())).collect()
    }

    fn moved_twice() -> Segments {
        let mut segments = Segments::new(at(0), Bytes(8));
        segments.change(at(3), Bytes(4));
        segments.change(at(3), Bytes(2));
        segments.change(at(4), Bytes(8));
        segments
    }

    #[test]
    fn segments_tell_how_much_for_how_long() {
        assert_eq!(finished(moved_twice(), 10), [(8, 3), (2, 1), (8, 6)]);
        assert_eq!(finished(Segments::new(at(0), Bytes(8)), 0), [(8, 0)]);
    }

    #[test]
    fn what_came_after_the_end_does_not_count() {
        assert_eq!(finished(moved_twice(), 2), [(8, 2)]);
        assert_eq!(finished(moved_twice(), 4), [(8, 3), (2, 1)]);
    }

    #[test]
    fn restless_neighbours_do_not_pile_up_segments() {
        let mut segments = Segments::new(at(0), Bytes(0));
        for second in 1..10_000 {
            segments.change(at(second), Bytes(second % 32));
        }
        let segments = segments.finish(Duration::from_secs(20_000));
        assert!(segments.len() <= Segments::MANY + 33, "{}", segments.len());
        assert_eq!(segments.iter().map(|s| s.duration).sum::<Duration>(), Duration::from_secs(20_000));
    }
}
