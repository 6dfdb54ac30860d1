//! Lanes: HTTP clients are bound to the thread that made them, and calls come from any thread. A lane is a task with a
//! client on one thread and a queue that leads there.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use fsched_core::transport::{Address, TransportError};
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::HttpTransportOptions;
use super::client::{Client, Instances};

/// Something to be done with the client of a lane, on its thread.
type Job = Box<dyn FnOnce(Rc<Client>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

thread_local! {
    /// Lanes of this thread, with the [`Lanes::id`] they belong to.
    static ATTACHED: RefCell<Vec<(u64, WeakUnboundedSender<Job>)>> = const { RefCell::new(Vec::new()) };
}

/// All lanes of one transport. They end when it is dropped, with whatever is under way.
pub(super) struct Lanes {
    id: u64,
    options: Arc<HttpTransportOptions>,
    instances: Arc<Instances>,
    own: Vec<UnboundedSender<Job>>,
    next: AtomicUsize,
    attached: Mutex<Vec<UnboundedSender<Job>>>,
}

impl Lanes {
    pub(super) fn start(options: Arc<HttpTransportOptions>, instances: Arc<Instances>) -> io::Result<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let own = (0..options.threads.max(1))
            .map(|index| start_thread(index, options.clone(), instances.clone()))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            options,
            instances,
            own,
            next: AtomicUsize::new(0),
            attached: Mutex::default(),
        })
    }

    pub(super) fn attach(&self) {
        let (sender, jobs) = unbounded_channel();
        actix_rt::spawn(run(jobs, self.options.clone(), self.instances.clone()));
        ATTACHED.with_borrow_mut(|lanes| {
            lanes.retain(|(id, lane)| *id != self.id && lane.upgrade().is_some());
            lanes.push((self.id, sender.downgrade()));
        });
        let mut attached = self.attached.lock();
        attached.retain(|lane| !lane.is_closed());
        attached.push(sender);
    }

    /// Has `work` done with a client, on this thread where it has a lane. Where the future is dropped, so is the work.
    pub(super) async fn call<T, W>(
        &self,
        address: &Address,
        work: impl FnOnce(Rc<Client>) -> W + Send + 'static,
    ) -> Result<T, TransportError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, TransportError>> + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.send(Box::new(move |client| Box::pin(attend(work(client), answer))));
        answered.await.unwrap_or_else(|_| {
            let reason = "the transport ended".to_owned();
            Err(TransportError::Broken { address: address.clone(), reason })
        })
    }

    fn send(&self, job: Job) {
        let here = ATTACHED.with_borrow(|lanes| {
            lanes.iter().find(|(id, _)| *id == self.id).and_then(|(_, lane)| lane.upgrade())
        });
        match here {
            // Where that lane ended with its server, and the thread lives on, the job comes back.
            Some(lane) => lane.send(job).unwrap_or_else(|back| self.send_away(back.0)),
            None => self.send_away(job),
        }
    }

    fn send_away(&self, job: Job) {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.own.len();
        // Where that thread is gone the job is dropped, and its caller learns that.
        let _ = self.own[next].send(job);
    }
}

/// Waits for `work`, or until nobody waits for its answer.
async fn attend<T>(work: impl Future<Output = T>, mut answer: oneshot::Sender<T>) {
    let done = {
        let work = pin!(work);
        tokio::select! {
            biased;
            done = work => Some(done),
            () = answer.closed() => None,
        }
    };
    if let Some(done) = done {
        let _ = answer.send(done);
    }
}

fn start_thread(
    index: usize,
    options: Arc<HttpTransportOptions>,
    instances: Arc<Instances>,
) -> io::Result<UnboundedSender<Job>> {
    let (sender, jobs) = unbounded_channel();
    let runtime = move || match actix_rt::Runtime::new() {
        Ok(runtime) => runtime.block_on(run(jobs, options, instances)),
        Err(error) => tracing::error!(%error, "a transport thread cannot run"),
    };
    std::thread::Builder::new().name(format!("fsched-send-{index}")).spawn(runtime)?;
    Ok(sender)
}

async fn run(
    mut jobs: UnboundedReceiver<Job>,
    options: Arc<HttpTransportOptions>,
    instances: Arc<Instances>,
) {
    let client = Rc::new(Client::new(options, instances));
    // A set, so that what is under way ends with the lane.
    let mut running = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            biased;
            job = jobs.recv() => match job {
                Some(job) => _ = running.spawn_local(job(client.clone())),
                None => return,
            },
            Some(_) = running.join_next() => {}
        }
    }
}
