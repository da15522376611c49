//! A value that one side replaces under a lock and the other side reads without any.

use parking_lot::Mutex;
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};

/// Holds a value for readers that may not lock: children between fork and exec.
///
/// A value that is replaced while a reader is inside is kept until the cell itself goes, so a `vfork`
/// child, which shares the parent's memory, can never read freed memory.
pub struct Cell<T> {
    value: AtomicPtr<T>,
    readers: AtomicUsize,
    #[allow(clippy::vec_box, reason = "readers hold the address of the box's content")]
    retired: Mutex<Vec<Box<T>>>,
}

impl<T> Default for Cell<T> {
    fn default() -> Self {
        Self {
            value: AtomicPtr::new(ptr::null_mut()),
            readers: AtomicUsize::new(0),
            retired: Mutex::new(Vec::new()),
        }
    }
}

impl<T> Cell<T> {
    /// Puts a value in, or takes it out.
    pub fn set(&self, value: Option<T>) {
        let new = value.map_or(ptr::null_mut(), |value| Box::into_raw(Box::new(value)));
        let old = self.value.swap(new, SeqCst);
        if old.is_null() {
            return;
        }
        // SAFETY: `old` came from Box::into_raw above and the swap took it out of the cell for good.
        let old = unsafe { Box::from_raw(old) };
        // A reader counts itself before it loads the pointer; who is not counted here loads the new one.
        if self.readers.load(SeqCst) != 0 {
            self.retired.lock().push(old);
        }
    }

    /// Calls `read` with the value, without a lock or an allocation.
    pub fn with<R>(&self, read: impl FnOnce(Option<&T>) -> R) -> R {
        self.readers.fetch_add(1, SeqCst);
        // SAFETY: the pointer is null or a box that `set` does not free while a reader is counted.
        let result = read(unsafe { self.value.load(SeqCst).as_ref() });
        self.readers.fetch_sub(1, SeqCst);
        result
    }
}

impl<T> Drop for Cell<T> {
    fn drop(&mut self) {
        self.set(None);
    }
}

impl<T> fmt::Debug for Cell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cell")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn replaced_while_read_stays_readable() {
        let token = Arc::new(());
        let cell = Cell::default();
        cell.set(Some(token.clone()));
        cell.with(|value| {
            cell.set(None);
            assert_eq!(Arc::strong_count(value.unwrap()), 2);
        });
        cell.with(|value| assert!(value.is_none()));
        drop(cell);
        assert_eq!(Arc::strong_count(&token), 1);
    }

    #[test]
    fn readers_and_a_writer() {
        let cell = Cell::default();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        cell.with(|value: Option<&Vec<u8>>| {
                            assert!(value.is_none_or(|v| v.iter().all(|b| *b == v[0])));
                        });
                    }
                });
            }
            for n in 0..20_000_u32 {
                cell.set(Some(vec![n as u8; 32]));
            }
        });
    }
}
