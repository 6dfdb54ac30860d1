//! What was accepted is not lost.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Api, Cluster, Function, Gate, MASTER, Plan, Server, left_of, wait_until};

#[test]
fn a_function_is_there_after_a_kill_right_after_its_answer() {
    let mut cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let mut ids = Vec::new();
    for round in 0..4 {
        ids.push(cluster.push_script(&format!("f{round}"), &format!("echo round {round}\n")));
        cluster.kill_master();
        cluster.start_master();
    }
    let listed = cluster.api().get("/functions").ok();
    let listed: Vec<&Value> =
        listed["functions"].as_array().expect("a list").iter().map(|f| &f["task_id"]).collect();
    assert_eq!(listed.len(), ids.len());
    assert!(ids.iter().all(|id| listed.contains(&&json!(id))), "{listed:?}");
    let worker = cluster.spawn_worker(0, &[]);
    cluster.workers.push(worker);
    cluster.wait_for_alive(1);
    for round in 0..4 {
        assert_eq!(cluster.submit(&format!("f{round}"), json!({})).printed(), format!("round {round}"));
    }
}

#[test]
fn a_worker_is_there_after_a_kill_right_after_its_answer() {
    let mut cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let worker = cluster.spawn_lone_worker(0, &[]);
    let added = cluster.api().post("/cluster/worker/add", &json!({"host": worker.api.url()})).ok();
    cluster.kill_master();
    cluster.start_master();
    cluster.wait_for_alive(1);
    assert_eq!(cluster.workers_in("alive"), [added["id"].as_str().expect("an id")]);
}

#[test]
fn what_was_removed_does_not_come_back() {
    let mut cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let worker = cluster.spawn_lone_worker(0, &[]);
    let added = cluster.api().post("/cluster/worker/add", &json!({"host": worker.api.url()})).ok();
    let first = cluster.push_script("f", ":\n");
    cluster.api().delete(&format!("/functions/{first}")).ok();
    cluster.api().delete(&format!("/cluster/workers/{}", added["id"].as_str().expect("an id"))).ok();
    cluster.kill_master();
    cluster.start_master();
    assert_eq!(cluster.api().get("/functions").ok()["functions"], json!([]));
    assert_eq!(cluster.rows(), [Value::Null; 0]);
    assert_ne!(cluster.push_script("f", ":\n"), first, "ids are never given twice");
}

#[test]
fn what_a_dead_master_had_running_is_lost_once_and_all_else_is_there() {
    let mut cluster = Cluster::start(Plan { workers: 2, ..Plan::default() });
    let gate = Gate::new(cluster.folder(), "gate");
    let workers = cluster.workers_in("alive");
    let task = cluster.push_script("learnt", "echo $1\n");
    cluster.benchmark(&task, 5);
    // Written after the samples: when it is on disk, so are they.
    cluster.push_script("running", &gate.script());
    let ask = json!({"function_name": "running"});
    let connections: Vec<_> = (0..3).map(|_| cluster.api().begin("/submit", &ask)).collect();
    gate.wait_for(3);
    let ran = cluster.wait_for_invocations("running", 3);
    cluster.kill_master();
    drop(connections);
    wait_until("nobody runs what nobody waits for", || left_of(cluster.folder()).is_empty().then_some(()));

    for _ in 0..2 {
        cluster.start_master();
        let listed = cluster.api().get("/invocations").ok();
        let listed = listed["invocations"].as_array().expect("a list");
        for id in &ran {
            let rows: Vec<_> = listed.iter().filter(|row| row["id"] == *id).collect();
            assert_eq!(rows.len(), 1, "{id} in {listed:?}");
            assert_eq!(
                (&rows[0]["state"], &rows[0]["ending"]),
                (&json!("ended"), &json!("lost_master")),
                "{listed:?}"
            );
        }
        cluster.wait_for_alive(2);
        assert_eq!(cluster.workers_in("alive"), workers);
        let answer = cluster.run(&task, 5);
        assert_eq!((answer.printed().as_str(), &answer.ok()["mode"]), ("5", &json!("BENCHMARKED")));
        let newest = answer.ok()["invocation_id"].as_str().expect("an id").to_owned();
        assert!(!ran.contains(&newest), "ids are never given twice");
        cluster.kill_master();
    }
}

