//! What workers on this machine are told, and waiting until the master knows them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use fsched_core::cache::Bytes;
use fsched_core::host::resctrl::{Filesystem, Offer};

use crate::client::{Client, ClientError, answer};
use crate::settings::{CacheMode, LogFormat, LogSettings, Size, Span};

/// How often the master is asked whether its workers are there.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// What the workers of one machine are told.
pub(crate) struct WorkerArguments {
    /// Their master.
    pub(crate) master: String,
    /// Where each has a folder of its own.
    pub(crate) state_dir: PathBuf,
    /// Where their token is; else in the environment, which they inherit.
    pub(crate) token_file: Option<PathBuf>,
    /// How many there are: they divide the machine.
    pub(crate) of: u16,
    /// How they share out the cache; none: as their file or environment says.
    pub(crate) cache: Option<CacheMode>,
    /// The most classes of the kernel that each takes; none: all that are left.
    pub(crate) classes: Option<u16>,
    /// What they log.
    pub(crate) log: LogSettings,
    /// How long their shutdown waits.
    pub(crate) patience: Span,
}

impl WorkerArguments {
    /// The command line of worker `number`, counted from 1.
    pub(crate) fn of_worker(&self, number: u16) -> Vec<String> {
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
        let cores = (cpus / usize::from(self.of)).max(1);
        let Bytes(ram) = fsched_http::machine::memory().total_ram;
        let memory = Size(Bytes((ram / 4 * 3 / u64::from(self.of)).max(1)));
        let format = match self.log.format {
            LogFormat::Human => "human",
            LogFormat::Json => "json",
        };
        let state_dir = self.state_dir.join(number.to_string()).display().to_string();
        let mut arguments: Vec<String> =
            ["worker", "--listen", "127.0.0.1:0", "--master", &self.master, "--state-dir", &state_dir]
                .map(str::to_owned)
                .to_vec();
        for (flag, value) in [
            ("--cores", cores.to_string()),
            ("--memory", memory.0.0.to_string()),
            ("--patience", self.patience.to_string()),
            ("--log", self.log.level.clone()),
            ("--log-format", format.to_owned()),
        ] {
            arguments.extend([flag.to_owned(), value]);
        }
        if let Some(mode) = self.cache.and_then(|mode| mode.to_possible_value()) {
            arguments.extend(["--cache".to_owned(), mode.get_name().to_owned()]);
        }
        if let Some(classes) = self.classes {
            arguments.extend(["--cache-classes".to_owned(), classes.to_string()]);
        }
        if let Some(file) = &self.token_file {
            arguments.extend(["--token-file".to_owned(), file.display().to_string()]);
        }
        arguments
    }
}

/// How many of the kernel's classes each of several workers may take, so that none of them takes all; none: there is but
/// one worker, or no classes.
pub(crate) fn classes_for_each(workers: u16) -> Option<u16> {
    let filesystem = Filesystem::look(Path::new("/"));
    let at = filesystem.mount().filter(|_| workers > 1)?.at.clone();
    let offer = Offer::read(&|path| std::fs::read_to_string(at.join(path))).ok()?;
    Some((offer.usable_classes() / workers).max(1)).filter(|_| offer.cache.is_some())
}

/// The URL under which a master that listens on `address` is reached from this machine.
pub(crate) fn loopback_url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// Waits until the master knows `wanted` workers that are alive.
///
/// # Errors
/// Where it does not within `limit`, or does not answer.
pub(crate) async fn wait_for_workers(client: &Client, wanted: usize, limit: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + limit;
    loop {
        let alive = alive_workers(client).await?;
        if alive >= wanted {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < until, "{alive} of {wanted} workers are there after {limit:?}");
        actix_rt::time::sleep(ASK_EVERY).await;
    }
}

async fn alive_workers(client: &Client) -> Result<usize, ClientError> {
    let answer: answer::Workers = client.parse(client.get("/cluster/workers").await?)?;
    Ok(answer.workers.iter().filter(|worker| worker.state == "alive").count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_that_listens_everywhere_is_reached_on_loopback() {
        let url = |address: &str| loopback_url(address.parse().unwrap());
        assert_eq!(url("0.0.0.0:7"), "http://127.0.0.1:7");
        assert_eq!(url("[::]:7"), "http://[::1]:7");
        assert_eq!(url("10.0.0.1:7"), "http://10.0.0.1:7");
    }

    #[test]
    fn a_worker_is_told_what_its_command_line_understands() {
        use clap::Parser as _;
        let arguments = WorkerArguments {
            master: "http://127.0.0.1:1".to_owned(),
            state_dir: "/s".into(),
            token_file: Some("/t".into()),
            of: 1000,
            cache: Some(CacheMode::Memory),
            classes: Some(2),
            log: LogSettings { format: LogFormat::Json, level: "warn".to_owned() },
            patience: Span(Duration::from_millis(1500)),
        };
        let line = ["fsched".to_owned()].into_iter().chain(arguments.of_worker(3));
        assert!(crate::cli::Cli::try_parse_from(line).is_ok());
        let line = arguments.of_worker(3);
        let cores = line.iter().position(|word| word == "--cores").unwrap();
        assert_eq!(line[cores + 1], "1");
        assert!(line.contains(&"/s/3".to_owned()));
    }
}
