//! The faces of sockpulse: the command line, tables, JSON, CSV and the audit screen.

pub mod error;
pub mod machine;
pub mod options;
pub mod row;
