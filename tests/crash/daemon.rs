//! The daemon: one job per process.

use crate::host;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use svirt::domain::{Definition, Domain, Flags, Kind, Resource, Uuid};
use svirt::driver::apparmor::load::is_enabled;
use svirt::driver::selinux::Selinux;
use svirt::error::Result;
use svirt::image::{self, Label, Settings, Step, Store, Task};
use svirt::manager::Manager;
use svirt::options::Options;
use svirt::reservation::{Holder, Registry};

/// All that this host can do.
pub fn stacks() -> Vec<&'static str> {
    let mut all = vec!["dac", "dac-ledger", "uids", "uids-ledger", "contexts", "contexts-ledger"];
    if Selinux::available().is_ok() {
        all.extend(["selinux", "selinux-ledger", "selinux-uids"]);
        all.retain(|stack| !stack.starts_with("contexts"));
    }
    if is_enabled() {
        all.push("apparmor");
    }
    all
}

/// Whether a process can have the labels of a stack without a policy.
pub fn is_plain(stack: &str) -> bool {
    !stack.starts_with("selinux") && stack != "apparmor"
}

/// Whether a read-only disk has another label than one that is written, both on the file itself.
fn changes(stack: &str) -> bool {
    ["contexts", "contexts-ledger", "selinux", "selinux-ledger"].contains(&stack)
}

const A: Uuid = Uuid([0xa; 16]);
const B: Uuid = Uuid([0xb; 16]);

/// The disks of a guest: name and flags.
fn disks(guest: Uuid) -> Vec<(&'static str, u32)> {
    let mut own = if guest == A { vec![("private-a", 0), ("plain-a", 0)] } else { vec![("private-b", 0)] };
    own.extend([("shared", 2), ("iso", 1)]);
    own
}

/// What the six methods are called on: a manager, or where the kernel has no such label, the images alone.
enum Daemon {
    Manager(Box<Manager>),
    Images { store: Store, durable: bool },
}

impl Daemon {
    fn open(stack: &str, directory: &Path) -> Result<Self> {
        let durable = !stack.ends_with("-ledger");
        let (run, state) = (directory.join("run"), directory.join("state"));
        if stack.starts_with("contexts") {
            let store = Store::open(Registry::open(&run)?, &state)?;
            return Ok(Self::Images { store, durable });
        }
        let mut options = Options::default();
        options.set("owner", "crash")?;
        options.set("runtime_dir", run.to_str().unwrap())?;
        options.set("state_dir", state.to_str().unwrap())?;
        options.set("remember", if durable { "xattr" } else { "ledger" })?;
        if stack.contains("uids") {
            options.set("dac.uid_range", "100000-100999")?;
        } else {
            // A user that is found at once: whoever is unknown is looked for in many places.
            options.set("dac.user", "+65534")?;
            options.set("dac.group", "+4001")?;
        }
        // One that is compiled soon: this test is about what is loaded, not about what it allows.
        options.set("apparmor.template", directory.join("template").to_str().unwrap())?;
        options.set("apparmor.profile_dir", directory.join("profiles").to_str().unwrap())?;
        let drivers = match stack {
            "selinux" | "selinux-ledger" => "selinux",
            "selinux-uids" => "selinux,dac",
            "apparmor" => "apparmor",
            _ => "dac",
        };
        Ok(Self::Manager(Box::new(Manager::open(Some(drivers), &options)?)))
    }

    fn images<R>(&self, guest: Uuid, work: impl FnOnce(Holder, &Settings<'_>) -> Result<R>) -> Result<R> {
        let Self::Images { store, durable } = self else { unreachable!() };
        let settings = Settings { durable: *durable, store, tolerates: &|_, _| false };
        work(Holder { owner: 1, uuid: guest }, &settings)
    }
}

/// A guest as a daemon has it.
struct Guest<'a> {
    daemon: &'a Daemon,
    directory: &'a Path,
    uuid: Uuid,
    domain: Domain,
}

impl<'a> Guest<'a> {
    fn new(daemon: &'a Daemon, directory: &'a Path, uuid: Uuid) -> Self {
        let mut definition = Definition::new("guest", uuid, "kvm").unwrap();
        for (name, flags) in disks(uuid) {
            definition.resources.push(resource(directory, name, flags));
        }
        Self { daemon, directory, uuid, domain: Domain::new(definition) }
    }

    fn step(&self, name: &str, flags: u32) -> Step {
        let label = match flags {
            0 => format!("system_u:object_r:svirt_image_t:s0:c1,c{}", self.uuid.0[0]),
            1 => "system_u:object_r:virt_content_t:s0".to_owned(),
            _ => "system_u:object_r:svirt_image_t:s0".to_owned(),
        };
        let label = Label::Context(label.into());
        let path = self.directory.join(name);
        Step { path, model: "selinux", label, optional: false, directory: false, original: None }
    }

    fn generate(&self) -> Result<()> {
        match self.daemon {
            Daemon::Manager(manager) => manager.gen_security_label(&self.domain),
            Daemon::Images { .. } => Ok(()),
        }
    }

