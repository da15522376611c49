//! The files and devices that the XML names.

use super::{at, child, children, content, relabel, resource};
use crate::domain::resource::checked_path;
use crate::domain::{DeviceSeclabel, Flags, Kind, Resource, Seclabel, SeclabelType};
use crate::error::Result;
use roxmltree::Node;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest backing chain; qemu opens no longer ones.
const LONGEST_CHAIN: usize = 200;

/// The program that runs the guest.
pub(super) fn emulator(domain: Node<'_, '_>) -> Result<Option<PathBuf>> {
    let Some(node) = child(domain, "devices").and_then(|devices| child(devices, "emulator")) else {
        return Ok(None);
    };
    let path = content(node);
    let checked = |path: String| checked_path(Path::new(&path)).map_err(|e| at(node, &e.to_string()));
    Some(path).filter(|path| !path.is_empty()).map(checked).transpose()
}

/// Adds everything below `<os>` and `<devices>`, in the order in which it stands there.
pub(super) fn read(domain: Node<'_, '_>, into: &mut Vec<Resource>) -> Result<()> {
    if let Some(os) = child(domain, "os") {
        for (name, kind) in [("kernel", Kind::Kernel), ("initrd", Kind::Initrd), ("dtb", Kind::Dtb)] {
            let readonly = Flags { readonly: true, ..Flags::default() };
            if let Some((node, path)) =
                child(os, name).map(|n| (n, content(n))).filter(|(_, p)| !p.is_empty())
            {
                into.push(resource(node, kind, &path, readonly)?);
            }
        }
        if let Some(nvram) = child(os, "nvram") {
            into.extend(match child(nvram, "source") {
                Some(source) => image(nvram, source, Kind::Nvram, Flags::default())?,
                None => match content(nvram) {
                    path if path.is_empty() => None,
                    path => Some(resource(nvram, Kind::Nvram, &path, Flags::default())?),
                },
            });
        }
    }
    let Some(devices) = child(domain, "devices") else { return Ok(()) };
    for node in devices.children().filter(Node::is_element) {
        match node.tag_name().name() {
            "disk" => disk(node, into)?,
            "serial" | "parallel" | "console" | "channel" => {
                if let Some(resource) = chardev(node)?
                    // libvirt repeats the first serial port as the first console.
                    && !into.contains(&resource)
                {
                    into.push(resource);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A disk and the layers below it. A layer without a seclabel of its own has that of its disk.
fn disk(disk: Node<'_, '_>, into: &mut Vec<Resource>) -> Result<()> {
    let Some(source) = child(disk, "source") else { return Ok(()) };
    let flags = Flags {
        readonly: child(disk, "readonly").is_some() || disk.attribute("device") == Some("cdrom"),
        shared: child(disk, "shareable").is_some(),
        ..Flags::default()
    };
    let top = image(disk, source, Kind::Disk, flags)?;
    let inherited = seclabels(source)?;
    into.extend(top);
    let mut layer = child(disk, "backingStore");
    for _ in 0..LONGEST_CHAIN {
        let Some(node) = layer else { return Ok(()) };
        let Some(source) = child(node, "source") else { return Ok(()) };
        let flags = Flags { readonly: true, backing: true, ..Flags::default() };
        if let Some(mut resource) = image(node, source, Kind::Disk, flags)? {
            if resource.seclabels.is_empty() {
                resource.seclabels = inherited.clone();
            }
            into.push(resource);
        }
        layer = child(node, "backingStore");
    }
    Err(at(disk, &format!("the disk's backing chain has more than {LONGEST_CHAIN} layers")))
}

/// An image with a path on this host; `None` for network disks, directories and the like.
fn image(node: Node<'_, '_>, source: Node<'_, '_>, kind: Kind, flags: Flags) -> Result<Option<Resource>> {
    let path = match node.attribute("type") {
        None | Some("file") => source.attribute("file"),
        Some("block") => source.attribute("dev"),
        Some("volume") => source.attribute("file").or(source.attribute("dev")),
        _ => None,
    };
    let seclabels = seclabels(source)?;
    let Some(path) = path.filter(|path| !path.is_empty()) else { return Ok(None) };
    Ok(Some(Resource { seclabels, ..resource(source, kind, path, flags)? }))
}

fn chardev(node: Node<'_, '_>) -> Result<Option<Resource>> {
    let kind = match node.attribute("type") {
        Some("file") => Kind::ChardevFile,
        Some("dev") => Kind::ChardevDevice,
        Some("pipe") => Kind::ChardevPipe,
        Some("unix") => Kind::ChardevUnix,
        // The path of a pty is made by the host when the guest starts.
        _ => return Ok(None),
    };
    let Some(source) = child(node, "source") else { return Ok(None) };
    let Some(path) = source.attribute("path").filter(|path| !path.is_empty()) else { return Ok(None) };
    let seclabels = seclabels(source)?;
    Ok(Some(Resource { seclabels, ..resource(source, kind, path, Flags::default())? }))
}

/// The seclabels of one device.
fn seclabels(source: Node<'_, '_>) -> Result<Arc<[DeviceSeclabel]>> {
    let mut all: Vec<DeviceSeclabel> = Vec::new();
    for node in children(source, "seclabel") {
        let model = node.attribute("model").map(str::to_owned);
        let label = child(node, "label").map(content).filter(|label| !label.is_empty());
        match (relabel(node)?, &label) {
            (Some(true) | None, None) => {
                return Err(at(node, "a device's seclabel needs a label, or relabel='no'"));
            }
            (Some(false), Some(_)) => {
                return Err(at(node, "a device's seclabel with relabel='no' cannot have a label"));
            }
            _ => {}
        }
        if all.iter().any(|other| other.model == model) {
            return Err(at(node, "more than one seclabel of one model in a device"));
        }
        if let Some(label) = &label {
            Seclabel::new(model.as_deref(), SeclabelType::Static, Some(label), None)
                .map_err(|e| at(node, &e.to_string()))?;
        }
        all.push(DeviceSeclabel { model, label });
    }
    Ok(all.into())
}
