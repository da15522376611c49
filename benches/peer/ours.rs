//! libsvirt, through its C interface.

use crate::side::Side;
use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;
use std::ptr::null_mut;
use svirt::capi::*;

/// SVIRT_RESOURCE_DISK.
const DISK: c_int = 1;

pub struct Ours(*mut svirt_manager);

// SAFETY: managers may be used by any number of threads.
unsafe impl Sync for Ours {}

pub struct Guest(*mut svirt_domain);

// SAFETY: domains may be used by any number of threads.
unsafe impl Send for Guest {}

impl Drop for Guest {
    fn drop(&mut self) {
        // SAFETY: our own handle, freed once.
        unsafe { svirt_domain_free(self.0) }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // SAFETY: our own handle, freed once.
        unsafe { svirt_manager_close(self.0) }
    }
}

/// A call that must succeed.
fn must(call: impl FnOnce(*mut *mut svirt_error) -> c_int) {
    let mut error = null_mut();
    if call(&mut error) < 0 {
        // SAFETY: the call has failed, so there is an error.
        panic!("{:?}", unsafe { CStr::from_ptr(svirt_error_message(error)) });
    }
}

impl Ours {
    /// With its reservations and ledgers in these two folders.
    pub fn open(drivers: &str, run: &Path, state: &Path) -> Self {
        let mut manager = null_mut();
        let owner = format!("+{}", crate::OWNER);
        // SAFETY: C strings that live during the calls; our own handles.
        unsafe {
            let options = svirt_options_new();
            for (name, value) in [
                (c"runtime_dir", run.to_str().unwrap()),
                (c"state_dir", state.to_str().unwrap()),
                (c"dac.user", &owner),
            ] {
                let value = CString::new(value).unwrap();
                must(|error| svirt_options_set(options, name.as_ptr(), value.as_ptr(), error));
            }
            let drivers = CString::new(drivers).unwrap();
            must(|error| svirt_manager_open(drivers.as_ptr(), options, &mut manager, error));
            svirt_options_free(options);
        }
        Self(manager)
    }

    /// The guest as XML, with its label.
    pub fn text(&self, guest: &Guest) -> CString {
        // SAFETY: our own handle; the string is ours until it is freed.
        unsafe {
            let text = svirt_domain_to_xml(guest.0);
            let copy = CStr::from_ptr(text).to_owned();
            svirt_string_free(text);
            copy
        }
    }

    pub fn plug(&self, guest: &Guest, disk: &Path) {
        let disk = CString::new(disk.to_str().unwrap()).unwrap();
        // SAFETY: our own handles, a C string.
        must(|error| unsafe {
            svirt_domain_set_security_resource_label(self.0, guest.0, DISK, disk.as_ptr(), 0, error)
        });
    }

    pub fn unplug(&self, guest: &Guest, disk: &Path) {
        let disk = CString::new(disk.to_str().unwrap()).unwrap();
        // SAFETY: as above.
        must(|error| unsafe {
            svirt_domain_restore_security_resource_label(self.0, guest.0, DISK, disk.as_ptr(), 0, error)
        });
    }

    /// That no label is left for a guest.
    pub fn must_be_full(&self, guest: &Guest) {
        // SAFETY: our own handles; the error is not wanted.
        let status = unsafe { svirt_domain_gen_security_label(self.0, guest.0, null_mut()) };
        assert_eq!(status, -libc::ENOSPC);
    }

    /// Gives back everything of domains that are not among these.
    pub fn reconcile(&self, live: &[CString]) {
        let live: Vec<*const c_char> = live.iter().map(|uuid| uuid.as_ptr()).collect();
        // SAFETY: C strings; our own manager, here and below.
        must(|error| unsafe { svirt_manager_reconcile(self.0, live.as_ptr(), live.len(), error) });
    }
}

impl Side for Ours {
    type Guest = Guest;

    fn guest(&self, xml: &CStr) -> Guest {
        let mut domain = null_mut();
        // SAFETY: as above.
        must(|error| unsafe { svirt_domain_from_xml(xml.as_ptr(), &mut domain, error) });
        Guest(domain)
    }

    fn label(&self, guest: &Guest, model: &CStr) -> String {
        // SAFETY: as above; the string is ours until it is freed.
        unsafe {
            let text = svirt_domain_image_label(guest.0, model.as_ptr());
            let label = CStr::from_ptr(text).to_str().unwrap().to_owned();
            svirt_string_free(text);
            label
        }
    }

    fn take(&self, guest: &Guest) {
        // SAFETY: as above.
        must(|error| unsafe { svirt_domain_gen_security_label(self.0, guest.0, error) });
    }

    fn release(&self, guest: &Guest) {
        // SAFETY: as above.
        must(|error| unsafe { svirt_domain_release_security_label(self.0, guest.0, error) });
    }

    fn set(&self, guest: &Guest) {
        // SAFETY: as above.
        must(|error| unsafe { svirt_domain_set_security_all_label(self.0, guest.0, 0, error) });
    }

    fn restore(&self, guest: &Guest) {
        // SAFETY: as above.
        must(|error| unsafe { svirt_domain_restore_security_all_label(self.0, guest.0, 0, error) });
    }

    fn enter(&self, guest: &Guest) -> c_int {
        // SAFETY: as above; in a child.
        unsafe { svirt_domain_set_security_process_label(self.0, guest.0) }
    }
}
