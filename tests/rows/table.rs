//! Every row: what the XML says, which files of the host it concerns, and what each of them gets.
//!
//! `@` is the folder that stands for the host, in which `/sys` and `/dev` are found too.

use Make::{Block, Char, Dir, Fifo, File, Link, Socket, Text};
use Place::{Devices, Domain, Os};
use Want::{Content, Image, Nothing, Own, Shared};

/// What a file gets from SELinux; owners follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    Image,
    Shared,
    Content,
    Nothing,
    /// The seclabel that stands in the row itself.
    Own,
}

/// What stands at a path before the guest starts.
#[derive(Debug, Clone, Copy)]
pub enum Make {
    File,
    Text(&'static str),
    Dir,
    Char,
    Block,
    Fifo,
    Socket,
    Link(&'static str),
    /// Something that `qemu-img create` makes with these arguments.
    Qcow2(&'static [&'static str]),
    /// Nothing: it is named and not there.
    Missing,
}

/// Where in the XML a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Os,
    Domain,
    Devices,
}

/// A path, what is there, what it gets, and what the guest does with it: r(ead) w(rite) k (lock).
pub type Expected = (&'static str, Make, Want, &'static str);

pub struct Row {
    pub name: &'static str,
    pub place: Place,
    pub xml: &'static str,
    pub files: &'static [Expected],
}

const fn row(name: &'static str, place: Place, xml: &'static str, files: &'static [Expected]) -> Row {
    Row { name, place, xml, files }
}

