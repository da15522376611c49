//! Whole devices, plugged and unplugged by their XML.

use super::guard::guard;
use super::label::both;
use super::{svirt_domain, svirt_error, svirt_manager, text};
use std::ffi::{c_char, c_int};

/// Hot plug of a whole device, given as libvirt's XML of it (<disk>, <hostdev>, <memory>, …):
/// labels everything it consists of, with its own seclabels, and adds it to the domain. A file that
/// the domain alone uses in another way already (a layer that is to be written, say) gets the label for the
/// new way and keeps one use.
///
/// Errors: EINVAL malformed XML; else as svirt_domain_set_security_all_label(). Everything is as before then.
/// Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_set_security_device_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    xml: *const c_char,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let (manager, domain) = both(manager, domain)?;
            manager.set_security_device_label(domain, text(xml, "device's XML")?).map(|()| 0)
        })
    }
}

/// Hot unplug of a whole device, given as for svirt_domain_set_security_device_label(): gives everything it
/// consists of back, unless another of the guest's devices uses it too. With nothing held it is success.
/// Errors: EINVAL malformed XML. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_restore_security_device_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    xml: *const c_char,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let (manager, domain) = both(manager, domain)?;
            manager.restore_security_device_label(domain, text(xml, "device's XML")?).map(|()| 0)
        })
    }
}
