//! Marks that children leave for their parent, in memory that both have.
//!
//! A child that has been confined writes down who it is, and when. The parent can tell for ever after
//! whether a process is one of those children: a process with the number that a mark has, and started
//! no later than the mark was made, can only be the one that made it.

use super::{process, raw};
use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

/// All that fit into one page, beside their count.
const MOST: usize = 511;
/// A process number takes the upper bits; Linux has none above 2^22.
const PID_SHIFT: u32 = 42;

/// The page: how many marks were ever made, and the latest of them.
#[repr(C)]
struct Page {
    count: AtomicU64,
    marks: [AtomicU64; MOST],
}

/// See the module.
#[derive(Debug)]
pub struct Marks {
    page: NonNull<Page>,
    ticks_a_second: u64,
}

// SAFETY: the page is only used through atomics, and lives until the one owner is dropped.
unsafe impl Send for Marks {}
// SAFETY: as above.
unsafe impl Sync for Marks {}

impl Marks {
    /// A page without marks.
    pub fn new() -> io::Result<Self> {
        let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing else.
        let page = unsafe { libc::mmap(ptr::null_mut(), size_of::<Page>(), access, shared, -1, 0) };
        match NonNull::new(page.cast::<Page>()) {
            Some(page) if page.as_ptr().cast() != libc::MAP_FAILED => {
                Ok(Self { page, ticks_a_second: process::ticks_a_second() })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn page(&self) -> &Page {
        // SAFETY: the mapping is aligned to a page, zeroed at first, and lives as long as `self`.
        unsafe { self.page.as_ref() }
    }

    /// Marks the calling process. For a child between fork and exec: two system calls, nothing else.
    pub fn leave(&self) -> Result<(), i32> {
        let now = raw::since_boot()?;
        // Seconds and the rest apart, so that nothing overflows.
        let ticks = now / 1_000_000_000 * self.ticks_a_second
            + now % 1_000_000_000 * self.ticks_a_second / 1_000_000_000;
        let mark = (raw::pid() as u64) << PID_SHIFT | ticks & ((1 << PID_SHIFT) - 1);
        let at = self.page().count.fetch_add(1, Ordering::AcqRel) as usize % MOST;
        self.page().marks[at].store(mark, Ordering::Release);
        Ok(())
    }

    /// How many marks were made.
    pub fn count(&self) -> u64 {
        self.page().count.load(Ordering::Acquire)
    }

    /// Whether a process that started at these ticks has left a mark.
    pub fn has(&self, pid: libc::pid_t, started: u64) -> bool {
        self.latest().any(|(marked, at)| marked == pid as u64 && started <= at)
    }

    /// Whether a process that started at these ticks may be a child of one that has left a mark.
    pub fn may_descend(&self, started: u64) -> bool {
        self.count() > MOST as u64 || self.latest().any(|(_, at)| at <= started)
    }

    /// The latest marks: process and ticks.
    fn latest(&self) -> impl Iterator<Item = (u64, u64)> {
        let used = self.count().min(MOST as u64) as usize;
        let marks = self.page().marks[..used].iter().map(|mark| mark.load(Ordering::Acquire));
        marks.map(|mark| (mark >> PID_SHIFT, mark & ((1 << PID_SHIFT) - 1)))
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `new` and nobody uses it any more.
        unsafe { libc::munmap(self.page.as_ptr().cast(), size_of::<Page>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(work: impl FnOnce() -> bool) -> (libc::pid_t, i32) {
        // SAFETY: the child makes system calls and leaves.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: _exit has no conditions.
            unsafe { libc::_exit(i32::from(!work())) }
        }
        let mut status = -1;
        // SAFETY: `status` is writable.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        (pid, status)
    }

    #[test]
    fn only_who_left_a_mark_has_one() {
        let marks = Marks::new().unwrap();
        let own = std::process::id() as i32;
        let started = process::start_ticks(own).unwrap();
        assert!(!marks.has(own, started) && !marks.may_descend(u64::MAX));
        let (pid, status) = child(|| marks.leave().is_ok());
        assert_eq!((status, marks.count()), (0, 1));
        assert!(!marks.has(own, started));
        let now = raw::since_boot().unwrap() / 1_000_000_000 * process::ticks_a_second();
        assert!(marks.has(pid, started) && !marks.has(pid, now + 200 * process::ticks_a_second()));
        assert!(marks.may_descend(u64::MAX) && !marks.may_descend(0));
        marks.leave().unwrap();
        assert!(marks.has(own, started));
        for _ in 0..MOST {
            marks.leave().unwrap();
        }
        assert!(marks.may_descend(0) && !marks.has(pid, started) && marks.has(own, started));
    }
}
