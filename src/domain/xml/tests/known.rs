//! Snippets as libvirt writes them, and what is read from each: `kind path flags`, where the flags are
//! r(eadonly), s(hared), b(acking), n(ot relabelled), `?` may be missing, and how the files are found.

use super::*;
use crate::domain::Place;

pub(super) fn shown(r: &Resource) -> String {
    let f = r.flags;
    let flags: String =
        [(f.readonly, 'r'), (f.shared, 's'), (f.backing, 'b'), (f.no_relabel, 'n'), (r.optional, '?')]
            .into_iter()
            .filter_map(|(set, c)| set.then_some(c))
            .collect();
    let place = match r.place {
        Place::Here => String::new(),
        Place::Chain => " chain".to_owned(),
        Place::Vfio => " vfio".to_owned(),
        Place::UsbProduct { vendor, product } => format!(" {vendor:04x}:{product:04x}"),
    };
    let own: String = r
        .seclabels
        .iter()
        .map(|s| format!(" {}={}", s.model.as_deref().unwrap_or("*"), s.label.as_deref().unwrap_or("no")))
        .collect();
    let flags = if flags.is_empty() { flags } else { format!(" {flags}") };
    format!("{} {}{flags}{place}{own}", r.kind.name(), r.path.display())
}

/// Below `<devices>`.
#[rustfmt::skip]
const DEVICES: &[(&str, &[&str])] = &[
    // Disks
    ("<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/i/a.img' index='1'/><backingStore/><target dev='vda'/></disk>", &["disk /i/a.img"]),
    ("<disk type='file'><source file='/i/a.img'/></disk>", &["disk /i/a.img"]),
    ("<disk type='file' device='lun'><source file='/i/a'/></disk>", &["disk /i/a"]),
    ("<disk type='block' device='lun' rawio='yes' sgio='filtered'><source dev='/dev/sda'><reservations managed='yes'/></source></disk>", &["disk /dev/sda"]),
    ("<disk type='block' device='lun'><source dev='/dev/sda'><reservations managed='no'><source type='unix' path='/run/pr.sock' mode='client'/></reservations></source></disk>", &["disk /dev/sda", "chardev-unix /run/pr.sock n?"]),
    ("<disk type='file' device='floppy'><source file='/i/f.img'/></disk>", &["disk /i/f.img"]),
    ("<disk type='file' device='floppy'><source file='/i/f.img'/><readonly/></disk>", &["disk /i/f.img r"]),
    ("<disk type='file' device='cdrom'><source file='/i/c.iso'/><readonly/></disk>", &["disk /i/c.iso r"]),
    ("<disk type='file' device='cdrom'><source file='/i/c.iso'/></disk>", &["disk /i/c.iso r"]),
    ("<disk type='file' device='cdrom'><source file='/i/c.iso' startupPolicy='optional'/></disk>", &["disk /i/c.iso r?"]),
    ("<disk type='file' device='cdrom'><source file='/i/c.iso' startupPolicy='requisite'/></disk>", &["disk /i/c.iso r"]),
    ("<disk type='file' device='cdrom'><source startupPolicy='optional'/></disk>", &[]),
    ("<disk type='file' device='cdrom'><source file=''/></disk>", &[]),
    ("<disk type='block' device='cdrom'><source dev='/dev/cdrom'/></disk>", &["disk /dev/cdrom r"]),
    ("<disk type='block'><source dev='/dev/vg/lv'/><shareable/></disk>", &["disk /dev/vg/lv s"]),
    ("<disk type='file'><source file='/i/a'/><shareable/><readonly/></disk>", &["disk /i/a rs"]),
    ("<disk type='file'><source file='/i/a'/><transient/></disk>", &["disk /i/a"]),
    ("<disk type='file'><source file='/i/a'/><transient shareBacking='yes'/></disk>", &["disk /i/a r"]),
    ("<disk type='dir' device='floppy'><driver type='fat'/><source dir='/d'/><readonly/></disk>", &[]),
    ("<disk type='network'><source protocol='rbd' name='p/i'><host name='m' port='6789'/><auth username='u'><secret type='ceph' usage='x'/></auth></source></disk>", &[]),
    ("<disk type='network'><source protocol='nbd' name='e'><host transport='unix' socket='/run/nbd.sock'/></source></disk>", &["chardev-unix /run/nbd.sock n?"]),
    ("<disk type='network'><source protocol='nbd'><host transport='tcp' name='h'/></source><backingStore type='file'><format type='raw'/><source file='/i/b'/><backingStore/></backingStore></disk>", &["disk /i/b rb"]),
    ("<disk type='volume'><source pool='p' volume='v'/></disk>", &[]),
    ("<disk type='volume'><source pool='p' volume='v' file='/pool/v'/></disk>", &["disk /pool/v"]),
    ("<disk type='volume'><source pool='p' volume='v' mode='host' dev='/dev/disk/by-path/x'/></disk>", &["disk /dev/disk/by-path/x"]),
    ("<disk type='nvme'><source type='pci' managed='yes' namespace='1'><address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source></disk>", &["hostdev-pci /sys/bus/pci/devices/0000:01:00.0 vfio"]),
    ("<disk type='nvme'><driver type='qcow2'/><source type='pci' namespace='1'><address bus='1' slot='2'/></source></disk>", &["hostdev-pci /sys/bus/pci/devices/0000:01:02.0 vfio"]),
    ("<disk type='vhostuser' device='disk' snapshot='no'><source type='unix' path='/run/vhost.sock'><reconnect enabled='yes' timeout='10'/></source></disk>", &["vhost-user-socket /run/vhost.sock ?"]),
    ("<disk type='vhostvdpa'><source dev='/dev/vhost-vdpa-0'/></disk>", &[]),
    ("<disk type='file'><driver name='qemu' type='qcow2'/><source file='/i/a'/></disk>", &["disk /i/a chain"]),
    ("<disk type='file' device='cdrom'><driver type='qcow2'/><source file='/i/a'/></disk>", &["disk /i/a r chain"]),
    ("<disk type='file'><driver name='qemu' type='qcow2'/><source file='/i/a'/><backingStore/></disk>", &["disk /i/a"]),
    ("<disk type='file'><driver name='qemu' type='raw'/><source file='/i/a'/></disk>", &["disk /i/a"]),
    ("<disk type='block'><driver type='qcow2'/><source dev='/dev/lv'/><backingStore type='file'><format type='qcow2'/><source file='/i/b'/></backingStore></disk>", &["disk /dev/lv", "disk /i/b rb chain"]),
    ("<disk type='file'><driver type='qcow2'/><source file='/i/a'/><backingStore type='file'><format type='qcow2'/><source file='/i/b'/><backingStore type='block'><format type='raw'/><source dev='/dev/c'/><backingStore/></backingStore></backingStore></disk>", &["disk /i/a", "disk /i/b rb", "disk /dev/c rb"]),
    ("<disk type='file'><source file='/i/a'/><shareable/><backingStore type='file'><format type='raw'/><source file='/i/b'/></backingStore></disk>", &["disk /i/a s", "disk /i/b rb"]),
    ("<disk type='file'><source file='/i/a'/><backingStore type='nvme'><format type='raw'/><source type='pci' namespace='1'><address bus='0x02' slot='0x1f' function='0x7'/></source></backingStore></disk>", &["disk /i/a", "hostdev-pci /sys/bus/pci/devices/0000:02:1f.7 vfio"]),
    ("<disk type='file'><driver type='qcow2'/><source file='/i/a'><dataStore type='file'><format type='raw'/><source file='/i/a.data'/></dataStore></source><backingStore/></disk>", &["disk /i/a", "disk /i/a.data"]),
    ("<disk type='file'><source file='/i/a'/><backingStore type='file'><format type='qcow2'/><source file='/i/b'><dataStore type='block'><source dev='/dev/d'/></dataStore></source><backingStore/></backingStore></disk>", &["disk /i/a", "disk /i/b rb", "disk /dev/d rb"]),
    ("<disk type='file'><source file='/i/a'/><mirror type='file' file='/i/m' format='raw' job='copy' ready='yes'><format type='raw'/><source file='/i/m' index='3'/></mirror></disk>", &["disk /i/a", "disk /i/m"]),
    ("<disk type='file'><source file='/i/a'/><mirror file='/i/m' format='raw'/></disk>", &["disk /i/a", "disk /i/m"]),
    ("<disk type='file'><source file='/i/a'/><mirror type='block' job='active-commit'><format type='qcow2'/><source dev='/dev/m'/><backingStore/></mirror></disk>", &["disk /i/a", "disk /dev/m"]),
    ("<disk type='file'><source file='/i/a'/><shareable/><mirror type='network' job='copy'><source protocol='nbd' name='x'/></mirror></disk>", &["disk /i/a s"]),
    ("<disk type='file'><source file='/i/a'><seclabel model='selinux' relabel='no'/></source></disk>", &["disk /i/a selinux=no"]),
    ("<disk type='file'><source file='/i/a'><seclabel model='dac' relabel='yes'><label>+7:+7</label></seclabel><seclabel model='selinux'><label>u:r:t:s0</label></seclabel></source></disk>", &["disk /i/a dac=+7:+7 selinux=u:r:t:s0"]),
    ("<disk type='file'><source file='/i/a'><seclabel><label>l</label></seclabel></source><backingStore type='file'><source file='/i/b'/><backingStore type='file'><source file='/i/c'><seclabel model='dac' relabel='no'/></source></backingStore></backingStore></disk>", &["disk /i/a *=l", "disk /i/b rb *=l", "disk /i/c rb dac=no"]),
    ("<disk type='file'><source file='/i/a'><seclabel model='selinux'><label>l</label></seclabel></source><backingStore type='file'><source file='/i/c'><seclabel model='dac' relabel='no'/></source></backingStore></disk>", &["disk /i/a selinux=l", "disk /i/c rb dac=no selinux=l"]),
    ("<disk type='nvme'><source type='pci' namespace='1'><address bus='1' slot='0'/><seclabel model='dac' relabel='no'/></source></disk>", &["hostdev-pci /sys/bus/pci/devices/0000:01:00.0 vfio dac=no"]),
    ("<disk type='file'><source file='/i/a'><seclabel model='selinux' relabel='no'/></source><mirror type='file'><source file='/i/m'/></mirror></disk>", &["disk /i/a selinux=no", "disk /i/m selinux=no"]),
    ("<disk type='file'><source file='/i/a'/><future><x file='/y'/></future></disk>", &["disk /i/a"]),
    // Devices of the host
    ("<hostdev mode='subsystem' type='usb' managed='yes'><source><address bus='1' device='14'/></source></hostdev>", &["hostdev-usb /dev/bus/usb/001/014"]),
    ("<hostdev mode='subsystem' type='usb'><source startupPolicy='optional'><vendor id='0x046d'/><product id='0x08e2'/></source></hostdev>", &["hostdev-usb /sys/bus/usb/devices ? 046d:08e2"]),
    ("<hostdev mode='subsystem' type='usb'><source guestReset='off'><vendor id='0x046D'/><product id='2274'/></source></hostdev>", &["hostdev-usb /sys/bus/usb/devices 046d:08e2"]),
    ("<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/><product id='0xbeef'/><address bus='0x2' device='3'/></source></hostdev>", &["hostdev-usb /dev/bus/usb/002/003"]),
    ("<hostdev mode='subsystem' type='usb'><source><address bus='1' port='1.4'/></source></hostdev>", &["hostdev-usb /sys/bus/usb/devices/1-1.4"]),
    ("<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x06' slot='0x12' function='0x5'/></source><boot order='1'/><rom bar='on' file='/etc/fake/boot.bin'/></hostdev>", &["hostdev-pci /sys/bus/pci/devices/0000:06:12.5 vfio"]),
    ("<hostdev mode='subsystem' type='pci'><driver name='vfio' model='mlx5_vfio_pci'/><source><address domain='0x10000' bus='0xff' slot='0x1f' function='0x7'/></source></hostdev>", &["hostdev-pci /sys/bus/pci/devices/10000:ff:1f.7 vfio"]),
    ("<hostdev mode='subsystem' type='pci'><driver name='xen'/><source><address bus='6' slot='2' function='0'/></source></hostdev>", &["hostdev-pci /sys/bus/pci/devices/0000:06:02.0"]),
    ("<hostdev mode='subsystem' type='scsi' sgio='filtered'><source><adapter name='scsi_host0'/><address bus='0' target='4' unit='8'/></source></hostdev>", &["hostdev-scsi /sys/bus/scsi/devices/0:0:4:8"]),
    ("<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host12'/><address type='scsi' bus='1' target='0' unit='0'/></source><readonly/></hostdev>", &["hostdev-scsi /sys/bus/scsi/devices/12:1:0:0 r"]),
    ("<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/><address bus='0' target='4' unit='8'/></source><shareable/></hostdev>", &["hostdev-scsi /sys/bus/scsi/devices/0:0:4:8 s"]),
    ("<hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='iqn.2014-08.com.example:iscsi-nopool/1'><host name='h' port='3260'/></source></hostdev>", &[]),
    ("<hostdev mode='subsystem' type='scsi_host'><source protocol='vhost' wwpn='naa.50014057667280d8'/></hostdev>", &["hostdev-scsi /dev/vhost-scsi s"]),
    ("<hostdev mode='subsystem' type='mdev' model='vfio-pci' display='on'><source><address uuid='C2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>", &["hostdev-mdev /sys/bus/mdev/devices/c2177883-f1bb-47f0-914d-32a22e3a8804"]),
    ("<hostdev mode='capabilities' type='storage'><source><block>/dev/sdf1</block></source></hostdev>", &["disk /dev/sdf1"]),
    ("<hostdev mode='capabilities' type='misc'><source><char>/dev/input/event3</char></source></hostdev>", &["chardev-device /dev/input/event3"]),
    ("<hostdev mode='capabilities' type='net'><source><interface>eth0</interface></source></hostdev>", &[]),
    ("<interface type='hostdev' managed='yes'><driver name='vfio'/><source><address type='pci' domain='0' bus='0' slot='7' function='0'/></source><mac address='52:54:00:6d:90:02'/></interface>", &["hostdev-pci /sys/bus/pci/devices/0000:00:07.0 vfio"]),
    ("<interface type='vhostuser'><source type='unix' path='/run/vhost1.sock' mode='server'/><model type='virtio'/></interface>", &["vhost-user-socket /run/vhost1.sock ?"]),
    ("<interface type='network'><source network='default'/></interface>", &[]),
    ("<interface type='bridge'><source bridge='br0'/><target dev='vnet0'/></interface>", &[]),
    // Character devices
    ("<serial type='file'><source path='/l/s.log' append='on'/><target port='0'/></serial>", &["chardev-file /l/s.log"]),
    ("<serial type='file'><source path='/l/s.log'><seclabel model='dac' relabel='no'/></source></serial>", &["chardev-file /l/s.log dac=no"]),
    ("<serial type='dev'><source path='/dev/ttyS0'/></serial>", &["chardev-device /dev/ttyS0"]),
    ("<serial type='pipe'><source path='/p/pipe'/></serial>", &["chardev-pipe /p/pipe"]),
    ("<serial type='unix'><source mode='bind' path='/s/bind'/></serial>", &["chardev-unix /s/bind ?"]),
    ("<serial type='unix'><source mode='connect' path='/s/conn'/></serial>", &["chardev-unix /s/conn"]),
    ("<serial type='unix'><source path='/s/bind'><reconnect enabled='no'/></source></serial>", &["chardev-unix /s/bind ?"]),
    ("<serial type='pty'><source path='/dev/pts/3'/><log file='/l/pty.log' append='off'/></serial>", &["chardev-file /l/pty.log n?"]),
    ("<serial type='tcp'><source mode='connect' host='0.0.0.0' service='2445'/><protocol type='telnet'/></serial>", &[]),
    ("<serial type='udp'><source mode='bind' host='h' service='1'/></serial><serial type='stdio'/><serial type='vc'/><serial type='null'/><serial type='nmdm'><source master='/dev/nmdm0A' slave='/dev/nmdm0B'/></serial>", &[]),
    ("<serial type='file'><source path='/l/s.log'/></serial><console type='file'><source path='/l/s.log'/><target type='serial'/></console>", &["chardev-file /l/s.log"]),
    ("<parallel type='dev'><source path='/dev/parport0'/></parallel>", &["chardev-device /dev/parport0"]),
    ("<parallel type='file'><source path='/l/p'/></parallel>", &["chardev-file /l/p"]),
    ("<console type='unix'><source mode='connect' path='/s/c'/><target type='virtio'/></console>", &["chardev-unix /s/c"]),
    ("<console type='pty' tty='/dev/pts/1'><source path='/dev/pts/1'/></console>", &[]),
    ("<channel type='unix'><source mode='bind' path='/c/agent'/><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>", &["chardev-unix /c/agent ?"]),
    ("<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>", &[]),
    ("<channel type='spicevmc'/><channel type='spiceport'><source channel='x'/></channel><channel type='qemu-vdagent'><source><clipboard copypaste='yes'/></source></channel><channel type='dbus'><source channel='c'/></channel>", &[]),
    ("<channel type='pipe'><source path='/c/pipe'/></channel>", &["chardev-pipe /c/pipe"]),
    ("<redirdev bus='usb' type='unix'><source mode='connect' path='/s/usb'/></redirdev>", &["chardev-unix /s/usb"]),
    ("<redirdev bus='usb' type='dev'><source path='/dev/r'/></redirdev><redirdev bus='usb' type='spicevmc'/>", &["chardev-device /dev/r"]),
    ("<smartcard mode='host'/>", &[]),
    ("<smartcard mode='host-certificates'><certificate>c1</certificate><certificate>c2</certificate><certificate>c3</certificate><database>/etc/pki/cards/</database></smartcard>", &["smartcard /etc/pki/cards/ r"]),
    ("<smartcard mode='host-certificates'><certificate>c1</certificate></smartcard>", &["smartcard /etc/pki/nssdb r?"]),
    ("<smartcard mode='passthrough' type='unix'><source mode='connect' path='/s/card'/></smartcard>", &["chardev-unix /s/card"]),
    ("<smartcard mode='passthrough' type='spicevmc'/>", &[]),
    ("<rng model='virtio'><rate period='2000' bytes='1234'/><backend model='random'>/dev/urandom</backend></rng>", &["chardev-device /dev/urandom rn"]),
    ("<rng model='virtio'><backend model='egd' type='unix'><source mode='connect' path='/run/egd'/></backend></rng>", &["chardev-unix /run/egd"]),
    ("<rng model='virtio'><backend model='egd' type='udp'><source mode='bind' service='1234'/></backend></rng><rng model='virtio'><backend model='builtin'/></rng>", &[]),
    // TPM, input, memory
    ("<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm1'/></backend></tpm>", &["tpm-device /dev/tpm1"]),
    ("<tpm model='tpm-tis'><backend type='passthrough'/></tpm>", &["tpm-device /dev/tpm0"]),
    ("<tpm model='tpm-crb'><backend type='emulator' version='2.0' persistent_state='yes'><active_pcr_banks><sha256/></active_pcr_banks></backend></tpm>", &["tpm-state /var/lib/libvirt/swtpm/0b15ad3c-11f4-4b0c-a8e2-6b0d5f3e0001/tpm2 ?", "tpm-state /var/log/swtpm/libvirt/qemu/a-swtpm.log ?"]),
    ("<tpm><backend type='emulator' version='1.2'/></tpm>", &["tpm-state /var/lib/libvirt/swtpm/0b15ad3c-11f4-4b0c-a8e2-6b0d5f3e0001/tpm1.2 ?", "tpm-state /var/log/swtpm/libvirt/qemu/a-swtpm.log ?"]),
    ("<tpm><backend type='emulator'><source type='dir' path='/t/state'/></backend></tpm>", &["tpm-state /t/state ?", "tpm-state /var/log/swtpm/libvirt/qemu/a-swtpm.log ?"]),
    ("<tpm><backend type='external'><source type='unix' mode='connect' path='/run/swtpm.sock'/></backend></tpm>", &["chardev-unix /run/swtpm.sock ?"]),
    ("<input type='passthrough' bus='virtio'><source evdev='/dev/input/event1'/></input>", &["input /dev/input/event1"]),
    ("<input type='evdev'><source dev='/dev/input/event2' grab='all' grabToggle='ctrl-ctrl' repeat='on'/></input>", &["input /dev/input/event2"]),
    ("<input type='mouse' bus='ps2'/><input type='tablet' bus='usb'/>", &[]),
    ("<memory model='nvdimm' access='shared'><uuid>9066901e-c90a-46ad-8b55-c18868cf92ae</uuid><source><path>/m/nvdimm</path><alignsize unit='KiB'>2048</alignsize><pmem/></source><target><size unit='KiB'>524288</size><node>1</node><label><size unit='KiB'>128</size></label></target></memory>", &["nvdimm /m/nvdimm"]),
    ("<memory model='nvdimm'><source><path>/m/n</path></source><target><size>1</size><readonly/></target></memory>", &["nvdimm /m/n r"]),
    ("<memory model='virtio-pmem' access='shared'><source><path>/m/pmem</path></source><target><size>1</size></target></memory>", &["nvdimm /m/pmem"]),
    ("<memory model='sgx-epc'><source><nodemask>0-1</nodemask></source><target><size unit='KiB'>16384</size></target></memory><memory model='sgx-epc'><target><size>1</size></target></memory>", &["sgx /dev/sgx_vepc s?", "sgx /dev/sgx_provision s?"]),
    ("<memory model='dimm'><target><size>1</size></target></memory><memory model='virtio-mem'><source><pagesize>2048</pagesize></source></memory>", &[]),
    ("<shmem name='my0' role='peer'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>", &["shmem /dev/shm/my0 s?"]),
    ("<shmem name='my1'><model type='ivshmem-doorbell'/><server path='/run/shmem.sock'/><msi vectors='32'/></shmem>", &["chardev-unix /run/shmem.sock s?"]),
    ("<shmem name='my2'><model type='ivshmem-doorbell'/></shmem>", &["chardev-unix /var/lib/libvirt/shmem-my2-sock s?"]),
    ("<shmem name='my3'><model type='ivshmem'/><server/></shmem>", &["chardev-unix /var/lib/libvirt/shmem-my3-sock s?"]),
    ("<vsock model='virtio'><cid auto='no' address='3'/></vsock>", &["chardev-device /dev/vhost-vsock s?"]),
    // File systems, graphics
    ("<filesystem type='mount' accessmode='mapped'><driver type='path' wrpolicy='immediate'/><source dir='/export'/><target dir='x'/></filesystem>", &["filesystem /export"]),
    ("<filesystem type='mount'><source dir='/export'/><target dir='x'/><readonly/></filesystem>", &["filesystem /export r"]),
    ("<filesystem type='mount'><driver type='virtiofs' queue='1024'/><binary path='/usr/libexec/virtiofsd' xattr='on'/><source dir='/share'/><target dir='tag'/></filesystem>", &["filesystem /share"]),
    ("<filesystem type='mount'><driver type='virtiofs'/><source socket='/run/virtiofsd.sock'/><target dir='tag'/></filesystem>", &["vhost-user-socket /run/virtiofsd.sock ?"]),
    ("<filesystem type='file'><source file='/i/fs.img'/></filesystem><filesystem type='block'><source dev='/dev/fs'/></filesystem><filesystem type='ram'><source usage='1'/></filesystem><filesystem type='template'><source name='t'/></filesystem>", &["filesystem /i/fs.img", "filesystem /dev/fs"]),
    ("<graphics type='spice' autoport='no'><listen type='none'/><gl enable='yes' rendernode='/dev/dri/renderD128'/></graphics>", &["rendernode /dev/dri/renderD128 s?"]),
    ("<graphics type='egl-headless'><gl rendernode='/dev/dri/renderD128'/></graphics><video><model type='virtio'><acceleration accel3d='yes' rendernode='/dev/dri/renderD128'/></model></video>", &["rendernode /dev/dri/renderD128 s?"]),
    ("<graphics type='vnc' socket='/run/vnc.sock'><listen type='socket' socket='/run/vnc.sock'/></graphics>", &["chardev-unix /run/vnc.sock ?"]),
    ("<graphics type='spice'><listen type='socket' socket='/run/spice.sock'/></graphics>", &["chardev-unix /run/spice.sock ?"]),
    ("<graphics type='vnc' port='-1' autoport='yes'><listen type='address' address='127.0.0.1'/></graphics>", &[]),
    ("<video><driver name='vhostuser' vgaconf='io'/><model type='virtio'/></video>", &[]),
    ("<pstore backend='acpi-erst'><path>/n/erst</path><size unit='KiB'>8</size></pstore>", &["nvram /n/erst"]),
    ("<controller type='usb' index='0'/><watchdog model='itco' action='reset'/><memballoon model='virtio'/><panic model='pvpanic'/><iommu model='intel'/><sound model='ich9'/><audio id='1' type='none'/><hub type='usb'/><crypto model='virtio' type='qemu'><backend model='builtin'/></crypto>", &[]),
    ("<x:disk xmlns:x='urn:other' type='soup'><source file='/not/mine'/></x:disk>", &[]),
    ("<emulator>/usr/bin/qemu-system-x86_64</emulator>", &[]),
];

