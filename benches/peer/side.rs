//! What both sides can do, and the guests and files that both do it with.

use std::ffi::{CStr, CString, c_int};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One of the two, opened with a stack of drivers.
pub trait Side: Sync {
    type Guest: Send;

    fn guest(&self, xml: &CStr) -> Self::Guest;
    /// The label of the guest's own images.
    fn label(&self, guest: &Self::Guest, model: &CStr) -> String;
    fn take(&self, guest: &Self::Guest);
    fn release(&self, guest: &Self::Guest);
    fn set(&self, guest: &Self::Guest);
    fn restore(&self, guest: &Self::Guest);
    /// The step of the child, between fork and exec.
    fn enter(&self, guest: &Self::Guest) -> c_int;
}

/// "1 disk", "1,000 disks".
pub fn many(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        1000.. => format!("{},{:03} {what}s", count / 1000, count % 1000),
        _ => format!("{count} {what}s"),
    }
}

/// What an image was before a guest had it.
pub const BEFORE: &str = "system_u:object_r:virt_image_t:s0";

pub fn uuid(number: usize) -> CString {
    CString::new(format!("5b6e1a90-0000-4000-8000-{number:012x}")).unwrap()
}

/// A guest's XML as a daemon has it; `extra` is put into each disk, `seclabel` at the end.
pub fn xml(number: usize, disks: &[PathBuf], extra: &str, seclabel: &str) -> CString {
    let uuid = uuid(number);
    let mut text = format!(
        "<domain type='kvm'><name>guest-{number}</name><uuid>{}</uuid><memory unit='MiB'>1024</memory>\
         <vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>\
         <emulator>/usr/bin/qemu-system-x86_64</emulator>",
        uuid.to_str().unwrap()
    );
    for (at, disk) in disks.iter().enumerate() {
        text += &format!(
            "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/>\
             <target dev='{}' bus='virtio'/>{extra}</disk>",
            disk.display(),
            target(at)
        );
    }
    text += &format!("</devices>{seclabel}</domain>");
    CString::new(text).unwrap()
}

/// vda, …, vdz, vdaa, ….
fn target(mut at: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(b'a' + (at % 26) as u8);
        if at < 26 {
            break;
        }
        at = at / 26 - 1;
    }
    letters.reverse();
    format!("vd{}", String::from_utf8(letters).unwrap())
}

/// Images with a label that must come back.
pub fn images(folder: &Path, name: &str, count: usize) -> Vec<PathBuf> {
    (0..count)
        .map(|at| {
            let path = folder.join(format!("{name}-{at}.img"));
            File::create(&path).unwrap();
            put(&path, BEFORE);
            path
        })
        .collect()
}

/// As setfilecon() does it, with the NUL.
fn put(path: &Path, context: &str) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let context = CString::new(context).unwrap();
    let (name, value) = (c"security.selinux".as_ptr(), context.as_bytes_with_nul());
    // SAFETY: C strings, and a value of this length.
    let status = unsafe { libc::setxattr(path.as_ptr(), name, value.as_ptr().cast(), value.len(), 0) };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
}

pub fn attribute(path: &Path, name: &str) -> Option<String> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let name = CString::new(name).unwrap();
    let mut room = [0_u8; 1024];
    // SAFETY: C strings, and room of this size.
    let length =
        unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), room.as_mut_ptr().cast(), room.len()) };
    let value = room.get(..usize::try_from(length).ok()?)?;
    Some(String::from_utf8_lossy(value).trim_end_matches('\0').to_owned())
}

/// Whether every image has the label, the original and the count, as libvirt writes them: both sides must do the same.
pub fn held(paths: &[PathBuf], models: &str, label: &str, holders: usize) -> bool {
    paths.iter().all(|path| {
        models.split(',').all(|model| {
            let kept = |what: &str| attribute(path, &format!("trusted.libvirt.security.{what}{model}"));
            let (before, labelled) = match model {
                "dac" => ("+0:+0", fs::metadata(path).unwrap().uid() == crate::OWNER),
                _ => (BEFORE, attribute(path, "security.selinux").as_deref() == Some(label)),
            };
            labelled
                && kept("").as_deref() == Some(before)
                && kept("ref_") == Some(holders.to_string())
                && kept("timestamp_").is_some()
        })
    })
}

/// Whether everything is as it was.
pub fn free(paths: &[PathBuf]) -> bool {
    paths.iter().all(|path| {
        let left = |name: &&str| attribute(path, &format!("trusted.{name}")).is_some();
        attribute(path, "security.selinux").as_deref() == Some(BEFORE)
            && fs::metadata(path).unwrap().uid() == 0
            && !KEPT.iter().any(left)
    })
}

const KEPT: [&str; 6] = [
    "libvirt.security.selinux",
    "libvirt.security.ref_selinux",
    "libvirt.security.dac",
    "libvirt.security.ref_dac",
    "svirt.selinux",
    "svirt.dac",
];

/// Holds a promise that the clock may break once: libvirt reckons the time of the boot from the time of the day, and
/// takes its own attributes for another boot's when that comes out a second later.
pub fn must(what: &str, mut holds: impl FnMut() -> bool) {
    assert!((0..3).any(|_| holds()), "{what}");
}
