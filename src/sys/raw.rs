//! System calls for the child between fork and exec: no allocation, no lock, no C library state.
//!
//! The C library's own `setresuid` tells every thread it knows of to change as well; in a `vfork` child
//! those are the parent's threads. So everything here is the bare system call.

use std::ffi::CStr;

/// A negated errno, or the call's value.
pub type RawResult = Result<i64, i32>;

fn value(result: i64) -> RawResult {
    if result >= 0 {
        return Ok(result);
    }
    // SAFETY: the C library always gives the address of this thread's errno.
    Err(-unsafe { *libc::__errno_location() })
}

/// Writes `bytes` to `path` in one write; a short write is `-EIO`.
pub fn write_file(path: &CStr, bytes: &[u8]) -> Result<(), i32> {
    let fd = again(|| {
        // SAFETY: the name ends in NUL.
        unsafe {
            libc::syscall(
                libc::SYS_openat,
                libc::AT_FDCWD,
                path.as_ptr(),
                libc::O_WRONLY | libc::O_CLOEXEC,
                0,
            )
        }
    })?;
    // SAFETY: pointer and length describe `bytes`, which the kernel only reads.
    let written = again(|| unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) });
    // SAFETY: `fd` was opened above.
    let closed = value(unsafe { libc::syscall(libc::SYS_close, fd) });
    if written? != bytes.len() as i64 {
        return Err(-libc::EIO);
    }
    closed.map(drop)
}

/// Sets the supplementary groups of the calling thread.
pub fn set_groups(groups: &[u32]) -> Result<(), i32> {
    // SAFETY: pointer and length describe `groups`, which the kernel only reads.
    value(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// Sets real, effective and saved group of the calling thread.
pub fn set_gid(gid: u32) -> Result<(), i32> {
    // SAFETY: the call has no conditions.
    value(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// Sets real, effective and saved user of the calling thread.
pub fn set_uid(uid: u32) -> Result<(), i32> {
    // SAFETY: the call has no conditions.
    value(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

fn again(call: impl Fn() -> i64) -> RawResult {
    loop {
        match value(call()) {
            Err(errno) if errno == -libc::EINTR => {}
            result => return result,
        }
    }
}
