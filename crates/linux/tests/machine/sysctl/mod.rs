//! The files of sysctl.d(5): what is read from the disk, what the two programs make of the same files,
//! and what the kernel makes of values.

mod cases;
mod disk;
mod random;
mod root;
mod runtime;
