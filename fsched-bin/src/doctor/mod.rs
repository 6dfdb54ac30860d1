//! `fsched doctor`: what this machine has, what fsched does with it, and what would help.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | from looking to the exit code |
//! | `facts.rs` | [`Facts`]: what was found, gathered once |
//! | `diagnosis.rs` | [`Diagnosis`]: what follows from it; pure |
//! | `cure.rs` | what would help, each with the one command |
//! | `show.rs` | both as text |
//! | `json.rs` | both as JSON |

mod cure;
mod diagnosis;
mod facts;
mod json;
mod show;

use std::path::Path;

pub use self::diagnosis::{Diagnosis, Verdict};
pub use self::facts::Facts;

use crate::exit;

/// The end of the help text.
pub const HELP: &str = "\
Looks, and changes nothing. Run it as the user that runs the worker.

Examples:
  fsched doctor
  fsched doctor --json

Exit codes:
  0 masks will be enforced · 4 not yet, but a command that is shown would change that · 5 not on this machine";

/// Looks at this machine and says what it finds; the exit code says whether masks will be enforced.
pub fn run(json: bool) -> u8 {
    let facts = Facts::look(Path::new("/"));
    let diagnosis = Diagnosis::of(&facts);
    let text = if json { json::report(&facts, &diagnosis) } else { show::report(&facts, &diagnosis) };
    match crate::cli::print_text(&text) {
        exit::DONE => diagnosis.verdict.exit_code(),
        failed => failed,
    }
}

#[cfg(test)]
mod tests;