/// Below `<domain>`.
#[rustfmt::skip]
const OTHER: &[(&str, &[&str])] = &[
    ("<os><type>hvm</type><loader readonly='yes' secure='yes' type='pflash' format='raw'>/fw/code.fd</loader></os>", &["loader /fw/code.fd r"]),
    ("<os firmware='efi'><firmware><feature enabled='no' name='secure-boot'/></firmware><loader secure='yes'/><nvram/></os>", &[]),
    ("<os><nvram template='/fw/vars.fd' templateFormat='raw' format='qcow2'>/n/vars</nvram></os>", &["nvram /n/vars"]),
    ("<os><nvram type='file' format='raw'><source file='/n/vars'><seclabel model='selinux' relabel='no'/></source></nvram></os>", &["nvram /n/vars selinux=no"]),
    ("<os><nvram type='block'><source dev='/dev/vars'/></nvram></os>", &["nvram /dev/vars"]),
    ("<os><nvram type='network'><source protocol='iscsi' name='n'><host name='h'/></source></nvram></os>", &[]),
    ("<os><varstore template='/fw/v.json' path='/n/v.json'/></os>", &["nvram /n/v.json"]),
    ("<os><kernel>/b/k</kernel><initrd>/b/i</initrd><cmdline>console=ttyS0 root=/dev/vda</cmdline><dtb>/b/d</dtb><shim>/b/shim.efi</shim></os>", &["kernel /b/k r", "initrd /b/i r", "dtb /b/d r", "kernel /b/shim.efi r"]),
    ("<os><acpi><table type='slic'>/b/slic.dat</table><table type='rawset'>/b/raw.dat</table></acpi></os>", &["acpi-table /b/slic.dat r", "acpi-table /b/raw.dat r"]),
    ("<sysinfo type='fwcfg'><entry name='opt/com.example/name'>value</entry><entry name='opt/com.coreos/config' file='/b/provision.ign'/></sysinfo>", &["fw-cfg /b/provision.ign r"]),
    ("<sysinfo type='smbios'><bios><entry name='vendor'>LENOVO</entry></bios></sysinfo>", &[]),
    ("<launchSecurity type='sev' kernelHashes='yes'><cbitpos>47</cbitpos><policy>0x0003</policy></launchSecurity>", &["sev /dev/sev s?"]),
    ("<launchSecurity type='sev-snp'><policy>0x30000</policy></launchSecurity>", &["sev /dev/sev s?"]),
    ("<launchSecurity type='s390-pv'/>", &[]),
    ("<launchSecurity type='tdx'><quoteGenerationService path='/run/tdx-qgs/qgs.socket'/></launchSecurity>", &[]),
    ("<memoryBacking><hugepages/><source type='memfd'/></memoryBacking><qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg value='-x'/></qemu:commandline>", &[]),
];

