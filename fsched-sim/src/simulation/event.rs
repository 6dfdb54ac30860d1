//! What happens, one at a time.

use std::fmt;
use std::sync::Arc;

use fsched_core::cluster::Heartbeat;
use fsched_core::id::{AttemptId, ContentHash, WorkerId};
use fsched_core::invocation::{Order, Report};
use fsched_core::transport::{Peer, TransportError};

use crate::SimFunction;
use crate::fault::Fault;
use crate::workload::Arrival;

/// What happens.
#[derive(Debug)]
pub(super) enum Event {
    /// Somebody asks for a run.
    Arrival(Arrival),
    /// Something goes wrong.
    Fault(Fault),
    /// A fault of a machine is over.
    Healed(usize),
    /// An operator wants a worker back that was drained.
    Undrain(WorkerId),
    /// Time passes for that life of the master.
    MasterTick(u64),
    /// There is a master again.
    MasterStarts,
    /// Something arrives at a machine.
    AtWorker(usize, ToWorker),
    /// Something arrives at that life of the master.
    AtMaster(u64, ToMaster),
    /// A process ends, unless it was announced anew since.
    Exit { machine: usize, life: u64, attempt: AttemptId, generation: u64 },
    /// Ways are full that somebody filled in that life of a machine.
    Full { machine: usize, life: u64 },
    /// Time passes for that life of a machine.
    WorkerTick { machine: usize, life: u64 },
    /// A machine starts again.
    WorkerStarts(usize),
    /// A worker tells the master that it is there.
    Register { machine: usize, life: u64 },
    /// A cancellation is repeated until its order is answered.
    CancelAgain { life: u64, to: Peer, attempt: AttemptId, round: u32 },
    /// The master gives up on a question.
    NoAnswer { life: u64, question: u64, worker: WorkerId },
}

/// What the master tells a worker.
#[derive(Debug, Clone)]
pub(super) enum ToWorker {
    /// For that life of the machine: its connection is to that process.
    Order {
        life: u64,
        host: u64,
        call: u64,
        worker: WorkerId,
        order: Box<Order>,
    },
    Cancel(AttemptId),
    File {
        life: u64,
        worker: WorkerId,
        file: ContentHash,
    },
    Discard(ContentHash),
    Question {
        life: u64,
        question: u64,
        worker: WorkerId,
    },
    /// Nobody waits for an attempt as that call any more.
    Closed {
        attempt: AttemptId,
        call: u64,
    },
}

/// What comes back. Errors are boxed: they are large, and few.
#[derive(Debug)]
pub(super) enum ToMaster {
    Answer {
        call: u64,
        worker: WorkerId,
        attempt: AttemptId,
        answer: Result<Arc<Report>, Box<TransportError>>,
    },
    Filed {
        worker: WorkerId,
        file: ContentHash,
        answer: Result<(), Box<TransportError>>,
    },
    Here {
        question: u64,
        worker: WorkerId,
        heartbeat: Box<Heartbeat>,
    },
}

/// A line of the log.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arrival(a) => write!(f, "arrival of function {} on {}", a.function, a.input_size),
            Self::Fault(fault) => write!(f, "fault {fault:?}"),
            Self::Healed(machine) => write!(f, "m{machine} heals"),
            Self::Undrain(worker) => write!(f, "undrain {worker}"),
            Self::MasterTick(life) => write!(f, "master {life} ticks"),
            Self::MasterStarts => f.write_str("master starts"),
            Self::AtWorker(machine, message) => write!(f, "m{machine} <- {message}"),
            Self::AtMaster(life, message) => write!(f, "master {life} <- {message}"),
            Self::Exit { machine, attempt, generation, .. } => {
                write!(f, "m{machine} process of {attempt} ends ({generation})")
            }
            Self::Full { machine, .. } => write!(f, "m{machine} has filled ways"),
            Self::WorkerTick { machine, .. } => write!(f, "m{machine} ticks"),
            Self::WorkerStarts(machine) => write!(f, "m{machine} starts"),
            Self::Register { machine, .. } => write!(f, "m{machine} registers"),
            Self::CancelAgain { attempt, round, .. } => write!(f, "cancel {attempt}, round {round}"),
            Self::NoAnswer { question, worker, .. } => write!(f, "no answer of {worker} to {question}"),
        }
    }
}

impl fmt::Display for ToWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order { call, order, .. } => {
                write!(f, "order {} of {} as call {call}, {:?}", order.attempt, order.function, order.cache)
            }
            Self::Cancel(attempt) => write!(f, "cancel {attempt}"),
            Self::File { file, .. } => write!(f, "file of function {}", SimFunction::number(*file)),
            Self::Discard(file) => write!(f, "discard file of function {}", SimFunction::number(*file)),
            Self::Question { question, .. } => write!(f, "question {question}"),
            Self::Closed { attempt, call } => write!(f, "nobody waits for {attempt} as call {call}"),
        }
    }
}

impl fmt::Display for ToMaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer { call, attempt, answer, .. } => match answer {
                Ok(report) => {
                    let cache = report.cache.map(|got| got.mask);
                    write!(f, "call {call}: {attempt} {:?} in {:?} on {cache:?}", report.ending, report.wall)
                }
                Err(error) => write!(f, "call {call}: {attempt} {error}"),
            },
            Self::Filed { worker, file, answer } => {
                write!(f, "file of function {} at {worker}: {answer:?}", SimFunction::number(*file))
            }
            Self::Here { question, worker, heartbeat } => {
                write!(f, "answer of {worker} to {question}: {} run", heartbeat.running.len())
            }
        }
    }
}
