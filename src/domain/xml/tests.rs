use super::*;
use crate::domain::DeviceSeclabel;

mod known;
mod malformed;

const HEAD: &str = "<name>a</name><uuid>0b15ad3c-11f4-4b0c-a8e2-6b0d5f3e0001</uuid>";

fn domain(body: &str) -> String {
    format!("<domain type='kvm'>{HEAD}{body}</domain>")
}

fn read(body: &str) -> Result<Definition> {
    from_xml(&domain(body))
}

fn listed(definition: &Definition) -> Vec<String> {
    definition.resources.iter().map(known::shown).collect()
}

const FULL: &str = r#"<?xml version='1.0'?>
<!-- kept -->
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>a&amp;b</name>
  <uuid>0b15ad3c11f44b0ca8e26b0d5f3e0001</uuid>
  <metadata><app:x xmlns:app='urn:app'>1</app:x></metadata>
  <memory unit='KiB'>65536</memory>
  <os><type arch='x86_64'>hvm</type><loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>
    <nvram template='/t'>/n/vars.fd</nvram><kernel>/boot/k</kernel><initrd>/boot/i</initrd><dtb>/boot/d</dtb></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
      <source file='/i/top.qcow2'/>
      <backingStore type='file'><format type='qcow2'/><source file='/i/mid.qcow2'><seclabel model='dac' relabel='no'/></source>
        <backingStore type='block'><source dev='/dev/base'/><backingStore/></backingStore></backingStore>
      <target dev='vda'/></disk>
    <disk type='file' device='cdrom'><source file='/i/ü &quot;x&quot;.iso'/></disk>
    <disk type='file' device='cdrom'><target dev='hdc'/></disk>
    <disk type='block'><source dev='/dev/sdz'/><shareable/></disk>
    <disk type='file'><source file='/i/ro'><seclabel model='selinux' relabel='yes'><label>u:r:t:s0:c1,c2</label></seclabel></source><readonly/></disk>
    <disk type='network'><source protocol='rbd' name='p/i'/></disk>
    <disk type='dir'><source dir='/d'/></disk>
    <serial type='file'><source path='/l/serial.log'/></serial>
    <console type='file'><source path='/l/serial.log'/></console>
    <serial type='pty'><source path='/dev/pts/3'/></serial>
    <parallel type='dev'><source path='/dev/parport0'/></parallel>
    <channel type='unix'><source mode='bind' path='/c/agent'/></channel>
    <channel type='pipe'><source path='/c/pipe'/></channel>
    <channel type='spicevmc'/>
  </devices>
  <seclabel type='dynamic' model='selinux' relabel='yes'><label>u:r:t:s0:c1,c2</label><imagelabel>u:object_r:i:s0:c1,c2</imagelabel><baselabel>a:b:c:s0</baselabel></seclabel>
  <seclabel type='static' model='dac' relabel='no'><label>+107:+107</label></seclabel>
</domain>
"#;

#[test]
fn the_emulator_is_known() {
    let emulator = from_xml(FULL).unwrap().emulator;
    assert_eq!(emulator.as_deref(), Some(Path::new("/usr/bin/qemu-system-x86_64")));
    assert_eq!(read("<devices><emulator/></devices>").unwrap().emulator, None);
    assert_eq!(read("<devices><emulator>qemu</emulator></devices>").unwrap_err().errno(), libc::EINVAL);
}

#[test]
fn everything_that_libvirt_writes() {
    let d = from_xml(FULL).unwrap();
    assert_eq!((d.name.as_str(), d.virt_type.as_str()), ("a&b", "qemu"));
    assert_eq!(
        listed(&d),
        [
            "loader /usr/share/OVMF/OVMF_CODE.fd r",
            "kernel /boot/k r",
            "initrd /boot/i r",
            "dtb /boot/d r",
            "nvram /n/vars.fd",
            "disk /i/top.qcow2",
            "disk /i/mid.qcow2 rb dac=no",
            "disk /dev/base rb",
            "disk /i/ü \"x\".iso r",
            "disk /dev/sdz s",
            "disk /i/ro r selinux=u:r:t:s0:c1,c2",
            "chardev-file /l/serial.log",
            "chardev-device /dev/parport0",
            "chardev-unix /c/agent ?",
            "chardev-pipe /c/pipe",
        ]
    );
    let selinux = d.seclabel("selinux").unwrap();
    assert_eq!(selinux.label.as_deref(), Some("u:r:t:s0:c1,c2"));
    assert_eq!(selinux.image_label.as_deref(), Some("u:object_r:i:s0:c1,c2"));
    assert_eq!(selinux.base_label.as_deref(), Some("a:b:c:s0"));
    assert!(!d.seclabel("dac").unwrap().relabel);
}

