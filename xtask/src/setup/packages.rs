//! What is installed, and what for.

use super::{Package, Proof, program};

/// What the build, the demo and most tests need.
pub(super) const BASE: [Package; 14] = [
    program("clang", "clang", "compiles the BPF programs"),
    program("gcc", "cc", "links Rust, compiles libbpf"),
    program("make", "make", "builds libbpf"),
    program("pkg-config", "pkg-config", "finds libelf and zlib"),
    Package {
        name: "libc6-dev",
        proof: Proof::Header("/usr/include/stdio.h"),
        serves: "headers of C and of the kernel",
    },
    Package {
        name: "libelf-dev",
        proof: Proof::Library("libelf"),
        serves: "libbpf reads BPF objects with it",
    },
    Package {
        name: "zlib1g-dev",
        proof: Proof::Library("zlib"),
        serves: "libelf needs it",
    },
    program(
        "redis-server",
        "redis-server",
        "demo and tests: a real server",
    ),
    program("redis-tools", "redis-cli", "demo and tests: a real client"),
    program(
        "iproute2",
        "ip",
        "demo and tests: network namespaces; ss to compare with",
    ),
    program("nftables", "nft", "demo and tests: routers that drop"),
    program("conntrack", "conntrack", "tests: middleboxes that forget"),
    program(
        "util-linux",
        "unshare",
        "demo and tests: namespaces without a name",
    ),
    program(
        "procps",
        "ps",
        "tests: processes to compare with, and sysctl",
    ),
];

/// What only the tests need, above all the software that there are recipes for.
pub(super) const SOFTWARE: [Package; 14] = [
    program("nginx", "nginx", "tests: a recipe"),
    program("haproxy", "haproxy", "tests: a recipe"),
    // Without its daemon's unit: the program alone.
    program("mariadb-server-core", "mariadbd", "tests: a recipe"),
    program("postgresql", "psql", "tests: two recipes"),
    program("openssh-client", "ssh", "tests: a recipe"),
    program("openssh-server", "sshd", "tests: a recipe"),
    program(
        "systemd",
        "systemd-analyze",
        "tests: systemd-sysctl to compare with, and a recipe",
    ),
    program("default-jdk-headless", "javac", "tests: a recipe"),
    program("nodejs", "node", "tests: a recipe"),
    program("crun", "crun", "tests: a container"),
    program("curl", "curl", "tests: a client under the preload library"),
    program("musl-tools", "musl-gcc", "tests: programs of another libc"),
    program("python3", "python3", "tests: a recipe"),
    program(
        "python3-pip",
        "pip3",
        "tests: Envoy, Go and others, from Python's registry",
    ),
];

/// Packages that bring a daemon, and its unit.
pub(super) const DAEMONS: [(&str, &str); 5] = [
    ("haproxy", "haproxy"),
    ("nginx", "nginx"),
    ("openssh-server", "ssh"),
    ("postgresql", "postgresql"),
    ("redis-server", "redis-server"),
];
