//! A file or device of a guest, and the seclabels that the XML may give it alone.

use crate::error::{Error, Result};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// What a resource is to the guest; the numbers are the C interface's `SVIRT_RESOURCE_*`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($(#[$doc])* $variant = $number,)* }

        impl Kind {
            /// Every kind, in the order of the numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name used in messages and in the XML that the library writes.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

kinds! {
    /// A disk image, block device or one layer of a backing chain.
    Disk = 1, "disk";
    /// A kernel started directly.
    Kernel = 2, "kernel";
    /// Its initial RAM disk.
    Initrd = 3, "initrd";
    /// A device tree.
    Dtb = 4, "dtb";
    /// An ACPI table.
    AcpiTable = 5, "acpi-table";
    /// The firmware's variable store.
    Nvram = 6, "nvram";
    /// The firmware itself.
    Loader = 7, "loader";
    /// A USB device handed to the guest.
    HostdevUsb = 8, "hostdev-usb";
    /// A PCI device handed to the guest.
    HostdevPci = 9, "hostdev-pci";
    /// A SCSI device handed to the guest.
    HostdevScsi = 10, "hostdev-scsi";
    /// A mediated device.
    HostdevMdev = 11, "hostdev-mdev";
    /// A file that a character device writes to.
    ChardevFile = 12, "chardev-file";
    /// A FIFO, or the pair `PATH.in` and `PATH.out`.
    ChardevPipe = 13, "chardev-pipe";
    /// A UNIX socket.
    ChardevUnix = 14, "chardev-unix";
    /// A character device of the host.
    ChardevDevice = 15, "chardev-device";
    /// A TPM of the host.
    TpmDevice = 16, "tpm-device";
    /// The state of an emulated TPM.
    TpmState = 17, "tpm-state";
    /// An input device of the host.
    Input = 18, "input";
    /// A file behind a persistent memory module.
    Nvdimm = 19, "nvdimm";
    /// Shared memory.
    Shmem = 20, "shmem";
    /// A directory shared with the guest.
    Filesystem = 21, "filesystem";
    /// A DRM render node.
    Rendernode = 22, "rendernode";
    /// A vhost-user socket.
    VhostUserSocket = 23, "vhost-user-socket";
    /// The SEV device.
    Sev = 24, "sev";
    /// An SGX device.
    Sgx = 25, "sgx";
    /// A directory on hugetlbfs.
    Hugepages = 26, "hugepages";
    /// A file handed over through fw_cfg.
    FwCfg = 27, "fw-cfg";
    /// A saved guest that is being written or read.
    SavedState = 28, "saved-state";
    /// A file or folder that the daemon made for this guest alone.
    Private = 31, "private";
    /// The certificates of a smartcard: a directory. XML has them; the C interface has no number for them.
    Smartcard = 1000, "smartcard";
}

impl Kind {
    /// The kind behind a number that came from C.
    pub fn from_number(number: i32) -> Result<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| *kind as i32 == number && *kind != Self::Smartcard)
            .ok_or_else(|| Error::invalid(format!("{number} is not a resource kind (SVIRT_RESOURCE_*)")))
    }

    /// The kind behind a name of [`Kind::name`].
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| Error::invalid(format!("{name:?} is not a resource kind")))
    }
}

/// How the guest uses a resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// The guest only reads it.
    pub readonly: bool,
    /// Several guests may write it at the same time.
    pub shared: bool,
    /// It is a layer below the top image of its chain.
    pub backing: bool,
    /// It keeps the label it has.
    pub no_relabel: bool,
}

impl Flags {
    /// Flags out of the C interface's `SVIRT_FLAG_*` bits.
    pub fn from_bits(bits: u32) -> Result<Self> {
        if bits & !0xf != 0 {
            return Err(Error::invalid(format!("{bits:#x} has unknown resource flags (SVIRT_FLAG_*)")));
        }
        Ok(Self {
            readonly: bits & 1 != 0,
            shared: bits & 2 != 0,
            backing: bits & 4 != 0,
            no_relabel: bits & 8 != 0,
        })
    }
}

/// A `<seclabel>` inside one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSeclabel {
    /// `None`: of the primary driver.
    pub model: Option<String>,
    /// `None`: the device is left as it is (`relabel='no'`).
    pub label: Option<String>,
}

/// How the files of this host are found from a resource's path; see [`super::Host`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// The path is the file or node itself, or the directory of the device in sysfs.
    #[default]
    Here,
    /// The path is a qcow2 image whose header names the images below it.
    Chain,
    /// The path is a PCI device in sysfs; the guest uses it through the node of its IOMMU group.
    Vfio,
    /// The path is where sysfs lists the USB devices; the guest uses the node of the only one of this kind.
    UsbProduct {
        /// Who made it.
        vendor: u16,
        /// What it is.
        product: u16,
    },
}

/// One file or device of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// What it is.
    pub kind: Kind,
    /// Where it is; always absolute.
    pub path: PathBuf,
    /// How its files are found from there.
    pub place: Place,
    /// How it is used.
    pub flags: Flags,
    /// It may be missing: the guest or somebody else makes it later, or the guest does without it.
    pub optional: bool,
    /// Its own seclabels, else those of the image it is a layer of.
    pub seclabels: Arc<[DeviceSeclabel]>,
    /// Named by a call rather than by the XML, so the XML that is written must add it.
    pub added: bool,
}

impl Resource {
    /// A resource named by a call.
    pub fn new(kind: Kind, path: &Path, flags: Flags) -> Result<Self> {
        Ok(Self {
            kind,
            path: checked_path(path)?,
            place: Place::Here,
            flags,
            optional: matches!(
                kind,
                Kind::ChardevUnix
                    | Kind::VhostUserSocket
                    | Kind::Shmem
                    | Kind::Rendernode
                    | Kind::Sev
                    | Kind::Sgx
            ),
            seclabels: Arc::new([]),
            added: true,
        })
    }
}

/// A path that can be labelled: absolute, without control characters.
pub fn checked_path(path: &Path) -> Result<PathBuf> {
    let shown = path.display();
    if !path.is_absolute() {
        return Err(Error::invalid(format!("{shown}: a resource's path must be absolute")).with_path(path));
    }
    if path.as_os_str().as_bytes().iter().any(u8::is_ascii_control) {
        return Err(
            Error::invalid(format!("{shown:?}: a path with control characters is refused")).with_path(path)
        );
    }
    Ok(path.to_owned())
}
