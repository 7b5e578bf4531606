//! `sockpulse explain CODE`: the page of a finding.

use std::io::Write;

use sockpulse_core::Code;

use crate::app::Face;
use crate::args::ExplainArgs;
use crate::error::{CommandError, ErrorKind, Exit};
use crate::markdown;
use crate::terminal;
use crate::values;

macro_rules! pages {
    ($($code:ident = $file:literal,)*) => {
        /// The page of documentation of a finding, in Markdown.
        #[must_use]
        pub fn page(code: Code) -> &'static str {
            match code {
                $(Code::$code => include_str!(concat!("../../../docs/findings/", $file)),)*
            }
        }
    };
}

pages! {
    KeepaliveOff = "SP001.md",
    Slow = "SP002.md",
    Fragile = "SP003.md",
    UserTimeoutAlone = "SP004.md",
    IdleCollides = "SP005.md",
    Chatty = "SP006.md",
    LongerThanPath = "SP007.md",
    StaleTimer = "SP008.md",
    SysctlUnused = "SP009.md",
    NamespaceDiffers = "SP010.md",
    ZeroProbes = "SP011.md",
    SilentUnprotected = "SP012.md",
    Retransmitting = "SP013.md",
}

/// Prints a page, or the list of codes.
pub(crate) fn run(
    args: &ExplainArgs,
    face: &Face,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let mut text = Vec::new();
    match &args.code {
        Some(name) => {
            let code = Code::parse(name).ok_or_else(|| unknown(name))?;
            markdown::render(&mut text, page(code), face.palette);
        }
        None => {
            for code in Code::ALL {
                let style = terminal::of_severity(code.severity());
                face.palette.paint(&mut text, style, code.name().as_bytes());
                let severity = code.severity().name();
                text.extend_from_slice(format!("  {severity:<4}  {}\n", code.title()).as_bytes());
            }
        }
    }
    out.write_all(&text).map_err(CommandError::output)?;
    Ok(Exit::Done)
}

fn unknown(name: &str) -> CommandError {
    let codes: Vec<_> = Code::ALL
        .iter()
        .map(|code| format!("  {}  {}", code.name(), code.title()))
        .collect();
    let error = CommandError::new(
        ErrorKind::Usage,
        format!(
            "no finding has the code {:?}; the codes are:\n{}",
            name,
            codes.join("\n")
        ),
    );
    match values::nearest(name, Code::ALL.iter().map(|code| code.name())) {
        Some(near) if name.len() > 2 => error.hint(format!("sockpulse explain {near}")),
        _ => error.hint("sockpulse explain SP001"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_with_its_title() {
        for code in Code::ALL {
            let page = page(*code);
            let title = format!("# {}: {}", code.name(), code.title());
            assert_eq!(page.lines().next(), Some(&*title), "{}", code.name());
            assert!(page.len() > 500, "{} says too little", code.name());
        }
    }

    #[test]
    fn pages_name_no_command_that_does_not_exist() {
        let known = ["audit", "list", "doctor", "explain", "completions", "man"];
        for code in Code::ALL {
            for (_, after) in page(*code)
                .match_indices("sockpulse ")
                .map(|(at, word)| page(*code).split_at(at + word.len()))
            {
                let command: String = after
                    .chars()
                    .take_while(char::is_ascii_alphabetic)
                    .collect();
                let at_prompt = known.contains(&&*command) || after.starts_with('-');
                // Sentences name the program too: "sockpulse shows".
                let later = [
                    "protect",
                    "ping",
                    "reap",
                    "plan",
                    "defaults",
                    "run",
                    "watch",
                    "top",
                    "check",
                    "agent",
                    "path",
                    "lab",
                    "policy",
                    "undo",
                    "unprotect",
                ];
                assert!(
                    at_prompt || !later.contains(&&*command),
                    "{}: {command}",
                    code.name()
                );
            }
        }
    }
}