#[test]
fn a_layer_has_its_own_seclabel_else_its_disks() {
    let d = read("<devices><disk type='file'><source file='/t'><seclabel model='selinux' relabel='no'/></source>
        <backingStore type='file'><source file='/m'/><backingStore type='file'><source file='/b'><seclabel><label>l</label></seclabel></source></backingStore></backingStore></disk></devices>").unwrap();
    let own = |at: usize| d.resources[at].seclabels.to_vec();
    assert_eq!(own(1), [DeviceSeclabel { model: Some("selinux".into()), label: None }]);
    assert_eq!(own(2), [DeviceSeclabel { model: None, label: Some("l".into()) }]);
}

#[test]
fn what_is_written_reads_back_the_same_and_keeps_the_rest() {
    let mut d = from_xml(FULL).unwrap();
    let flags = Flags { shared: true, no_relabel: true, ..Flags::default() };
    d.resources.push(Resource::new(Kind::Input, Path::new("/dev/input/<'&\">"), flags).unwrap());
    for _ in 0..2 {
        let xml = to_xml(&d).unwrap();
        assert!(xml.contains("<!-- kept -->") && xml.contains("<app:x xmlns:app='urn:app'>1</app:x>"));
        assert_eq!(xml.matches("<seclabel type=").count(), 2, "{xml}");
        let again = from_xml(&xml).unwrap();
        assert_eq!(Definition { source: None, ..again.clone() }, Definition { source: None, ..d.clone() });
        assert_eq!(to_xml(&again).unwrap(), xml, "nothing grows");
        d = again;
    }
    d.resources.pop();
    d.seclabels.clear();
    let bare = to_xml(&d).unwrap();
    assert!(!bare.contains("svirt:resource") && !bare.contains("<seclabel type"), "{bare}");
}

#[test]
fn a_domain_made_by_calls_is_written_too() {
    let mut d = Definition::new("<a>", "0b15ad3c11f44b0ca8e26b0d5f3e0001".parse().unwrap(), "kvm").unwrap();
    d.resources.push(Resource::new(Kind::Disk, Path::new("/x"), Flags::default()).unwrap());
    let mut seclabel = Seclabel::new(Some("selinux"), SeclabelType::Dynamic, None, None).unwrap();
    seclabel.label = Some("l".into());
    d.add_seclabel(seclabel).unwrap();
    let again = from_xml(&to_xml(&d).unwrap()).unwrap();
    assert_eq!(Definition { source: None, ..again }, d);
}

#[test]
fn an_empty_metadata_element_is_filled() {
    let mut d = read("<metadata/>").unwrap();
    d.resources.push(Resource::new(Kind::Disk, Path::new("/x"), Flags::default()).unwrap());
    assert_eq!(from_xml(&to_xml(&d).unwrap()).unwrap().resources, d.resources);
}

#[test]
fn hostile_texts_end_in_an_error() {
    let bomb = "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]><domain type='kvm'>&b;</domain>";
    assert_eq!(from_xml(bomb).unwrap_err().errno(), libc::EINVAL);
    for deep in [
        "<a>".repeat(1_000_000),
        format!("<domain type='kvm'>{}", "<a b='>'>".repeat(500_000)),
        "<a/".repeat(100_000),
    ] {
        assert_eq!(from_xml(&deep).unwrap_err().errno(), libc::EINVAL);
    }
    assert_eq!(from_xml(&" ".repeat(17 << 20)).unwrap_err().errno(), libc::EINVAL);
    let wide = |count| format!("<a {}/>", (0..count).map(|n| format!("a{n}='>' ")).collect::<String>());
    assert_eq!(read(&wide(500_000)).unwrap_err().errno(), libc::EINVAL);
    read(&wide(250).repeat(300)).unwrap();
    let chain = format!(
        "<devices><disk type='file'><source file='/x'/>{}{}</disk></devices>",
        "<backingStore type='file'><source file='/y'/>".repeat(220),
        "</backingStore>".repeat(220)
    );
    assert_eq!(read(&chain).unwrap_err().errno(), libc::EINVAL);
}

#[test]
fn a_device_is_read_alone() {
    let disk = "<disk type='file'><source file='/a'/><backingStore type='file'><format type='qcow2'/><source file='/b'/></backingStore><readonly/></disk>";
    let uuid = "0b15ad3c-11f4-4b0c-a8e2-00000000000a".parse().unwrap();
    let domain = Definition::new("alpha", uuid, "kvm").unwrap();
    let read = |xml: &str| {
        let device = device_from_xml(xml, &domain).unwrap();
        device.iter().map(|r| (r.path.display().to_string(), r.flags.readonly)).collect::<Vec<_>>()
    };
    assert_eq!(read(disk), [("/a".to_owned(), true), ("/b".to_owned(), true)]);
    assert_eq!(read("<controller type='usb'/>"), []);
    assert_eq!(device_from_xml("<disk", &domain).unwrap_err().errno(), libc::EINVAL);
}
