//! Compiles fsched-exec, which every function's process starts as, for `launcher/process/` to embed.
//!
//! It is built without std and without libc where the architecture is known, and over libc elsewhere, or where the first
//! does not build. `FSCHED_EXEC_FALLBACK=1` asks for the second, so that it can be tested everywhere.

use std::env;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = "exec/main.rs";

fn main() {
    println!("cargo::rerun-if-changed=exec");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FSCHED_EXEC_FALLBACK");
    if env::var_os("CARGO_FEATURE_PROCESS").is_none() || variable("CARGO_CFG_TARGET_OS") != "linux" {
        return;
    }
    let program = Path::new(&variable("OUT_DIR")).join("fsched-exec");
    println!("cargo::rustc-env=FSCHED_EXEC={}", program.display());

    let known = matches!(variable("CARGO_CFG_TARGET_ARCH").as_str(), "x86_64" | "aarch64");
    let fallback = env::var_os("FSCHED_EXEC_FALLBACK").is_some_and(|value| value == "1");
    if known && !fallback {
        match compile(&program, &WITHOUT_LIBC) {
            Ok(()) => return,
            Err(why) => {
                println!("cargo::warning=fsched-exec is built over libc, which makes starts slower: {why}")
            }
        }
    }
    if let Err(why) = compile(&program, &WITH_LIBC) {
        println!("cargo::error=fsched-exec does not build: {why}");
    }
}

const WITHOUT_LIBC: [&str; 7] = [
    "-Crelocation-model=static",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-static",
    "-Clink-arg=-no-pie",
    "-Clink-arg=-Wl,--build-id=none,-z,noseparate-code,-z,norelro",
    "-Cforce-unwind-tables=no",
];
const WITH_LIBC: [&str; 1] = ["--cfg=fsched_libc"];

fn compile(program: &Path, how: &[&str]) -> Result<(), String> {
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args([
        "--edition=2024",
        "--crate-name=fsched_exec",
        "--crate-type=bin",
        "--check-cfg=cfg(fsched_libc)",
    ]);
    rustc.args(["-Cpanic=abort", "-Copt-level=2", "-Ccodegen-units=1", "-Cstrip=symbols"]);
    rustc.args(["--target", &variable("TARGET")]).args(how).arg("-o").arg(program).arg(SOURCE);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let output = rustc.output().map_err(|error| format!("rustc cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(said.replace('\n', " | "));
    }
    for line in said.lines().filter(|line| line.starts_with("warning")) {
        println!("cargo::warning=fsched-exec: {line}");
    }
    Ok(())
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
