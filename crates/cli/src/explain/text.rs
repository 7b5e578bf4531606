//! The explanation for people: a verdict, the settings, a timeline for each case, and what would
//! change it.

use sockpulse_core::machine::{Errno, Event, Sent, Start, Step, Window};
use sockpulse_core::{Code, Hz, Noticed};

use super::account::{Account, Case};
use super::groups::Gathered;
use super::now;
use super::subject::{Rto, Subject, Whose};
use super::words::{self, at_the_earliest, at_the_latest, moment, setting};
use crate::app::Face;
use crate::coverage::{counted, grouped};
use crate::fit;
use crate::terminal::{self, Palette};

/// Appends everything that is told in full, and what is not.
pub(super) fn accounts(
    out: &mut Vec<u8>,
    accounts: &[Account<'_>],
    rest: &[Subject],
    gathered: &Gathered,
    face: &Face,
) {
    let mut page = Page {
        out,
        width: face.width,
        palette: face.palette,
    };
    for (at, account) in accounts.iter().enumerate() {
        if at > 0 {
            page.blank();
            page.blank();
        }
        page.account(account);
    }
    // The same for all: once is enough.
    if let Some(noticed) = accounts.iter().map(|account| account.idle.noticed).max() {
        page.ends(noticed);
    }
    let left = left_out(rest, gathered);
    if !left.is_empty() && !accounts.is_empty() {
        page.blank();
    }
    for sentence in left {
        page.paragraph(terminal::DIM, &sentence);
    }
}

/// What is not told: further settings, and sockets of which nothing can be told.
pub(super) fn left_out(rest: &[Subject], gathered: &Gathered) -> Vec<String> {
    let mut left = Vec::new();
    if !rest.is_empty() {
        let connections = rest.iter().map(Subject::connections).sum();
        let kinds = u64::try_from(rest.len()).unwrap_or(u64::MAX);
        left.push(format!(
            "not shown: {} with {}; narrow it down with selectors",
            counted(connections, "connection"),
            counted(kinds, "other group") + " of settings"
        ));
    }
    for (why, count) in &gathered.unknown {
        left.push(format!(
            "settings unknown of {}: {}",
            counted(*count, "connection"),
            why.why()
        ));
    }
    let peerless: Vec<String> = gathered
        .peerless
        .iter()
        .map(|(state, count)| format!("{} {}", grouped(*count), state.name()))
        .collect();
    if !peerless.is_empty() {
        left.push(format!(
            "not explained: {}; keepalive has no part in these states",
            peerless.join(", ")
        ));
    }
    if gathered.orphans > 0 {
        left.push(format!(
            "not explained: {} that no program holds any more; the kernel ends them by itself",
            counted(gathered.orphans, "socket")
        ));
    }
    left
}

struct Page<'a> {
    out: &'a mut Vec<u8>,
    width: usize,
    palette: Palette,
}

