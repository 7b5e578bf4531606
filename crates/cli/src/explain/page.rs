//! The pages of findings, and the list of their codes.

use sockpulse_core::Code;

use crate::error::{CommandError, ErrorKind};
use crate::markdown;
use crate::terminal::{self, Palette};
use crate::values;

macro_rules! pages {
    ($($code:ident = $file:literal,)*) => {
        /// The page of documentation of a finding, in Markdown.
        #[must_use]
        pub fn page(code: Code) -> &'static str {
            match code {
                $(Code::$code => include_str!(concat!("../../../../docs/findings/", $file)),)*
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

/// Appends the page of the finding that is named.
pub(super) fn show(text: &mut Vec<u8>, name: &str, palette: Palette) -> Result<(), CommandError> {
    let code = Code::parse(name).ok_or_else(|| unknown(name))?;
    markdown::render(text, page(code), palette);
    Ok(())
}

/// Appends the codes, and what else can be explained.
pub(super) fn list(text: &mut Vec<u8>, palette: Palette) {
    for code in Code::ALL {
        let style = terminal::of_severity(code.severity());
        palette.paint(text, style, code.name().as_bytes());
        let severity = code.severity().name();
        text.extend_from_slice(format!("  {severity:<4}  {}\n", code.title()).as_bytes());
    }
    for (command, what) in USES {
        text.push(b'\n');
        palette.paint(text, terminal::COMMAND, command.as_bytes());
        text.extend_from_slice(format!("\n    {what}\n").as_bytes());
    }
}

/// What `explain` is for, besides the list.
const USES: [(&str, &str); 3] = [
    (
        "sockpulse explain SP001",
        "what a finding means and how to mend it",
    ),
    (
        "sockpulse explain --idle 60s --interval 10s --probes 6",
        "when a dead peer is noticed with these settings",
    ),
    (
        "sockpulse explain --program redis-server",
        "when it is noticed on connections that are open",
    ),
];

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
        let existing = crate::app::command();
        let exists = |name: &str| existing.find_subcommand(name).is_some();
        for code in Code::ALL {
            for (_, after) in page(*code)
                .match_indices("sockpulse ")
                .map(|(at, word)| page(*code).split_at(at + word.len()))
            {
                let command: String = after
                    .chars()
                    .take_while(char::is_ascii_alphabetic)
                    .collect();
                let at_prompt = exists(&command) || after.starts_with('-');
                // Sentences name the program too: "sockpulse shows".
                let later = [
                    "protect",
                    "ping",
                    "reap",
                    "plan",
                    "run",
                    "watch",
                    "top",
                    "check",
                    "agent",
                    "path",
                    "lab",
                    "policy",
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
