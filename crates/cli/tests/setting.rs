//! `defaults` and `undo` on a real kernel, with real files and the programs that read them at boot.
//!
//! Each test is a script in network, mount and pid namespaces of its own: `/etc/sysctl.d`, the other
//! folders, `/etc/sysctl.conf`, `/var/lib` and `/run` are empty there, and nothing reaches the host.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Stdio};

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;

/// What stands before every script. `set` is the command of most of them.
const PRELUDE: &str = r#"
mount --make-rprivate /
for folder in /var/lib /run /etc/sysctl.d /usr/lib/sysctl.d; do mount -t tmpfs -o mode=755 tmpfs $folder; done
if [ -d /usr/local/lib/sysctl.d ]; then mount -t tmpfs tmpfs /usr/local/lib/sysctl.d; fi
: > /run/empty
if [ -e /etc/sysctl.conf ]; then mount --bind /run/empty /etc/sysctl.conf; fi
ip link set lo up
values() { cat /proc/sys/net/ipv4/tcp_keepalive_time /proc/sys/net/ipv4/tcp_keepalive_intvl \
    /proc/sys/net/ipv4/tcp_keepalive_probes | xargs; }
status() { "$@"; echo "status $?"; }
boot() { unshare -n sh -euc "$1 >/dev/null 2>&1 || true
    cat /proc/sys/net/ipv4/tcp_keepalive_time /proc/sys/net/ipv4/tcp_keepalive_intvl \
        /proc/sys/net/ipv4/tcp_keepalive_probes | xargs"; }
SYSTEMD=/lib/systemd/systemd-sysctl
OURS=/etc/sysctl.d/zz-sockpulse.conf
"#;

/// What a script said, standard output and error in one; `None` without root, which is told.
fn script(test: &str, body: &str) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: {test} needs root");
        return None;
    }
    let text = format!("{PRELUDE}\nset +e\n{{ {body}\n}} 2>&1");
    let output = Command::new("timeout")
        .args([
            "--kill-after=5",
            "60",
            "unshare",
            "-n",
            "-m",
            "--pid",
            "--fork",
            "--mount-proc",
        ])
        .args(["sh", "-euc", &text])
        .env("SOCKPULSE", cargo_bin!("sockpulse"))
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test}: {said}{errors}");
    Some(said)
}

/// Every text stands there.
fn says(said: &str, texts: &[&str]) {
    for text in texts {
        assert!(said.contains(text), "{text:?} is missing in:\n{said}");
    }
}

#[test]
fn root_values_outlive_a_boot_under_both_programs() {
    let Some(said) = script(
        "root_values_outlive_a_boot_under_both_programs",
        r#"
        for name in 10-first 99-zz-last; do
            echo net.ipv4.tcp_keepalive_time = 1111 > /etc/sysctl.d/$name.conf
        done
        status $SOCKPULSE defaults set --idle 2m --interval 20s --probes 5 --persist
        echo "now $(values)"
        echo "systemd $(boot $SYSTEMD)"
        echo "procps $(boot 'sysctl --system')"
        stat -c 'mode %a' $OURS
        status $SOCKPULSE defaults reset
        echo "again $(values)"
        echo "systemd again $(boot $SYSTEMD)"
        ls /etc/sysctl.d
    "#,
    ) else {
        return;
    };
    says(
        &said,
        &[
            "now 120 20 5",
            "systemd 120 20 5",
            "procps 120 20 5",
            "mode 644",
            "again 7200 75 9",
            "systemd again 1111 75 9",
        ],
    );
    assert_eq!(said.matches("status 0").count(), 2, "{said}");
    assert!(said.ends_with("10-first.conf\n99-zz-last.conf\n"), "{said}");
}

