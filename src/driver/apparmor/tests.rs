use super::{profile, rules};
use crate::domain::{Definition, Flags, Kind, Resource, Uuid, xml};
use crate::driver::Moment;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

mod names;

const RO: u32 = 1;
const SH: u32 = 2;
const BACK: u32 = 4;
const NO: u32 = 8;

/// What a case of the table comes to; `T` in a text is the test's folder.
enum Outcome {
    /// These rules and no others, without the ones that every guest has.
    Rules(&'static [&'static str]),
    /// This errno, on this path.
    Fails(i32, &'static str),
}
use Outcome::{Fails, Rules};

const NAMES: &[(&str, &str)] = &[
    ("a b", "a\\040b"),
    ("a\"b", "a\\042b"),
    ("a'b", "a\\047b"),
    ("a,b", "a\\054b"),
    ("a*b", "a\\052b"),
    ("a**", "a\\052\\052"),
    ("a?b", "a[\\077]b"),
    ("[ab]", "\\133ab\\135"),
    ("[^a]", "\\133\\136a\\135"),
    ("{a,b}", "\\173a\\054b\\175"),
    ("@{HOME}", "\\100\\173HOME\\175"),
    ("a\\b", "a\\134b"),
    ("a\\", "a\\134"),
    ("a#b", "a\\043b"),
    ("a\nb", "a\\012b"),
    ("a\tb", "a\\011b"),
    ("\u{7f}", "\\177"),
    ("$(a)", "\\044\\050a\\051"),
    ("a|b&c;d", "a\\174b\\046c\\073d"),
    ("a<b>c", "a\\074b\\076c"),
    ("`a`", "\\140a\\140"),
    ("a^b", "a\\136b"),
    ("a!b%n", "a\\041b\\045n"),
    ("\u{fc}", "\\303\\274"),
    ("\u{65e5}\u{672c}", "\\346\\227\\245\\346\\234\\254"),
    ("\" rw, ** rwk", "\\042\\040rw\\054\\040\\052\\052\\040rwk"),
    ("a=b:c~d+e_f-g.h", "a=b:c~d+e_f-g.h"),
    ("\\052", "\\134052"),
    (" ", "\\040"),
    ("..a", "..a"),
];

