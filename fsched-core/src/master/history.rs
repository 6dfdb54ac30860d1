//! Invocations that are over: the newest, with what they printed as long as there is room for it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::id::InvocationId;
use crate::invocation::{Invocation, InvocationState, Outcome, Output, Report};
use crate::maps::Lookup;

/// Output kept over all ended invocations, bytes.
const MAX_OUTPUT: usize = 64 << 20;

#[derive(Debug)]
pub(super) struct History {
    ended: Lookup<InvocationId, Box<Invocation>>,
    /// In order of ending.
    order: VecDeque<InvocationId>,
    /// Those whose output is still kept, in order of ending.
    printed: VecDeque<(InvocationId, usize)>,
    output: usize,
    limit: usize,
}

impl History {
    pub(super) fn new(limit: usize) -> Self {
        Self { ended: Lookup::default(), order: VecDeque::new(), printed: VecDeque::new(), output: 0, limit }
    }

    pub(super) fn get(&self, id: InvocationId) -> Option<&Invocation> {
        self.ended.get(&id).map(|invocation| &**invocation)
    }

    /// Newest first, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Invocation> {
        self.ended.sorted().into_iter().rev().map(|(_, invocation)| &**invocation)
    }

    pub(super) fn add(&mut self, invocation: Box<Invocation>) {
        let id = invocation.id;
        let size =
            report(&invocation).map_or(0, |report| report.stdout.bytes.len() + report.stderr.bytes.len());
        if size > 0 {
            self.output += size;
            self.printed.push_back((id, size));
        }
        self.ended.insert(id, invocation);
        self.order.push_back(id);
        while self.order.len() > self.limit {
            let Some(oldest) = self.order.pop_front() else { break };
            self.ended.remove(&oldest);
            if self.printed.front().is_some_and(|&(id, _)| id == oldest) {
                self.forget_oldest_output();
            }
        }
        while self.output > MAX_OUTPUT {
            self.forget_oldest_output();
        }
    }

    fn forget_oldest_output(&mut self) {
        let Some((id, size)) = self.printed.pop_front() else { return };
        self.output -= size;
        let Some(InvocationState::Ended { outcome: Some(Outcome::Ran { report, .. }), .. }) =
            self.ended.get_mut(&id).map(|invocation| &mut invocation.state)
        else {
            return;
        };
        *report = Arc::new(without_output(report));
    }
}

fn report(invocation: &Invocation) -> Option<&Report> {
    match &invocation.state {
        InvocationState::Ended { outcome: Some(Outcome::Ran { report, .. }), .. } => Some(report),
        _ => None,
    }
}

fn strip(output: &Output) -> Output {
    Output { bytes: Vec::new(), dropped: output.dropped + output.bytes.len() as u64 }
}

fn without_output(report: &Report) -> Report {
    Report {
        attempt: report.attempt,
        ending: report.ending.clone(),
        pid: report.pid,
        started: report.started,
        wall: report.wall,
        cpu: report.cpu,
        peak_memory: report.peak_memory,
        stdout: strip(&report.stdout),
        stderr: strip(&report.stderr),
        cache: report.cache,
        segments: report.segments.clone(),
        co_runners: report.co_runners,
        monitored: report.monitored,
    }
}
