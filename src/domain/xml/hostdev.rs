//! Devices of the host that are handed to the guest.

use super::{at, child, content, given, needed, needed_number, number, resource, word};
use crate::domain::host::usb_path;
use crate::domain::{Flags, Kind, Place, Resource, Uuid};
use crate::error::Result;
use roxmltree::Node;

/// One `<hostdev>`.
pub(super) fn hostdev(node: Node<'_, '_>) -> Result<Option<Resource>> {
    let capabilities = word(node, "mode", &["subsystem", "capabilities"])? == Some("capabilities");
    let known: &[&str] =
        if capabilities { &["storage", "misc", "net"] } else { &["usb", "pci", "scsi", "scsi_host", "mdev"] };
    let kind = word(node, "type", known)?.ok_or_else(|| at(node, "<hostdev> has no type"))?;
    let source = child(node, "source").ok_or_else(|| at(node, "<hostdev> has no <source>"))?;
    let of_path = |name, kind| {
        let named = child(source, name).map(content).filter(|path| !path.is_empty());
        let path = named.ok_or_else(|| at(source, &format!("<source> has no <{name}>")))?;
        resource(source, kind, &path, Flags::default()).map(Some)
    };
    match kind {
        "usb" => usb(source).map(Some),
        "pci" => pci(node, source).map(Some),
        "scsi" => scsi(node, source),
        "scsi_host" => match word(source, "protocol", &["vhost"])? {
            None => Err(at(source, "a SCSI host has no protocol")),
            Some(_) => super::os::host_device(source, Kind::HostdevScsi, "/dev/vhost-scsi")
                .map(|device| Some(Resource { optional: false, ..device })),
        },
        "mdev" => {
            let address = child(source, "address").ok_or_else(|| at(source, "<source> has no <address>"))?;
            let uuid: Uuid = needed(address, "uuid")?.parse().map_err(|e| super::placed(address, &e))?;
            let path = format!("/sys/bus/mdev/devices/{uuid}");
            resource(source, Kind::HostdevMdev, &path, Flags::default()).map(Some)
        }
        "storage" => of_path("block", Kind::Disk),
        "misc" => of_path("char", Kind::ChardevDevice),
        _ => Ok(None),
    }
}

/// A PCI device that an `<interface type='hostdev'>` hands over.
pub(super) fn interface(node: Node<'_, '_>, source: Node<'_, '_>) -> Result<Option<Resource>> {
    match child(source, "address").and_then(|address| address.attribute("type")) {
        Some("pci") => pci(node, source).map(Some),
        Some("usb") => usb(source).map(Some),
        _ => Err(at(source, "an interface of type hostdev needs a PCI or USB <address>")),
    }
}

fn usb(source: Node<'_, '_>) -> Result<Resource> {
    let policy = word(source, "startupPolicy", &["mandatory", "requisite", "optional"])?;
    let device = |path: &str, place| -> Result<Resource> {
        let device = resource(source, Kind::HostdevUsb, path, Flags::default())?;
        Ok(Resource { place, optional: policy == Some("optional"), ..device })
    };
    if let Some(address) = child(source, "address") {
        let bus = needed_number(address, "bus", 999)?;
        if let Some(port) = given(address, "port") {
            if !port.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())) {
                return Err(at(address, &format!("port={port:?} is not a USB port such as 1.4")));
            }
            return device(&format!("/sys/bus/usb/devices/{bus}-{port}"), Place::Here);
        }
        let number = needed_number(address, "device", 999)?;
        return device(&usb_path(bus as u16, number as u16), Place::Here);
    }
    let id = |name| {
        let node = child(source, name)
            .ok_or_else(|| at(source, "a USB device needs <vendor> and <product>, or <address>"))?;
        needed_number(node, "id", 0xffff).map(|id| id as u16)
    };
    device("/sys/bus/usb/devices", Place::UsbProduct { vendor: id("vendor")?, product: id("product")? })
}

/// Through VFIO unless the XML names another driver: then the guest uses what sysfs has of the device.
fn pci(node: Node<'_, '_>, source: Node<'_, '_>) -> Result<Resource> {
    let address = child(source, "address").ok_or_else(|| at(source, "<source> has no <address>"))?;
    let driver =
        child(node, "driver").map(|driver| word(driver, "name", &["vfio", "kvm", "xen"])).transpose()?;
    let place = match driver.flatten() {
        None | Some("vfio") => Place::Vfio,
        Some(_) => Place::Here,
    };
    let device = resource(source, Kind::HostdevPci, &pci_address(address)?, Flags::default())?;
    Ok(Resource { place, ..device })
}

/// A PCI device in sysfs.
pub(super) fn pci_address(address: Node<'_, '_>) -> Result<String> {
    let part = |name, most| number(address, name, most).map(|number| number.unwrap_or(0));
    let (domain, bus) = (part("domain", u32::MAX)?, needed_number(address, "bus", 0xff)?);
    let (slot, function) = (needed_number(address, "slot", 0x1f)?, part("function", 7)?);
    Ok(format!("/sys/bus/pci/devices/{domain:04x}:{bus:02x}:{slot:02x}.{function}"))
}

fn scsi(node: Node<'_, '_>, source: Node<'_, '_>) -> Result<Option<Resource>> {
    if word(source, "protocol", &["adapter", "iscsi"])? == Some("iscsi") {
        return Ok(None);
    }
    let adapter = child(source, "adapter").ok_or_else(|| at(source, "<source> has no <adapter>"))?;
    let name = needed(adapter, "name")?;
    let host = name.strip_prefix("scsi_host").and_then(|number| number.parse::<u32>().ok());
    let host =
        host.ok_or_else(|| at(adapter, &format!("name={name:?} is not an adapter such as scsi_host0")))?;
    let address = child(source, "address").ok_or_else(|| at(source, "<source> has no <address>"))?;
    let bus = needed_number(address, "bus", u32::MAX)?;
    let (target, unit) =
        (needed_number(address, "target", u32::MAX)?, needed_number(address, "unit", u32::MAX)?);
    let flags = Flags {
        readonly: child(node, "readonly").is_some(),
        shared: child(node, "shareable").is_some(),
        ..Flags::default()
    };
    let path = format!("/sys/bus/scsi/devices/{host}:{bus}:{target}:{unit}");
    resource(source, Kind::HostdevScsi, &path, flags).map(Some)
}
