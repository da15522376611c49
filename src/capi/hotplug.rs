//! What changes while a guest runs: resources, images that take another's place, descriptors.

use super::domain::resource;
use super::guard::{guard, quiet};
use super::label::both;
use super::{string, svirt_domain, svirt_error, svirt_manager, text};
use crate::domain::Kind;
use crate::domain::resource::checked_path;
use crate::driver::Opened;
use crate::error::Result;
use std::ffi::{c_char, c_int, c_uint};
use std::path::Path;
use std::ptr;

/// A tap device: for svirt_domain_set_security_fd_label() only.
pub const SVIRT_RESOURCE_TAP: c_int = 30;

/// Hot plug: labels one resource of a running guest and adds it to the domain. What the domain holds
/// already is used once more.
///
/// Errors: EBUSY the image is held with another label, by another guest or by this one; else as svirt_domain_add_resource() and svirt_domain_set_security_all_label(). Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_set_security_resource_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    kind: c_int,
    path: *const c_char,
    flags: c_uint,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let (manager, domain) = both(manager, domain)?;
            manager.set_security_resource_label(domain, resource(kind, path, flags)?).map(|()| 0)
        })
    }
}

/// Hot unplug: gives one resource back, unless another of the guest's resources is the same file, and takes
/// it out of the domain. With nothing held it is success. Errors: EINVAL as svirt_domain_add_resource().
/// Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_restore_security_resource_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    kind: c_int,
    path: *const c_char,
    flags: c_uint,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let (manager, domain) = both(manager, domain)?;
            manager.restore_security_resource_label(domain, &resource(kind, path, flags)?).map(|()| 0)
        })
    }
}

/// What a file system mounted for the guest needs among its mount options: empty, or beginning with a comma
/// to be appended to others. NULL on bad arguments. The caller frees it with svirt_string_free().
/// Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_security_mount_options(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
) -> *mut c_char {
    // SAFETY: pointers by contract.
    let options = || unsafe { both(manager, domain) }.and_then(|(m, d)| m.security_mount_options(d));
    quiet(ptr::null_mut(), || string(options().ok()))
}

/// After a block copy has pivoted: `to` takes the place of `from`. What is remembered about `from` is
/// remembered about `to` from now on, so that `to` becomes, when the guest ends, what `from` was before the
/// guest; the guest's resource with path `from` gets path `to`. `to` may have been added by hot plug as the
/// copy was begun, or gets its label now. `from` is given back at once, unless other guests use it, and may
/// be gone. An image `to` that other guests use keeps what is remembered about it. What the guest does not
/// hold is not moved; that is success.
///
/// Errors: ENOENT there is no `to`; EBUSY another guest holds `to` with another label; EINVAL a path that is
/// relative or has control characters. Everything is as before then; only when giving `from` back fails
/// has the move been made, and restore tries again. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_move_image(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    from: *const c_char,
    to: *const c_char,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let (manager, domain) = both(manager, domain)?;
            let path = |path, what| checked_path(Path::new(text(path, what)?));
            manager.move_image(domain, &path(from, "old path")?, &path(to, "new path")?).map(|()| 0)
        })
    }
}

/// Labels what a descriptor refers to, before it is handed to the guest. The descriptor stays the caller's
/// and may be closed afterwards. `kind` is SVIRT_RESOURCE_TAP for a tap device, else the SVIRT_RESOURCE_* of
/// an image, a saved state or a channel. svirt_domain_restore_security_all_label() gives it back; what has
/// no name (a pipe, a deleted file) is remembered in memory.
///
/// selinux: the guest's image label; a macvtap or ipvtap device keeps its type and gets the guest's level;
/// other tap devices share one node, /dev/net/tun, which is never touched. dac: nothing, since an owner
/// counts when a file is opened, not when it is handed on. apparmor: the profile names the file too, for reading
/// only when the descriptor is. A guest that does not relabel: nothing.
///
/// Errors: EBADF `fd` is not open; EINVAL unknown kind, or SVIRT_RESOURCE_TAP for what is no tap device;
/// EBUSY another label is in use on it; ENODATA before gen; EPERM/EACCES the kernel refused. Nothing is
/// changed then. A transaction does not wait with it: a descriptor is the same in every mount namespace.
/// Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_set_security_fd_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    fd: c_int,
    kind: c_int,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let (manager, domain) = both(manager, domain)?;
            manager.set_security_fd_label(domain, fd, opened(kind)?).map(|()| 0)
        })
    }
}

fn opened(kind: c_int) -> Result<Opened> {
    match kind {
        SVIRT_RESOURCE_TAP => Ok(Opened::Tap),
        kind => Kind::from_number(kind).map(Opened::Image),
    }
}
