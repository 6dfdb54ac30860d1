//! What a worker says of itself, and how it registers.

use std::collections::BTreeSet;

use fsched_core::allocator::ClassUse;
use fsched_core::cache::{Bytes, CacheDomain, Ways};
use fsched_core::cluster::{DomainStatus, Heartbeat, PROTOCOL_VERSION};
use fsched_core::id::{AttemptId, WorkerId, WorkerKey};
use serde::{Deserialize, Serialize};

use super::check::{self, WireError};

/// The body of a 200 to `GET /worker/heartbeat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatBody {
    /// Which version of this body it is.
    pub protocol: u32,
    /// Who it is.
    pub key: WorkerKey,
    /// Which program it runs, for people.
    pub version: String,
    /// Whether masks are enforced.
    pub enforced: bool,
    /// Memory it gives to functions, bytes.
    pub memory: Bytes,
    /// Memory not promised to running functions, bytes.
    pub free_memory: Bytes,
    /// The machine's memory, bytes.
    pub total_ram: Bytes,
    /// The machine's free memory, bytes.
    pub free_ram: Bytes,
    /// The machine's swap space, bytes.
    pub total_swap: Bytes,
    /// The machine's free swap space, bytes.
    pub free_swap: Bytes,
    /// Its cache domains.
    pub domains: Vec<DomainBody>,
    /// What its classes use, where its machine monitors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassUse>,
    /// Control groups of others that can fill ways which functions have exclusively there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intruders: Vec<String>,
    /// What runs there.
    pub running: Vec<AttemptId>,
    /// Whether it takes no new orders.
    pub stopping: bool,
}

/// One cache domain in a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainBody {
    /// Its number, its CPUs and its shape.
    #[serde(flatten)]
    pub domain: CacheDomain,
    /// CPUs for functions.
    pub cores: u16,
    /// CPUs that no running function holds.
    pub free_cores: u16,
    /// Ways held exclusively.
    pub exclusive_ways: u8,
    /// Ways that no lease covers.
    pub free_ways: u8,
    /// Ways of the largest exclusive lease that could be had now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_exclusive: Option<Ways>,
}

/// The body of `POST /cluster/register`, which workers send to masters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterBody {
    /// Which version of this body it is.
    pub protocol: u32,
    /// Where the worker listens, `http://host:port`; without a host, where the request comes from.
    pub address: String,
    /// How it is.
    pub heartbeat: HeartbeatBody,
}

/// The body of a 200 to `POST /cluster/register`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegisteredBody {
    /// The worker's id with this master.
    pub id: WorkerId,
    /// How often the master will ask how the worker is, seconds.
    pub heartbeat_secs: f64,
}

/// The longest version text.
const MAX_VERSION: usize = 128;
/// The most cache domains of one machine.
const MAX_DOMAINS: usize = 1024;
/// The most classes of one machine, in all domains.
const MAX_CLASSES: usize = 1 << 16;
/// The most control groups of others that are told of, and the longest name of one, bytes.
const MAX_INTRUDERS: usize = 64;
const MAX_GROUP_NAME: usize = 255;
/// The most CPUs of one machine.
const MAX_CPUS: usize = 1 << 16;
/// The most attempts that can run at once.
const MAX_RUNNING: usize = 1 << 16;

impl From<Heartbeat> for HeartbeatBody {
    fn from(heartbeat: Heartbeat) -> Self {
        Self {
            protocol: PROTOCOL_VERSION,
            key: heartbeat.key,
            version: heartbeat.version,
            enforced: heartbeat.enforced,
            memory: heartbeat.memory,
            free_memory: heartbeat.free_memory,
            total_ram: heartbeat.total_ram,
            free_ram: heartbeat.free_ram,
            total_swap: heartbeat.total_swap,
            free_swap: heartbeat.free_swap,
            domains: heartbeat.domains.into_iter().map(DomainBody::from).collect(),
            classes: heartbeat.classes,
            intruders: heartbeat.intruders.iter().take(MAX_INTRUDERS).map(|name| shown(name)).collect(),
            running: heartbeat.running,
            stopping: heartbeat.stopping,
        }
    }
}

impl TryFrom<HeartbeatBody> for Heartbeat {
    type Error = WireError;

    fn try_from(body: HeartbeatBody) -> Result<Self, WireError> {
        check::version(body.protocol)?;
        check::plain_text("version", &body.version, MAX_VERSION)?;
        check::at_most("free_memory", body.free_memory, body.memory)?;
        check::at_most("running", body.running.len(), MAX_RUNNING)?;
        check::at_most("classes", body.classes.len(), MAX_CLASSES)?;
        check::at_most("intruders", body.intruders.len(), MAX_INTRUDERS)?;
        for name in &body.intruders {
            check::plain_text("intruders", name, MAX_GROUP_NAME)?;
        }
        check::at_most("domains", body.domains.len(), MAX_DOMAINS)?;
        check::at_most("cpus", body.domains.iter().map(|d| d.domain.cpus.len()).sum(), MAX_CPUS)?;
        if body.domains.is_empty() {
            return Err(WireError::value("domains", "a worker has at least one"));
        }
        let ids: BTreeSet<_> = body.domains.iter().map(|d| d.domain.id).collect();
        if ids.len() != body.domains.len() {
            return Err(WireError::value("domains", "two have the same id"));
        }
        let domains = body.domains.into_iter().map(DomainStatus::try_from).collect::<Result<_, _>>()?;
        Ok(Self {
            key: body.key,
            version: body.version,
            enforced: body.enforced,
            memory: body.memory,
            free_memory: body.free_memory,
            total_ram: body.total_ram,
            free_ram: body.free_ram,
            total_swap: body.total_swap,
            free_swap: body.free_swap,
            domains,
            classes: body.classes,
            intruders: body.intruders,
            running: body.running,
            stopping: body.stopping,
        })
    }
}

/// A name as it may be sent: others may call their groups what they like.
fn shown(name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_control() { '?' } else { c });
    plain.take(MAX_GROUP_NAME / 4).collect()
}

impl From<DomainStatus> for DomainBody {
    fn from(status: DomainStatus) -> Self {
        Self {
            domain: status.domain,
            cores: status.cores,
            free_cores: status.free_cores,
            exclusive_ways: status.exclusive_ways,
            free_ways: status.free_ways,
            largest_exclusive: status.largest_exclusive,
        }
    }
}

impl TryFrom<DomainBody> for DomainStatus {
    type Error = WireError;

    fn try_from(body: DomainBody) -> Result<Self, WireError> {
        let geometry = &body.domain.geometry;
        geometry.validate().map_err(|e| WireError::value("geometry", e))?;
        let ways = geometry.ways.get();
        check::at_most("free_cores", body.free_cores, body.cores)?;
        check::at_most("exclusive_ways", body.exclusive_ways, ways)?;
        check::at_most("free_ways", body.free_ways, ways)?;
        check::at_most("largest_exclusive", body.largest_exclusive.map_or(0, Ways::get), ways)?;
        Ok(Self {
            domain: body.domain,
            cores: body.cores,
            free_cores: body.free_cores,
            exclusive_ways: body.exclusive_ways,
            free_ways: body.free_ways,
            largest_exclusive: body.largest_exclusive,
        })
    }
}

impl TryFrom<RegisterBody> for (String, Heartbeat) {
    type Error = WireError;

    fn try_from(body: RegisterBody) -> Result<Self, WireError> {
        check::version(body.protocol)?;
        Ok((body.address, body.heartbeat.try_into()?))
    }
}
