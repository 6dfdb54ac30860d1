//! What is measured.

use std::path::PathBuf;
use std::time::Duration;

/// One measurement, or where no trace is named, the small ones.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Where the trace is; none: calls by a formula.
    pub(crate) trace: Option<PathBuf>,
    pub(crate) workers: usize,
    pub(crate) cores: u16,
    /// Which share of the cores is kept busy; none: the trace as it is.
    pub(crate) load: Option<f64>,
    /// `least-loaded` or `default`.
    pub(crate) policy: String,
    pub(crate) contention: bool,
    /// From which minute of the trace on, and how many.
    pub(crate) from: usize,
    pub(crate) minutes: usize,
    /// How often workers are asked how they are.
    pub(crate) heartbeat: Duration,
    /// Whether to tell what each kind of call costs.
    pub(crate) parts: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trace: None,
            workers: 20,
            cores: 8,
            load: None,
            policy: "least-loaded".to_owned(),
            contention: false,
            from: 0,
            minutes: 480,
            heartbeat: Duration::from_secs(60),
            parts: false,
        }
    }
}

impl Options {
    /// From arguments.
    ///
    /// # Errors
    /// Says which makes no sense.
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
            fn number<T: std::str::FromStr>(name: &str, text: String) -> Result<T, String> {
                text.parse().map_err(|_| format!("{name}: {text:?} is not a number"))
            }
            match name.as_str() {
                "--trace" => options.trace = Some(value()?.into()),
                "--workers" => options.workers = number(&name, value()?)?,
                "--cores" => options.cores = number(&name, value()?)?,
                "--load" => options.load = Some(number(&name, value()?)?),
                "--policy" => options.policy = value()?,
                "--from" => options.from = number(&name, value()?)?,
                "--minutes" => options.minutes = number(&name, value()?)?,
                "--heartbeat" => options.heartbeat = Duration::from_secs(number(&name, value()?)?),
                "--contention" => options.contention = true,
                "--parts" => options.parts = true,
                // Cargo says it to every benchmark.
                "--bench" => {}
                other => return Err(format!("there is no option {other}")),
            }
        }
        if !matches!(options.policy.as_str(), "least-loaded" | "default") {
            return Err(format!("--policy: least-loaded or default, not {:?}", options.policy));
        }
        Ok(options)
    }

    /// The measurements to make.
    pub(crate) fn each(self) -> Vec<Self> {
        if self.trace.is_some() {
            return vec![self];
        }
        let small = |policy: &str, contention| Self {
            policy: policy.to_owned(),
            contention,
            load: Some(0.6),
            minutes: 2,
            ..self.clone()
        };
        vec![small("least-loaded", false), small("default", false), small("default", true)]
    }
}
