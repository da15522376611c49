//! What labelling costs: set-all and restore-all of guests with more and more disks on tmpfs, beside a bare loop
//! of the same system calls in the same run. As root.

#![allow(missing_docs, unsafe_code, clippy::unwrap_used)]

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;
use svirt::domain::{Definition, Domain, Flags, Kind, Resource, Uuid};
use svirt::manager::Manager;
use svirt::options::Options;

const OWNER: u32 = 4711;

fn main() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut options = Options::default();
    for (name, value) in [("runtime_dir", "run"), ("state_dir", "state")] {
        options.set(name, folder.path().join(value).to_str().unwrap()).unwrap();
    }
    options.set("dac.user", &format!("+{OWNER}")).unwrap();
    let manager = Manager::open(Some("dac"), &options).unwrap();
    println!("set-all and restore-all of a guest (dac, remembered in attributes) on tmpfs");
    println!("{:>6} {:>14} {:>14} {:>8}", "disks", "µs a disk", "bare calls", "ratio");
    for disks in [1, 10, 100, 1000] {
        let paths: Vec<PathBuf> =
            (0..disks).map(|n| folder.path().join(format!("{disks}-{n}.img"))).collect();
        let mut definition = Definition::new("guest", Uuid([9; 16]), "kvm").unwrap();
        for path in &paths {
            File::create(path).unwrap();
            definition.resources.push(Resource::new(Kind::Disk, path, Flags::default()).unwrap());
        }
        let domain = Domain::new(definition);
        manager.gen_security_label(&domain).unwrap();
        let names: Vec<CString> =
            paths.iter().map(|path| CString::new(path.as_os_str().as_bytes()).unwrap()).collect();
        let (mut library, mut bare) = (Vec::new(), Vec::new());
        // Taking turns, so that both see the same machine.
        for _ in 0..(6000 / disks).clamp(15, 600) {
            let start = Instant::now();
            manager.set_security_all_label(&domain).unwrap();
            manager.restore_security_all_label(&domain, false).unwrap();
            library.push(start.elapsed());
            let start = Instant::now();
            names.iter().for_each(|name| calls::set(name));
            names.iter().for_each(|name| calls::restore(name));
            bare.push(start.elapsed());
        }
        manager.release_security_label(&domain).unwrap();
        paths.iter().for_each(|path| untouched(path));
        let median = |mut times: Vec<std::time::Duration>| {
            times.sort();
            times[times.len() / 2].as_secs_f64() * 1e6 / disks as f64
        };
        let (library, bare) = (median(library), median(bare));
        println!("{disks:>6} {library:>14.2} {bare:>14.2} {:>8.2}", library / bare);
    }
}

fn untouched(path: &Path) {
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(path).unwrap().uid(), 0, "{path:?}");
    fs::remove_file(path).unwrap();
}

/// The system calls that labelling one image and giving it back take, with nothing around them.
mod calls {
    use super::OWNER;
    use std::ffi::{CStr, CString};

    const ATTRIBUTES: [(&CStr, &[u8]); 4] = [
        (c"trusted.svirt.dac", &[b'x'; 130]),
        (c"trusted.libvirt.security.dac", b"+0:+0"),
        (c"trusted.libvirt.security.timestamp_dac", b"1700000000"),
        (c"trusted.libvirt.security.ref_dac", b"1"),
    ];

    /// The image by an O_PATH descriptor, open for writing, identified and locked; then its owner and the names
    /// of its attributes.
    fn find(name: &CStr, work: impl FnOnce(i32, i32)) {
        // SAFETY: every pointer is to a local that is as large as the length beside it says, or a C string.
        unsafe {
            let path = libc::open64(name.as_ptr(), libc::O_PATH | libc::O_CLOEXEC);
            let mut stat = std::mem::zeroed::<libc::stat64>();
            assert_eq!(libc::fstat64(path, &mut stat), 0);
            let again = CString::new(format!("/proc/self/fd/{path}")).unwrap();
            let file = libc::open64(again.as_ptr(), libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC);
            let mut handle = [0_u32; 34];
            handle[0] = 128;
            let mut mount = 0;
            let at = (&raw mut handle).cast();
            let empty = c"".as_ptr();
            assert_eq!(libc::name_to_handle_at(path, empty, at, &mut mount, libc::AT_EMPTY_PATH), 0);
            let mut lock = std::mem::zeroed::<libc::flock>();
            (lock.l_type, lock.l_start, lock.l_len) = (libc::F_WRLCK as i16, 1, 1);
            assert_eq!(libc::fcntl(file, libc::F_OFD_SETLK, &lock), 0);
            assert_eq!(libc::fstat64(path, &mut stat), 0);
            let mut names = [0_u8; 512];
            assert!(libc::flistxattr(file, names.as_mut_ptr().cast(), names.len()) >= 0);
            work(path, file);
            libc::close(file);
            libc::close(path);
        }
    }

    pub fn set(name: &CStr) {
        // SAFETY: as above; the descriptors are open.
        find(name, |path, file| unsafe {
            for (attribute, value) in ATTRIBUTES {
                assert_eq!(
                    libc::fsetxattr(file, attribute.as_ptr(), value.as_ptr().cast(), value.len(), 0),
                    0
                );
            }
            assert_eq!(libc::fchownat(path, c"".as_ptr(), OWNER, OWNER, libc::AT_EMPTY_PATH), 0);
        });
    }

    pub fn restore(name: &CStr) {
        // SAFETY: as above; the descriptors are open.
        find(name, |path, file| unsafe {
            for (attribute, _) in ATTRIBUTES {
                let mut value = [0_u8; 512];
                assert!(
                    libc::fgetxattr(file, attribute.as_ptr(), value.as_mut_ptr().cast(), value.len()) > 0
                );
            }
            assert_eq!(libc::fchownat(path, c"".as_ptr(), 0, 0, libc::AT_EMPTY_PATH), 0);
            for (attribute, _) in ATTRIBUTES {
                assert_eq!(libc::fremovexattr(file, attribute.as_ptr()), 0);
            }
        });
    }
}
