# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_sockpulse_global_optspecs
    string join \n o/output= color= v/verbose h/help V/version
end

function __fish_sockpulse_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_sockpulse_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_sockpulse_using_subcommand
    set -l cmd (__fish_sockpulse_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c sockpulse -n "__fish_sockpulse_needs_command" -s o -l output -d 'How to print: for people, one JSON document, JSON lines, or CSV' -r -f -a "table\t''
json\t''
jsonl\t''
csv\t''"
complete -c sockpulse -n "__fish_sockpulse_needs_command" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_needs_command" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -s V -l version -d 'Print version'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "audit" -d 'One screen: what is wrong, where, how much, and the command that mends it'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "list" -d 'Every connection with its settings, timers, silence, exposure and owner'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "ping" -d 'Ask now whether the peers of established connections are alive'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "reap" -d 'End connections whose peers are dead, after asking each of them'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "defaults" -d 'The kernel\'s defaults: see, set and put back, now and at boot, in every namespace'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "protect" -d 'Keepalive for programs that did not ask for it, while they run'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "unprotect" -d 'End the kernel\'s rules for connections to come'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "undo" -d 'Put back what sockpulse changed, by its journal'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "watch" -d 'What happens to connections, as it happens: opened, silent, recovered, dead and why'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "lab" -d 'Break a connection in a network of its own, and hold the kernel against the prediction'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "doctor" -d 'What this kernel and these privileges allow, what is lost without, what to grant'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "explain" -d 'When exactly a dead peer is noticed, and what a finding means'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "plan" -d 'Chooses settings, and shows what they give, cost and risk'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "completions" -d 'Completions for a shell, on stdout'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "man" -d 'The manual page, on stdout'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "run" -d 'Start one program with keepalive on all its TCP sockets, without root'
complete -c sockpulse -n "__fish_sockpulse_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l program -d 'Name of the owning program, `*` and `?` allowed; the kernel keeps 15 bytes of it' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l pid -d 'Process that holds the socket' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l unit -d 'systemd unit; `.service` may be left out, `*` and `?` allowed' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l container -d 'Container\'s name or id, of which twelve digits are enough' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l cgroup -d 'cgroup\'s path, and everything below' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l local -d 'The end here: 10.0.0.1, 10.0.0.0/8, :6379, 10.0.0.1:6379, [2001:db8::/32]:443' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l remote -d 'The peer\'s end, written alike' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l port -d 'Port of either end' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l state -d 'State of the connection' -r -f -a "established\t''
syn-sent\t''
syn-received\t''
fin-wait-1\t''
fin-wait-2\t''
time-wait\t''
closed\t''
close-wait\t''
last-ack\t''
listen\t''
closing\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l silent-for -d 'Nothing was received from the peer for at least this long' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l exposure -d 'What becomes of the connection when its peer dies while it is idle' -r -f -a "unprotected\t''
slow\t''
fragile\t''
protected\t''
probing\t''
local\t''
unknown\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l netns -d 'Network namespace: all that may be entered (the default), our own, a name as `defaults` shows it (of ip netns, a container, a unit, host), or that of a process' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l detect-within -d 'How soon a dead peer should be noticed; what takes longer is `slow`' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l source -d 'Which reader serves; `auto` takes the best that this kernel and these privileges allow' -r -f -a "auto\t''
task-file\t''
iter-tcp\t''
pidfd\t''
sock-diag\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l accept-kernel-risk -d 'Use what this kernel\'s version has a known fault in, as where it was mended by the distribution' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l fail-on -d 'Exit with status 1 when any connection has one of these exposures' -r -f -a "unprotected\t''
slow\t''
fragile\t''
protected\t''
probing\t''
local\t''
unknown\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -s o -l output -d 'How to print: for people, one JSON document, JSON lines, or CSV' -r -f -a "table\t''
json\t''
jsonl\t''
csv\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l program -d 'Name of the owning program, `*` and `?` allowed; the kernel keeps 15 bytes of it' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l pid -d 'Process that holds the socket' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l unit -d 'systemd unit; `.service` may be left out, `*` and `?` allowed' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l container -d 'Container\'s name or id, of which twelve digits are enough' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l cgroup -d 'cgroup\'s path, and everything below' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l local -d 'The end here: 10.0.0.1, 10.0.0.0/8, :6379, 10.0.0.1:6379, [2001:db8::/32]:443' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l remote -d 'The peer\'s end, written alike' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l port -d 'Port of either end' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l state -d 'State of the connection' -r -f -a "established\t''
syn-sent\t''
syn-received\t''
fin-wait-1\t''
fin-wait-2\t''
time-wait\t''
closed\t''
close-wait\t''
last-ack\t''
listen\t''
closing\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l silent-for -d 'Nothing was received from the peer for at least this long' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l exposure -d 'What becomes of the connection when its peer dies while it is idle' -r -f -a "unprotected\t''
slow\t''
fragile\t''
protected\t''
probing\t''
local\t''
unknown\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l netns -d 'Network namespace: all that may be entered (the default), our own, a name as `defaults` shows it (of ip netns, a container, a unit, host), or that of a process' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l detect-within -d 'How soon a dead peer should be noticed; what takes longer is `slow`' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l source -d 'Which reader serves; `auto` takes the best that this kernel and these privileges allow' -r -f -a "auto\t''
task-file\t''
iter-tcp\t''
pidfd\t''
sock-diag\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l accept-kernel-risk -d 'Use what this kernel\'s version has a known fault in, as where it was mended by the distribution' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l sort -d 'Sort by a field, `-FIELD` for the largest first; the first row waits for the last' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l columns -d 'Show these fields, in this order (table and CSV)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -s o -l output -d 'How to print: for people, one JSON document, JSON lines, or CSV' -r -f -a "table\t''
json\t''
jsonl\t''
csv\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -l wide -d 'Show every field, as wide as the table gets'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l program -d 'Name of the owning program, `*` and `?` allowed; the kernel keeps 15 bytes of it' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l pid -d 'Process that holds the socket' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l unit -d 'systemd unit; `.service` may be left out, `*` and `?` allowed' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l container -d 'Container\'s name or id, of which twelve digits are enough' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l cgroup -d 'cgroup\'s path, and everything below' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l local -d 'The end here: 10.0.0.1, 10.0.0.0/8, :6379, 10.0.0.1:6379, [2001:db8::/32]:443' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l remote -d 'The peer\'s end, written alike' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l port -d 'Port of either end' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l state -d 'State of the connection' -r -f -a "established\t''
syn-sent\t''
syn-received\t''
fin-wait-1\t''
fin-wait-2\t''
time-wait\t''
closed\t''
close-wait\t''
last-ack\t''
listen\t''
closing\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l silent-for -d 'Nothing was received from the peer for at least this long' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l exposure -d 'What becomes of the connection when its peer dies while it is idle' -r -f -a "unprotected\t''
slow\t''
fragile\t''
protected\t''
probing\t''
local\t''
unknown\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l netns -d 'Network namespace: all that may be entered (the default), our own, a name as `defaults` shows it (of ip netns, a container, a unit, host), or that of a process' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l detect-within -d 'How soon a dead peer should be noticed; what takes longer is `slow`' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l source -d 'Which reader serves; `auto` takes the best that this kernel and these privileges allow' -r -f -a "auto\t''
task-file\t''
iter-tcp\t''
pidfd\t''
sock-diag\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l accept-kernel-risk -d 'Use what this kernel\'s version has a known fault in, as where it was mended by the distribution' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l method -d 'By a segment of our own (raw), which leaves no trace on the socket, or by the kernel\'s keepalive, switched on for a moment (option); `auto` takes raw where that is permitted' -r -f -a "auto\t''
raw\t''
option\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l spacing -d 'The least time between two probes on a connection, from 600ms on: Linux answers one in half a second' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l rate -d 'The most probes in one second, over all connections, so that no middlebox drops any' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l probes -d 'How often one that does not answer is asked before it is called dead. With fewer, loss may look like death' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l state-dir -d 'Where the journal is kept: method option leaves something behind' -r -F
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -s o -l output -d 'How to print: for people, one JSON document, JSON lines, or CSV' -r -f -a "table\t''
json\t''
jsonl\t''
csv\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -l all -d 'List the living too, however many they are'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand ping" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l program -d 'Name of the owning program, `*` and `?` allowed; the kernel keeps 15 bytes of it' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l pid -d 'Process that holds the socket' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l unit -d 'systemd unit; `.service` may be left out, `*` and `?` allowed' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l container -d 'Container\'s name or id, of which twelve digits are enough' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l cgroup -d 'cgroup\'s path, and everything below' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l local -d 'The end here: 10.0.0.1, 10.0.0.0/8, :6379, 10.0.0.1:6379, [2001:db8::/32]:443' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l remote -d 'The peer\'s end, written alike' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l port -d 'Port of either end' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l state -d 'State of the connection' -r -f -a "established\t''
syn-sent\t''
syn-received\t''
fin-wait-1\t''
fin-wait-2\t''
time-wait\t''
closed\t''
close-wait\t''
last-ack\t''
listen\t''
closing\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l silent-for -d 'Nothing was received from the peer for at least this long' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l exposure -d 'What becomes of the connection when its peer dies while it is idle' -r -f -a "unprotected\t''
slow\t''
fragile\t''
protected\t''
probing\t''
local\t''
unknown\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l netns -d 'Network namespace: all that may be entered (the default), our own, a name as `defaults` shows it (of ip netns, a container, a unit, host), or that of a process' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l detect-within -d 'How soon a dead peer should be noticed; what takes longer is `slow`' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l source -d 'Which reader serves; `auto` takes the best that this kernel and these privileges allow' -r -f -a "auto\t''
task-file\t''
iter-tcp\t''
pidfd\t''
sock-diag\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l accept-kernel-risk -d 'Use what this kernel\'s version has a known fault in, as where it was mended by the distribution' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l method -d 'By a segment of our own (raw), which leaves no trace on the socket, or by the kernel\'s keepalive, switched on for a moment (option); `auto` takes raw where that is permitted' -r -f -a "auto\t''
raw\t''
option\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l spacing -d 'The least time between two probes on a connection, from 600ms on: Linux answers one in half a second' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l rate -d 'The most probes in one second, over all connections, so that no middlebox drops any' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l probes -d 'How often one is asked before it is called dead; not less than a verdict needs that ends connections' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l max-per-second -d 'The most connections that are ended in one second' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l state-dir -d 'Where the journal is kept, by which changes are undone' -r -F
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -s o -l output -d 'How to print: for people, or one JSON document' -r -f -a "table\t''
json\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l unverified -d 'End the selected connections without asking; only together with --silent-for'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l yes -d 'End them without asking for consent'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -l dry-run -d 'Show what would be changed, and why, and what would stand in the way, and change nothing'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand reap" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and not __fish_seen_subcommand_from get set reset" -l netns -d 'Network namespace: all that may be entered (the default), our own, a name as it is shown (of ip netns, a container, a unit, host), or that of a process' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and not __fish_seen_subcommand_from get set reset" -s o -l output -d 'How to print: for people, one JSON document, JSON lines, or CSV' -r -f -a "table\t''
json\t''
jsonl\t''
csv\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and not __fish_seen_subcommand_from get set reset" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and not __fish_seen_subcommand_from get set reset" -l impact -d 'Count the connections that the defaults reach, and those that they do not'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and not __fish_seen_subcommand_from get set reset" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and not __fish_seen_subcommand_from get set reset" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and not __fish_seen_subcommand_from get set reset" -f -a "get" -d 'The values of each namespace, what is set at boot, and where both differ'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and not __fish_seen_subcommand_from get set reset" -f -a "set" -d 'Set them, now and with --persist also at boot'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and not __fish_seen_subcommand_from get set reset" -f -a "reset" -d 'Put back what was there before our first change'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from get" -l netns -d 'Network namespace: all that may be entered (the default), our own, a name as it is shown (of ip netns, a container, a unit, host), or that of a process' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from get" -s o -l output -d 'How to print: for people, one JSON document, JSON lines, or CSV' -r -f -a "table\t''
json\t''
jsonl\t''
csv\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from get" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from get" -l impact -d 'Count the connections that the defaults reach, and those that they do not'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from get" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from set" -l idle -d 'Silence before the first probe (net.ipv4.tcp_keepalive_time)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from set" -l interval -d 'Time between probes (net.ipv4.tcp_keepalive_intvl)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from set" -l probes -d 'Unanswered probes before a connection is given up (net.ipv4.tcp_keepalive_probes)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from set" -l netns -d 'Network namespace: our own (the default), all that may be entered, a name as it is shown (of ip netns, a container, a unit, host), or that of a process' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from set" -l spread -d 'Re-arm over this time, so that the probes that follow do not come all at once' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from set" -l state-dir -d 'Where the journal is kept, by which changes are undone' -r -F
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from set" -s o -l output -d 'How to print: for people, or one JSON document' -r -f -a "table\t''
json\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from set" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from set" -l persist -d 'Also write a file of our own under /etc/sysctl.d, which is read at boot'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from set" -l persist-only -d 'Write that file and nothing else: what holds now stays until the next boot'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from set" -l rearm -d 'Afterwards arm the timers anew that were armed before the default was lowered'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from set" -l force -d 'Set values that harm, too, and write the host\'s file for another namespace'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from set" -l dry-run -d 'Show what would be changed, and why, and what would stand in the way, and change nothing'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from set" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from reset" -l netns -d 'Only at run time in this network namespace; without, wherever we changed something, and with --to-kernel our own' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from reset" -l state-dir -d 'Where the journal is kept, by which changes are undone' -r -F
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from reset" -s o -l output -d 'How to print: for people, or one JSON document' -r -f -a "table\t''
json\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from reset" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from reset" -l to-kernel -d 'Set the kernel\'s own 2h, 75s, 9 instead, whatever was there before'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from reset" -l force -d 'Overwrite what someone else set since'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from reset" -l dry-run -d 'Show what would be changed, and why, and what would stand in the way, and change nothing'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from reset" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand defaults; and __fish_seen_subcommand_from reset" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l program -d 'Name of the owning program, `*` and `?` allowed; the kernel keeps 15 bytes of it' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l pid -d 'Process that holds the socket' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l unit -d 'systemd unit; `.service` may be left out, `*` and `?` allowed' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l container -d 'Container\'s name or id, of which twelve digits are enough' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l cgroup -d 'cgroup\'s path, and everything below' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l local -d 'The end here: 10.0.0.1, 10.0.0.0/8, :6379, 10.0.0.1:6379, [2001:db8::/32]:443' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l remote -d 'The peer\'s end, written alike' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l port -d 'Port of either end' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l state -d 'State of the connection' -r -f -a "established\t''
syn-sent\t''
syn-received\t''
fin-wait-1\t''
fin-wait-2\t''
time-wait\t''
closed\t''
close-wait\t''
last-ack\t''
listen\t''
closing\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l silent-for -d 'Nothing was received from the peer for at least this long' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l exposure -d 'What becomes of the connection when its peer dies while it is idle' -r -f -a "unprotected\t''
slow\t''
fragile\t''
protected\t''
probing\t''
local\t''
unknown\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l netns -d 'Network namespace: all that may be entered (the default), our own, a name as `defaults` shows it (of ip netns, a container, a unit, host), or that of a process' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l detect-within -d 'How soon a dead peer should be noticed; what takes longer is `slow`' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l source -d 'Which reader serves; `auto` takes the best that this kernel and these privileges allow' -r -f -a "auto\t''
task-file\t''
iter-tcp\t''
pidfd\t''
sock-diag\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l accept-kernel-risk -d 'Use what this kernel\'s version has a known fault in, as where it was mended by the distribution' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l idle -d 'Silence before the first probe, 1s to 32767s, in whole seconds: parts round up (TCP_KEEPIDLE)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l interval -d 'Time between probes, 1s to 32767s, in whole seconds: parts round up (TCP_KEEPINTVL)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l probes -d 'Unanswered probes before the connection is given up, 1 to 127 (TCP_KEEPCNT)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l user-timeout -d 'Also give up when sent data stays unacknowledged for so long (TCP_USER_TIMEOUT); `auto` is idle + interval x probes' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l mode -d 'Who wins where program and command want different things' -r -f -a "fill\t''
tighten\t''
override\t''
off\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l spread -d 'Make the changes over this time; without, over the least that keeps the probes that follow within the limit' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l max-probes-per-second -d 'The most probes that the changes may cause in one second' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l name -d 'The rule\'s name; one of the same name is replaced' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l accepted -d 'Whether connections that a program accepts inherit from its listener, or are each decided over' -r -f -a "inherit\t''
each\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l pins -d 'The folder of a bpffs in which they are kept' -r -F
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l cgroup-root -d 'The cgroup whose processes are meant; without, all' -r -F
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l state-dir -d 'Where the journal is kept, by which changes are undone' -r -F
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -s o -l output -d 'How to print: for people, or one JSON document' -r -f -a "table\t''
json\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l existing -d 'Connections that are open, and listeners; with --new both, which is the default'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l new -d 'Connections to come: a rule in the kernel that outlives this command'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l include-local -d 'Connections within one network namespace too'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l no-jitter -d 'Set the idle time exactly; without, open connections get up to an eighth less, each another, so that their probes do not come together'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l list -d 'Show the rules in force and what they did, and change nothing'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -l dry-run -d 'Show what would be changed, and why, and what would stand in the way, and change nothing'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand protect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand unprotect" -l pins -d 'The folder of a bpffs in which they are kept' -r -F
complete -c sockpulse -n "__fish_sockpulse_using_subcommand unprotect" -l cgroup-root -d 'The cgroup whose processes are meant; without, all' -r -F
complete -c sockpulse -n "__fish_sockpulse_using_subcommand unprotect" -l state-dir -d 'Where the journal is kept, by which changes are undone' -r -F
complete -c sockpulse -n "__fish_sockpulse_using_subcommand unprotect" -s o -l output -d 'How to print: for people, or one JSON document' -r -f -a "table\t''
json\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand unprotect" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand unprotect" -l dry-run -d 'Show what would be changed, and why, and what would stand in the way, and change nothing'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand unprotect" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand unprotect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand undo" -l since -d 'Everything that was changed within this time, last first' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand undo" -l cgroup-root -d 'The cgroup to which rules for connections to come are attached again; without, the root' -r -F
complete -c sockpulse -n "__fish_sockpulse_using_subcommand undo" -l accept-kernel-risk -d 'Use what this kernel\'s version has a known fault in, as where it was mended by the distribution' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand undo" -l state-dir -d 'Where the journal is kept, by which changes are undone' -r -F
complete -c sockpulse -n "__fish_sockpulse_using_subcommand undo" -s o -l output -d 'How to print: for people, or one JSON document' -r -f -a "table\t''
json\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand undo" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand undo" -l list -d 'Show what was changed and can be undone, and change nothing'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand undo" -l force -d 'Overwrite what someone else set since'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand undo" -l dry-run -d 'Show what would be changed, and why, and what would stand in the way, and change nothing'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand undo" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand undo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l program -d 'Name of the owning program, `*` and `?` allowed; the kernel keeps 15 bytes of it' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l pid -d 'Process that holds the socket' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l unit -d 'systemd unit; `.service` may be left out, `*` and `?` allowed' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l container -d 'Container\'s name or id, of which twelve digits are enough' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l cgroup -d 'cgroup\'s path, and everything below' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l local -d 'The end here: 10.0.0.1, 10.0.0.0/8, :6379, 10.0.0.1:6379, [2001:db8::/32]:443' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l remote -d 'The peer\'s end, written alike' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l port -d 'Port of either end' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l state -d 'State of the connection' -r -f -a "established\t''
syn-sent\t''
syn-received\t''
fin-wait-1\t''
fin-wait-2\t''
time-wait\t''
closed\t''
close-wait\t''
last-ack\t''
listen\t''
closing\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l silent-for -d 'Nothing was received from the peer for at least this long' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l exposure -d 'What becomes of the connection when its peer dies while it is idle' -r -f -a "unprotected\t''
slow\t''
fragile\t''
protected\t''
probing\t''
local\t''
unknown\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l netns -d 'Network namespace: all that may be entered (the default), our own, a name as `defaults` shows it (of ip netns, a container, a unit, host), or that of a process' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l detect-within -d 'How soon a dead peer should be noticed; what takes longer is `slow`' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l source -d 'Which reader serves; `auto` takes the best that this kernel and these privileges allow' -r -f -a "auto\t''
task-file\t''
iter-tcp\t''
pidfd\t''
sock-diag\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l accept-kernel-risk -d 'Use what this kernel\'s version has a known fault in, as where it was mended by the distribution' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l events -d 'What is to be told' -r -f -a "opened\t''
probing\t''
recovered\t''
died\t''
closed\t''
changed\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l for -d 'End after this time' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l count -d 'End after so many events' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l method -d 'Whether the kernel tells of events, or two looks at all sockets are compared; `auto` takes the kernel where it can' -r -f -a "auto\t''
bpf\t''
scan\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l every -d 'Time between two looks, with --method scan' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l cgroup-root -d 'The cgroup below which changes are seen; without, all' -r -F
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -s o -l output -d 'How to print: for people, one JSON document, JSON lines, or CSV' -r -f -a "table\t''
json\t''
jsonl\t''
csv\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand lab" -l idle -d 'Silence before the first probe, 1s to 32767s, in whole seconds: parts round up (TCP_KEEPIDLE)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand lab" -l interval -d 'Time between probes, 1s to 32767s, in whole seconds: parts round up (TCP_KEEPINTVL)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand lab" -l probes -d 'Unanswered probes before the connection is given up, 1 to 127 (TCP_KEEPCNT)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand lab" -l user-timeout -d 'Also give up when sent data stays unacknowledged for so long (TCP_USER_TIMEOUT); `auto` is idle + interval x probes' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand lab" -l loss -d 'How much the router loses, each way (random-loss, lossy-hour), like 30%' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand lab" -l nat-timeout -d 'After how long a silence the middlebox forgets (nat-… and firewall-…), whole seconds' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand lab" -s o -l output -d 'How to print: for people, one JSON document, JSON lines, or CSV' -r -f -a "table\t''
json\t''
jsonl\t''
csv\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand lab" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand lab" -l slow -d 'With `all`: the slow cases too, which take about 20 minutes'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand lab" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand lab" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand doctor" -l accept-kernel-risk -d 'Take a kernel\'s known fault in a reader as mended, as some distributions do' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand doctor" -s o -l output -d 'How to print: for people, one JSON document, JSON lines, or CSV' -r -f -a "table\t''
json\t''
jsonl\t''
csv\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand doctor" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand doctor" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l svg -d 'Draw the timelines too, as SVG into this file' -r -F
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l idle -d 'Silence before the first probe, 1s to 32767s, in whole seconds: parts round up (TCP_KEEPIDLE)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l interval -d 'Time between probes, 1s to 32767s, in whole seconds: parts round up (TCP_KEEPINTVL)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l probes -d 'Unanswered probes before the connection is given up, 1 to 127 (TCP_KEEPCNT)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l user-timeout -d 'Also give up when sent data stays unacknowledged for so long (TCP_USER_TIMEOUT); `auto` is idle + interval x probes' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l keepalive -d 'Whether the program asks for keepalive (SO_KEEPALIVE); `on` with other settings' -r -f -a "on\t''
off\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l program -d 'Name of the owning program, `*` and `?` allowed; the kernel keeps 15 bytes of it' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l pid -d 'Process that holds the socket' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l unit -d 'systemd unit; `.service` may be left out, `*` and `?` allowed' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l container -d 'Container\'s name or id, of which twelve digits are enough' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l cgroup -d 'cgroup\'s path, and everything below' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l local -d 'The end here: 10.0.0.1, 10.0.0.0/8, :6379, 10.0.0.1:6379, [2001:db8::/32]:443' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l remote -d 'The peer\'s end, written alike' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l port -d 'Port of either end' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l state -d 'State of the connection' -r -f -a "established\t''
syn-sent\t''
syn-received\t''
fin-wait-1\t''
fin-wait-2\t''
time-wait\t''
closed\t''
close-wait\t''
last-ack\t''
listen\t''
closing\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l silent-for -d 'Nothing was received from the peer for at least this long' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l exposure -d 'What becomes of the connection when its peer dies while it is idle' -r -f -a "unprotected\t''
slow\t''
fragile\t''
protected\t''
probing\t''
local\t''
unknown\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l netns -d 'Network namespace: all that may be entered (the default), our own, a name as `defaults` shows it (of ip netns, a container, a unit, host), or that of a process' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l detect-within -d 'How soon a dead peer should be noticed; what takes longer is `slow`' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l source -d 'Which reader serves; `auto` takes the best that this kernel and these privileges allow' -r -f -a "auto\t''
task-file\t''
iter-tcp\t''
pidfd\t''
sock-diag\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l accept-kernel-risk -d 'Use what this kernel\'s version has a known fault in, as where it was mended by the distribution' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -s o -l output -d 'How to print: for people, one JSON document, JSON lines, or CSV' -r -f -a "table\t''
json\t''
jsonl\t''
csv\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -l detect-within -d 'Notice a peer that dies while the connection is idle within this time, however late the kernel\'s timers are; 10m where nothing else decides' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -l path-timeout -d 'Keep idle connections open through a box that forgets them after this time' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -l path -d 'The same by the name of the box, like aws-nlb; `list` prints those known' -r -f -a "aws-classic-lb\t'AWS Classic LB: 1m'
azure-lb\t'Azure LB: 4m'
azure-nat-gateway\t'Azure NAT gateway: 4m'
cloudflare-gateway\t'Cloudflare Gateway: 4m30s'
docker-desktop-mac\t'Docker Desktop for Mac: 5m'
aws-nlb\t'AWS NLB: 5m50s'
aws-nlb-tls\t'AWS NLB, TLS listener: 5m50s'
aws-gateway-lb\t'AWS Gateway LB: 5m50s'
aws-nat-gateway\t'AWS NAT gateway: 5m50s'
aws-vpc-endpoint\t'AWS VPC endpoint: 5m50s'
aws-network-firewall\t'AWS Network Firewall: 5m50s'
aws-security-group-nitro-v6\t'AWS security group tracking, Nitro v6: 5m50s'
cloudflare-edge\t'Cloudflare, from the client: 6m40s'
gcp-vpc\t'GCP VPC tracking: 10m'
linux-ipvs\t'Linux IPVS: 15m'
cloudflare-origin\t'Cloudflare, to the origin: 15m'
gcp-cloud-nat\t'GCP Cloud NAT: 20m'
aks-outbound\t'AKS outbound: 30m'
juniper-srx\t'Juniper SRX: 30m'
cisco-asa\t'Cisco ASA: 1h'
palo-alto\t'Palo Alto PAN-OS: 1h'
fortigate\t'Fortinet FortiGate: 1h'
check-point\t'Check Point: 1h'
vmware-nsx-gateway\t'VMware NSX gateway: 2h'
rfc5382\t'RFC 5382 floor: 2h4m'
gcp-distributed-cloud-nat\t'GCP Distributed Cloud NAT: 2h13m20s'
cilium\t'Cilium: 2h13m20s'
vmware-nsx-dfw\t'VMware NSX distributed firewall: 12h'
kube-proxy-conntrack\t'kube-proxy\'s conntrack setting: 1d'
aws-security-group\t'AWS security group tracking: 5d'
linux-conntrack\t'Linux conntrack: 5d'
list\t'print those known'"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -l loss -d 'How many packets are lost in each direction, like 1% or 0.01' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -l outage -d 'An outage that living connections are to survive; without, 60s, but no more than a third of the time that the rest leaves' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -l connections -d 'Show the cost of so many connections too' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -l hz -d 'The tick rate of the kernel that will run it (CONFIG_HZ); without, this machine\'s' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -l idle -d 'Silence before the first probe, 1s to 32767s, in whole seconds: parts round up (TCP_KEEPIDLE)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -l interval -d 'Time between probes, 1s to 32767s, in whole seconds: parts round up (TCP_KEEPINTVL)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -l probes -d 'Unanswered probes before the connection is given up, 1 to 127 (TCP_KEEPCNT)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -l user-timeout -d 'Also give up when sent data stays unacknowledged for so long (TCP_USER_TIMEOUT); `auto` is idle + interval x probes' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -l for -d 'Print the settings as configuration of this software' -r -f -a "sysctl\t'Linux defaults (sysctl)'
systemd\t'systemd socket units'
redis\t'Redis, Valkey'
postgresql\t'PostgreSQL server'
libpq\t'PostgreSQL clients (libpq)'
mariadb\t'MariaDB server'
mysql\t'MySQL server'
nginx\t'nginx'
haproxy\t'HAProxy'
envoy\t'Envoy'
kubernetes\t'Kubernetes pods'
docker\t'Docker, Podman'
openssh\t'OpenSSH client and server'
c\t'C'
rust\t'Rust'
go\t'Go'
python\t'Python'
java\t'Java'
node\t'Node.js'"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -l curve -d 'Draw cost against detection time, as SVG into this file' -r -F
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -s o -l output -d 'How to print: for people, one JSON document, JSON lines, or CSV' -r -f -a "table\t''
json\t''
jsonl\t''
csv\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -l paths -d 'Print the idle timeouts that are known, with their sources'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand completions" -s o -l output -d 'How to print: for people, one JSON document, JSON lines, or CSV' -r -f -a "table\t''
json\t''
jsonl\t''
csv\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand completions" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand completions" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand man" -s o -l output -d 'How to print: for people, one JSON document, JSON lines, or CSV' -r -f -a "table\t''
json\t''
jsonl\t''
csv\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand man" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand man" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand run" -l idle -d 'Silence before the first probe, 1s to 32767s, in whole seconds: parts round up (TCP_KEEPIDLE)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand run" -l interval -d 'Time between probes, 1s to 32767s, in whole seconds: parts round up (TCP_KEEPINTVL)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand run" -l probes -d 'Unanswered probes before the connection is given up, 1 to 127 (TCP_KEEPCNT)' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand run" -l user-timeout -d 'Also give up when sent data stays unacknowledged for so long (TCP_USER_TIMEOUT); `auto` is idle + interval x probes' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand run" -l mode -d 'Who wins where the program sets its own: fill (the program), tighten (the faster), override (these settings)' -r -f -a "fill\t''
tighten\t''
override\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand run" -l method -d 'How: seccomp reaches every program, preload only those that load libc; auto takes what works' -r -f -a "auto\t''
seccomp\t''
preload\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand run" -l local -d 'Only sockets whose own end is one of these, as far as it is known when the program connects or listens: 10.0.0.1, 10.0.0.0/8, :6379, [2001:db8::/32]:443' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand run" -l remote -d 'Only connections to one of these; sockets that listen are left alone then' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand run" -l port -d 'Only sockets with this port at either end' -r
complete -c sockpulse -n "__fish_sockpulse_using_subcommand run" -s o -l output -d 'How to print: for people, one JSON document, JSON lines, or CSV' -r -f -a "table\t''
json\t''
jsonl\t''
csv\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand run" -l color -d 'When to colour: NO_COLOR is respected where this is `auto`' -r -f -a "auto\t''
always\t''
never\t''"
complete -c sockpulse -n "__fish_sockpulse_using_subcommand run" -s v -l verbose -d 'Say on stderr what is being done; twice for every step'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "audit" -d 'One screen: what is wrong, where, how much, and the command that mends it'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "list" -d 'Every connection with its settings, timers, silence, exposure and owner'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "ping" -d 'Ask now whether the peers of established connections are alive'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "reap" -d 'End connections whose peers are dead, after asking each of them'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "defaults" -d 'The kernel\'s defaults: see, set and put back, now and at boot, in every namespace'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "protect" -d 'Keepalive for programs that did not ask for it, while they run'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "unprotect" -d 'End the kernel\'s rules for connections to come'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "undo" -d 'Put back what sockpulse changed, by its journal'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "watch" -d 'What happens to connections, as it happens: opened, silent, recovered, dead and why'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "lab" -d 'Break a connection in a network of its own, and hold the kernel against the prediction'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "doctor" -d 'What this kernel and these privileges allow, what is lost without, what to grant'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "explain" -d 'When exactly a dead peer is noticed, and what a finding means'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "plan" -d 'Chooses settings, and shows what they give, cost and risk'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "completions" -d 'Completions for a shell, on stdout'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "man" -d 'The manual page, on stdout'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "run" -d 'Start one program with keepalive on all its TCP sockets, without root'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and not __fish_seen_subcommand_from audit list ping reap defaults protect unprotect undo watch lab doctor explain plan completions man run help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and __fish_seen_subcommand_from defaults" -f -a "get" -d 'The values of each namespace, what is set at boot, and where both differ'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and __fish_seen_subcommand_from defaults" -f -a "set" -d 'Set them, now and with --persist also at boot'
complete -c sockpulse -n "__fish_sockpulse_using_subcommand help; and __fish_seen_subcommand_from defaults" -f -a "reset" -d 'Put back what was there before our first change'
