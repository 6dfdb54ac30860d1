//! Facts and diagnosis as JSON for programs. Keys are added, never renamed.

use fsched_core::host::resctrl::Filesystem;
use fsched_core::host::{CacheClaim, Landlock};
use fsched_http::machine::write_cpu_list;
use serde_json::{Value, json};

use super::{Diagnosis, Facts, Verdict};

/// The whole report.
pub(super) fn report(facts: &Facts, diagnosis: &Diagnosis) -> String {
    let reason = match &diagnosis.verdict {
        Verdict::Enforced => Value::Null,
        Verdict::NotYet(why) | Verdict::NotHere(why) => json!(why),
    };
    let missing: Vec<Value> =
        diagnosis.cures.iter().map(|cure| json!({"what": cure.missing, "command": cure.command})).collect();
    let report = json!({
        "enforced": diagnosis.verdict == Verdict::Enforced,
        "reason": reason,
        "exit_code": diagnosis.verdict.exit_code(),
        "machine": machine(facts),
        "resctrl": resctrl(facts),
        "cpuid": cpuid(facts),
        "rights": {
            "user": facts.rights.user,
            "may_mount": facts.rights.mounts,
            "may_divide": facts.rights.divides,
        },
        "limits": {
            "memory": facts.limits.memory.to_string(),
            "processes": facts.limits.processes.to_string(),
        },
        "cgroups": {
            "version1": facts.confinement.cgroups.version1,
            "version2": facts.confinement.cgroups.version2,
        },
        "landlock": match facts.confinement.landlock {
            Landlock::Version(version) => json!(version),
            Landlock::Off => json!("off"),
            Landlock::Absent => Value::Null,
        },
        "seccomp": facts.confinement.seccomp,
        "plan": diagnosis.plan,
        "notes": diagnosis.notes,
        "missing": missing,
    });
    format!("{report:#}\n")
}

fn machine(facts: &Facts) -> Value {
    let domains = facts.topology.domains.iter().map(|domain| {
        json!({
            "id": domain.id,
            "cpus": write_cpu_list(&domain.cpus),
            "size": domain.geometry.size,
            "ways": domain.geometry.ways,
        })
    });
    json!({
        "architecture": facts.architecture,
        "kernel": facts.kernel.release,
        "vendor": facts.processor.vendor,
        "model": facts.processor.model,
        "virtual": facts.processor.is_virtual(),
        "domains": domains.collect::<Vec<_>>(),
    })
}

fn resctrl(facts: &Facts) -> Value {
    let mut report = match &facts.filesystem {
        Filesystem::Absent => json!({"state": "absent"}),
        Filesystem::Unmounted => json!({"state": "unmounted"}),
        Filesystem::Mounted(mount) => json!({
            "state": "mounted",
            "at": mount.at,
            "read_only": mount.read_only,
            "options": mount.options,
            "groups": {"foreign": facts.groups.foreign, "ours": facts.groups.ours, "intruders": facts.groups.intruders},
        }),
    };
    match &facts.offer {
        Some(Ok(offer)) => {
            report["classes"] = json!(offer.usable_classes());
            report["l3"] = json!(offer.cache.map(|cache| json!({
                "mask": cache.all,
                "ways": cache.all.ways(),
                "min_bits": cache.min_bits,
                "shareable": format!("{:x}", cache.shareable),
                "contiguous": cache.contiguous,
                "cdp": cache.code_and_data,
                "classes": cache.classes,
            })));
            report["bandwidth"] = json!(offer.bandwidth.map(|found| json!({
                "least": found.least,
                "step": found.step,
                "classes": found.classes,
            })));
            report["monitoring"] = json!(offer.monitoring.as_ref().map(|found| json!({
                "groups": found.groups,
                "events": found.events,
            })));
        }
        Some(Err(why)) => report["problem"] = json!(why),
        None => {}
    }
    report
}

fn cpuid(facts: &Facts) -> Value {
    let Some(claims) = &facts.claims else { return Value::Null };
    let cache = |found: CacheClaim| {
        json!({
            "ways": found.ways,
            "classes": found.classes,
            "shareable": format!("{:x}", found.shareable),
            "cdp": found.code_and_data,
        })
    };
    json!({
        "l3": claims.l3.map(cache),
        "l2": claims.l2.map(cache),
        "bandwidth": claims.bandwidth.map(|found| json!({"classes": found.classes})),
        "monitoring": claims.monitoring.map(|found| json!({
            "groups": found.groups,
            "occupancy": found.occupancy,
            "bandwidth": found.bandwidth,
        })),
    })
}
