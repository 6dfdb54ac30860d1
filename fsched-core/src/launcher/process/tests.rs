use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::identity::Marks;
use super::spawn::{Start, StatusPipe};
use super::streams::{Capture, Pipes};
use super::*;
use crate::cache::{Bytes, CacheGeometry, CpuId, Ways};
use crate::id::{ContentHash, InvocationId};
use crate::launcher::conformance::{self, Subject, is_there, wait_until};
use crate::launcher::{Exit, ExitKind, Limits};

fn domain(id: u16, cpus: Vec<CpuId>) -> CacheDomain {
    let ways = Ways::new(8).unwrap();
    let geometry = CacheGeometry {
        size: Bytes::mib(8),
        ways,
        min_ways: Ways::ONE,
        contiguous: true,
        shareable: 0,
        classes: 7,
    };
    CacheDomain { id: DomainId(id), cpus, geometry }
}

/// A key that no other test uses, nor another run of the tests.
fn key() -> WorkerKey {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut key = [0; 16];
    let unique = u64::from(std::process::id()) << 8 | u64::from(NEXT.fetch_add(1, Ordering::Relaxed));
    key[..8].copy_from_slice(&unique.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[8..].copy_from_slice(&unique.to_be_bytes());
    WorkerKey(key)
}

fn config(dir: &Path) -> ProcessConfig {
    let files = dir.join("files");
    fs::create_dir_all(&files).unwrap();
    ProcessConfig::new(dir.join("state"), files, key(), vec![domain(0, vec![CpuId(0)])])
}

fn install(files: &Path, content: &[u8], mode: u32) -> ContentHash {
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(&key().0);
    let hash = ContentHash(hash);
    let path = files.join(hash.to_string());
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    hash
}

fn subject(dir: &Path, change: impl Fn(&mut ProcessConfig)) -> Subject {
    let dir = tempfile::tempdir_in(dir).unwrap().keep();
    let mut config = config(&dir);
    change(&mut config);
    let files = config.files_dir.clone();
    let launcher = ProcessLauncher::new(config).unwrap();
    let enforcement = launcher.enforcement();
    Subject {
        install: Box::new(move |content, mode| install(&files, content, mode)),
        domain: DomainId(0),
        dir,
        limits_memory: matches!(enforcement.memory, Means::CgroupV1 | Means::CgroupV2),
        limits_processes: matches!(enforcement.processes, Means::CgroupV1 | Means::CgroupV2),
        bounds_fork_bombs: enforcement.processes != Means::Nothing,
        launcher: Box::new(launcher),
    }
}

#[test]
fn processes_keep_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    conformance::check(|| subject(dir.path(), |_| {}));
}

#[test]
fn processes_keep_the_contract_without_control_groups() {
    let dir = tempfile::tempdir().unwrap();
    conformance::check(|| subject(dir.path(), |config| config.use_cgroups = false));
}

