//! Builds `lb-ebpf` for BPF, for `datapath::object` to include.
//!
//! A second cargo with its own target folder below OUT_DIR, so that it neither waits for the lock of the
//! first nor invalidates it. Debian's rustc-web serves where it is installed with its prebuilt `core`; else a
//! rustup nightly that compiles `core` itself. Nothing here depends on the network once the crates are there.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// No unwinding, one unit (more exceed the 512 bytes of stack), debug information for BTF.
const PROFILE: [(&str, &str); 4] = [
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "2"),
    ("CARGO_PROFILE_RELEASE_LTO", "true"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for tree in [
        "../lb-ebpf/src",
        "../lb-ebpf/Cargo.toml",
        "../lb-common/src",
        "../lb-common/Cargo.toml",
    ] {
        println!("cargo::rerun-if-changed={tree}");
    }
    println!("cargo::rerun-if-env-changed=PATH");
    if let Err(reason) = build() {
        // One line each: cargo shows nothing after a line break.
        for line in reason.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

fn build() -> Result<(), String> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let architecture = variable("CARGO_CFG_TARGET_ARCH")?;
    let path = search_path();
    if find("bpf-linker", &path).is_none() {
        return Err("bpf-linker is missing: run 'tools/setup build'".into());
    }
    let mut cargo = toolchain(&path)?;
    let flags = [
        "-Cdebuginfo=2".to_owned(),
        "-Clinker=bpf-linker".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        "-Ctarget-cpu=v3".to_owned(),
        format!("--cfg=bpf_target_arch=\"{architecture}\""),
    ];
    let target = out.join("bpf");
    cargo
        .args(["build", "--release", "--package", "lb-ebpf", "--bins"])
        .args(["--target", "bpfel-unknown-none", "--target-dir"])
        .arg(&target)
        .current_dir("../lb-ebpf")
        .env("PATH", &path)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .envs(PROFILE);
    for inherited in [
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTFLAGS",
        "CARGO_BUILD_TARGET",
    ] {
        cargo.env_remove(inherited);
    }
    let output = cargo
        .output()
        .map_err(|error| format!("cannot run {cargo:?}: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("building lb-ebpf failed:\n{text}"));
    }
    for object in ["lb-ebpf", "lb-bench"] {
        let built = target.join("bpfel-unknown-none/release").join(object);
        std::fs::copy(&built, out.join(object))
            .map_err(|error| format!("cannot copy {}: {error}", built.display()))?;
    }
    Ok(())
}

/// PATH with cargo's folder, where `cargo install` puts bpf-linker.
fn search_path() -> String {
    let path = env::var("PATH").unwrap_or_default();
    let home = env::var("CARGO_HOME")
        .ok()
        .or_else(|| env::var("HOME").ok().map(|home| format!("{home}/.cargo")));
    home.map_or(path.clone(), |home| format!("{path}:{home}/bin"))
}

fn find(program: &str, path: &str) -> Option<PathBuf> {
    path.split(':')
        .map(|folder| Path::new(folder).join(program))
        .find(|file| file.is_file())
}

/// A cargo that can compile for BPF.
fn toolchain(path: &str) -> Result<Command, String> {
    let debian = [
        "/usr/bin/cargo",
        "/usr/bin/rustc",
        "/usr/lib/rustlib/bpfel-unknown-none",
    ];
    if debian.iter().all(|part| Path::new(part).exists()) {
        let mut cargo = Command::new("/usr/bin/cargo");
        cargo
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTUP_TOOLCHAIN");
        return Ok(cargo);
    }
    let missing = "no compiler for BPF: run 'tools/setup build' (Debian: rustc-web, cargo-web and \
         libstd-rust-web-dev-bpf; elsewhere: 'rustup toolchain install nightly --component rust-src')";
    if find("rustup", path).is_none() {
        return Err(missing.into());
    }
    let sysroot = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--print", "sysroot"])
        .output()
        .map_err(|error| format!("cannot run rustup: {error}"))?;
    let core =
        Path::new(String::from_utf8_lossy(&sysroot.stdout).trim()).join("lib/rustlib/src/rust/library/core");
    if !sysroot.status.success() || !core.is_dir() {
        return Err(missing.into());
    }
    let mut cargo = Command::new("rustup");
    cargo
        .args(["run", "nightly", "cargo", "-Zbuild-std=core"])
        .env_remove("RUSTC");
    Ok(cargo)
}
