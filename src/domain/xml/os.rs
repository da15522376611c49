//! What a guest boots from, and other files outside `<devices>`.

use super::disk::image;
use super::{at, child, children, content, given, resource, word};
use crate::domain::{Flags, Kind, Resource};
use crate::error::Result;
use roxmltree::Node;
use std::path::PathBuf;

const READONLY: Flags = Flags { readonly: true, shared: false, backing: false, no_relabel: false };

/// The program that runs the guest.
pub(super) fn emulator(domain: Node<'_, '_>) -> Result<Option<PathBuf>> {
    let node = child(domain, "devices").and_then(|devices| child(devices, "emulator"));
    let Some((node, path)) = node.map(|node| (node, content(node))).filter(|(_, path)| !path.is_empty())
    else {
        return Ok(None);
    };
    resource(node, Kind::Loader, &path, READONLY).map(|emulator| Some(emulator.path))
}

/// Adds what stands below `<os>`, and what firmware and the processor are told.
pub(super) fn read(domain: Node<'_, '_>, into: &mut Vec<Resource>) -> Result<()> {
    let mut file = |node: Node<'_, '_>, kind| {
        let path = content(node);
        if !path.is_empty() {
            into.push(resource(node, kind, &path, READONLY)?);
        }
        Ok(())
    };
    if let Some(os) = child(domain, "os") {
        for (name, kind) in [
            ("loader", Kind::Loader),
            ("kernel", Kind::Kernel),
            ("initrd", Kind::Initrd),
            ("dtb", Kind::Dtb),
            ("shim", Kind::Kernel),
        ] {
            child(os, name).map_or(Ok(()), |node| file(node, kind))?;
        }
        for table in children(os, "acpi").flat_map(|acpi| children(acpi, "table")) {
            file(table, Kind::AcpiTable)?;
        }
        for node in children(os, "nvram") {
            into.extend(nvram(node)?);
        }
        for (node, path) in children(os, "varstore").filter_map(|node| Some((node, given(node, "path")?))) {
            into.push(resource(node, Kind::Nvram, path, Flags::default())?);
        }
    }
    for sysinfo in children(domain, "sysinfo").filter(|node| node.attribute("type") == Some("fwcfg")) {
        for entry in children(sysinfo, "entry") {
            match given(entry, "file") {
                Some(_) if !content(entry).is_empty() => {
                    return Err(at(entry, "a fw_cfg entry has a file or a value, not both"));
                }
                Some(path) => into.push(resource(entry, Kind::FwCfg, path, READONLY)?),
                None => {}
            }
        }
    }
    if let Some(security) = child(domain, "launchSecurity")
        && let Some("sev" | "sev-snp") = word(security, "type", &["sev", "sev-snp", "s390-pv", "tdx"])?
    {
        into.push(host_device(security, Kind::Sev, "/dev/sev")?);
    }
    Ok(())
}

/// A node of which a host has one for all its guests.
pub(super) fn host_device(node: Node<'_, '_>, kind: Kind, path: &str) -> Result<Resource> {
    let flags = Flags { shared: true, ..Flags::default() };
    Ok(Resource { optional: true, ..resource(node, kind, path, flags)? })
}

fn nvram(nvram: Node<'_, '_>) -> Result<Option<Resource>> {
    if let Some(source) = child(nvram, "source") {
        return image(nvram, source, Kind::Nvram, Flags::default());
    }
    match content(nvram) {
        path if path.is_empty() => Ok(None),
        path => resource(nvram, Kind::Nvram, &path, Flags::default()).map(Some),
    }
}