#[test]
fn processes_keep_the_contract_by_way_of_fsched_exec() {
    let dir = tempfile::tempdir().unwrap();
    conformance::check(|| subject(dir.path(), |config| config.start_directly = false));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn functions_are_started_directly_where_that_is_known_to_be_possible() {
    let dir = tempfile::tempdir().unwrap();
    assert!(ProcessLauncher::new(config(dir.path())).unwrap().shared.direct.is_some());
}

#[test]
fn both_ways_start_the_same_process() {
    let dir = tempfile::tempdir().unwrap();
    // Blocked and ignored signals, limits, open files, standard input, group; no mark, which differs from launch to launch.
    let script = "grep -E '^(SigBlk|SigIgn|NoNewPrivs)' /proc/self/status; grep -v realtime /proc/self/limits
        ls /proc/self/fd; readlink /proc/self/fd/0; test $(cut -d' ' -f5 /proc/$$/stat) = $$ && echo leads";
    let born = |start_directly: bool| {
        let config = config(&dir.path().join(start_directly.to_string()));
        let hash = install(&config.files_dir, script.as_bytes(), 0o755);
        let launcher = ProcessLauncher::new(ProcessConfig { start_directly, ..config }).unwrap();
        let exit = run(&launcher, Launch { command: vec!["sh".into()], ..launch(1, hash) });
        let output = String::from_utf8(exit.stdout.bytes).unwrap();
        assert!(output.contains("NoNewPrivs:\t1") && output.ends_with("leads\n"), "{output}");
        // Two signals of its own are left ignored by glibc's posix_spawn; we leave them alone.
        output.replace("SigIgn:\t00000001", "SigIgn:\t00000000")
    };
    assert_eq!(born(true), born(false));
}

fn launch(number: u64, file: ContentHash) -> Launch {
    Launch {
        attempt: AttemptId { invocation: InvocationId(number), attempt: 0 },
        domain: DomainId(0),
        class: ClosId(0),
        command: Vec::new(),
        file,
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        stdin: None,
        limits: Limits {
            memory: Bytes::mib(256),
            processes: 64,
            file_size: Bytes::mib(1),
            cpu_time: Duration::from_secs(100),
            open_files: 100,
            output: Bytes::kib(64),
        },
    }
}

fn run(launcher: &ProcessLauncher, launch: Launch) -> Exit {
    let (sender, receiver) = mpsc::channel();
    launcher.launch(launch, Box::new(move |exit| sender.send(exit).unwrap()));
    receiver.recv_timeout(Duration::from_secs(60)).unwrap()
}

#[test]
fn every_thread_is_set_up_once_for_its_domain_and_class() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.domains = vec![domain(0, vec![CpuId(0)]), domain(3, vec![CpuId(0)])];
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    config.thread_setup = Some(Arc::new(move |domain, class| {
        seen.lock().push((domain.0, class.0));
        if class.0 == 9 { Err(io::Error::other("no such class")) } else { Ok(()) }
    }));
    let file = install(&config.files_dir, b"#!/bin/sh\ngrep Cpus_allowed_list /proc/self/status", 0o755);
    let launcher = ProcessLauncher::new(config).unwrap();
    for number in 0..6 {
        let exit = run(&launcher, Launch { domain: DomainId(3), class: ClosId(2), ..launch(number, file) });
        assert_eq!(exit.stdout.bytes, b"Cpus_allowed_list:\t0\n");
    }
    let refused = run(&launcher, Launch { class: ClosId(9), ..launch(7, file) });
    assert!(matches!(refused.kind, ExitKind::NotStarted(reason) if reason.contains("no such class")));
    let calls = calls.lock();
    assert_eq!(calls.first(), Some(&(0, 0)));
    // One after another they need one thread, or a second where the next came before the first was idle again.
    assert!((1..6).contains(&calls.iter().filter(|place| **place == (3, 2)).count()), "{calls:?}");
}

#[test]
fn a_tree_is_moved_whole_also_one_that_is_not_started_yet() {
    let dir = tempfile::tempdir().unwrap();
    for use_cgroups in [true, false] {
        let mut config = ProcessConfig { use_cgroups, ..config(dir.path()) };
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&calls);
        config.task_move = Some(Arc::new(move |domain, class, task| {
            seen.lock().push((domain.0, class.0, task));
            Ok(())
        }));
        let sign = dir.path().join("pids");
        let _ = fs::remove_file(&sign);
        let script = format!(
            "#!/bin/sh\nsleep 1000 & a=$!; setsid sleep 1000 & echo $$ $a $! >{0}.new; mv {0}.new {0}; wait",
            sign.display()
        );
        let file = install(&config.files_dir, script.as_bytes(), 0o755);
        let launcher = ProcessLauncher::new(config).unwrap();
        let (sender, receiver) = mpsc::channel();
        let launch = launch(1, file);
        let attempt = launch.attempt;
        launcher.launch(launch, Box::new(move |exit| sender.send(exit).unwrap()));
        launcher.move_to(attempt, ClosId(4));
        wait_until("the function has started its processes", || sign.exists());
        launcher.move_to(attempt, ClosId(5));
        let text = fs::read_to_string(&sign).unwrap();
        let pids: Vec<u32> = text.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        let moved = |class: u16| -> Vec<u32> {
            calls.lock().iter().filter(|call| (call.0, call.1) == (0, class)).map(|call| call.2).collect()
        };
        assert!(moved(4).contains(&pids[0]), "moved when it was started");
        assert!(pids.iter().all(|pid| moved(5).contains(pid)), "{pids:?} {:?}", moved(5));
        assert!(!moved(5).contains(&std::process::id()), "the launcher itself stays where it is");
        launcher.stop(attempt, Stop::Kill);
        receiver.recv_timeout(Duration::from_secs(60)).unwrap();
        launcher.move_to(attempt, ClosId(6));
        assert!(moved(6).is_empty(), "it is over");
    }
}

