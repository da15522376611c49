//! A folder that stands for a host: its files are made, and looked at through other people's tools.

use crate::table::{Expected, Make, Place, ROWS, Row};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use svirt::domain::{Host, Resource, Uuid, xml};
use tempfile::TempDir;

pub struct Fixture {
    dir: TempDir,
}

/// What a file is to other people's tools.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    pub owner: (u32, u32),
    pub directory: bool,
    /// Extended attributes by name.
    pub attributes: BTreeMap<String, Vec<u8>>,
}

impl State {
    pub fn context(&self) -> String {
        let value = self.attributes.get("security.selinux").map(Vec::as_slice).unwrap_or_default();
        String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()
    }

    /// What a user's own entry in the access control list allows; `None` when it has none.
    pub fn granted(&self, uid: u32) -> Option<u16> {
        const USER: u16 = 2;
        let list = self.attributes.get("system.posix_acl_access")?.get(4..)?;
        let entry = |bytes: &[u8]| {
            let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
            let id = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            (half(0) == USER && id == uid).then(|| half(2))
        };
        list.chunks_exact(8).find_map(entry)
    }
}

impl Fixture {
    pub fn new() -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap() };
        for (path, make, ..) in ROWS.iter().flat_map(|row| row.files) {
            host.make(path, *make);
        }
        host.make("saved", Make::File);
        host
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn host(&self) -> Host {
        Host::below(self.dir.path())
    }

    fn make(&self, name: &str, make: Make) {
        let path = &self.path(name);
        if !matches!(make, Make::Missing) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        match make {
            Make::File => drop(fs::OpenOptions::new().append(true).create(true).open(path).unwrap()),
            Make::Text(text) => fs::write(path, text).unwrap(),
            Make::Dir => fs::create_dir_all(path).unwrap(),
            Make::Link(to) => return symlink(to, path).unwrap(),
            // The numbers of /dev/null and of no disk: nobody opens them here.
            Make::Char => run("mknod", &[&text(path), "c", "1", "3"]),
            Make::Block => run("mknod", &[&text(path), "b", "240", "0"]),
            Make::Fifo => run("mkfifo", &[&text(path)]),
            Make::Socket => drop(UnixListener::bind(path).unwrap()),
            Make::Qcow2(arguments) => {
                let here = path.parent().unwrap();
                let status = Command::new("qemu-img")
                    .current_dir(here)
                    .args(["create", "-q", "-u", "-f", "qcow2"])
                    .args(arguments)
                    .arg(path)
                    .arg("1M")
                    .status();
                assert!(status.expect("the package qemu-utils is installed").success(), "{name}");
            }
            Make::Missing => return,
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
        chown(path, Some(10), Some(20)).expect("these tests run as root");
    }

    /// The whole domain, or one with these rows alone.
    pub fn xml(&self, uuid: Uuid, rows: &[&Row]) -> String {
        let below =
            |place| rows.iter().filter(|row| row.place == place).map(|row| row.xml).collect::<String>();
        let body = format!(
            "<os><type>hvm</type>{}</os>{}<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{}</devices>",
            below(Place::Os),
            below(Place::Domain),
            below(Place::Devices)
        );
        let body = body.replace('@', &text(self.dir.path()));
        format!("<domain type='kvm'><name>rows</name><uuid>{uuid}</uuid>{body}</domain>")
    }

    /// One row's resources.
    pub fn resources(&self, row: &Row) -> Vec<Resource> {
        let uuid = "0b15ad3c-11f4-4b0c-a8e2-000000000000".parse().unwrap();
        xml::from_xml(&self.xml(uuid, &[row])).unwrap().resources
    }

    /// Every file of the host, links not followed.
    pub fn states(&self) -> BTreeMap<String, State> {
        let listed = output(
            Command::new("find")
                .arg(".")
                .args(["-printf", "%P\\t%U\\t%G\\t%y\\n"])
                .current_dir(self.dir.path()),
        );
        let mut states: BTreeMap<String, State> = BTreeMap::new();
        for line in listed.lines() {
            let [path, uid, gid, kind] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            let owner = (uid.parse().unwrap(), gid.parse().unwrap());
            states.insert(path.to_owned(), State { owner, directory: kind == "d", ..State::default() });
        }
        let arguments = ["-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "."];
        let attributes = output(Command::new("getfattr").args(arguments).current_dir(self.dir.path()));
        let mut at = String::new();
        for line in attributes.lines() {
            if let Some(path) = line.strip_prefix("# file: ") {
                at = path.strip_prefix("./").unwrap_or(path).to_owned();
                if at == "." {
                    at.clear();
                }
            } else if let Some((name, value)) = line.split_once("=0x") {
                let bytes = value
                    .as_bytes()
                    .chunks(2)
                    .map(|hex| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap());
                let state = states.get_mut(&at).unwrap_or_else(|| panic!("{at:?} of {line}"));
                state.attributes.insert(name.to_owned(), bytes.collect());
            }
        }
        states
    }
}

/// The files of a row that are there.
pub fn present(row: &Row) -> impl Iterator<Item = &Expected> {
    row.files.iter().filter(|(_, make, ..)| !matches!(make, Make::Missing))
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn run(command: &str, arguments: &[&str]) {
    assert!(Command::new(command).args(arguments).status().unwrap().success(), "{command} {arguments:?}");
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
