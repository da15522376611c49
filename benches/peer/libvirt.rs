//! libvirt 9.0.0's own security drivers, called as its daemon calls them: private functions of `libvirt.so.0`,
//! metadata locked and remembered, so committed in a forked child.

use crate::side::Side;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;

/// A `<seclabel>` of one model.
#[repr(C)]
struct Seclabel {
    model: *mut c_char,
    label: *mut c_char,
    imagelabel: *mut c_char,
}

macro_rules! functions {
    ($($field:ident $name:literal ($($argument:ty),*) $(-> $result:ty)?;)*) => {
        struct Functions { $($field: unsafe extern "C" fn($($argument),*) $(-> $result)?),* }

        impl Functions {
            fn load(library: *mut c_void) -> Option<Self> {
                Some(Self { $($field: {
                    // SAFETY: an open library, two C strings; the signature is that of libvirt 9.0.0.
                    unsafe {
                        let found = libc::dlvsym(library, $name.as_ptr(), c"LIBVIRT_PRIVATE_9.0.0".as_ptr());
                        (!found.is_null()).then(|| std::mem::transmute::<*mut c_void,
                            unsafe extern "C" fn($($argument),*) $(-> $result)?>(found))?
                    }
                }),* })
            }
        }
    };
}

type Object = *mut c_void;

functions! {
    manager c"virSecurityManagerNew" (*const c_char, *const c_char, c_uint) -> Object;
    manager_dac c"virSecurityManagerNewDAC" (*const c_char, u32, u32, c_uint, *const c_void) -> Object;
    stack c"virSecurityManagerNewStack" (Object) -> Object;
    add c"virSecurityManagerStackAddNested" (Object, Object) -> c_int;
    options c"virDomainXMLOptionNew" (Object, Object, Object, Object, Object, Object) -> Object;
    parse c"virDomainDefParseString" (*const c_char, Object, Object, c_uint) -> Object;
    free c"virDomainDefFree" (Object);
    seclabel c"virDomainDefGetSecurityLabelDef" (Object, *const c_char) -> *mut Seclabel;
    gen_label c"virSecurityManagerGenLabel" (Object, Object) -> c_int;
    release c"virSecurityManagerReleaseLabel" (Object, Object) -> c_int;
    start c"virSecurityManagerTransactionStart" (Object) -> c_int;
    commit c"virSecurityManagerTransactionCommit" (Object, libc::pid_t, bool) -> c_int;
    set_all c"virSecurityManagerSetAllLabel" (Object, Object, *const c_char, bool, bool) -> c_int;
    restore_all c"virSecurityManagerRestoreAllLabel" (Object, Object, bool, bool) -> c_int;
    disk c"virDomainDiskByName" (Object, *const c_char, bool) -> *mut Object;
    set_image c"virSecurityManagerSetImageLabel" (Object, Object, Object, c_uint) -> c_int;
    restore_image c"virSecurityManagerRestoreImageLabel" (Object, Object, Object, c_uint) -> c_int;
    set_process c"virSecurityManagerSetProcessLabel" (Object, Object) -> c_int;
}

/// Guests are confined by default; as root; owners follow the guests.
const FLAGS: c_uint = 1 << 1 | 1 << 3;
const DYNAMIC_OWNERSHIP: c_uint = 1 << 4;
const INACTIVE: c_uint = 1;

pub struct Libvirt {
    call: Functions,
    manager: Object,
    options: Object,
    last_error: extern "C" fn() -> *const c_char,
}

// SAFETY: libvirt's managers have a lock of their own; the options are only read.
unsafe impl Sync for Libvirt {}

/// A domain's definition.
pub struct Guest(Object, unsafe extern "C" fn(Object));

// SAFETY: a definition is used by one thread at a time.
unsafe impl Send for Guest {}

impl Drop for Guest {
    fn drop(&mut self) {
        // SAFETY: our own definition, freed once.
        unsafe { (self.1)(self.0) }
    }
}

impl Libvirt {
    /// "selinux", "apparmor", "dac", or several as "selinux,dac"; `None` where libvirt 9.0.0 is not installed.
    pub fn open(drivers: &str) -> Option<Self> {
        // SAFETY: C strings; the signatures are libvirt's; each object is used as what it is.
        unsafe {
            let library = libc::dlopen(c"libvirt.so.0".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL);
            if library.is_null() {
                return None;
            }
            let call = Functions::load(library)?;
            let initialize = libc::dlsym(library, c"virInitialize".as_ptr());
            assert_eq!(std::mem::transmute::<*mut c_void, extern "C" fn() -> c_int>(initialize)(), 0);
            let qemu = c"QEMU".as_ptr();
            let one = |name: &str| match name {
                "dac" => {
                    let owner = crate::OWNER;
                    (call.manager_dac)(qemu, owner, owner, FLAGS | DYNAMIC_OWNERSHIP, std::ptr::null())
                }
                name => (call.manager)(CString::new(name).unwrap().as_ptr(), qemu, FLAGS),
            };
            let mut names = drivers.split(',');
            let manager = (call.stack)(one(names.next().unwrap()));
            assert!(!manager.is_null(), "libvirt opens {drivers}");
            for name in names {
                assert_eq!((call.add)(manager, one(name)), 0);
            }
            let options =
                (call.options)(null_mut(), null_mut(), null_mut(), null_mut(), null_mut(), null_mut());
            let last_error = libc::dlsym(library, c"virGetLastErrorMessage".as_ptr());
            let last_error = std::mem::transmute::<*mut c_void, extern "C" fn() -> *const c_char>(last_error);
            Some(Self { call, manager, options, last_error })
        }
    }

