//! The rules of one guest: a pure function of its definition and of where its files are.

use super::quote::quote;
use super::refuse::{check, resolve};
use crate::domain::{Definition, Kind, Resource};
use crate::error::Result;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The comment at the top of every rules file.
const HEAD: &str =
    "# What this guest may use. Written by libsvirt, again whenever the guest's devices change.\n";

/// The longest part of a name that libvirt puts into a guest's folder.
const SHORT_NAME: usize = 20;

/// The text of the rules file. A resource for which `strict` is true must exist, unless it is optional; the
/// others were there once. What is not there has its rule all the same.
pub fn text(definition: &Definition, strict: impl Fn(usize) -> bool) -> Result<String> {
    let mut rules = Rules::default();
    for (at, resource) in definition.resources.iter().enumerate() {
        rules.resource(resource, strict(at))?;
    }
    if let Some(emulator) = &definition.emulator {
        rules.emulator(emulator);
    }
    rules.own(&definition.name);
    let mut text = String::from(HEAD);
    for rule in rules.0 {
        text.push_str("  ");
        text.push_str(&rule);
        text.push('\n');
    }
    Ok(text)
}

/// Sorted, each once, so that the same devices always give the same text.
#[derive(Default)]
struct Rules(BTreeSet<String>);

/// What a kind of resource gets.
struct Permissions {
    /// The permissions on a file or device.
    file: &'static str,
    /// Those on everything below a directory; `None`: directories get nothing.
    tree: Option<&'static str>,
    /// Whether the guest or its emulator makes it.
    made_by_guest: bool,
}

fn permissions(resource: &Resource) -> Permissions {
    let flags = resource.flags;
    let reading = flags.readonly || flags.backing;
    let of = |file, tree| Permissions { file, tree, made_by_guest: false };
    match resource.kind {
        Kind::Disk | Kind::Nvram => of(if reading { "rk" } else { "rwk" }, None),
        Kind::Kernel | Kind::Initrd | Kind::Dtb | Kind::AcpiTable | Kind::FwCfg => of("r", None),
        Kind::Loader => of("rk", None),
        Kind::Smartcard => of("rk", Some("rk")),
        Kind::TpmState | Kind::Private => of("rwk", Some("rwk")),
        Kind::Hugepages => of("rw", Some("rwk")),
        Kind::Filesystem if reading => of("r", Some("r")),
        Kind::Filesystem => of("rwlk", Some("rwlk")),
        Kind::ChardevFile | Kind::ChardevUnix | Kind::VhostUserSocket | Kind::Shmem => {
            Permissions { made_by_guest: true, ..of(if flags.readonly { "r" } else { "rw" }, None) }
        }
        Kind::HostdevUsb | Kind::HostdevPci | Kind::HostdevScsi | Kind::HostdevMdev => {
            let file = if flags.readonly { "r" } else { "rw" };
            of(file, Some(file))
        }
        _ => of(if flags.readonly { "r" } else { "rw" }, None),
    }
}

impl Rules {
    /// One rule: a name that stands for itself, between patterns of ours.
    fn add(&mut self, before: &str, name: &[u8], after: &str, permissions: &str) {
        let mut rule = String::with_capacity(before.len() + name.len() + after.len() + 16);
        rule.push('"');
        rule.push_str(before);
        quote(name, &mut rule);
        rule.push_str(after);
        rule.push_str("\" ");
        rule.push_str(permissions);
        rule.push(',');
        self.0.insert(rule);
    }

