//! `sockpulse plan`: chooses settings and shows what they give and cost.

pub(crate) mod args;
mod curve;
mod json;
mod paths;
mod refusal;
mod text;
mod words;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::time::Duration;

use sockpulse_core::plan::{Plan, Wish, plan};
use sockpulse_core::{Backoff, Hz};

use crate::app::Face;
use crate::error::{CommandError, ErrorKind, Exit};
use crate::file;
use crate::machine::Machine;
use crate::options::OutputFormat;

use args::PlanArgs;

/// What is wanted where nothing says otherwise; the target of the other commands too.
const USUAL_TARGET: Duration = Duration::from_secs(600);

/// The tick rate of most distributions' kernels, where it cannot be learnt.
const USUAL_HZ: u32 = 250;

/// What data in flight is reckoned with: the retransmission timeout to a near peer, which is the
/// least of 200 ms and a little for the round trip, and the kernel's other defaults.
const NEAR: Backoff = Backoff {
    rto: Duration::from_millis(204),
    rto_max: Duration::from_secs(120),
    retries2: 15,
};

/// Plans and prints.
pub(crate) fn run(
    args: &PlanArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    if face.output == OutputFormat::Csv {
        let refusal = "a plan is one document: it has no rows for CSV";
        return Err(CommandError::new(ErrorKind::Usage, refusal).hint("use -o json"));
    }
    let mut printed = Vec::new();
    if args.lists_paths() {
        paths::print(&mut printed, face).map_err(CommandError::output)?;
        out.write_all(&printed).map_err(CommandError::output)?;
        return Ok(Exit::Done);
    }
    let wish = wish(args, machine);
    let plan = plan(&wish).map_err(|impossible| refusal::of(args, &wish, &impossible))?;
    if let Some(path) = &args.curve {
        let drawing = curve::draw(&plan, args.connections);
        file::replace(path, drawing.as_bytes())?;
    }
    match face.output {
        OutputFormat::Table => text::print(&mut printed, args, &plan, face),
        _ => json::print(&mut printed, args, &plan).map_err(CommandError::output)?,
    }
    out.write_all(&printed).map_err(CommandError::output)?;
    if let Some(path) = &args.curve {
        // There is nowhere to say that stderr is closed.
        let _ = writeln!(stderr, "drawn: {}", path.display());
    }
    Ok(Exit::Done)
}

/// The path alone decides where it is all that is named; where it takes no notice of probes it
/// decides nothing.
fn wish(args: &PlanArgs, machine: &Machine) -> Wish {
    let mut wish = Wish {
        detect_within: args.detect_within,
        path: args.between(),
        loss: args.loss,
        outage: args.outage,
        fixed: args.fixed(),
        hz: args.hz.unwrap_or_else(|| tick_rate(machine)),
    };
    if wish.detect_within.is_none() && wish.held().is_none() {
        wish.detect_within = Some(USUAL_TARGET);
    }
    wish
}

fn tick_rate(machine: &Machine) -> Hz {
    let here = (machine.defaults)().ok().and_then(|here| here.hz);
    here.or(Hz::new(USUAL_HZ))
        .expect("the usual tick rate is one")
}

/// Which connections the cost is shown for: those named, and the sizes of a server, a large one
/// and a fleet.
fn fleets(args: &PlanArgs) -> Vec<u64> {
    let mut fleets = vec![70_000, 1_000_000, 1_000_000_000];
    fleets.extend(args.connections);
    fleets.sort_unstable();
    fleets.dedup();
    fleets
}

/// When data in flight to a dead peer is given up.
fn busy(plan: &Plan) -> sockpulse_core::Noticed {
    plan.settings.detects_busy(&NEAR, plan.wish.hz)
}
