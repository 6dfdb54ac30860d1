//! The master against a world that does its effects by hand.
//!
//! | file | what |
//! | --- | --- |
//! | `world.rs` | that world, with the simplest predictor and scheduler |
//! | `invocations.rs`, `files.rs`, `workers.rs`, `benchmarks.rs` | one story after another |
//! | `lives.rs` | random clusters |
//! | `crowd.rs`, `starvation.rs` | ten thousand workers; whoever fits, runs |

mod benchmarks;
mod crowd;
mod files;
mod invocations;
mod lives;
mod starvation;
mod workers;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::cache::{Bytes, CacheDomain, CacheGeometry, ClosId, CpuId, DomainId, WayMask, Ways};
use crate::cluster::{DomainStatus, Heartbeat, Liveness};
use crate::curve::{Curve, Provenance};
use crate::function::{Isolation, Needs};
use crate::id::WorkerKey;
use crate::invocation::{CacheGot, Ending, LostReason, Output, Report};
use crate::predictor::Bench;
use crate::sample::{Sample, Segment};
use crate::scheduler::{PlaceError, Placement, Request, WaysFor};
use crate::transport::{Address, Refusal, TransportError};

use world::*;
