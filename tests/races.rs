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
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::*;
use svirt::domain::Domain;
use svirt::image::{self, Label, Settings, Step, Store, Task};
use svirt::manager::Manager;
use svirt::options::Options;
use svirt::reservation::{Holder, Registry};

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
}

const CONTEXT: &str = "system_u:object_r:svirt_image_t:s0:c1,c2";

/// A daemon whose guests get owners, or contexts, which need no policy where none is loaded.
enum Daemon {
    Owners(Box<Manager>),
    Contexts(Store),
}

/// A guest with one disk.
struct Guest {
    domain: Domain,
    disk: PathBuf,
}

impl Daemon {
    fn all(dir: &tempfile::TempDir) -> Vec<Self> {
        let mut all = vec![Self::Owners(Box::new(manager(dir)))];
        if !Path::new("/sys/fs/selinux/enforce").exists() {
            let registry = Registry::open(&dir.path().join("run")).unwrap();
            all.push(Self::Contexts(Store::open(registry, &dir.path().join("state")).unwrap()));
        }
        all
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Owners(_) => "owner",
            Self::Contexts(_) => "context",
        }
    }

    fn is_guests(&self, path: &Path) -> bool {
        match self {
            Self::Owners(_) => owner(path) == GUEST,
            Self::Contexts(_) => text(path, "security.selinux").as_deref() == Some(CONTEXT),
        }
    }

    fn guest(&self, disk: &Path) -> Guest {
        let domain = match self {
            Self::Owners(manager) => guest(manager, &[(disk, 0)]),
            Self::Contexts(_) => unlabelled(&[(disk, 0)]),
        };
        Guest { domain, disk: disk.to_owned() }
    }

    fn images(&self, task: impl Fn(Holder) -> Task, guest: &Guest) {
        let Self::Contexts(store) = self else { unreachable!() };
        let holder = Holder { owner: 1, uuid: guest.domain.lock().unwrap().uuid };
        let settings = Settings { durable: true, store, tolerates: &|_, _| false };
        image::run(vec![task(holder)], &settings, || Ok(())).unwrap();
    }

    fn set(&self, guest: &Guest) {
        if let Self::Owners(manager) = self {
            return manager.set_security_all_label(&guest.domain).unwrap();
        }
        let label = || Label::Context(CONTEXT.into());
        let path = || guest.disk.clone();
        let step = || Step {
            path: path(),
            model: "selinux",
            label: label(),
            optional: false,
            directory: false,
            original: None,
        };
        self.images(|holder| Task::Set(holder, vec![step()]), guest);
    }

    fn restore(&self, guest: &Guest) {
        match self {
            Self::Owners(manager) => manager.restore_security_all_label(&guest.domain, false).unwrap(),
            Self::Contexts(_) => self.images(|holder| Task::RestoreAll(holder, false), guest),
        }
    }

    fn release(&self, guest: &Guest) {
        if let Self::Owners(manager) = self {
            manager.release_security_label(&guest.domain).unwrap();
        }
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

/// Every way to plant another file, with every kind of label.
fn everything(race: impl Fn(&str, Plant, &tempfile::TempDir, &Daemon, Time)) {
    let dir = folder();
    let daemons = Daemon::all(&dir);
    for daemon in &daemons {
        for (name, plant) in PLANTS {
            let time = Time::one_of((PLANTS.len() * daemons.len()) as u32);
            let files = folder();
            race(&format!("{}, {name}", daemon.name()), plant, &files, daemon, time);
        }
    }
}

#[test]
fn what_is_planted_before_the_end_is_left_alone() {
    everything(|name, plant, dir, daemon, time| {
        let (path, planted, disk) = (victim(dir), dir.path().join("planted"), dir.path().join("disk"));
        let victim = Tracked::new(&path);
        plant(&path, &planted);
        let before = victim.facts();
        let (mut restored, mut left) = (0, 0);
        while time.goes_on([restored, left]) {
            make(&disk);
            let original = facts(&disk);
            let a = daemon.guest(&disk);
            daemon.set(&a);
            raced(&disk, &planted, || daemon.restore(&a));
            assert_eq!(victim.facts(), before, "{name}");
            // A file that is not found by its name is left as it is; nothing else can be.
            if daemon.is_guests(&disk) {
                left += 1;
            } else {
                assert_eq!(facts(&disk), original, "{name}");
                restored += 1;
            }
            daemon.release(&a);
            fs::remove_file(&disk).unwrap();
        }
        println!("{name}: {restored} restored, {left} not found");
        assert!(restored > 0 && left > 0, "{name}: {restored} {left}");
    });
}

#[test]
fn what_is_exchanged_at_the_start_gets_its_own_label_back() {
    everything(|name, plant, dir, daemon, time| {
        let (path, planted, disk) = (victim(dir), dir.path().join("planted"), file(dir, "disk"));
        let (image, other) = (Tracked::new(&disk), Tracked::new(&path));
        plant(&path, &planted);
        let before = (image.facts(), other.facts());
        let mut found = [0, 0];
        while time.goes_on(found) {
            let a = daemon.guest(&disk);
            raced(&disk, &planted, || daemon.set(&a));
            // One of them was found, and everything was done to that one.
            let is_other = daemon.is_guests(&other.path());
            assert_ne!(daemon.is_guests(&image.path()), is_other, "{name}");
            found[usize::from(is_other)] += 1;
            if is_other {
                assert_eq!(image.facts(), before.0, "{name}");
                exchange(&disk, &planted);
            } else {
                assert_eq!(other.facts(), before.1, "{name}");
            }
            daemon.restore(&a);
            daemon.release(&a);
            assert_eq!((image.facts(), other.facts()), before, "{name}");
            if is_other {
                exchange(&disk, &planted);
            }
        }
        println!("{name}: {} times the image, {} times the other file", found[0], found[1]);
        assert!(found.iter().all(|times| *times > 0), "{name}: {found:?}");
    });
}

/// What a stranger gives the name of a directory that is to be made, and takes away again.
type Trap = fn(target: &Path, wanted: &Path);

const TRAPS: [(&str, Trap); 3] = [
    ("symlink", |target, wanted| {
        if symlink(target, wanted).is_ok() {
            thread::sleep(Duration::from_micros(50));
            let _ = fs::remove_file(wanted);
        }
    }),
    ("hard link", |target, wanted| {
        let own = target.with_extension("file");
        if fs::write(&own, "").and_then(|()| fs::hard_link(&own, wanted)).is_ok() {
            thread::sleep(Duration::from_micros(50));
            let _ = fs::remove_file(wanted);
        }
    }),
    // Moved there and back; a directory that is not empty is not replaced, and an empty one only by its owner.
    ("renamed directory", |target, wanted| {
        let own = target.with_extension("directory");
        let _ = fs::create_dir(&own);
        if fs::rename(&own, wanted).is_ok() {
            thread::sleep(Duration::from_micros(50));
            let _ = fs::rename(wanted, &own);
        }
    }),
];

#[test]
fn a_directory_that_a_stranger_plants_is_not_used() {
    for option in ["runtime_dir", "state_dir"] {
        for (name, trap) in TRAPS {
            strangers_directory(option, &format!("{option}, {name}"), trap);
        }
    }
}

fn strangers_directory(option: &str, name: &str, trap: Trap) {
    let dir = folder();
    let (open, target) = (dir.path().join("open"), dir.path().join("open/target"));
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
                trap(&target, &wanted);
                thread::sleep(Duration::from_micros(50));
            }
        });
        let time = Time::one_of(2 * TRAPS.len() as u32);
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
                    let facts = fs::symlink_metadata(&wanted).unwrap();
                    assert!(facts.is_dir() && facts.uid() == 0, "{name}");
                    fs::remove_dir_all(&wanted).unwrap();
                }
                Err(error) => {
                    refused += 1;
                    let known = [libc::EPERM, libc::ENOENT, libc::ENOTDIR];
                    assert!(known.contains(&error.errno()), "{name}: {error}");
                }
            }
            for planted in [&target, &target.with_extension("directory")] {
                assert_eq!(fs::read_dir(planted).into_iter().flatten().count(), 0, "{name}");
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    println!("{name}: {used} times used, {refused} times refused");
    assert!(used > 0 && refused > 0, "{name}: {used} {refused}");
}
