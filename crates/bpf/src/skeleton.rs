//! What libbpf-cargo generates from the C sources.

#![expect(
    unsafe_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    reason = "generated code"
)]

pub(crate) mod task_file {
    include!(concat!(env!("OUT_DIR"), "/task_file.skel.rs"));
}

pub(crate) mod iter_tcp {
    include!(concat!(env!("OUT_DIR"), "/iter_tcp.skel.rs"));
}

pub(crate) mod count {
    include!(concat!(env!("OUT_DIR"), "/count.skel.rs"));
}

pub(crate) mod protect {
    include!(concat!(env!("OUT_DIR"), "/protect.skel.rs"));
}

pub(crate) mod set_tcp {
    include!(concat!(env!("OUT_DIR"), "/set_tcp.skel.rs"));
}

pub(crate) mod glance {
    include!(concat!(env!("OUT_DIR"), "/glance.skel.rs"));
}

pub(crate) mod endings {
    include!(concat!(env!("OUT_DIR"), "/endings.skel.rs"));
}

pub(crate) mod watch {
    include!(concat!(env!("OUT_DIR"), "/watch.skel.rs"));
}
