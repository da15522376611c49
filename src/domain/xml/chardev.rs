//! Character devices, and what every device may have: a source with seclabels, a socket.

use super::{at, child, children, content, given, placed, relabel, resource, word};
use crate::domain::{DeviceSeclabel, Flags, Kind, Resource, Seclabel, SeclabelType};
use crate::error::Result;
use roxmltree::Node;
use std::sync::Arc;

const TYPES: [&str; 15] = [
    "null",
    "vc",
    "pty",
    "dev",
    "file",
    "pipe",
    "stdio",
    "udp",
    "tcp",
    "unix",
    "spicevmc",
    "spiceport",
    "nmdm",
    "dbus",
    "qemu-vdagent",
];

/// The file, device, FIFO or socket behind a character device.
pub(super) fn chardev(node: Node<'_, '_>, into: &mut Vec<Resource>) -> Result<()> {
    let found = source(node)?;
    // libvirt repeats the first serial port as the first console.
    into.extend(found.filter(|found| !into.contains(found)));
    // Written by whoever logs for the guest; the emulator itself where nobody does.
    if let Some(path) = child(node, "log").and_then(|log| given(log, "file")) {
        let flags = Flags { no_relabel: true, ..Flags::default() };
        let log = Resource { optional: true, ..resource(node, Kind::ChardevFile, path, flags)? };
        into.extend(Some(log).filter(|log| !into.contains(log)));
    }
    Ok(())
}

fn source(node: Node<'_, '_>) -> Result<Option<Resource>> {
    let kind = match word(node, "type", &TYPES)? {
        Some("file") => Kind::ChardevFile,
        Some("dev") => Kind::ChardevDevice,
        Some("pipe") => Kind::ChardevPipe,
        Some("unix") => Kind::ChardevUnix,
        // The path of a pty is made by the host when the guest starts.
        _ => return Ok(None),
    };
    let Some(source) = child(node, "source") else { return Ok(None) };
    let mode = if kind == Kind::ChardevUnix { word(source, "mode", &["bind", "connect"])? } else { None };
    let seclabels = seclabels(source)?;
    let Some(path) = given(source, "path") else { return Ok(None) };
    let resource = resource(source, kind, path, Flags::default())?;
    let optional = kind == Kind::ChardevUnix && mode != Some("connect");
    Ok(Some(Resource { seclabels, optional, ..resource }))
}

/// A socket of a helper of the host, which keeps the label it has.
pub(super) fn socket(node: Node<'_, '_>, path: &str) -> Result<Resource> {
    resource(node, Kind::ChardevUnix, path, Flags { no_relabel: true, ..Flags::default() })
}

/// The seclabels of one device.
pub(super) fn seclabels(source: Node<'_, '_>) -> Result<Arc<[DeviceSeclabel]>> {
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
                .map_err(|e| placed(node, &e))?;
        }
        all.push(DeviceSeclabel { model, label });
    }
    Ok(all.into())
}
