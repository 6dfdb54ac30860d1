//! Compiles the three small functions of `fsched demo` with the compiler at hand, for the demo to embed: it then
//! runs on a machine with nothing but a Rust toolchain.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=demo");
    let (Some(rustc), Some(out)) = (env::var_os("RUSTC"), env::var_os("OUT_DIR")) else {
        println!("cargo::error=RUSTC and OUT_DIR have to be set, as cargo does");
        return ExitCode::FAILURE;
    };
    let out = PathBuf::from(out);
    let started = ["lookup", "stream", "spin"].map(|name| {
        compiler(&rustc, name, &out).spawn().map_err(|e| format!("{}: {e}", Path::new(&rustc).display()))
    });
    let mut code = ExitCode::SUCCESS;
    for problem in started.into_iter().filter_map(|child| child.and_then(finish).err()) {
        println!("cargo::error=cannot compile a function of the demo: {problem}");
        code = ExitCode::FAILURE;
    }
    code
}

fn compiler(rustc: &std::ffi::OsStr, name: &str, out: &Path) -> Command {
    let mut command = Command::new(rustc);
    command.args(["--edition", "2024", "--crate-type", "bin", "-O"]);
    command.args(["-C", "strip=symbols", "-C", "panic=abort", "-C", "codegen-units=1"]);
    command.arg("--crate-name").arg(name).arg("-o").arg(out.join(name));
    if env::var_os("HOST") != env::var_os("TARGET")
        && let Some(target) = env::var_os("TARGET")
    {
        command.arg("--target").arg(target);
    }
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        command.arg("-C").arg([std::ffi::OsStr::new("linker="), &linker].join(std::ffi::OsStr::new("")));
    }
    command.arg(Path::new("demo").join(name).with_extension("rs"));
    command
}

fn finish(mut compiler: Child) -> Result<(), String> {
    match compiler.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the compiler ended with {status}")),
        Err(error) => Err(error.to_string()),
    }
}
