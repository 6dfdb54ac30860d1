//! The text of `schemata`, read and written.

use std::fmt;
use std::str::FromStr;

use crate::cache::DomainId;

/// What `schemata` says: per resource a value for each domain, in the order in which they stand there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schemata {
    lines: Vec<Line>,
}

/// The values of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    resource: String,
    values: Vec<(DomainId, u32)>,
}

/// A text that is no `schemata`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no line of schemata, such as `L3:0=ff;1=ff`")]
pub struct ParseSchemataError(pub String);

impl Schemata {
    /// The value of a resource in a domain.
    pub fn get(&self, resource: &str, domain: DomainId) -> Option<u32> {
        let line = self.lines.iter().find(|line| line.resource == resource)?;
        line.values.iter().find(|(of, _)| *of == domain).map(|(_, value)| *value)
    }

    /// Sets the value of a resource in a domain.
    pub fn set(&mut self, resource: &str, domain: DomainId, value: u32) {
        let index = self.lines.iter().position(|line| line.resource == resource).unwrap_or_else(|| {
            self.lines.push(Line { resource: resource.to_owned(), values: Vec::new() });
            self.lines.len() - 1
        });
        let values = &mut self.lines[index].values;
        match values.iter_mut().find(|(of, _)| *of == domain) {
            Some((_, old)) => *old = value,
            None => values.push((domain, value)),
        }
    }

    /// Of these resources only.
    pub fn only(&self, resources: &[&str]) -> Self {
        let lines = self.lines.iter().filter(|line| resources.contains(&line.resource.as_str()));
        Self { lines: lines.cloned().collect() }
    }

    /// Whether one of these resources has some of these bits, by domain.
    pub fn has_any_of(&self, resources: &[&str], bits: &[(DomainId, u32)]) -> bool {
        resources.iter().any(|resource| {
            bits.iter().any(|&(domain, bits)| self.get(resource, domain).is_some_and(|has| has & bits != 0))
        })
    }

    /// The domains of a resource.
    pub fn domains(&self, resource: &str) -> impl Iterator<Item = DomainId> {
        let line = self.lines.iter().find(|line| line.resource == resource);
        line.into_iter().flat_map(|line| line.values.iter().map(|(domain, _)| *domain))
    }
}

/// Bandwidths are decimal, masks are hex.
fn radix(resource: &str) -> u32 {
    if matches!(resource, "MB" | "SMBA") { 10 } else { 16 }
}

/// One write: every line ends in a newline, the last one too.
impl fmt::Display for Schemata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            write!(f, "{}:", line.resource)?;
            for (index, (domain, value)) in line.values.iter().enumerate() {
                let between = if index == 0 { "" } else { ";" };
                match radix(&line.resource) {
                    10 => write!(f, "{between}{domain}={value}")?,
                    _ => write!(f, "{between}{domain}={value:x}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl FromStr for Schemata {
    type Err = ParseSchemataError;

    fn from_str(text: &str) -> Result<Self, ParseSchemataError> {
        let line = |text: &str| {
            let (resource, values) = text.split_once(':')?;
            let resource = resource.trim();
            let known = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if resource.is_empty() || !resource.chars().all(known) {
                return None;
            }
            let number = |digits: &str, radix: u32| {
                let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
                plain.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
            };
            let value = |text: &str| {
                let (domain, value) = text.split_once('=')?;
                let domain = u16::try_from(number(domain.trim(), 10)?).ok()?;
                Some((DomainId(domain), number(value.trim(), radix(resource))?))
            };
            let values: Option<Vec<_>> = values.trim().split(';').map(value).collect();
            Some(Line { resource: resource.to_owned(), values: values? })
        };
        let error = |text: &str| ParseSchemataError(text.chars().take(80).collect());
        let lines = text.lines().filter(|text| !text.trim().is_empty());
        let lines = lines.map(|text| line(text).ok_or_else(|| error(text))).collect::<Result<_, _>>()?;
        Ok(Self { lines })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn schemata_survive_their_text(values in vec((prop::sample::select(vec!["L3", "L3CODE", "L3DATA", "MB"]), 0u16..9, any::<u32>()), 0..20)) {
            let mut schemata = Schemata::default();
            for (resource, domain, value) in values {
                schemata.set(resource, DomainId(domain), value);
                prop_assert_eq!(schemata.get(resource, DomainId(domain)), Some(value));
            }
            let text = schemata.to_string();
            prop_assert!(text.is_empty() || text.ends_with('\n'));
            prop_assert_eq!(text.parse(), Ok(schemata));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(L3:|MB:|[0-9a-f=;\n ]){0,12}|.*") {
            let _ = text.parse::<Schemata>();
        }
    }

    #[test]
    fn the_kernels_blanks_and_zeros_do_not_matter() {
        let text = "    MB:0= 50;3=100\n    L3:0=000ff;3=fffff\n";
        let schemata: Schemata = text.parse().unwrap();
        assert_eq!(schemata.get("L3", DomainId(0)), Some(0xff));
        assert_eq!(schemata.get("MB", DomainId(0)), Some(50));
        assert_eq!(schemata.get("L3", DomainId(1)), None);
        assert_eq!(schemata.domains("L3").collect::<Vec<_>>(), [DomainId(0), DomainId(3)]);
        assert_eq!(schemata.to_string(), "MB:0=50;3=100\nL3:0=ff;3=fffff\n");
        for text in ["L3", "L3:", "L3:0", "L3:x=f", "L3:0=zz", ":0=1", "L3:0=-1", "L3:70000=1", "a b:0=1"] {
            assert!(text.parse::<Schemata>().is_err(), "{text:?}");
        }
    }
}