#[test]
fn root_what_both_programs_will_do_is_foretold() {
    let Some(said) = script(
        "root_what_both_programs_will_do_is_foretold",
        r#"
        [ -e /etc/sysctl.conf ] || { echo missing; exit 0; }
        echo 'net.ipv4.tcp_keepalive_time = 1001 # a minute and more' > /run/conf
        mount --bind /run/conf /etc/sysctl.conf
        ln -s ../sysctl.conf /etc/sysctl.d/99-sysctl.conf
        status $SOCKPULSE defaults set --idle 2m --persist
        echo "systemd $(boot $SYSTEMD)"
        echo "procps $(boot 'sysctl --system')"
        $SOCKPULSE defaults -o json
        readlink /etc/sysctl.d/99-sysctl.conf
        cat /etc/sysctl.conf
    "#,
    ) else {
        return;
    };
    if said.trim() == "missing" {
        eprintln!("SKIPPED: root_what_both_programs_will_do_is_foretold needs /etc/sysctl.conf");
        return;
    }
    says(
        &said,
        &[
            "under sysctl --system the line /etc/sysctl.conf:1 still sets \
         net.ipv4.tcp_keepalive_time to 1001",
            "status 3",
            "systemd 120 75 9",
            "procps 1001 75 9",
            // Neither the link nor the file that it leads to was touched.
            "../sysctl.conf\nnet.ipv4.tcp_keepalive_time = 1001 # a minute and more\n",
        ],
    );
    let json = said.lines().find(|line| line.starts_with('{')).unwrap();
    let json: Value = serde_json::from_str(json).unwrap();
    let idle = &json["namespaces"][0]["persisted"]["idle"];
    assert_eq!(idle["value"], 120, "{json}");
    assert_eq!(idle["file"], "/etc/sysctl.d/zz-sockpulse.conf");
    assert_eq!(idle["procps"]["value"], 1001, "{json}");
    assert_eq!(idle["procps"]["line"], 1);
}

#[test]
fn root_malformed_neighbours_are_told_and_do_no_harm() {
    let Some(said) = script(
        "root_malformed_neighbours_are_told_and_do_no_harm",
        r#"
        printf 'no assignment\n\377\376 = \0\n= 1\nnet.ipv4.tcp_keepalive_time = 60s\n' \
            > /etc/sysctl.d/50-broken.conf
        mkdir /etc/sysctl.d/60-folder.conf
        mkfifo /etc/sysctl.d/61-fifo.conf
        ln -s /nowhere /etc/sysctl.d/62-dangling.conf
        cksum /etc/sysctl.d/50-broken.conf
        status $SOCKPULSE defaults
        status $SOCKPULSE defaults set --idle 2m --persist
        rm /etc/sysctl.d/61-fifo.conf
        echo "systemd $(boot $SYSTEMD)"
        cksum /etc/sysctl.d/50-broken.conf
    "#,
    ) else {
        return;
    };
    says(
        &said,
        &[
            "/etc/sysctl.d/50-broken.conf:1: the line is no assignment",
            "/etc/sysctl.d/60-folder.conf: a folder, not a file",
            "/etc/sysctl.d/61-fifo.conf: no regular file",
            "/etc/sysctl.d/62-dangling.conf: a link to a file that is not there",
            "systemd 120 75 9",
        ],
    );
    let sums: Vec<_> = said
        .lines()
        .filter(|line| line.ends_with("50-broken.conf"))
        .collect();
    assert_eq!(sums.first(), sums.last(), "{said}");
}

#[test]
fn root_a_read_only_etc_changes_nothing() {
    let Some(said) = script(
        "root_a_read_only_etc_changes_nothing",
        r#"
        mount -o remount,ro /etc/sysctl.d
        status $SOCKPULSE defaults set --idle 2m --persist
        echo "now $(values)"
        ls /var/lib
        status $SOCKPULSE defaults set --idle 2m
        echo "then $(values)"
    "#,
    ) else {
        return;
    };
    says(
        &said,
        &[
            "error: failed to write /etc/sysctl.d: read-only file system",
            "hint: leave --persist out to set it until the next boot only",
            "status 3\nnow 7200 75 9\nhost: ",
            "status 0\nthen 120 75 9",
        ],
    );
}