#[rustfmt::skip]
const CASES: &[(Kind, u32, &str, Outcome)] = &[
    // What each kind gets.
    (Kind::Disk, 0, "T/disk", Rules(&["\"T/disk\" rwk,"])),
    (Kind::Disk, SH, "T/disk", Rules(&["\"T/disk\" rwk,"])),
    (Kind::Disk, RO, "T/disk", Rules(&["\"T/disk\" rk,"])),
    (Kind::Disk, BACK, "T/disk", Rules(&["\"T/disk\" rk,"])),
    (Kind::Disk, RO | BACK, "T/disk", Rules(&["\"T/disk\" rk,"])),
    (Kind::Disk, NO, "T/disk", Rules(&["\"T/disk\" rwk,"])),
    (Kind::Disk, 0, "T/dir", Rules(&[])),
    (Kind::Nvram, 0, "T/disk", Rules(&["\"T/disk\" rwk,"])),
    (Kind::Kernel, 0, "T/disk", Rules(&["\"T/disk\" r,"])),
    (Kind::Initrd, 0, "T/disk", Rules(&["\"T/disk\" r,"])),
    (Kind::Dtb, 0, "T/disk", Rules(&["\"T/disk\" r,"])),
    (Kind::AcpiTable, 0, "T/disk", Rules(&["\"T/disk\" r,"])),
    (Kind::FwCfg, 0, "T/disk", Rules(&["\"T/disk\" r,"])),
    (Kind::Loader, 0, "T/disk", Rules(&["\"T/disk\" rk,"])),
    (Kind::HostdevUsb, 0, "/dev/null", Rules(&[
        "\"/dev/bus/usb/\" r,", "\"/run/udev/data/{+usb:,c189:}*\" r,", "\"/sys/bus/usb/devices/\" r,",
        "\"/sys/devices/**/usb[0-9]*/**\" r,", "\"/dev/null\" rw,"])),
    (Kind::HostdevPci, 0, "/dev/null", Rules(&["\"/dev/null\" rw,"])),
    (Kind::HostdevScsi, 0, "/dev/null", Rules(&["\"/dev/null\" rw,"])),
    (Kind::HostdevScsi, RO, "/dev/null", Rules(&["\"/dev/null\" r,"])),
    (Kind::HostdevMdev, 0, "/dev/null", Rules(&["\"/dev/null\" rw,"])),
    (Kind::ChardevFile, 0, "T/disk", Rules(&["\"T/disk\" rw,"])),
    (Kind::ChardevFile, 0, "T/new.log", Rules(&["\"T/new.log\" rw,"])),
    (Kind::ChardevDevice, 0, "/dev/null", Rules(&["\"/dev/null\" rw,"])),
    (Kind::ChardevPipe, 0, "T/pipe", Rules(&["\"T/pipe.in\" rw,", "\"T/pipe.out\" rw,"])),
    (Kind::ChardevPipe, 0, "T/disk", Rules(&["\"T/disk\" rw,"])),
    (Kind::ChardevPipe, 0, "T/missing", Fails(libc::ENOENT, "T/missing")),
    (Kind::ChardevUnix, 0, "T/socket", Rules(&["\"T/socket\" rw,"])),
    (Kind::ChardevUnix, 0, "T/new.sock", Rules(&["\"T/new.sock\" rw,"])),
    (Kind::ChardevUnix, 0, "T/dirlink/new.sock", Rules(&["\"T/dir/new.sock\" rw,"])),
    (Kind::ChardevUnix, 0, "T/missing/new.sock", Fails(libc::ENOENT, "T/missing/new.sock")),
    (Kind::ChardevUnix, 0, "T/dangling", Fails(libc::ENOENT, "T/dangling")),
    (Kind::VhostUserSocket, 0, "T/new.sock", Rules(&["\"T/new.sock\" rw,"])),
    (Kind::Shmem, 0, "T/new.shm", Rules(&["\"T/new.shm\" rw,"])),
    (Kind::TpmDevice, 0, "/dev/null", Rules(&["\"/dev/null\" rw,"])),
    (Kind::TpmState, 0, "T/dir", Rules(&["\"T/dir/\" r,", "\"T/dir/**\" rwk,"])),
    (Kind::TpmState, 0, "T/missing", Fails(libc::ENOENT, "T/missing")),
    (Kind::Filesystem, 0, "T/dir", Rules(&["\"T/dir/\" r,", "\"T/dir/**\" rwlk,"])),
    (Kind::Filesystem, RO, "T/dir", Rules(&["\"T/dir/\" r,", "\"T/dir/**\" r,"])),
    (Kind::Filesystem, 0, "T/dirlink", Rules(&["\"T/dir/\" r,", "\"T/dir/**\" rwlk,"])),
    (Kind::Filesystem, 0, "T/odd {dir},*", Rules(&[
        "\"T/odd\\040\\173dir\\175\\054\\052/\" r,", "\"T/odd\\040\\173dir\\175\\054\\052/**\" rwlk,"])),
    (Kind::Hugepages, 0, "T/dir", Rules(&["\"T/dir/\" r,", "\"T/dir/**\" rwk,"])),
    (Kind::Input, 0, "/dev/null", Rules(&["\"/dev/null\" rw,"])),
    (Kind::Nvdimm, 0, "T/disk", Rules(&["\"T/disk\" rw,"])),
    (Kind::Nvdimm, RO, "T/disk", Rules(&["\"T/disk\" r,"])),
    (Kind::Rendernode, 0, "/dev/null", Rules(&["\"/dev/null\" rw,"])),
    (Kind::Sev, 0, "/dev/null", Rules(&["\"/dev/null\" rw,"])),
    (Kind::Sgx, 0, "/dev/null", Rules(&["\"/dev/null\" rw,"])),
    (Kind::SavedState, 0, "T/disk", Rules(&["\"T/disk\" rw,"])),
    // Where a path leads.
    (Kind::Disk, 0, "T/link", Rules(&["\"T/disk\" rwk,"])),
    (Kind::Disk, 0, "T/linklink", Rules(&["\"T/disk\" rwk,"])),
    (Kind::Disk, 0, "T/dirlink/inner", Rules(&["\"T/dir/inner\" rwk,"])),
    (Kind::Disk, 0, "T/dir/../disk", Rules(&["\"T/disk\" rwk,"])),
    (Kind::Disk, 0, "T//.//disk", Rules(&["\"T/disk\" rwk,"])),
    (Kind::Disk, 0, "T/missing", Fails(libc::ENOENT, "T/missing")),
    (Kind::Disk, 0, "T/dangling", Fails(libc::ENOENT, "T/dangling")),
    (Kind::Disk, 0, "T/loop", Fails(libc::ELOOP, "T/loop")),
    (Kind::Disk, 0, "T/disk/below", Fails(libc::ENOTDIR, "T/disk/below")),
    (Kind::Kernel, 0, "T/missing", Fails(libc::ENOENT, "T/missing")),
    // What is the host's.
    (Kind::Disk, 0, "/etc/passwd", Fails(libc::EPERM, "/etc/passwd")),
    (Kind::Disk, RO, "/etc/passwd", Fails(libc::EPERM, "/etc/passwd")),
    (Kind::Disk, 0, "T/passwd", Fails(libc::EPERM, "/etc/passwd")),
    (Kind::Disk, 0, "T/../../../../etc/passwd", Fails(libc::EPERM, "/etc/passwd")),
    (Kind::ChardevUnix, 0, "/etc/new.sock", Fails(libc::EPERM, "/etc/new.sock")),
    (Kind::ChardevUnix, 0, "T/etc/new.sock", Fails(libc::EPERM, "/etc/new.sock")),
    (Kind::ChardevFile, 0, "/usr/bin/new.log", Fails(libc::EPERM, "/usr/bin/new.log")),
    (Kind::Kernel, 0, "/proc/version", Fails(libc::EPERM, "/proc/version")),
    (Kind::Disk, 0, "/proc/self/fd/../stat", Fails(libc::EPERM, "/proc/PID/stat")),
    (Kind::Filesystem, RO, "/", Fails(libc::EPERM, "/")),
    (Kind::Filesystem, 0, "/usr", Fails(libc::EPERM, "/usr")),
    (Kind::Filesystem, RO, "/usr/local", Fails(libc::EPERM, "/usr/local")),
    (Kind::Filesystem, 0, "/etc", Fails(libc::EPERM, "/etc")),
    (Kind::Filesystem, 0, "/usr/share", Fails(libc::EPERM, "/usr/share")),
    (Kind::Filesystem, RO, "/boot", Rules(&["\"/boot/\" r,", "\"/boot/**\" r,"])),
    (Kind::Filesystem, 0, "/boot", Fails(libc::EPERM, "/boot")),
];

