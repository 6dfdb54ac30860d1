//! Progress for people at a terminal; nothing for anybody else.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What takes less is not worth a word.
const PATIENCE: Duration = Duration::from_secs(2);

/// A spinner that shows itself once something takes more than two seconds; gone when dropped.
#[derive(Debug)]
pub struct Waiting {
    bar: ProgressBar,
    show: actix_rt::task::JoinHandle<()>,
}

impl Waiting {
    /// Begins to wait for `what`; needs an actix runtime around it.
    pub fn begin(what: impl Into<String>) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(style("{spinner} {msg} ({elapsed})"));
        bar.set_message(what.into());
        let later = bar.clone();
        let show = actix_rt::spawn(async move {
            if std::io::stderr().is_terminal() {
                actix_rt::time::sleep(PATIENCE).await;
                later.set_draw_target(ProgressDrawTarget::stderr());
                later.enable_steady_tick(Duration::from_millis(100));
            }
        });
        Self { bar, show }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.show.abort();
        self.bar.finish_and_clear();
    }
}

/// A bar of `length` steps on a terminal, hidden elsewhere.
pub fn bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    bar.set_style(style("{msg:>14} {wide_bar} {pos}/{len}"));
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
