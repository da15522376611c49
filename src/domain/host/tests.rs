use super::*;
use crate::domain::Flags;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

/// A host's `/sys` and `/dev`.
struct Fixture(TempDir);

impl Fixture {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, path: &str, to: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    fn find(&self, kind: Kind, path: &str, place: Place) -> Result<Vec<String>> {
        let resource = Resource::new(kind, Path::new(path), Flags::default()).unwrap();
        let found = Host::below(self.0.path()).files(&Resource { place, ..resource })?;
        let name = |file: Resource| {
            assert_eq!((file.kind, file.place), (kind, Place::Here));
            let below = file.path.strip_prefix(self.0.path());
            below.map_or_else(|_| file.path.display().to_string(), |path| path.display().to_string())
        };
        Ok(found.into_iter().map(name).collect())
    }

    fn fails(&self, kind: Kind, path: &str, place: Place) -> (i32, String) {
        let error = self.find(kind, path, place).unwrap_err();
        assert!(error.path().is_some(), "{error}");
        (error.errno(), error.to_string())
    }
}

#[test]
fn vfio_devices_lead_to_their_group() {
    let host = Fixture::new();
    for (kind, device, place) in [
        (Kind::HostdevPci, "/sys/bus/pci/devices/0000:06:12.5", Place::Vfio),
        (Kind::HostdevMdev, "/sys/bus/mdev/devices/0b15ad3c-11f4-4b0c-a8e2-6b0d5f3e0001", Place::Here),
    ] {
        if place == Place::Vfio {
            assert_eq!(host.fails(kind, device, place).0, libc::ENOENT);
        }
        host.write(&format!("{device}/vendor")[1..], "0x8086\n");
        let (errno, message) = host.fails(kind, device, place);
        assert!(errno == libc::ENOTSUP && message.contains("iommu=on"), "{message}");
        host.link(&format!("{device}/iommu_group")[1..], "../../../../kernel/iommu_groups/17");
        assert_eq!(host.find(kind, device, place).unwrap(), ["dev/vfio/17", "dev/vfio/vfio"]);
    }
    host.link("sys/bus/pci/devices/0000:00:00.0/iommu_group", "../../..");
    let path = "/sys/bus/pci/devices/0000:00:00.0";
    assert_eq!(host.fails(Kind::HostdevPci, path, Place::Vfio).0, libc::ENOENT);
}

#[test]
fn other_pci_devices_are_what_sysfs_has_of_them() {
    let host = Fixture::new();
    let device = "/sys/bus/pci/devices/0000:06:12.5";
    for name in [
        "config",
        "resource",
        "resource0",
        "resource2_wc",
        "rom",
        "reset",
        "vendor",
        "driver_override",
        "remove",
    ] {
        host.write(&format!("{}/{name}", &device[1..]), "");
    }
    let found = host.find(Kind::HostdevPci, device, Place::Here).unwrap();
    let names: Vec<&str> = found.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["config", "reset", "resource", "resource0", "resource2_wc", "rom"]);
    host.write("sys/bus/pci/devices/empty/vendor", "");
    assert_eq!(host.fails(Kind::HostdevPci, "/sys/bus/pci/devices/empty", Place::Here).0, libc::ENOENT);
    // A node that the caller knows.
    assert_eq!(
        host.find(Kind::HostdevPci, "/dev/vfio/3", Place::Here).unwrap(),
        ["dev/vfio/3", "dev/vfio/vfio"]
    );
}

