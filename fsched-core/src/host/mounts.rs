//! The table of mounts, `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

use std::path::{Path, PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub at: PathBuf,
    /// The kind of the filesystem.
    pub kind: String,
    /// Whether it can only be read, through this mount or at all.
    pub read_only: bool,
    /// The options of the filesystem itself.
    pub options: Vec<String>,
}

impl Mount {
    /// A mount of which nothing else is known.
    pub(super) fn unknown(at: &Path, kind: &str) -> Self {
        Self { at: at.to_owned(), kind: kind.to_owned(), read_only: false, options: Vec::new() }
    }

    /// Whether it was mounted with this option.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|known| known == option)
    }
}

/// The mounts in a table; lines that make no sense are passed over.
pub(super) fn parse(table: &str) -> impl Iterator<Item = Mount> {
    table.lines().filter_map(line)
}

fn line(line: &str) -> Option<Mount> {
    // Fields in front of the dash: id, parent, device, root, place, options, and any number of further ones.
    let (front, behind) = line.split_once(" - ")?;
    let mut front = front.split(' ').skip(4);
    let (place, through) = (front.next()?, front.next()?);
    let mut behind = behind.split(' ');
    let (kind, _source, options) = (behind.next()?, behind.next()?, behind.next().unwrap_or_default());
    let options: Vec<String> =
        options.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let read_only = through.split(',').chain(options.iter().map(String::as_str)).any(|word| word == "ro");
    (!kind.is_empty()).then(|| Mount {
        at: PathBuf::from(unescape(place)),
        kind: kind.to_owned(),
        read_only,
        options,
    })
}

/// Undoes what the kernel does to blanks, tabs, line ends and backslashes: `\040` and so on.
fn unescape(text: &str) -> String {
    let mut rest = text;
    let mut plain = String::with_capacity(text.len());
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let digits =
            rest.get(at + 1..at + 4).filter(|digits| digits.bytes().all(|b| (b'0'..=b'7').contains(&b)));
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii) {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                plain.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_the_kernel_are_understood() {
        let table = "\
23 27 0:22 / /sys rw,relatime - sysfs sysfs rw
40 23 0:31 / /sys/fs/resctrl ro,relatime shared:9 master:1 - resctrl resctrl rw,cdp,mba_MBps
nonsense
27 1 254:0 / /a\\040b\\134 rw - ext4 /dev/vda ro
";
        let mounts: Vec<_> = parse(table).collect();
        assert_eq!(mounts.len(), 3);
        assert_eq!((mounts[0].kind.as_str(), mounts[0].read_only), ("sysfs", false));
        assert!(mounts[1].read_only && mounts[1].has("mba_MBps") && !mounts[1].has("mba"));
        assert_eq!(mounts[2].at, Path::new("/a b\\"));
        assert!(mounts[2].read_only);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(?s).*") {
            let _ = parse(&text).count();
            let _ = line(&format!("1 2 3 4 {text} - {text}"));
        }

        #[test]
        fn a_place_comes_back_as_it_was_written(place in "/[a-zé\\\\ \t\n0-7]{0,20}") {
            let mut written = String::new();
            for c in place.chars() {
                match c {
                    ' ' | '\t' | '\n' | '\\' => written.push_str(&format!("\\{:03o}", u32::from(c))),
                    other => written.push(other),
                }
            }
            let text = format!("40 23 0:31 / {written} rw - resctrl resctrl rw");
            prop_assert_eq!(line(&text).map(|mount| mount.at), Some(PathBuf::from(place)));
        }
    }
}
