//! A master and its workers in a folder of their own, gone when dropped.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Answer, Api, Function, MASTER, Server, WORKER, wait_until};

/// What a cluster is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// How many workers there are.
    pub(crate) workers: usize,
    /// How many CPUs each has for functions.
    pub(crate) cores: u16,
    /// How many ways each has; none: those of the machine's own cache.
    pub(crate) ways: Option<u16>,
    /// What the master is told, by environment.
    pub(crate) master: &'static [(&'static str, &'static str)],
    /// What the workers are told, by environment.
    pub(crate) worker: &'static [(&'static str, &'static str)],
}

impl Default for Plan {
    fn default() -> Self {
        Self { workers: 1, cores: 2, ways: Some(8), master: &[], worker: &[("FSCHED_WORKER_GRACE", "500ms")] }
    }
}

impl Plan {
    /// A master that soon misses workers which are gone.
    pub(crate) const IMPATIENT: &'static [(&'static str, &'static str)] = &[
        ("FSCHED_MASTER_HEARTBEAT", "100ms"),
        ("FSCHED_MASTER_SUSPECT_AFTER", "2s"),
        ("FSCHED_MASTER_DEAD_AFTER", "4s"),
    ];
    /// A master that fills the first of idle workers first, whatever files and caches they have.
    pub(crate) const BLIND: &'static [(&'static str, &'static str)] =
        &[("FSCHED_MASTER_SCHEDULER", "least_loaded")];
    /// Both.
    pub(crate) const IMPATIENT_AND_BLIND: &'static [(&'static str, &'static str)] = &[
        ("FSCHED_MASTER_SCHEDULER", "least_loaded"),
        ("FSCHED_MASTER_HEARTBEAT", "100ms"),
        ("FSCHED_MASTER_SUSPECT_AFTER", "2s"),
        ("FSCHED_MASTER_DEAD_AFTER", "4s"),
    ];
    /// Impatient, and it waits for no other worker to come.
    pub(crate) const HASTY: &'static [(&'static str, &'static str)] = &[
        ("FSCHED_MASTER_HEARTBEAT", "100ms"),
        ("FSCHED_MASTER_SUSPECT_AFTER", "2s"),
        ("FSCHED_MASTER_DEAD_AFTER", "4s"),
        ("FSCHED_MASTER_UNPLACEABLE_AFTER", "1s"),
    ];
}

/// A master and its workers.
#[derive(Debug)]
pub(crate) struct Cluster {
    plan: Plan,
    // Dropped in this order: workers, master, folder.
    /// The workers.
    pub(crate) workers: Vec<Server>,
    /// The master; none while it is away.
    pub(crate) master: Option<Server>,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts them, and waits until the master counts on its workers.
    #[track_caller]
    pub(crate) fn start(plan: Plan) -> Self {
        Self::start_with(plan, |_| ())
    }

    /// The same after something was put into its folder, which is the master's working directory.
    #[track_caller]
    pub(crate) fn start_with(plan: Plan, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::Builder::new().prefix("fsched-system-").tempdir().expect("a folder");
        prepare(folder.path());
        let mut cluster = Self { plan, workers: Vec::new(), master: None, folder };
        cluster.start_master();
        // One after the other, so that their ids are in the order of their numbers.
        for number in 0..plan.workers {
            let worker = cluster.spawn_worker(number, &[]);
            cluster.workers.push(worker);
            cluster.wait_for_alive(number + 1);
        }
        cluster
    }

    /// One worker, else as usual.
    #[track_caller]
    pub(crate) fn usual() -> Self {
        Self::start(Plan::default())
    }

