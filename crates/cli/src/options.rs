//! What a command asks of the machine, parsed and checked.

use std::time::Duration;

use sockpulse_core::{Coverage, Hz, Namespace, NetnsDefaults, Selector};

/// What a survey reads and how.
#[derive(Debug, Clone)]
pub struct SurveyOptions {
    /// Which connections are wanted. `selector.namespaces` is empty here: the survey fills it in
    /// from [`Self::netns`] once names are resolved.
    pub selector: Selector,
    /// Which network namespaces are read; empty means every one that the caller may enter.
    pub netns: Vec<NetnsChoice>,
    /// Which reader serves.
    pub source: SourceChoice,
    /// Ids of kernel faults whose risk the caller accepts, as written (`CVE-…`).
    pub accepted_risks: Vec<String>,
    /// A dead peer should be noticed within this time. The survey adds the tick rate.
    pub detect_within: Duration,
}

/// A value of `--netns`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetnsChoice {
    /// Every namespace that the caller may enter.
    All,
    /// The namespace that sockpulse was started in.
    Own,
    /// A name under `/run/netns` or as it is shown, the id of a process in the namespace, a container
    /// or a unit.
    Named(String),
}

/// A value of `--source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceChoice {
    /// The best that this kernel and these privileges allow.
    #[default]
    Auto,
    /// BPF's `task_file` iterator, joined with inet_diag.
    TaskFile,
    /// BPF's `tcp` iterator in each namespace.
    IterTcp,
    /// inet_diag, with settings read through duplicates of the descriptors.
    Pidfd,
    /// inet_diag alone.
    SockDiag,
}

/// What a survey returns when all rows have been visited.
#[derive(Debug, Clone, Default)]
pub struct Surveyed {
    /// The namespaces that were read, the own one first.
    pub namespaces: Vec<Namespace>,
    /// What was seen and what was not.
    pub coverage: Coverage,
    /// How long reading took.
    pub elapsed: Duration,
}

/// What decides the timers of a new socket in the namespace that sockpulse was started in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Here {
    /// The namespace's sysctls.
    pub defaults: NetnsDefaults,
    /// The kernel's tick rate, if known.
    pub hz: Option<Hz>,
}

/// What `doctor` is asked.
#[derive(Debug, Clone)]
pub struct DoctorOptions {
    /// How to print.
    pub output: OutputFormat,
    /// Columns of the terminal.
    pub width: usize,
    /// Ids of kernel faults whose risk the caller accepts.
    pub accepted_risks: Vec<String>,
}

/// A value of `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    JsonLines,
    /// RFC 4180.
    Csv,
}
