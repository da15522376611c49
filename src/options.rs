//! What a manager is opened with, checked when it is set.

use crate::driver::dac::UidRange;
use crate::driver::selinux::levels::Pairs;
use crate::error::{Error, Result};
use crate::sys::process;
use std::collections::HashMap;
use std::path::PathBuf;

/// What the value of an option must be.
#[derive(Clone, Copy)]
enum Value {
    YesNo,
    Directory,
    Word,
    OneOf(&'static [&'static str]),
    McsRange,
    UidRange,
}

const KNOWN: &[(&str, Value)] = &[
    ("owner", Value::Word),
    ("runtime_dir", Value::Directory),
    ("state_dir", Value::Directory),
    ("remember", Value::OneOf(&["xattr", "ledger"])),
    ("default_confined", Value::YesNo),
    ("require_confined", Value::YesNo),
    ("mcs.range", Value::McsRange),
    ("dac.user", Value::Word),
    ("dac.group", Value::Word),
    ("dac.uid_range", Value::UidRange),
    ("dac.dynamic_ownership", Value::YesNo),
    ("selinux.root", Value::Directory),
    ("landlock.deny_network", Value::YesNo),
    ("apparmor.template", Value::Directory),
    ("apparmor.profile_dir", Value::Directory),
    ("apparmor.parser", Value::Directory),
    ("apparmor.load_at_gen", Value::YesNo),
];

/// Options by name; every value in here is a valid one.
#[derive(Debug, Clone, Default)]
pub struct Options(HashMap<&'static str, String>);

impl Options {
    /// Sets one option.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let Some((name, kind)) = KNOWN.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = KNOWN.iter().map(|(known, _)| *known).collect();
            return Err(Error::invalid(format!(
                "option {name:?} is unknown; known are {}",
                known.join(", ")
            )));
        };
        let must_be = |what: &str| Err(Error::invalid(format!("option {name}: {value:?} must be {what}")));
        match kind {
            Value::YesNo if !matches!(value, "yes" | "no") => return must_be("yes or no"),
            Value::Directory if !value.starts_with('/') => return must_be("an absolute path"),
            Value::Word if value.is_empty() || value.contains(|c: char| c == '/' || c.is_control()) => {
                return must_be("a name without slashes and control characters");
            }
            Value::OneOf(all) if !all.contains(&value) => {
                return must_be(&format!("one of {}", all.join(", ")));
            }
            Value::McsRange => {
                drop(Pairs::new(None, Some(value)).map_err(|e| e.context("option mcs.range"))?)
            }
            Value::UidRange => drop(value.parse::<UidRange>()?),
            _ => {}
        }
        self.0.insert(name, value.to_owned());
        Ok(())
    }

    /// An option's value, when it was set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A yes/no option.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.get(name).map_or(default, |value| value == "yes")
    }

    /// Where reservations are kept: gone at boot.
    pub fn runtime_dir(&self, uid: u32) -> Result<PathBuf> {
        if let Some(set) = self.get("runtime_dir") {
            return Ok(set.into());
        }
        if uid == 0 {
            return Ok("/run/svirt".into());
        }
        directory("XDG_RUNTIME_DIR")
            .map(|dir| dir.join("svirt"))
            .ok_or_else(|| Error::invalid("neither option runtime_dir nor XDG_RUNTIME_DIR is set"))
    }

    /// Where ledgers are kept: outlives a boot.
    pub fn state_dir(&self, uid: u32) -> Result<PathBuf> {
        if let Some(set) = self.get("state_dir") {
            return Ok(set.into());
        }
        if uid == 0 {
            return Ok("/var/lib/svirt".into());
        }
        directory("XDG_STATE_HOME")
            .map(|dir| dir.join("svirt"))
            .or_else(|| directory("HOME").map(|home| home.join(".local/state/svirt")))
            .ok_or_else(|| Error::invalid("neither option state_dir nor XDG_STATE_HOME nor HOME is set"))
    }
}

/// A directory that the environment names.
fn directory(variable: &str) -> Option<PathBuf> {
    process::environment(variable).map(PathBuf::from).filter(|dir| dir.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_names_and_fitting_values() {
        let mut options = Options::default();
        for (name, value) in [
            ("nonsense", "1"),
            ("", ""),
            ("default_confined", "true"),
            ("default_confined", ""),
            ("remember", "disk"),
            ("runtime_dir", "relative"),
            ("owner", ""),
            ("owner", "a/b"),
            ("mcs.range", "c0.c6"),
            ("dac.uid_range", "0-1"),
            ("dac.user", ""),
        ] {
            assert_eq!(options.set(name, value).unwrap_err().errno(), libc::EINVAL, "{name}={value}");
            assert_eq!(options.get(name), None);
        }
        let message = options.set("nonsense", "1").unwrap_err().to_string();
        assert!(message.contains("dac.uid_range") && message.contains("mcs.range"), "{message}");
        for (name, value) in [("mcs.range", "c0.c7"), ("require_confined", "yes"), ("dac.user", "+5")] {
            options.set(name, value).unwrap();
            assert_eq!(options.get(name), Some(value));
        }
    }
}
