//! Reports on machines that are made up; on real kernels `tests/system/kernel/doctor.rs` holds them.

use std::path::PathBuf;

use fsched_core::cache::{Bytes, CacheDomain, CpuId, DomainId, WayMask, Ways};
use fsched_core::host::resctrl::{BandwidthOffer, CacheOffer, Filesystem, Groups, MonitoringOffer, Offer};
use fsched_core::host::{
    BandwidthClaim, CacheClaim, Cgroups, Claims, Confinement, Kernel, Landlock, Mount, Processor, Rights,
};
use fsched_core::launcher::{Enforcement, Means};
use fsched_http::machine::Topology;

use super::{Diagnosis, Facts, Verdict, json, show};

/// Two sockets of Intel's with everything, resctrl mounted, and root looking.
fn intel() -> Facts {
    let domain = |id: u16| {
        let mut domain = CacheDomain::nominal(0, Ways::new(11).unwrap(), Bytes::kib(1408));
        domain.id = DomainId(id);
        domain.cpus = [4 * id, 4 * id + 1, 4 * id + 2, 4 * id + 3].map(CpuId).to_vec();
        domain
    };
    Facts {
        architecture: "x86_64",
        kernel: Kernel { release: "6.1.0-56-amd64".to_owned(), has_resctrl: Some(true) },
        processor: Processor {
            vendor: "GenuineIntel".to_owned(),
            model: "Intel(R) Xeon(R) Gold 6142 CPU @ 2.60GHz".to_owned(),
            features: ["cat_l3", "cdp_l3", "mba", "cqm_llc", "cqm_occup_llc"].map(str::to_owned).into(),
        },
        claims: Some(Claims {
            l3: Some(CacheClaim { ways: 11, classes: 16, shareable: 0x600, code_and_data: true }),
            l2: None,
            bandwidth: Some(BandwidthClaim { classes: 8 }),
            monitoring: Some(fsched_core::host::MonitoringClaim {
                groups: 144,
                occupancy: true,
                bandwidth: true,
            }),
        }),
        topology: Topology { domains: vec![domain(0), domain(1)], notes: Vec::new() },
        filesystem: Filesystem::Mounted(Mount {
            at: PathBuf::from("/sys/fs/resctrl"),
            kind: "resctrl".to_owned(),
            read_only: false,
            options: vec!["rw".to_owned()],
        }),
        offer: Some(Ok(Offer {
            cache: Some(CacheOffer {
                all: WayMask::new(0x7ff).unwrap(),
                min_bits: 1,
                shareable: 0x600,
                contiguous: true,
                code_and_data: false,
                classes: 16,
            }),
            bandwidth: Some(BandwidthOffer { least: 10, step: 10, classes: 8 }),
            monitoring: Some(MonitoringOffer {
                groups: 144,
                events: ["llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"].map(str::to_owned).into(),
            }),
            classes: 8,
        })),
        groups: Groups::default(),
        rights: Rights { user: 0, mounts: true, divides: true },
        limits: Enforcement { memory: Means::CgroupV2, processes: Means::CgroupV2 },
        confinement: Confinement {
            cgroups: Cgroups {
                version1: Default::default(),
                version2: Some(["cpu", "memory", "pids"].map(str::to_owned).into()),
            },
            landlock: Landlock::Version(3),
            seccomp: true,
        },
        security_modules: "lockdown,capability,landlock,yama".to_owned(),
    }
}

/// A virtual machine without any of it.
fn without() -> Facts {
    let mut facts = intel();
    facts.processor.features = ["hypervisor".to_owned()].into();
    facts.claims = Some(Claims::default());
    facts.filesystem = Filesystem::Absent;
    facts.offer = None;
    facts.rights.divides = false;
    facts
}

fn unmounted() -> Facts {
    Facts {
        filesystem: Filesystem::Unmounted,
        offer: None,
        rights: Rights { user: 0, mounts: true, divides: false },
        ..intel()
    }
}

fn offer(facts: &mut Facts) -> &mut Offer {
    facts.offer.as_mut().unwrap().as_mut().unwrap()
}

/// The first command that is shown, and the exit code.
fn cure(facts: &Facts) -> (Option<String>, u8) {
    let diagnosis = Diagnosis::of(facts);
    let command = diagnosis.cures.first().and_then(|cure| cure.command.clone());
    (command, diagnosis.verdict.exit_code())
}

#[test]
fn a_machine_with_everything_is_reported_like_this() {
    let facts = intel();
    assert_eq!(show::report(&facts, &Diagnosis::of(&facts)), include_str!("golden/everything.txt"));
}

#[test]
fn a_machine_without_anything_is_reported_like_this() {
    let facts = without();
    assert_eq!(show::report(&facts, &Diagnosis::of(&facts)), include_str!("golden/nothing.txt"));
}

#[test]
fn a_machine_that_lacks_a_mount_is_reported_like_this() {
    let mut facts = unmounted();
    facts.rights = Rights { user: 1000, mounts: false, divides: false };
    facts.limits = Enforcement { memory: Means::Rlimit, processes: Means::Rlimit };
    facts.confinement.landlock = Landlock::Off;
    facts.security_modules = "lockdown,yama".to_owned();
    assert_eq!(show::report(&facts, &Diagnosis::of(&facts)), include_str!("golden/unmounted.txt"));
}

#[test]
fn programs_are_told_the_same() {
    let facts = intel();
    assert_eq!(json::report(&facts, &Diagnosis::of(&facts)), include_str!("golden/everything.json"));
}

#[test]
fn nothing_is_missing_where_everything_is_there() {
    assert_eq!(cure(&intel()), (None, 0));
    assert_eq!(Diagnosis::of(&intel()).notes, Vec::<String>::new());
}

