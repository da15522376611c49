//! The images below a qcow2 image, as the headers name them.
//!
//! Followed only where the XML says that an image is qcow2 and does not list its layers itself. A format is
//! never guessed: what a header does not call qcow2 is taken as the last layer. Whoever made an image wrote
//! its header, so a header cannot point at the system's own files.

use super::resource::{Flags, Place, Resource, checked_path};
use super::{Kind, qcow2};
use crate::error::{Error, Result};
use crate::log::info;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The longest backing chain; qemu opens no longer ones.
pub(super) const LONGEST_CHAIN: usize = 200;

/// Where a header's names cannot point to.
const SYSTEM: [&str; 22] = [
    "/bin",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/lost+found",
    "/proc",
    "/sbin",
    "/selinux",
    "/sys",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/sbin",
    "/usr/share",
    "/usr/local/bin",
    "/usr/local/etc",
    "/usr/local/lib",
    "/usr/local/sbin",
];

/// An image and all images below it and beside it.
pub fn layers(top: &Resource) -> Result<Vec<Resource>> {
    let mut found = vec![Resource { place: Place::Here, ..top.clone() }];
    let mut seen = Vec::new();
    let mut image = top.path.clone();
    let mut flags = top.flags;
    for _ in 0..LONGEST_CHAIN {
        let header = match qcow2::read(&image) {
            Ok(header) => header,
            // It is missing: whether that matters is found when it would get its label.
            Err(error) if error.errno() == libc::ENOENT => return Ok(found),
            Err(error) => return Err(error),
        };
        if seen.contains(&header.identity) {
            let text = format!(
                "{}: the chain of images below {} comes back to it",
                image.display(),
                top.path.display()
            );
            return Err(Error::invalid(text).with_path(&image));
        }
        seen.push(header.identity);
        let layer = |path, flags| Resource { path, flags, place: Place::Here, ..top.clone() };
        if let Some(name) = &header.data_file
            && let Some(path) = locate(&image, name)?
        {
            found.push(layer(path, flags));
        }
        let Some(name) = &header.backing else { return Ok(found) };
        let Some(path) = locate(&image, name)? else { return Ok(found) };
        flags = Flags { readonly: true, shared: false, backing: true, ..flags };
        found.push(Resource { kind: Kind::Disk, ..layer(path.clone(), flags) });
        match header.backing_format.as_deref() {
            Some("qcow2") => image = path,
            Some(_) => return Ok(found),
            None => {
                info!(
                    "{}: does not say which format {} has; nothing below that is looked for",
                    image.display(),
                    path.display()
                );
                return Ok(found);
            }
        }
    }
    Err(too_long(&top.path))
}

/// The error for a chain that does not end.
pub fn too_long(top: &Path) -> Error {
    Error::invalid(format!("{}: its backing chain has more than {LONGEST_CHAIN} layers", top.display()))
        .with_path(top)
}

/// The file that a name in the header of `image` stands for; `None` when it is on another host.
fn locate(image: &Path, name: &str) -> Result<Option<PathBuf>> {
    let refused = |errno, why: &str| {
        let text = format!("{}: its header names {name:?}, {why}", image.display());
        Err(Error::new(errno, text).with_path(image))
    };
    let (protocol, local) = match name.split_once(':') {
        Some((protocol, rest)) if !protocol.contains('/') => (protocol, rest),
        _ => ("file", name),
    };
    match protocol.split('+').next() {
        Some("file") => {}
        Some(
            "nbd" | "rbd" | "iscsi" | "iser" | "http" | "https" | "ftp" | "ftps" | "ssh" | "sftp" | "tftp"
            | "gluster" | "nfs" | "vxhs" | "sheepdog",
        ) => {
            info!("{}: {name} is not a file of this host", image.display());
            return Ok(None);
        }
        Some("json") => {
            return refused(libc::ENOTSUP, "which is not followed; describe the layers with <backingStore>");
        }
        _ => {
            return refused(
                libc::ENOTSUP,
                "a protocol that is not known; describe the layers with <backingStore>",
            );
        }
    }
    let path = image.parent().unwrap_or(Path::new("/")).join(local);
    checked_path(&path).map_err(|e| e.context(image.display()))?;
    // Later steps look at what the name leads to now; a missing file is reported there.
    if let (Ok(real), Ok(facts)) = (path.canonicalize(), path.metadata()) {
        if SYSTEM.iter().any(|dir| real.starts_with(dir)) {
            return refused(
                libc::EPERM,
                "a file of the system; name it in <backingStore> if the guest may read it",
            );
        }
        if !facts.is_file() && !facts.file_type().is_block_device() {
            return refused(libc::EPERM, "which is neither a file nor a block device");
        }
    }
    Ok(Some(path))
}

#[cfg(test)]
mod tests;
