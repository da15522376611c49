//! Disks: their images, the layers below them, the files beside them.

use super::chardev::{seclabels, socket};
use super::hostdev::pci_address;
use super::{at, child, children, given, resource, word};
use crate::domain::chain::LONGEST_CHAIN;
use crate::domain::{DeviceSeclabel, Flags, Kind, Place, Resource};
use crate::error::Result;
use roxmltree::Node;
use std::sync::Arc;

const TYPES: [&str; 8] = ["file", "block", "dir", "network", "volume", "nvme", "vhostuser", "vhostvdpa"];

/// A disk, the layers below it and the image it is mirrored to.
pub(super) fn disk(disk: Node<'_, '_>, into: &mut Vec<Resource>) -> Result<()> {
    word(disk, "type", &TYPES)?;
    let device = word(disk, "device", &["disk", "cdrom", "floppy", "lun"])?;
    let shares_base =
        child(disk, "transient").is_some_and(|node| node.attribute("shareBacking") == Some("yes"));
    let flags = Flags {
        // Guests that share the base of a transient disk write into overlays.
        readonly: child(disk, "readonly").is_some() || device == Some("cdrom") || shares_base,
        shared: child(disk, "shareable").is_some(),
        ..Flags::default()
    };
    let format = child(disk, "driver").and_then(|driver| driver.attribute("type"));
    let own = match child(disk, "source") {
        Some(source) => seclabels(source)?,
        None => Arc::new([]),
    };
    chain(disk, format, flags, &own, into)?;
    // Where a block copy writes; it replaces the disk's image when the copy is done.
    if let Some(mirror) = child(disk, "mirror") {
        let format = mirror.attribute("format").or_else(|| layer_format(mirror));
        let flags = Flags { readonly: false, ..flags };
        if child(mirror, "source").is_some() {
            chain(mirror, format, flags, &own, into)?;
        } else if let Some(path) = given(mirror, "file") {
            into.push(Resource { seclabels: own.clone(), ..resource(mirror, Kind::Disk, path, flags)? });
        }
    }
    Ok(())
}

/// An image and the layers below it. What has no seclabel of its own has that of its disk.
fn chain(
    top: Node<'_, '_>,
    format: Option<&str>,
    mut flags: Flags,
    own: &Arc<[DeviceSeclabel]>,
    into: &mut Vec<Resource>,
) -> Result<()> {
    let (mut node, mut format) = (top, format);
    for _ in 0..LONGEST_CHAIN {
        let Some(source) = child(node, "source") else { return Ok(()) };
        let optional =
            word(source, "startupPolicy", &["mandatory", "requisite", "optional"])? == Some("optional");
        let below = child(node, "backingStore");
        let mut found = image(node, source, Kind::Disk, flags)?;
        if let Some(image) = &mut found {
            image.seclabels = inherited(&image.seclabels, own);
            image.optional |= optional;
            // Where the XML does not say what is below, the header does.
            if below.is_none() && format == Some("qcow2") && image.kind == Kind::Disk {
                image.place = Place::Chain;
            }
        }
        into.extend(found);
        if let Some(store) = child(source, "dataStore")
            && let Some(source) = child(store, "source")
            && let Some(data) = image(store, source, Kind::Disk, flags)?
        {
            into.push(Resource { seclabels: inherited(&data.seclabels, own), ..data });
        }
        beside(source, into)?;
        let Some(below) = below else { return Ok(()) };
        (node, format) = (below, layer_format(below));
        flags = Flags { readonly: true, backing: true, ..Flags::default() };
    }
    Err(at(top, &format!("the disk's backing chain has more than {LONGEST_CHAIN} layers")))
}

fn layer_format<'a>(layer: Node<'a, '_>) -> Option<&'a str> {
    child(layer, "format").and_then(|format| format.attribute("type"))
}

/// A layer's own seclabels, and its disk's for the models that they do not name. One without a model speaks
/// for a driver that only the manager knows, so it is not put beside others.
fn inherited(own: &Arc<[DeviceSeclabel]>, disk: &Arc<[DeviceSeclabel]>) -> Arc<[DeviceSeclabel]> {
    if own.is_empty() {
        return disk.clone();
    }
    if own.iter().any(|own| own.model.is_none()) {
        return own.clone();
    }
    let named = |of_disk: &&DeviceSeclabel| {
        of_disk.model.is_some() && !own.iter().any(|own| own.model == of_disk.model)
    };
    own.iter().chain(disk.iter().filter(named)).cloned().collect()
}

/// An image with a path on this host, or its device; `None` for network disks, directories and the like.
pub(super) fn image(
    node: Node<'_, '_>,
    source: Node<'_, '_>,
    kind: Kind,
    flags: Flags,
) -> Result<Option<Resource>> {
    let seclabels = seclabels(source)?;
    let (kind, path) = match word(node, "type", &TYPES)? {
        None | Some("file") => (kind, given(source, "file")),
        Some("block") => (kind, given(source, "dev")),
        // A volume has a path once its pool has been asked.
        Some("volume") => (kind, given(source, "file").or(given(source, "dev"))),
        Some("vhostuser") => (Kind::VhostUserSocket, given(source, "path")),
        Some("nvme") => {
            let address =
                child(source, "address").ok_or_else(|| at(source, "an NVMe disk needs an <address>"))?;
            let path = pci_address(address)?;
            let device = resource(source, Kind::HostdevPci, &path, Flags::default())?;
            return Ok(Some(Resource { seclabels, place: Place::Vfio, ..device }));
        }
        _ => (kind, None),
    };
    let Some(path) = path else { return Ok(None) };
    Ok(Some(Resource { seclabels, ..resource(source, kind, path, flags)? }))
}

/// Sockets that the emulator connects to on behalf of an image.
fn beside(source: Node<'_, '_>, into: &mut Vec<Resource>) -> Result<()> {
    for host in children(source, "host").filter(|host| host.attribute("transport") == Some("unix")) {
        into.extend(given(host, "socket").map(|path| socket(host, path)).transpose()?);
    }
    for source in children(source, "reservations").flat_map(|node| children(node, "source")) {
        into.extend(given(source, "path").map(|path| socket(source, path)).transpose()?);
    }
    Ok(())
}
