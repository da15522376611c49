//! Labels of the sockets that a thread makes.

use super::guard::guard;
use super::label::both;
use super::{svirt_domain, svirt_error, svirt_manager};
use crate::child::SocketOf;
use crate::domain::Domain;
use crate::error::{Error, Result};
use crate::manager::Manager;
use std::ffi::c_int;
use std::io;

/// Sockets that the calling thread makes from now on have the label of the guest's process, until
/// svirt_domain_clear_security_socket_label(): for sockets that are handed to the guest. Other threads are
/// not concerned, but those that this thread starts meanwhile begin with it; an exec ends it. Only selinux labels sockets; without it nothing is done.
///
/// Between fork and exec: yes, when `error` is NULL; the domain must have got its label by this manager and
/// handle then. With `error`, a handle made from live XML is taken over first.
///
/// Errors: ENODATA before gen; EINVAL NULL, or a label that the policy lacks; EPERM/EACCES the kernel refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_set_security_socket_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        now(manager, domain, error, true, |manager, domain| {
            manager.set_security_socket_label(domain, SocketOf::Guest)
        })
    }
}

/// Sockets that the calling thread makes from now on keep the daemon's own type but have the guest's level,
/// so that this guest may connect to them and no other one. Else as svirt_domain_set_security_socket_label().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_set_security_daemon_socket_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        now(manager, domain, error, true, |manager, domain| {
            manager.set_security_socket_label(domain, SocketOf::Daemon)
        })
    }
}

/// Sockets that the calling thread makes from now on have the usual label again. With nothing set it is
/// success, also for a domain without a label. Between fork and exec: yes, when `error` is NULL.
///
/// Errors: EINVAL NULL; EPERM/EACCES the kernel refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_clear_security_socket_label(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe { now(manager, domain, error, false, |manager, _| manager.clear_security_socket_label()) }
}

/// # Safety
/// Pointers by contract.
unsafe fn now(
    manager: *mut svirt_manager,
    domain: *mut svirt_domain,
    error: *mut *mut svirt_error,
    labelled: bool,
    write: impl Fn(&Manager, &Domain) -> std::result::Result<(), i32>,
) -> c_int {
    if error.is_null() {
        // No lock and no allocation: this may be a child between fork and exec.
        // SAFETY: NULL or live handles, as the caller promises.
        return match unsafe { (manager.as_ref(), domain.as_ref()) } {
            (Some(manager), Some(domain)) => write(&manager.0, &domain.0).err().unwrap_or(0),
            _ => -libc::EINVAL,
        };
    }
    let body = || -> Result<c_int> {
        // SAFETY: as the caller promises.
        let (manager, domain) = unsafe { both(manager, domain)? };
        manager.check_process()?;
        if labelled {
            manager.ready_for_sockets(domain)?;
        }
        let what = "cannot label this thread's sockets; see the kernel's audit log for the reason";
        write(manager, domain).map_err(|e| Error::os(what, &io::Error::from_raw_os_error(-e)))?;
        Ok(0)
    };
    // SAFETY: as the caller promises.
    unsafe { guard(error, body) }
}
