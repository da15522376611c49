//! Between C and everything else: no panic passes, and none is printed on somebody else's stderr.

use super::svirt_error;
use crate::error::{Error, Result};
use crate::sys::namespace;
use std::any::Any;
use std::cell::Cell;
use std::ffi::c_int;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::thread;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs a function's body; gives 0 or a count, or a negated errno and, where wanted, an error object.
///
/// # Safety
/// `error` is NULL or writable.
pub unsafe fn guard(error: *mut *mut svirt_error, body: impl FnOnce() -> Result<c_int>) -> c_int {
    if !error.is_null() {
        // SAFETY: as the caller promises.
        unsafe { *error = std::ptr::null_mut() };
    }
    let result = caught(body).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let what = what.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(Error::new(libc::EIO, format!("libsvirt has a bug, please report it: {what}")))
    });
    match result {
        Ok(value) => value,
        Err(failure) => {
            let number = -failure.errno();
            if !error.is_null() {
                // SAFETY: as the caller promises.
                unsafe { *error = svirt_error::into_raw(failure) };
            }
            number
        }
    }
}

/// Runs the body of a function that has no error to give; `fallback` after a panic.
pub fn quiet<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    caught(body).unwrap_or(fallback)
}

fn caught<T>(body: impl FnOnce() -> T) -> std::result::Result<T, Box<dyn Any + Send>> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let outer = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let ours = INSIDE.with(Cell::get) || thread::current().name() == Some(namespace::THREAD);
            if !ours {
                outer(info);
            }
        }));
    });
    let before = INSIDE.with(|inside| inside.replace(true));
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    INSIDE.with(|inside| inside.set(before));
    result
}
