//! One run for people: what was predicted beside what was measured, step by step.

use std::time::Duration;

use sockpulse_core::machine::{Event, Sent};
use sockpulse_lab::capture::Way;
use sockpulse_lab::{Begin, Expectation, Predicted, Report, Timed, Verdict};

use super::table::window;
use crate::coverage::counted;
use crate::terminal::{BAD, BOLD, DIM, GOOD, Palette};

/// More lines than that tell nothing new.
const LINES: usize = 24;

/// The whole text.
pub(super) fn render(report: &Report, palette: Palette) -> Vec<u8> {
    let mut out = Vec::new();
    let trial = &report.trial;
    palette.paint(&mut out, BOLD, trial.title().as_bytes());
    line(&mut out, &format!("  {}", trial.scenario.about));
    line(
        &mut out,
        &format!("{}; {}", doing(trial.scenario.begin), trial.fault),
    );
    line(&mut out, "");
    let heading = format!("{:<24}{:>12}   {}", "predicted", "measured", "what");
    palette.paint(&mut out, DIM, heading.as_bytes());
    line(&mut out, "");
    line(&mut out, &row("", "0.000 s", from(trial.scenario.begin)));
    steps(&mut out, report);
    ending(&mut out, report);
    line(&mut out, "");
    packets(&mut out, &report.packets, palette);
    line(&mut out, "");
    verdict(&mut out, report, palette);
    out
}

fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

fn row(predicted: &str, measured: &str, what: &str) -> String {
    format!("{predicted:<24}{measured:>12}   {what}")
}

/// What the connection was doing.
const fn doing(begin: Begin) -> &'static str {
    match begin {
        Begin::Idle => "nobody speaks",
        Begin::InFlight => "data is unacknowledged",
        Begin::LateWrite => "nobody speaks, then the client writes",
        Begin::ZeroWindow | Begin::ZeroWindowThenGone => "data waits for the peer's window",
        Begin::SlowReader => "data waits for a slow reader",
        Begin::Connecting => "the client connects",
        Begin::Accepting => "a request waits on the server",
        Begin::HalfOpen | Begin::HalfOpenServer => "the last ACK of the handshake is lost",
        Begin::Closing => "the client has closed the socket",
    }
}

/// From when times are counted.
const fn from(begin: Begin) -> &'static str {
    match begin {
        Begin::Idle | Begin::HalfOpen => "the last segment of the peer",
        Begin::InFlight | Begin::LateWrite => "write()",
        Begin::ZeroWindow | Begin::ZeroWindowThenGone | Begin::SlowReader => "the window closes",
        Begin::Connecting => "connect()",
        Begin::Accepting | Begin::HalfOpenServer => "the SYN",
        Begin::Closing => "close()",
    }
}

/// Each step with the packet that it was: they come in the same order.
fn steps(out: &mut Vec<u8>, report: &Report) {
    let seen = |way| {
        let plain = move |timed: &&Timed| timed.seen.way == way && !timed.is_reset();
        report.packets.iter().filter(plain)
    };
    let (mut sent, mut received) = (seen(Way::Out), seen(Way::In));
    for (shown, step) in report.prediction.steps.iter().enumerate() {
        let (what, packet) = match step.event {
            Event::Sent(segment) => (name(segment), sent.next()),
            Event::Answered => ("an answer".into(), received.next()),
            _ => continue,
        };
        if shown >= LINES {
            return line(out, "…");
        }
        let measured = packet.map_or_else(|| "-".into(), |timed| time(timed.after));
        let step: &Expectation = step;
        line(out, &row(&window(&step.at), &measured, &what));
    }
}

fn name(sent: Sent) -> String {
    match sent {
        Sent::Probe { unanswered } => format!("keepalive probe, {unanswered} unanswered"),
        Sent::Data => "data".into(),
        Sent::TailLossProbe => "data once more (tail loss probe)".into(),
        Sent::Retransmission { count } => format!("retransmission {count}"),
        Sent::WindowProbe { unanswered } => format!("window probe, {unanswered} unanswered"),
        Sent::Syn { count: 0 } => "SYN".into(),
        Sent::Syn { count } => format!("SYN again, {count}"),
        Sent::SynAck { count: 0 } => "SYN-ACK".into(),
        Sent::SynAck { count } => format!("SYN-ACK again, {count}"),
        Sent::Fin { count: 0 } => "FIN".into(),
        Sent::Fin { count } => format!("FIN again, {count}"),
    }
}

fn ending(out: &mut Vec<u8>, report: &Report) {
    let measured = time(report.after);
    let (predicted, said) = match &report.prediction.outcome {
        Predicted::Stays => ("stays".into(), None),
        Predicted::Depends => ("depends".into(), None),
        Predicted::Ends { at, ending } => (window(at), Some(ending.to_string())),
    };
    let what = match report.ending {
        sockpulse_lab::Ending::Stayed => "still there, watched no longer".to_owned(),
        sockpulse_lab::Ending::EndOfStream => "read() returns 0".into(),
        sockpulse_lab::Ending::Dropped => "the kernel drops it; no program is told".into(),
        sockpulse_lab::Ending::Error(_) => format!("read() fails: {}", report.ending),
    };
    line(out, &row(&predicted, &measured, &what));
    if let Some(said) = said.filter(|said| *said != report.ending.to_string()) {
        line(out, &row("", "", &format!("predicted was {said}")));
    }
}

fn packets(out: &mut Vec<u8>, packets: &[Timed], palette: Palette) {
    let sent = packets
        .iter()
        .filter(|timed| timed.seen.way == Way::Out)
        .count();
    let received = packets.len() - sent;
    let counted = |count: usize| counted(u64::try_from(count).unwrap_or(u64::MAX), "packet");
    let heading = format!("the client sent {} and received {received}", counted(sent));
    palette.paint(out, DIM, heading.as_bytes());
    line(out, "");
    for timed in packets.iter().take(LINES) {
        let way = match timed.seen.way {
            Way::Out => "->",
            Way::In => "<-",
        };
        line(
            out,
            &format!("{:>12}  {way}  {}", time(timed.after), timed.seen.packet),
        );
    }
    if packets.len() > LINES {
        line(
            out,
            &format!("{:>12}  and {} more", "", packets.len() - LINES),
        );
    }
}

fn verdict(out: &mut Vec<u8>, report: &Report, palette: Palette) {
    match &report.verdict {
        Verdict::Holds => palette.paint(out, GOOD, b"as predicted"),
        Verdict::Differs(why) => {
            palette.paint(out, BAD, b"not as predicted");
            out.extend_from_slice(format!(": {why}").as_bytes());
        }
    }
    line(out, "");
}

fn time(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use sockpulse_core::machine::Window;

    use super::*;

    #[test]
    fn every_segment_has_a_name() {
        assert_eq!(
            name(Sent::Probe { unanswered: 2 }),
            "keepalive probe, 2 unanswered"
        );
        assert_eq!(name(Sent::Syn { count: 0 }), "SYN");
        assert_eq!(window(&Window::at(Duration::from_secs(2))), "2.000 s");
    }
}