    fn set(&self) -> Result<()> {
        match self.daemon {
            Daemon::Manager(manager) => manager.set_security_all_label(&self.domain),
            daemon => daemon.images(self.uuid, |holder, settings| {
                let steps = disks(self.uuid).into_iter().map(|(name, flags)| self.step(name, flags));
                image::run(vec![Task::Set(holder, steps.collect())], settings, || Ok(()))
            }),
        }
    }

    fn plug(&self, name: &str) -> Result<()> {
        match self.daemon {
            Daemon::Manager(manager) => {
                manager.set_security_resource_label(&self.domain, resource(self.directory, name, 0))
            }
            daemon => daemon.images(self.uuid, |holder, settings| {
                image::run(vec![Task::Set(holder, vec![self.step(name, 0)])], settings, || Ok(()))
            }),
        }
    }

    /// An image that the guest has is plugged as a read-only one, or as one that is written.
    fn change(&self, name: &str, flags: u32) -> Result<()> {
        let readonly = if flags == 0 { "" } else { "<readonly/>" };
        let file = self.directory.join(name);
        match self.daemon {
            Daemon::Manager(manager) => manager.set_security_device_label(
                &self.domain,
                &format!(
                    "<disk type='file'><source file='{}'/><target dev='vdb'/>{readonly}</disk>",
                    file.display()
                ),
            ),
            daemon => daemon.images(self.uuid, |holder, settings| {
                image::run(vec![Task::Plug(holder, vec![self.step(name, flags)])], settings, || Ok(()))
            }),
        }
    }

    fn unplug(&self, name: &str) -> Result<()> {
        match self.daemon {
            Daemon::Manager(manager) => {
                manager.restore_security_resource_label(&self.domain, &resource(self.directory, name, 0))
            }
            daemon => daemon.images(self.uuid, |holder, settings| {
                image::run(vec![Task::Restore(holder, vec![self.directory.join(name)])], settings, || Ok(()))
            }),
        }
    }

    /// One image comes and one goes, together.
    fn swap(&self, comes: &str, goes: &str) -> Result<()> {
        match self.daemon {
            Daemon::Manager(manager) => {
                manager.transaction_start()?;
                let collected = self.plug(comes).and_then(|()| self.unplug(goes));
                if collected.is_err() {
                    manager.transaction_abort();
                }
                collected.and_then(|()| manager.transaction_commit(-1))
            }
            daemon => daemon.images(self.uuid, |holder, settings| {
                let tasks = vec![
                    Task::Set(holder, vec![self.step(comes, 0)]),
                    Task::Restore(holder, vec![self.directory.join(goes)]),
                ];
                image::run(tasks, settings, || Ok(()))
            }),
        }
    }

    fn pivot(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.directory.join(from), self.directory.join(to));
        match self.daemon {
            Daemon::Manager(manager) => manager.move_image(&self.domain, &from, &to),
            daemon => daemon.images(self.uuid, |holder, settings| {
                image::run(vec![Task::Move(holder, from.clone(), to.clone())], settings, || Ok(()))
            }),
        }
    }

    /// Takes the guest over from a daemon that is dead; `pid` is the guest's process.
    fn reserve(&self, pid: u32) -> Result<()> {
        match self.daemon {
            Daemon::Manager(manager) => manager.reserve_security_label(&self.domain, pid as libc::pid_t),
            daemon => daemon.images(self.uuid, |holder, settings| {
                let steps: Vec<Step> =
                    disks(self.uuid).into_iter().map(|(name, flags)| self.step(name, flags)).collect();
                image::adopt(holder, &steps, settings, |_, _| None)
            }),
        }
    }

    fn restore(&self) -> Result<()> {
        match self.daemon {
            Daemon::Manager(manager) => manager.restore_security_all_label(&self.domain, false),
            daemon => daemon.images(self.uuid, |holder, settings| {
                image::run(vec![Task::RestoreAll(holder, false)], settings, || Ok(()))
            }),
        }
    }

    fn release(&self) -> Result<()> {
        match self.daemon {
            Daemon::Manager(manager) => manager.release_security_label(&self.domain),
            Daemon::Images { .. } => Ok(()),
        }
    }
}

fn resource(directory: &Path, name: &str, flags: u32) -> Resource {
    Resource::new(Kind::Disk, &directory.join(name), Flags::from_bits(flags).unwrap()).unwrap()
}

fn reconcile(daemon: &Daemon, live: &[Uuid]) -> Result<()> {
    match daemon {
        Daemon::Manager(manager) => {
            manager.reconcile(&live.iter().copied().collect::<HashSet<_>>()).map(drop)
        }
        daemon => daemon.images(A, |holder, settings| {
            let dead = image::domains(holder.owner, settings)?;
            let dead = dead.into_iter().filter(|holder| !live.contains(&holder.uuid));
            dead.into_iter().try_for_each(|holder| image::bury(holder, settings))
        }),
    }
}

