//! A master as a process: load, open the store, bind, serve, report.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fsched_core::node::{FileStore, MasterNode};
use fsched_core::predictor::{MlpPredictor, ModelSlot, Predictor, PredictorConfig};
use fsched_core::store::EmbeddedStore;
use fsched_http::auth::Token;
use fsched_http::master::{self, MasterNumbers, MasterState};
use fsched_http::transport::{HttpTransport, HttpTransportOptions};
use tokio::sync::watch;

use super::learning::{Learner, Models};
use super::{Ending, clock, ending, open_files, ready_line, say_ready, trace};
use crate::settings::{MasterFlags, MasterSettings, find_token, listen, make_private};

/// Runs a master until it is asked to stop.
///
/// # Errors
/// Where a setting makes no sense, the store is not usable, or the address cannot be had.
pub fn run(flags: &MasterFlags, token_file: Option<&Path>) -> anyhow::Result<()> {
    let settings = MasterSettings::load(flags, token_file)?;
    trace(&settings.log)?;
    open_files::take_all_allowed();
    actix_rt::System::new().block_on(async {
        let ending = ending(flags.lifeline)?;
        let token = find_token(settings.token_file.as_deref())?;
        let master = ReadyMaster::start(&settings, token).await?;
        say_ready(&ready_line("fsched-master", &format!("http://{}", master.address)));
        master.serve_until(ending).await
    })
}

/// A master that has its data and its socket.
pub struct ReadyMaster {
    listener: TcpListener,
    address: SocketAddr,
    state: Arc<MasterState>,
    learner: Option<Learner>,
}

impl ReadyMaster {
    /// Binds, and opens what was kept.
    ///
    /// # Errors
    /// Where the address cannot be had, or what was kept cannot be used.
    pub async fn start(settings: &MasterSettings, token: Option<Token>) -> anyhow::Result<Self> {
        let options = settings.options(token.clone())?;
        let listener = listen(settings.listen, token.as_ref())?;
        let address = listener.local_addr().context("cannot find out where we listen")?;
        let data_dir = settings.data_dir()?;
        make_private(&data_dir)?;
        let store = EmbeddedStore::open(data_dir.join("store"))?;
        let files = FileStore::open(data_dir.join("files"))?;
        let transport = HttpTransportOptions { token, ..HttpTransportOptions::default() };
        let transport = HttpTransport::new(transport);
        let numbers = Arc::new(MasterNumbers::default());
        let (predictor, learning) = predictor(settings, &data_dir)?;
        let scheduler = settings.scheduler.clone().unwrap_or_default().build();
        let now = clock::wall();
        let node = MasterNode::start(
            settings.config(),
            files,
            numbers.timed_predictor(predictor),
            numbers.timed_scheduler(scheduler),
            Arc::new(store),
            Arc::new(transport),
            Arc::clone(&now),
        )
        .await?;
        let learner = learning.map(|(slot, models)| {
            Learner::new(Arc::clone(&node), slot, models, settings.training.clone(), &numbers)
        });
        let state = Arc::new(MasterState::new(node, now, numbers, options));
        Ok(Self { listener, address, state, learner })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is asked to stop; then takes nothing new, waits for what runs, and ends.
    ///
    /// # Errors
    /// Where the socket cannot be used.
    pub async fn serve_until(self, mut ending: watch::Receiver<Option<Ending>>) -> anyhow::Result<()> {
        let node = Arc::clone(self.state.node());
        let shutdown = async move {
            // Where nobody can tell any more, it is time to stop too.
            let why = ending.wait_for(Option::is_some).await.ok().and_then(|told| *told);
            if why == Some(Ending::Orphaned) {
                node.shutdown(Duration::ZERO).await;
            }
        };
        let learning = self.learner.map(|learner| actix_rt::spawn(learner.run()));
        let served = master::serve(self.listener, self.state, shutdown).await;
        if let Some(learning) = learning {
            learning.abort();
            // Its child is ended with it.
            let _aborted = learning.await;
        }
        served.context("cannot serve")?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// What learning beside the requests needs, where it is switched on.
type Learning = Option<(ModelSlot, Models)>;

/// The predictor that the settings name; where it is to be trained here, with the newest model that came of that.
fn predictor(settings: &MasterSettings, data_dir: &Path) -> anyhow::Result<(Box<dyn Predictor>, Learning)> {
    match settings.predictor.clone().unwrap_or_default() {
        PredictorConfig::Mlp(config) if settings.training.enabled => {
            let models = Models::open(data_dir)?;
            let predictor = MlpPredictor::from_config(&config)?;
            let slot = predictor.model_slot();
            if let Some(model) = models.newest() {
                tracing::info!("predicting by what was learnt on this platform");
                slot.replace(Arc::new(model));
            }
            Ok((Box::new(predictor), Some((slot, models))))
        }
        config => {
            if settings.training.enabled {
                tracing::warn!("training.enabled says nothing: only the predictor \"mlp\" is trained");
            }
            Ok((config.build()?, None))
        }
    }
}