pub const OWN_CONTEXT: &str = "system_u:object_r:virt_image_t:s0";
pub const OWN_OWNER: (u32, u32) = (4321, 4322);

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("disk, read-write", Devices, "<disk type='file'><driver type='raw'/><source file='@/i/rw.img'/></disk>", &[("i/rw.img", File, Image, "rwk")]),
    row("disk, block", Devices, "<disk type='block'><source dev='/dev/lv'/></disk>", &[("dev/lv", Block, Image, "rwk")]),
    row("disk, LUN", Devices, "<disk type='block' device='lun'><source dev='/dev/sdy'/></disk>", &[("dev/sdy", Block, Image, "rwk")]),
    row("disk, volume", Devices, "<disk type='volume'><source pool='p' volume='v' file='@/i/vol'/></disk>", &[("i/vol", File, Image, "rwk")]),
    row("disk, transient", Devices, "<disk type='file'><source file='@/i/tr.img'/><transient/></disk>", &[("i/tr.img", File, Image, "rwk")]),
    row("floppy", Devices, "<disk type='file' device='floppy'><source file='@/i/fd.img'/></disk>", &[("i/fd.img", File, Image, "rwk")]),
    row("disk, shared", Devices, "<disk type='file'><source file='@/i/sh.img'/><shareable/></disk>", &[("i/sh.img", File, Shared, "rwk")]),
    row("disk, read-only", Devices, "<disk type='file'><source file='@/i/ro.img'/><readonly/></disk>", &[("i/ro.img", File, Content, "rk")]),
    row("CD-ROM", Devices, "<disk type='file' device='cdrom'><source file='@/i/cd.iso'/></disk>", &[("i/cd.iso", File, Content, "rk")]),
    row("CD-ROM, empty or missing", Devices, "<disk type='file' device='cdrom'/><disk type='file' device='cdrom'><source file='@/i/no.iso' startupPolicy='optional'/></disk>", &[("i/no.iso", Make::Missing, Nothing, "")]),
    row("backing layers in the XML", Devices, "<disk type='file'><driver type='qcow2'/><source file='@/i/t.img'/><backingStore type='file'><format type='qcow2'/><source file='@/i/m.img'/><backingStore type='block'><format type='raw'/><source dev='/dev/base'/><backingStore/></backingStore></backingStore></disk>",
        &[("i/t.img", File, Image, "rwk"), ("i/m.img", File, Content, "rk"), ("dev/base", Block, Content, "rk")]),
    row("backing layers in the header", Devices, "<disk type='file'><driver type='qcow2'/><source file='@/q/top'/></disk>",
        &[("q/base", File, Content, "rk"), ("q/mid", Make::Qcow2(&["-b", "base", "-F", "raw", "-o", "data_file=mid.data"]), Content, "rk"), ("q/mid.data", File, Content, "rk"),
          ("q/top", Make::Qcow2(&["-b", "mid", "-F", "qcow2"]), Image, "rwk")]),
    row("data file in the XML", Devices, "<disk type='file'><driver type='qcow2'/><source file='@/i/meta'><dataStore type='file'><source file='@/i/data'/></dataStore></source><backingStore/></disk>",
        &[("i/meta", File, Image, "rwk"), ("i/data", File, Image, "rwk")]),
    row("mirror", Devices, "<disk type='file'><source file='@/i/from'/><mirror type='file' job='copy'><source file='@/i/to'/></mirror></disk>", &[("i/from", File, Image, "rwk"), ("i/to", File, Image, "rwk")]),
    row("disk with its own seclabel", Devices, "<disk type='file'><source file='@/i/own'><seclabel model='selinux'><label>system_u:object_r:virt_image_t:s0</label></seclabel><seclabel model='dac'><label>+4321:+4322</label></seclabel></source><backingStore type='file'><source file='@/i/own.below'/></backingStore></disk>",
        &[("i/own", File, Own, "rwk"), ("i/own.below", File, Own, "rk")]),
    row("disk with relabel=no", Devices, "<disk type='file'><source file='@/i/kept'><seclabel model='selinux' relabel='no'/><seclabel model='dac' relabel='no'/></source></disk>", &[("i/kept", File, Nothing, "rwk")]),
    row("directory disk", Devices, "<disk type='dir' device='floppy'><source dir='@/i/dir'/></disk>", &[("i/dir", Dir, Nothing, "")]),
    row("network disk", Devices, "<disk type='network'><source protocol='rbd' name='p/i'/></disk>", &[]),
    row("vhost-user disk", Devices, "<disk type='vhostuser'><source type='unix' path='@/s/vhost'/></disk>", &[("s/vhost", Socket, Image, "rw")]),
    row("NVMe disk", Devices, "<disk type='nvme'><source type='pci' namespace='1'><address domain='0' bus='1' slot='0' function='0'/></source></disk>",
        &[("sys/bus/pci/devices/0000:01:00.0/iommu_group", Link("../../../../kernel/iommu_groups/11"), Nothing, ""), ("dev/vfio/11", Char, Image, "rw"), ("dev/vfio/vfio", Char, Nothing, "rw")]),
    row("PCI, VFIO", Devices, "<hostdev mode='subsystem' type='pci'><driver name='vfio'/><source><address domain='0x0' bus='0x06' slot='0x12' function='0x5'/></source></hostdev>",
        &[("sys/bus/pci/devices/0000:06:12.5/iommu_group", Link("../../../../kernel/iommu_groups/12"), Nothing, ""), ("dev/vfio/12", Char, Image, "rw")]),
    row("PCI, not VFIO", Devices, "<hostdev mode='subsystem' type='pci'><driver name='xen'/><source><address domain='0' bus='7' slot='0' function='0'/></source></hostdev>",
        &[("sys/bus/pci/devices/0000:07:00.0/config", File, Image, "rw"), ("sys/bus/pci/devices/0000:07:00.0/resource", File, Image, "rw"), ("sys/bus/pci/devices/0000:07:00.0/resource0", File, Image, "rw"),
          ("sys/bus/pci/devices/0000:07:00.0/resource2_wc", File, Image, "rw"), ("sys/bus/pci/devices/0000:07:00.0/rom", File, Image, "rw"), ("sys/bus/pci/devices/0000:07:00.0/remove", File, Nothing, "")]),
    row("PCI interface", Devices, "<interface type='hostdev'><source><address type='pci' domain='0' bus='8' slot='0' function='1'/></source></interface>",
        &[("sys/bus/pci/devices/0000:08:00.1/iommu_group", Link("../../../../kernel/iommu_groups/13"), Nothing, ""), ("dev/vfio/13", Char, Image, "rw")]),
    row("mdev", Devices, "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>",
        &[("sys/bus/mdev/devices/c2177883-f1bb-47f0-914d-32a22e3a8804/iommu_group", Link("../../../kernel/iommu_groups/14"), Nothing, ""), ("dev/vfio/14", Char, Image, "rw")]),
    row("USB by address", Devices, "<hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source></hostdev>", &[("dev/bus/usb/001/002", Char, Image, "rw")]),
    row("USB by product", Devices, "<hostdev mode='subsystem' type='usb'><source><vendor id='0x046d'/><product id='0x08e2'/></source></hostdev>",
        &[("sys/bus/usb/devices/1-1/idVendor", Text("046d\n"), Nothing, ""), ("sys/bus/usb/devices/1-1/idProduct", Text("08e2\n"), Nothing, ""),
          ("sys/bus/usb/devices/1-1/busnum", Text("1\n"), Nothing, ""), ("sys/bus/usb/devices/1-1/devnum", Text("14\n"), Nothing, ""), ("dev/bus/usb/001/014", Char, Image, "rw")]),
    row("USB, optional and gone", Devices, "<hostdev mode='subsystem' type='usb'><source startupPolicy='optional'><vendor id='0x1'/><product id='0x2'/></source></hostdev>", &[]),
    row("SCSI", Devices, "<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/><address bus='0' target='1' unit='0'/></source></hostdev>",
        &[("sys/bus/scsi/devices/0:0:1:0/scsi_generic/sg1/dev", Text("21:1\n"), Nothing, ""), ("dev/sg1", Char, Image, "rw")]),
    row("SCSI, shared", Devices, "<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/><address bus='0' target='2' unit='0'/></source><shareable/></hostdev>",
        &[("sys/bus/scsi/devices/0:0:2:0/scsi_generic/sg2/dev", Text("21:2\n"), Nothing, ""), ("dev/sg2", Char, Shared, "rw")]),
    row("SCSI, read-only", Devices, "<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/><address bus='0' target='3' unit='0'/></source><readonly/></hostdev>",
        &[("sys/bus/scsi/devices/0:0:3:0/scsi_generic/sg3/dev", Text("21:3\n"), Nothing, ""), ("dev/sg3", Char, Content, "r")]),
    row("vhost-scsi", Devices, "<hostdev mode='subsystem' type='scsi_host'><source protocol='vhost' wwpn='naa.50014057667280d8'/></hostdev>", &[("dev/vhost-scsi", Char, Shared, "rw")]),
    row("capabilities, storage", Devices, "<hostdev mode='capabilities' type='storage'><source><block>/dev/sdf1</block></source></hostdev>", &[("dev/sdf1", Block, Image, "rwk")]),
    row("capabilities, misc", Devices, "<hostdev mode='capabilities' type='misc'><source><char>/dev/misc3</char></source></hostdev>", &[("dev/misc3", Char, Image, "rw")]),
    row("nvram", Os, "<nvram>@/n/vars.fd</nvram>", &[("n/vars.fd", File, Image, "rwk")]),
    row("loader", Os, "<loader readonly='yes' type='pflash'>@/n/code.fd</loader>", &[("n/code.fd", File, Nothing, "rk")]),
    row("kernel, initrd, dtb", Os, "<kernel>@/b/kernel</kernel><initrd>@/b/initrd</initrd><dtb>@/b/dtb</dtb>", &[("b/kernel", File, Content, "r"), ("b/initrd", File, Content, "r"), ("b/dtb", File, Content, "r")]),
    row("ACPI table", Os, "<acpi><table type='slic'>@/b/slic</table></acpi>", &[("b/slic", File, Content, "r")]),
    row("fw_cfg", Domain, "<sysinfo type='fwcfg'><entry name='opt/x' file='@/b/fwcfg'/></sysinfo>", &[("b/fwcfg", File, Content, "r")]),
    row("smartcard database", Devices, "<smartcard mode='host-certificates'><certificate>a</certificate><certificate>b</certificate><certificate>c</certificate><database>@/b/certs</database></smartcard>",
        &[("b/certs", Dir, Content, "rk"), ("b/certs/cert9.db", File, Nothing, "")]),
    row("chardev, file", Devices, "<serial type='file'><source path='@/l/serial'/></serial>", &[("l/serial", File, Image, "rw")]),
    row("chardev, device", Devices, "<parallel type='dev'><source path='/dev/parport0'/></parallel>", &[("dev/parport0", Char, Image, "rw")]),
    row("chardev, pair of pipes", Devices, "<channel type='pipe'><source path='@/l/pair'/></channel>", &[("l/pair.in", Fifo, Image, "rw"), ("l/pair.out", Fifo, Image, "rw")]),
    row("chardev, pipe", Devices, "<channel type='pipe'><source path='@/l/pipe'/></channel>", &[("l/pipe", Fifo, Image, "rw")]),
    row("chardev, UNIX connect", Devices, "<console type='unix'><source mode='connect' path='@/s/connect'/></console>", &[("s/connect", Socket, Image, "rw")]),
    row("chardev, UNIX bind", Devices, "<channel type='unix'><source mode='bind' path='@/s/bind'/></channel>", &[("s/bind", Socket, Image, "rw")]),
    row("chardev, UNIX bind, not there yet", Devices, "<channel type='unix'><source mode='bind' path='@/s/later'/></channel>", &[("s/later", Make::Missing, Nothing, "rw")]),
    row("chardev with its own seclabel", Devices, "<redirdev bus='usb' type='file'><source path='@/l/own'><seclabel model='selinux'><label>system_u:object_r:virt_image_t:s0</label></seclabel><seclabel model='dac'><label>+4321:+4322</label></seclabel></source></redirdev>", &[("l/own", File, Own, "rw")]),
    row("rng, egd", Devices, "<rng model='virtio'><backend model='egd' type='unix'><source mode='connect' path='@/s/egd'/></backend></rng>", &[("s/egd", Socket, Image, "rw")]),
    row("rng, random", Devices, "<rng model='virtio'><backend model='random'>/dev/hwrng</backend></rng>", &[("dev/hwrng", Char, Nothing, "r")]),
    row("evdev", Devices, "<input type='evdev'><source dev='/dev/input/event2'/></input><input type='passthrough' bus='virtio'><source evdev='/dev/input/event3'/></input>",
        &[("dev/input/event2", Char, Image, "rw"), ("dev/input/event3", Char, Image, "rw")]),
    row("NVDIMM", Devices, "<memory model='nvdimm'><source><path>@/m/nvdimm</path></source></memory>", &[("m/nvdimm", File, Image, "rw")]),
    row("virtio-pmem", Devices, "<memory model='virtio-pmem'><source><path>@/m/pmem</path></source></memory>", &[("m/pmem", File, Image, "rw")]),
    row("SGX", Devices, "<memory model='sgx-epc'><target><size>1</size></target></memory>", &[("dev/sgx_vepc", Char, Shared, "rw"), ("dev/sgx_provision", Char, Shared, "rw")]),
    row("TPM", Devices, "<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>", &[("dev/tpm0", Char, Image, "rw"), ("sys/class/tpm/tpm0/device/cancel", File, Image, "rw")]),
    row("swtpm", Devices, "<tpm model='tpm-crb'><backend type='emulator'><source type='dir' path='@/t'/></backend></tpm>",
        &[("t", Dir, Image, "rwk"), ("t/tpm2-00.permall", File, Image, "rwk"), ("t/.lock", File, Image, "rwk"), ("t/deep/file", File, Nothing, ""), ("t/link", Link("../b/secret"), Nothing, ""), ("b/secret", File, Nothing, "")]),
    row("shared memory", Devices, "<shmem name='mem0'><model type='ivshmem-plain'/></shmem>", &[("dev/shm/mem0", File, Shared, "rw")]),
    row("vhost-user interface", Devices, "<interface type='vhostuser'><source type='unix' path='@/s/net'/></interface>", &[("s/net", Socket, Image, "rw")]),
    row("vsock", Devices, "<vsock model='virtio'/>", &[("dev/vhost-vsock", Char, Shared, "rw")]),
    row("virtiofs socket", Devices, "<filesystem type='mount'><driver type='virtiofs'/><source socket='@/s/fs'/></filesystem>", &[("s/fs", Socket, Image, "rw")]),
    row("file system", Devices, "<filesystem type='mount'><source dir='@/export'/><target dir='x'/></filesystem><filesystem type='mount'><source dir='@/ro'/><target dir='y'/><readonly/></filesystem>",
        &[("export", Dir, Nothing, "rwk"), ("export/file", File, Nothing, ""), ("ro", Dir, Nothing, "r")]),
    row("rendernode", Devices, "<graphics type='egl-headless'><gl rendernode='/dev/dri/renderD128'/></graphics>", &[("dev/dri/renderD128", Char, Shared, "rw")]),
    row("SEV", Domain, "<launchSecurity type='sev'><policy>0x3</policy></launchSecurity>", &[("dev/sev", Char, Shared, "rw")]),
];
