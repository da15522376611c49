//! What every guest is allowed: as much as an emulator needs to start, and nothing of other guests.
//! `docs/landlock.md` has the same list with the reasons.

use super::rules::{Access, EXECUTE, LIST_BENEATH, READ_BENEATH, WRITE, Want};
use crate::domain::Definition;
use std::fs;
use std::path::{Path, PathBuf};

/// Shared libraries and modules.
const LIBRARIES: &[&str] =
    &["/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib"];

/// Where emulators find their firmware and data, below the `share` of where they are installed.
const DATA: &[&str] = &[
    "qemu",
    "qemu-kvm",
    "qemu-efi-aarch64",
    "qemu-efi-arm",
    "qemu-efi-riscv64",
    "seabios",
    "seavgabios",
    "sgabios",
    "vgabios",
    "ipxe",
    "OVMF",
    "AAVMF",
    "edk2",
    "edk2-ovmf",
    "opensbi",
    "u-boot",
];

/// Directories of the system, read and listed.
const SYSTEM: &[&str] = &[
    "/usr/share/locale",
    "/usr/share/zoneinfo",
    "/usr/share/glvnd",
    "/usr/share/libdrm",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/kernel/mm/hugepages",
    "/sys/kernel/mm/transparent_hugepage",
];

/// Files, read: for the loader, name service and the clock; and what libraries ask the kernel.
const FILES: &[&str] = &[
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/filesystems",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/kernel/cap_last_cap",
    "/dev/urandom",
    "/dev/random",
];

/// Devices that carry nothing from one guest to another. SELinux puts /dev/null in the place of
/// descriptors that a guest may not have.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full"];

/// Emulators that may be executed when the domain does not name one.
const EMULATORS: &[(&str, &str)] = &[
    ("/usr/bin", "qemu-system-"),
    ("/usr/bin", "qemu-kvm"),
    ("/usr/bin", "kvm"),
    ("/usr/libexec", "qemu-kvm"),
];

/// Rights on a process's own directory in /proc.
pub const OWN_PROC: Access = LIST_BENEATH;

/// The base of a guest's rules; what a host does not have is left out.
pub fn wants(domain: &Definition) -> Vec<Want> {
    let mut wants = Vec::with_capacity(96);
    let beneath = |path: &&str| Want::beneath(*path, LIST_BENEATH);
    wants.extend(LIBRARIES.iter().chain(SYSTEM).map(beneath));
    wants.extend(FILES.iter().map(|path| Want::file(*path, READ_BENEATH)));
    wants.extend(DEVICES.iter().map(|path| Want::file(*path, WRITE)));
    if domain.virt_type == "kvm" {
        wants.push(Want::file("/dev/kvm", WRITE));
    }
    let emulators: Vec<PathBuf> = match &domain.emulator {
        Some(path) => vec![path.clone()],
        None => EMULATORS.iter().flat_map(|(folder, prefix)| beginning(folder, prefix)).collect(),
    };
    let mut prefixes: Vec<PathBuf> = emulators.iter().filter_map(|path| installed_at(path)).collect();
    prefixes.push("/usr".into());
    prefixes.dedup();
    for prefix in prefixes {
        wants.extend(DATA.iter().map(|name| Want::beneath(prefix.join("share").join(name), LIST_BENEATH)));
        wants.push(Want::beneath(prefix.join("lib"), LIST_BENEATH));
    }
    let loaders = ["/lib", "/lib64"].iter().flat_map(|folder| beginning(folder, "ld-"));
    wants.extend(emulators.into_iter().chain(loaders).map(|path| Want::file(path, EXECUTE)));
    wants
}

/// Where an emulator was installed: the folder above `bin`, as the emulator itself reckons.
fn installed_at(emulator: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(emulator).ok()?;
    let folder = real.parent().filter(|folder| folder.ends_with("bin") || folder.ends_with("libexec"))?;
    folder.parent().filter(|prefix| prefix.parent().is_some()).map(Path::to_owned)
}

/// The files of a folder whose names begin so.
fn beginning(folder: &str, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|e| e.file_name().to_string_lossy().starts_with(prefix)).map(|e| e.path()).collect()
}
