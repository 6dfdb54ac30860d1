//! What is measured: a trivial program, and a master with one worker to run it.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::Client;

/// How many functions there are; all of them are the same program, under as many content hashes.
pub(crate) const FUNCTIONS: usize = 100;

/// A program that prints one line and ends: as fast as one in C, which it is but for the spelling.
const SOURCE: &str = r#"#![no_main]
unsafe extern "C" { fn puts(text: *const u8) -> i32; }
#[unsafe(no_mangle)]
pub extern "C" fn main(_: i32, _: *const *const u8) -> i32 {
    unsafe { puts(c"done".as_ptr().cast()) };
    0
}
"#;

/// The program, compiled.
pub(crate) struct Program {
    /// Where it lies.
    pub(crate) path: PathBuf,
    _folder: TempDir,
}

impl Program {
    /// Compiles it with the Rust compiler at hand.
    pub(crate) fn build() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let (source, path) = (folder.path().join("trivial.rs"), folder.path().join("trivial"));
        fs::write(&source, SOURCE)?;
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let status = Command::new(compiler)
            .args(["--edition=2024", "-O", "-Cpanic=abort", "-Cstrip=symbols", "-o"])
            .arg(&path)
            .arg(&source)
            .status()?;
        if !status.success() {
            return Err("the trivial program does not compile".into());
        }
        Ok(Self { path, _folder: folder })
    }
}

/// A server in a process of its own, ended when dropped.
pub(crate) struct Server {
    /// Its process.
    pub(crate) pid: u32,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts it and waits for its line `… listening on http://ADDRESS`.
    fn start(command: &mut Command) -> Result<Self, Box<dyn Error>> {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        for line in BufReader::new(output).lines() {
            if let Some((_, url)) = line?.split_once("listening on http://") {
                return Ok(Self { pid: child.id(), address: url.trim().parse()?, child });
            }
        }
        Err("the server ended before it listened".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid.cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// A master, its worker, and the functions on them.
pub(crate) struct Cluster {
    /// The master.
    pub(crate) master: Server,
    /// Its only worker.
    pub(crate) worker: Server,
    /// The functions' files, as the worker knows them.
    pub(crate) files: Vec<String>,
    _folder: TempDir,
}

impl Cluster {
    /// Starts both, pushes the functions and runs each once.
    pub(crate) fn start(program: &Program, slots: u16) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let master = Server::start(
            Command::new(env!("CARGO_BIN_EXE_fsched-master"))
                .args(["--listen", "127.0.0.1:0", "--log", "warn", "--data-dir"])
                .arg(folder.path().join("master")),
        )?;
        let worker = Server::start(
            Command::new(env!("CARGO_BIN_EXE_fsched-worker"))
                .args(["--listen", "127.0.0.1:0", "--log", "warn", "--master"])
                .arg(format!("http://{}", master.address))
                .args(["--cores", &slots.to_string(), "--memory", "16GiB", "--state-dir"])
                .arg(folder.path().join("worker")),
        )?;
        let mut client = Client::connect(master.address)?;
        let mut files = Vec::new();
        let code = fs::read(&program.path)?;
        for i in 0..FUNCTIONS {
            files.push(push(&mut client, &code, i)?);
        }
        let cluster = Self { master, worker, files, _folder: folder };
        cluster.warm_up(&mut client)?;
        Ok(cluster)
    }

    /// Every function runs once: files are where they belong, and the predictor knows something.
    fn warm_up(&self, client: &mut Client) -> Result<(), Box<dyn Error>> {
        let worker_is_there = || -> Result<bool, Box<dyn Error>> {
            let mut client = Client::connect(self.master.address)?;
            let body = json!({"function_name": "trivial-0", "parameters": {"input_size": 1}}).to_string();
            Ok(client.post("/submit", "application/json", body.as_bytes())?.0 == 200)
        };
        let give_up = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !worker_is_there()? {
            if std::time::Instant::now() > give_up {
                return Err("the worker never registered".into());
            }
            std::thread::yield_now();
        }
        for i in 0..FUNCTIONS {
            let body =
                json!({"function_name": format!("trivial-{i}"), "parameters": {"input_size": 1}}).to_string();
            let (status, answer) = client.post("/submit", "application/json", body.as_bytes())?;
            if status != 200 {
                return Err(format!("function {i} does not run: {}", String::from_utf8_lossy(answer)).into());
            }
        }
        Ok(())
    }
}

/// Uploads the program with a number behind it, which the loader ignores and the hash does not: the
/// hash.
fn push(client: &mut Client, code: &[u8], number: usize) -> Result<String, Box<dyn Error>> {
    const BOUNDARY: &str = "fsched-overhead-boundary";
    let mut body = format!(
        "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"name\"\r\n\r\ntrivial-{number}\r\n\
         --{BOUNDARY}\r\ncontent-disposition: form-data; name=\"memory\"\r\n\r\n64MiB\r\n\
         --{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"trivial\"\r\n\
         content-type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(code);
    body.extend_from_slice(format!("{number}\r\n--{BOUNDARY}--\r\n").as_bytes());
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let (status, answer) = client.post("/controller/task/new", &content_type, &body)?;
    let answer: Value = serde_json::from_slice(answer)?;
    match (status, answer["file"].as_str()) {
        (200, Some(file)) => Ok(file.to_owned()),
        _ => Err(format!("the upload failed: {answer}").into()),
    }
}