    /// Takes the label's text out of a definition without giving the label back, so that one definition can
    /// take many.
    pub fn forget_label(&self, guest: &Guest) {
        // SAFETY: the texts of a seclabel are malloc'ed, and its own.
        unsafe {
            let seclabel = &mut *(self.call.seclabel)(guest.0, c"selinux".as_ptr());
            for text in [&mut seclabel.label, &mut seclabel.imagelabel] {
                libc::free((*text).cast());
                *text = null_mut();
            }
        }
    }

    /// Plugs in the disk of another definition.
    pub fn plug(&self, guest: &Guest, other: &Guest) {
        // SAFETY: our own manager and definitions; a disk begins with the pointer to its image.
        self.transaction(|| unsafe {
            (self.call.set_image)(
                self.manager,
                guest.0,
                *(self.call.disk)(other.0, c"vda".as_ptr(), false),
                0,
            )
        });
    }

    pub fn unplug(&self, guest: &Guest, other: &Guest) {
        // SAFETY: as above.
        self.transaction(|| unsafe {
            let image = *(self.call.disk)(other.0, c"vda".as_ptr(), false);
            (self.call.restore_image)(self.manager, guest.0, image, 0)
        });
    }

    fn transaction(&self, work: impl FnOnce() -> c_int) {
        // SAFETY: our own manager.
        unsafe {
            self.must((self.call.start)(self.manager) == 0);
            self.must(work() == 0);
            self.must((self.call.commit)(self.manager, -1, true) == 0);
        }
    }

    fn must(&self, succeeded: bool) {
        // SAFETY: text that ends in NUL and stays until this thread's next error.
        assert!(succeeded, "{:?}", unsafe { CStr::from_ptr((self.last_error)()) });
    }
}

impl Side for Libvirt {
    type Guest = Guest;

    fn guest(&self, xml: &CStr) -> Guest {
        // SAFETY: a C string, our own options.
        let definition = unsafe { (self.call.parse)(xml.as_ptr(), self.options, null_mut(), INACTIVE) };
        self.must(!definition.is_null());
        // A static label's image label must be in the XML, and must not be there for gen, which makes it.
        // SAFETY: a definition's seclabel, or NULL; its texts are malloc'ed, and its own.
        unsafe {
            if let Some(seclabel) = (self.call.seclabel)(definition, c"selinux".as_ptr()).as_mut() {
                libc::free(seclabel.imagelabel.cast());
                seclabel.imagelabel = null_mut();
            }
        }
        Guest(definition, self.call.free)
    }

    fn label(&self, guest: &Guest, model: &CStr) -> String {
        // SAFETY: a definition's seclabel, whose text ends in NUL.
        unsafe {
            let seclabel = &*(self.call.seclabel)(guest.0, model.as_ptr());
            CStr::from_ptr(seclabel.imagelabel).to_str().unwrap().to_owned()
        }
    }

    fn take(&self, guest: &Guest) {
        // SAFETY: our own manager and definition, here and below.
        self.must(unsafe { (self.call.gen_label)(self.manager, guest.0) } == 0);
    }

    /// libvirt also frees the model, and gen would then add one more seclabel to the definition, which a daemon
    /// makes anew for every start; ours is used again, so it gets the model back.
    fn release(&self, guest: &Guest) {
        // SAFETY: as above; the seclabel belongs to the definition.
        unsafe {
            let seclabel = (self.call.seclabel)(guest.0, c"selinux".as_ptr());
            self.must((self.call.release)(self.manager, guest.0) == 0);
            if let Some(seclabel) = seclabel.as_mut().filter(|seclabel| seclabel.model.is_null()) {
                seclabel.model = libc::strdup(c"selinux".as_ptr());
            }
        }
    }

    fn set(&self, guest: &Guest) {
        // SAFETY: as above.
        self.transaction(|| unsafe {
            (self.call.set_all)(self.manager, guest.0, std::ptr::null(), false, false)
        });
    }

    fn restore(&self, guest: &Guest) {
        // SAFETY: as above.
        self.transaction(|| unsafe { (self.call.restore_all)(self.manager, guest.0, false, false) });
    }

    fn enter(&self, guest: &Guest) -> c_int {
        // SAFETY: as above.
        unsafe { (self.call.set_process)(self.manager, guest.0) }
    }
}