impl Page<'_> {
    fn account(&mut self, account: &Account<'_>) {
        if let Whose::Open(group) = &account.subject.whose {
            self.paragraph(terminal::BOLD, &now::whose(group));
        }
        let never = account.idle.noticed == Noticed::Never;
        let style = if never {
            terminal::BAD.bold()
        } else {
            terminal::BOLD
        };
        self.paragraph(style, &verdict(account));
        self.blank();
        self.settings(account);
        if let Whose::Open(group) = &account.subject.whose
            && let Some(connection) = &group.only
        {
            self.blank();
            self.paragraph(anstyle::Style::new(), &now::stands(connection, account));
        }
        self.idle(account);
        self.data(account);
        self.window(account);
        self.notes(account);
        self.changes(account);
    }

    fn settings(&mut self, account: &Account<'_>) {
        let rows = words::settings(account.subject, &account.timers);
        let widest = rows.iter().map(|row| row.value.len()).max().unwrap_or(0);
        for row in rows {
            let start = format!("  {:<13} {:<widest$} ", row.name, row.value);
            self.out.extend_from_slice(start.as_bytes());
            let room = self.width.saturating_sub(start.len() + 1);
            self.out.push(b' ');
            let mut from = Vec::new();
            fit::cut(&mut from, row.from.as_bytes(), room, fit::Cut::Start);
            self.palette.paint(self.out, terminal::DIM, &from);
            self.out.push(b'\n');
        }
    }

    fn idle(&mut self, account: &Account<'_>) {
        self.blank();
        let Some(end) = account.idle.end() else {
            self.heading("Idle: the peer vanishes, and nobody asks");
            self.line("0s", "the last segment from the peer arrives");
            self.line("never", "given up: no probe is sent, and no timer runs");
            return;
        };
        self.heading("Idle: nothing is in flight, and the peer vanishes");
        self.line("0s", "the last segment from the peer arrives");
        self.steps(account, &account.idle);
        let sooner = (end.earliest < end.by_settings).then(|| {
            let earliest = at_the_earliest(end.earliest);
            format!("right after traffic as early as {earliest}")
        });
        self.end(account, &account.idle, sooner);
    }

    fn data(&mut self, account: &Account<'_>) {
        self.blank();
        self.heading("Data in flight: sent, and no ACK comes; keepalive has no say");
        let Some(case) = &account.data else {
            self.line(
                "?",
                "by the retransmission timeout, which could not be seen",
            );
            return;
        };
        let rto = match account.subject.rto {
            Rto::Measured(least, most) if least == most => {
                format!("data is sent (retransmission timeout {})", moment(least))
            }
            Rto::Measured(least, _) => format!(
                "data is sent (retransmission timeout {}, the shortest among them)",
                moment(least)
            ),
            Rto::ShortPath(rto) => format!(
                "data is sent (retransmission timeout {}, as on a short path)",
                moment(rto)
            ),
            Rto::Unknown => "data is sent".into(),
        };
        self.line("0s", &rto);
        self.steps(account, case);
        let sooner = case
            .end()
            .filter(|end| end.earliest < end.by_settings && account.subject.hz.is_some());
        let sooner = sooner.map(|end| {
            let earliest = at_the_earliest(end.earliest);
            format!("as early as {earliest} where late timers save a wait")
        });
        self.end(account, case, sooner);
        if let Some((rto, Noticed::After { by_settings, .. })) = account.slowest_data {
            let label = moment(by_settings);
            let text = format!("with the longest retransmission timeout, {}", moment(rto));
            self.line(&label, &text);
        }
    }

    fn window(&mut self, account: &Account<'_>) {
        let Some(case) = &account.window else {
            return;
        };
        self.blank();
        self.heading("Zero window: the peer takes no more data, then vanishes");
        self.end(account, case, None);
    }

    /// Rows of alike steps become two lines and the last one.
    fn steps(&mut self, account: &Account<'_>, case: &Case) {
        let rows = case.steps.chunk_by(|a, b| kind(a.event) == kind(b.event));
        for row in rows {
            let Some(Kind { one, many, first }) = row.first().and_then(|step| kind(step.event))
            else {
                continue;
            };
            let count: u32 = row.iter().map(|step| step.times).sum();
            let at = |step: &Step| moment(step.at.by_settings);
            self.line(&at(&row[0]), &format!("{one} 1{first}"));
            if let [_, second, .., last] = row {
                let text = match count {
                    3 => format!("{one} 2"),
                    _ => format!("{many} 2 to {}, {}", number(count - 1), pace(case, account)),
                };
                self.line(&at(second), &text);
                self.line(
                    &moment(last.until.by_settings),
                    &format!("{one} {}", number(count)),
                );
            } else if let [_, last] = row {
                self.line(&at(last), &format!("{one} 2"));
            }
        }
    }

    fn end(&mut self, account: &Account<'_>, case: &Case, also: Option<String>) {
        let Some(end) = case.end() else {
            return;
        };
        let errno = case.errno().map_or("", Errno::name);
        let late = lateness(account.subject.hz, end);
        let told: Vec<String> = also.into_iter().chain(late).collect();
        let mut text = format!("given up: {errno}");
        if !told.is_empty() {
            text.push_str(&format!(" ({})", told.join("; ")));
        }
        self.styled_line(&moment(end.by_settings), &text, terminal::BOLD);
    }

    fn ends(&mut self, noticed: Noticed) {
        self.blank();
        self.heading("What is seen of the end");
        self.entry("the program", program(noticed));
        self.entry("the peer", peer(noticed));
    }

    fn notes(&mut self, account: &Account<'_>) {
        if account.notes.is_empty() {
            return;
        }
        self.blank();
        self.heading("Worth knowing");
        for note in &account.notes {
            let label = note.code.map_or("note", Code::name);
            let style = note.code.map_or(anstyle::Style::new(), |code| {
                terminal::of_severity(code.severity())
            });
            self.labelled(label, 7, style, &note.text);
        }
        if account.notes.iter().any(|note| note.code.is_some()) {
            self.labelled("", 7, terminal::DIM, "sockpulse explain CODE says more");
        }
    }

    fn changes(&mut self, account: &Account<'_>) {
        if account.changes.is_empty() {
            return;
        }
        self.blank();
        self.heading("What would change it");
        let longest = account.changes.iter().map(|change| change.how.len()).max();
        let longest = longest.unwrap_or(0);
        for change in &account.changes {
            let fits = 2 + longest + 2 + change.outcome.len() <= self.width;
            self.out.extend_from_slice(b"  ");
            self.palette
                .paint(self.out, terminal::COMMAND, change.how.as_bytes());
            if fits {
                fit::spaces(self.out, longest - change.how.len() + 2);
            } else {
                self.out.extend_from_slice(b"\n      ");
            }
            self.out.extend_from_slice(change.outcome.as_bytes());
            self.out.push(b'\n');
        }
    }

    fn entry(&mut self, label: &str, text: &str) {
        self.labelled(label, 13, anstyle::Style::new(), text);
    }

    /// A line of a timeline: when, and what.
    fn line(&mut self, when: &str, what: &str) {
        self.styled_line(when, what, anstyle::Style::new());
    }

    fn styled_line(&mut self, when: &str, what: &str, style: anstyle::Style) {
        let column = TIME + 2;
        for (at, line) in fit::wrap(what, self.width.saturating_sub(column), 0)
            .iter()
            .enumerate()
        {
            let label = if at == 0 { when } else { "" };
            self.palette
                .paint(self.out, style, format!("{label:>TIME$}").as_bytes());
            self.out.extend_from_slice(b"  ");
            self.out.extend_from_slice(line.as_bytes());
            self.out.push(b'\n');
        }
    }

    fn labelled(&mut self, label: &str, columns: usize, style: anstyle::Style, text: &str) {
        let room = self.width.saturating_sub(columns + 2);
        for (at, line) in fit::wrap(text, room, 0).iter().enumerate() {
            self.out.extend_from_slice(b"  ");
            let label = if at == 0 { label } else { "" };
            self.palette.paint(self.out, style, label.as_bytes());
            fit::spaces(self.out, columns.saturating_sub(label.len()));
            self.out.extend_from_slice(line.as_bytes());
            self.out.push(b'\n');
        }
    }

    fn heading(&mut self, text: &str) {
        self.paragraph(terminal::BOLD, text);
    }

    fn paragraph(&mut self, style: anstyle::Style, text: &str) {
        for line in fit::wrap(text, self.width, 2) {
            self.palette.paint(self.out, style, line.as_bytes());
            self.out.push(b'\n');
        }
    }

    fn blank(&mut self) {
        self.out.push(b'\n');
    }
}

