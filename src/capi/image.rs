//! The table of labelled images, as C sees it.

use super::guard::guard;
use super::{handle, svirt_manager};
use crate::error::Error;
use crate::image;
use std::ffi::{CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

/// A labelled image. Everything in it is borrowed and valid during the visit only.
#[repr(C)]
pub struct svirt_image {
    /// The size of this structure in the library's version; new fields come at the end.
    pub size: usize,
    /// Where it was found first.
    pub path: *const c_char,
    /// The model whose label this is about.
    pub model: *const c_char,
    /// What is given back by the last holder; NULL when the file had no label.
    pub original: *const c_char,
    /// What it has now.
    pub label: *const c_char,
    /// How many domains of this process hold it.
    pub holders: usize,
    /// Their uuids, `holders` of them.
    pub holder_uuids: *const *const c_char,
}

/// Calls `visit` for every image that this process holds, by path and model, until it gives something other
/// than 0. No lock is held during the calls: `visit` may use the library.
///
/// Returns how many were visited, what `visit` ended with, or a negated errno. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_manager_foreach_image(
    manager: *mut svirt_manager,
    visit: Option<unsafe extern "C" fn(image: *const svirt_image, opaque: *mut c_void) -> c_int>,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(ptr::null_mut(), || {
            handle(manager, "manager")?.0.check_process()?;
            let visit = visit.ok_or_else(|| Error::invalid("the function is NULL"))?;
            let text = |bytes: &[u8]| CString::new(bytes).unwrap_or_default();
            let mut count = 0;
            for info in image::list() {
                let path = text(info.path.as_os_str().as_bytes());
                let (model, label) = (text(info.model.as_bytes()), text(info.label.as_bytes()));
                let original = info.original.map(|original| text(original.as_bytes()));
                let names: Vec<CString> =
                    info.holders.iter().map(|u| text(u.to_string().as_bytes())).collect();
                let uuids: Vec<*const c_char> = names.iter().map(|uuid| uuid.as_ptr()).collect();
                let image = svirt_image {
                    size: size_of::<svirt_image>(),
                    path: path.as_ptr(),
                    model: model.as_ptr(),
                    original: original.as_ref().map_or(ptr::null(), |original| original.as_ptr()),
                    label: label.as_ptr(),
                    holders: uuids.len(),
                    holder_uuids: uuids.as_ptr(),
                };
                count += 1;
                match visit(&image, opaque) {
                    0 => {}
                    stop => return Ok(stop),
                }
            }
            Ok(count)
        })
    }
}