#[test]
fn root_a_full_disk_loses_nothing() {
    let Some(said) = script(
        "root_a_full_disk_loses_nothing",
        r#"
        umount /etc/sysctl.d; mount -t tmpfs -o size=16k tmpfs /etc/sysctl.d
        $SOCKPULSE defaults set --idle 2m --persist >/dev/null
        head -c 100000 /dev/zero > /etc/sysctl.d/filler
        cksum $OURS
        status $SOCKPULSE defaults set --idle 1m --persist
        cksum $OURS
        ls /etc/sysctl.d
        echo "now $(values)"
        status $SOCKPULSE undo --list
    "#,
    ) else {
        return;
    };
    says(
        &said,
        &[
            "no space left on device",
            "hint: make room on that file system; what was in the file is still there",
            "status 3",
            "\nfiller\nzz-sockpulse.conf\nnow 120 75 9",
            "(failed: ",
        ],
    );
    let sums: Vec<_> = said
        .lines()
        .filter(|line| line.ends_with("zz-sockpulse.conf"))
        .collect();
    assert_eq!(
        sums[0],
        sums.iter()
            .rfind(|line| line.starts_with(char::is_numeric))
            .unwrap()
            .to_owned()
    );
}

#[test]
fn root_a_full_disk_of_the_journal_changes_nothing() {
    let Some(said) = script(
        "root_a_full_disk_of_the_journal_changes_nothing",
        r#"
        umount /var/lib; mount -t tmpfs -o size=16k tmpfs /var/lib
        head -c 100000 /dev/zero > /var/lib/filler
        status $SOCKPULSE defaults set --idle 2m
        mount -o remount,ro /var/lib
        status $SOCKPULSE defaults set --idle 2m
        status $SOCKPULSE defaults set --idle 2m --dry-run
        echo "now $(values)"
        status $SOCKPULSE defaults set --idle 2m --state-dir /run/state
        echo "then $(values)"
    "#,
    ) else {
        return;
    };
    says(
        &said,
        &[
            "failed to write the journal /var/lib/sockpulse",
            "No space left on device",
            "Read-only file system",
            "would fail: failed to write the journal",
            "hint: keep it where there is room: --state-dir DIR",
            "now 7200 75 9",
            "then 120 75 9",
        ],
    );
    assert_eq!(said.matches("status 3").count(), 3, "{said}");
}

#[test]
fn root_a_container_with_read_only_proc_sys_is_told_what_helps() {
    let Some(said) = script(
        "root_a_container_with_read_only_proc_sys_is_told_what_helps",
        r#"
        mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys
        status $SOCKPULSE defaults set --idle 2m
        echo "now $(values)"
        ls -A /var/lib | wc -l
    "#,
    ) else {
        return;
    };
    says(
        &said,
        &[
            "error: failed to open /proc/sys/net/ipv4/tcp_keepalive_time: read-only file system",
            "hint: from the host: sockpulse defaults set --idle 120 --netns PID, of a process in the container",
            "hint: or start the container with it: --sysctl net.ipv4.tcp_keepalive_time=120",
            "status 3\nnow 7200 75 9\n0\n",
        ],
    );
}

#[test]
fn root_without_privilege_the_capability_is_named() {
    let Some(said) = script(
        "root_without_privilege_the_capability_is_named",
        r#"
        cp $SOCKPULSE /run/sockpulse; chmod 755 /run /run/sockpulse
        nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
        status nobody /run/sockpulse defaults set --idle 2m
        status nobody /run/sockpulse defaults set --idle 2m --persist
        status nobody /run/sockpulse defaults set --idle 2m --dry-run
        status nobody /run/sockpulse defaults get --netns self
        status nobody /run/sockpulse undo --list
        echo "now $(values)"
    "#,
    ) else {
        return;
    };
    says(
        &said,
        &[
            "error: failed to open /proc/sys/net/ipv4/tcp_keepalive_time: permission denied",
            "hint: run as root, or grant CAP_NET_ADMIN in the user namespace that owns the network \
         namespace\nstatus 4",
            "error: failed to write /etc/sysctl.d: permission denied",
            "CAP_DAC_OVERRIDE)\nstatus 4",
            "7200 -> 120: asked for",
            "host         2h       75s       9  2h11m15s",
            "the journal is empty: nothing was changed\nstatus 0\nnow 7200 75 9",
        ],
    );
}

