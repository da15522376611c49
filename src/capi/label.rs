//! The six methods and those around them.

use super::guard::guard;
use super::{handle, optional_text, svirt_domain, svirt_error, svirt_manager};
use crate::error::{Error, Result};
use std::ffi::{c_char, c_int, c_uint};

/// Restore flag: another host runs the guest now. Our hold is dropped, labels on shared file systems stay.
pub const SVIRT_RESTORE_MIGRATED: c_uint = 1;

/// Set flag: a log daemon, not the guest, opens the files that character devices write to; those without a
/// seclabel of their own are left alone.
pub const SVIRT_SET_LOGGED_CHARDEVS: c_uint = 1;

/// The live label of a process.
#[repr(C)]
pub struct svirt_process_label {
    /// Ends in NUL; empty when the model gives processes no label.
    pub label: [c_char; 4097],
    /// 1 when the kernel enforces it now, else 0.
    pub enforcing: c_int,
}

/// Both handles of a method, which must be this process's own.
///
/// # Safety
/// The pointers are NULL or live handles.
pub(super) unsafe fn both<'a>(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
) -> Result<(&'a crate::manager::Manager, &'a crate::domain::Domain)> {
    // SAFETY: as the caller promises.
    let (manager, domain) = unsafe { (&handle(manager, "manager")?.0, &handle(domain, "domain")?.0) };
    manager.check_process()?;
    domain.check_process()?;
    Ok((manager, domain))
}

fn known(flags: c_uint, all: c_uint) -> Result<()> {
    if flags & !all == 0 { Ok(()) } else { Err(Error::invalid(format!("{flags:#x} has unknown flags"))) }
}

/// Gives the guest its labels, one per driver: makes dynamic ones, takes static ones. The label stays taken,
/// also when this process ends, until svirt_domain_release_security_label(). A domain that still has a
/// label under its uuid gets the same one again.
///
/// Errors: EALREADY the handle has its label already; ENOSPC all labels are taken; EEXIST another domain
/// holds what the static label needs alone (the message names it); EINVAL a seclabel that makes no sense or
/// of a model the stack lacks, or not confined against require_confined. Nothing is taken then.
/// Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_gen_security_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let (manager, domain) = both(manager, domain)?;
            manager.gen_security_label(domain).map(|()| 0)
        })
    }
}

/// Makes the guest's labels usable by others and takes them out of the handle; a base label stays. Goes by the
/// domain's uuid alone, so any handle of the domain will do. With nothing taken it is success. Call it after
/// the guest's process is gone and its files are restored. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_release_security_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let (manager, domain) = both(manager, domain)?;
            manager.release_security_label(domain).map(|()| 0)
        })
    }
}

/// Labels everything the guest uses, in all drivers; what it was is remembered. An image that other guests
/// hold with the same label gets one holder more. `flags`: 0 or SVIRT_SET_LOGGED_CHARDEVS.
///
/// Errors: ENODATA before gen; EBUSY an image is held with another label (the message names both labels and
/// the holders); ENOENT a file is missing; ENOTSUP the file system cannot do what sharing needs;
/// EPERM/EACCES the kernel refused. Everything is as before then. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_set_security_all_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    flags: c_uint,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let (manager, domain) = both(manager, domain)?;
            known(flags, SVIRT_SET_LOGGED_CHARDEVS)?;
            if flags != 0 {
                manager.leave_logged_chardevs(domain)?;
            }
            manager.set_security_all_label(domain).map(|()| 0)
        })
    }
}

/// Gives back everything that this guest holds, and nothing else; goes on after an error and reports the
/// first, and what failed is tried again by the next call. A file whose label somebody else changed in the
/// meantime is left as it is. With nothing held it is success. `flags`: 0 or SVIRT_RESTORE_MIGRATED.
/// Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_restore_security_all_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    flags: c_uint,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let (manager, domain) = both(manager, domain)?;
            known(flags, SVIRT_RESTORE_MIGRATED)?;
            manager.restore_security_all_label(domain, flags != 0).map(|()| 0)
        })
    }
}

/// Confines the calling thread's next exec and, with dac, changes its user now. Between fork and exec: yes,
/// and only there: it takes no lock, allocates nothing and makes bare system calls, in a child of fork and
/// of vfork alike (vfork: a change of user clears the parent's dumpable flag, as the kernel has it).
///
/// Returns 0, or a negated errno: -ENODATA no label was made with this manager, -EINVAL NULL or a label
/// that the policy lacks. After a failure the child must _exit(): an exec would run unconfined.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_set_security_process_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
) -> c_int {
    // SAFETY: NULL or live handles, by contract; nothing below allocates or can panic.
    match unsafe { (manager.as_ref(), domain.as_ref()) } {
        (Some(manager), Some(domain)) => manager.0.set_security_process_label(&domain.0).err().unwrap_or(0),
        _ => -libc::EINVAL,
    }
}

/// The live label of process `pid` in a model (NULL: the primary one), and whether it is enforced. `out` is
/// cleared first; `domain` may be NULL.
///
/// Errors: EINVAL the model is not in the stack, pid is not positive; ENOENT, ESRCH no such process.
/// Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_get_security_process_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    model: *const c_char,
    pid: libc::pid_t,
    out: *mut svirt_process_label,
    error: *mut *mut svirt_error,
) -> c_int {
    let _ = domain;
    // SAFETY: pointers by contract; all-zero bytes are a valid value of the plain structure.
    unsafe {
        guard(error, || {
            let out = out.as_mut().ok_or_else(|| Error::invalid("the place for the label is NULL"))?;
            *out = std::mem::zeroed();
            let model = optional_text(model, "model")?;
            let live = handle(manager, "manager")?.0.get_security_process_label(model, positive(pid)?)?;
            if live.label.len() >= out.label.len() {
                return Err(Error::new(libc::EOVERFLOW, "the process's label is longer than 4096 bytes"));
            }
            for (to, from) in out.label.iter_mut().zip(live.label.bytes()) {
                *to = from as c_char;
            }
            out.enforcing = c_int::from(live.enforcing);
            Ok(0)
        })
    }
}

fn positive(pid: libc::pid_t) -> Result<libc::pid_t> {
    if pid > 0 { Ok(pid) } else { Err(Error::invalid(format!("{pid} is not a process id"))) }
}

/// Asks this host whether the labels that the caller gave (static ones and those of devices) can be applied.
/// Changes nothing. Errors: EINVAL with the label. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_verify_security_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let (manager, domain) = both(manager, domain)?;
            manager.verify_security_label(domain).map(|()| 0)
        })
    }
}

/// Takes over a guest that is alive, after the daemon was started again: its label is read from process
/// `pid` and taken, its images from what is remembered on them. May be called for a handle with or without
/// labels, and again.
///
/// Errors: EEXIST another domain holds the label (named); EPERM the process does not run with the label
/// that the handle has; ENOENT, ESRCH no such process. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_reserve_security_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    pid: libc::pid_t,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let (manager, domain) = both(manager, domain)?;
            manager.reserve_security_label(domain, positive(pid)?).map(|()| 0)
        })
    }
}

/// After exec: compares the real labels of process `pid` with those that the guest was given.
///
/// Errors: EPERM they differ (the message has both): stop the process; ENOTSUP one of them cannot be known
/// (landlock, after a restart of the daemon), the others are right; ENODATA before gen; ENOENT, ESRCH no such
/// process. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_check_security_process_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    pid: libc::pid_t,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let (manager, domain) = both(manager, domain)?;
            manager.check_security_process_label(domain, positive(pid)?).map(|()| 0)
        })
    }
}
