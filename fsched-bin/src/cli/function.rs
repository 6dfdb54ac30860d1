//! `fsched function push`, `list`, `show`, `remove`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use fsched_core::cache::Bytes;

use super::session::{Done, Session, Stop};
use crate::client::answer::{FunctionRow, Functions};
use crate::client::segment;
use crate::settings::{Size, Span};
use crate::{exit, table};

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Function {
    /// Push a file as a function; the same name again makes a new version
    #[command(
        after_help = "Examples:\n  fsched function push resize.py --command python3 --memory 512MiB\n  \
                            fsched function push ./sort --name sort --cores 2 --timeout 30s --isolation exclusive"
    )]
    Push(PushArgs),
    /// List functions
    List,
    /// Show one function
    Show {
        /// Its name or id (f-1)
        function: String,
    },
    /// Remove a function: by name all its versions, by id one; waits for what runs
    Remove {
        /// Its name or id (f-1)
        function: String,
    },
}

#[derive(Debug, Clone, Args)]
pub(super) struct PushArgs {
    /// The file
    file: PathBuf,
    /// What to call it [default: the file's name]
    #[arg(long)]
    name: Option<String>,
    /// Program (and arguments) to run it with, such as python3; without one the file itself is executed
    #[arg(long)]
    command: Option<String>,
    /// CPUs that every run takes
    #[arg(long, value_name = "N")]
    cores: Option<u16>,
    /// Memory that every run may use, such as 512MiB
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
    /// How long a run may take, such as 30s
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
    /// Whether its share of the cache may be shared with others while it runs
    #[arg(long, value_enum)]
    isolation: Option<Isolation>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Isolation {
    /// With others: never waits for cache
    Shared,
    /// With nobody: waits until its ways are free
    Exclusive,
}

impl Function {
    pub(super) async fn run(&self, session: &Session) -> Done {
        match self {
            Self::Push(args) => args.run(session).await,
            Self::List => {
                let answer = session.client.get("/functions").await?;
                session.show(&answer, || {
                    let rows: Functions = session.client.parse(answer.clone())?;
                    Ok(table::functions(&rows.functions))
                })
            }
            Self::Show { function } => {
                let answer = session.client.get(&format!("/functions/{}", segment(function))).await?;
                session.show(&answer, || Ok(table::facts(&answer)))
            }
            Self::Remove { function } => {
                let path = format!("/functions/{}", segment(function));
                let answer = session.wait("removing", session.client.delete(&path)).await?;
                session.show_message(&answer)
            }
        }
    }
}

impl PushArgs {
    async fn run(&self, session: &Session) -> Done {
        let Some(file_name) = self.file.file_name().and_then(|name| name.to_str()) else {
            eprintln!("error: {} has no name that can be sent: use --name", self.file.display());
            return Err(Stop::Code(exit::USAGE));
        };
        let isolation = self.isolation.map(|isolation| match isolation {
            Isolation::Shared => "shared".to_owned(),
            Isolation::Exclusive => "exclusive".to_owned(),
        });
        let fields = [
            ("name", self.name.clone()),
            ("command", self.command.clone()),
            ("cores", self.cores.map(|cores| cores.to_string())),
            ("memory", self.memory.map(|Size(Bytes(bytes))| bytes.to_string())),
            ("timeout", self.timeout.map(|Span(time)| time.as_secs_f64().to_string())),
            ("isolation", isolation),
        ];
        let fields: Vec<(&str, String)> =
            fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let sending = session.client.push(&self.file, file_name, &fields);
        let answer = session.wait(format!("uploading {file_name}"), sending).await?;
        session.show(&answer, || {
            let row: FunctionRow = session.client.parse(answer.clone())?;
            Ok(format!("{} is {} version {} ({})", row.task_id, row.name, row.version, Bytes(row.size)))
        })
    }
}
