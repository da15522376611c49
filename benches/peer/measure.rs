//! Two or three things timed in turns, so that all see the same machine.

use std::time::{Duration, Instant};

/// Seconds that one round of a thing took, in parts (set, restore, …).
pub type Parts = Vec<f64>;
/// A thing that is timed.
pub type Thing<'a> = Box<dyn FnMut() -> Parts + 'a>;

/// What was measured: for each thing the parts of every round.
pub struct Rounds(pub Vec<Vec<Parts>>);

/// Rounds of all things in turns until the time is over; an odd number, three at least.
pub fn turns(budget: Duration, things: &mut [Thing<'_>]) -> Rounds {
    let mut rounds = vec![Vec::new(); things.len()];
    things.iter_mut().for_each(|thing| drop(thing()));
    let start = Instant::now();
    while rounds[0].len() < 3
        || rounds[0].len() % 2 == 0
        || (start.elapsed() < budget && rounds[0].len() < 999)
    {
        for (thing, rounds) in things.iter_mut().zip(&mut rounds) {
            rounds.push(thing());
        }
    }
    Rounds(rounds)
}

impl Rounds {
    /// The median of a thing, all parts together.
    pub fn median(&self, thing: usize) -> f64 {
        median(self.0[thing].iter().map(|parts| parts.iter().sum()).collect())
    }

    /// The median of one part.
    pub fn part(&self, thing: usize, part: usize) -> f64 {
        median(self.0[thing].iter().map(|parts| parts[part]).collect())
    }

    /// The median of the first thing's share of another in the same round.
    pub fn ratio(&self, to: usize) -> f64 {
        let sum = |parts: &Parts| parts.iter().sum::<f64>();
        median(self.0[0].iter().zip(&self.0[to]).map(|(a, b)| sum(a) / sum(b)).collect())
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Seconds.
pub fn time(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Seconds a call takes, `count` calls on end.
pub fn each(count: usize, mut work: impl FnMut()) -> f64 {
    time(|| (0..count).for_each(|_| work())) / count as f64
}

/// Bytes on the C heap, which both sides use, in use now.
pub fn heap() -> usize {
    // SAFETY: takes nothing and returns numbers.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}
