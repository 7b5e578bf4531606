//! Reads a Linux machine by plain system calls: sock_diag, procfs, network namespaces, pidfd,
//! socket options, sysctls, cgroups.
