//! The threads that start processes: long-lived, each of one domain and class, each busy with one launch at a time.
//!
//! They live as long as the launcher because the kernel tells a process of the death of its parent *thread*.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle, ThreadId};

use parking_lot::{Condvar, Mutex};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::cgroup::Slot;
use super::run::{Job, Runner};
use super::{Shared, sys};
use crate::cache::{ClosId, DomainId};

/// Of which domain and class a thread is.
pub(super) type Place = (DomainId, ClosId);

/// All threads.
#[derive(Default)]
pub(super) struct Pools {
    places: Mutex<State>,
}

#[derive(Default)]
struct State {
    closed: bool,
    places: HashMap<Place, Pool>,
    handles: Vec<JoinHandle<()>>,
    started: u32,
}

#[derive(Default)]
struct Pool {
    /// The one that was busy last is the first to be used: its caches are warm.
    idle: Vec<Arc<Mailbox>>,
    /// How many have told their exit and tidy up: they come back within microseconds.
    tidying: usize,
    /// What waits for a thread, because one is about to be free or no further one could be started.
    backlog: VecDeque<Message>,
    threads: u32,
}

/// What a thread is told.
enum Message {
    Run(Job),
    Refuse(Job, String),
    Quit,
}

#[derive(Default)]
struct Mailbox {
    message: Mutex<Option<Message>>,
    arrived: Condvar,
}

impl Mailbox {
    fn put(&self, message: Message) {
        *self.message.lock() = Some(message);
        self.arrived.notify_one();
    }

    fn take(&self) -> Message {
        let mut message = self.message.lock();
        loop {
            match message.take() {
                Some(message) => return message,
                None => self.arrived.wait(&mut message),
            }
        }
    }
}

impl Pools {
    /// Starts the first thread of `place` and waits until it is ready, so that there is always one to refuse with.
    pub(super) fn open(&self, shared: &Arc<Shared>, place: Place) -> io::Result<()> {
        let mailbox = Arc::new(Mailbox::default());
        let (ready, answer) = mpsc::channel();
        self.places.lock().start(shared, place, &mailbox, Some(ready))?;
        answer.recv().map_err(io::Error::other)?.map_err(io::Error::other)?;
        self.places.lock().places.entry(place).or_default().idle.push(mailbox);
        Ok(())
    }

    /// Has a thread of `place` run the job.
    pub(super) fn run(&self, shared: &Arc<Shared>, place: Place, job: Job) {
        let mut state = self.places.lock();
        let pool = state.places.entry(place).or_default();
        let mailbox = match pool.idle.pop() {
            Some(mailbox) => mailbox,
            None if pool.tidying > pool.backlog.len() => {
                return pool.backlog.push_back(Message::Run(job));
            }
            None => {
                let mailbox = Arc::new(Mailbox::default());
                match state.start(shared, place, &mailbox, None) {
                    Ok(()) => mailbox,
                    Err(error) => return state.wait_or_refuse(place, job, &error),
                }
            }
        };
        drop(state);
        mailbox.put(Message::Run(job));
    }

    /// How many threads there are.
    #[cfg(test)]
    pub(super) fn threads(&self) -> u32 {
        self.places.lock().places.values().map(|pool| pool.threads).sum()
    }

    /// Has any thread refuse the job.
    pub(super) fn refuse(&self, job: Job, reason: String) {
        self.places.lock().hand(Message::Refuse(job, reason));
    }

    /// Ends all threads, the busy ones after their job.
    pub(super) fn close(&self) {
        let handles = {
            let mut state = self.places.lock();
            state.closed = true;
            for mailbox in state.places.values_mut().flat_map(|pool| pool.idle.drain(..)) {
                mailbox.put(Message::Quit);
            }
            mem::take(&mut state.handles)
        };
        // The last user of a launcher may be the receiver of an exit, on one of these threads.
        let me: ThreadId = thread::current().id();
        for handle in handles.into_iter().filter(|handle| handle.thread().id() != me) {
            if handle.join().is_err() {
                tracing::error!("a launcher thread panicked");
            }
        }
    }

    /// A thread of `place` is about to tell an exit, which may be answered by the next job before it has tidied up.
    fn tidies(&self, place: Place) {
        self.places.lock().places.entry(place).or_default().tidying += 1;
    }

    /// What a thread does next; none: it ends.
    fn next(&self, place: Place, mailbox: &Arc<Mailbox>, tidied: bool) -> Option<Message> {
        {
            let mut state = self.places.lock();
            let closed = state.closed;
            let pool = state.places.entry(place).or_default();
            pool.tidying -= usize::from(tidied);
            if let Some(message) = pool.backlog.pop_front() {
                return Some(message);
            }
            if closed {
                return None;
            }
            pool.idle.push(Arc::clone(mailbox));
        }
        match mailbox.take() {
            Message::Quit => None,
            message => Some(message),
        }
    }

