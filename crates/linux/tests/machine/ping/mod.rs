//! Peers asked whether they live, over loopback.

mod every_option;
mod option;
mod raw;
mod wire;