    /// The folder of this test, where its functions may leave things.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the master keeps everything.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder().join("master")
    }

    /// Where worker `number` keeps everything.
    pub(crate) fn state_dir(&self, number: usize) -> PathBuf {
        self.folder().join(format!("worker-{number}"))
    }

    /// Where the master listens.
    #[track_caller]
    pub(crate) fn api(&self) -> &Api {
        &self.master.as_ref().expect("the master is there").api
    }

    /// Starts the master, the first time or again, on the same data.
    #[track_caller]
    pub(crate) fn start_master(&mut self) {
        let data_dir = self.data_dir();
        let arguments = ["--listen", "127.0.0.1:0", "--data-dir", &text(&data_dir), "--log", "debug"];
        self.master = Some(Server::start(MASTER, self.folder(), "master", &arguments, self.plan.master));
    }

    /// `kill -9` for the master.
    #[track_caller]
    pub(crate) fn kill_master(&mut self) {
        self.master.take().expect("the master is there").kill();
    }

    /// Which of the workers has this id.
    #[track_caller]
    pub(crate) fn number_of(&self, id: &str) -> usize {
        let rows = self.rows();
        let row = rows.iter().find(|row| row["id"] == id).expect("the master knows it");
        let found = self.workers.iter().position(|worker| row["host"] == worker.api.url());
        found.expect("it is one of ours")
    }

    /// Starts worker `number`, the first time or again with the same state, for this master.
    #[track_caller]
    pub(crate) fn spawn_worker(&self, number: usize, more: &[&str]) -> Server {
        let url = self.api().url();
        self.spawn_lone_worker(number, &[&["--master", &url], more].concat())
    }

    /// Starts worker `number` without telling it a master.
    #[track_caller]
    pub(crate) fn spawn_lone_worker(&self, number: usize, more: &[&str]) -> Server {
        let state_dir = text(&self.state_dir(number));
        let cores = self.plan.cores.to_string();
        let cache = self.plan.ways.map(|ways| (ways.to_string(), format!("{ways}MiB")));
        let mut arguments = vec!["--state-dir", &state_dir, "--cores", &cores, "--memory", "4GiB"];
        if let Some((ways, size)) = &cache {
            arguments.extend(["--cache", "explicit", "--cache-ways", ways, "--cache-size", size]);
        }
        arguments.extend(["--log", "debug"]);
        if !more.contains(&"--listen") {
            arguments.extend(["--listen", "127.0.0.1:0"]);
        }
        arguments.extend(more);
        Server::start(WORKER, self.folder(), &format!("worker-{number}"), &arguments, self.plan.worker)
    }

    /// Waits until so many workers are alive.
    #[track_caller]
    pub(crate) fn wait_for_alive(&self, wanted: usize) {
        wait_until(&format!("{wanted} workers are alive"), || {
            (self.workers_in("alive").len() == wanted).then_some(())
        });
    }

    /// The rows of `/cluster/workers`.
    #[track_caller]
    pub(crate) fn rows(&self) -> Vec<Value> {
        self.api().get("/cluster/workers").ok()["workers"].as_array().expect("a list of workers").clone()
    }

    /// The ids of workers in this state.
    #[track_caller]
    pub(crate) fn workers_in(&self, state: &str) -> Vec<String> {
        let rows = self.rows().into_iter().filter(|row| row["state"] == state);
        rows.map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Pushes a function; its id.
    #[track_caller]
    pub(crate) fn push(&self, function: &Function) -> String {
        let answer = self.api().push(function).ok();
        answer["task_id"].as_str().expect("a task id").to_owned()
    }

    /// Pushes a shell script.
    #[track_caller]
    pub(crate) fn push_script(&self, name: &str, script: &str) -> String {
        self.push(&Function::script(name, script))
    }

    /// Runs the newest version of a name, whatever is known of it.
    #[track_caller]
    pub(crate) fn submit(&self, name: &str, parameters: Value) -> Answer {
        self.api().post("/submit", &json!({"function_name": name, "parameters": parameters}))
    }

    /// The same on a thread of its own.
    pub(crate) fn submit_later(&self, name: &str) -> std::thread::JoinHandle<Answer> {
        self.api().post_later("/submit", json!({"function_name": name}))
    }

    /// Benchmarks a function with `sh`.
    #[track_caller]
    pub(crate) fn benchmark(&self, task: &str, input_size: u64) -> Value {
        let body = json!({"command": "sh", "task_id": task, "input_size": input_size});
        self.api().post("/controller/task/benchmark", &body).ok()
    }

    /// Runs a function with `sh`.
    #[track_caller]
    pub(crate) fn run(&self, task: &str, input_size: u64) -> Answer {
        let body = json!({"command": "sh", "task_id": task, "input_size": input_size});
        self.api().post("/controller/task/run", &body)
    }

    /// Waits until so many invocations are in `state`; their ids, newest first.
    #[track_caller]
    pub(crate) fn wait_for_invocations(&self, state: &str, wanted: usize) -> Vec<String> {
        wait_until(&format!("{wanted} invocations are {state}"), || {
            let rows = self.api().get(&format!("/invocations?state={state}")).ok();
            let rows = rows["invocations"].as_array().expect("a list of invocations");
            let ids = || rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect();
            (rows.len() == wanted).then(ids)
        })
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("folders of tests are text").to_owned()
}
