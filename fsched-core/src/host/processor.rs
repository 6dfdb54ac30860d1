//! The processor as the kernel shows it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The processor as the kernel shows it. Empty where it does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Processor {
    /// `GenuineIntel`, `AuthenticAMD`, ...
    pub vendor: String,
    /// The name of the model.
    pub model: String,
    /// Features, as the kernel names them: `cat_l3`, `cdp_l3`, `mba`, `cqm_llc`, `hypervisor`, ...
    pub features: BTreeSet<String>,
}

impl Processor {
    /// Looks below `root`, usually `/`.
    pub fn look(root: &Path) -> Self {
        Self::parse(&fs::read_to_string(root.join("proc/cpuinfo")).unwrap_or_default())
    }

    /// Whether the kernel runs in a virtual machine, as far as the processor says so.
    pub fn is_virtual(&self) -> bool {
        self.features.contains("hypervisor")
    }

    /// Reads the first processor of `/proc/cpuinfo`.
    fn parse(text: &str) -> Self {
        let first = text.split("\n\n").next().unwrap_or_default();
        let value = |names: &[&str]| {
            let found = first.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                names.contains(&name.trim()).then(|| value.trim().to_owned())
            });
            found.unwrap_or_default()
        };
        Self {
            vendor: value(&["vendor_id", "CPU implementer"]),
            model: value(&["model name", "CPU part"]),
            features: value(&["flags", "Features"]).split_whitespace().map(str::to_owned).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_processor_is_described() {
        let text = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 7763: x\nflags\t\t: fpu cat_l3 hypervisor\n\n\
                    processor\t: 1\nvendor_id\t: GenuineIntel\n";
        let processor = Processor::parse(text);
        assert_eq!(
            (processor.vendor.as_str(), processor.model.as_str()),
            ("AuthenticAMD", "AMD EPYC 7763: x")
        );
        assert!(processor.is_virtual() && processor.features.contains("cat_l3"));
        assert!(!Processor::default().is_virtual());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(?s).*") {
            let _ = Processor::parse(&text);
        }

        #[test]
        fn features_come_back(features in proptest::collection::btree_set("[a-z0-9_]{1,8}", 0..9)) {
            let line: Vec<&str> = features.iter().map(String::as_str).collect();
            let processor = Processor::parse(&format!("processor : 0\nflags : {}\n", line.join(" ")));
            prop_assert_eq!(processor.features, features);
        }
    }
}
