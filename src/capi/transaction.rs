//! Labelling that is collected and then done together.

use super::guard::{guard, quiet};
use super::{handle, svirt_error, svirt_manager};
use std::ffi::c_int;

/// From now on the calling thread's labelling with this manager is collected, until commit or abort: set-all,
/// restore-all, set and restore of one resource, move. Those calls still find out at once what cannot be
/// labelled at all, and AppArmor profiles and Landlock rulesets follow at once, since they speak of names;
/// files are looked up and labelled by commit. Everything else, and other threads, are not concerned.
///
/// Errors: EALREADY the thread has one already. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_manager_transaction_start(
    manager: *mut svirt_manager,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe { guard(error, || handle(manager, "manager")?.0.transaction_start().map(|()| 0)) }
}

/// Does what the calling thread has collected, in its order, in the mount namespace of process `pid`, or of
/// this thread when `pid` is -1. No process is forked: a short-lived thread goes into the namespace, in which
/// the log handler may be called. When something cannot be labelled, everything that was labelled before is
/// given back, and the domains have the resources that they had before start. Giving back goes on after an
/// error and reports the first. The transaction ends in any case.
///
/// What was labelled in a namespace is given back in it; when the namespace is gone, with its own /dev, a plain
/// svirt_domain_restore_security_all_label() drops the hold and leaves this host's nodes of the same name alone.
///
/// Errors: those of the calls that were collected; ENODATA without start; EINVAL pid is neither positive nor
/// -1; ENOENT, ESRCH no such process; EPERM/EACCES the namespace may not be entered (CAP_SYS_ADMIN and
/// CAP_SYS_CHROOT are needed). Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_manager_transaction_commit(
    manager: *mut svirt_manager,
    pid: libc::pid_t,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe { guard(error, || handle(manager, "manager")?.0.transaction_commit(pid).map(|()| 0)) }
}

/// Drops what the calling thread has collected; the domains have the resources that they had before start.
/// Without a transaction nothing happens. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_manager_transaction_abort(manager: *mut svirt_manager) {
    // SAFETY: NULL or a live manager, by contract.
    if let Some(manager) = unsafe { manager.as_ref() } {
        quiet((), || manager.0.transaction_abort());
    }
}
