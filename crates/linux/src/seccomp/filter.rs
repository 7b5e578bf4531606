//! The filter: a classic BPF program that lets everything pass but the calls that open connections.
//!
//! Calls that it never holds are found by the kernel when it is installed, and pass without running it
//! (`seccomp_cache_prepare()`, kernel/seccomp.c, since 5.11).

use libc::{c_int, sock_filter};

use super::call::{CONVENTIONS, Call, Convention, MULTIPLEXED, TCP_OPTIONS};

/// What the filter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// connect(2) and listen(2): the options are set on the program's own socket.
    Openings,
    /// These, and what the program sets itself: ours stands.
    OpeningsAndOptions,
    /// socket(2): the socket is made for the program.
    Sockets,
}

impl Held {
    const fn holds(self, call: Call) -> bool {
        match call {
            Call::Connect | Call::Listen => !matches!(self, Self::Sockets),
            Call::SetOption => matches!(self, Self::OpeningsAndOptions),
            Call::Socket => matches!(self, Self::Sockets),
            Call::Multiplexed => true,
        }
    }
}

/// The instructions.
pub(super) fn program(held: Held) -> Vec<sock_filter> {
    let mut program = vec![load(ARCH)];
    for convention in CONVENTIONS {
        let block = block(held, convention);
        program.push(unless(convention.arch, block.len()));
        program.extend(block);
    }
    program.push(RETURN_ALLOW);
    program
}

// Offsets in struct seccomp_data: nr, arch, instruction_pointer, args[6].
const NR: u32 = 0;
const ARCH: u32 = 4;

/// The low half of an argument: what the kernel reads of an int, whatever stands above.
const fn argument(index: u32) -> u32 {
    let low = if cfg!(target_endian = "big") { 4 } else { 0 };
    16 + 8 * index + low
}

/// The calls of one convention; ends by itself.
fn block(held: Held, convention: &Convention) -> Vec<sock_filter> {
    let mut block = vec![load(NR)];
    for (number, call) in convention.calls {
        if held.holds(*call) {
            let checks = checks(held, *call);
            block.push(unless(*number, checks.len()));
            block.extend(checks);
        }
    }
    block.push(RETURN_ALLOW);
    block
}

/// What decides over a call once its number is known; ends by itself.
fn checks(held: Held, call: Call) -> Vec<sock_filter> {
    match call {
        Call::Connect | Call::Listen => vec![RETURN_HOLD],
        Call::SetOption => {
            let switch = one_of(2, &[libc::SO_KEEPALIVE]);
            let tcp = one_of(2, &TCP_OPTIONS);
            let mut checks = vec![load(argument(1))];
            checks.push(unless(libc::SOL_SOCKET.cast_unsigned(), switch.len()));
            checks.extend(switch);
            checks.push(unless(libc::IPPROTO_TCP.cast_unsigned(), tcp.len()));
            checks.extend(tcp);
            checks.push(RETURN_ALLOW);
            checks
        }
        Call::Socket => {
            let mut checks = kept_if(0, u32::MAX, &[libc::AF_INET, libc::AF_INET6]);
            checks.extend(kept_if(1, 0xf, &[libc::SOCK_STREAM]));
            checks.extend(one_of(2, &PROTOCOLS));
            checks
        }
        Call::Multiplexed => {
            let numbers = MULTIPLEXED.iter().filter(|(_, call)| held.holds(*call));
            let numbers: Vec<c_int> = numbers.map(|(number, _)| number.cast_signed()).collect();
            one_of(0, &numbers)
        }
    }
}

/// What socket(2) is asked for by those who want TCP.
pub(super) const PROTOCOLS: [c_int; 3] = [0, libc::IPPROTO_TCP, libc::IPPROTO_MPTCP];

/// Holds the call if the argument is one of the values, and lets it pass otherwise.
fn one_of(index: u32, values: &[c_int]) -> Vec<sock_filter> {
    let mut checks = kept_if(index, u32::MAX, values);
    checks.push(RETURN_HOLD);
    checks
}

/// Lets the call pass unless the argument, under the mask, is one of the values.
fn kept_if(index: u32, mask: u32, values: &[c_int]) -> Vec<sock_filter> {
    let mut checks = vec![load(argument(index))];
    if mask != u32::MAX {
        checks.push(instruction(
            libc::BPF_ALU | libc::BPF_AND | libc::BPF_K,
            0,
            0,
            mask,
        ));
    }
    for (at, value) in values.iter().enumerate() {
        // Over the values that follow, and over the return.
        let hit = distance(values.len() - at);
        checks.push(instruction(EQUAL, hit, 0, value.cast_unsigned()));
    }
    checks.push(RETURN_ALLOW);
    checks
}

