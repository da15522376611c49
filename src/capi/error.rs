//! Error objects, strings, the version and the log.

use super::guard::quiet;
use crate::error::Error;
use crate::log;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

/// What went wrong: a number, a message and, where one is involved, a path. Owned by whoever received it;
/// ends with svirt_error_free(). May be read by any number of threads.
pub struct svirt_error {
    number: c_int,
    message: CString,
    path: Option<CString>,
}

impl svirt_error {
    pub(super) fn into_raw(error: Error) -> *mut Self {
        // A NUL inside can only come from a file or a process, and ends the text there.
        let text = |bytes: &[u8]| {
            CString::new(bytes.split(|b| *b == 0).next().unwrap_or_default()).unwrap_or_default()
        };
        Box::into_raw(Box::new(Self {
            number: error.errno(),
            message: text(error.to_string().as_bytes()),
            path: error.path().map(|path| text(path.as_os_str().as_bytes())),
        }))
    }
}

/// The message: what failed, on which path, and what to do. Borrowed: valid until the error is freed.
/// NULL for NULL. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_error_message(error: *const svirt_error) -> *const c_char {
    // SAFETY: NULL or a live error, by contract.
    unsafe { error.as_ref() }.map_or(ptr::null(), |error| error.message.as_ptr())
}

/// The positive errno; 0 for NULL. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_error_number(error: *const svirt_error) -> c_int {
    // SAFETY: NULL or a live error, by contract.
    unsafe { error.as_ref() }.map_or(0, |error| error.number)
}

/// The path that the error is about; NULL when there is none. Borrowed: valid until the error is freed.
/// Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_error_path(error: *const svirt_error) -> *const c_char {
    // SAFETY: NULL or a live error, by contract.
    let path = unsafe { error.as_ref() }.and_then(|error| error.path.as_ref());
    path.map_or(ptr::null(), |path| path.as_ptr())
}

/// Ends an error. NULL is fine; freeing twice is undefined. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_error_free(error: *mut svirt_error) {
    // SAFETY: NULL or a live error, by contract.
    unsafe { super::free(error) }
}

/// Ends a string that the library handed out. NULL is fine; freeing twice is undefined.
/// Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_string_free(string: *mut c_char) {
    if !string.is_null() {
        // SAFETY: a string of `string()` by contract, which came from CString::into_raw.
        drop(unsafe { CString::from_raw(string) });
    }
}

/// The version of the loaded library as 0xMMmmpp: major, minor, patch. Between fork and exec: yes.
#[unsafe(no_mangle)]
pub extern "C" fn svirt_version() -> c_uint {
    const fn part(text: &str) -> c_uint {
        let (mut value, mut at) = (0, 0);
        while at < text.len() {
            value = value * 10 + (text.as_bytes()[at] - b'0') as c_uint;
            at += 1;
        }
        value
    }
    const VERSION: c_uint = part(env!("CARGO_PKG_VERSION_MAJOR")) << 16
        | part(env!("CARGO_PKG_VERSION_MINOR")) << 8
        | part(env!("CARGO_PKG_VERSION_PATCH"));
    VERSION
}

/// Something worth knowing when the cause of something is looked for.
pub const SVIRT_LOG_DEBUG: c_int = 1;
/// Something worth knowing happened.
pub const SVIRT_LOG_INFO: c_int = 2;
/// Confinement holds, but somebody should look.
pub const SVIRT_LOG_WARNING: c_int = 3;

/// Who gets the library's messages. `message` is valid during the call only.
pub type svirt_log_handler =
    Option<unsafe extern "C" fn(level: c_int, message: *const c_char, opaque: *mut c_void)>;

struct Opaque(*mut c_void);
// SAFETY: the pointer is only handed back to the handler, which by contract may run on any thread.
unsafe impl Send for Opaque {}
// SAFETY: as above.
unsafe impl Sync for Opaque {}

/// Installs the handler for the library's messages, for the whole process; NULL removes it. The handler
/// may be called on any thread and must not call svirt_set_log_handler(). Without one nothing is
/// reported: the library never writes to stdout or stderr. A forked child that goes on without exec begins
/// without one. Between fork and exec: no.
#[unsafe(no_mangle)]
pub extern "C" fn svirt_set_log_handler(handler: svirt_log_handler, opaque: *mut c_void) {
    let opaque = Opaque(opaque);
    let handler = handler.map(|handler| -> log::Handler {
        Box::new(move |level, message| {
            let opaque = &opaque;
            if let Ok(message) = CString::new(message) {
                // SAFETY: the handler is a function of this signature, by contract.
                unsafe { handler(level as c_int, message.as_ptr(), opaque.0) }
            }
        })
    });
    quiet((), || log::set_handler(handler));
}
