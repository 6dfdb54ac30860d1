//! All that was learnt across functions, as a checked file.

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use std::collections::{BTreeMap, HashMap};

use super::network::{Network, PARTS};
use super::situation::Situation;

/// How far a time may lie from the predicted one in 90 % of cases, in units of the spread: below and above.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Below.
    pub low: f64,
    /// Above.
    pub high: f64,
}

/// What was learnt across functions.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The networks, whose answers are averaged.
    pub networks: Vec<Network>,
    /// The calibration of each situation, in the order of [`Situation::ALL`].
    pub calibration: [Calibration; Situation::ALL.len()],
}

/// Why a file cannot be used as a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// It is larger than a model can be.
    #[error("a model has at most {} bytes", Model::MAX_BYTES)]
    TooLarge,
    /// It is no safetensors file.
    #[error("this is no safetensors file: {0}")]
    Malformed(#[from] safetensors::SafeTensorError),
    /// It is of another version.
    #[error("this model's version is {found}, and this program reads {}: train it anew", Model::VERSION)]
    Version {
        /// What it says.
        found: String,
    },
    /// A tensor is missing, or of another shape or type than it has to be.
    #[error("{0} is missing, or is not of the shape and type that it has to be")]
    Shape(String),
    /// There is a number that is not finite, or absurdly large.
    #[error("{0} holds a number that is not finite or is absurdly large")]
    Number(String),
    /// There is something in it that does not belong there.
    #[error("{0} does not belong into a model")]
    Unexpected(String),
}

impl Model {
    /// The version of the format: of the tensors, of what they mean, and of the features they are fed with.
    pub const VERSION: &'static str = "1";
    /// The largest file that is looked at.
    pub const MAX_BYTES: usize = 4 << 20;
    /// The most networks.
    pub const MAX_NETWORKS: usize = 8;
    /// No weight of a trained network comes near this.
    const LARGEST: f32 = 1e4;

    /// The model that comes with the platform: trained on this project's curves of 22 functions under three time models.
    pub fn pretrained() -> Self {
        Self::read(include_bytes!("pretrained.safetensors")).expect("a test reads the model that is shipped")
    }

    /// The bytes of a safetensors file; the same model gives the same bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
        let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        for (k, network) in self.networks.iter().enumerate() {
            for ((name, shape), values) in PARTS.iter().zip(network.parts()) {
                tensors.insert(format!("{k}.{name}"), (shape.to_vec(), bytes(&values)));
            }
        }
        let calibration: Vec<f32> =
            self.calibration.iter().flat_map(|c| [c.low as f32, c.high as f32]).collect();
        tensors.insert("calibration".to_owned(), (vec![Situation::ALL.len(), 2], bytes(&calibration)));
        let views = tensors.iter().map(|(name, (shape, bytes))| {
            let view =
                TensorView::new(Dtype::F32, shape.clone(), bytes).expect("the shape is that of the values");
            (name.as_str(), view)
        });
        let about = HashMap::from([("fsched-mlp".to_owned(), Self::VERSION.to_owned())]);
        serialize(views, Some(about)).expect("tensors of plain numbers can be written")
    }

    /// Reads and checks a model: version, shapes, finite numbers, and nothing else in it.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, ModelError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(ModelError::TooLarge);
        }
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let found = header.metadata().as_ref().and_then(|about| about.get("fsched-mlp"));
        if found.map(String::as_str) != Some(Self::VERSION) {
            let found = found.map_or_else(|| "not given".to_owned(), |v| v.chars().take(40).collect());
            return Err(ModelError::Version { found });
        }
        let file = SafeTensors::deserialize(bytes)?;
        let mut used = 1;
        let numbers = |name: &str, shape: &[usize]| -> Result<Vec<f32>, ModelError> {
            let wrong = || ModelError::Shape(name.to_owned());
            let tensor = file.tensor(name).map_err(|_| wrong())?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
                return Err(wrong());
            }
            let values: Vec<f32> =
                tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            let sound = |v: &f32| v.is_finite() && v.abs() <= Self::LARGEST;
            if values.iter().all(sound) { Ok(values) } else { Err(ModelError::Number(name.to_owned())) }
        };
        let mut networks = Vec::new();
        for k in 0..Self::MAX_NETWORKS {
            let name = |part: &str| format!("{k}.{part}");
            if k > 0 && file.tensor(&name("first")).is_err() {
                break;
            }
            used += PARTS.len();
            let mut parts = [const { Vec::new() }; PARTS.len()];
            for (part, (of, shape)) in parts.iter_mut().zip(PARTS) {
                *part = numbers(&name(of), shape)?;
            }
            networks.push(Network::of_parts(&parts));
        }
        let pairs = numbers("calibration", &[Situation::ALL.len(), 2])?;
        if let Some(name) = file.names().into_iter().find(|_| file.len() != used) {
            return Err(ModelError::Unexpected(format!("one of {} tensors, perhaps {name:?},", file.len())));
        }
        if pairs.iter().any(|&v| v < 0.0) {
            return Err(ModelError::Number("calibration".to_owned()));
        }
        let calibration = std::array::from_fn(|i| Calibration {
            low: f64::from(pairs[2 * i]),
            high: f64::from(pairs[2 * i + 1]),
        });
        Ok(Self { networks, calibration })
    }
}
