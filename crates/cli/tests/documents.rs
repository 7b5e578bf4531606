//! The commands in the documents: the command line understands each of them.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_command_in_the_documents_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = vec![root.join("README.md")];
    markdown_below(&root.join("docs"), &mut files);
    let mut refused = Vec::new();
    let mut commands = 0;
    for file in files {
        let text = fs::read_to_string(&file).expect("readable");
        for line in shell_lines(&text) {
            for words in sockpulse_commands(&line) {
                commands += 1;
                let parsed = sockpulse_cli::command().try_get_matches_from(&words);
                if let Err(error) = parsed
                    && error.use_stderr()
                {
                    refused.push(format!("{}: {line}\n{error}", file.display()));
                }
            }
        }
    }
    assert!(commands > 40, "only {commands} were found");
    assert!(refused.is_empty(), "\n{}", refused.join("\n"));
}

fn markdown_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            markdown_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// The lines of `sh` fences and of blocks that are indented by four spaces; a line that ends with a
/// backslash goes on in the next.
fn shell_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut fence: Option<bool> = None;
    let mut goes_on = false;
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fence = match fence {
                Some(_) => None,
                None => Some(language.trim() == "sh"),
            };
            goes_on = false;
            continue;
        }
        if !fence.unwrap_or(line.starts_with("    ")) {
            goes_on = false;
            continue;
        }
        let (line, more) = match line.trim().strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line.trim(), false),
        };
        match lines.last_mut().filter(|_| goes_on) {
            Some(last) => last.push_str(line),
            None => lines.push(line.to_owned()),
        }
        goes_on = more;
    }
    lines
}

/// What the shell would hand to sockpulse, with the audit's name where none is written.
fn sockpulse_commands(line: &str) -> Vec<Vec<String>> {
    pieces(line)
        .into_iter()
        .filter_map(|words| {
            let at = words.iter().position(|word| word == "sockpulse")?;
            let mut words = words[at..].to_vec();
            if words.get(1).is_none_or(|word| word.starts_with('-')) {
                words.insert(1, "audit".to_owned());
            }
            Some(words)
        })
        .collect()
}

/// The words of each command of a line: quotes are taken off, comments and redirections left out.
fn pieces(line: &str) -> Vec<Vec<String>> {
    let mut pieces = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (_, Some(open)) if letter == open => quote = None,
            (_, Some(_)) => word.get_or_insert_default().push(letter),
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            ('#', None) if word.is_none() => break,
            ('>', None) => {
                // To the end of the command: what follows is a file.
                word = None;
                while letters.peek().is_some_and(|next| !"|;&".contains(*next)) {
                    letters.next();
                }
            }
            (' ' | '|' | ';' | '&', None) => {
                pieces.last_mut().expect("never empty").extend(word.take());
                if letter != ' ' {
                    pieces.push(Vec::new());
                }
            }
            (_, None) => word.get_or_insert_default().push(letter),
        }
    }
    pieces.last_mut().expect("never empty").extend(word);
    pieces
}

#[test]
fn commands_are_read_as_a_shell_reads_them() {
    let commands = |line: &str| sockpulse_commands(line);
    assert_eq!(commands("sockpulse"), [["sockpulse", "audit"]]);
    assert_eq!(
        commands("nsenter -t 1 sockpulse list --program 'a b' | jq .x > out # sockpulse no"),
        [["sockpulse", "list", "--program", "a b"]]
    );
    assert_eq!(commands("grep sockpulse_x file"), Vec::<Vec<String>>::new());
    let text = "```sh\nsockpulse list \\\n  --wide\n```\n```text\nsockpulse no\n```\n";
    assert_eq!(shell_lines(text), ["sockpulse list --wide"]);
}