/// Something that may fail once: a clear error, and the second time it works.
fn again<R>(what: &str, work: impl Fn() -> Result<R>, failed: impl FnOnce()) -> R {
    work().unwrap_or_else(|error| {
        assert!(error.errno() > 0 && !error.to_string().is_empty());
        failed();
        match work() {
            Ok(value) => value,
            Err(second) => panic!("{what} failed again with: {second}\nafter: {error}"),
        }
    })
}

/// Between two of these the tracer counts.
fn mark() {
    // SAFETY: raise has no conditions.
    unsafe { libc::raise(libc::SIGSTOP) };
}

pub fn run(stack: &str, directory: &Path, job: &str) {
    match job {
        // The other guest is started; its daemon ends and it lives on.
        "first" => start_other(stack, directory),
        "start" => {
            let daemon = Daemon::open(stack, directory).unwrap();
            let guest = Guest::new(&daemon, directory, A);
            guest.generate().unwrap();
            guest.set().unwrap();
            guest.plug("hot-a").unwrap();
        }
        "life" => {
            mark();
            let daemon = again("open", || Daemon::open(stack, directory), || {});
            let guest = Guest::new(&daemon, directory, A);
            again("gen", || guest.generate(), || {});
            again("set", || guest.set(), || rolled_back(directory, &["private-a", "plain-a"]));
            again("plug", || guest.plug("hot-a"), || rolled_back(directory, &["hot-a"]));
            if changes(stack) {
                // Looked at after a failure only: what the test itself asks may not fail.
                let content =
                    || host::attribute(directory, "hot-a", "security.selinux").contains("virt_content_t");
                again("change", || guest.change("hot-a", 1), || assert!(!content()));
                again("change back", || guest.change("hot-a", 0), || assert!(content()));
            }
            again("move", || guest.pivot("hot-a", "moved-a"), || {});
            again("transaction", || guest.swap("hot-a", "moved-a"), || {});
            again("unplug", || guest.unplug("hot-a"), || {});
            again("restore", || guest.restore(), || {});
            again("release", || guest.release(), || {});
            mark();
            rolled_back(directory, &["private-a", "plain-a", "hot-a", "moved-a"]);
        }
        "reserve" => {
            let mut process = process(directory);
            mark();
            let daemon = again("open", || Daemon::open(stack, directory), || {});
            let guest = Guest::new(&daemon, directory, A);
            again("reserve", || guest.reserve(process.id()), || {});
            again("restore", || guest.restore(), || {});
            again("release", || guest.release(), || {});
            mark();
            process.kill().and_then(|()| process.wait()).unwrap();
            rolled_back(directory, &["private-a", "plain-a", "hot-a"]);
        }
        "reconcile" => {
            mark();
            let daemon = again("open", || Daemon::open(stack, directory), || {});
            again("reconcile", || reconcile(&daemon, &[B]), || {});
            mark();
        }
        "recover" => recover(stack, directory),
        _ => panic!("unknown job {job}"),
    }
}

/// The process of a guest that was started, as far as the guest's disk tells; it ends with this one.
fn process(directory: &Path) -> Child {
    let owner = std::fs::metadata(directory.join("private-a")).unwrap();
    let mut command = Command::new("/bin/cat");
    command.uid(owner.uid()).gid(owner.gid()).stdin(Stdio::piped()).stdout(Stdio::null());
    command.spawn().unwrap()
}

fn rolled_back(directory: &Path, names: &[&str]) {
    for name in names {
        assert!(
            host::is_pristine(directory, name),
            "not rolled back: {}",
            host::facts(directory, name, true)
        );
    }
}

fn start_other(stack: &str, directory: &Path) {
    let daemon = Daemon::open(stack, directory).unwrap();
    let guest = Guest::new(&daemon, directory, B);
    guest.generate().unwrap();
    guest.set().unwrap();
    host::save(directory, "other", false);
}

fn recover(stack: &str, directory: &Path) {
    let daemon = Daemon::open(stack, directory).unwrap();
    reconcile(&daemon, &[B]).unwrap();
    host::compare(directory, "other", false);
    let owners = |uuid| {
        let registry = Registry::open(&directory.join("run")).unwrap();
        let every = [1, owner_digest()].map(|owner| registry.domains(owner).unwrap()).concat();
        every.iter().any(|holder| holder.uuid == uuid)
    };
    assert!(!owners(A), "the dead guest still has something reserved");
    // The other guest stops: nobody is left, and everything is as at the very beginning.
    let guest = Guest::new(&daemon, directory, B);
    guest.restore().unwrap();
    guest.release().unwrap();
    host::compare(directory, "pristine", true);
    assert!(!owners(B), "nobody is left but somebody has something reserved");
    drop(daemon);
    start_other(stack, directory);
}

/// As the manager makes it from the option `owner`.
fn owner_digest() -> u32 {
    b"crash".iter().fold(0x811c_9dc5_u32, |d, b| (d ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}
