//! What was found on a machine.

use std::fs;
use std::path::Path;

use fsched_core::host::resctrl::{Filesystem, Groups, Offer};
use fsched_core::host::{Claims, Confinement, Kernel, Processor, Rights};
use fsched_core::launcher::Enforcement;
use fsched_http::machine::{self, Topology};

/// What was found on a machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The architecture we were compiled for.
    pub architecture: &'static str,
    /// The kernel that runs.
    pub kernel: Kernel,
    /// The processor as the kernel shows it.
    pub processor: Processor,
    /// What CPUID says, where there is CPUID.
    pub claims: Option<Claims>,
    /// The L3 caches and their CPUs.
    pub topology: Topology,
    /// Whether resctrl is there, and mounted.
    pub filesystem: Filesystem,
    /// What it offers; why that cannot be said; `None` where it is not mounted.
    pub offer: Option<Result<Offer, String>>,
    /// The control groups that there are; none where it is not mounted.
    pub groups: Groups,
    /// Who we are.
    pub rights: Rights,
    /// How limits on functions are enforced.
    pub limits: Enforcement,
    /// What the kernel has to confine functions.
    pub confinement: Confinement,
    /// The security modules that are on, as the kernel lists them; empty where it does not say.
    pub security_modules: String,
}

impl Facts {
    /// Looks at the system below `root`, usually `/`.
    pub fn look(root: &Path) -> Self {
        let filesystem = Filesystem::look(root);
        let mount =
            filesystem.mount().map(|mount| root.join(mount.at.strip_prefix("/").unwrap_or(&mount.at)));
        let listed = mount.as_deref().map(Groups::list).transpose();
        let offer = mount.as_deref().map(|mount| {
            let offer = Offer::read(&|path| fs::read_to_string(mount.join(path)));
            offer.map_err(|error| error.to_string())
        });
        // A directory that cannot be listed is a reason too.
        let (groups, offer) = match listed {
            Ok(groups) => (groups.unwrap_or_default(), offer),
            Err(error) => (Groups::default(), Some(Err(format!("cannot list its groups: {error}")))),
        };
        let modules = fs::read_to_string(root.join("sys/kernel/security/lsm")).unwrap_or_default();
        Self {
            architecture: std::env::consts::ARCH,
            kernel: Kernel::look(root),
            processor: Processor::look(root),
            claims: Claims::here(),
            topology: machine::topology(Path::new(machine::SYSFS_CPUS), &machine::allowed_cpus()),
            rights: Rights::look(root, filesystem.mount()),
            filesystem,
            offer,
            groups,
            limits: Enforcement::here(),
            confinement: Confinement::look(root),
            security_modules: modules.trim().to_owned(),
        }
    }

    /// What resctrl offers, where that is known.
    pub fn offer(&self) -> Option<&Offer> {
        self.offer.as_ref().and_then(|offer| offer.as_ref().ok())
    }

    /// Whether the kernel or the processor says that the L3 can be divided; not to be asked on Arm, where neither does.
    pub fn can_divide(&self) -> bool {
        let kernel = self.processor.features.contains("cat_l3");
        kernel || self.claims.as_ref().is_some_and(|claims| claims.l3.is_some())
    }
}
