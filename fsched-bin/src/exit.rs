//! How our programs end: the exit codes, in one place.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | the request was refused or failed; a server could not start |
//! | 2 | the command line, or a file that it names, makes no sense |
//! | 3 | the master cannot be reached |
//! | 4 | `fsched doctor`: masks will not be enforced yet, but a command that it shows would change that |
//! | 5 | `fsched doctor`: masks will not be enforced on this machine |
//! | 130 | interrupted |
//!
//! `fsched run` ends like the function it ran, so that its own failures keep out of the way:
//!
//! | code | meaning |
//! | --- | --- |
//! | the function's | it ended by itself |
//! | 124 | its time was over |
//! | 125 | it was not run: no such function, not benchmarked yet, no room, no master |
//! | 137 | it used more memory than it may |
//! | 128 + n | signal n ended it |

use std::process::ExitCode;

/// Done.
pub const DONE: u8 = 0;
/// The request was refused or failed.
pub const FAILED: u8 = 1;
/// The command line, or a file that it names, makes no sense.
pub const USAGE: u8 = 2;
/// The master cannot be reached.
pub const UNREACHABLE: u8 = 3;
/// Masks will not be enforced yet, but a command would change that.
pub const NOT_ENFORCED_YET: u8 = 4;
/// Masks will not be enforced on this machine.
pub const NOT_ENFORCED_HERE: u8 = 5;
/// The function's time was over.
pub const TIMED_OUT: u8 = 124;
/// The function was not run.
pub const NOT_RUN: u8 = 125;
/// The function used more memory than it may.
pub const OUT_OF_MEMORY: u8 = 137;
/// Interrupted, or cancelled by somebody else.
pub const INTERRUPTED: u8 = 130;

/// Ends a server program: reports what went wrong.
pub fn of_server(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}
