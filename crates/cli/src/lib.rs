//! The faces of sockpulse: the command line, tables, JSON, CSV and the audit screen.

mod app;
mod append;
mod apply;
mod args;
mod audit;
mod coverage;
mod csv;
mod defaults;
mod doctor;
mod elsewhere;
pub mod error;
mod explain;
mod fields;
mod file;
mod fit;
pub mod generate;
mod journal;
mod json;
mod lab;
mod list;
mod listing;
pub mod machine;
mod markdown;
pub mod options;
mod plan;
mod protect;
pub mod row;
mod run;
#[cfg(test)]
mod sample;
mod screen;
mod selectors;
mod settings;
pub mod sink;
pub mod software;
mod stdout;
mod stop;
pub mod survey;
mod svg;
mod table;
mod terminal;
mod values;
pub mod walk;
pub mod watch;

pub use app::{command, main, run, tell_panics};
pub use explain::page;