    /// A thread that could not be made ready is no more; what waited for it has to go elsewhere.
    fn forget(&self, place: Place, reason: &str) {
        let mut state = self.places.lock();
        let pool = state.places.entry(place).or_default();
        pool.threads -= 1;
        if pool.threads == 0 {
            for message in mem::take(&mut pool.backlog) {
                let message = match message {
                    Message::Run(job) => Message::Refuse(job, reason.to_owned()),
                    message => message,
                };
                state.hand(message);
            }
        }
    }
}

impl State {
    fn start(
        &mut self,
        shared: &Arc<Shared>,
        place: Place,
        mailbox: &Arc<Mailbox>,
        ready: Option<Sender<Result<(), String>>>,
    ) -> io::Result<()> {
        let (domain, class) = place;
        let number = self.started;
        let (shared, mailbox) = (Arc::clone(shared), Arc::clone(mailbox));
        let handle = thread::Builder::new()
            .name(format!("fsched-d{domain}-c{class}"))
            .spawn(move || live(&shared, place, number, &mailbox, ready))?;
        self.started += 1;
        self.handles.push(handle);
        self.places.entry(place).or_default().threads += 1;
        Ok(())
    }

    fn wait_or_refuse(&mut self, place: Place, job: Job, error: &io::Error) {
        let pool = self.places.entry(place).or_default();
        if pool.threads > 0 {
            pool.backlog.push_back(Message::Run(job));
        } else {
            self.hand(Message::Refuse(job, format!("no thread can be started for it: {error}")));
        }
    }

    /// Gives a message to any thread at all.
    fn hand(&mut self, message: Message) {
        if let Some(mailbox) = self.places.values_mut().find_map(|pool| pool.idle.pop()) {
            mailbox.put(message);
        } else if let Some(pool) = self.places.values_mut().find(|pool| pool.threads > 0) {
            pool.backlog.push_back(message);
        }
    }
}

/// The life of one thread.
fn live(
    shared: &Arc<Shared>,
    place: Place,
    number: u32,
    mailbox: &Arc<Mailbox>,
    ready: Option<Sender<Result<(), String>>>,
) {
    sys::block_broken_pipe_signal();
    let prepared = prepare(shared, place, number);
    if let Some(ready) = &ready {
        let _ = ready.send(prepared.as_ref().map(|_| ()).map_err(Clone::clone));
    }
    let mut runner = match prepared {
        Ok(runner) => runner,
        Err(_) if ready.is_some() => return,
        Err(reason) => {
            tracing::error!(domain = %place.0, class = %place.1, reason, "a launcher thread is of no use");
            match mailbox.take() {
                Message::Run(job) | Message::Refuse(job, _) => job.refuse(shared, reason.clone()),
                Message::Quit => {}
            }
            return shared.pools.forget(place, &reason);
        }
    };
    let mut message = match mailbox.take() {
        Message::Quit => None,
        message => Some(message),
    };
    while let Some(now) = message {
        let tidied = matches!(now, Message::Run(_));
        match now {
            Message::Run(job) => runner.run(job, || shared.pools.tidies(place)),
            Message::Refuse(job, reason) => job.refuse(shared, reason),
            Message::Quit => break,
        }
        message = shared.pools.next(place, mailbox, tidied);
    }
    runner.end();
}

/// Puts the calling thread where what it spawns shall be.
fn prepare(shared: &Arc<Shared>, place: Place, number: u32) -> Result<Runner, String> {
    let (domain, class) = place;
    let domains = &shared.config.domains;
    if domains.len() > 1
        && let Some(domain) = domains.iter().find(|known| known.id == domain)
    {
        let mut cpus = CpuSet::new();
        domain
            .cpus
            .iter()
            .map(|cpu| usize::from(cpu.0))
            .filter(|cpu| *cpu < CpuSet::MAX_CPU)
            .for_each(|cpu| cpus.set(cpu));
        sched_setaffinity(None, &cpus).map_err(|error| {
            format!("its thread cannot be bound to the CPUs of domain {}: {error}", domain.id)
        })?;
    }
    if let Some(setup) = &shared.config.thread_setup {
        setup(domain, class)
            .map_err(|error| format!("its thread cannot be set up for class {class}: {error}"))?;
    }
    let name = format!("{}{number}", shared.life.group_prefix());
    let slot = Slot::create(&shared.parents, &name)
        .map_err(|error| format!("the control group of its thread cannot be made: {error}"))?;
    Runner::new(Arc::clone(shared), number, slot)
        .map_err(|error| format!("its thread cannot be set up: {error}"))
}