#[test]
fn root_a_namespace_that_is_gone_is_said() {
    let Some(said) = script(
        "root_a_namespace_that_is_gone_is_said",
        r#"
        ip netns add one; ip netns add two
        status $SOCKPULSE defaults set --idle 2m --netns one --netns two
        ip netns exec one cat /proc/sys/net/ipv4/tcp_keepalive_time
        echo "now $(values)"
        ip netns del one; ip netns add three
        status $SOCKPULSE undo
        ip netns exec two cat /proc/sys/net/ipv4/tcp_keepalive_time
        status $SOCKPULSE defaults reset
    "#,
    ) else {
        return;
    };
    says(
        &said,
        &[
            "status 0\n120\nnow 7200 75 9",
            "two: net.ipv4.tcp_keepalive_time 120 -> 7200: undo of change 1",
            "left: net.ipv4.tcp_keepalive_time in one: the namespace is gone",
            "status 0\n7200\n",
        ],
    );
}

#[test]
fn root_a_namespace_of_the_own_says_that_files_are_the_hosts() {
    let Some(said) = script(
        "root_a_namespace_of_the_own_says_that_files_are_the_hosts",
        r#"
        ip netns add web
        status $SOCKPULSE defaults set --idle 2m --netns web --persist
        status $SOCKPULSE defaults set --idle 2m --netns web --persist --force
        echo "now $(values)"
        $SOCKPULSE defaults
    "#,
    ) else {
        return;
    };
    says(
        &said,
        &[
            "refused: --persist writes the host's file, which is not read for web",
            "note: the file is read at boot for the host's network namespace, not for this one",
            "now 7200 75 9",
            "drift: idle is 2h now and will be 2m after the next boot",
            "1 namespace has other defaults than host",
        ],
    );
}

