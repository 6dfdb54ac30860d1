//! What a lease and a class cost: `cargo bench -p fsched-core --bench allocator`. Needs nothing; with a resctrl that is
//! mounted, or a directory in `FSCHED_RESCTRL_ROOT`, it measures there instead of on plain files in memory.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use fsched_core::allocator::CacheAllocator;
use fsched_core::allocator::resctrl::fake::{FakeKernel, FakeMachine};
use fsched_core::allocator::resctrl::{Directory, ResctrlAllocator, ResctrlConfig, ResctrlFs};
use fsched_core::cache::{Bytes, CacheDomain, ClosId, DomainId, Ways};
use fsched_core::host::resctrl::{MOUNT_POINT, is_resctrl};
use fsched_core::id::WorkerKey;
use fsched_core::invocation::CacheAsk;

const LEASES: usize = 20_000;
const PAIRS: usize = 2_500;

fn main() {
    let memory = tempfile::tempdir_in("/dev/shm").expect("/dev/shm is there");
    let told = std::env::var_os("FSCHED_RESCTRL_ROOT").map(Into::into);
    let kernel =
        told.or_else(|| is_resctrl(Path::new(MOUNT_POINT)).then(|| Path::new(MOUNT_POINT).to_owned()));
    let (directory, what) = match kernel {
        Some(root) => (Directory::kernel(&root), format!("resctrl at {}", root.display())),
        None => (plain_files(memory.path()), "plain files on tmpfs".to_owned()),
    };
    let domain = CacheDomain::nominal(1, Ways::clamped(16), Bytes::mib(1));
    let config = ResctrlConfig::new(WorkerKey([0xbe; 16]));
    let mut allocator =
        ResctrlAllocator::open(Arc::new(directory), vec![domain], &config).expect("there are classes");
    println!("{what}, {} classes; load {}", allocator.groups().len(), load());
    for (name, ask) in
        [("shared", CacheAsk::Shared(Ways::clamped(4))), ("exclusive", CacheAsk::Exclusive(Ways::clamped(4)))]
    {
        // Among others, as usual.
        let others = [CacheAsk::Shared(Ways::clamped(3)), CacheAsk::Exclusive(Ways::clamped(2))];
        let others: Vec<_> =
            others.map(|ask| allocator.acquire(DomainId(0), ask).expect("there is room").lease).to_vec();
        let mut times: Vec<Duration> = (0..LEASES).map(|_| lease(&mut allocator, ask)).collect();
        times.sort_unstable();
        let at = |part: usize| times[LEASES * part / 100].as_secs_f64() * 1e6;
        println!(
            "acquire + release, {name}: median {:.1} us, p90 {:.1} us, p99 {:.1} us",
            at(50),
            at(90),
            at(99)
        );
        others.into_iter().for_each(|lease| _ = allocator.release(lease).expect("it is held"));
    }
    spawns(&allocator);
    allocator.close().expect("what was made can be removed");
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
fn lease(allocator: &mut ResctrlAllocator, ask: CacheAsk) -> Duration {
    let since = Instant::now();
    let grant = allocator.acquire(DomainId(0), ask).expect("there is room");
    allocator.release(grant.lease).expect("it is held");
    since.elapsed()
}

/// CPU time of a spawn from a thread in a class against one from a thread in none, in interleaved pairs.
fn spawns(allocator: &ResctrlAllocator) {
    let spawner = |class: Option<ClosId>| {
        let membership = allocator.membership();
        let (go, told): (Sender<()>, Receiver<()>) = channel();
        let (done, answer) = channel();
        thread::spawn(move || {
            if let Some(class) = class {
                membership.join(class).expect("a thread may join");
            }
            for () in told {
                let before = cpu();
                let status = Command::new("/bin/true").status().expect("/bin/true can be started");
                assert!(status.success());
                done.send(cpu() - before).expect("somebody waits");
            }
        });
        move || {
            go.send(()).expect("the thread lives");
            answer.recv().expect("the thread lives")
        }
    };
    let (bare, joined) = (spawner(None), spawner(Some(ClosId(1))));
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS + 100 {
        // Who is first alternates; the first pairs warm up.
        let (a, b) = if pair % 2 == 0 {
            let a = bare();
            (a, joined())
        } else {
            let b = joined();
            (bare(), b)
        };
        if pair >= 100 {
            without.push(a.as_secs_f64());
            with.push(b.as_secs_f64());
        }
    }
    let mut added: Vec<f64> = with.iter().zip(&without).map(|(b, a)| b - a).collect();
    let median = |of: &mut Vec<f64>| {
        of.sort_by(f64::total_cmp);
        of[of.len() / 2]
    };
    let (bare, class, added) = (median(&mut without), median(&mut with), median(&mut added));
    println!(
        "CPU per spawn over {PAIRS} pairs: bare {:.1} us, in a class {:.1} us; median of the differences {:+.1} us ({:+.2} %); load {}",
        bare * 1e6,
        class * 1e6,
        added * 1e6,
        added / bare * 100.0,
        load()
    );
}

/// CPU time of this thread and of all children that were reaped. One spawn at a time: the difference is its own.
fn cpu() -> Duration {
    usage(libc::RUSAGE_THREAD) + usage(libc::RUSAGE_CHILDREN)
}

#[expect(unsafe_code, reason = "no safe library tells the CPU time of reaped children in microseconds")]
fn usage(whose: libc::c_int) -> Duration {
    // SAFETY: all-zero is a valid rusage; the pointer is valid for writing and outlives the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(whose, &raw mut usage);
        usage
    };
    let duration = |time: libc::timeval| {
        Duration::new(time.tv_sec.unsigned_abs(), 0) + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Plain files as a kernel would show an Intel server.
fn plain_files(root: &Path) -> Directory {
    let kernel = FakeKernel::new(FakeMachine::intel());
    let info = ["cbm_mask", "min_cbm_bits", "num_closids", "shareable_bits", "sparse_masks"];
    let info = info.map(|file| format!("info/L3/{file}"));
    for path in ["schemata", "tasks", "info/last_cmd_status"].map(str::to_owned).iter().chain(&info) {
        let to = root.join(path);
        fs::create_dir_all(to.parent().expect("below the root")).expect("tmpfs has room");
        fs::write(to, kernel.read(path).expect("it is there")).expect("tmpfs has room");
    }
    Directory::plain(root)
}
