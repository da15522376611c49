//! Write locks on a byte of a file, shared with every process that uses POSIX or OFD locks.

use super::check;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// How long a lock is waited for before the caller gets an error.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// As [`lock_within`], waiting at most [`PATIENCE`].
pub fn lock(file: &File, at: i64) -> io::Result<()> {
    lock_within(file, at, PATIENCE)
}

/// Takes the write lock on byte `at` of `file`, waiting at most so long.
///
/// It is an open-file-description lock: it ends with `file`, also when the process is killed, and no
/// other descriptor of this process can drop it by being closed, as plain POSIX locks allow. A child that
/// is forked meanwhile has a copy of `file`, so whoever is done should [`unlock`].
pub fn lock_within(file: &File, at: i64, patience: Duration) -> io::Result<()> {
    let mut pause = Duration::from_micros(50);
    let deadline = Instant::now() + patience;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, "content").unwrap();
        (dir, path)
    }

    fn open(path: &std::path::Path) -> File {
        File::options().read(true).write(true).open(path).unwrap()
    }

    /// What a child says that tries to take the plain POSIX lock, as libvirt does.
    fn taken_for_posix(path: &std::path::Path) -> bool {
        let file = open(path);
        // SAFETY: the child makes two system calls and leaves.
        match unsafe { libc::fork() } {
            0 => {
                let range = libc::flock {
                    l_type: libc::F_WRLCK as i16,
                    l_whence: libc::SEEK_SET as i16,
                    l_start: 1,
                    l_len: 1,
                    l_pid: 0,
                };
                // SAFETY: `range` is complete; _exit has no conditions.
                unsafe { libc::_exit(i32::from(libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &range) != 0)) }
            }
            child => {
                let mut status = 0;
                // SAFETY: `status` is writable.
                assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                libc::WEXITSTATUS(status) == 1
            }
        }
    }

    #[test]
    fn a_posix_lock_sees_it_and_a_closed_descriptor_does_not_end_it() {
        let (_dir, path) = file();
        let held = open(&path);
        assert!(!taken_for_posix(&path));
        lock(&held, 1).unwrap();
        assert!(taken_for_posix(&path));
        drop(open(&path));
        drop(held.try_clone().unwrap());
        assert!(taken_for_posix(&path), "another descriptor of this process was closed");
        unlock(&held, 1).unwrap();
        assert!(!taken_for_posix(&path));
    }

    #[test]
    fn a_posix_lock_of_another_process_is_waited_for() {
        let (_dir, path) = file();
        let file = open(&path);
        let range = libc::flock {
            l_type: libc::F_WRLCK as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: 1,
            l_len: 1,
            l_pid: 0,
        };
        let (mut ends, before) = ([0; 2], Instant::now());
        // SAFETY: two descriptors fit; the child makes a few system calls and leaves.
        let child = unsafe {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            match libc::fork() {
                0 => {
                    let failed = libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &range) != 0;
                    libc::write(ends[1], b"x".as_ptr().cast(), 1);
                    libc::usleep(150_000);
                    libc::_exit(i32::from(failed))
                }
                child => child,
            }
        };
        let mut byte = 0u8;
        // SAFETY: one byte fits; the descriptors are this test's own.
        unsafe {
            assert_eq!(libc::read(ends[0], (&raw mut byte).cast(), 1), 1);
            libc::close(ends[0]);
            libc::close(ends[1]);
        }
        lock(&file, 1).unwrap();
        assert!(before.elapsed() >= Duration::from_millis(140), "{:?}", before.elapsed());
        let mut status = -1;
        // SAFETY: `status` is writable.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
    }

    #[test]
    fn threads_exclude_each_other() {
        let (_dir, path) = file();
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let file = open(&path);
                        lock(&file, 1).unwrap();
                        assert_eq!(inside.fetch_add(1, SeqCst), 0);
                        inside.fetch_sub(1, SeqCst);
                    }
                });
            }
        });
    }
}
