//! Which label a resource gets: a pure function of the resource and the guest's labels.

use crate::domain::Resource;
use crate::domain::access::Sharing;

/// What a resource gets, before it is spelled out for one guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Nothing is changed.
    Nothing,
    /// The guest's own image label.
    Private,
    /// The image type without categories: several guests write it.
    Shared,
    /// The content type: guests only read it.
    Content,
    /// What the device's own seclabel says.
    Own(&'a str),
}

/// `own` is the device's own seclabel of this model, `relabel` the domain's.
///
/// A domain that does not relabel leaves everything alone, as libvirt does; then the device's own
/// seclabel decides, and only then the kind of the resource.
pub fn decide<'a>(resource: &Resource, own: Option<Option<&'a str>>, relabel: bool) -> Wanted<'a> {
    if resource.flags.no_relabel || !relabel {
        return Wanted::Nothing;
    }
    if let Some(own) = own {
        return own.map_or(Wanted::Nothing, Wanted::Own);
    }
    match resource.sharing() {
        Sharing::Private => Wanted::Private,
        Sharing::Shared => Wanted::Shared,
        Sharing::Content => Wanted::Content,
        Sharing::Host => Wanted::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Flags, Kind};
    use Wanted::{Content, Nothing, Own, Private, Shared};
    use std::path::Path;

    fn resource(kind: Kind, bits: u32) -> Resource {
        Resource::new(kind, Path::new("/x"), Flags::from_bits(bits).unwrap()).unwrap()
    }

    const RO: u32 = 1;
    const SH: u32 = 2;
    const BACK: u32 = 4;
    const NO: u32 = 8;

    #[test]
    fn the_table() {
        for (kind, bits, relabel, own, wanted) in [
            (Kind::Disk, 0, true, None, Private),
            (Kind::Disk, RO, true, None, Content),
            (Kind::Disk, SH, true, None, Shared),
            (Kind::Disk, SH | RO, true, None, Shared),
            (Kind::Disk, BACK | RO, true, None, Content),
            (Kind::Disk, BACK, true, None, Content),
            (Kind::Disk, BACK | SH, true, None, Content),
            (Kind::Disk, NO, true, None, Nothing),
            (Kind::Disk, NO, true, Some(Some("l")), Nothing),
            (Kind::Disk, 0, false, None, Nothing),
            (Kind::Disk, 0, true, Some(None), Nothing),
            (Kind::Disk, RO, true, Some(Some("l")), Own("l")),
            (Kind::Disk, BACK, true, Some(Some("l")), Own("l")),
            (Kind::Disk, 0, false, Some(Some("l")), Nothing),
            (Kind::Nvram, 0, true, None, Private),
            (Kind::Nvram, RO, true, None, Content),
            (Kind::Kernel, 0, true, None, Content),
            (Kind::Initrd, RO, true, None, Content),
            (Kind::Dtb, 0, true, None, Content),
            (Kind::Kernel, 0, false, None, Nothing),
            (Kind::AcpiTable, 0, true, None, Content),
            (Kind::FwCfg, 0, true, None, Content),
            (Kind::SavedState, 0, true, None, Content),
            (Kind::Loader, 0, true, None, Nothing),
            (Kind::ChardevFile, 0, true, None, Private),
            (Kind::ChardevPipe, 0, true, None, Private),
            (Kind::ChardevUnix, 0, true, None, Private),
            (Kind::ChardevDevice, 0, true, None, Private),
            (Kind::ChardevFile, 0, true, Some(Some("l")), Own("l")),
            (Kind::ChardevFile, 0, true, Some(None), Nothing),
            (Kind::HostdevScsi, SH, true, None, Shared),
            (Kind::HostdevScsi, RO, true, None, Content),
            (Kind::HostdevUsb, 0, true, None, Private),
            (Kind::Input, 0, true, None, Private),
            (Kind::TpmDevice, 0, true, None, Private),
            (Kind::Nvdimm, 0, true, None, Private),
            (Kind::Filesystem, 0, true, None, Nothing),
        ] {
            assert_eq!(
                decide(&resource(kind, bits), own, relabel),
                wanted,
                "{kind:?} {bits:#x} {relabel} {own:?}"
            );
        }
    }
}
