//! Which levels a daemon may hand out, and what makes a level unique.

use super::context::{Categories, Level, Range};
use crate::error::{Error, Result};
use crate::reservation::{Class, Key, Universe};

/// Marks a key that is the digest of something other than two categories.
const DIGEST: u64 = 1 << 55;

/// All pairs of different categories of a daemon's range, at its sensitivity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs {
    /// The low part of the daemon's range.
    pub sensitivity: u16,
    categories: Categories,
}

impl Pairs {
    /// The pairs of a daemon with this range; `option` is `mcs.range`, a range or categories alone.
    pub fn new(daemon: Option<&Range>, option: Option<&str>) -> Result<Self> {
        let mut range = daemon.cloned();
        let mut categories = None;
        match option {
            Some(text) if text.starts_with('c') => categories = Some(text.parse()?),
            Some(text) => range = Some(text.parse()?),
            None => {}
        }
        let sensitivity = range.as_ref().map_or(0, |range| range.low.sensitivity);
        let categories = categories
            .or_else(|| range.map(|range| range.high.categories))
            .filter(|categories: &Categories| !categories.0.is_empty())
            .unwrap_or_else(|| Categories((0..1024).collect()));
        if categories.0.len() < 8 {
            return Err(Error::invalid(format!(
                "the range has {} categories ({categories}), at least 8 are needed to tell guests apart",
                categories.0.len()
            )));
        }
        Ok(Self { sensitivity, categories })
    }

    /// The level behind a key of this universe.
    pub fn level(key: Key) -> Level {
        let value = key.value();
        let categories = Categories(vec![(value >> 16) as u16, value as u16]);
        Level { sensitivity: (value >> 32) as u16, categories }
    }
}

impl Universe for Pairs {
    fn name(&self) -> String {
        format!("s{}:{}", self.sensitivity, self.categories)
    }

    fn size(&self) -> u32 {
        let count = self.categories.0.len() as u32;
        count * (count - 1) / 2
    }

    /// Pair number n is (column, row) of a triangle: row r holds the pairs whose larger place is r.
    fn key(&self, number: u32) -> Key {
        let n = u64::from(number);
        let mut row = (8 * n + 1).isqrt().div_ceil(2);
        while row * (row - 1) / 2 > n {
            row -= 1;
        }
        let column = n - row * (row - 1) / 2;
        let at = |place: u64| self.categories.0[place as usize];
        pair(self.sensitivity, at(column), at(row))
    }

    fn number(&self, key: Key) -> Option<u32> {
        let value = key.value();
        if key != Key::new(Class::Level, value & (DIGEST - 1)) || (value >> 32) as u16 != self.sensitivity {
            return None;
        }
        let place = |category| self.categories.0.binary_search(&category).ok().map(|at| at as u32);
        let (column, row) = place((value >> 16) as u16).zip(place(value as u16))?;
        (column < row).then(|| row * (row - 1) / 2 + column)
    }
}

/// What must be unique about a process's range: nothing when it has no categories.
pub fn key_of(range: &Range) -> Option<Key> {
    if range.low.categories.0.is_empty() && range.high.categories.0.is_empty() {
        return None;
    }
    match range.low.categories.0[..] {
        [first, second] if range.low == range.high => Some(pair(range.low.sensitivity, first, second)),
        _ => {
            let digest = range.to_string().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
                (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
            Some(Key::new(Class::Level, DIGEST | digest & (DIGEST - 1)))
        }
    }
}

fn pair(sensitivity: u16, first: u16, second: u16) -> Key {
    let value = u64::from(sensitivity) << 32 | u64::from(first) << 16 | u64::from(second);
    Key::new(Class::Level, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn pairs(daemon: &str, option: Option<&str>) -> Result<Pairs> {
        let range: Option<Range> = (!daemon.is_empty()).then(|| daemon.parse().unwrap());
        Pairs::new(range.as_ref(), option)
    }

    #[test]
    fn the_daemons_range_says_what_may_be_used() {
        for (daemon, option, name) in [
            ("s0", None, "s0:c0.c1023"),
            ("s0-s0", None, "s0:c0.c1023"),
            ("", None, "s0:c0.c1023"),
            ("s0-s0:c0.c10", None, "s0:c0.c10"),
            ("s2-s3:c0.c1023", None, "s2:c0.c1023"),
            ("s0-s0:c1,c5.c12", None, "s0:c1,c5.c12"),
            ("s1", Some("c0.c7"), "s1:c0.c7"),
            ("s1", Some("s2-s2:c0.c7"), "s2:c0.c7"),
        ] {
            assert_eq!(pairs(daemon, option).unwrap().name(), name, "{daemon} {option:?}");
        }
        for (daemon, option) in [("s0-s0:c0.c6", None), ("s0", Some("c0.c6")), ("s0", Some("rubbish"))] {
            assert_eq!(pairs(daemon, option).unwrap_err().errno(), libc::EINVAL);
        }
    }

    #[test]
    fn every_pair_once_ascending_and_back() {
        let pairs = pairs("s3", Some("c1,c5.c12,c1000")).unwrap();
        let mut seen = HashSet::new();
        for number in 0..pairs.size() {
            let key = pairs.key(number);
            assert_eq!(pairs.number(key), Some(number));
            let level = Pairs::level(key);
            assert!(level.categories.0[0] < level.categories.0[1] && level.sensitivity == 3);
            assert!(seen.insert(level));
        }
        assert_eq!(seen.len(), 45);
        let full = super::Pairs::new(None, None).unwrap();
        assert_eq!(full.size(), 523_776);
        for number in (0..full.size()).step_by(97).chain([full.size() - 1]) {
            assert_eq!(full.number(full.key(number)), Some(number));
        }
    }

    #[test]
    fn the_same_level_in_any_spelling_is_one_key() {
        let key = |text: &str| key_of(&text.parse().unwrap());
        assert_eq!(key("s0"), None);
        assert_eq!(key("s0-s3"), None);
        assert_eq!(key("s0:c9,c5"), key("s0:c5,c9"));
        assert_eq!(key("s0:c5,c9"), key("s0:c5,c9-s0:c5,c9"));
        assert_ne!(key("s0:c5,c9"), key("s1:c5,c9"));
        assert_eq!(key("s0:c1.c3"), key("s0:c1,c2,c3"));
        assert_ne!(key("s0:c1.c3"), key("s0:c1.c4"));
        assert_eq!(pairs("s0", None).unwrap().number(key("s0:c1.c3").unwrap()), None);
    }
}