const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;

const RETURN_ALLOW: sock_filter = give(libc::SECCOMP_RET_ALLOW);
const RETURN_HOLD: sock_filter = give(libc::SECCOMP_RET_USER_NOTIF);

const fn give(action: u32) -> sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, action)
}

const fn load(offset: u32) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

/// Goes on with what follows if the loaded word is the value, else behind `length` instructions.
fn unless(value: u32, length: usize) -> sock_filter {
    instruction(EQUAL, 0, distance(length), value)
}

fn distance(length: usize) -> u8 {
    u8::try_from(length).expect("blocks are shorter than 256 instructions")
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "codes of instructions are below 256"
)]
const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const HOLD: u32 = libc::SECCOMP_RET_USER_NOTIF;

    /// What the program returns for a call, as the kernel would run it.
    fn verdict(held: Held, arch: u32, number: u32, args: &[u32]) -> u32 {
        let program = program(held);
        assert!(program.len() < usize::try_from(libc::BPF_MAXINSNS).unwrap());
        let word = |offset: u32| match offset {
            NR => number,
            ARCH => arch,
            _ => {
                let index = usize::try_from((offset - 16) / 8).unwrap();
                args.get(index).copied().unwrap_or_default()
            }
        };
        let (mut at, mut loaded) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            match u32::from(code) {
                0x20 => loaded = word(k),
                0x54 => loaded &= k,
                0x15 => at += usize::from(if loaded == k { jt } else { jf }),
                0x06 => return k,
                code => panic!("instruction {code:#x}"),
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    const X64: u32 = 0xc000_003e;
    #[cfg(target_arch = "x86_64")]
    const I386: u32 = 0x4000_0003;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn openings_are_held_under_every_convention() {
        for (arch, number) in [(X64, 42), (X64, 50), (I386, 362), (I386, 363)] {
            assert_eq!(verdict(Held::Openings, arch, number, &[]), HOLD);
            assert_eq!(verdict(Held::OpeningsAndOptions, arch, number, &[]), HOLD);
            assert_eq!(verdict(Held::Sockets, arch, number, &[]), ALLOW);
        }
        let x32 = 0x4000_0000;
        assert_eq!(verdict(Held::Openings, X64, x32 | 42, &[]), HOLD);
        assert_eq!(verdict(Held::Openings, X64, x32 | 50, &[]), HOLD);
        for (call, held) in [(1, ALLOW), (3, HOLD), (4, HOLD), (5, ALLOW), (14, ALLOW)] {
            assert_eq!(verdict(Held::Openings, I386, 102, &[call]), held, "{call}");
        }
        assert_eq!(verdict(Held::OpeningsAndOptions, I386, 102, &[14]), HOLD);
        // read, and the numbers of the other convention.
        for (arch, number) in [(X64, 0), (X64, 362), (I386, 42), (I386, 50), (0, 42)] {
            assert_eq!(verdict(Held::OpeningsAndOptions, arch, number, &[]), ALLOW);
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn only_options_of_keepalive_are_held() {
        let set = |held, level, option| verdict(held, X64, 54, &[9, level, option]);
        for (level, option) in [(1, 9), (6, 4), (6, 5), (6, 6), (6, 18)] {
            assert_eq!(set(Held::OpeningsAndOptions, level, option), HOLD);
            assert_eq!(set(Held::Openings, level, option), ALLOW);
        }
        for (level, option) in [(1, 4), (1, 2), (6, 9), (6, 1), (0, 9), (41, 4)] {
            assert_eq!(set(Held::OpeningsAndOptions, level, option), ALLOW);
        }
        assert_eq!(
            verdict(Held::OpeningsAndOptions, I386, 366, &[9, 6, 4]),
            HOLD
        );
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn only_tcp_sockets_are_held() {
        let socket =
            |domain, kind, protocol| verdict(Held::Sockets, X64, 41, &[domain, kind, protocol]);
        for domain in [2, 10] {
            for kind in [1, 1 | 0o2_000_000, 1 | 0o4_000] {
                assert_eq!(socket(domain, kind, 0), HOLD);
                assert_eq!(socket(domain, kind, 6), HOLD);
                assert_eq!(socket(domain, kind, 262), HOLD, "Multipath TCP");
                assert_eq!(socket(domain, kind, 132), ALLOW, "SCTP");
            }
            assert_eq!(socket(domain, 2, 0), ALLOW);
        }
        assert_eq!(socket(1, 1, 0), ALLOW);
        assert_eq!(verdict(Held::Sockets, I386, 102, &[1]), HOLD);
        assert_eq!(verdict(Held::Sockets, I386, 102, &[3]), ALLOW);
    }
}
