//! What each resource of a guest is allowed to it.

use super::rules::{CONNECT, LIST_BENEATH, MAKE_SOCKETS, NOTHING, READ, WRITE, WRITE_BENEATH, Want};
use crate::domain::access::Scope;
use crate::domain::{Kind, Resource};
use std::ffi::OsString;
use std::path::Path;

/// The wishes of one resource.
pub fn wants(resource: &Resource) -> Vec<Want> {
    let path = resource.path.as_path();
    let access = resource.access();
    let (file, beneath) = if access.write { (WRITE, WRITE_BENEATH) } else { (READ, LIST_BENEATH) };
    match access.scope {
        Scope::Socket => vec![socket(path)],
        Scope::Tree => vec![Want { path: path.to_owned(), file, beneath }],
        Scope::Node if resource.kind == Kind::ChardevPipe => pipe(path),
        Scope::Node => vec![Want::file(path, file)],
    }
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
