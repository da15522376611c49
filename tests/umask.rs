//! Whatever the umask, nobody but the daemon's user gets at what the library keeps: a daemon with umask 0 goes
//! through a guest's whole life, and after each step every file and directory that the library has made is looked
//! at. The daemon is a process of its own: this program runs itself.
#![allow(unsafe_code, clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::*;
use svirt::domain::{Domain, Uuid, xml};
use svirt::manager::Manager;
use svirt::options::Options;

const UUID: Uuid = Uuid([0x7a; 16]);

/// Everything below a folder, and the folder itself.
fn below(path: &Path, all: &mut Vec<PathBuf>) {
    all.push(path.to_owned());
    for entry in fs::read_dir(path).into_iter().flatten() {
        below(&entry.unwrap().path(), all);
    }
}

/// Looks at all that the library has made; gives how much that is.
fn look(dir: &Path, step: &str) -> usize {
    let mut all = Vec::new();
    ["run", "state"].iter().for_each(|name| below(&dir.join(name), &mut all));
    for path in &all {
        let mode = fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(format!("{mode:o}"), format!("{wanted:o}"), "{step}: {}", path.display());
    }
    all.len()
}

fn manager(dir: &Path, remember: &str) -> Manager {
    let mut options = Options::default();
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    for (name, value) in [
        ("owner", "umask"),
        // Missing, together with what they are in.
        ("runtime_dir", &at("run/of/several")),
        ("state_dir", &at("state/of/several")),
        ("remember", remember),
        ("dac.uid_range", "300000-300099"),
    ] {
        options.set(name, value).unwrap();
    }
    Manager::open(Some("dac"), &options).unwrap()
}

fn domain(dir: &Path) -> Domain {
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    Domain::new(
        xml::from_xml(&format!(
            "<domain type='kvm'><name>guest</name><uuid>{UUID}</uuid><devices>
             <disk type='file'><driver type='qcow2'/><source file='{}'/><target dev='vda'/></disk>
             <disk type='file'><source file='{}'/><target dev='vdb'/><shareable/></disk></devices></domain>",
            at("top.qcow2"),
            at("shared")
        ))
        .unwrap(),
    )
}

#[test]
fn daemon() {
    let Ok(job) = std::env::var("SVIRT_UMASK") else { return };
    let [job, remember, dir] = job.split('|').collect::<Vec<_>>()[..] else { unreachable!() };
    let dir = Path::new(dir);
    // SAFETY: umask has no conditions.
    unsafe { libc::umask(0) };
    let manager = manager(dir, remember);
    look(dir, "open");
    let step = |name: &str, done: svirt::error::Result<()>| {
        assert!(done.is_ok(), "{name}: {done:?}");
        look(dir, name)
    };
    match job {
        "life" => {
            let (domain, hot) = (domain(dir), resource(&dir.join("hot"), 0));
            step("gen", manager.gen_security_label(&domain));
            let count = step("set all", manager.set_security_all_label(&domain));
            assert_eq!(count, 8, "two directories in two others each, the reservations and a ledger");
            assert_ne!(owner(&dir.join("top.qcow2")), BEFORE);
            assert_ne!(
                facts(&dir.join("base.raw")),
                pristine(dir, "base.raw"),
                "the layer below is labelled too"
            );
            // Often enough for a ledger that is written anew.
            for _ in 0..60 {
                step("plug", manager.set_security_resource_label(&domain, hot.clone()));
                step("unplug", manager.restore_security_resource_label(&domain, &hot));
            }
            step("plug", manager.set_security_resource_label(&domain, hot));
            step("move", manager.move_image(&domain, &dir.join("hot"), &dir.join("moved")));
            fs::write(dir.join("guest.xml"), xml::to_xml(&domain.lock().unwrap()).unwrap()).unwrap();
        }
        "next" => {
            let text = fs::read_to_string(dir.join("guest.xml")).unwrap();
            let domain = Domain::new(xml::from_xml(&text).unwrap());
            let (uid, gid) = owner(&dir.join("top.qcow2"));
            let mut guest = Command::new("/bin/sleep").arg("60").uid(uid).gid(gid).spawn().unwrap();
            step("reserve", manager.reserve_security_label(&domain, guest.id() as i32));
            guest.kill().and_then(|()| guest.wait()).unwrap();
            step("restore all", manager.restore_security_all_label(&domain, false));
            step("release", manager.release_security_label(&domain));
            // Until the reservations are begun anew.
            for _ in 0..1100 {
                manager
                    .gen_security_label(&domain)
                    .and_then(|()| manager.release_security_label(&domain))
                    .unwrap();
            }
            assert!(fs::metadata(dir.join("run/of/several/reservations")).unwrap().len() < 60_000);
            look(dir, "a short log");
        }
        _ => {
            step("reconcile", manager.reconcile(&HashSet::new()).map(|dead| assert_eq!(dead, 1)));
        }
    }
}

/// What a file was before all.
fn pristine(dir: &Path, name: &str) -> Facts {
    let like = dir.join(format!("{name}.like"));
    make(&like);
    facts(&like)
}

fn as_daemon(job: &str, dir: &Path, remember: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "daemon", "--nocapture", "--test-threads=1"]);
    let output = command.env("SVIRT_UMASK", format!("{job}|{remember}|{}", dir.display())).output().unwrap();
    assert!(output.status.success(), "{job} {remember}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn with_umask_0_nobody_else_gets_at_what_is_kept() {
    for remember in ["xattr", "ledger"] {
        let folder = folder();
        let dir = folder.path();
        for name in ["base.raw", "shared", "hot", "moved"] {
            file(&folder, name);
        }
        let top = dir.join("top.qcow2");
        let (base, made) = (dir.join("base.raw"), top.to_str().unwrap());
        run(
            "qemu-img",
            &["create", "-q", "-f", "qcow2", "-b", base.to_str().unwrap(), "-F", "raw", made, "1M"],
        );
        std::os::unix::fs::chown(&top, Some(BEFORE.0), Some(BEFORE.1)).unwrap();
        for job in ["life", "next", "life", "reconcile"] {
            as_daemon(job, dir, remember);
        }
        for name in ["base.raw", "shared", "hot", "moved"] {
            assert_eq!(facts(&dir.join(name)), pristine(dir, name), "{name}");
        }
        assert_eq!(owner(&top), BEFORE);
    }
}
