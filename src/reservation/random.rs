//! Where chance comes from.

use crate::error::{Error, Result};
use crate::sys;

/// Numbers from the kernel, fetched a few at a time.
#[derive(Debug, Default)]
pub struct Random {
    bytes: Vec<[u8; 8]>,
}

impl Random {
    /// A uniform number below `count`, which is not zero.
    pub fn below(&mut self, count: u32) -> Result<u32> {
        let count = u64::from(count);
        loop {
            let Some(bytes) = self.bytes.pop() else {
                self.bytes.resize(64, [0; 8]);
                sys::random(self.bytes.as_flattened_mut()).map_err(|e| Error::os("no random numbers", &e))?;
                continue;
            };
            let number = u64::from_ne_bytes(bytes);
            // The last, incomplete round of numbers would favour the small ones.
            if number < u64::MAX - u64::MAX % count {
                return Ok((number % count) as u32);
            }
        }
    }
}
