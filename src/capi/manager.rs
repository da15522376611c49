//! Managers: a stack of drivers.

use super::guard::{guard, quiet};
use super::{handle, optional_text, string, svirt_error, svirt_options};
use crate::error::{Error, Result};
use crate::manager::Manager;
use crate::options::Options;
use std::ffi::{c_char, c_int};
use std::ptr;

/// A stack of security drivers. Owned by the caller; ends with svirt_manager_close(). May be used by any
/// number of threads; all managers of a process share one table of labelled images.
pub struct svirt_manager(pub(super) Manager);

/// Opens a stack of drivers: "selinux", "landlock", "dac", "none", or a list such as "selinux,dac" whose first is the
/// primary one. NULL: what this host enforces (selinux, else landlock; a log message says why), and dac
/// when dac.user or dac.uid_range is set. `options` may be NULL and may be freed afterwards.
///
/// Errors: EINVAL unknown driver, or twice the same; ENOTSUP the host or this version lacks the driver;
/// EPERM remember=xattr without CAP_SYS_ADMIN. *manager is NULL then. Between fork and exec: no; in a
/// forked child that goes on without exec a manager of its own can be opened.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_manager_open(
    drivers: *const c_char,
    options: *const svirt_options,
    manager: *mut *mut svirt_manager,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let place = out(manager, "place for the manager")?;
            let drivers = optional_text(drivers, "list of drivers")?;
            let options = match options.as_ref() {
                Some(options) => options.lock()?.clone(),
                None => Options::default(),
            };
            *place = Box::into_raw(Box::new(svirt_manager(Manager::open(drivers, &options)?)));
            Ok(0)
        })
    }
}

/// Where a new handle goes; it is cleared first.
///
/// # Safety
/// The pointer is NULL or writable.
pub(super) unsafe fn out<'a, T>(place: *mut *mut T, what: &str) -> Result<&'a mut *mut T> {
    // SAFETY: as the caller promises.
    let place = unsafe { place.as_mut() }.ok_or_else(|| Error::invalid(format!("the {what} is NULL")))?;
    *place = ptr::null_mut();
    Ok(place)
}

/// Ends a manager. Labels and held images stay as they are. No thread may be using it. NULL is fine.
/// Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_manager_close(manager: *mut svirt_manager) {
    // SAFETY: NULL or a live manager, by contract.
    unsafe { super::free(manager) }
}

/// The model of the driver at a place of the stack; NULL past the last. The caller frees it with
/// svirt_string_free(). Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_manager_model(manager: *const svirt_manager, index: usize) -> *mut c_char {
    // SAFETY: NULL or a live manager, by contract.
    let manager = unsafe { manager.as_ref() };
    quiet(ptr::null_mut(), || string(manager.and_then(|m| Some(m.0.driver(index)?.model().to_owned()))))
}

/// The domain of interpretation of the driver at a place of the stack; NULL past the last. The caller
/// frees it with svirt_string_free(). Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_manager_doi(manager: *const svirt_manager, index: usize) -> *mut c_char {
    // SAFETY: NULL or a live manager, by contract.
    let manager = unsafe { manager.as_ref() };
    quiet(ptr::null_mut(), || string(manager.and_then(|m| Some(m.0.driver(index)?.doi().to_owned()))))
}

/// What a guest of a type (kvm, qemu, lxc) gets before its unique part is put in; NULL when the model has
/// no such thing or is not in the stack. `model` NULL: the primary one. The caller frees it with
/// svirt_string_free(). Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_manager_base_label(
    manager: *const svirt_manager,
    model: *const c_char,
    virt_type: *const c_char,
) -> *mut c_char {
    // SAFETY: pointers by contract.
    quiet(ptr::null_mut(), || unsafe {
        let find = || -> Result<Option<String>> {
            let driver = handle(manager, "manager")?.0.driver_of(optional_text(model, "model")?)?;
            Ok(driver.base_label(optional_text(virt_type, "type")?.unwrap_or("kvm")))
        };
        string(find().ok().flatten())
    })
}

/// After a crash of the daemon or the host: gives back everything that domains of this manager's owner held
/// on this host and that are not in `live_uuids`, whichever process labelled it, and makes their labels
/// usable again. Domains of other owners, and images somebody else relabelled meanwhile, stay as they are.
/// Goes on after an error and reports the first; it may be called again, also after being killed itself.
///
/// Returns how many domains were given back. Errors: EINVAL a uuid is malformed, nothing is done then; what
/// the kernel answered about an image. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_manager_reconcile(
    manager: *mut svirt_manager,
    live_uuids: *const *const c_char,
    count: usize,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let manager = &handle(manager, "manager")?.0;
            manager.check_process()?;
            if live_uuids.is_null() && count > 0 {
                return Err(Error::invalid("the list of uuids is NULL"));
            }
            let uuid = |at| super::text(*live_uuids.add(at), "uuid")?.parse();
            let live = (0..count).map(uuid).collect::<Result<_>>()?;
            manager.reconcile(&live).map(|count| c_int::try_from(count).unwrap_or(c_int::MAX))
        })
    }
}
