//! What each resource of a guest is allowed to it.

use super::rules::{CONNECT, LIST_BENEATH, MAKE_SOCKETS, NOTHING, READ, WRITE, WRITE_BENEATH, Want};
use crate::domain::{Kind, Resource};
use std::ffi::OsString;
use std::path::Path;

/// The wishes of one resource.
pub fn wants(resource: &Resource) -> Vec<Want> {
    let path = resource.path.as_path();
    let reads = match resource.kind {
        Kind::Kernel | Kind::Initrd | Kind::Dtb | Kind::AcpiTable | Kind::FwCfg | Kind::Loader => true,
        _ => resource.flags.readonly || resource.flags.backing,
    };
    let (file, beneath) = if reads { (READ, LIST_BENEATH) } else { (WRITE, WRITE_BENEATH) };
    match resource.kind {
        Kind::ChardevUnix | Kind::VhostUserSocket => vec![socket(path)],
        Kind::ChardevPipe => pipe(path),
        Kind::Filesystem | Kind::Hugepages | Kind::TpmState | Kind::HostdevPci => {
            vec![Want { path: path.to_owned(), file, beneath }]
        }
        _ => vec![Want::file(path, file)],
    }
}

/// Whether a guest may start although the resource is not there.
pub fn may_be_missing(resource: &Resource) -> bool {
    resource.kind == Kind::Shmem
}

/// A socket that is there is connected to; one that is not is made by the guest.
fn socket(path: &Path) -> Want {
    match path.parent() {
        Some(folder) if !path.exists() => {
            Want { path: folder.to_owned(), file: NOTHING, beneath: MAKE_SOCKETS }
        }
        _ => Want::file(path, CONNECT),
    }
}

/// A FIFO, or the pair of them.
fn pipe(path: &Path) -> Vec<Want> {
    let end = |suffix: &str| {
        let mut name = OsString::from(path);
        name.push(suffix);
        Want::file(name, WRITE)
    };
    let pair = vec![end(".in"), end(".out")];
    if pair.iter().all(|want| want.path.exists()) { pair } else { vec![Want::file(path, WRITE)] }
}