/// Columns of the times in front.
const TIME: usize = 10;

/// What a step is called.
#[derive(PartialEq, Eq)]
struct Kind {
    one: &'static str,
    many: &'static str,
    first: &'static str,
}

fn kind(event: Event) -> Option<&'static Kind> {
    const PROBE: Kind = Kind {
        one: "probe",
        many: "probes",
        first: " is sent, and no answer comes",
    };
    const RETRANSMISSION: Kind = Kind {
        one: "retransmission",
        many: "retransmissions",
        first: "",
    };
    match event {
        Event::Sent(Sent::Probe { .. }) => Some(&PROBE),
        Event::Sent(Sent::Retransmission { .. }) => Some(&RETRANSMISSION),
        _ => None,
    }
}

fn number(count: u32) -> String {
    grouped(count.into())
}

fn pace(case: &Case, account: &Account<'_>) -> String {
    match case.start {
        Start::Idle if account.timers.interval.value <= 0 => "at once".into(),
        Start::Idle => format!("every {}", setting(account.timers.interval.value)),
        _ => {
            let most = moment(account.subject.defaults.rto_max);
            format!("each wait twice the one before, at most {most}")
        }
    }
}

fn lateness(hz: Option<Hz>, end: Window) -> Option<String> {
    if hz.is_none() {
        return Some("or later: how late timers run here is not known".into());
    }
    let latest = at_the_latest(end.latest);
    (end.by_settings < end.latest).then(|| format!("at the latest {latest}: timers run late"))
}

/// What matters, in one sentence.
pub(super) fn verdict(account: &Account<'_>) -> String {
    let settings = words::short(&account.timers);
    let idle = match account.idle.end() {
        Some(end) => format!(
            "a dead peer is noticed after {} idle",
            moment(end.by_settings)
        ),
        None => "a dead peer is never noticed while idle".into(),
    };
    match account.data.as_ref().and_then(Case::end) {
        Some(data) => format!(
            "{settings}: {idle}, {} with data in flight",
            moment(data.by_settings)
        ),
        None => format!("{settings}: {idle}"),
    }
}

fn program(noticed: Noticed) -> &'static str {
    if noticed == Noticed::Never {
        "waits for ever while idle; when data is given up, its next call on the socket fails with \
         ETIMEDOUT, or with EHOSTUNREACH or the like after a router's ICMP error"
    } else {
        "its next call on the socket fails with ETIMEDOUT, one that waits at once; with data in \
         flight a router's ICMP error makes it EHOSTUNREACH or the like"
    }
}

fn peer(noticed: Noticed) -> &'static str {
    if noticed == Noticed::Never {
        "is told nothing; if it comes back and sends when the connection is gone, it gets a RST"
    } else {
        "is sent a RST when an idle connection is given up, nothing when data is; a host that is \
         back without the connection answers the next segment with a RST: ECONNRESET"
    }
}
