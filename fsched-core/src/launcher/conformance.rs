//! The contract of [`Launcher`] as a suite, for every implementation that runs real programs.
//!
//! The functions are shell scripts that use nothing but what every Linux system has.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use super::{Exit, ExitKind, Launch, Launcher, Limits, Stop};
use crate::cache::{Bytes, ClosId, DomainId};
use crate::id::{AttemptId, ContentHash, InvocationId};

/// How long a condition may take to become true.
const PATIENCE: Duration = Duration::from_secs(60);
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
const SIGXFSZ: i32 = 25;

/// Makes a file that functions can be started from: content and mode to hash.
pub type Install = Box<dyn Fn(&[u8], u32) -> ContentHash>;

/// A launcher to be checked, and what the suite has to know of it.
pub struct Subject {
    /// The launcher.
    pub launcher: Box<dyn Launcher>,
    /// How it is given files.
    pub install: Install,
    /// A domain that it has.
    pub domain: DomainId,
    /// A directory for the suite's own files.
    pub dir: PathBuf,
    /// Whether it limits the memory of a whole tree.
    pub limits_memory: bool,
    /// Whether it limits the processes of each tree.
    pub limits_processes: bool,
    /// Whether processes are limited at all, be it all trees together, so that a fork bomb may be tried.
    pub bounds_fork_bombs: bool,
}

/// Checks every sentence of the contract.
pub fn check(make: impl Fn() -> Subject) {
    let checks: [fn(&Check); 24] = [
        the_exit_status_is_reported,
        a_deadly_signal_is_reported,
        output_and_errors_are_kept_apart,
        the_command_precedes_the_file_and_the_arguments_follow,
        output_beyond_the_limit_is_counted_and_dropped,
        a_flood_of_64_mb_is_read_to_its_end,
        standard_input_is_empty_unless_given,
        a_large_standard_input_arrives_whole,
        a_function_that_ignores_its_input_ends,
        the_environment_is_exactly_what_was_asked_for,
        it_works_in_its_own_directory_which_is_removed,
        a_read_only_directory_is_removed_too,
        children_end_with_the_first_process,
        a_daemon_with_closed_descriptors_does_not_outlive_it,
        a_daemon_that_keeps_the_output_open_does_not_delay_the_end,
        a_daemon_that_washes_its_environment_does_not_outlive_it,
        a_chain_of_children_that_outrun_each_other_is_ended,
        a_fork_bomb_is_contained_and_ended,
        too_much_memory_ends_it,
        a_file_that_grows_too_large_ends_it,
        a_function_that_traps_the_request_to_end_is_killed,
        what_cannot_be_started_says_why,
        stopping_what_is_over_or_unknown_does_nothing,
        two_hundred_at_once_all_end_and_keep_apart,
    ];
    for check in checks {
        check(&Check { subject: make(), next: AtomicU64::new(1) });
    }
}

struct Check {
    subject: Subject,
    next: AtomicU64,
}

impl Check {
    /// The launch of a script, with room enough.
    fn script(&self, script: &str) -> Launch {
        self.file(&(self.subject.install)(format!("#!/bin/sh\n{script}\n").as_bytes(), 0o755))
    }

    fn file(&self, file: &ContentHash) -> Launch {
        let invocation = InvocationId(self.next.fetch_add(1, Ordering::Relaxed));
        Launch {
            attempt: AttemptId { invocation, attempt: 0 },
            domain: self.subject.domain,
            class: ClosId(0),
            command: Vec::new(),
            file: *file,
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            stdin: None,
            limits: Limits {
                memory: Bytes::mib(256),
                processes: 64,
                file_size: Bytes::mib(64),
                cpu_time: Duration::from_secs(100),
                open_files: 256,
                output: Bytes::kib(64),
            },
        }
    }

    fn start(&self, launch: Launch) -> Receiver<Exit> {
        let (sender, receiver) = mpsc::channel();
        let caller = thread::current().id();
        let on_exit = move |exit| {
            assert_ne!(thread::current().id(), caller, "on_exit is never called from inside launch");
            let _ = sender.send(exit);
        };
        self.subject.launcher.launch(launch, Box::new(on_exit));
        receiver
    }

