//! Tells whether the process is still the one that made a handle.
//!
//! A child made by `fork` inherits locks that some other thread of the parent may have held; touching
//! them would wait for ever. The mark below lies in a page that the kernel empties in a forked child
//! (`MADV_WIPEONFORK`, Linux 4.14), so asking costs no system call. A `vfork` child shares the page and
//! counts as its parent, which is right: it borrows the parent's memory, locks included.

use once_cell::sync::OnceCell;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

static NEXT: AtomicU64 = AtomicU64::new(1);
static MARK: OnceCell<Option<&'static AtomicU64>> = OnceCell::new();

/// A number that is the same as long as the process is, and another one in every forked child.
pub fn generation() -> u64 {
    // In a child forked while another thread is inside this initialiser the call would wait; the
    // initialiser runs once, in the first call of the library, before any handle exists.
    let Some(mark) = MARK.get_or_init(map) else {
        // SAFETY: getpid has no conditions.
        return unsafe { libc::getpid() } as u64;
    };
    match mark.load(Ordering::Acquire) {
        0 => {
            let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
            mark.compare_exchange(0, fresh, Ordering::AcqRel, Ordering::Acquire).err().unwrap_or(fresh)
        }
        mark => mark,
    }
}

/// A value that exists once in every process and is made afresh in a forked child, where the parent's
/// one, locks and all, is left alone.
pub struct PerProcess<T: 'static>(AtomicPtr<Slot<T>>);

struct Slot<T> {
    generation: u64,
    value: T,
    /// The parent's; kept in sight so that leak checkers do not report it in the child.
    _parent: *mut Slot<T>,
}

impl<T: Default + Sync + 'static> PerProcess<T> {
    /// An empty place; usable in a `static`.
    pub const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// This process's value.
    pub fn get(&self) -> &'static T {
        let now = generation();
        loop {
            let at = self.0.load(Ordering::Acquire);
            // SAFETY: the pointer is null or a box that was leaked below.
            if let Some(slot) = unsafe { at.as_ref() }
                && slot.generation == now
            {
                return &slot.value;
            }
            let slot = Slot { generation: now, value: T::default(), _parent: at };
            let fresh = Box::into_raw(Box::new(slot));
            if self.0.compare_exchange(at, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: nobody else has seen this box.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }
}

fn map() -> Option<&'static AtomicU64> {
    let length = size_of::<AtomicU64>();
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches nothing else.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    // SAFETY: `page` is the mapping made above, when it was made.
    if page == libc::MAP_FAILED || unsafe { libc::madvise(page, length, libc::MADV_WIPEONFORK) } != 0 {
        return None;
    }
    // SAFETY: the mapping is zeroed, aligned to a page, never unmapped, and only used as this atomic.
    Some(unsafe { &*page.cast::<AtomicU64>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forked_child_sees_another_generation() {
        let here = generation();
        assert_eq!(here, generation());
        // SAFETY: the child only reads and writes atomics, then leaves.
        match unsafe { libc::fork() } {
            // SAFETY: _exit has no conditions.
            0 => unsafe { libc::_exit(i32::from(generation() == here)) },
            child => {
                let mut status = -1;
                // SAFETY: `status` is writable.
                assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                assert_eq!(status, 0);
            }
        }
        assert_eq!(here, generation());
    }
}