#[test]
fn usb_devices_are_found_by_product_and_port() {
    let host = Fixture::new();
    let devices = "/sys/bus/usb/devices";
    let product = Place::UsbProduct { vendor: 0x46d, product: 0x8e2 };
    assert_eq!(host.fails(Kind::HostdevUsb, devices, product).0, libc::ENOENT);
    for (name, vendor, bus, device) in [
        ("1-1", "1d6b", "1", "2"),
        ("1-1.4", "046d", "1", "14"),
        ("usb1", "1d6b", "1", "1"),
        ("1-1.4:1.0", "", "", ""),
    ] {
        for (attribute, text) in [("idVendor", vendor), ("busnum", bus), ("devnum", device)] {
            if !text.is_empty() {
                host.write(&format!("sys/bus/usb/devices/{name}/{attribute}"), &format!("{text}\n"));
            }
        }
        host.write(&format!("sys/bus/usb/devices/{name}/idProduct"), "08e2\n");
    }
    assert_eq!(host.find(Kind::HostdevUsb, devices, product).unwrap(), ["dev/bus/usb/001/014"]);
    let port = format!("{devices}/1-1.4");
    assert_eq!(host.find(Kind::HostdevUsb, &port, Place::Here).unwrap(), ["dev/bus/usb/001/014"]);
    let twice = Place::UsbProduct { vendor: 0x1d6b, product: 0x8e2 };
    let (errno, message) = host.fails(Kind::HostdevUsb, devices, twice);
    assert!(
        errno == libc::EINVAL && message.contains("1d6b:08e2") && message.contains("<address"),
        "{message}"
    );
    host.write("sys/bus/usb/devices/1-1.4/devnum", "-1\n");
    assert_eq!(host.fails(Kind::HostdevUsb, devices, product).0, libc::ENOENT);
    // What the guest can do without is nothing.
    let resource = Resource::new(Kind::HostdevUsb, Path::new(devices), Flags::default()).unwrap();
    let optional = Resource { place: product, optional: true, ..resource };
    assert_eq!(Host::below(host.0.path()).files(&optional).unwrap(), []);
}

#[test]
fn scsi_devices_lead_to_their_generic_node() {
    let host = Fixture::new();
    let device = "/sys/bus/scsi/devices/0:0:4:8";
    assert_eq!(host.find(Kind::HostdevScsi, device, Place::Here).unwrap(), [&device[1..]]);
    host.write("sys/bus/scsi/devices/0:0:4:8/scsi_generic/strange/dev", "");
    assert_eq!(host.fails(Kind::HostdevScsi, device, Place::Here).0, libc::ENOENT);
    host.write("sys/bus/scsi/devices/0:0:4:8/scsi_generic/sg7/dev", "21:7\n");
    assert_eq!(host.find(Kind::HostdevScsi, device, Place::Here).unwrap(), ["dev/sg7"]);
}

#[test]
fn tpms_have_more_than_a_node() {
    let host = Fixture::new();
    assert_eq!(host.find(Kind::TpmDevice, "/dev/tpm0", Place::Here).unwrap(), ["dev/tpm0"]);
    host.write("sys/class/misc/tpm0/device/cancel", "");
    let old = ["dev/tpm0", "sys/class/misc/tpm0/device/cancel"];
    assert_eq!(host.find(Kind::TpmDevice, "/dev/tpm0", Place::Here).unwrap(), old);
    host.write("sys/class/tpm/tpm0/device/cancel", "");
    let new = ["dev/tpm0", "sys/class/tpm/tpm0/device/cancel"];
    assert_eq!(host.find(Kind::TpmDevice, "/dev/tpm0", Place::Here).unwrap(), new);
}

#[test]
fn state_is_one_level_deep_and_follows_no_link() {
    let host = Fixture::new();
    host.write("state/tpm2-00.permall", "");
    host.write("state/.lock", "");
    host.write("state/below/deeper", "");
    host.link("state/link", "/etc/shadow");
    let state = host.0.path().join("state");
    let found = host.find(Kind::TpmState, state.to_str().unwrap(), Place::Here).unwrap();
    assert_eq!(found, ["state", "state/.lock", "state/tpm2-00.permall"]);
    let file = state.join("tpm2-00.permall");
    assert_eq!(host.find(Kind::TpmState, file.to_str().unwrap(), Place::Here).unwrap().len(), 1);
}

#[test]
fn a_pipe_is_a_pair_where_there_is_one() {
    let host = Fixture::new();
    let pipe = host.0.path().join("pipe");
    host.write("pipe.in", "");
    assert_eq!(host.find(Kind::ChardevPipe, pipe.to_str().unwrap(), Place::Here).unwrap(), ["pipe"]);
    host.write("pipe.out", "");
    let pair = ["pipe.in", "pipe.out"];
    assert_eq!(host.find(Kind::ChardevPipe, pipe.to_str().unwrap(), Place::Here).unwrap(), pair);
}

#[test]
fn only_devices_are_looked_for_below_the_root() {
    let host = Fixture::new();
    assert_eq!(host.find(Kind::Disk, "/dev/sdz", Place::Here).unwrap(), ["dev/sdz"]);
    for path in ["/var/lib/x", "/device/x", "/system"] {
        assert_eq!(host.find(Kind::Disk, path, Place::Here).unwrap(), [path]);
    }
    let disk = Resource::new(Kind::Disk, Path::new("/dev/sdz"), Flags::default()).unwrap();
    assert_eq!(Host::default().files(&disk).unwrap(), [disk]);
}
