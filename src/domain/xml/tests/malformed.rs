//! Snippets that make no sense, each with the place that the error names. `|` stands just before the
//! element, or for broken text the place, that is at fault.

use super::*;

const HOSTDEV: &str = "<devices><hostdev mode='subsystem'";

/// Below `<domain>`.
fn snippets() -> Vec<String> {
    let devices = [
        "|<disk type='fiel'><source file='/x'/></disk>",
        "|<disk type='file' device='tape'><source file='/x'/></disk>",
        "<disk type='file'>|<source file='relative'/></disk>",
        "<disk type='file'>|<source file='/a&#10;b'/></disk>",
        "<disk type='file'>|<source file='/x' startupPolicy='never'/></disk>",
        "<disk type='file'><source file='/x'>|<seclabel relabel='yes'/></source></disk>",
        "<disk type='file'><source file='/x'>|<seclabel relabel='maybe'/></source></disk>",
        "<disk type='file'><source file='/x'>\n|<seclabel model='dac' relabel='no'><label>l</label></seclabel></source></disk>",
        "<disk type='file'><source file='/x'><seclabel model='a' relabel='no'/>\n\n |<seclabel model='a' relabel='no'/></source></disk>",
        "<disk type='file'><source file='/x'>|<seclabel><label>a&#9;b</label></seclabel></source></disk>",
        "<disk type='file'><source file='/x'/>\n|<backingStore type='fiel'><source file='/y'/></backingStore></disk>",
        "<disk type='file'><source file='/x'/><backingStore type='file'>|<source file='y'/></backingStore></disk>",
        "<disk type='file'><source file='/x'/><backingStore type='file'><source file='/y'>|<seclabel/></source></backingStore></disk>",
        "<disk type='file'><source file='/x'><dataStore type='file'>|<source file='data'/></dataStore></source></disk>",
        "<disk type='file'><source file='/x'/><mirror type='file'>|<source file='m'/></mirror></disk>",
        "<disk type='file'><source file='/x'/>|<mirror file='m'/></disk>",
        "<disk type='nvme'>|<source type='pci' namespace='1'/></disk>",
        "<disk type='nvme'><source>|<address slot='1'/></source></disk>",
        "<disk type='nvme'><source>|<address bus='0x100' slot='1'/></source></disk>",
        "<disk type='nvme'><source>|<address bus='1' slot='0x20'/></source></disk>",
        "<disk type='nvme'><source>|<address bus='1' slot='1' function='8'/></source></disk>",
        "<disk type='vhostuser'>|<source type='unix' path='sock'/></disk>",
        "<disk type='network'><source protocol='nbd'>|<host transport='unix' socket='sock'/></source></disk>",
        "<interface type='hostdev'>|<source><address type='ccw'/></source></interface>",
        "<interface type='vhostuser'>|<source type='unix' path='sock'/></interface>",
        "|<serial type='soup'><source path='/x'/></serial>",
        "<serial type='file'>|<source path='x'/></serial>",
        "<serial type='unix'>|<source mode='both' path='/x'/></serial>",
        "<console type='pipe'>|<source path='x'/></console>",
        "|<channel type='pty'><log file='x'/></channel>",
        "|<smartcard/>",
        "|<smartcard mode='none'/>",
        "<smartcard mode='host-certificates'>|<database>x</database></smartcard>",
        "|<smartcard mode='passthrough' type='x'/>",
        "<rng>|<backend model='dice'/></rng>",
        "<rng>|<backend model='random'>x</backend></rng>",
        "<rng>|<backend model='egd' type='x'/></rng>",
        "|<tpm model='tpm-tis'/>",
        "<tpm>|<backend/></tpm>",
        "<tpm>|<backend type='soft'/></tpm>",
        "<tpm>|<backend type='emulator' version='3'/></tpm>",
        "<tpm>|<backend type='passthrough'><device path='tpm0'/></backend></tpm>",
        "<tpm><backend type='emulator'>|<source type='dir' path='x'/></backend></tpm>",
        "<input type='evdev'>|<source dev='event0'/></input>",
        "|<memory model='ddr'/>",
        "|<memory model='nvdimm'/>",
        "<memory model='nvdimm'>|<source/></memory>",
        "<memory model='virtio-pmem'><source>|<path>x</path></source></memory>",
        "|<shmem/>",
        "|<shmem name='a/b'/>",
        "|<shmem name='..'/>",
        "<shmem name='a'>|<model type='x'/></shmem>",
        "<shmem name='a'>|<server path='x'/></shmem>",
        "<filesystem type='mount'>|<source dir='x'/></filesystem>",
        "<graphics type='spice'>|<gl rendernode='x'/></graphics>",
        "<graphics type='vnc'>|<listen type='socket' socket='x'/></graphics>",
        "<pstore>|<path>x</path></pstore>",
        "|<emulator>qemu</emulator>",
    ];
    let hostdevs = [" type='usb'/>", " type='soup'><source/></hostdev>", "><source/></hostdev>"];
    let sources = [
        "type='usb'>|<source/>",
        "type='usb'>|<source startupPolicy='x'><address bus='1' device='1'/></source>",
        "type='usb'><source>|<vendor/><product id='1'/></source>",
        "type='usb'>|<source><vendor id='1'/></source>",
        "type='usb'><source>|<vendor id='0x10000'/><product id='1'/></source>",
        "type='usb'><source>|<address bus='one' device='1'/></source>",
        "type='usb'><source>|<address bus='-1' device='1'/></source>",
        "type='usb'><source>|<address bus='1'/></source>",
        "type='usb'><source>|<address bus='1' device='1000'/></source>",
        "type='usb'><source>|<address bus='1' port='1../2'/></source>",
        "type='pci'>|<source/>",
        "type='pci'>|<driver name='magic'/><source><address bus='1' slot='1'/></source>",
        "type='pci'><source>|<address bus='+1' slot='1'/></source>",
        "type='pci'><source>|<address bus='0x' slot='1'/></source>",
        "type='pci'><source>|<address bus='08' slot='1'/></source>",
        "type='pci'><source>|<address domain='0x100000000' bus='1' slot='1'/></source>",
        "type='scsi'>|<source/>",
        "type='scsi'>|<source protocol='x'/>",
        "type='scsi'><source>|<adapter name='host0'/><address bus='0' target='0' unit='0'/></source>",
        "type='scsi'>|<source><adapter name='scsi_host0'/></source>",
        "type='scsi'><source><adapter name='scsi_host0'/>|<address bus='0' target='0'/></source>",
        "type='scsi_host'>|<source/>",
        "type='mdev'>|<source/>",
        "type='mdev'><source>|<address/></source>",
        "type='mdev'><source>|<address uuid='../../x'/></source>",
    ];
    let other = [
        "<os>|<kernel>relative</kernel></os>",
        "<os>\n  |<initrd>\nrelative\n</initrd></os>",
        "<os>|<loader>a/b</loader></os>",
        "<os>|<nvram>vars</nvram></os>",
        "<os><nvram type='file'>|<source file='vars'/></nvram></os>",
        "<os>|<nvram type='x'><source file='/vars'/></nvram></os>",
        "<os>|<varstore path='x'/></os>",
        "<os><acpi>|<table type='slic'>x</table></acpi></os>",
        "<sysinfo type='fwcfg'>|<entry name='x' file='y'/></sysinfo>",
        "<sysinfo type='fwcfg'>|<entry name='x' file='/y'>z</entry></sysinfo>",
        "|<launchSecurity type='x'/>",
        "|<seclabel type='strange'/>",
        "|<seclabel relabel='maybe'/>",
        "|<seclabel type='dynamic' relabel='no'/>",
        "|<seclabel type='static'/>",
        "|<seclabel type='static'><baselabel>b</baselabel><label>l</label></seclabel>",
        "|<seclabel type='none' relabel='yes'/>",
        "<seclabel model='selinux'/>\n|<seclabel model='selinux'/>",
        "<metadata>|<s:resource xmlns:s='https://libsvirt.org/xmlns/domain/1' kind='soup' path='/x'/></metadata>",
        "<metadata>|<s:resource xmlns:s='https://libsvirt.org/xmlns/domain/1' kind='disk'/></metadata>",
        "<metadata>|<s:resource xmlns:s='https://libsvirt.org/xmlns/domain/1' kind='disk' path='x'/></metadata>",
        "<metadata>|<s:resource xmlns:s='https://libsvirt.org/xmlns/domain/1' kind='disk' path='/x' shared='1'/></metadata>",
        "<a>|</b></a>",
        "<a b='1' |b='2'/>",
        "<a>|&unknown;</a>",
    ];
    let devices = devices.iter().map(|xml| format!("<devices>{xml}</devices>"));
    let hostdevs =
        hostdevs.iter().map(|rest| format!("{}{rest}</devices>", HOSTDEV.replace("<hostdev", "|<hostdev")));
    let sources = sources.iter().map(|rest| format!("{HOSTDEV} {rest}</hostdev></devices>"));
    devices.chain(hostdevs).chain(sources).chain(other.iter().map(|xml| (*xml).to_owned())).collect()
}

