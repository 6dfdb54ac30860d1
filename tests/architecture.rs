//! The arrows between the crates, held by reading their manifests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Which crates of ours each may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("fsched-core", &[]),
    ("fsched-http", &["fsched-core"]),
    ("fsched-sim", &["fsched-core"]),
    ("fsched-bin", &["fsched-core", "fsched-http", "fsched-sim"]),
];

/// What core and the simulator do without: web frameworks, command lines, clocks.
const NOT_IN_CORE: &[&str] = &[
    "actix",
    "awc",
    "axum",
    "hyper",
    "reqwest",
    "tonic",
    "warp",
    "rocket",
    "h2",
    "clap",
    "confique",
    "comfy-table",
    "indicatif",
    "utoipa",
    "chrono",
    "time",
    "tracing-subscriber",
    "anyhow",
    "toml",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn manifest(path: &Path) -> Table {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The crates of the workspace, each with its manifest.
fn crates() -> Vec<(String, Table)> {
    let workspace = manifest(&root().join("Cargo.toml"));
    let members = workspace["workspace"]["members"].as_array().expect("members is a list");
    let member = |member: &Value| {
        let name = member.as_str().expect("a member is a path").to_owned();
        let table = manifest(&root().join(&name).join("Cargo.toml"));
        (table["package"]["name"].as_str().expect("a crate has a name").to_owned(), table)
    };
    members.iter().map(member).collect()
}

/// The names in all tables called this, also in those for one target only.
fn used(manifest: &Table, kinds: &[&str]) -> BTreeSet<String> {
    let targets =
        manifest.get("target").and_then(Value::as_table).into_iter().flat_map(|targets| targets.values());
    let places = std::iter::once(manifest).chain(targets.filter_map(Value::as_table));
    let tables = places.flat_map(|place| kinds.iter().filter_map(|kind| place.get(*kind)?.as_table()));
    // A crate may be used under another name.
    let name =
        |(key, how): (&String, &Value)| how.get("package").and_then(Value::as_str).unwrap_or(key).to_owned();
    tables.flat_map(|table| table.iter().map(name)).collect()
}

const TO_RUN: &[&str] = &["dependencies", "build-dependencies"];
const AT_ALL: &[&str] = &["dependencies", "build-dependencies", "dev-dependencies"];

#[test]
fn crates_use_only_the_crates_below_them() {
    for (name, manifest) in crates() {
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else { continue };
        let ours =
            used(&manifest, AT_ALL).into_iter().filter(|used| used.starts_with("fsched-") && *used != name);
        for used in ours {
            assert!(allowed.contains(&used.as_str()), "{name} must not use {used}");
        }
    }
}

#[test]
fn nothing_points_at_bin_or_the_examples() {
    for (name, manifest) in crates() {
        for used in used(&manifest, AT_ALL) {
            let above = used == "fsched-bin" || used.contains("examples") || used.contains("tests");
            assert!(!above, "{name} uses {used}");
        }
    }
}

#[test]
fn every_crate_has_its_place() {
    let known: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for (name, _) in crates() {
        assert!(known.contains(&name.as_str()) || name.contains("examples"), "what may {name} use?");
    }
}

#[test]
fn core_knows_no_web_framework_no_command_line_and_no_clock() {
    let crates = crates();
    for (name, manifest) in
        crates.iter().filter(|(name, _)| ["fsched-core", "fsched-sim"].contains(&name.as_str()))
    {
        for used in used(manifest, TO_RUN) {
            let barred =
                NOT_IN_CORE.iter().find(|barred| used == **barred || used.starts_with(&format!("{barred}-")));
            assert_eq!(barred, None, "{name} uses {used}");
        }
    }
    assert!(crates.iter().any(|(name, _)| name == "fsched-core"));
}

#[test]
fn everybody_keeps_to_the_workspaces_lints() {
    for (name, manifest) in crates() {
        let workspace =
            manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool);
        assert_eq!(workspace, Some(true), "{name}");
    }
}
