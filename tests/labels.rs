//! `docs/labels.md` says what the decision tables say. `SVIRT_BLESS=1` writes its table.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::Path;
use svirt::domain::access::{Scope, Sharing};
use svirt::domain::{Flags, Kind, Resource};
use svirt::driver::dac::decide::{self as dac, decide as owner};
use svirt::driver::selinux::decide::{Wanted, decide as context};

const RO: u32 = 1;
const SHARED: u32 = 2;
const BACKING: u32 = 4;
const NO: u32 = 8;

/// What a user calls a resource, how the XML writes it, and what the library makes of that.
const ROWS: &[(&str, &str, Kind, u32)] = &[
    ("disk, mirror, data file", "disk", Kind::Disk, 0),
    ("disk, shared", "disk/shareable", Kind::Disk, SHARED),
    ("disk, read-only; CD-ROM", "disk/readonly, disk device=cdrom", Kind::Disk, RO),
    ("layer below a disk", "disk/backingStore", Kind::Disk, RO | BACKING),
    ("NVMe disk", "disk type=nvme", Kind::HostdevPci, 0),
    ("vhost-user disk or network", "disk type=vhostuser, interface type=vhostuser", Kind::VhostUserSocket, 0),
    ("PCI device", "hostdev type=pci, interface type=hostdev", Kind::HostdevPci, 0),
    ("mediated device", "hostdev type=mdev", Kind::HostdevMdev, 0),
    ("USB device", "hostdev type=usb", Kind::HostdevUsb, 0),
    ("SCSI device", "hostdev type=scsi", Kind::HostdevScsi, 0),
    ("SCSI device, shared", "hostdev/shareable", Kind::HostdevScsi, SHARED),
    ("SCSI device, read-only", "hostdev/readonly", Kind::HostdevScsi, RO),
    ("vhost-scsi", "hostdev type=scsi_host", Kind::HostdevScsi, SHARED),
    ("block device", "hostdev mode=capabilities type=storage", Kind::Disk, 0),
    ("character device", "hostdev mode=capabilities type=misc", Kind::ChardevDevice, 0),
    ("firmware", "os/loader", Kind::Loader, 0),
    ("firmware's variables; error records", "os/nvram, os/varstore, pstore", Kind::Nvram, 0),
    ("kernel", "os/kernel, os/shim", Kind::Kernel, 0),
    ("initial RAM disk", "os/initrd", Kind::Initrd, 0),
    ("device tree", "os/dtb", Kind::Dtb, 0),
    ("ACPI table", "os/acpi/table", Kind::AcpiTable, 0),
    ("fw_cfg file", "sysinfo type=fwcfg", Kind::FwCfg, 0),
    ("smartcard's certificates", "smartcard/database", Kind::Smartcard, 0),
    (
        "character device's file",
        "serial, parallel, console, channel, redirdev, rng: type=file",
        Kind::ChardevFile,
        0,
    ),
    ("character device's device", "… type=dev", Kind::ChardevDevice, 0),
    ("character device's pipe", "… type=pipe", Kind::ChardevPipe, 0),
    ("character device's socket; graphics socket", "… type=unix, graphics socket=", Kind::ChardevUnix, 0),
    ("log of a character device", "log", Kind::ChardevFile, NO),
    ("random source", "rng/backend model=random", Kind::ChardevDevice, RO | NO),
    ("input device", "input", Kind::Input, 0),
    ("NVDIMM, virtio-pmem", "memory", Kind::Nvdimm, 0),
    ("SGX nodes", "memory model=sgx-epc", Kind::Sgx, SHARED),
    ("TPM of the host", "tpm/backend type=passthrough", Kind::TpmDevice, 0),
    ("state and log of an emulated TPM", "tpm/backend type=emulator", Kind::TpmState, 0),
    ("shared memory", "shmem", Kind::Shmem, SHARED),
    ("vsock", "vsock", Kind::ChardevDevice, SHARED),
    ("shared directory", "filesystem", Kind::Filesystem, 0),
    ("shared directory, read-only", "filesystem/readonly", Kind::Filesystem, RO),
    ("huge pages", "", Kind::Hugepages, 0),
    ("what the daemon made for the guest alone", "", Kind::Private, 0),
    ("render node", "gl rendernode=, acceleration rendernode=", Kind::Rendernode, SHARED),
    ("SEV", "launchSecurity", Kind::Sev, SHARED),
    ("saved state, incoming path", "", Kind::SavedState, 0),
];

fn table() -> String {
    let mut table = String::from(
        "| Resource | In the XML | By calls | SELinux | DAC | DAC, a uid each | Access | Given back |\n|---|---|---|---|---|---|---|---|\n",
    );
    for (name, xml, kind, bits) in ROWS {
        let resource = Resource::new(*kind, Path::new("/x"), Flags::from_bits(*bits).unwrap()).unwrap();
        let selinux = match context(&resource, None, true) {
            Wanted::Nothing => "left alone",
            Wanted::Private => "image label",
            Wanted::Shared => "image type",
            Wanted::Content => "content",
            Wanted::Own(label) => label,
        };
        let of_dac = |unique| match owner(&resource, None, true, unique) {
            dac::Wanted::Nothing => "left alone",
            dac::Wanted::Owner => "owner",
            dac::Wanted::Grant { write: true } => "entry rw",
            dac::Wanted::Grant { write: false } => "entry r",
            dac::Wanted::Own(label) => label,
        };
        let access = resource.access();
        let letters =
            format!("r{}{}", if access.write { "w" } else { "" }, if access.lock { "k" } else { "" });
        let scope = match access.scope {
            Scope::Node => "",
            Scope::Socket => ", socket",
            Scope::Tree => ", below",
        };
        let back = match resource.sharing() {
            _ if resource.flags.no_relabel => "",
            Sharing::Host => "",
            Sharing::Private => "stop",
            Sharing::Shared | Sharing::Content => "last",
        };
        let xml = if xml.is_empty() { String::new() } else { format!("`{xml}`") };
        let missing = if resource.optional { "; may be missing" } else { "" };
        let kind = match Kind::from_number(*kind as i32) {
            Ok(kind) => format!("`{}`", kind.name().to_uppercase().replace('-', "_")),
            Err(_) => String::new(),
        };
        let _ = writeln!(
            table,
            "| {name}{missing} | {xml} | {kind} | {selinux} | {} | {} | {letters}{scope} | {back} |",
            of_dac(false),
            of_dac(true)
        );
    }
    table
}

#[test]
fn the_page_is_what_the_code_decides() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/labels.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once("<!-- table -->\n").unwrap();
    let (_, tail) = rest.split_once("<!-- /table -->").unwrap();
    let fresh = format!("{head}<!-- table -->\n{}<!-- /table -->{tail}", table());
    if std::env::var_os("SVIRT_BLESS").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(
        page == fresh,
        "docs/labels.md is not what the code decides; run: SVIRT_BLESS=1 cargo test --test labels"
    );
}

#[test]
fn no_kind_is_left_out() {
    for kind in Kind::ALL {
        assert!(ROWS.iter().any(|(_, _, of_row, _)| of_row == kind), "{kind:?} has no row in docs/labels.md");
    }
}
