//! Compiles the functions beside the programs once more, without vectors: what machine code for one number at a time is
//! compared with. Where that fails the table goes without the column. Tells the compiler's version as well.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    let version = Command::new(variable("RUSTC")).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string());
    println!("cargo::rustc-env=SANDBPF_RUSTC_VERSION={}", version.unwrap_or_default());
    println!("cargo::rerun-if-changed=src/native.rs");
    println!("cargo::rerun-if-changed=scalar/exports.rs");
    let library = PathBuf::from(variable("OUT_DIR")).join("libscalar.so");
    let status = Command::new(variable("RUSTC"))
        .args(["scalar/exports.rs", "--crate-name", "scalar", "--crate-type", "cdylib", "--edition", "2024"])
        .args([
            "-C",
            "opt-level=3",
            "-C",
            "panic=abort",
            "-C",
            "no-vectorize-loops",
            "-C",
            "no-vectorize-slp",
        ])
        .args(["--target", &variable("TARGET"), "-A", "warnings", "-o"])
        .arg(&library)
        .status();
    match status {
        Ok(status) if status.success() => {
            println!("cargo::rustc-env=SANDBPF_SCALAR_LIBRARY={}", library.display());
        }
        other => println!("cargo::warning=no functions without vectors: {other:?}"),
    }
}

/// What cargo tells.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
