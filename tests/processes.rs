//! Eight daemons start and stop guests on one runtime directory, one state directory and two shared images,
//! and are killed at random, while somebody else counts himself in and out as libvirt does.
//! `SVIRT_PROCESSES=N`: N guests for each daemon.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use svirt::domain::{Definition, Domain, Flags, Kind, Resource, Uuid};
use svirt::manager::Manager;
use svirt::options::Options;

const DAEMONS: usize = 8;
const COUNT: &CStr = c"trusted.libvirt.security.ref_dac";

fn manager(dir: &Path, daemon: usize) -> Manager {
    let mut options = Options::default();
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    for (name, value) in [
        ("owner", format!("daemon-{daemon}").as_str()),
        ("runtime_dir", &at("run")),
        ("state_dir", &at("state")),
        // Few, so that every uid is soon somebody else's.
        ("dac.uid_range", "300000-300023"),
    ] {
        options.set(name, value).unwrap();
    }
    Manager::open(Some("dac"), &options).unwrap()
}

fn guest(dir: &Path, daemon: usize, cycle: usize) -> Domain {
    let mut uuid = [daemon as u8; 16];
    uuid[..8].copy_from_slice(&cycle.to_le_bytes());
    let mut definition = Definition::new("guest", Uuid(uuid), "kvm").unwrap();
    for (name, flags) in [(format!("own-{daemon}"), 0), ("shared".into(), 2), ("iso".into(), 1)] {
        let resource = Resource::new(Kind::Disk, &dir.join(name), Flags::from_bits(flags).unwrap());
        definition.resources.push(resource.unwrap());
    }
    Domain::new(definition)
}

/// A daemon: goes on where the one before it was killed.
#[test]
fn daemon() {
    let Ok(job) = std::env::var("SVIRT_DAEMON") else { return };
    let [dir, daemon, cycles] = job.split('|').collect::<Vec<_>>()[..] else { panic!("{job}") };
    let (dir, daemon, cycles) = (Path::new(dir), daemon.parse::<usize>().unwrap(), cycles.parse().unwrap());
    let (live, progress) = (dir.join("live"), dir.join(format!("progress-{daemon}")));
    let manager = manager(dir, daemon);
    let done = fs::read_to_string(&progress).unwrap_or_default().parse().unwrap_or(0);
    for cycle in done..cycles {
        let domain = guest(dir, daemon, cycle);
        manager.gen_security_label(&domain).unwrap();
        let uid = domain.lock().unwrap().seclabels[0].label.clone().unwrap();
        // Made whole before it has its name: a uid that somebody else has now is found here.
        let (draft, claim) = (dir.join(format!("draft-{daemon}")), live.join(&uid));
        fs::write(&draft, daemon.to_string()).unwrap();
        fs::hard_link(&draft, &claim).unwrap_or_else(|e| panic!("{uid} is held twice: {e}"));
        fs::remove_file(&draft).unwrap();
        manager.set_security_all_label(&domain).unwrap();
        let own = dir.join(format!("own-{daemon}"));
        assert_eq!(format!("+{0}:+{0}", fs::metadata(&own).unwrap().uid()), uid);
        manager.restore_security_all_label(&domain, false).unwrap();
        fs::remove_file(&claim).unwrap();
        manager.release_security_label(&domain).unwrap();
        File::create(&progress).unwrap().write_all((cycle + 1).to_string().as_bytes()).unwrap();
    }
}

