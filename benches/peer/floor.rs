//! The system calls that labelling one image takes and giving it back takes, with nothing around them: the image
//! found and locked, its label, original, count and own record written. No promise can be kept with fewer.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What is put on images and taken off again; they are root's, with a label of `virt_image_t`.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "each benchmark uses one")]
pub enum Label {
    Context,
    Owner(u32),
}

type Attributes = [(&'static CStr, &'static [u8]); 4];

const CONTEXTS: Attributes = [
    (c"trusted.svirt.selinux", &[b'x'; 180]),
    (c"trusted.libvirt.security.selinux", b"system_u:object_r:virt_image_t:s0"),
    (c"trusted.libvirt.security.timestamp_selinux", b"1700000000"),
    (c"trusted.libvirt.security.ref_selinux", b"1"),
];
const OWNERS: Attributes = [
    (c"trusted.svirt.dac", &[b'x'; 130]),
    (c"trusted.libvirt.security.dac", b"+0:+0"),
    (c"trusted.libvirt.security.timestamp_dac", b"1700000000"),
    (c"trusted.libvirt.security.ref_dac", b"1"),
];
const SELINUX: &CStr = c"security.selinux";
const GUESTS: &[u8] = b"system_u:object_r:svirt_image_t:s0:c1,c2\0";
const BEFORE: &[u8] = b"system_u:object_r:virt_image_t:s0\0";

pub struct Floor(Vec<CString>, Label);

impl Floor {
    pub fn new(paths: &[PathBuf], label: Label) -> Self {
        Self(paths.iter().map(|path| CString::new(path.as_os_str().as_bytes()).unwrap()).collect(), label)
    }

    fn attributes(&self) -> Attributes {
        match self.1 {
            Label::Context => CONTEXTS,
            Label::Owner(_) => OWNERS,
        }
    }

    pub fn set(&self) {
        self.each(|path, file| {
            self.attributes().iter().for_each(|(name, value)| put(file, name, value));
            match self.1 {
                Label::Context => put(file, SELINUX, GUESTS),
                Label::Owner(owner) => own(path, owner),
            }
        });
    }

    pub fn restore(&self) {
        self.each(|path, file| {
            self.attributes().iter().for_each(|(name, _)| get(file, name));
            match self.1 {
                Label::Context => put(file, SELINUX, BEFORE),
                Label::Owner(_) => own(path, 0),
            }
            // SAFETY: an open descriptor, a C string.
            self.attributes().iter().for_each(|(name, _)| unsafe {
                assert_eq!(libc::fremovexattr(file, name.as_ptr()), 0);
            });
        });
    }

    /// Each image by an O_PATH descriptor, open for writing, identified and locked; then the names of its attributes
    /// and its label.
    fn each(&self, work: impl Fn(i32, i32)) {
        // SAFETY: every pointer is to a local that is as large as the length beside it says, or a C string.
        self.0.iter().for_each(|name| unsafe {
            let path = libc::open64(name.as_ptr(), libc::O_PATH | libc::O_CLOEXEC);
            let mut stat = std::mem::zeroed::<libc::stat64>();
            assert_eq!(libc::fstat64(path, &mut stat), 0);
            let mut again = [0_u8; 32];
            std::io::Write::write_fmt(&mut &mut again[..], format_args!("/proc/self/fd/{path}\0")).unwrap();
            let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
            let file = libc::open64(again.as_ptr().cast(), flags);
            let mut handle = [0_u32; 34];
            handle[0] = 128;
            let mut mount = 0;
            let at = (&raw mut handle).cast();
            assert_eq!(libc::name_to_handle_at(path, c"".as_ptr(), at, &mut mount, libc::AT_EMPTY_PATH), 0);
            let mut lock = std::mem::zeroed::<libc::flock>();
            (lock.l_type, lock.l_start, lock.l_len) = (libc::F_WRLCK as i16, 1, 1);
            assert_eq!(libc::fcntl(file, libc::F_OFD_SETLK, &lock), 0);
            let mut names = [0_u8; 512];
            assert!(libc::flistxattr(file, names.as_mut_ptr().cast(), names.len()) >= 0);
            match self.1 {
                Label::Context => get(file, SELINUX),
                Label::Owner(_) => assert_eq!(libc::fstat64(path, &mut stat), 0),
            }
            work(path, file);
            libc::close(file);
            libc::close(path);
        });
    }
}

fn put(file: i32, name: &CStr, value: &[u8]) {
    // SAFETY: an open descriptor, a C string, a value of this length.
    let status = unsafe { libc::fsetxattr(file, name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    assert_eq!(status, 0);
}

fn get(file: i32, name: &CStr) {
    let mut room = [0_u8; 512];
    // SAFETY: an open descriptor, a C string, room of this size.
    assert!(unsafe { libc::fgetxattr(file, name.as_ptr(), room.as_mut_ptr().cast(), room.len()) } > 0);
}

fn own(path: i32, owner: u32) {
    // SAFETY: an open descriptor, a C string.
    assert_eq!(unsafe { libc::fchownat(path, c"".as_ptr(), owner, owner, libc::AT_EMPTY_PATH) }, 0);
}
