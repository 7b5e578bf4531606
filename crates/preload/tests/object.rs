//! The shared object itself: what it asks of the programs that it is mapped into.

mod kit;

use std::process::Command;

fn readelf(options: &str) -> String {
    let output = Command::new("readelf")
        .args(options.split(' '))
        .arg(kit::library())
        .output();
    kit::text(&output.expect("readelf runs").stdout)
}

#[test]
fn it_needs_no_library_and_no_version_of_one() {
    let dynamic = readelf("--wide --dynamic");
    assert!(dynamic.contains("libsockpulse_preload.so"), "{dynamic}");
    assert!(!dynamic.contains("NEEDED"), "{dynamic}");
    let versions = readelf("--wide --version-info");
    assert!(
        versions.contains("No version information found"),
        "{versions}"
    );
}

#[test]
fn it_asks_for_what_every_libc_has_and_gives_six_functions() {
    let table = readelf("--wide --dyn-syms");
    let mut given = Vec::new();
    let mut asked = Vec::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, _, _, _, bind, _, section, name] = words[..] else {
            continue;
        };
        match (section, bind) {
            ("Ndx", _) => {}
            ("UND", "WEAK") => assert!(!name.contains('@'), "{name}"),
            ("UND", _) => asked.push(name),
            _ => given.push(name),
        }
    }
    given.sort_unstable();
    asked.sort_unstable();
    assert_eq!(
        given,
        [
            "accept",
            "accept4",
            "connect",
            "listen",
            "setsockopt",
            "socket"
        ]
    );
    // Rust's core calls these; they are in every libc.
    for name in asked {
        assert!(
            ["bcmp", "memcmp", "memcpy", "memmove", "memset", "strlen"].contains(&name),
            "{name}"
        );
    }
}

#[test]
fn it_is_small_and_nothing_in_it_panics() {
    let bytes = std::fs::read(kit::library()).expect("built");
    assert!(bytes.len() < 48 * 1024, "{} bytes", bytes.len());
    for trace in ["panicked", "unwrap", "index out of bounds", "attempt to"] {
        let found = bytes
            .windows(trace.len())
            .any(|window| window == trace.as_bytes());
        assert!(!found, "{trace:?} is in it");
    }
}
