//! Which owner or grant a resource gets: a pure function of the resource and the guest's seclabel.

use crate::domain::Resource;
use crate::domain::access::Sharing;

/// What a resource gets, before it is spelled out for one guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Nothing is changed.
    Nothing,
    /// The guest's user becomes its owner.
    Owner,
    /// It keeps its owner, and the guest's user gets an entry in its access control list.
    Grant {
        /// Whether for writing too.
        write: bool,
    },
    /// The owner that the device's own seclabel says.
    Own(&'a str),
}

/// `own` is the device's own seclabel of this model, `relabel` the domain's; `unique` says that every
/// guest has a uid of its own, so that none of them can own what several use.
pub fn decide<'a>(
    resource: &Resource,
    own: Option<Option<&'a str>>,
    relabel: bool,
    unique: bool,
) -> Wanted<'a> {
    if resource.flags.no_relabel || !relabel {
        return Wanted::Nothing;
    }
    if let Some(own) = own {
        return own.map_or(Wanted::Nothing, Wanted::Own);
    }
    match resource.sharing() {
        Sharing::Host => Wanted::Nothing,
        Sharing::Shared | Sharing::Content if unique => Wanted::Grant { write: resource.access().write },
        Sharing::Private | Sharing::Shared | Sharing::Content => Wanted::Owner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Flags, Kind};
    use Wanted::{Grant, Nothing, Own, Owner};
    use std::path::Path;

    #[test]
    fn what_guests_share_is_granted_and_what_they_own_is_theirs() {
        const READ: Wanted<'_> = Grant { write: false };
        const WRITE: Wanted<'_> = Grant { write: true };
        for (kind, bits, relabel, own, alone, unique) in [
            (Kind::Disk, 0, true, None, Owner, Owner),
            (Kind::Disk, 1, true, None, Owner, READ),
            (Kind::Disk, 2, true, None, Owner, WRITE),
            (Kind::Disk, 3, true, None, Owner, READ),
            (Kind::Disk, 4, true, None, Owner, READ),
            (Kind::Disk, 8, true, None, Nothing, Nothing),
            (Kind::Disk, 0, false, None, Nothing, Nothing),
            (Kind::Disk, 0, true, Some(None), Nothing, Nothing),
            (Kind::Disk, 1, true, Some(Some("l")), Own("l"), Own("l")),
            (Kind::Disk, 8, true, Some(Some("l")), Nothing, Nothing),
            (Kind::Kernel, 0, true, None, Owner, READ),
            (Kind::Nvram, 0, true, None, Owner, Owner),
            (Kind::ChardevFile, 0, true, None, Owner, Owner),
            (Kind::Loader, 0, true, None, Nothing, Nothing),
            (Kind::Filesystem, 0, true, None, Nothing, Nothing),
        ] {
            let resource = Resource::new(kind, Path::new("/x"), Flags::from_bits(bits).unwrap()).unwrap();
            assert_eq!(decide(&resource, own, relabel, false), alone, "{kind:?} {bits} {own:?}");
            assert_eq!(decide(&resource, own, relabel, true), unique, "{kind:?} {bits} {own:?}");
        }
    }
}
