//! Options of a manager.

use super::guard::guard;
use super::{handle, svirt_error, text};
use crate::domain::handle::same_process;
use crate::error::Result;
use crate::options::Options;
use crate::sys::fork;
use parking_lot::{Mutex, MutexGuard};
use std::ffi::{c_char, c_int};

/// What a manager is opened with. Owned by the caller; ends with svirt_options_free(). May be used by any
/// number of threads.
pub struct svirt_options {
    generation: u64,
    options: Mutex<Options>,
}

impl svirt_options {
    /// The options; `EDEADLK` in a forked child.
    pub(super) fn lock(&self) -> Result<MutexGuard<'_, Options>> {
        same_process(self.generation)?;
        Ok(self.options.lock())
    }
}

/// Empty options: everything has its default. Never NULL. Between fork and exec: no.
#[unsafe(no_mangle)]
pub extern "C" fn svirt_options_new() -> *mut svirt_options {
    Box::into_raw(Box::new(svirt_options { generation: fork::generation(), options: Mutex::default() }))
}

/// Sets an option; a second value replaces the first. Both strings are copied.
///
/// owner: whose domains these are (default: the executable's name); runtime_dir: reservations, gone at
/// boot (/run/svirt; for an ordinary user $XDG_RUNTIME_DIR/svirt); state_dir: the ledger (/var/lib/svirt,
/// $XDG_STATE_HOME/svirt); remember: xattr (needs CAP_SYS_ADMIN, the default with it) or ledger;
/// default_confined (yes), require_confined (no): whether guests without a seclabel are, and all guests
/// must be, confined; mcs.range: categories that may be used (c0.c1023, or a whole range s0-s0:c0.c1023;
/// default: the daemon's own range); dac.user, dac.group: who guests run as; dac.uid_range (first-last): a
/// uid of its own for every guest; dac.dynamic_ownership (yes): whether files change owner;
/// landlock.deny_network (no): whether guests are refused TCP, and what else of the network this kernel's
/// Landlock can refuse; selinux.root: the policy's folder; apparmor.template, apparmor.profile_dir,
/// apparmor.parser: paths; apparmor.load_at_gen (no): whether a first profile is loaded in gen, for a daemon
/// whose child gives itself its label before set-all.
///
/// Errors: EINVAL for an unknown name or a value that does not fit; the message lists what does.
/// Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_options_set(
    options: *mut svirt_options,
    name: *const c_char,
    value: *const c_char,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let options = handle(options, "options")?;
            let (name, value) = (text(name, "name of the option")?, text(value, "value of the option")?);
            #[cfg(feature = "panic-for-tests")]
            #[allow(clippy::panic)]
            if name == "test.panic" {
                panic!("on purpose");
            }
            options.lock()?.set(name, value).map(|()| 0)
        })
    }
}

/// Ends options; managers opened with them are not affected. NULL is fine. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_options_free(options: *mut svirt_options) {
    // SAFETY: NULL or live options, by contract.
    unsafe { super::free(options) }
}