#[test]
fn a_state_directory_has_one_user() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let first = ProcessLauncher::new(config.clone()).unwrap();
    assert!(matches!(ProcessLauncher::new(config.clone()), Err(LauncherError::InUse(_))));
    drop(first);
    ProcessLauncher::new(config).unwrap();
}

#[test]
fn dropping_ends_what_runs_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let file = install(&config.files_dir, b"#!/bin/sh\nsetsid sleep 1000 & echo $!; sleep 1000", 0o755);
    let launcher = ProcessLauncher::new(config.clone()).unwrap();
    let parents = launcher.shared.parents.paths();
    let (sender, receiver) = mpsc::channel();
    for number in 0..5 {
        let sender = sender.clone();
        launcher.launch(launch(number, file), Box::new(move |exit| sender.send(exit).unwrap()));
    }
    drop((launcher, sender));
    let exits: Vec<Exit> = receiver.iter().collect();
    assert_eq!(exits.len(), 5);
    for exit in exits {
        assert!(matches!(exit.kind, ExitKind::Signalled(9) | ExitKind::NotStarted(_)), "{:?}", exit.kind);
        assert!(
            !is_there(std::str::from_utf8(&exit.stdout.bytes).unwrap().trim())
                || exit.stdout.bytes.is_empty()
        );
    }
    assert_eq!(groups_of(&parents, config.key), Vec::<PathBuf>::new());
    assert_eq!(processes_of(config.key), Vec::<String>::new());
    assert_eq!(fs::read_dir(config.state_dir.join("scratch")).unwrap().count(), 0);
}

#[test]
fn who_follows_at_once_gets_the_thread_that_is_about_to_be_free() {
    fn run(launcher: &Arc<ProcessLauncher>, file: ContentHash, left: u64, done: mpsc::Sender<Exit>) {
        let next = Arc::clone(launcher);
        let on_exit = move |exit| match left {
            0 => done.send(exit).unwrap(),
            _ => run(&next, file, left - 1, done),
        };
        launcher.launch(launch(left, file), Box::new(on_exit));
    }
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let file = install(&config.files_dir, b"#!/bin/sh\n", 0o755);
    let launcher = Arc::new(ProcessLauncher::new(config).unwrap());
    let (done, last) = mpsc::channel();
    run(&launcher, file, 20, done);
    assert_eq!(last.recv_timeout(Duration::from_secs(60)).unwrap().kind, ExitKind::Exited(0));
    assert_eq!(launcher.shared.pools.threads(), 1);
}

#[test]
fn a_launcher_that_is_closed_leaves_nothing_though_others_hold_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let scratch = config.state_dir.join("scratch");
    let file = install(&config.files_dir, b"#!/bin/sh\nsleep 1000\n", 0o755);
    let launcher = Arc::new(ProcessLauncher::new(config.clone()).unwrap());
    let parents = launcher.shared.parents.paths();
    let _other = Arc::clone(&launcher);
    let (sender, receiver) = mpsc::channel();
    launcher.launch(launch(1, file), Box::new(move |exit| sender.send(exit).unwrap()));
    wait_until("it runs", || fs::read_dir(&scratch).unwrap().count() == 1);
    launcher.close();
    receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(groups_of(&parents, config.key), Vec::<PathBuf>::new());
    assert_eq!(processes_of(config.key), Vec::<String>::new());
    assert_eq!(fs::read_dir(scratch).unwrap().count(), 0);
    drop(ProcessLauncher::new(config).unwrap());
}

