//! Unsafe system calls, each behind a safe function with its reason.
#![allow(unsafe_code)]

pub mod cell;
pub mod directory;
pub mod fork;
pub mod lock;
pub mod marks;
pub mod namespace;
pub mod node;
pub mod process;
pub mod raw;
pub mod spawn;
pub mod xattr;

use std::io;

/// Turns a C return value into a result.
fn check<T: PartialOrd + Default>(result: T) -> io::Result<T> {
    if result < T::default() { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Fills `buffer` from the kernel's random source.
pub fn random(buffer: &mut [u8]) -> io::Result<()> {
    let mut at = 0;
    while at < buffer.len() {
        let rest = &mut buffer[at..];
        // SAFETY: the pointer and the length describe `rest`, which the kernel only writes.
        match check(unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) }) {
            Ok(count) => at += count as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
