//! Write locks on a byte of a file, shared with every process that uses POSIX or OFD locks.

use super::check;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// How long a lock is waited for before the caller gets an error.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Takes the write lock on byte `at` of `file`, waiting at most [`PATIENCE`].
///
/// It is an open-file-description lock: it ends with `file`, also when the process is killed, and no
/// other descriptor of this process can drop it by being closed, as plain POSIX locks allow.
pub fn lock(file: &File, at: i64) -> io::Result<()> {
    let mut pause = Duration::from_micros(50);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match set(file, at, libc::F_WRLCK) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
                if Instant::now() >= deadline {
                    return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(10));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Drops the lock on byte `at`.
pub fn unlock(file: &File, at: i64) -> io::Result<()> {
    set(file, at, libc::F_UNLCK)
}

fn set(file: &File, at: i64, kind: i32) -> io::Result<()> {
    let range =
        libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: at, l_len: 1, l_pid: 0 };
    // SAFETY: `range` is a complete flock structure that the kernel only reads.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &range) }).map(drop)
}
