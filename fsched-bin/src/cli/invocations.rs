//! `fsched invocations list`, `show`, `cancel`.

use clap::{Subcommand, ValueEnum};

use super::session::{Done, Session};
use crate::client::{answer, segment};
use crate::table;

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Invocations {
    /// List invocations, newest first
    #[command(after_help = "Example:\n  fsched invocations list --state running --function resize.py")]
    List {
        /// Only those in this state
        #[arg(long, value_enum)]
        state: Option<State>,
        /// Only those of this function (name or id)
        #[arg(long)]
        function: Option<String>,
        /// Only those of this tenant
        #[arg(long)]
        tenant: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// Show one invocation with its result
    Show {
        /// Its id (i-9)
        invocation: String,
    },
    /// End an invocation, running or waiting
    Cancel {
        /// Its id (i-9)
        invocation: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum State {
    Queued,
    Fetching,
    Running,
    Ended,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Fetching => "fetching",
            Self::Running => "running",
            Self::Ended => "ended",
        }
    }
}

impl Invocations {
    pub(super) async fn run(&self, session: &Session) -> Done {
        match self {
            Self::List { state, function, tenant, limit } => {
                let mut path = format!("/invocations?limit={limit}");
                if let Some(state) = state {
                    path += &format!("&state={}", state.as_str());
                }
                if let Some(function) = function {
                    path += &format!("&function={}", segment(function));
                }
                if let Some(tenant) = tenant {
                    path += &format!("&tenant={}", segment(tenant));
                }
                let answer = session.client.get(&path).await?;
                session.show(&answer, || {
                    let rows: answer::Invocations = session.client.parse(answer.clone())?;
                    Ok(table::invocations(&rows.invocations))
                })
            }
            Self::Show { invocation } => {
                let answer = session.client.get(&format!("/invocations/{}", segment(invocation))).await?;
                session.show(&answer, || Ok(table::facts(&answer)))
            }
            Self::Cancel { invocation } => {
                let path = format!("/invocations/{}", segment(invocation));
                let answer = session.wait("cancelling", session.client.delete(&path)).await?;
                session.show_message(&answer)
            }
        }
    }
}