/// Every recipe of the guide beside the command that does the same.
#[test]
fn root_every_recipe_has_a_twin() {
    const DONE: &str =
        "$SOCKPULSE defaults set --idle 60 --interval 60 --probes 20 >/dev/null 2>&1";
    let Some(said) = script(
        "root_every_recipe_has_a_twin",
        &format!(
            r#"
        twin() {{ unshare -n sh -euc "export SOCKPULSE=$SOCKPULSE; $1
            cat /proc/sys/net/ipv4/tcp_keepalive_time /proc/sys/net/ipv4/tcp_keepalive_intvl \
                /proc/sys/net/ipv4/tcp_keepalive_probes | xargs"; }}
        echo "procfs $(twin 'echo 60 > /proc/sys/net/ipv4/tcp_keepalive_time
            echo 60 > /proc/sys/net/ipv4/tcp_keepalive_intvl
            echo 20 > /proc/sys/net/ipv4/tcp_keepalive_probes')"
        echo "sysctl $(twin 'sysctl -qw net.ipv4.tcp_keepalive_time=60 \
            net.ipv4.tcp_keepalive_intvl=60 net.ipv4.tcp_keepalive_probes=20')"
        echo "ours $(twin '{DONE}')"
        printf '%s\n' net.ipv4.tcp_keepalive_time=60 net.ipv4.tcp_keepalive_intvl=60 \
            net.ipv4.tcp_keepalive_probes=20 > /run/three
        echo "file $(twin 'sysctl -qp /run/three')"
        {DONE} --persist
        echo "systemd $(boot $SYSTEMD)"
        echo "procps $(boot 'sysctl --system')"
    "#
        ),
    ) else {
        return;
    };
    for recipe in ["procfs", "sysctl", "ours", "file", "systemd", "procps"] {
        says(&said, &[&format!("{recipe} 60 60 20")]);
    }
}

/// kill -9 at any moment: the journal tells what was going to be, and it can be put back.
#[test]
fn root_a_command_that_is_killed_can_be_undone() {
    let Some(said) = script(
        "root_a_command_that_is_killed_can_be_undone",
        r#"
        # What a killed command leaves: the intent, some of the changes, no outcome.
        $SOCKPULSE defaults set --idle 2m --probes 5 --persist >/dev/null 2>&1
        sed -i '$d' /var/lib/sockpulse/journal.jsonl
        echo 9 > /proc/sys/net/ipv4/tcp_keepalive_probes
        printf '{"schema_version":1,"kind":"outc' >> /var/lib/sockpulse/journal.jsonl
        status $SOCKPULSE undo --list
        status $SOCKPULSE defaults reset
        echo "now $(values)"
        ls /etc/sysctl.d | wc -l
    "#,
    ) else {
        return;
    };
    says(
        &said,
        &[
            "(it is not known whether it was made)",
            "note: /var/lib/sockpulse/journal.jsonl:2 breaks off or is no JSON",
            "host: net.ipv4.tcp_keepalive_time 120 -> 7200: what was there before our first change",
            "status 0\nnow 7200 75 9\n0\n",
        ],
    );
}

/// Two that begin while a third holds the journal: each plans by what the one before it left.
#[test]
fn root_two_at_once_do_not_disturb_each_other() {
    let test = "root_two_at_once_do_not_disturb_each_other";
    let body = r#"
        mkdir /var/lib/sockpulse; JOURNAL=/var/lib/sockpulse/journal.jsonl
        mkfifo /run/end; flock $JOURNAL cat /run/end & exec 9>/run/end
        for turn in $(seq 400); do flock -n $JOURNAL true || break; sleep 0.02; done
        $SOCKPULSE defaults set --idle 100 --interval 20 --persist >/run/one 2>&1 9>&- &
        $SOCKPULSE defaults set --idle 300 --probes 5 --persist >/run/two 2>&1 9>&- &
        for turn in $(seq 400); do
            grep -q ^waiting /run/one && grep -q ^waiting /run/two && break
            sleep 0.02
        done
        cat /run/one /run/two
        exec 9>&-
        wait
        [ "$(values)" = "$(boot $SYSTEMD)" ] && echo "one state: $(values)"
        status $SOCKPULSE undo; status $SOCKPULSE undo
        echo "again $(values)"
        ls /etc/sysctl.d | wc -l
    "#;
    let Some(said) = script(test, body) else {
        return;
    };
    says(
        &said,
        &["(flock), which holds the journal", "again 7200 75 9\n0\n"],
    );
    let ends = ["one state: 300 20 5\n", "one state: 100 20 5\n"];
    assert!(ends.iter().any(|end| said.contains(end)), "{said}");
    assert_eq!(said.matches("waiting for process ").count(), 2, "{said}");
    assert_eq!(said.matches("status 0").count(), 2, "{said}");
}

/// A file that sorts behind ours: ours is written anew under a name that sorts behind that.
#[test]
fn root_a_later_neighbour_is_overtaken() {
    let test = "root_a_later_neighbour_is_overtaken";
    let body = r#"
        $SOCKPULSE defaults set --idle 2m --persist >/dev/null 2>&1
        echo net.ipv4.tcp_keepalive_time = 1111 > /etc/sysctl.d/zz-t.conf
        $SOCKPULSE defaults | grep drift
        status $SOCKPULSE defaults set --interval 20s --persist
        ls /etc/sysctl.d
        echo "systemd $(boot $SYSTEMD)"
        echo "procps $(boot 'sysctl --system')"
        status $SOCKPULSE undo
        ls /etc/sysctl.d
        cat $OURS
    "#;
    let Some(said) = script(test, body) else {
        return;
    };
    says(
        &said,
        &[
            "drift: idle is 2m now and will be 18m31s after the next boot",
            "/etc/sysctl.d/zz-sockpulse.conf: removed: /etc/sysctl.d/zzz-sockpulse.conf takes its place",
            "zz-t.conf\nzzz-sockpulse.conf\n",
            "systemd 120 20 9",
            "procps 120 20 9",
            "zz-sockpulse.conf\nzz-t.conf\n#",
        ],
    );
    assert_eq!(said.matches("status 0").count(), 2, "{said}");
}
