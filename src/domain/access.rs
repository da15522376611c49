//! What a guest does with a resource, and who else may use it at the same time.
//!
//! This is the one table behind every driver: labels, owners, rules and rulesets all follow from it.

use super::resource::{Kind, Resource};

/// What the guest does with the files of a resource. It always reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Access {
    /// It writes them too.
    pub write: bool,
    /// It takes locks on them, as is done with images.
    pub lock: bool,
    /// Which files they are.
    pub scope: Scope,
}

/// Which files an access concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One file, FIFO or device node that is there before the guest starts. What is a device also needs
    /// its control calls.
    Node,
    /// A UNIX socket that the guest connects to, or makes itself at this place.
    Socket,
    /// A directory and everything below it, also what is made there later.
    Tree,
}

/// Who else may use a resource at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// Nobody: it is this guest's own.
    Private,
    /// Several guests, each of which may write it.
    Shared,
    /// Several guests, which all only read it.
    Content,
    /// It belongs to the host and keeps the label it has.
    Host,
}

impl Resource {
    /// What the guest does with it.
    pub fn access(&self) -> Access {
        let writes = !self.flags.readonly && !self.flags.backing;
        let (write, lock, scope) = match self.kind {
            Kind::Disk | Kind::Nvram => (writes, true, Scope::Node),
            Kind::Loader => (false, true, Scope::Node),
            Kind::Kernel | Kind::Initrd | Kind::Dtb | Kind::AcpiTable | Kind::FwCfg => {
                (false, false, Scope::Node)
            }
            Kind::ChardevUnix | Kind::VhostUserSocket => (true, false, Scope::Socket),
            Kind::Filesystem | Kind::TpmState | Kind::Private => (writes, writes, Scope::Tree),
            Kind::Smartcard => (false, true, Scope::Tree),
            Kind::Hugepages => (true, false, Scope::Tree),
            Kind::HostdevUsb
            | Kind::HostdevPci
            | Kind::HostdevScsi
            | Kind::HostdevMdev
            | Kind::ChardevFile
            | Kind::ChardevPipe
            | Kind::ChardevDevice
            | Kind::TpmDevice
            | Kind::Input
            | Kind::Nvdimm
            | Kind::Shmem
            | Kind::Rendernode
            | Kind::Sev
            | Kind::Sgx
            | Kind::SavedState => (writes, false, Scope::Node),
        };
        Access { write, lock, scope }
    }

    /// Who else may use it.
    pub fn sharing(&self) -> Sharing {
        let flags = self.flags;
        match self.kind {
            Kind::Loader | Kind::Filesystem | Kind::Hugepages => Sharing::Host,
            Kind::Kernel
            | Kind::Initrd
            | Kind::Dtb
            | Kind::AcpiTable
            | Kind::FwCfg
            | Kind::SavedState
            | Kind::Smartcard => Sharing::Content,
            Kind::Disk if flags.backing => Sharing::Content,
            _ if flags.shared => Sharing::Shared,
            Kind::Disk | Kind::Nvram | Kind::HostdevScsi | Kind::Private if flags.readonly => {
                Sharing::Content
            }
            _ => Sharing::Private,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Flags;
    use std::path::Path;

    const RO: u32 = 1;
    const SH: u32 = 2;
    const BACK: u32 = 4;

    fn resource(kind: Kind, bits: u32) -> Resource {
        Resource::new(kind, Path::new("/x"), Flags::from_bits(bits).unwrap()).unwrap()
    }

    #[test]
    fn who_shares_what() {
        use Sharing::*;
        for (kind, bits, sharing, write) in [
            (Kind::Disk, 0, Private, true),
            (Kind::Disk, RO, Content, false),
            (Kind::Disk, SH, Shared, true),
            (Kind::Disk, SH | RO, Shared, false),
            (Kind::Disk, BACK, Content, false),
            (Kind::Disk, BACK | SH, Content, false),
            (Kind::Nvram, 0, Private, true),
            (Kind::Nvram, RO, Content, false),
            (Kind::HostdevScsi, SH, Shared, true),
            (Kind::HostdevScsi, RO, Content, false),
            (Kind::Kernel, 0, Content, false),
            (Kind::FwCfg, SH, Content, false),
            (Kind::SavedState, 0, Content, true),
            (Kind::SavedState, RO, Content, false),
            (Kind::Smartcard, 0, Content, false),
            (Kind::Loader, 0, Host, false),
            (Kind::Filesystem, 0, Host, true),
            (Kind::Filesystem, RO, Host, false),
            (Kind::ChardevUnix, 0, Private, true),
            (Kind::Rendernode, 0, Private, true),
            (Kind::Rendernode, SH, Shared, true),
            (Kind::Nvdimm, RO, Private, false),
            (Kind::TpmState, 0, Private, true),
        ] {
            let resource = resource(kind, bits);
            assert_eq!((resource.sharing(), resource.access().write), (sharing, write), "{kind:?} {bits}");
        }
    }

    #[test]
    fn only_images_and_firmware_are_locked() {
        let locked = |scope| {
            let of = move |kind: &&Kind| {
                let access = resource(**kind, 0).access();
                access.lock && access.scope == scope
            };
            Kind::ALL.iter().filter(of).copied().collect::<Vec<_>>()
        };
        assert_eq!(locked(Scope::Node), [Kind::Disk, Kind::Nvram, Kind::Loader]);
        assert_eq!(locked(Scope::Tree), [Kind::TpmState, Kind::Filesystem, Kind::Private, Kind::Smartcard]);
        assert_eq!(locked(Scope::Socket), []);
    }
}
