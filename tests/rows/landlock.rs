//! Landlock's column: a process confined as the guest opens every file of the host.
#![allow(unsafe_code)]

use crate::host::Fixture;
use crate::table::{Expected, Make, ROWS, Row};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use svirt::domain::{Domain, xml};
use svirt::manager::Manager;
use svirt::options::Options;

const PYTHON: &str = "/usr/bin/python3";
/// Says for every path of its arguments with which errno it can be read and written.
const OPENER: &str = "
import os, sys
def can(path, how):
    try:
        os.close(os.open(path, how | os.O_NONBLOCK))
        return 0
    except OSError as e:
        return e.errno
for path in sys.argv[1:]:
    print(path, can(path, os.O_RDONLY), can(path, os.O_WRONLY))
";

/// A directory whose files the guest may use.
fn is_tree(expected: &Expected) -> bool {
    matches!(expected.1, Make::Dir) && !expected.3.is_empty()
}

/// What a file may be opened for: that of its row, or of the directory that it is in.
fn allowed(path: &str) -> &'static str {
    let all = || ROWS.iter().flat_map(|row| row.files);
    let below = |tree: &&Expected| is_tree(tree) && path.starts_with(&format!("{}/", tree.0));
    let own = all().find(|(own, ..)| *own == path).map_or("", |(.., access)| *access);
    if own.is_empty() { all().find(below).map_or("", |(.., access)| *access) } else { own }
}

#[test]
fn landlock() {
    let runtime = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    for name in ["runtime_dir", "state_dir"] {
        options.set(name, runtime.path().join(name).to_str().unwrap()).unwrap();
    }
    let host = Fixture::new();
    let manager = match Manager::open(Some("landlock"), &options) {
        Ok(manager) => Arc::new(manager.with_host(host.host())),
        Err(error) => {
            assert_eq!(error.errno(), libc::ENOTSUP);
            println!("{error}");
            return;
        }
    };
    let all: Vec<&Row> = ROWS.iter().collect();
    let text = host.xml(crate::uuid(), &all).replace("/usr/bin/qemu-system-x86_64", PYTHON);
    let domain = Arc::new(Domain::new(xml::from_xml(&text).unwrap()));
    manager.gen_security_label(&domain).unwrap();
    manager.set_security_all_label(&domain).unwrap();

    // Links of sysfs lead nowhere here.
    let leads_nowhere = |path: &String| host.path(path).is_symlink() && !host.path(path).exists();
    let paths: Vec<String> =
        host.states().into_keys().filter(|path| !path.is_empty() && !leads_nowhere(path)).collect();
    let mut opener = Command::new(PYTHON);
    opener.args(["-I", "-S", "-c", OPENER]).args(paths.iter().map(|path| host.path(path))).env_clear();
    let (in_child, of_child) = (Arc::clone(&manager), Arc::clone(&domain));
    let step =
        move || in_child.set_security_process_label(&of_child).map_err(|e| io::Error::from_raw_os_error(-e));
    // SAFETY: the child step is made for this place.
    let output = unsafe { opener.pre_exec(step) }.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let answers: BTreeMap<&str, (i32, i32)> = said
        .lines()
        .map(|line| {
            let [path, read, write] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            (path, (read.parse().unwrap(), write.parse().unwrap()))
        })
        .collect();
    let mut opened = 0;
    for path in &paths {
        let full = host.path(path);
        let (read, write) = answers[full.to_str().unwrap()];
        // A link is what it leads to.
        let real = full.canonicalize().unwrap();
        let real = real.strip_prefix(host.path("").canonicalize().unwrap()).unwrap();
        let access = allowed(real.to_str().unwrap());
        assert_eq!(read == libc::EACCES, access.is_empty(), "reading {path}: {read}");
        if !full.is_dir() {
            assert_eq!(write == libc::EACCES, !access.contains('w'), "writing {path}: {write}");
        }
        opened += usize::from(read != libc::EACCES);
    }
    assert!(opened >= 75 && paths.len() - opened >= 20, "{opened} of {}", paths.len());
    manager.restore_security_all_label(&domain, false).unwrap();
    manager.release_security_label(&domain).unwrap();
}
