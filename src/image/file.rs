//! The label on a file itself: what it is, putting one on, taking it off.

use super::Label;
use super::acl::Acl;
use crate::sys::node::Node;
use crate::sys::xattr;
use std::ffi::CStr;
use std::io;

const SELINUX: &CStr = c"security.selinux";

/// The label that the file has, of the kind that `like` is.
pub fn current(node: &Node, like: &Label) -> io::Result<Option<Label>> {
    match like {
        Label::Context(_) => match xattr::get(node.xattrs(), SELINUX) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                Ok(Some(Label::Context(text.trim_end_matches('\0').into())))
            }
            Err(e) if e.raw_os_error() == Some(libc::ENODATA) || unsupported(&e) => Ok(None),
            Err(error) => Err(error),
        },
        Label::Owner(..) | Label::Grant { .. } => {
            let (uid, gid) = node.current_owner()?;
            Ok(Some(Label::Owner(uid, gid)))
        }
    }
}

/// Puts a label on.
pub fn put(node: &Node, label: &Label) -> io::Result<()> {
    match label {
        Label::Context(context) => {
            let mut value = Vec::with_capacity(context.len() + 1);
            value.extend_from_slice(context.as_bytes());
            value.push(0);
            xattr::set(node.xattrs(), SELINUX, &value)
        }
        Label::Owner(uid, gid) => node.set_owner(*uid, *gid),
        Label::Grant { uid, write } => Acl::read(node)?.with_user(*uid, *write, node).write(node),
    }
}

/// Gives the original back; `None` when there was no label.
pub fn take_off(node: &Node, original: Option<&Label>) -> io::Result<()> {
    match original {
        Some(label) => put(node, label),
        None => xattr::remove(node.xattrs(), SELINUX),
    }
}

/// Whether this process may not do it here.
pub fn refused(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM | libc::EROFS))
}

/// Whether the file system has no such thing.
pub fn unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EOPNOTSUPP)
}
