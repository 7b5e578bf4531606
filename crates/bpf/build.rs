//! Compiles the BPF programs with clang and writes their skeletons.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libbpf_cargo::SkeletonBuilder;

const SOURCES: &str = "src/bpf";
const PROGRAMS: [&str; 8] = [
    "task_file",
    "iter_tcp",
    "count",
    "protect",
    "set_tcp",
    "glance",
    "endings",
    "watch",
];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed={SOURCES}");
    println!("cargo::rerun-if-env-changed=CLANG");
    let clang = std::env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    if let Err(error) = Command::new(&clang).arg("--version").output() {
        println!(
            "cargo::error=cannot run {}, which compiles the BPF programs: {error}; \
             on Debian install it with `apt install clang`, or name another one in CLANG",
            clang.display()
        );
        return ExitCode::FAILURE;
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for program in PROGRAMS {
        let built = SkeletonBuilder::new()
            .source(Path::new(SOURCES).join(format!("{program}.bpf.c")))
            .clang(&clang)
            .clang_args(["-Wall", "-Werror", "-fno-stack-protector"])
            .build_and_generate(out.join(format!("{program}.skel.rs")));
        if let Err(error) = built {
            println!("cargo::error=cannot build the BPF program {program}: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    match std::fs::read(out.join("protect.skel.rs")) {
        Ok(skeleton) => println!("cargo::rustc-env=PROTECT_BUILD={}", hash(&skeleton)),
        Err(error) => {
            println!("cargo::error=cannot read back the programs' skeleton: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// FNV-1a: tells programs that stay in the kernel from those of another build.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
