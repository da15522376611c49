//! The C interface. Every function checks its arguments, calls one method, and turns the result into
//! what C expects; a panic on the way becomes `EIO` and never leaves the library.
#![allow(unsafe_code)]
#![allow(
    clippy::missing_safety_doc,
    reason = "the docs go into the header, whose contract is that of every C pointer"
)]
#![allow(non_camel_case_types, reason = "these are the names C sees")]

mod device;
mod domain;
mod error;
mod guard;
mod hotplug;
mod image;
mod label;
mod manager;
mod options;
mod socket;
mod transaction;

pub use device::*;
pub use domain::*;
pub use error::*;
pub use hotplug::*;
pub use image::*;
pub use label::*;
pub use manager::*;
pub use options::*;
pub use socket::*;
pub use transaction::*;

use crate::error::{Error, Result};
use std::ffi::{CStr, CString, c_char};

/// The object behind a handle; NULL is `EINVAL`.
///
/// # Safety
/// The pointer is NULL or a handle of this library that has not been freed.
unsafe fn handle<'a, T>(pointer: *const T, what: &str) -> Result<&'a T> {
    // SAFETY: as the caller promises.
    unsafe { pointer.as_ref() }.ok_or_else(|| Error::invalid(format!("the {what} is NULL")))
}

/// Text from C; NULL and invalid UTF-8 are `EINVAL`.
///
/// # Safety
/// The pointer is NULL or a string that ends in NUL.
unsafe fn text<'a>(pointer: *const c_char, what: &str) -> Result<&'a str> {
    // SAFETY: as the caller promises.
    unsafe { optional_text(pointer, what)? }.ok_or_else(|| Error::invalid(format!("the {what} is NULL")))
}

/// Text from C that may be left out.
///
/// # Safety
/// As [`text`].
unsafe fn optional_text<'a>(pointer: *const c_char, what: &str) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    let bytes = unsafe { CStr::from_ptr(pointer) };
    bytes.to_str().map(Some).map_err(|_| Error::invalid(format!("the {what} is not valid UTF-8")))
}

/// A string for C, which frees it with `svirt_string_free`; NULL for none.
fn string(text: Option<String>) -> *mut c_char {
    text.and_then(|text| CString::new(text).ok()).map_or(std::ptr::null_mut(), CString::into_raw)
}

/// Ends an object that was made with `Box::into_raw`.
///
/// # Safety
/// The pointer is NULL or came from `Box::into_raw` and is not used again.
unsafe fn free<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: as the caller promises.
        guard::quiet((), || drop(unsafe { Box::from_raw(pointer) }));
    }
}
