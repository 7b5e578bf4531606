//! The command `sockpulse`.
fn main() {}
