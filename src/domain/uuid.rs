//! The 16 bytes that name a guest for as long as it exists.

use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// A domain's uuid.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl FromStr for Uuid {
    type Err = Error;

    /// Reads 32 hexadecimal digits, with or without the usual four dashes, as libvirt does.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid(format!("{text:?} is not a uuid"));
        let dashed = text.len() == 36;
        if !dashed && text.len() != 32 {
            return Err(wrong());
        }
        let mut bytes = [0u8; 16];
        let mut digits = 0;
        for (at, byte) in text.bytes().enumerate() {
            if dashed && matches!(at, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return Err(wrong());
                }
                continue;
            }
            let digit = char::from(byte).to_digit(16).ok_or_else(wrong)?;
            bytes[digits / 2] = bytes[digits / 2] << 4 | digit as u8;
            digits += 1;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_spellings_and_writes_one() {
        let dashed: Uuid = "0b15ad3c-11f4-4b0c-a8e2-6b0d5f3e0001".parse().unwrap();
        assert_eq!(dashed, "0B15AD3C11F44B0CA8E26B0D5F3E0001".parse().unwrap());
        assert_eq!(dashed.to_string(), "0b15ad3c-11f4-4b0c-a8e2-6b0d5f3e0001");
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "0",
            "0b15ad3c-11f4-4b0c-a8e2-6b0d5f3e000",
            "0b15ad3c-11f4-4b0c-a8e2-6b0d5f3e000g",
            "0b15ad3c+11f4-4b0c-a8e2-6b0d5f3e0001",
            "é5ad3c11f44b0ca8e26b0d5f3e000111",
        ] {
            assert_eq!(text.parse::<Uuid>().unwrap_err().errno(), libc::EINVAL, "{text}");
        }
    }
}
