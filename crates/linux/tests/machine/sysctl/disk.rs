//! What is read from the disk, whatever lies there.

use std::path::Path;

use sockpulse_core::persisted::{Content, Folder, Tree};
use sockpulse_linux::sysctl::{MAX_FILE, tree};

use crate::common::{isolated, sh};

fn content<'a>(tree: &'a Tree, name: &str) -> &'a Content {
    let mut files = tree.files.iter();
    let file = files.find(|file| file.name == name.as_bytes());
    &file.unwrap_or_else(|| panic!("{name}: {tree:?}")).content
}

#[test]
fn root_nothing_that_lies_there_stops_the_reader() {
    let test = "sysctl::disk::root_nothing_that_lies_there_stops_the_reader";
    isolated(test, || {
        sh(&format!(
            r#"
            mkdir -p /run/r/etc/sysctl.d /run/r/usr/lib/sysctl.d /run/r/dev
            ln -s usr/lib /run/r/lib
            mkdir -p /run/r/usr/local/lib && touch /run/r/usr/local/lib/sysctl.d
            cd /run/r/etc/sysctl.d
            echo a=1 > text.conf; echo a=1 > /run/r/usr/lib/sysctl.d/low.conf
            echo outside > /run/outside.conf; ln -s /run/outside.conf outside.conf
            ln -s ../../../../../../run/outside.conf above.conf
            ln -s ../sysctl.conf 99-sysctl.conf; echo b=2 > ../sysctl.conf
            mkfifo fifo.conf; ln -s fifo.conf to-fifo.conf; mkdir folder.conf
            ln -s loop.conf loop.conf; ln -s nothing nothing.conf; ln -s /dev/null masked.conf
            truncate -s {MAX_FILE} large.conf; truncate -s {} too-large.conf
            touch other.txt conf .hidden.conf
            "#,
            MAX_FILE + 1
        ));
        let tree = tree(Path::new("/run/r"));
        for (name, expected) in [
            ("text.conf", Content::Text(b"a=1\n".to_vec())),
            ("low.conf", Content::Text(b"a=1\n".to_vec())),
            ("99-sysctl.conf", Content::Text(b"b=2\n".to_vec())),
            (".hidden.conf", Content::Text(Vec::new())),
            // The root is not left.
            ("outside.conf", Content::Dangling),
            ("above.conf", Content::Dangling),
            ("nothing.conf", Content::Dangling),
            ("fifo.conf", Content::Special),
            ("to-fifo.conf", Content::Special),
            ("folder.conf", Content::Folder),
            ("masked.conf", Content::Masked),
            ("too-large.conf", Content::TooLarge),
        ] {
            assert_eq!(*content(&tree, name), expected, "{name}");
        }
        assert!(matches!(content(&tree, "large.conf"), Content::Text(_)));
        assert!(matches!(
            content(&tree, "loop.conf"),
            Content::Unreadable(_)
        ));
        assert_eq!(tree.files.len(), 14, "each once, and no others");
        assert_eq!(tree.sysctl_conf, Some(Content::Text(b"b=2\n".to_vec())));
        let unreadable: Vec<Folder> = tree.unreadable.iter().map(|(folder, _)| *folder).collect();
        assert_eq!(
            unreadable,
            [Folder::LocalLib],
            "a file in the folder's place"
        );
    });
}

#[test]
fn an_empty_root_has_no_files() {
    let folder = std::env::temp_dir().join(format!("sockpulse-root-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let found = tree(&folder);
    std::fs::remove_dir(&folder).unwrap();
    assert_eq!(found, Tree::default());
    let gone = tree(&folder);
    assert_eq!(gone.unreadable.len(), Folder::ALL.len(), "{gone:?}");
}