#[test]
fn a_receiver_may_hold_the_last_handle() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let file = install(&config.files_dir, b"#!/bin/sh\n", 0o755);
    let launcher = Arc::new(ProcessLauncher::new(config).unwrap());
    let (sender, receiver) = mpsc::channel();
    let handle = Arc::clone(&launcher);
    let (dropped, wait) = mpsc::channel::<()>();
    launcher.launch(
        launch(1, file),
        Box::new(move |exit| {
            let _ = wait.recv();
            drop(handle);
            sender.send(exit).unwrap();
        }),
    );
    drop(launcher);
    drop(dropped);
    assert_eq!(receiver.recv_timeout(Duration::from_secs(60)).unwrap().kind, ExitKind::Exited(0));
}

#[test]
fn a_process_joins_its_group_before_it_becomes_the_function() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let file = install(&config.files_dir, b"#!/bin/sh\ncat group", 0o755);
    let launch = launch(1, file);
    let program = Program::new().unwrap();
    let nothing = Enforcement { memory: Means::Nothing, processes: Means::Nothing };
    let limits = ResourceLimits::new(nothing, 1);
    let mut status = StatusPipe::new().unwrap();
    let mut run = |number: u32, group: &Path| {
        let marks = Marks { dye: 0, mark: String::new() };
        let pipes = Pipes::new().unwrap();
        let (stdout, stdout_end) = pipes.stdout;
        let start = Start {
            number,
            marks: &marks,
            scratch: dir.path(),
            joins: Some(group),
            status: &status,
            stdin: None,
            stdout: stdout_end,
            stderr: pipes.stderr.1,
        };
        let code = spawn::spawn(&config, &program, &limits, &launch, start).unwrap().wait().unwrap().code();
        (code, Capture::new(stdout, Bytes(100)).finish(&mut [0; 100]).bytes, status.failure(number))
    };
    let group = dir.path().join("group");
    fs::write(&group, "").unwrap();
    let (code, output, failure) = run(1, &group);
    assert_eq!((code, output.as_slice()), (Some(0), b"0".as_slice()));
    assert!(failure.is_none());
    let (code, output, failure) = run(2, &dir.path().join("none"));
    assert_eq!((code, output.as_slice()), (Some(spawn::NOT_STARTED), b"".as_slice()));
    let (stage, error) = failure.unwrap();
    let text = spawn::explain(&config, &launch, stage, &error);
    assert!(text.contains("control group") && text.contains("No such file"), "{text}");
}

/// The name by which the test below finds itself.
const VICTIM: &str = "launcher::process::tests::a_worker_to_be_killed";
const VICTIM_DIR: &str = "FSCHED_TEST_VICTIM";
const VICTIM_KEY: &str = "FSCHED_TEST_KEY";

/// Not a test: the other process of the tests below.
#[test]
fn a_worker_to_be_killed() {
    let (Some(dir), Ok(key)) = (std::env::var_os(VICTIM_DIR), std::env::var(VICTIM_KEY)) else { return };
    let config = ProcessConfig { key: key.parse().unwrap(), ..config(Path::new(&dir)) };
    let scripts = [
        "echo $$ >> $PIDS; exec sleep 1000",
        "setsid sh -c 'echo $$ >> $PIDS; exec sleep 1000' & wait",
        "(env -i setsid sh -c 'echo $$ >> '$PIDS'; exec sleep 1000' <&- >&- 2>&- &); sleep 1000",
        "trap '' TERM HUP INT; echo $$ >> $PIDS; while :; do sleep 0.1; done",
        "cd /; i=0; while [ $i -lt 10 ]; do setsid sh -c 'echo $$ >> $PIDS; exec sleep 1000' & i=$((i+1)); done; wait",
    ];
    let launcher = ProcessLauncher::new(config.clone()).unwrap();
    for (number, script) in (1..).zip(scripts) {
        let file = install(&config.files_dir, format!("#!/bin/sh\n{script}\n").as_bytes(), 0o755);
        let mut launch = launch(number, file);
        launch.environment = [("PIDS".into(), pids_file(Path::new(&dir)).display().to_string())].into();
        launcher.launch(launch, Box::new(|_| {}));
    }
    loop {
        std::thread::park();
    }
}

