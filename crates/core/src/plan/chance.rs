//! How likely it is that loss alone ends a connection whose peer lives.

use core::time::Duration;

/// Below this a day, a living connection is safe enough.
pub const GOAL: f64 = 1e-6;

const DAY_S: f64 = 86_400.0;

/// The chance that a packet is lost, in each direction alike and independent of the others.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Loss(f64);

impl Loss {
    /// No packet is ever lost.
    pub const NONE: Self = Self(0.0);
    /// One in a hundred: what is reckoned with where nothing is known.
    pub const USUAL: Self = Self(0.01);

    /// A chance from 0 to below 1; `None` for anything else.
    #[must_use]
    pub const fn new(chance: f64) -> Option<Self> {
        if chance >= 0.0 && chance < 1.0 {
            // Minus zero is none.
            Some(Self(chance + 0.0))
        } else {
            None
        }
    }

    /// The chance.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The chance that a probe stays unanswered: it or its answer was lost.
    #[must_use]
    pub fn unanswered(self) -> f64 {
        self.0 * (2.0 - self.0)
    }
}

/// How an idle connection is probed, as far as chance is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// From an answer to the next probe.
    pub period: Duration,
    /// From an unanswered probe to the next one.
    pub interval: Duration,
    /// So many unanswered in a row end it.
    pub strikes: u32,
}

impl Rhythm {
    /// How many ends a day are to be expected, if each were followed by a new connection.
    ///
    /// A cycle begins with an answer. It ends with the next answer or with the death, which takes
    /// `strikes` unanswered probes in a row: q^n. Its mean length is the period and an interval for
    /// each unanswered probe, of which there are q + q^2 + … + q^n on average.
    #[must_use]
    pub fn ends_per_day(&self, loss: Loss) -> f64 {
        let (death, mean) = powers(loss.unanswered(), self.strikes);
        let cycle = self.period.as_secs_f64() + self.interval.as_secs_f64() * mean;
        DAY_S * death / cycle
    }

    /// The chance that a connection that stays idle for a day does not see its end.
    #[must_use]
    pub fn chance_per_day(&self, loss: Loss) -> f64 {
        at_least_one(self.ends_per_day(loss))
    }
}

/// q^n, and q + q^2 + … + q^n. By doubling: a user timeout of weeks may take millions of strikes.
fn powers(q: f64, n: u32) -> (f64, f64) {
    let (mut power, mut sum) = (1.0, 0.0);
    for bit in (0..u32::BITS - n.leading_zeros()).rev() {
        sum += sum * power;
        power *= power;
        if n >> bit & 1 == 1 {
            power *= q;
            sum += power;
        }
    }
    (power, sum)
}

/// 1 - e^-x: the chance of at least one event where x are expected. Exact for tiny x too.
fn at_least_one(expected: f64) -> f64 {
    if expected > 50.0 {
        return 1.0;
    }
    // Halved until the series is short; then (1 - e^-2y) = (1 - e^-y) (2 - (1 - e^-y)) back again.
    let (mut x, mut halvings) = (expected, 0);
    while x > 0.25 {
        x /= 2.0;
        halvings += 1;
    }
    let (mut term, mut sum) = (x, x);
    for k in 2..=12u32 {
        term *= -x / f64::from(k);
        sum += term;
    }
    for _ in 0..halvings {
        sum *= 2.0 - sum;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rhythm(period: u64, interval: u64, strikes: u32) -> Rhythm {
        Rhythm {
            period: Duration::from_secs(period),
            interval: Duration::from_secs(interval),
            strikes,
        }
    }

    /// Numbers without a library: the tests must not depend on a random source.
    struct Draws(u64);

    impl Draws {
        fn next(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let high = u32::try_from(self.0 >> 32).unwrap();
            f64::from(high) / 4_294_967_296.0
        }
    }

    /// Probe by probe, packet by packet: the share of connections that a day of idleness ends.
    fn played(rhythm: &Rhythm, loss: f64, connections: u32) -> f64 {
        let mut draws = Draws(0x9e37_79b9_7f4a_7c15);
        let mut ended = 0;
        for _ in 0..connections {
            let (mut now, mut unanswered) = (rhythm.period.as_secs(), 0);
            while now < 86_400 {
                if unanswered == rhythm.strikes {
                    ended += 1;
                    break;
                }
                if draws.next() < loss || draws.next() < loss {
                    unanswered += 1;
                    now += rhythm.interval.as_secs();
                } else {
                    unanswered = 0;
                    now += rhythm.period.as_secs();
                }
            }
        }
        f64::from(ended) / f64::from(connections)
    }

    #[test]
    fn the_formula_agrees_with_what_is_played() {
        for (period, interval, strikes, loss) in [
            (60, 10, 6, 0.15),
            (60, 60, 3, 0.05),
            (300, 20, 4, 0.12),
            (600, 75, 9, 0.45),
            (60, 10, 9, 0.30),
        ] {
            let rhythm = rhythm(period, interval, strikes);
            let connections = 4_000;
            let formula = rhythm.chance_per_day(Loss::new(loss).unwrap());
            let seen = played(&rhythm, loss, connections);
            let deviation = (formula * (1.0 - formula) / f64::from(connections)).sqrt();
            assert!(
                (formula - seen).abs() < 4.0 * deviation + 0.01 * formula,
                "{rhythm:?} at {loss}: {formula} by the formula, {seen} played"
            );
            assert!(deviation < 0.3 * formula, "too few to tell anything");
        }
    }

    #[test]
    fn powers_are_those_of_one_step_after_the_other() {
        for q in [0.0, 0.0199, 0.75, 0.999_999] {
            let (mut power, mut sum) = (1.0, 0.0);
            for n in 0..300 {
                let (fast, together) = powers(q, n);
                let near = |a: f64, b: f64| (a - b).abs() <= 1e-12 * b;
                assert!(near(fast, power) && near(together, sum), "{q}^{n}");
                power *= q;
                sum += power;
            }
        }
        assert_eq!(powers(1.0, u32::MAX), (1.0, f64::from(u32::MAX)));
    }

    #[test]
    fn one_percent_needs_six_probes_at_a_minute() {
        let chance = |strikes| rhythm(60, 10, strikes).chance_per_day(Loss::USUAL);
        assert!(chance(5) > GOAL && chance(6) < GOAL);
        assert!((chance(6) / 8.915e-8 - 1.0).abs() < 0.01, "{}", chance(6));
    }

    #[test]
    fn chances_stay_chances() {
        assert_eq!(rhythm(60, 10, 3).chance_per_day(Loss::NONE), 0.0);
        let hopeless = rhythm(1, 1, 1).chance_per_day(Loss::new(0.999_999).unwrap());
        assert_eq!(hopeless, 1.0);
        for (expected, chance) in [(1e-18, 1e-18), (0.1, 0.095_162_58), (3.0, 0.950_212_93)] {
            assert!((at_least_one(expected) / chance - 1.0).abs() < 1e-7);
        }
    }

    #[test]
    fn what_is_no_chance_is_none() {
        for wrong in [-0.1, 1.0, 2.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Loss::new(wrong), None, "{wrong}");
        }
        assert!(Loss::new(-0.0).unwrap().get().is_sign_positive());
        let half = Loss::new(0.5).unwrap();
        assert_eq!(half.unanswered(), 0.75);
    }
}