fn uuid(number: u32) -> Uuid {
    let mut bytes = [0; 16];
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    Uuid(bytes)
}

fn domain(name: &str, resources: Vec<Resource>) -> Definition {
    let mut domain = Definition::new(name, uuid(1), "kvm").unwrap();
    domain.resources = resources;
    domain
}

/// A resource of any path, those with control characters too.
fn resource(kind: Kind, bits: u32, path: &Path) -> Resource {
    let flags = Flags::from_bits(bits).unwrap();
    Resource { path: path.to_owned(), ..Resource::new(kind, Path::new("/x"), flags).unwrap() }
}

/// The rules in a text, without those that a guest without resources has.
fn rules_of(text: &str) -> Vec<&str> {
    let every_guests = rules::text(&domain("guest", Vec::new()), |_| true).unwrap();
    let every_guests: BTreeSet<&str> = every_guests.lines().map(str::trim).collect();
    text.lines().map(str::trim).filter(|line| !every_guests.contains(line)).collect()
}

/// A folder with everything that the cases name; its own path has nothing to escape.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let guard = tempfile::Builder::new().prefix("svirt").tempdir().unwrap();
    let folder = guard.path().canonicalize().unwrap();
    let at = |name: &str| folder.join(name);
    for name in ["disk", "pipe.in", "pipe.out"] {
        fs::write(at(name), "").unwrap();
    }
    for name in ["dir", "odd {dir},*", "names"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("dir/inner"), "").unwrap();
    for (link, target) in [
        ("link", "disk"),
        ("linklink", "link"),
        ("dirlink", "dir"),
        ("dangling", "missing"),
        ("loop", "loop"),
        ("passwd", "/etc/passwd"),
        ("etc", "/etc"),
    ] {
        symlink(target, at(link)).unwrap();
    }
    drop(UnixListener::bind(at("socket")).unwrap());
    for (name, _) in NAMES {
        fs::write(at("names").join(name), "").unwrap();
    }
    (guard, folder)
}

