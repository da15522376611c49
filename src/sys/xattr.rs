//! Extended attributes of an open node, by descriptor where that works, else through `/proc/self/fd`.

use super::check;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::RawFd;

/// The longest value that is read; labels and counts are far shorter.
const LONGEST: usize = 8192;

/// How the attributes of a node are reached.
#[derive(Debug)]
pub enum Access {
    /// A descriptor that was opened for reading or writing.
    Descriptor(RawFd),
    /// The `/proc/self/fd` name of an `O_PATH` descriptor; following it cannot be raced by a rename.
    Name(CString),
}

/// The names of all attributes, as the kernel gives them: each ended by NUL.
pub fn list(on: &Access) -> io::Result<Vec<u8>> {
    sized(|buffer, length| match on {
        // SAFETY: the pointer and the length describe a writable buffer.
        Access::Descriptor(fd) => unsafe { libc::flistxattr(*fd, buffer.cast(), length) },
        // SAFETY: as above; the name ends in NUL.
        Access::Name(name) => unsafe { libc::listxattr(name.as_ptr(), buffer.cast(), length) },
    })
}

/// The value of one attribute; `ENODATA` when there is none.
pub fn get(on: &Access, attribute: &CStr) -> io::Result<Vec<u8>> {
    sized(|buffer, length| match on {
        // SAFETY: the pointer and the length describe a writable buffer; the name ends in NUL.
        Access::Descriptor(fd) => unsafe { libc::fgetxattr(*fd, attribute.as_ptr(), buffer.cast(), length) },
        // SAFETY: as above.
        Access::Name(name) => unsafe {
            libc::getxattr(name.as_ptr(), attribute.as_ptr(), buffer.cast(), length)
        },
    })
}

/// Sets one attribute, whether it exists or not.
pub fn set(on: &Access, attribute: &CStr, value: &[u8]) -> io::Result<()> {
    let (data, length) = (value.as_ptr().cast(), value.len());
    check(match on {
        // SAFETY: the pointer and the length describe `value`; the name ends in NUL.
        Access::Descriptor(fd) => unsafe { libc::fsetxattr(*fd, attribute.as_ptr(), data, length, 0) },
        // SAFETY: as above.
        Access::Name(name) => unsafe { libc::setxattr(name.as_ptr(), attribute.as_ptr(), data, length, 0) },
    })
    .map(drop)
}

/// Removes one attribute; `ENODATA` when there is none.
pub fn remove(on: &Access, attribute: &CStr) -> io::Result<()> {
    check(match on {
        // SAFETY: the name ends in NUL.
        Access::Descriptor(fd) => unsafe { libc::fremovexattr(*fd, attribute.as_ptr()) },
        // SAFETY: both names end in NUL.
        Access::Name(name) => unsafe { libc::removexattr(name.as_ptr(), attribute.as_ptr()) },
    })
    .map(drop)
}

/// Reads into a stack buffer first, so that the usual value costs one system call.
fn sized(read: impl Fn(*mut u8, usize) -> isize) -> io::Result<Vec<u8>> {
    let mut near = [0u8; 512];
    match check(read(near.as_mut_ptr(), near.len())) {
        Ok(count) => Ok(near[..count as usize].to_vec()),
        Err(error) if error.raw_os_error() == Some(libc::ERANGE) => {
            let mut far = vec![0u8; LONGEST];
            let count = check(read(far.as_mut_ptr(), far.len()))?;
            far.truncate(count as usize);
            Ok(far)
        }
        Err(error) => Err(error),
    }
}
