//! Security contexts, levels and sets of categories, as values.

use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// The highest category that the library deals in; MCS policies have 1024.
const HIGHEST: u16 = 4095;

/// A set of categories in ascending order: `c1,c5.c9`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Categories(pub Vec<u16>);

impl FromStr for Categories {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || Error::invalid(format!("{text:?} is not a set of categories such as c0.c1023 or c1,c5.c9"));
        let number = |name: &str| {
            let digits = name.strip_prefix('c').filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
            digits.parse().ok().filter(|n: &u16| *n <= HIGHEST)
        };
        let mut all = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('.').unwrap_or((part, part));
            let (first, last) = number(first).zip(number(last)).ok_or_else(wrong)?;
            if first > last {
                return Err(wrong());
            }
            all.extend(first..=last);
        }
        all.sort_unstable();
        all.dedup();
        Ok(Self(all))
    }
}

impl fmt::Display for Categories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, run) in self.0.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match run {
                [one] => write!(f, "{comma}c{one}")?,
                [first, second] => write!(f, "{comma}c{first},c{second}")?,
                [first, .., last] => write!(f, "{comma}c{first}.c{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

/// A sensitivity with its categories: `s0:c1,c2`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Level {
    /// The number behind the `s`.
    pub sensitivity: u16,
    /// May be empty.
    pub categories: Categories,
}

impl FromStr for Level {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (sensitivity, categories) = text.split_once(':').map_or((text, None), |(s, c)| (s, Some(c)));
        let sensitivity = sensitivity
            .strip_prefix('s')
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| Error::invalid(format!("{text:?} is not a level such as s0 or s0:c1,c2")))?;
        let categories = categories.map(str::parse).transpose()?.unwrap_or_default();
        Ok(Self { sensitivity, categories })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.sensitivity)?;
        if !self.categories.0.is_empty() {
            write!(f, ":{}", self.categories)?;
        }
        Ok(())
    }
}

/// From a low level to a high one; both are the same when only one is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Range {
    /// What the process starts with.
    pub low: Level,
    /// What it may rise to.
    pub high: Level,
}

impl FromStr for Range {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('-') {
            Some((low, high)) => Ok(Self { low: low.parse()?, high: high.parse()? }),
            None => text.parse().map(|level: Level| Self { low: level.clone(), high: level }),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high { self.low.fmt(f) } else { write!(f, "{}-{}", self.low, self.high) }
    }
}

/// A security context: `user:role:type`, and a range where the policy has levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The SELinux user.
    pub user: String,
    /// The role; `object_r` for files.
    pub role: String,
    /// The type, or domain of a process.
    pub kind: String,
    /// `None` under a policy without levels.
    pub range: Option<Range>,
}

impl FromStr for Context {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            |why: &str| Error::invalid(format!("{text:?} is not a context (user:role:type:level): {why}"));
        let mut parts = text.splitn(4, ':');
        let mut word = || {
            let word = parts.next().filter(|part| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
            });
            word.map(str::to_owned).ok_or_else(|| wrong("a part is missing or has strange characters"))
        };
        let (user, role, kind) = (word()?, word()?, word()?);
        let range = parts.next().map(str::parse).transpose().map_err(|e: Error| wrong(&e.to_string()))?;
        Ok(Self { user, role, kind, range })
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.user, self.role, self.kind)?;
        if let Some(range) = &self.range {
            write!(f, ":{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn categories_are_sets() {
        for (text, shown) in [
            ("c0.c1023", "c0.c1023"),
            ("c9,c5", "c5,c9"),
            ("c1,c5.c9", "c1,c5.c9"),
            ("c3.c4", "c3,c4"),
            ("c7,c7.c7", "c7"),
        ] {
            assert_eq!(text.parse::<Categories>().unwrap().to_string(), shown);
        }
        for text in ["", "c", "5", "c1,", "c4096", "c9.c5", "c1-c2", "c+1", "c1.c2.c3"] {
            assert_eq!(text.parse::<Categories>().unwrap_err().errno(), libc::EINVAL, "{text}");
        }
    }

    #[test]
    fn contexts_have_three_or_four_parts() {
        let full: Context = "system_u:system_r:svirt_t:s0-s3:c1,c2".parse().unwrap();
        assert_eq!(full.range.as_ref().unwrap().high.to_string(), "s3:c1,c2");
        assert_eq!(full.to_string(), "system_u:system_r:svirt_t:s0-s3:c1,c2");
        assert_eq!("u:r:t".parse::<Context>().unwrap().range, None);
        for text in ["", "a", "a:b", "a::c", ":b:c", "a:b:c:", "a:b:c:x0", "a:b c:d", "a:b:c:s0:c1:c2"] {
            assert_eq!(text.parse::<Context>().unwrap_err().errno(), libc::EINVAL, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            if let Ok(context) = text.parse::<Context>() {
                prop_assert_eq!(context.to_string().parse::<Context>().unwrap(), context);
            }
        }

        #[test]
        fn sets_survive_writing(set in prop::collection::btree_set(0u16..1024, 1..40)) {
            let set = Categories(set.into_iter().collect());
            prop_assert_eq!(set.to_string().parse::<Categories>().unwrap(), set);
        }
    }
}