#[test]
fn what_is_not_mounted_is_to_be_mounted() {
    assert_eq!(cure(&unmounted()), (Some("mount -t resctrl resctrl /sys/fs/resctrl".to_owned()), 4));
}

#[test]
fn what_is_mounted_read_only_is_to_be_mounted_for_writing() {
    let mut facts = intel();
    let Filesystem::Mounted(mount) = &mut facts.filesystem else { panic!() };
    mount.read_only = true;
    assert_eq!(cure(&facts), (Some("mount -o remount,rw /sys/fs/resctrl".to_owned()), 4));
}

#[test]
fn whoever_may_not_write_is_told_to_become_root() {
    let rights = Rights { user: 1000, mounts: false, divides: false };
    assert_eq!(cure(&Facts { rights, ..intel() }), (Some("sudo fsched worker".to_owned()), 4));
    let command = "sudo mount -t resctrl resctrl /sys/fs/resctrl".to_owned();
    assert_eq!(cure(&Facts { rights, ..unmounted() }), (Some(command), 4));
}

#[test]
fn classes_that_others_hold_are_not_ours() {
    let mut facts = intel();
    facts.groups.foreign = (1..=3).map(|number| format!("COS{number}")).collect();
    let diagnosis = Diagnosis::of(&facts);
    assert_eq!(diagnosis.verdict, Verdict::Enforced);
    assert!(diagnosis.plan[0].ends_with("in up to 4 classes"), "{:?}", diagnosis.plan);
    assert!(diagnosis.notes[0].contains("COS1, COS2, COS3"), "{:?}", diagnosis.notes);
    facts.groups.foreign = (1..=7).map(|number| format!("COS{number}")).collect();
    assert_eq!(cure(&facts), (Some("rmdir '/sys/fs/resctrl/COS1'".to_owned()), 4));
}

#[test]
fn groups_that_reach_into_exclusive_ways_are_named() {
    let mut facts = intel();
    facts.groups.foreign = vec!["COS1".to_owned(), "COS2".to_owned()];
    facts.groups.intruders = vec!["COS2".to_owned()];
    let note = Diagnosis::of(&facts).notes.pop().unwrap();
    assert!(note.contains("exclusively") && note.ends_with(": COS2"), "{note}");
}

#[test]
fn classes_of_other_workers_are_counted() {
    let mut facts = intel();
    facts.groups.foreign = vec!["COS1".to_owned()];
    facts.groups.ours = ["ab.1", "ab.2", "cd.1"].map(|name| format!("fsched-{name}")).to_vec();
    let diagnosis = Diagnosis::of(&facts);
    assert_eq!(diagnosis.verdict, Verdict::Enforced, "each goes on with its own");
    assert!(diagnosis.plan[0].ends_with("in up to 6 classes"), "{:?}", diagnosis.plan);
    let note = diagnosis.notes.last().unwrap();
    assert!(note.contains("ab (2), cd (1)") && note.contains("for another worker 3 are left"), "{note}");
}

#[test]
fn what_the_processor_has_and_the_kernel_has_not_is_for_the_kernel_to_learn() {
    let mut facts = Facts { filesystem: Filesystem::Absent, offer: None, ..intel() };
    let (command, code) = cure(&facts);
    assert!(command.is_some_and(|command| command.contains("rdt=l3cat") && command.contains("reboot")));
    assert_eq!(code, 4);
    facts.kernel.has_resctrl = Some(false);
    let (command, code) = cure(&facts);
    assert_eq!((command.as_deref(), code), (Some("apt-get install linux-image-amd64"), 4));
}

#[test]
fn a_machine_that_only_monitors_cannot_enforce() {
    let mut facts = intel();
    offer(&mut facts).cache = None;
    assert_eq!(cure(&facts), (None, 5));
    let mut facts = unmounted();
    facts.processor.features.remove("cat_l3");
    facts.claims = Some(Claims::default());
    assert_eq!(Diagnosis::of(&facts).verdict.exit_code(), 5);
}

#[test]
fn on_arm_where_no_feature_tells_a_mount_is_worth_a_try() {
    let mut facts = Facts { architecture: "aarch64", claims: None, ..unmounted() };
    facts.processor.features.clear();
    assert_eq!(cure(&facts).1, 4);
}

#[test]
fn what_cannot_be_read_is_a_reason() {
    let facts = Facts { offer: Some(Err("info/L3/cbm_mask holds \"zz\"".to_owned())), ..intel() };
    let diagnosis = Diagnosis::of(&facts);
    assert!(matches!(&diagnosis.verdict, Verdict::NotHere(why) if why.contains("zz")), "{diagnosis:?}");
}

#[test]
fn where_cpuid_and_kernel_disagree_the_kernel_is_believed_and_it_is_said() {
    let facts = Facts { claims: Some(Claims::default()), ..intel() };
    let diagnosis = Diagnosis::of(&facts);
    assert_eq!(diagnosis.verdict, Verdict::Enforced);
    assert_eq!(diagnosis.notes.len(), 3, "{:?}", diagnosis.notes);
    assert!(diagnosis.notes[0].contains("CPUID says none, the kernel 11 ways and 16 classes"));
    let diagnosis = Diagnosis::of(&Facts { claims: Some(Claims::default()), ..unmounted() });
    assert_eq!(diagnosis.notes.len(), 3, "{:?}", diagnosis.notes);
}

#[test]
fn code_and_data_apart_is_no_disagreement() {
    let mut facts = intel();
    let cache = offer(&mut facts).cache.as_mut().unwrap();
    (cache.code_and_data, cache.classes) = (true, 8);
    assert_eq!(Diagnosis::of(&facts).notes, Vec::<String>::new());
}
