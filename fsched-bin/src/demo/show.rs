//! What the demo shows while it goes on: bars on a terminal, lines elsewhere; all of it on standard error.

use std::io::IsTerminal as _;

use indicatif::ProgressBar;

use crate::progress;

/// Shows how far the demo is.
pub(super) struct Show {
    terminal: bool,
}

impl Default for Show {
    fn default() -> Self {
        Self { terminal: std::io::stderr().is_terminal() }
    }
}

impl Show {
    /// The next step begins.
    pub(super) fn step(&self, text: &str) {
        eprintln!("• {text}");
    }

    /// A step of `length` parts begins.
    pub(super) fn steps(&self, name: &'static str, length: usize) -> Steps {
        let bar = self.terminal.then(|| progress::bar(length as u64).with_message(name));
        if let Some(bar) = &bar {
            bar.tick();
        }
        Steps { bar }
    }
}

/// A step of several parts; its bar stays as it is when dropped.
pub(super) struct Steps {
    bar: Option<ProgressBar>,
}

impl Steps {
    /// One part is done, and worth a line.
    pub(super) fn done(&self, line: &str) {
        match &self.bar {
            Some(bar) => {
                bar.suspend(|| eprintln!("  {line}"));
                bar.inc(1);
            }
            None => eprintln!("  {line}"),
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
