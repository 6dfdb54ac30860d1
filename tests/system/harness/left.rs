//! The processes of functions that are still there.

use std::fs;
use std::path::Path;

/// The processes of functions that have something to do with a test's folder: each with its command line.
///
/// What a function starts is known by its environment, which names its scratch directory, or by its file's path.
pub(crate) fn left_of(folder: &Path) -> Vec<String> {
    processes_of(folder, |program| !program.contains("fsched"))
}

/// The same with our own programs.
pub(crate) fn all_of(folder: &Path) -> Vec<String> {
    processes_of(folder, |_| true)
}

fn processes_of(folder: &Path, counts: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = folder.to_str().expect("folders of tests are text").as_bytes();
    let processes = fs::read_dir("/proc").expect("processes can be listed").filter_map(Result::ok);
    let mut found = Vec::new();
    for process in
        processes.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
    {
        let read = |file: &str| fs::read(process.path().join(file)).unwrap_or_default();
        let line = read("cmdline");
        let named = |text: &[u8]| text.windows(folder.len()).any(|window| window == folder);
        let program = fs::read_link(process.path().join("exe")).unwrap_or_default();
        let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if (named(&line) || named(&read("environ"))) && counts(&program) {
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            found.push(format!("{} {line}", process.file_name().display()));
        }
    }
    found
}
