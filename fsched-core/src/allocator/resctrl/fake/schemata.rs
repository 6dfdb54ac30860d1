//! Schemata as the kernel reads, checks and shows them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use super::{State, errno};
use crate::cache::DomainId;

/// What is staged until all lines are read.
type Staged = BTreeMap<(&'static str, DomainId), u32>;

const MB: &str = "MB";

impl State {
    /// The lines of caches, in the order in which they are shown.
    pub(super) fn cache_lines(&self) -> &'static [&'static str] {
        match (self.machine.monitor_only, self.machine.cdp) {
            (true, _) => &[],
            (false, true) => &["L3DATA", "L3CODE"],
            (false, false) => &["L3"],
        }
    }

    pub(super) fn has_bandwidth(&self) -> bool {
        self.machine.bandwidth.is_some() && !self.machine.monitor_only
    }

    /// The bandwidth of a group that nobody limits.
    pub(super) fn whole_bandwidth(&self) -> u32 {
        self.machine.bandwidth.map_or(0, |bandwidth| bandwidth.whole)
    }

    pub(super) fn show_schemata(&self, group: &str) -> String {
        let mut text = String::new();
        let width = match (self.machine.cdp_capable, self.has_bandwidth()) {
            (true, _) => 6,
            (false, _) => 2,
        };
        let values = &self.groups[group].values;
        let mut line = |name: &'static str, show: &dyn Fn(u32) -> String| {
            let domains = self.machine.domains.iter();
            let shown: Vec<String> = domains
                .map(|d| format!("{d}={}", show(values.get(&(name, *d)).copied().unwrap_or(0))))
                .collect();
            let _ = writeln!(text, "{name:>width$}:{}", shown.join(";"));
        };
        if self.has_bandwidth() {
            let width = self.whole_bandwidth().to_string().len();
            line(MB, &|value| format!("{value:width$}"));
        }
        let digits = self.machine.ways.div_ceil(4) as usize;
        for name in self.cache_lines() {
            line(name, &|value| format!("{value:0digits$x}"));
        }
        text
    }

    pub(super) fn write_schemata(&mut self, group: &str, text: &str) -> io::Result<()> {
        let text = text.strip_suffix('\n').ok_or_else(|| errno(libc::EINVAL))?;
        self.status.clear();
        let mut staged = Staged::new();
        for line in text.split('\n') {
            if let Err(said) = self.stage_line(group, line, &mut staged) {
                if let Some(said) = said {
                    self.say(&said);
                }
                return Err(errno(libc::EINVAL));
            }
        }
        let contended = self.contended;
        for value in staged.iter_mut().filter(|((name, _), value)| *name != MB && **value & contended != 0) {
            *value.1 |= contended;
        }
        if let Some(group) = self.groups.get_mut(group) {
            group.values.extend(staged);
        }
        Ok(())
    }

    /// What is wrong with a line: a text, or nothing where the kernel says nothing either.
    fn stage_line(&self, group: &str, line: &str, staged: &mut Staged) -> Result<(), Option<String>> {
        let Some((name, values)) = line.split_once(':') else { return Err(Some("Missing ':'".into())) };
        let name = name.trim();
        if values.is_empty() {
            return Err(Some(format!("Missing '{name}' value")));
        }
        let known = self.cache_lines().iter().find(|known| **known == name).copied();
        let known = known.or_else(|| (self.has_bandwidth() && name == MB).then_some(MB));
        let Some(name) = known else {
            return Err(Some(format!("Unknown or unsupported resource name '{name}'")));
        };
        let mut rest = Some(values);
        while let Some(values) = rest.filter(|values| !values.is_empty()) {
            let (one, others) = match values.split_once(';') {
                Some((one, others)) => (one, Some(others)),
                None => (values, None),
            };
            rest = others;
            let pair = one.split_once('=').and_then(|(id, value)| Some((number(id, 10)?, value.trim())));
            let Some((id, value)) = pair else {
                return Err(Some("Missing '=' or non-numeric domain".into()));
            };
            let domain = self.machine.domains.iter().find(|domain| u64::from(domain.0) == id).copied();
            let domain = domain.ok_or(None)?;
            if staged.contains_key(&(name, domain)) {
                return Err(Some(format!("Duplicate domain {domain}")));
            }
            let value = if name == MB { self.bandwidth(value)? } else { self.mask_of(group, domain, value)? };
            staged.insert((name, domain), value);
        }
        Ok(())
    }

    fn mask_of(&self, group: &str, domain: DomainId, text: &str) -> Result<u32, Option<String>> {
        let machine = &self.machine;
        let Some(value) = number(text, 16) else {
            return Err(Some(format!("Non-hex character in the mask {text}")));
        };
        let all = u64::from(machine.all_ways());
        if (machine.min_bits > 0 && value == 0) || value > all {
            return Err(Some("Mask out of range".into()));
        }
        let mask = value as u32;
        let run = if mask == 0 { 0 } else { (mask >> mask.trailing_zeros()).trailing_ones() };
        if !machine.sparse && run != mask.count_ones() {
            return Err(Some(format!("The mask {mask:x} has non-consecutive 1-bits")));
        }
        if run < machine.min_bits {
            return Err(Some(format!("Need at least {} bits in the mask", machine.min_bits)));
        }
        if self.overlaps(group, domain, mask, true) {
            return Err(Some("Overlaps with exclusive group".into()));
        }
        if self.groups[group].exclusive && self.overlaps(group, domain, mask, false) {
            return Err(Some("Overlaps with other group".into()));
        }
        Ok(mask)
    }

    /// Whether a mask has ways of another group, or only of those that are exclusive; with CDP of either kind of mask.
    pub(super) fn overlaps(&self, group: &str, domain: DomainId, mask: u32, exclusive_only: bool) -> bool {
        if !exclusive_only && mask & self.machine.shareable != 0 {
            return true;
        }
        let others = self.groups.iter().filter(|(other, _)| *other != group);
        others.filter(|(_, other)| other.exclusive || !exclusive_only).any(|(_, other)| {
            let mut lines = self.cache_lines().iter();
            lines.any(|line| other.values.get(&(*line, domain)).is_some_and(|theirs| theirs & mask != 0))
        })
    }

    fn bandwidth(&self, text: &str) -> Result<u32, Option<String>> {
        let Some(machine) = self.machine.bandwidth else { return Err(None) };
        let Some(value) = number(text, 10).and_then(|value| u32::try_from(value).ok()) else {
            return Err(Some(format!("Invalid MB value {text}")));
        };
        if value < machine.least || value > machine.whole {
            return Err(Some(format!("MB value {value} out of range [{},{}]", machine.least, machine.whole)));
        }
        Ok(value.next_multiple_of(machine.granularity))
    }
}

/// As `kstrtoul`: no blanks, a plus sign is allowed, and `0x` before hex digits.
fn number(text: &str, radix: u32) -> Option<u64> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let digits = match radix {
        16 => digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).unwrap_or(digits),
        _ => digits,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}
