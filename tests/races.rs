//! Paths that somebody exchanges while the library works on them: no label goes to another file than the one
//! that was found, every file gets its own owner back, and no directory that another user planted is used.
//!
//! `SVIRT_RACES`: how many seconds each test races, 3 when it is not set.

#![allow(unsafe_code, clippy::unwrap_used, reason = "a test may stop")]

mod support;

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::*;
use svirt::manager::Manager;
use svirt::options::Options;

const STRANGER: u32 = 65534;

/// How long one of a test's races goes on; longer while it has not had both of its outcomes.
struct Time(Instant);

impl Time {
    fn one_of(races: u32) -> Self {
        let seconds = std::env::var("SVIRT_RACES").map_or(3, |text| text.parse().unwrap());
        Self(Instant::now() + Duration::from_secs(seconds) / races)
    }

    fn goes_on(&self, outcomes: [u32; 2]) -> bool {
        let late = Duration::from_secs(if outcomes.contains(&0) { 30 } else { 0 });
        Instant::now() < self.0 + late
    }
}

/// Two names change places; there is no moment without either.
fn exchange(one: &Path, other: &Path) {
    let [one, other] = [one, other].map(|path| CString::new(path.as_os_str().as_bytes()).unwrap());
    let at = libc::AT_FDCWD;
    // SAFETY: both names end in NUL and live until the call returns.
    let result = unsafe { libc::renameat2(at, one.as_ptr(), at, other.as_ptr(), libc::RENAME_EXCHANGE) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Calls `work` while the two names change places all the time; afterwards they are as before.
fn raced<R>(one: &Path, other: &Path, work: impl FnOnce() -> R) -> R {
    let (ended, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                exchange(one, other);
                swaps.fetch_add(1, Ordering::Relaxed);
            }
            if swaps.load(Ordering::Relaxed) % 2 == 1 {
                exchange(one, other);
            }
        });
        while swaps.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        let result = work();
        ended.store(true, Ordering::Relaxed);
        result
    })
}

/// A file, whatever its name is at the moment.
struct Tracked(File);

impl Tracked {
    fn new(path: &Path) -> Self {
        Self(File::open(path).unwrap())
    }

    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    fn facts(&self) -> Facts {
        facts(&self.path())
    }

    fn is_guests(&self) -> bool {
        owner(&self.path()) == GUEST
    }
}

type Plant = fn(victim: &Path, planted: &Path);

const PLANTS: [(&str, Plant); 3] = [
    ("symlink", |victim, planted| symlink(victim, planted).unwrap()),
    ("hard link", |victim, planted| fs::hard_link(victim, planted).unwrap()),
    ("renamed file", |victim, planted| fs::rename(victim, planted).unwrap()),
];

fn victim(dir: &tempfile::TempDir) -> PathBuf {
    let victim = file(dir, "victim");
    chown(&victim, Some(0), Some(42)).unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    victim
}

#[test]
fn what_is_planted_before_the_end_is_left_alone() {
    for (name, plant) in PLANTS {
        let dir = folder();
        let (path, planted, disk) = (victim(&dir), dir.path().join("planted"), dir.path().join("disk"));
        let victim = Tracked::new(&path);
        plant(&path, &planted);
        let before = victim.facts();
        let manager = manager(&dir);
        let (mut restored, mut left) = (0, 0);
        let time = Time::one_of(3);
        while time.goes_on([restored, left]) {
            make(&disk);
            let original = facts(&disk);
            let a = started(&manager, &[(&disk, 0)]);
            raced(&disk, &planted, || manager.restore_security_all_label(&a, false).unwrap());
            assert_eq!(victim.facts(), before, "{name}");
            // A file that is not found by its name is left as it is; nothing else can be.
            if owner(&disk) == GUEST {
                left += 1;
            } else {
                assert_eq!(facts(&disk), original, "{name}");
                restored += 1;
            }
            manager.release_security_label(&a).unwrap();
            fs::remove_file(&disk).unwrap();
        }
        println!("{name}: {restored} restored, {left} not found");
        assert!(restored > 0 && left > 0, "{name}: {restored} {left}");
    }
}

#[test]
fn what_is_exchanged_at_the_start_gets_its_own_owner_back() {
    for (name, plant) in PLANTS {
        let dir = folder();
        let (path, planted, disk) = (victim(&dir), dir.path().join("planted"), file(&dir, "disk"));
        let (image, other) = (Tracked::new(&disk), Tracked::new(&path));
        plant(&path, &planted);
        let before = (image.facts(), other.facts());
        let manager = manager(&dir);
        let mut found = [0, 0];
        let time = Time::one_of(3);
        while time.goes_on(found) {
            let a = guest(&manager, &[(&disk, 0)]);
            raced(&disk, &planted, || manager.set_security_all_label(&a).unwrap());
            // One of them was found, and everything was done to that one.
            let is_other = other.is_guests();
            assert_ne!(image.is_guests(), is_other, "{name}");
            found[usize::from(is_other)] += 1;
            if is_other {
                assert_eq!(image.facts(), before.0, "{name}");
                exchange(&disk, &planted);
            } else {
                assert_eq!(other.facts(), before.1, "{name}");
            }
            stop(&manager, &a);
            assert_eq!((image.facts(), other.facts()), before, "{name}");
            if is_other {
                exchange(&disk, &planted);
            }
        }
        println!("{name}: {} times the image, {} times the other file", found[0], found[1]);
        assert!(found.iter().all(|times| *times > 0), "{name}: {found:?}");
    }
}

#[test]
fn a_directory_that_a_stranger_plants_is_not_used() {
    for option in ["runtime_dir", "state_dir"] {
        let dir = folder();
        let (open, target) = (dir.path().join("open"), dir.path().join("target"));
        for (path, mode) in [(dir.path(), 0o755), (&open, 0o1777), (&target, 0o700)] {
            let _ = fs::create_dir(path);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let (wanted, ended) = (open.join("svirt"), AtomicBool::new(false));
        let (mut used, mut refused) = (0, 0);
        thread::scope(|scope| {
            scope.spawn(|| {
                // SAFETY: changes only what this thread may do to files.
                unsafe { libc::setfsuid(STRANGER) };
                while !ended.load(Ordering::Relaxed) {
                    if symlink(&target, &wanted).is_ok() {
                        thread::sleep(Duration::from_micros(50));
                        let _ = fs::remove_file(&wanted);
                    }
                    thread::sleep(Duration::from_micros(50));
                }
            });
            let time = Time::one_of(2);
            while time.goes_on([used, refused]) {
                let mut options = Options::default();
                for name in ["runtime_dir", "state_dir"] {
                    let own = dir.path().join(name);
                    let path = if name == option { &wanted } else { &own };
                    options.set(name, path.to_str().unwrap()).unwrap();
                }
                match Manager::open(Some("dac"), &options) {
                    Ok(manager) => {
                        used += 1;
                        let a = guest(&manager, &[]);
                        stop(&manager, &a);
                        assert!(!fs::symlink_metadata(&wanted).unwrap().is_symlink());
                        fs::remove_dir_all(&wanted).unwrap();
                    }
                    Err(error) => {
                        refused += 1;
                        assert!([libc::EPERM, libc::ENOENT].contains(&error.errno()), "{error}");
                    }
                }
                assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "{option}");
            }
            ended.store(true, Ordering::Relaxed);
        });
        println!("{option}: {used} times used, {refused} times refused");
        assert!(used > 0 && refused > 0, "{option}: {used} {refused}");
    }
}