#[test]
fn a_second_master_on_the_same_data_is_refused() {
    let cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    cluster.push_script("f", ":\n");
    let (code, said) = start_in_vain(&cluster.data_dir());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("error:") || said.contains("\nerror:"), "{said}");
    assert_eq!(cluster.api().get("/functions").ok()["functions"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_damaged_store_is_noticed_at_start() {
    let mut cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    for n in 0..20 {
        cluster.push_script(&format!("f{n}"), ":\n");
    }
    cluster.master.take().expect("a master").terminate();
    let mut damaged = 0;
    let mut to_see = vec![cluster.data_dir().join("store")];
    while let Some(path) = to_see.pop() {
        if path.is_dir() {
            to_see.extend(
                fs::read_dir(path).expect("a folder").filter_map(Result::ok).map(|entry| entry.path()),
            );
            continue;
        }
        let mut bytes = fs::read(&path).expect("a file of the store");
        if bytes.len() >= 4096 {
            bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
            fs::write(&path, bytes).expect("it can be damaged");
            damaged += 1;
        }
    }
    assert!(damaged > 0, "the store has no files");
    let (code, said) = start_in_vain(&cluster.data_dir());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("store") && !said.contains("panicked"), "{said}");
}

#[test]
fn uploads_that_a_kill_cut_off_are_swept_up_at_start() {
    let mut cluster = Cluster::start(Plan { workers: 0, ..Plan::default() });
    let kept = cluster.push_script("kept", "echo kept\n");
    let files = cluster.data_dir().join("files");
    let before = fs::read_dir(&files).expect("a folder").count();
    let (kind, form) = Function::script("half", &"x".repeat(1 << 20)).form();
    let head = format!(
        "POST /controller/task/new HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        form.len()
    );
    let mut upload = cluster.api().open().expect("a connection");
    std::io::Write::write_all(&mut upload, head.as_bytes()).expect("it is read");
    std::io::Write::write_all(&mut upload, &form[..form.len() / 2]).expect("it is read");
    wait_until("it has begun", || (fs::read_dir(&files).expect("a folder").count() > before).then_some(()));
    cluster.kill_master();
    cluster.start_master();
    assert_eq!(fs::read_dir(&files).expect("a folder").count(), before);
    assert_eq!(cluster.api().get("/functions").ok()["functions"][0]["task_id"], kept);
}

#[test]
fn files_that_nothing_refers_to_are_collected_at_start() {
    let mut cluster = Cluster::usual();
    cluster.push_script("kept", "echo kept\n");
    cluster.kill_master();
    // As if it had been killed between a file and what refers to it.
    let stray = cluster.data_dir().join("files").join("ab".repeat(32));
    fs::write(&stray, "stray").expect("a file");
    cluster.start_master();
    assert!(!stray.exists(), "it is kept for ever");
    cluster.wait_for_alive(1);
    assert_eq!(cluster.submit("kept", json!({})).printed(), "kept");
}

#[test]
fn a_function_whose_file_is_gone_is_an_error_and_not_a_wait() {
    let cluster = Cluster::usual();
    cluster.push_script("gone", "echo gone\n");
    for file in fs::read_dir(cluster.data_dir().join("files")).expect("a folder").filter_map(Result::ok) {
        fs::remove_file(file.path()).expect("it is there");
    }
    let message = cluster.submit("gone", json!({})).refused(503, "unplaceable");
    assert!(message.contains("read") || message.contains("No such file"), "{message}");
    cluster.push_script("there", "echo there\n");
    assert_eq!(cluster.submit("there", json!({})).printed(), "there");
}

#[test]
fn a_full_disk_is_a_clear_error_and_does_no_harm() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("master");
    fs::create_dir(&data_dir).expect("a folder");
    let Some(_disk) = SmallDisk::mount(&data_dir, "16m") else {
        eprintln!("skipped: a small disk cannot be mounted here");
        return;
    };
    let words = ["--listen", "127.0.0.1:0", "--data-dir", data_dir.to_str().expect("a path")];
    let start = || Server::start(MASTER, folder.path(), "master", &words, &[]);
    let push = |api: &Api, name: &str, size: usize| {
        let script = format!("#{}\n", name.repeat(size / name.len()));
        api.push(&Function::script(name, &script))
    };
    let master = start();
    push(&master.api, "before", 1000).ok();
    push(&master.api, "too-large", 17 << 20).refused(507, "store_full");
    push(&master.api, "still-fine", 1000).ok();

    let filler = data_dir.join("filler");
    fill(&filler);
    let answer = push(&master.api, "no-room", 1 << 20);
    answer.refused(507, "store_full");
    master.api.get("/healthz").ok();
    assert_eq!(names(&master.api), ["before", "still-fine"]);

    fs::remove_file(&filler).expect("it is there");
    push(&master.api, "after", 1000).ok();
    master.kill();
    let master = start();
    assert_eq!(names(&master.api), ["after", "before", "still-fine"]);
    let kept = fs::read_dir(data_dir.join("files")).expect("a folder").count();
    assert_eq!(kept, 3, "half a file is kept");
}

#[test]
fn a_worker_whose_disk_is_full_is_given_up_for_that_file_only() {
    let cluster = Cluster::start(Plan { workers: 0, master: Plan::IMPATIENT, ..Plan::default() });
    fs::create_dir(cluster.state_dir(0)).expect("a folder");
    let state_dir = cluster.state_dir(0);
    let Some(_disk) = SmallDisk::mount(&state_dir, "4m") else {
        eprintln!("skipped: a small disk cannot be mounted here");
        return;
    };
    let worker = cluster.spawn_worker(0, &[]);
    cluster.wait_for_alive(1);
    cluster.push_script("large", &"#\n".repeat(3 << 20));
    let answer = cluster.submit("large", json!({}));
    let (code, message) = answer.error();
    assert!(answer.status > 500 && code == "unplaceable", "{}: {code} {message}", answer.status);
    cluster.push_script("small", "echo small\n");
    assert_eq!(cluster.submit("small", json!({})).printed(), "small");
    worker.kill();
}

/// Names of functions, sorted.
fn names(api: &Api) -> Vec<String> {
    let listed = api.get("/functions").ok();
    let name = |f: &Value| f["name"].as_str().expect("a name").to_owned();
    let mut names: Vec<String> = listed["functions"].as_array().expect("a list").iter().map(name).collect();
    names.sort();
    names
}

/// Takes all the room that is left.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).expect("a file");
    let mut piece = vec![0; 1 << 20];
    while !piece.is_empty() {
        match file.write(&piece) {
            Ok(1..) => {}
            // Full for so much: less may still fit.
            _ => piece.truncate(piece.len() / 2),
        }
    }
}

/// A disk of a few MiB; unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path, size: &str) -> Option<Self> {
        let options = ["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"];
        let output = Command::new("mount").args(options).arg(at).output().ok()?;
        output.status.success().then(|| Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily: the master may still be there.
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()) || std::thread::panicking(),
            "a disk stays mounted"
        );
    }
}

/// Starts a master that has to fail; how it ended, and what it said.
fn start_in_vain(data_dir: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(MASTER);
    command.env_clear().args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir);
    let output = command.output().expect("it can be started");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
