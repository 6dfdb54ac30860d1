//! Limits on memory bandwidth, which are set where resctrl counts it in percent, and nowhere else touched.

use super::config::{OpenError, ResctrlConfig};
use super::fs::{ResctrlFs, Told};
use super::pool::PoolGroup;
use super::schemata::Schemata;
use crate::cache::CacheDomain;
use crate::host::resctrl::Offer;

/// Its line in `schemata`.
pub(super) const LINE: &str = "MB";

/// Whether limits can be set, in percent. AMD counts in eighths of GB/s, and with the mount option `mba_MBps` it is MB/s: 100 would be
/// a tight limit there. The numbers of groups that nobody limited tell, and of a worker's groups there are such.
///
/// # Errors
/// [`OpenError::Bandwidth`] where limits are wanted that cannot be set.
pub(super) fn check(
    fs: &dyn ResctrlFs,
    groups: &[PoolGroup],
    domains: &[CacheDomain],
    config: &ResctrlConfig,
    offer: &Offer,
) -> Result<bool, OpenError> {
    let in_percent = offer.bandwidth.is_some() && is_in_percent(fs, groups, domains)?;
    for (&class, &percent) in &config.bandwidth {
        let refuse = |reason: String| OpenError::Bandwidth { class, percent, reason };
        let Some(bandwidth) = offer.bandwidth else {
            return Err(refuse("this machine has no limits on memory bandwidth".to_owned()));
        };
        if !in_percent {
            return Err(refuse("resctrl does not count it in percent here".to_owned()));
        }
        if u32::from(percent) < bandwidth.least || percent > 100 {
            return Err(refuse(format!("it has to be {} to 100", bandwidth.least)));
        }
    }
    Ok(in_percent)
}

fn is_in_percent(
    fs: &dyn ResctrlFs,
    groups: &[PoolGroup],
    domains: &[CacheDomain],
) -> Result<bool, OpenError> {
    let told = Told(fs);
    let groups = groups.iter().map(|group| format!("{}/schemata", group.name));
    for path in groups.chain(["schemata".to_owned()]) {
        let schemata: Schemata = told.read(&path)?.parse()?;
        let mut limits = domains.iter().filter_map(|domain| schemata.get(LINE, domain.id));
        if limits.any(|limit| limit > 100) {
            return Ok(false);
        }
    }
    Ok(true)
}
