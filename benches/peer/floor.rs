//! The system calls that labelling one image takes and giving it back takes, with nothing around them: the image
//! found and locked, its label, original, count and own record written. No promise can be kept with fewer.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

const ATTRIBUTES: [(&CStr, &[u8]); 4] = [
    (c"trusted.svirt.selinux", &[b'x'; 180]),
    (c"trusted.libvirt.security.selinux", b"system_u:object_r:virt_image_t:s0"),
    (c"trusted.libvirt.security.timestamp_selinux", b"1700000000"),
    (c"trusted.libvirt.security.ref_selinux", b"1"),
];
const LABEL: (&CStr, &[u8]) = (c"security.selinux", b"system_u:object_r:svirt_image_t:s0:c1,c2\0");
const BEFORE: &[u8] = b"system_u:object_r:virt_image_t:s0\0";

pub struct Floor(Vec<CString>);

impl Floor {
    pub fn new(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| CString::new(path.as_os_str().as_bytes()).unwrap()).collect())
    }

    pub fn set(&self) {
        self.0.iter().for_each(|name| {
            find(name, |file| {
                ATTRIBUTES.iter().for_each(|(name, value)| put(file, name, value));
                put(file, LABEL.0, LABEL.1);
            });
        });
    }

    pub fn restore(&self) {
        self.0.iter().for_each(|name| {
            find(name, |file| {
                ATTRIBUTES.iter().for_each(|(name, _)| get(file, name));
                put(file, LABEL.0, BEFORE);
                // SAFETY: an open descriptor, a C string.
                ATTRIBUTES.iter().for_each(|(name, _)| unsafe {
                    assert_eq!(libc::fremovexattr(file, name.as_ptr()), 0);
                });
            });
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

/// The image by an O_PATH descriptor, open for writing, identified and locked; the names of its attributes and its
/// label.
fn find(name: &CStr, work: impl FnOnce(i32)) {
    // SAFETY: every pointer is to a local that is as large as the length beside it says, or a C string.
    unsafe {
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
        get(file, LABEL.0);
        work(file);
        libc::close(file);
        libc::close(path);
    }
}