fn pids_file(dir: &Path) -> PathBuf {
    dir.join("pids")
}

fn victim(dir: &Path, key: WorkerKey) -> (Child, Vec<String>) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", VICTIM])
        .envs([(VICTIM_DIR, dir.as_os_str().to_owned()), (VICTIM_KEY, key.to_string().into())])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let read = || fs::read_to_string(pids_file(dir)).unwrap_or_default();
    wait_until("all functions run", || read().lines().count() == 14);
    (child, read().lines().map(String::from).collect())
}

/// All that carries the key in its arguments or its environment, this process excepted.
fn processes_of(key: WorkerKey) -> Vec<String> {
    let key = key.to_string();
    let carries = |pid: &str, file: &str| {
        let text = fs::read(Path::new("/proc").join(pid).join(file)).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(&key)
    };
    let me = std::process::id().to_string();
    let pids = identity::all_processes().into_iter().map(|pid| pid.as_raw_pid().to_string());
    pids.filter(|pid| *pid != me && (carries(pid, "cmdline") || carries(pid, "environ"))).collect()
}

fn groups_of(parents: &[PathBuf], key: WorkerKey) -> Vec<PathBuf> {
    let prefix = identity::group_prefix(key);
    let entries = parents.iter().flat_map(|parent| fs::read_dir(parent).unwrap().flatten());
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect()
}

#[test]
fn a_killed_worker_leaves_nothing_alive() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let (mut worker, pids) = victim(dir.path(), key);
    worker.kill().unwrap();
    assert_eq!(worker.wait().unwrap().signal(), Some(9));
    for pid in &pids {
        wait_until("every function is gone", || !is_alive(pid));
    }
    wait_until("the guard is gone", || processes_of(key).is_empty());
    let parents: Vec<PathBuf> =
        fs::read_to_string(dir.path().join("state/cgroups")).unwrap().lines().map(PathBuf::from).collect();
    assert_eq!(groups_of(&parents, key), Vec::<PathBuf>::new());

    let config = ProcessConfig { key, ..config(dir.path()) };
    let file = install(&config.files_dir, b"#!/bin/sh\necho again", 0o755);
    let next = ProcessLauncher::new(config.clone()).unwrap();
    assert_eq!(fs::read_dir(config.state_dir.join("scratch")).unwrap().count(), 0);
    assert_eq!(run(&next, launch(1, file)).stdout.bytes, b"again\n");
}

#[test]
fn the_next_life_ends_what_no_guard_did() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let (mut worker, pids) = victim(dir.path(), key);
    let guard = processes_of(key)
        .into_iter()
        .find(|pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| command.starts_with(b"fsched-guard"))
        })
        .unwrap();
    let guard = rustix::process::Pid::from_raw(guard.parse().unwrap()).unwrap();
    rustix::process::kill_process(guard, rustix::process::Signal::KILL).unwrap();
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert!(pids.iter().any(|pid| is_alive(pid)), "or there is nothing to be seen to");
    let config = ProcessConfig { key, ..config(dir.path()) };
    let next = ProcessLauncher::new(config.clone()).unwrap();
    assert!(!pids.iter().any(|pid| is_alive(pid)));
    assert_eq!(fs::read_dir(config.state_dir.join("scratch")).unwrap().count(), 0);
    let parents = next.shared.parents.paths();
    let former = format!("{}{}-", identity::group_prefix(key), next.shared.life.number - 1);
    let left = groups_of(&parents, key).into_iter().any(|group| group.to_string_lossy().contains(&former));
    assert!(!left, "its control groups are removed");
}

/// Whether a process is there and no zombie: those of a dead worker are reaped by whoever adopted them.
fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z')))
}
