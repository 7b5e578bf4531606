//! The faces of sockpulse: the command line, tables, JSON, CSV and the audit screen.

mod app;
mod append;
mod args;
mod audit;
mod coverage;
mod csv;
mod doctor;
pub mod error;
mod explain;
mod fields;
#[cfg_attr(not(test), expect(dead_code, reason = "drawings are written by it"))]
mod file;
mod fit;
pub mod generate;
mod json;
mod list;
mod listing;
pub mod machine;
mod markdown;
pub mod options;
pub mod row;
#[cfg(test)]
mod sample;
mod screen;
mod selectors;
mod settings;
pub mod software;
mod stdout;
pub mod survey;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "timelines and curves are drawn with it")
)]
mod svg;
mod table;
mod terminal;
mod values;

pub use app::{command, main, run, tell_panics};
pub use explain::page;
