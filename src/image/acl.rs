//! POSIX access control lists, as the kernel keeps them in `system.posix_acl_access`.
//!
//! A shared image keeps its owner; every guest that may use it gets one named entry. Nobody else's
//! rights may change by that, so where the list's mask must be widened for the new entry, the entries
//! that the old mask held back are cut down to what they really allowed.

use crate::sys::node::Node;
use crate::sys::xattr;
use std::ffi::CStr;
use std::io;

const ATTRIBUTE: &CStr = c"system.posix_acl_access";
const VERSION: u32 = 2;
const NO_ID: u32 = u32::MAX;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    tag: u16,
    id: u32,
    bits: u16,
}

/// An access control list; without named entries it says no more than the mode does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl(Vec<Entry>);

impl Acl {
    /// The list of a file, made from its mode when it has none.
    pub fn read(node: &Node) -> io::Result<Self> {
        match xattr::get(node.xattrs(), ATTRIBUTE) {
            Ok(bytes) => Self::decode(&bytes).ok_or_else(|| io::Error::from_raw_os_error(libc::EIO)),
            Err(error) if error.raw_os_error() == Some(libc::ENODATA) => {
                node.current_mode().map(Self::from_mode)
            }
            Err(error) => Err(error),
        }
    }

    /// Puts the list on a file. The kernel keeps a list without named entries in the mode alone.
    pub fn write(&self, node: &Node) -> io::Result<()> {
        xattr::set(node.xattrs(), ATTRIBUTE, &self.encode())
    }

    fn from_mode(mode: u32) -> Self {
        let entry = |tag, shift: u32| Entry { tag, id: NO_ID, bits: (mode >> shift & 7) as u16 };
        Self(vec![entry(USER_OBJ, 6), entry(GROUP_OBJ, 3), entry(OTHER, 0)])
    }

    /// The same list with one more user, who may read the file, and perhaps write it; a directory may be entered.
    #[must_use]
    pub fn with_user(&self, uid: u32, write: bool, node: &Node) -> Self {
        self.with(uid, 4 | u16::from(write) << 1 | u16::from(node.is_directory()))
    }

    fn with(&self, uid: u32, bits: u16) -> Self {
        let old_mask = self.0.iter().find(|e| e.tag == MASK).map_or(7, |e| e.bits);
        let mut entries: Vec<Entry> =
            self.0.iter().copied().filter(|e| !(e.tag == MASK || e.tag == USER && e.id == uid)).collect();
        for entry in entries.iter_mut().filter(|e| in_group_class(e.tag)) {
            entry.bits &= old_mask;
        }
        entries.push(Entry { tag: USER, id: uid, bits });
        let mask = entries.iter().filter(|e| in_group_class(e.tag)).fold(0, |mask, e| mask | e.bits);
        entries.push(Entry { tag: MASK, id: NO_ID, bits: mask });
        entries.sort_unstable();
        Self(entries)
    }

    /// The same list without a user's entry, and without a mask that nothing needs any more.
    #[must_use]
    pub fn without_user(&self, uid: u32) -> Self {
        let mut entries = self.0.clone();
        entries.retain(|e| !(e.tag == USER && e.id == uid));
        if !entries.iter().any(|e| e.tag == USER || e.tag == GROUP) {
            let mask = entries.iter().find(|e| e.tag == MASK).map_or(7, |e| e.bits);
            entries.retain(|e| e.tag != MASK);
            entries.iter_mut().filter(|e| e.tag == GROUP_OBJ).for_each(|e| e.bits &= mask);
        }
        Self(entries)
    }

    /// As the kernel and the remembering attribute have it.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            bytes.extend(entry.tag.to_le_bytes());
            bytes.extend(entry.bits.to_le_bytes());
            bytes.extend(entry.id.to_le_bytes());
        }
        bytes
    }

    /// Reads what [`Acl::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk::<4>()?;
        let (entries, tail) = rest.as_chunks::<8>();
        if u32::from_le_bytes(*version) != VERSION || !tail.is_empty() {
            return None;
        }
        let entry = |e: &[u8; 8]| Entry {
            tag: u16::from_le_bytes([e[0], e[1]]),
            bits: u16::from_le_bytes([e[2], e[3]]),
            id: u32::from_le_bytes([e[4], e[5], e[6], e[7]]),
        };
        Some(Self(entries.iter().map(entry).collect()))
    }
}

/// The entries that a mask limits.
fn in_group_class(tag: u16) -> bool {
    matches!(tag, USER | GROUP_OBJ | GROUP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(acl: &Acl, tag: u16, id: u32) -> Option<u16> {
        acl.0.iter().find(|e| e.tag == tag && e.id == id).map(|e| e.bits)
    }

    #[test]
    fn a_user_comes_and_goes_without_a_trace() {
        let plain = Acl::from_mode(0o640);
        let one = plain.with(1000, 6);
        assert_eq!(bits(&one, USER, 1000), Some(6));
        assert_eq!(bits(&one, GROUP_OBJ, NO_ID), Some(4), "the group still only reads");
        assert_eq!(bits(&one, MASK, NO_ID), Some(6));
        let two = one.with(1001, 4);
        assert_eq!(two.without_user(1000).without_user(1001), plain);
        assert_eq!(two.without_user(1001).without_user(1000), plain);
        assert_eq!(Acl::decode(&two.encode()), Some(two));
    }

    #[test]
    fn a_wider_mask_gives_nobody_else_more() {
        let mut acl = Acl::from_mode(0o644).with(7, 6);
        acl.0.iter_mut().filter(|e| e.tag == MASK).for_each(|e| e.bits = 4);
        let wider = acl.with(1000, 6);
        assert_eq!(bits(&wider, USER, 7), Some(4), "user 7 could only read before");
    }

    #[test]
    fn rubbish_is_refused() {
        for bytes in [&b""[..], &[2, 0, 0], &[1, 0, 0, 0], &[2, 0, 0, 0, 1, 0, 7]] {
            assert_eq!(Acl::decode(bytes), None);
        }
    }
}
