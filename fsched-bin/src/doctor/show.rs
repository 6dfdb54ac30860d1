//! Facts and diagnosis as text for people.

use fsched_core::host::resctrl::{CacheOffer, Filesystem};
use fsched_core::host::{Claims, Landlock};
use fsched_http::machine::write_cpu_list;

use super::{Diagnosis, Facts, Verdict};

/// How wide names are in front of what is said of them.
const NAMES: usize = 12;

/// The whole report.
pub(super) fn report(facts: &Facts, diagnosis: &Diagnosis) -> String {
    let mut text = String::from("This machine\n");
    let mut line = |name: &str, says: &str| text.push_str(&format!("  {name:NAMES$} {says}\n"));
    for (name, says) in machine(facts) {
        line(name, &says);
    }
    text.push_str("\nWhat fsched does with it\n");
    for sentence in &diagnosis.plan {
        text.push_str(&format!("  - {sentence}\n"));
    }
    if !diagnosis.notes.is_empty() {
        text.push_str("\nTo be noted\n");
        for sentence in &diagnosis.notes {
            text.push_str(&format!("  - {sentence}\n"));
        }
    }
    if !diagnosis.cures.is_empty() {
        text.push_str("\nMissing\n");
        for cure in &diagnosis.cures {
            text.push_str(&format!("  - {}\n", cure.missing));
            match &cure.command {
                Some(command) => text.push_str(&format!("      {command}\n")),
                None => text.push_str("      no command brings it\n"),
            }
        }
    }
    text + "\n" + &conclusion(&diagnosis.verdict) + "\n"
}

fn conclusion(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Enforced => "Masks will be enforced.".to_owned(),
        Verdict::NotYet(why) => {
            format!("Masks will not be enforced: {why}. See above for what would change that.")
        }
        Verdict::NotHere(why) => format!("Masks will not be enforced: {why}."),
    }
}

fn machine(facts: &Facts) -> Vec<(&'static str, String)> {
    let processor = &facts.processor;
    let unknown = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    let place = if processor.is_virtual() { ", in a virtual machine" } else { "" };
    let mut lines = vec![
        ("processor", format!("{} ({}){place}", unknown(&processor.model), unknown(&processor.vendor))),
        ("kernel", format!("Linux {} on {}", unknown(&facts.kernel.release), facts.architecture)),
    ];
    for domain in &facts.topology.domains {
        let cpus = write_cpu_list(&domain.cpus);
        let geometry = &domain.geometry;
        lines.push((
            "L3",
            format!("{}: {}, {} ways in hardware, CPUs {cpus}", domain.id, geometry.size, geometry.ways),
        ));
    }
    lines.push(("resctrl", filesystem(&facts.filesystem)));
    match &facts.offer {
        Some(Ok(offer)) => {
            lines.push(("  L3", offer.cache.as_ref().map_or_else(|| "not to be divided".to_owned(), cache)));
            let bandwidth = offer.bandwidth.map(|found| {
                format!("{} classes, from {} % in steps of {} %", found.classes, found.least, found.step)
            });
            lines.push(("  bandwidth", bandwidth.unwrap_or_else(|| "not to be divided".to_owned())));
            let monitoring = offer.monitoring.as_ref().map(|found| {
                let events =
                    if found.events.is_empty() { "nothing".to_owned() } else { found.events.join(", ") };
                format!("{events}; {} groups at once", found.groups)
            });
            lines.push(("  monitoring", monitoring.unwrap_or_else(|| "none".to_owned())));
            let groups = &facts.groups;
            lines.push((
                "  classes",
                format!(
                    "{} beside the default one; {} held by others, {} by workers of fsched",
                    offer.usable_classes(),
                    groups.foreign.len(),
                    groups.ours.len()
                ),
            ));
        }
        Some(Err(why)) => lines.push(("  problem", why.clone())),
        None => {}
    }
    lines
        .push(("CPUID", facts.claims.as_ref().map_or_else(|| "not on this architecture".to_owned(), claims)));
    let rights = &facts.rights;
    let may = |may: bool| if may { "may" } else { "may not" };
    lines.push((
        "rights",
        format!("user {}; {} mount, {} divide caches", rights.user, may(rights.mounts), may(rights.divides)),
    ));
    lines.push(("cgroups", cgroups(facts)));
    lines.push(("landlock", landlock(&facts.confinement.landlock)));
    lines.push(("seccomp", if facts.confinement.seccomp { "filters" } else { "none" }.to_owned()));
    lines
}

fn filesystem(filesystem: &Filesystem) -> String {
    match filesystem {
        Filesystem::Absent => "none".to_owned(),
        Filesystem::Unmounted => "not mounted".to_owned(),
        Filesystem::Mounted(mount) => {
            let options = if mount.options.is_empty() {
                String::new()
            } else {
                format!(" ({})", mount.options.join(","))
            };
            let only = if mount.read_only { ", read-only" } else { "" };
            format!("mounted at {}{options}{only}", mount.at.display())
        }
    }
}

fn cache(cache: &CacheOffer) -> String {
    let rule = if cache.contiguous { "neighbours" } else { "any" };
    let io = if cache.shareable == 0 { String::new() } else { format!(", I/O fills {:x}", cache.shareable) };
    let apart = if cache.code_and_data { "on" } else { "off" };
    format!(
        "mask {} ({} ways), at least {} of them, {rule}{io}; {} classes; code and data apart (CDP): {apart}",
        cache.all,
        cache.all.ways(),
        cache.min_bits,
        cache.classes,
    )
}

fn claims(claims: &Claims) -> String {
    let cache = |name: &str, found: &fsched_core::host::CacheClaim| {
        let apart = if found.code_and_data { ", CDP" } else { "" };
        format!("{name}: {} ways, {} classes{apart}", found.ways, found.classes)
    };
    let mut parts = Vec::new();
    parts.extend(claims.l3.as_ref().map(|found| cache("L3", found)));
    parts.extend(claims.l2.as_ref().map(|found| cache("L2", found)));
    parts.extend(claims.bandwidth.map(|found| format!("bandwidth: {} classes", found.classes)));
    parts.extend(claims.monitoring.map(|found| format!("monitoring: {} groups", found.groups)));
    if parts.is_empty() { "no division, no monitoring".to_owned() } else { parts.join("; ") }
}

fn cgroups(facts: &Facts) -> String {
    let cgroups = &facts.confinement.cgroups;
    let list = |names: &std::collections::BTreeSet<String>| {
        if names.is_empty() {
            "no controllers".to_owned()
        } else {
            names.iter().cloned().collect::<Vec<_>>().join(",")
        }
    };
    let mut parts = Vec::new();
    if !cgroups.version1.is_empty() {
        parts.push(format!("version 1: {}", list(&cgroups.version1)));
    }
    parts.extend(cgroups.version2.as_ref().map(|names| format!("version 2: {}", list(names))));
    if parts.is_empty() { "none mounted".to_owned() } else { parts.join("; ") }
}

fn landlock(landlock: &Landlock) -> String {
    match landlock {
        Landlock::Version(version) => format!("version {version}"),
        Landlock::Off => "built in, not switched on".to_owned(),
        Landlock::Absent => "none".to_owned(),
    }
}
