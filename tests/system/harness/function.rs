//! What is pushed, and functions that wait until they may go on.

use std::fs;
use std::path::{Path, PathBuf};

use super::wait_until;

const BOUNDARY: &str = "between-the-parts-of-a-form";

/// A function as it is pushed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Function {
    /// The file.
    pub(crate) file: Vec<u8>,
    /// The file's name.
    pub(crate) file_name: String,
    /// Further fields of the form.
    pub(crate) fields: Vec<(String, String)>,
}

impl Function {
    /// A shell script with a name, run with `sh`.
    pub(crate) fn script(name: &str, script: &str) -> Self {
        Self { file: script.as_bytes().to_vec(), file_name: "script.sh".to_owned(), fields: Vec::new() }
            .with("name", name)
            .with("command", "sh")
    }

    /// One more field.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.fields.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The content type and the form.
    pub(crate) fn form(&self) -> (String, Vec<u8>) {
        let mut form = Vec::new();
        for (key, value) in &self.fields {
            form.extend_from_slice(
                format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n{value}\r\n")
                    .as_bytes(),
            );
        }
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            self.file_name
        );
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(&self.file);
        form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        (format!("multipart/form-data; boundary={BOUNDARY}"), form)
    }
}

/// Where functions wait until a test lets them go on.
#[derive(Debug)]
pub(crate) struct Gate {
    folder: PathBuf,
}

impl Gate {
    /// A gate of this name in a test's folder.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let folder = folder.join(name);
        fs::create_dir(&folder).expect("a folder for a gate");
        Self { folder }
    }

    /// The lines of a script that arrives here, and waits until it is open.
    pub(crate) fn script(&self) -> String {
        let folder = self.folder.display();
        format!(
            ": > {folder}/arrived.$FSCHED_INVOCATION\n\
             while [ ! -e {folder}/open ]; do sleep 0.02; done\n"
        )
    }

    /// Lets everybody go on.
    pub(crate) fn open(&self) {
        fs::write(self.folder.join("open"), "").expect("a gate opens");
    }

    /// Waits until so many have arrived, ever.
    #[track_caller]
    pub(crate) fn wait_for(&self, wanted: usize) {
        wait_until(&format!("{wanted} functions arrive at a gate"), || {
            (self.arrived() >= wanted).then_some(())
        });
    }

    /// How many have arrived, ever.
    pub(crate) fn arrived(&self) -> usize {
        let names = fs::read_dir(&self.folder).expect("a gate's folder").filter_map(Result::ok);
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with("arrived.")).count()
    }
}

/// Whether functions find a program here; where they do not, says that a test proves less.
pub(crate) fn has(program: &str) -> bool {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let found = folders.iter().any(|folder| Path::new(folder).join(program).exists());
    if !found {
        eprintln!("skipped: there is no {program} here");
    }
    found
}