/// What a killed daemon's guests held goes back.
fn bury(dir: &Path, daemon: usize) {
    for entry in fs::read_dir(dir.join("live")).unwrap().flatten() {
        if fs::read_to_string(entry.path()).is_ok_and(|text| text == daemon.to_string()) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    manager(dir, daemon).reconcile(&HashSet::new()).unwrap();
}

fn spawn(dir: &Path, daemon: usize, cycles: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "daemon", "--test-threads=1", "--nocapture"])
        .env("SVIRT_DAEMON", format!("{}|{daemon}|{cycles}", dir.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn killed_at_random_nothing_is_lost_and_nothing_is_twice() {
    let cycles: usize =
        std::env::var("SVIRT_PROCESSES").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::create_dir(dir.join("live")).unwrap();
    let own = (0..DAEMONS).map(|daemon| format!("own-{daemon}"));
    let files: Vec<String> = own.chain(["shared".to_owned(), "iso".to_owned()]).collect();
    for name in &files {
        fs::write(dir.join(name), name).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o640)).unwrap();
    }
    let (over, mut killed, mut seed) = (AtomicBool::new(false), 0, 88_172_645_463_325_252_u64);
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    // Of two counts that change between a kill and the next look at the image nobody can tell whose is
    // missing: libvirt waits for that long.
    let turn = std::sync::Mutex::new(());
    let counted = std::thread::scope(|scope| {
        let libvirt = scope.spawn(|| {
            let in_turn = |work: &dyn Fn() -> bool| {
                let _turn = turn.lock().unwrap();
                work()
            };
            let mut times = 0;
            while !over.load(Relaxed) {
                if in_turn(&|| count_in(&dir.join("shared")).is_some()) {
                    std::thread::sleep(Duration::from_millis(3));
                    in_turn(&|| {
                        count_out(&dir.join("shared"));
                        true
                    });
                    times += 1;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            times
        });
        let mut daemons: Vec<Option<Child>> = (0..DAEMONS).map(|n| Some(spawn(dir, n, cycles))).collect();
        let started = Instant::now();
        while daemons.iter().any(Option::is_some) {
            assert!(started.elapsed() < Duration::from_secs(30 + cycles as u64), "a daemon hangs");
            // Long enough for most to do some work before it is their turn.
            std::thread::sleep(Duration::from_millis(2 + random(60)));
            let victim = random(DAEMONS as u64 * 2) as usize;
            for (at, place) in daemons.iter_mut().enumerate() {
                let Some(daemon) = place else { continue };
                let mut ended = daemon.try_wait().unwrap();
                if at == victim && ended.is_none() {
                    let _turn = turn.lock().unwrap();
                    daemon.kill().unwrap();
                    ended = Some(daemon.wait().unwrap());
                    bury(dir, at);
                }
                let Some(status) = ended else { continue };
                // Anything else but success is a failure of its own.
                if std::os::unix::process::ExitStatusExt::signal(&status) == Some(libc::SIGKILL) {
                    killed += 1;
                    *place = Some(spawn(dir, at, cycles));
                } else {
                    over.store(!status.success(), Relaxed);
                    assert!(status.success(), "daemon {at}: {status}");
                    *place = None;
                }
            }
        }
        over.store(true, Relaxed);
        libvirt.join().unwrap()
    });
    for daemon in 0..DAEMONS {
        manager(dir, daemon).reconcile(&HashSet::new()).unwrap();
    }
    for name in &files {
        let facts = fs::metadata(dir.join(name)).unwrap();
        let names = attribute_names(&dir.join(name));
        assert_eq!((facts.uid(), facts.gid(), facts.mode() & 0o777), (0, 0, 0o640), "{name}: {names}");
        assert!(!names.contains("trusted.") && !names.contains("acl"), "{name}: {names}");
    }
    assert_eq!(fs::read_dir(dir.join("state")).unwrap().count(), 0, "no ledger is left");
    println!("{DAEMONS} daemons with {cycles} guests each, killed {killed} times; {counted} uses by libvirt");
}

fn attribute_names(path: &Path) -> String {
    let (path, mut names) = (CString::new(path.as_os_str().as_bytes()).unwrap(), vec![0u8; 4096]);
    // SAFETY: pointer and length describe the buffer.
    let length = unsafe { libc::listxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    String::from_utf8_lossy(&names[..usize::try_from(length).unwrap()]).into_owned()
}

/// The image under libvirt's lock: a classic POSIX one on byte 1, which ends when the file is closed.
fn locked(path: &Path) -> File {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    // SAFETY: all-zero bytes are a valid value of this plain structure.
    let mut range = unsafe { std::mem::zeroed::<libc::flock>() };
    (range.l_type, range.l_start, range.l_len) = (libc::F_WRLCK as i16, 1, 1);
    // SAFETY: `range` is a complete structure that the kernel only reads.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLKW, &range) }, 0);
    file
}

fn count(file: &File) -> u32 {
    let mut value = [0u8; 16];
    // SAFETY: pointer and length describe the buffer.
    let length =
        unsafe { libc::fgetxattr(file.as_raw_fd(), COUNT.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    std::str::from_utf8(&value[..length.max(0) as usize]).unwrap().parse().unwrap_or(0)
}

fn set_count(file: &File, count: u32) {
    let text = count.to_string();
    // SAFETY: pointer and length describe the text.
    let result =
        unsafe { libc::fsetxattr(file.as_raw_fd(), COUNT.as_ptr(), text.as_ptr().cast(), text.len(), 0) };
    assert_eq!(result, 0);
}

/// One holder more, when there are some.
fn count_in(path: &Path) -> Option<File> {
    let file = locked(path);
    let holders = count(&file);
    (holders > 0).then(|| set_count(&file, holders + 1))?;
    Some(file)
}

/// One holder fewer; the last one takes libvirt's attributes away.
fn count_out(path: &Path) {
    let file = locked(path);
    match count(&file) {
        0 => panic!("somebody lost libvirt's count"),
        1 => {
            for name in [c"trusted.libvirt.security.dac", c"trusted.libvirt.security.timestamp_dac", COUNT] {
                // SAFETY: the name ends in NUL.
                assert_eq!(unsafe { libc::fremovexattr(file.as_raw_fd(), name.as_ptr()) }, 0);
            }
        }
        holders => set_count(&file, holders - 1),
    }
}