    fn run(&self, launch: Launch) -> Exit {
        ended(&self.start(launch))
    }

    fn run_script(&self, script: &str) -> Exit {
        self.run(self.script(script))
    }

    /// A path for a sign that a function gives.
    fn sign(&self, name: &str) -> PathBuf {
        let path = self.subject.dir.join(name);
        let _ = fs::remove_file(&path);
        path
    }
}

fn ended(receiver: &Receiver<Exit>) -> Exit {
    let exit = receiver.recv_timeout(PATIENCE).expect("on_exit is called");
    assert!(receiver.recv_timeout(PATIENCE).is_err(), "on_exit is called once");
    exit
}

/// Waits until `condition` holds.
///
/// # Panics
/// Where it takes longer than a minute.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 5 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("never: {what}");
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("scripts write text")
}

fn stdout(exit: &Exit) -> &str {
    text(&exit.stdout.bytes)
}

/// Whether a process with this number is there, be it as a zombie.
pub fn is_there(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

fn assert_gone(pids: &str) {
    for pid in pids.split_whitespace() {
        assert!(!is_there(pid), "process {pid} outlives its invocation");
    }
}

fn the_exit_status_is_reported(check: &Check) {
    for status in [0, 1, 7, 126, 127, 255] {
        let exit = check.run_script(&format!("exit {status}"));
        assert_eq!(exit.kind, ExitKind::Exited(status));
        assert!(exit.pid.is_some() && exit.wall > Duration::ZERO);
    }
}

fn a_deadly_signal_is_reported(check: &Check) {
    assert_eq!(check.run_script("kill -KILL $$").kind, ExitKind::Signalled(SIGKILL));
    assert_eq!(check.run_script("kill -SEGV $$").kind, ExitKind::Signalled(11));
}

fn output_and_errors_are_kept_apart(check: &Check) {
    let exit = check.run_script("echo out; echo err >&2");
    assert_eq!((stdout(&exit), text(&exit.stderr.bytes)), ("out\n", "err\n"));
    assert_eq!((exit.stdout.dropped, exit.stderr.dropped), (0, 0));
}

fn the_command_precedes_the_file_and_the_arguments_follow(check: &Check) {
    let mut launch = check.script(r#"printf '%s|' "$@""#);
    launch.arguments = ["1024", "", "a b", "$HOME", "'"].map(String::from).to_vec();
    assert_eq!(stdout(&check.run(launch.clone())), "1024||a b|$HOME|'|");
    launch.command = ["sh", "-c", r#"[ -x "$0" ] && shift && echo "$@""#].map(String::from).to_vec();
    launch.attempt.attempt = 1;
    assert_eq!(stdout(&check.run(launch)), " a b $HOME '\n", "the program is looked up along PATH");
}

fn output_beyond_the_limit_is_counted_and_dropped(check: &Check) {
    let mut launch = check.script("printf 0123456789; printf abc >&2");
    launch.limits.output = Bytes(4);
    let exit = check.run(launch);
    assert_eq!((stdout(&exit), exit.stdout.dropped), ("0123", 6));
    assert_eq!((text(&exit.stderr.bytes), exit.stderr.dropped), ("abc", 0));
}

fn a_flood_of_64_mb_is_read_to_its_end(check: &Check) {
    let exit = check.run_script("head -c 67108864 /dev/zero; echo done >&2");
    assert_eq!(exit.kind, ExitKind::Exited(0));
    assert_eq!(exit.stdout.bytes.len() as u64 + exit.stdout.dropped, 64 << 20);
    assert_eq!(exit.stdout.bytes.len(), 64 << 10);
    assert_eq!(text(&exit.stderr.bytes), "done\n");
}

fn standard_input_is_empty_unless_given(check: &Check) {
    assert_eq!(stdout(&check.run_script("wc -c")).trim(), "0");
    let mut launch = check.script("cat");
    launch.stdin = Some(r#"{"n": 1}"#.into());
    assert_eq!(stdout(&check.run(launch)), r#"{"n": 1}"#);
}

fn a_large_standard_input_arrives_whole(check: &Check) {
    let mut launch = check.script("sleep 0.1; wc -c");
    launch.stdin = Some("x".repeat(3 << 20).into());
    assert_eq!(stdout(&check.run(launch)).trim(), (3 << 20).to_string());
}

fn a_function_that_ignores_its_input_ends(check: &Check) {
    let large: Arc<str> = "x".repeat(4 << 20).into();
    for script in ["exit 3", "exec <&-; sleep 0.1; exit 3", "head -c 1 >/dev/null; exit 3"] {
        let mut launch = check.script(script);
        launch.stdin = Some(Arc::clone(&large));
        assert_eq!(check.run(launch).kind, ExitKind::Exited(3), "{script}");
    }
}

fn the_environment_is_exactly_what_was_asked_for(check: &Check) {
    let mut launch = check.script("pwd; tr '\\0' '\\n' < /proc/$$/environ");
    launch.environment = [("FSCHED_WAYS".into(), "4".into()), ("ODD".into(), "a b=c\nd".into())].into();
    let exit = check.run(launch);
    let (cwd, environment) = stdout(&exit).split_once('\n').expect("pwd writes a line");
    let mut found: Vec<&str> = environment.lines().collect();
    found.sort_unstable();
    let mut names: Vec<&str> = found.iter().map(|line| line.split('=').next().unwrap_or("")).collect();
    names.retain(|name| *name != "FSCHED_MARK");
    assert_eq!(names, ["FSCHED_WAYS", "HOME", "LANG", "ODD", "PATH", "TMPDIR", "d"]);
    for expected in
        [&format!("HOME={cwd}"), &format!("TMPDIR={cwd}"), "LANG=C.UTF-8", "FSCHED_WAYS=4", "ODD=a b=c"]
    {
        assert!(found.contains(&expected), "{expected} in {found:?}");
    }
}

fn it_works_in_its_own_directory_which_is_removed(check: &Check) {
    let exit = check.run_script("mkdir -p a/b && echo x > a/b/c && ls && pwd");
    let (list, cwd) = stdout(&exit).split_once('\n').expect("two lines");
    assert_eq!(list, "a", "nobody else's files are there");
    assert!(!Path::new(cwd.trim()).exists());
    let other = check.run_script("pwd; ls -A");
    assert_eq!(stdout(&other).lines().count(), 1);
    assert_ne!(stdout(&other).trim(), cwd.trim());
    wait_until("one that was not used is gone too", || !Path::new(stdout(&other).trim()).exists());
}

fn a_read_only_directory_is_removed_too(check: &Check) {
    let exit = check.run_script("mkdir -p a/b && echo x > a/b/c && chmod -R 0 a && chmod 0 . && echo $HOME");
    assert!(!Path::new(stdout(&exit).trim()).exists());
}

fn children_end_with_the_first_process(check: &Check) {
    let exit = check.run_script("sleep 1000 & echo $!; sleep 1000 & echo $!");
    assert_eq!(exit.kind, ExitKind::Exited(0));
    assert_gone(stdout(&exit));
}

/// A daemon that `starts` in some way and leaves its number in `pid`; then the first process ends.
fn daemon(starts: &str, redirected: &str) -> String {
    let daemon = format!("echo $$ > pid.new; mv pid.new pid; exec sleep 1000 {redirected}");
    format!("{starts} sh -c '{daemon}' & while [ ! -e pid ]; do sleep 0.01; done; cat pid")
}

fn assert_daemon_ends(check: &Check, script: &str) {
    let exit = check.run_script(script);
    assert_eq!(exit.kind, ExitKind::Exited(0), "{}", text(&exit.stderr.bytes));
    assert!(stdout(&exit).trim().parse::<u32>().is_ok(), "{script}: {}", stdout(&exit));
    assert_gone(stdout(&exit));
}

fn a_daemon_with_closed_descriptors_does_not_outlive_it(check: &Check) {
    assert_daemon_ends(check, &daemon("setsid", "<&- >&- 2>&-"));
}

fn a_daemon_that_keeps_the_output_open_does_not_delay_the_end(check: &Check) {
    assert_daemon_ends(check, &daemon("setsid", ""));
}

fn a_daemon_that_washes_its_environment_does_not_outlive_it(check: &Check) {
    // Two forks and a session of its own: a grandchild that nobody in the tree waits for.
    let inner = daemon("env -i /usr/bin/setsid", "<&- >&- 2>&-").replace('\'', "\"").replace("$$", "\\$\\$");
    assert_daemon_ends(
        check,
        &format!("setsid sh -c '({inner}) > inner &'; while [ ! -s inner ]; do sleep 0.01; done; cat inner"),
    );
}

fn a_chain_of_children_that_outrun_each_other_is_ended(check: &Check) {
    let launch = check.script(r#"setsid "$0" & exit 0"#);
    let file = launch.file.to_string();
    assert_eq!(check.run(launch).kind, ExitKind::Exited(0));
    assert_no_process_of(&file);
}

fn a_fork_bomb_is_contained_and_ended(check: &Check) {
    if !check.subject.bounds_fork_bombs {
        return;
    }
    let mut launch = check.script(
        r#"[ "$BOMB" ] || { BOMB=1 "$0" & sleep 0.3; exit 0; }; while :; do setsid "$0" & "$0" & done"#,
    );
    launch.limits.processes = 40;
    let file = launch.file.to_string();
    let beside = check.start(check.script("sleep 0.2; echo well"));
    let exit = check.run(launch);
    assert_eq!(exit.kind, ExitKind::Exited(0));
    assert_no_process_of(&file);
    assert_eq!(stdout(&ended(&beside)), "well\n", "others are not failed");
    let mut launch = check.script("i=0; while [ $i -lt 30 ]; do sleep 1000 & echo $!; i=$((i+1)); done");
    launch.limits.processes = 10;
    let exit = check.run(launch);
    let bounded = stdout(&exit).lines().count() < 10;
    assert!(bounded || !check.subject.limits_processes, "no more than it may");
    assert_gone(stdout(&exit));
}

/// Nothing runs the file with this hash.
fn assert_no_process_of(file: &str) {
    for entry in fs::read_dir("/proc").expect("there is /proc").flatten() {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        assert!(!command.contains(file), "{command} outlives its invocation");
    }
}

fn too_much_memory_ends_it(check: &Check) {
    let mut launch = check.script("tail /dev/zero");
    launch.limits.memory = Bytes::mib(32);
    let exit = check.run(launch);
    if check.subject.limits_memory {
        assert_eq!(exit.kind, ExitKind::OutOfMemory);
        assert!(exit.peak_memory <= Bytes::mib(33), "{}", exit.peak_memory);
    } else {
        assert_ne!(exit.kind, ExitKind::Exited(0));
    }
    assert_eq!(check.run_script("exit 5").kind, ExitKind::Exited(5), "the next is not blamed for it");
}

fn a_file_that_grows_too_large_ends_it(check: &Check) {
    let mut launch = check.script("exec head -c 100000 /dev/zero > file");
    launch.limits.file_size = Bytes::kib(10);
    assert_eq!(check.run(launch).kind, ExitKind::Signalled(SIGXFSZ));
}

fn a_function_that_traps_the_request_to_end_is_killed(check: &Check) {
    let (ready, asked) = (check.sign("ready"), check.sign("asked"));
    let launch = |script: &str| {
        let mut launch = check.script(script);
        launch.environment =
            [("READY".into(), ready.display().to_string()), ("ASKED".into(), asked.display().to_string())]
                .into();
        launch
    };
    let stubborn = launch("trap 'echo x > $ASKED' TERM; echo x > $READY; while :; do sleep 0.01; done");
    let attempt = stubborn.attempt;
    let exit = check.start(stubborn);
    wait_until("it is ready", || ready.exists());
    check.subject.launcher.stop(attempt, Stop::Terminate);
    wait_until("it was asked to end", || asked.exists());
    check.subject.launcher.stop(attempt, Stop::Kill);
    assert_eq!(ended(&exit).kind, ExitKind::Signalled(SIGKILL));

    let _ = fs::remove_file(&ready);
    let _ = fs::remove_file(&asked);
    let inner = "trap \"echo x > \\$ASKED; exit\" TERM; echo x > $READY; while :; do sleep 0.01; done";
    let polite = launch(&format!(
        "trap : TERM; setsid sh -c '{inner}' & while [ ! -e $ASKED ]; do sleep 0.01; done; exit 4"
    ));
    let attempt = polite.attempt;
    let exit = check.start(polite);
    wait_until("its daemon is ready", || ready.exists());
    check.subject.launcher.stop(attempt, Stop::Terminate);
    assert_eq!(ended(&exit).kind, ExitKind::Exited(4), "the whole tree was asked to end");

    let plain = check.script("exec sleep 1000");
    let attempt = plain.attempt;
    let exit = check.start(plain);
    check.subject.launcher.stop(attempt, Stop::Terminate);
    let kind = ended(&exit).kind;
    assert!(matches!(kind, ExitKind::Signalled(SIGTERM) | ExitKind::NotStarted(_)), "{kind:?}");
}

fn what_cannot_be_started_says_why(check: &Check) {
    let assert_not_started = |launch: Launch, why: &str| {
        let exit = check.run(launch);
        let ExitKind::NotStarted(reason) = &exit.kind else { panic!("{:?} instead of {why:?}", exit.kind) };
        assert!(reason.to_lowercase().contains(why), "{reason:?} says nothing of {why:?}");
        assert_eq!(exit.pid, None);
    };
    for (content, mode, why) in [
        ("#!/bin/sh\n", 0o644, "permission denied"),
        ("#!/no/such/interpreter\n", 0o755, "interpreter"),
        ("no script, no program", 0o755, "neither a program"),
    ] {
        assert_not_started(check.file(&(check.subject.install)(content.as_bytes(), mode)), why);
    }
    assert_not_started(check.file(&ContentHash([0; 32])), "no such file");
    let mut unknown = check.script("");
    unknown.command = vec!["no-such-program-anywhere".into()];
    assert_not_started(unknown, "no-such-program-anywhere");
    let mut odd = check.script("");
    odd.arguments = vec!["a\0b".into()];
    assert_not_started(odd, "nul");
    let mut elsewhere = check.script("");
    elsewhere.domain = DomainId(u16::MAX);
    assert_not_started(elsewhere, "domain");
    assert_eq!(check.run_script("exit 0").kind, ExitKind::Exited(0), "the next is not blamed for it");
}

fn stopping_what_is_over_or_unknown_does_nothing(check: &Check) {
    let launch = check.script("exit 0");
    let attempt = launch.attempt;
    check.run(launch);
    check.subject.launcher.stop(attempt, Stop::Kill);
    check
        .subject
        .launcher
        .stop(AttemptId { invocation: InvocationId(u64::MAX), attempt: 9 }, Stop::Terminate);
    assert_eq!(check.run_script("exit 0").kind, ExitKind::Exited(0));
}

fn two_hundred_at_once_all_end_and_keep_apart(check: &Check) {
    let script = check.script(r#"echo "$1" > file; cat; cat file"#);
    let exits: Vec<_> = (0..200)
        .map(|n| {
            let mut launch = script.clone();
            launch.attempt.attempt = n;
            launch.arguments = vec![n.to_string()];
            launch.stdin = Some(format!("in {n} ").into());
            check.start(launch)
        })
        .collect();
    for (n, exit) in exits.iter().enumerate() {
        let exit = ended(exit);
        assert_eq!(exit.kind, ExitKind::Exited(0), "{}", text(&exit.stderr.bytes));
        assert_eq!(stdout(&exit), format!("in {n} {n}\n"));
    }
}
