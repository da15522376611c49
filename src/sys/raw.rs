//! System calls for the child between fork and exec: no allocation, no lock, no C library state.
//!
//! The C library's own `setresuid` tells every thread it knows of to change as well; in a `vfork` child
//! those are the parent's threads. So everything here is the bare system call.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

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

/// Gives up gaining privileges at exec, for this thread and all its children.
pub fn no_new_privs() -> Result<(), i32> {
    // SAFETY: the call has no conditions.
    value(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}

/// Puts the calling thread into a Landlock domain made of a ruleset.
pub fn landlock_restrict_self(ruleset: BorrowedFd<'_>, flags: u32) -> Result<(), i32> {
    // SAFETY: the call has no conditions.
    value(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), flags) }).map(drop)
}

/// Adds a rule for everything beneath `path` to a Landlock ruleset.
pub fn landlock_allow(ruleset: BorrowedFd<'_>, path: &CStr, access: u64) -> Result<(), i32> {
    /// `struct landlock_path_beneath_attr`.
    #[repr(C, packed)]
    struct PathBeneath {
        access: u64,
        parent: i32,
    }
    const PATH_BENEATH: libc::c_int = 1;
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the name ends in NUL.
    let parent =
        again(|| unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0) })?;
    let rule = PathBeneath { access, parent: parent as i32 };
    let ruleset = ruleset.as_raw_fd();
    // SAFETY: `rule` is what the kernel reads for this type of rule.
    let added = value(unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset, PATH_BENEATH, ptr::from_ref(&rule), 0)
    });
    // SAFETY: `parent` was opened above.
    let closed = value(unsafe { libc::syscall(libc::SYS_close, parent) });
    added.and(closed).map(drop)
}

/// The calling process, as its pid namespace has it.
pub fn pid() -> i32 {
    // SAFETY: the call has no conditions.
    unsafe { libc::syscall(libc::SYS_getpid) as i32 }
}

/// Nanoseconds since boot, suspended time included.
pub fn since_boot() -> Result<u64, i32> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable.
    value(unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_BOOTTIME, ptr::from_mut(&mut now)) })?;
    Ok(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

fn again(call: impl Fn() -> i64) -> RawResult {
    loop {
        match value(call()) {
            Err(errno) if errno == -libc::EINTR => {}
            result => return result,
        }
    }
}
