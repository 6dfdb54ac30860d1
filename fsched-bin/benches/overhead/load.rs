//! Drives one case: so many clients, each asking again as soon as it was answered.

use std::error::Error;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Barrier, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::Client;
use super::platform::{Cluster, Program};
use super::{Case, System};

/// How much to measure.
pub(crate) struct Plan {
    /// How often every case is measured.
    pub(crate) rounds: usize,
    /// Invocations per case with one client; with more, as many more as finish in the same time.
    invocations: usize,
}

impl Plan {
    /// Reads `--quick` and `--rounds N`; what cargo adds is ignored.
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self { rounds: 3, invocations: 1_000 };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => plan = Self { rounds: 1, invocations: 100 },
                "--rounds" => {
                    let rounds = arguments.next().and_then(|n| n.parse().ok());
                    plan.rounds = rounds.filter(|&n| n > 0).ok_or("--rounds wants a number above 0")?;
                }
                "--bench" => {}
                other => return Err(format!("unknown argument {other}; there are --quick and --rounds N")),
            }
        }
        Ok(plan)
    }
}

/// What one case brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Median time of an invocation, ms.
    pub(crate) p50: f64,
    /// 99th percentile, ms.
    pub(crate) p99: f64,
    /// Invocations per second.
    pub(crate) throughput: f64,
    /// CPU time per invocation, ms: of the servers and the functions; for bare spawns of this process, which starts them.
    pub(crate) cpu: f64,
}

/// CPU time that a process and its reaped children have used.
fn cpu_of(pid: u32) -> Result<Duration, Box<dyn Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("no fields in stat")?;
    let ticks: u64 = fields.split(' ').skip(11).take(4).filter_map(|n| n.parse::<u64>().ok()).sum();
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

fn cpu(case: &Case, cluster: &Cluster) -> Result<Duration, Box<dyn Error>> {
    match case.system {
        System::Bare => cpu_of(std::process::id()),
        System::Worker => cpu_of(cluster.worker.pid),
        System::Platform => Ok(cpu_of(cluster.worker.pid)? + cpu_of(cluster.master.pid)?),
    }
}

/// Lets so many through at a time. The master queues by itself; before a bare spawn or a worker, which refuses what
/// it has no slot for, clients queue here.
struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Slots {
    fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        drop(free);
        let result = work();
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
        result
    }
}

/// One client: asks once, and says whether the answer was right.
type Ask<'a> = Box<dyn FnMut(usize) -> Result<(), Box<dyn Error + Send + Sync>> + 'a>;

fn client<'a>(
    case: &Case,
    program: &'a Program,
    cluster: &'a Cluster,
) -> Result<Ask<'a>, Box<dyn Error + Send + Sync>> {
    static ATTEMPT: AtomicU64 = AtomicU64::new(0);
    let functions = case.functions;
    Ok(match case.system {
        System::Bare => Box::new(|_| {
            let output = Command::new(&program.path).arg("1").stdin(Stdio::null()).env_clear().output()?;
            if output.status.success() && output.stdout == b"done\n" {
                Ok(())
            } else {
                Err("wrong output".into())
            }
        }),
        System::Worker => {
            let mut http = Client::connect(cluster.worker.address)?;
            // A master's life of our own, so that our attempts are not taken for those of the real one.
            let term = u64::MAX;
            Box::new(move |i| {
                let attempt = ATTEMPT.fetch_add(1, Ordering::Relaxed);
                let order = json!({
                    "protocol": 1, "term": term, "attempt": format!("i-{attempt}.0"), "function": "f-1",
                    "file": cluster.files[i % functions], "command": [], "input_size": 1, "cores": 1,
                    "memory": 64 << 20, "isolation": "shared", "timeout": {"secs": 60, "nanos": 0}, "domain": 0,
                    "cache": {"shared": 1},
                    "curve": {"points": [{"cache": 1, "seconds": 0.001, "low": 0.001, "high": 0.001}], "provenance": "prior"},
                    "alone": false
                });
                let (status, answer) =
                    http.post("/worker/orders", "application/json", order.to_string().as_bytes())?;
                if status == 200 { Ok(()) } else { Err(String::from_utf8_lossy(answer).into()) }
            })
        }
        System::Platform => {
            let mut http = Client::connect(cluster.master.address)?;
            // Through /submit, where the file itself is executed, as the others do.
            let submit = |i| {
                json!({"function_name": format!("trivial-{i}"), "parameters": {"input_size": 1}}).to_string()
            };
            let bodies: Vec<String> = (0..functions).map(submit).collect();
            Box::new(move |i| {
                let (status, answer) =
                    http.post("/submit", "application/json", bodies[i % functions].as_bytes())?;
                let answer: Value = serde_json::from_slice(answer)?;
                let right = status == 200
                    && answer["result"]["exit_status"] == 0
                    && answer["result"]["stdout"] == "done\n";
                if right { Ok(()) } else { Err(answer.to_string().into()) }
            })
        }
    })
}

/// Measures one case once.
pub(crate) fn measure(
    case: &Case,
    plan: &Plan,
    program: &Program,
    cluster: &Cluster,
) -> Result<Measured, Box<dyn Error>> {
    let warm_up = plan.invocations / 10;
    let total = plan.invocations * if case.clients == 1 { 1 } else { 3 };
    drive(case, warm_up.max(case.clients), program, cluster)?;
    let before = cpu(case, cluster)?;
    let (mut times, wall) = drive(case, total, program, cluster)?;
    let used = cpu(case, cluster)?.saturating_sub(before);
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    Ok(Measured {
        p50: at(0.5),
        p99: at(0.99),
        throughput: times.len() as f64 / wall.as_secs_f64(),
        cpu: used.as_secs_f64() * 1e3 / times.len() as f64,
    })
}

/// Each invocation's time, and how long it all took.
fn drive(
    case: &Case,
    total: usize,
    program: &Program,
    cluster: &Cluster,
) -> Result<(Vec<Duration>, Duration), Box<dyn Error>> {
    let next = AtomicUsize::new(0);
    let ready = Barrier::new(case.clients + 1);
    let slots = if case.system == System::Platform { usize::MAX } else { usize::from(case.slots) };
    let slots = Slots { free: Mutex::new(slots), freed: Condvar::new() };
    let one = || -> Result<Vec<Duration>, Box<dyn Error + Send + Sync>> {
        let asked = client(case, program, cluster);
        ready.wait();
        let mut ask = asked?;
        let mut times = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= total {
                return Ok(times);
            }
            let start = Instant::now();
            slots.during(|| ask(i))?;
            times.push(start.elapsed());
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..case.clients).map(|_| scope.spawn(one)).collect();
        ready.wait();
        let start = Instant::now();
        let mut times = Vec::new();
        for client in clients {
            let joined = client.join().map_err(|_| "a client panicked")?;
            times.extend(joined.map_err(|error| error.to_string())?);
        }
        Ok((times, start.elapsed()))
    })
}