#[test]
fn every_snippet_gives_its_resources() {
    let inside = DEVICES.iter().map(|(xml, wanted)| (format!("<devices>{xml}</devices>"), wanted));
    let all: Vec<_> = inside.chain(OTHER.iter().map(|(xml, wanted)| ((*xml).to_owned(), wanted))).collect();
    assert!(all.len() >= 140, "{} snippets", all.len());
    for (xml, wanted) in &all {
        let definition = read(xml).unwrap_or_else(|e| panic!("{xml}: {e}"));
        let shown: Vec<String> = definition.resources.iter().map(shown).collect();
        assert_eq!(shown, **wanted, "{xml}");
        let again = from_xml(&to_xml(&definition).unwrap()).unwrap();
        assert_eq!(again.resources, definition.resources, "{xml}");
    }
}

#[test]
fn the_emulator_is_read_and_kept() {
    let d = read("<devices><emulator> /usr/bin/qemu-kvm </emulator></devices>").unwrap();
    assert_eq!(d.emulator.as_deref(), Some(Path::new("/usr/bin/qemu-kvm")));
    assert_eq!(from_xml(&to_xml(&d).unwrap()).unwrap().emulator, d.emulator);
    assert_eq!(read("<devices><emulator/></devices>").unwrap().emulator, None);
}
