//! Which files and nodes of this host stand behind a resource.
//!
//! The XML names devices by address; the nodes that a guest opens are found in sysfs. That happens whenever
//! labels are put on or given back, not when the XML is read: devices come and go, images are made between
//! the two, and a definition stays a pure function of its XML.

use super::chain;
use super::resource::{Flags, Kind, Place, Resource};
use crate::error::{Error, Result};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where `/sys` and `/dev` are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    root: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self::below(Path::new("/"))
    }
}

impl Host {
    /// A host whose `/sys` and `/dev` are those below `root`.
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The files behind a resource, each a resource of its own. A missing file is listed; a device that
    /// sysfs does not know is `ENOENT`, or nothing when the guest can do without it.
    pub fn files(&self, resource: &Resource) -> Result<Vec<Resource>> {
        let resource = &Resource { path: self.path(&resource.path), ..resource.clone() };
        let found = match resource.place {
            Place::Chain => return chain::layers(resource),
            Place::Here => self.here(resource),
            Place::Vfio => self.iommu_group(&resource.path).map(|node| vec![node]),
            Place::UsbProduct { vendor, product } => {
                self.usb_product(&resource.path, vendor, product).map(|node| vec![node])
            }
        };
        match found {
            Err(error) if resource.optional && error.errno() == libc::ENOENT => Ok(Vec::new()),
            found => {
                let file = |path| Resource { path, place: Place::Here, ..resource.clone() };
                let mut files: Vec<Resource> = found?.into_iter().map(file).collect();
                if files.iter().any(|file| self.is_vfio_group(&file.path)) {
                    // Through which every group is opened; it is everybody's and keeps its label.
                    let flags = Flags { no_relabel: true, ..Flags::default() };
                    let path = self.path(Path::new("/dev/vfio/vfio"));
                    files.push(Resource { flags, optional: true, ..file(path) });
                }
                Ok(files)
            }
        }
    }

    /// A path of the XML on this host.
    fn path(&self, path: &Path) -> PathBuf {
        let moved =
            path.strip_prefix("/").ok().filter(|rest| rest.starts_with("dev") || rest.starts_with("sys"));
        moved.map_or_else(|| path.to_owned(), |rest| self.root.join(rest))
    }

    fn here(&self, resource: &Resource) -> Result<Vec<PathBuf>> {
        let path = &resource.path;
        match resource.kind {
            Kind::ChardevPipe => {
                let pair = [suffixed(path, ".in"), suffixed(path, ".out")];
                Ok(if pair.iter().all(|path| path.exists()) { pair.into() } else { vec![path.clone()] })
            }
            Kind::HostdevPci if path.is_dir() => {
                let wanted =
                    |name: &str| matches!(name, "config" | "rom" | "reset") || name.starts_with("resource");
                let found: Vec<PathBuf> =
                    entries(path)?.filter(|(name, _)| wanted(name)).map(|(_, path)| path).collect();
                if found.is_empty() {
                    return Err(missing(path, "it has none of a PCI device's files"));
                }
                Ok(found)
            }
            Kind::HostdevMdev if path.is_dir() => Ok(vec![self.iommu_group(path)?]),
            Kind::HostdevScsi if path.is_dir() => Ok(vec![self.scsi_generic(path)?]),
            Kind::HostdevUsb if path.is_dir() => Ok(vec![self.usb_node(path)?]),
            Kind::TpmDevice => {
                let name = path.file_name().unwrap_or_default();
                let cancel = ["/sys/class/tpm", "/sys/class/misc"]
                    .map(|class| self.path(Path::new(class)).join(name).join("device/cancel"));
                Ok([path.clone()].into_iter().chain(cancel.into_iter().find(|path| path.exists())).collect())
            }
            // Not what a link in there leads to: the emulator, which a guest may have taken over, makes them.
            Kind::TpmState if path.is_dir() => {
                let is_file = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|facts| facts.is_file());
                let inside = entries(path)?.map(|(_, path)| path).filter(is_file);
                Ok([path.clone()].into_iter().chain(inside).collect())
            }
            _ => Ok(vec![path.clone()]),
        }
    }

    fn iommu_group(&self, device: &Path) -> Result<PathBuf> {
        if !device.exists() {
            return Err(missing(device, "this host has no such device"));
        }
        let link = fs::read_link(device.join("iommu_group")).map_err(|_| {
            Error::unsupported(format!(
                "{}: the device is in no IOMMU group; switch the IOMMU on (intel_iommu=on or amd_iommu=on)",
                device.display()
            ))
            .with_path(device)
        })?;
        let group = link.file_name().and_then(|name| name.to_str()).filter(|name| is_number(name));
        let group = group.ok_or_else(|| missing(device, "its IOMMU group has no number"))?;
        Ok(self.path(&Path::new("/dev/vfio").join(group)))
    }

    fn is_vfio_group(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(is_number) && path.parent() == Some(&self.path(Path::new("/dev/vfio")))
    }

    fn scsi_generic(&self, device: &Path) -> Result<PathBuf> {
        let sg = |name: &str| name.strip_prefix("sg").is_some_and(is_number);
        let found = entries(&device.join("scsi_generic"))?.find(|(name, _)| sg(name));
        let (name, _) = found.ok_or_else(|| missing(device, "it has no generic node; load the module sg"))?;
        Ok(self.path(&Path::new("/dev").join(name)))
    }

    fn usb_node(&self, device: &Path) -> Result<PathBuf> {
        let number = |name: &str| {
            let value = attribute(device, name)?;
            value.parse::<u16>().map_err(|_| missing(device, &format!("its {name} is {value:?}")))
        };
        let (bus, device) = (number("busnum")?, number("devnum")?);
        Ok(self.path(Path::new(&usb_path(bus, device))))
    }

    fn usb_product(&self, devices: &Path, vendor: u16, product: u16) -> Result<PathBuf> {
        let is = |device: &Path, name: &str, id: u16| {
            attribute(device, name).is_ok_and(|value| u16::from_str_radix(&value, 16) == Ok(id))
        };
        let mut found = entries(devices)?
            .map(|(_, path)| path)
            .filter(|path| is(path, "idVendor", vendor) && is(path, "idProduct", product));
        match (found.next(), found.next()) {
            (Some(device), None) => self.usb_node(&device),
            (None, _) => Err(missing(devices, &format!("no USB device {vendor:04x}:{product:04x} is plugged in"))),
            (Some(_), Some(_)) => Err(Error::invalid(format!(
                "{}: more than one USB device {vendor:04x}:{product:04x} is plugged in; say which by <address bus= device=/>",
                devices.display()
            ))
            .with_path(devices)),
        }
    }
}

/// The node of a USB device.
pub(super) fn usb_path(bus: u16, device: u16) -> String {
    format!("/dev/bus/usb/{bus:03}/{device:03}")
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// What is in a directory, by name; names that are not text are none that is looked for.
fn entries(dir: &Path) -> Result<impl Iterator<Item = (String, PathBuf)> + use<>> {
    let failed = |e: &io::Error| Error::at(dir, "cannot look into it", e);
    let all = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(|e| failed(&e))?;
    let mut all: Vec<_> =
        all.iter().filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect();
    all.sort();
    Ok(all.into_iter())
}

fn attribute(device: &Path, name: &str) -> Result<String> {
    let path = device.join(name);
    let text = fs::read_to_string(&path).map_err(|e| Error::at(&path, "cannot read it", &e))?;
    Ok(text.trim().to_owned())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn missing(path: &Path, why: &str) -> Error {
    Error::new(libc::ENOENT, format!("{}: {why}", path.display())).with_path(path)
}

#[cfg(test)]
mod tests;
