//! The binary `sockpulse`.

fn main() {}
