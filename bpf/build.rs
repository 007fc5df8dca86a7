//! Compiles the kernel programs with clang into objects that the loader embeds. Flags are fixed, `-mcpu=v3` among them,
//! since distributions default to different instruction sets and the same source then verifies differently.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    let programs = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("programs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-env-changed=FLOWLOG_CLANG");
    for file in fs::read_dir(&programs)? {
        println!("cargo:rerun-if-changed={}", file?.path().display());
    }
    compile(&programs, "flow.bpf.c", &out.join("flow.bpf.o"))?;
    compile(&programs, "drop.bpf.c", &out.join("drop.bpf.o"))
}

fn compile(programs: &Path, source: &str, object: &Path) -> Result<(), Box<dyn Error>> {
    let clang = env::var("FLOWLOG_CLANG").unwrap_or_else(|_| "clang".into());
    let target = match env::var("CARGO_CFG_TARGET_ENDIAN")?.as_str() {
        "big" => "bpfeb",
        _ => "bpfel",
    };
    // Debian keeps <asm/types.h> in a folder of the architecture's name.
    let headers = format!("-I/usr/include/{}-linux-gnu", env::var("CARGO_CFG_TARGET_ARCH")?);
    let status = Command::new(&clang)
        .current_dir(programs)
        .args(["-O2", "-g", "-target", target, "-mcpu=v3", "-fno-strict-aliasing", "-Wall", "-Wextra", "-Werror", &headers])
        .arg(format!("-ffile-prefix-map={}=programs", programs.display()))
        .args(["-c", source, "-o"])
        .arg(object)
        .status()
        .map_err(|error| format!("{clang} does not start ({error}): install clang 12 or later, or name one in FLOWLOG_CLANG"))?;
    if !status.success() {
        return Err(format!("{clang} could not compile bpf/programs/{source}; it needs the kernel's UAPI headers (linux-libc-dev)").into());
    }
    Ok(())
}
