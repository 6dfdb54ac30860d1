//! `fsched workers list`, `add`, `drain`, `remove`, and `fsched status`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::session::{Done, Session};
use crate::client::{answer, segment};
use crate::table;

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Workers {
    /// List workers
    List,
    /// Add a worker that runs already
    #[command(
        after_help = "Examples:\n  fsched workers add 10.0.0.7\n  fsched workers add http://10.0.0.7:3000"
    )]
    Add {
        /// Its host, with or without port (3000), or its URL
        host: String,
    },
    /// Give a worker no new work, and let it finish what it has
    Drain {
        /// Its id (w-1)
        worker: String,
        /// Give it work again
        #[arg(long)]
        undo: bool,
    },
    /// Remove a worker; waits for what runs there
    Remove {
        /// Its id (w-1)
        worker: String,
    },
}

impl Workers {
    pub(super) async fn run(&self, session: &Session) -> Done {
        match self {
            Self::List => {
                let answer = session.client.get("/cluster/workers").await?;
                session.show(&answer, || {
                    let rows: answer::Workers = session.client.parse(answer.clone())?;
                    Ok(table::workers(&rows.workers))
                })
            }
            Self::Add { host } => {
                let adding = session.client.post("/cluster/worker/add", &json!({"host": host})).await;
                let answer = adding?;
                let id = answer.get("id").and_then(Value::as_str).unwrap_or("it").to_owned();
                session.show(&answer, || Ok(format!("{id} added")))
            }
            Self::Drain { worker, undo } => {
                let path = format!("/cluster/workers/{}/drain", segment(worker));
                let answer = session.client.post(&path, &json!({"draining": !undo})).await?;
                let text = if *undo { "gets work again" } else { "gets no new work" };
                session.show(&answer, || Ok(format!("{worker} {text}")))
            }
            Self::Remove { worker } => {
                let answer = session.client.delete(&format!("/cluster/workers/{}", segment(worker))).await?;
                session.show_message(&answer)
            }
        }
    }
}

/// `fsched status`.
pub(super) async fn status(session: &Session) -> Done {
    let answer = session.client.get("/status").await?;
    session.show(&answer, || Ok(table::facts(&answer)))
}