#[test]
fn every_error_names_its_line_and_column() {
    let all = snippets();
    assert!(all.len() >= 100, "{} snippets", all.len());
    for snippet in all {
        let xml = domain(&format!("\n{snippet}"));
        let before = &xml[..xml.find('|').unwrap()];
        let line = before.matches('\n').count() + 1;
        let column = before[before.rfind('\n').unwrap() + 1..].chars().count() + 1;
        let error = from_xml(&xml.replacen('|', "", 1)).map(drop).expect_err(&xml);
        assert_eq!(error.errno(), libc::EINVAL, "{xml}");
        let place = format!("line {line} column {column}");
        assert!(
            error.to_string().contains(&format!("{place}:"))
                || error.to_string().contains(&format!("{place},")),
            "{xml}: {error}, not {place}"
        );
    }
}

#[test]
fn what_a_domain_must_have_is_asked_for_by_place() {
    let uuid = "<uuid>0b15ad3c-11f4-4b0c-a8e2-6b0d5f3e0001</uuid>";
    for (xml, place) in [
        ("<network/>".to_owned(), "line 1 column 1"),
        ("<!-- x -->\n <domain/>".to_owned(), "line 2 column 2"),
        (format!("<domain type='kvm'>{uuid}</domain>"), "line 1 column 1"),
        (format!("\n<domain><name>a</name>{uuid}</domain>"), "line 2 column 1"),
        (format!("<domain type='k v m'><name>a</name>{uuid}</domain>"), "line 1 column 1"),
        (format!("<domain type='kvm'><name>a&#7;b</name>{uuid}</domain>"), "line 1 column "),
        ("<domain type='kvm'><name>a</name>\n  <uuid>x</uuid></domain>".to_owned(), "line 2 column 3"),
        ("<domain type='kvm'>\n <name></nam></domain>".to_owned(), "line 2 column "),
        ("<domain type='kvm'>\n".to_owned(), "line 1 column 1"),
        (String::new(), "line 1 column 1"),
    ] {
        let error = from_xml(&xml).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL, "{xml}");
        assert!(error.to_string().contains(place), "{xml}: {error}");
    }
}