    fn resource(&mut self, resource: &Resource, strict: bool) -> Result<()> {
        let wanted = permissions(resource);
        // What the guest makes itself must have a folder to be made in.
        let strict = strict && (wanted.made_by_guest || !resource.optional);
        for path in files(resource) {
            let may_be_missing = wanted.made_by_guest || resource.optional || !strict;
            let resolved = match resolve(&path, may_be_missing) {
                Ok(resolved) => resolved,
                Err(_) if !strict => path.clone(),
                // Not even its directory is there: nothing that a rule could name.
                Err(error) if resource.optional && !wanted.made_by_guest && error.errno() == libc::ENOENT => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let kind = fs::metadata(&resolved).map(|about| about.file_type()).ok();
            let directory = kind.is_some_and(|kind| kind.is_dir());
            let tree = wanted.tree.filter(|_| directory);
            if directory && tree.is_none() {
                continue;
            }
            let name = resolved.as_os_str().as_bytes();
            if !cancels_a_tpm(resource.kind, &resolved) {
                check(&path, &resolved, wanted.file.contains('w'), tree.is_some())?;
            }
            match tree {
                Some(permissions) => {
                    self.add("", name, "/", "r");
                    self.add("", name, "/**", permissions);
                }
                None => self.add("", name, "", wanted.file),
            }
            if kind.is_some_and(|kind| kind.is_char_device()) {
                self.around(resource.kind, &resolved);
            }
        }
        Ok(())
    }

    /// What an emulator looks at to find a device that it was handed.
    fn around(&mut self, kind: Kind, node: &Path) {
        match kind {
            Kind::HostdevPci | Kind::HostdevMdev if node.starts_with("/dev/vfio") => {
                self.add("/dev/vfio/vfio", b"", "", "rw");
                self.add("/sys/bus/pci/devices/", b"", "", "r");
                self.add("/sys/devices/pci*/**", b"", "", "r");
            }
            Kind::HostdevUsb => {
                self.add("/dev/bus/usb/", b"", "", "r");
                self.add("/sys/bus/usb/devices/", b"", "", "r");
                self.add("/sys/devices/**/usb[0-9]*/**", b"", "", "r");
                self.add("/run/udev/data/{+usb:,c189:}*", b"", "", "r");
            }
            _ => {}
        }
    }

    /// The guest's program, to be mapped; wherever it lies, the daemon has chosen it.
    fn emulator(&mut self, program: &Path) {
        let resolved = resolve(program, false);
        let program = resolved.as_deref().unwrap_or(program);
        self.add("", program.as_os_str().as_bytes(), "", "mr");
    }

    /// The files that libvirt keeps for every guest, named after it.
    fn own(&mut self, name: &str) {
        let bytes = name.as_bytes();
        self.add("/var/log/libvirt/*/", bytes, ".log", "w");
        self.add("/run/libvirt/*/", bytes, ".pid", "rwk");
        self.add("/run/libvirt/*/*.tunnelmigrate.dest.", bytes, "", "rw");
        // domain-ID-NAME, the id in digits alone: another guest's name may end as this one's does.
        let mut digits = String::new();
        (1..10).for_each(|_| digits.push_str("{,[0-9]"));
        digits.push_str(&"}".repeat(9));
        let short = match name.char_indices().nth(SHORT_NAME) {
            Some((end, _)) => &name[..end],
            None => name,
        };
        let folder = format!("/var/lib/libvirt/qemu/domain-[0-9]{digits}-");
        self.add(&folder, short.as_bytes(), "/*", "rw");
    }
}

/// A host's TPM has one file of sysfs beside its node.
fn cancels_a_tpm(kind: Kind, resolved: &Path) -> bool {
    kind == Kind::TpmDevice && resolved.starts_with("/sys/devices") && resolved.ends_with("cancel")
}

/// The files behind a resource: a pipe is a pair of FIFOs where there is one.
fn files(resource: &Resource) -> Vec<PathBuf> {
    if resource.kind == Kind::ChardevPipe {
        let end = |suffix: &str| {
            let mut name = OsString::from(&resource.path);
            name.push(suffix);
            PathBuf::from(name)
        };
        let pair = [end(".in"), end(".out")];
        if pair.iter().all(|path| path.exists()) {
            return pair.into();
        }
    }
    vec![resource.path.clone()]
}
