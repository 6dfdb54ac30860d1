//! The kernel, and whether it was built with resctrl.

use std::fs;
use std::path::Path;

/// Configuration options that bring resctrl: on x86, on Arm, and on either since 6.16.
const RESCTRL: [&str; 3] = ["CONFIG_X86_CPU_RESCTRL", "CONFIG_ARM64_MPAM", "CONFIG_RESCTRL_FS"];

/// The kernel that runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kernel {
    /// Its release, as `uname -r` says it.
    pub release: String,
    /// Whether it was built with resctrl; `None` where its configuration does not lie in `/boot`.
    pub has_resctrl: Option<bool>,
}

impl Kernel {
    /// Looks below `root`, usually `/`.
    pub fn look(root: &Path) -> Self {
        let release = fs::read_to_string(root.join("proc/sys/kernel/osrelease")).unwrap_or_default();
        let release = release.trim().to_owned();
        let config = fs::read_to_string(root.join("boot").join(format!("config-{release}")));
        Self { has_resctrl: config.ok().map(|config| built_with_resctrl(&config)), release }
    }
}

fn built_with_resctrl(config: &str) -> bool {
    config.lines().filter_map(|line| line.trim().strip_suffix("=y")).any(|option| RESCTRL.contains(&option))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_configuration_in_boot_says_how_the_kernel_was_built() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Kernel::look(root.path()), Kernel::default());
        fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        fs::create_dir_all(root.path().join("boot")).unwrap();
        fs::write(root.path().join("proc/sys/kernel/osrelease"), "6.1.0-x\n").unwrap();
        assert_eq!(Kernel::look(root.path()).has_resctrl, None);
        let config = root.path().join("boot/config-6.1.0-x");
        fs::write(&config, "# CONFIG_X86_CPU_RESCTRL is not set\nCONFIG_PROC_CPU_RESCTRL=y\n").unwrap();
        let kernel = Kernel { release: "6.1.0-x".to_owned(), has_resctrl: Some(false) };
        assert_eq!(Kernel::look(root.path()), kernel);
        fs::write(&config, "CONFIG_X86_CPU_RESCTRL=y\n").unwrap();
        assert_eq!(Kernel::look(root.path()).has_resctrl, Some(true));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(?s).*") {
            let _ = built_with_resctrl(&text);
        }
    }
}
