//! BPF iterators that read every TCP socket of a machine, with all settings and timers.
