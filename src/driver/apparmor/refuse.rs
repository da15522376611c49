//! Where a guest's files really are, and which places of the host may not be a guest's.

use crate::error::{Error, Result};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Places of the host itself, one component a word; `*` ends a component's beginning.
const REFUSED: &[&str] = &[
    "bin",
    "etc",
    "lib*",
    "lost+found",
    "proc",
    "sbin",
    "selinux",
    "sys",
    "usr/bin",
    "usr/sbin",
    "usr/share",
    "usr/lib*",
    "usr/local/bin",
    "usr/local/etc",
    "usr/local/sbin",
    "usr/local/lib*",
];

/// What guests may read, whether it lies in a refused place or not; nothing here may be written.
const READ_ONLY: &[&str] = &[
    "boot",
    "etc/pki/nssdb",
    "vmlinuz*",
    "initrd*",
    "usr/share/OVMF",
    "usr/share/ovmf",
    "usr/share/AAVMF",
    "usr/share/edk2*",
    "usr/share/qemu/edk2*",
    "usr/share/qemu-efi*",
    "usr/lib/u-boot",
    "usr/share/u-boot*",
    "usr/share/opensbi*",
    "usr/share/qemu/opensbi*",
    "usr/lib/riscv64-linux-gnu/opensbi",
];

/// Devices that are handed to guests, in places that are refused otherwise.
const ALLOWED: &[&str] = &["sys/devices/pci*", "sys/kernel/config/target/vhost"];

/// The place that the kernel will see when the guest opens `path`: no symbolic link, no `..` is left.
///
/// With `may_be_missing` the last component need not be there.
pub fn resolve(path: &Path, may_be_missing: bool) -> Result<PathBuf> {
    let error = match fs::canonicalize(path) {
        Ok(resolved) => return Ok(resolved),
        Err(error) => error,
    };
    // A dangling link is a missing file: what its target would be is nobody's to say.
    let absent = || fs::symlink_metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound);
    if may_be_missing
        && error.kind() == ErrorKind::NotFound
        && let (Some(parent), Some(name)) = (path.parent(), path.file_name())
        && absent()
        && let Ok(parent) = fs::canonicalize(parent)
    {
        return Ok(parent.join(name));
    }
    Err(Error::at(path, "cannot find out where it is", &error))
}

/// `EPERM` when a resolved path is not to be a guest's. `tree`: everything below it is asked for too.
pub fn check(given: &Path, resolved: &Path, write: bool, tree: bool) -> Result<()> {
    let refused = |why: &str| {
        let named = match given == resolved {
            true => resolved.display().to_string(),
            false => format!("{} (which is {})", given.display(), resolved.display()),
        };
        let text = format!("{named}: AppArmor refuses it as a guest's file: {why}; keep it elsewhere");
        Err(Error::new(libc::EPERM, text).with_path(resolved))
    };
    if below_any(resolved, ALLOWED) {
        return Ok(());
    }
    if below_any(resolved, READ_ONLY) {
        return match write {
            true => refused("this place is for reading only"),
            false => Ok(()),
        };
    }
    if below_any(resolved, REFUSED) {
        return refused("this place belongs to the host");
    }
    if tree && REFUSED.iter().any(|place| holds(resolved, place)) {
        return refused("places of the host lie below it");
    }
    Ok(())
}

fn below_any(path: &Path, places: &[&str]) -> bool {
    places.iter().any(|place| below(path, place))
}

/// Whether `path` is `place` or lies below it.
fn below(path: &Path, place: &str) -> bool {
    let mut components = parts(path);
    place.split('/').all(|part| components.next().is_some_and(|name| fits(name, part)))
}

/// Whether `place` lies below `path`.
fn holds(path: &Path, place: &str) -> bool {
    let mut places = place.split('/');
    parts(path).all(|name| places.next().is_some_and(|part| fits(name, part)))
}

fn parts(path: &Path) -> impl Iterator<Item = &[u8]> {
    path.as_os_str().as_bytes().split(|b| *b == b'/').filter(|name| !name.is_empty())
}

fn fits(name: &[u8], part: &str) -> bool {
    match part.strip_suffix('*') {
        Some(start) => name.starts_with(start.as_bytes()),
        None => name == part.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A resolved path, and what may be done with it: r read, w write, t the same with everything below it; what
/// may only be read may be read whole.
#[rustfmt::skip]
const PLACES: &[(&str, &str)] = &[
    ("/var/lib/libvirt/images/a", "rwt"),
    ("/srv", "rwt"),
    ("/home/me/a", "rwt"),
    ("/dev/sda", "rwt"),
    ("/bin/sh", ""),
    ("/binary/a", "rwt"),
    ("/etc", ""),
    ("/etc/x", ""),
    ("/etcetera/x", "rwt"),
    ("/lib/x", ""),
    ("/lib64/x", ""),
    ("/libx32/x", ""),
    ("/lost+found/x", ""),
    ("/proc/1/mem", ""),
    ("/sbin/init", ""),
    ("/selinux/enforce", ""),
    ("/sys/power/state", ""),
    ("/sys/devices/system/x", ""),
    ("/sys/devices/pci0000:00/0000:00:02.0/rom", "rwt"),
    ("/sys/kernel/config/target/vhost/x", "rwt"),
    ("/sys/kernel/config/target/core", ""),
    ("/usr/bin/x", ""),
    ("/usr/sbin/x", ""),
    ("/usr/share/x", ""),
    ("/usr/lib/x", ""),
    ("/usr/lib64/x", ""),
    ("/usr/libexec/x", ""),
    ("/usr/local/bin/x", ""),
    ("/usr/local/etc/x", ""),
    ("/usr/local/sbin/x", ""),
    ("/usr/local/lib/x", ""),
    ("/usr/local/share/x", "rwt"),
    ("/usr/local", "rw"),
    ("/usr", "rw"),
    ("/", "rw"),
    ("/boot/vmlinuz", "r"),
    ("/vmlinuz", "r"),
    ("/vmlinuz.old", "r"),
    ("/initrd.img", "r"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "r"),
    ("/usr/share/ovmf/OVMF.fd", "r"),
    ("/usr/share/AAVMF/AAVMF_CODE.fd", "r"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "r"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "r"),
    ("/usr/share/qemu/edk2-x86_64-code.fd", "r"),
    ("/usr/share/qemu/bios.bin", ""),
    ("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd", "r"),
    ("/usr/lib/u-boot/qemu-riscv64/u-boot.bin", "r"),
    ("/usr/lib/riscv64-linux-gnu/opensbi/x", "r"),
    ("/usr/share/opensbi/x", "r"),
];

    #[test]
    fn places_of_the_host_are_refused() {
        for (path, may) in PLACES {
            for (needed, write, tree) in
                [("r", false, false), ("w", true, false), ("t", false, true), ("t", true, true)]
            {
                let allowed = may.contains(needed) || *may == "r" && !write;
                let path = Path::new(path);
                let found = check(Path::new("/given"), path, write, tree);
                let case = format!("{path:?} write {write} tree {tree}");
                assert_eq!(found.is_ok(), allowed, "{case}");
                if let Err(error) = found {
                    assert_eq!((error.errno(), error.path()), (libc::EPERM, Some(path)), "{case}");
                    assert!(error.to_string().contains("/given"), "{error}");
                }
            }
        }
    }
}