/// Runs texts, each as a profile's rules, through the real parser; gives what it says.
fn parse(texts: &[String], dump: &[&str]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let profiles = texts.iter().enumerate().map(|(at, text)| format!("profile t{at} {{\n{text}}}\n"));
    fs::write(file.path(), profiles.collect::<String>()).unwrap();
    let parser = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"];
    let parser = parser.iter().find(|path| Path::new(path).exists()).expect("install the package apparmor");
    let ran = Command::new(parser)
        .args(["--skip-kernel-load", "--skip-cache", "--Werror=all", "--jobs=1"])
        .args(dump)
        .arg(file.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    [ran.stdout, ran.stderr].concat()
}

#[test]
fn every_resource_gets_its_rules_or_its_error() {
    let (_guard, folder) = folder();
    let folder = folder.to_str().unwrap();
    let put = |text: &str| {
        let start = |text: &str| text.replacen("\"T/", &format!("\"{folder}/"), 1);
        text.strip_prefix("T/").map_or_else(|| start(text), |rest| format!("{folder}/{rest}"))
    };
    let mut accepted = Vec::new();
    for (kind, bits, path, outcome) in CASES {
        let case = format!("{kind:?} {bits} {path}");
        let path = PathBuf::from(put(path));
        let made = rules::text(&domain("guest", vec![resource(*kind, *bits, &path)]), |_| true);
        match (made, outcome) {
            (Ok(text), Rules(wanted)) => {
                let wanted: Vec<String> = wanted.iter().map(|rule| put(rule)).collect();
                let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
                assert_eq!(BTreeSet::from_iter(rules_of(&text)), wanted, "{case}");
                accepted.push(text);
            }
            (Err(error), Fails(errno, at)) => {
                let at = put(at).replace("PID", &std::process::id().to_string());
                assert_eq!((error.errno(), error.path()), (*errno, Some(Path::new(&at))), "{case}: {error}");
                assert!(error.to_string().contains(&at), "{case}: {error}");
            }
            (made, _) => panic!("{case}: {made:?}"),
        }
    }
    for (name, quoted) in NAMES {
        let path = Path::new(folder).join("names").join(name);
        let text = rules::text(&domain("guest", vec![resource(Kind::Disk, 0, &path)]), |_| true).unwrap();
        assert_eq!(rules_of(&text), [format!("\"{folder}/names/{quoted}\" rwk,")], "{name}");
        accepted.push(text);
        let text = rules::text(&domain(&name.replace(char::is_control, "x"), Vec::new()), |_| true).unwrap();
        accepted.push(text);
    }
    parse(&accepted, &[]);
}

#[test]
fn the_devices_of_a_domains_xml() {
    let (_guard, folder) = folder();
    let folder = folder.to_str().unwrap();
    let text = format!(
        "<domain type='kvm'><name>a</name><uuid>{}</uuid><os><kernel>{folder}/link</kernel></os><devices>
        <emulator>{folder}/linklink</emulator>
        <disk type='file'><source file='{folder}/names/a,b'/><backingStore type='file'><source file='{folder}/disk'/>
        </backingStore></disk>
        <disk type='file' device='cdrom'><source file='{folder}/dir/inner'/><readonly/></disk>
        <disk type='network'><source protocol='nbd' name='x'/></disk>
        <serial type='unix'><source mode='bind' path='{folder}/new.sock'/></serial>
        </devices></domain>",
        uuid(1)
    );
    let mut found = xml::from_xml(&text).unwrap();
    found.name = "guest".into();
    let text = rules::text(&found, |_| true).unwrap();
    let wanted = [
        "dir/inner\" rk,",
        "disk\" mr,",
        "disk\" r,",
        "disk\" rk,",
        "names/a\\054b\" rwk,",
        "new.sock\" rw,",
    ];
    assert_eq!(rules_of(&text), wanted.map(|rule| format!("\"{folder}/{rule}")));
    parse(&[text], &[]);
}

#[test]
fn what_has_vanished_since_keeps_its_rules() {
    let (_guard, folder) = folder();
    let gone = resource(Kind::Disk, 0, &folder.join("missing"));
    let there = resource(Kind::Disk, 0, &folder.join("disk"));
    let both = domain("guest", vec![gone, there]);
    assert_eq!(rules_of(&rules::text(&both, |at| at == 1).unwrap()).len(), 2);
    assert_eq!(rules::text(&both, |_| true).unwrap_err().errno(), libc::ENOENT);
    let mut optional = both.clone();
    optional.resources[0].optional = true;
    assert_eq!(rules_of(&rules::text(&optional, |_| true).unwrap()).len(), 2);
}

#[test]
fn of_what_is_plugged_in_every_file_must_be_there() {
    let (_guard, folder) = folder();
    let disk = |name: &str| resource(Kind::Disk, 0, &folder.join(name));
    let made = |names: &[&str], moment: Moment| {
        let guest = domain("guest", names.iter().map(|name| disk(name)).collect());
        let new = moment.new_of(&guest);
        rules::text(&guest, |at| new.contains(&at)).map_err(|error| error.errno())
    };
    // The first two files are one device's and were there once, the others are the new one's.
    for (names, new, missing) in [
        (["missing", "disk", "disk", "dir/inner"], 2, false),
        (["disk", "disk", "missing", "dir/inner"], 2, true),
        (["disk", "disk", "missing", "dir/inner"], 1, false),
        (["disk", "disk", "dir/inner", "missing"], 0, false),
        (["missing", "disk", "disk", "disk"], 9, true),
    ] {
        let result = made(&names, Moment::Plug { new });
        assert_eq!(result.err(), missing.then_some(libc::ENOENT), "{names:?} {new}");
    }
    let names = ["missing", "disk"];
    assert_eq!(made(&names, Moment::SetAll).err(), Some(libc::ENOENT));
    made(&names, Moment::Unplug).unwrap();
}

#[test]
fn a_guests_own_files_are_those_of_its_name_and_a_number() {
    let text = rules::text(&domain("a*", Vec::new()), |_| true).unwrap();
    let digits = "{,[0-9]".repeat(9) + &"}".repeat(9);
    assert!(text.contains(&format!("\"/var/lib/libvirt/qemu/domain-[0-9]{digits}-a\\052/*\" rw,")), "{text}");
    assert!(text.contains("\"/var/log/libvirt/*/a\\052.log\" w,"), "{text}");
    // libvirt cuts the name to 20 characters, not bytes.
    let text = rules::text(&domain(&"\u{fc}".repeat(30), Vec::new()), |_| true).unwrap();
    assert!(text.contains(&format!("}}-{}/*\" rw,", "\\303\\274".repeat(20))), "{text}");
}

#[test]
fn a_load_that_fails_leaves_the_files_as_they_were() {
    // The real parser, which cannot load anything where the kernel lacks AppArmor, and a broken template.
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("template");
    fs::write(&template, "profile LIBVIRT_TEMPLATE {\n  nonsense\n}\n").unwrap();
    let profiles = folder.path().join("profiles");
    let parser = super::load::Parser::new("/usr/sbin/apparmor_parser".into(), None);
    let store = profile::Profiles::new(template, profiles.clone(), parser);
    let error = store.load(uuid(2), "").unwrap_err();
    assert!(error.to_string().contains("apparmor_parser cannot load"), "{error}");
    assert_eq!(fs::read_dir(&profiles).unwrap().count(), 0);
    let files = ["", ".files"].map(|end| profiles.join(format!("libvirt-{}{end}", uuid(2))));
    for file in &files {
        fs::write(file, "as it was").unwrap();
    }
    store.load(uuid(2), "  \"/x\" r,\n").unwrap_err();
    assert!(files.iter().all(|file| fs::read(file).unwrap() == b"as it was"));
    assert_eq!(fs::read_dir(&profiles).unwrap().count(), 2);
}

#[test]
fn the_installed_template_is_one() {
    let work = tempfile::tempdir().unwrap();
    let folder = work.path();
    let template = folder.join("TEMPLATE.qemu");
    fs::write(&template, include_str!("../../../apparmor/TEMPLATE.qemu")).unwrap();
    fs::create_dir(folder.join("abstractions")).unwrap();
    let abstraction = include_str!("../../../apparmor/abstractions/svirt-qemu");
    fs::write(folder.join("abstractions/svirt-qemu"), abstraction).unwrap();
    let parser = super::load::Parser::new("/usr/sbin/apparmor_parser".into(), None);
    let store = profile::Profiles::new(template, folder.to_owned(), parser);
    let file = folder.join(format!("libvirt-{}", uuid(1)));
    fs::write(&file, store.render(uuid(1)).unwrap()).unwrap();
    fs::write(file.with_extension("files"), rules::text(&domain("guest", Vec::new()), |_| true).unwrap())
        .unwrap();
    let ran = Command::new("/usr/sbin/apparmor_parser")
        .args(["--skip-kernel-load", "--skip-cache", "--names", "--Include"])
        .args([folder, &file])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), format!("libvirt-{}", uuid(1)));
}
