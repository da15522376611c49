//! Every resource of a libvirt domain, in every driver: cold and hot, from XML and from calls, set and
//! given back. As root; the labels of SELinux where the kernel runs it, its decisions everywhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod apparmor;
mod host;
mod landlock;
mod table;

use host::{Fixture, State, present};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use svirt::domain::access::Scope;
use svirt::domain::{Definition, Domain, Flags, Host, Kind, Resource, Uuid, xml};
use svirt::driver::selinux::Selinux;
use svirt::driver::selinux::decide::{Wanted, decide};
use svirt::manager::Manager;
use svirt::options::Options;
use table::{OWN_CONTEXT, OWN_OWNER, ROWS, Row, Want};
use tempfile::TempDir;

/// A manager, the host that it labels, and what every file was before.
struct Test {
    host: Fixture,
    before: BTreeMap<String, State>,
    manager: Manager,
    /// What the stack does.
    selinux: bool,
    dac: Option<Dac>,
    _runtime: TempDir,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dac {
    OneUser,
    UidEach,
}

impl Test {
    fn new(drivers: &str, dac: Option<Dac>) -> Self {
        let runtime = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        let mut set = |name, value: &str| options.set(name, value).unwrap();
        set("runtime_dir", runtime.path().join("run").to_str().unwrap());
        set("state_dir", runtime.path().join("state").to_str().unwrap());
        match dac {
            Some(Dac::OneUser) => {
                set("dac.user", "+107");
                set("dac.group", "+108");
            }
            Some(Dac::UidEach) => set("dac.uid_range", "300000-300099"),
            None => {}
        }
        let host = Fixture::new();
        let before = host.states();
        let manager = Manager::open(Some(drivers), &options).unwrap().with_host(host.host());
        Self { host, before, manager, selinux: drivers.contains("selinux"), dac, _runtime: runtime }
    }

    fn everything(&self) -> Domain {
        let all: Vec<&Row> = ROWS.iter().collect();
        Domain::new(xml::from_xml(&self.host.xml(uuid(), &all)).unwrap())
    }

    /// Checks that exactly these rows have their labels.
    fn check(&self, domain: &Domain, rows: &[&Row]) {
        let now = self.host.states();
        let definition = domain.lock().unwrap();
        let mut labelled = Vec::new();
        for row in rows {
            for (path, _, want, access) in present(row) {
                let (state, before) = (&now[*path], &self.before[*path]);
                let what = format!("{}: {path}", row.name);
                if self.selinux {
                    self.check_context(&definition, *want, state, before, &what);
                }
                if let Some(dac) = self.dac {
                    check_owner(&definition, dac, *want, access.contains('w'), state, before, &what);
                }
                labelled.push(*path);
            }
        }
        for (path, state) in now.iter().filter(|(path, _)| !labelled.contains(&path.as_str())) {
            assert_eq!(*state, self.before[path], "{path} is nobody's");
        }
    }

    fn check_context(&self, definition: &Definition, want: Want, state: &State, before: &State, what: &str) {
        let image = definition.seclabel("selinux").unwrap().image_label.clone().unwrap();
        let wanted = match want {
            Want::Image => image,
            Want::Shared => "system_u:object_r:svirt_image_t:s0".to_owned(),
            Want::Content => "system_u:object_r:virt_content_t:s0".to_owned(),
            Want::Own => OWN_CONTEXT.to_owned(),
            Want::Nothing => before.context(),
        };
        assert_eq!(state.context(), wanted, "{what}");
    }

    fn check_given_back(&self) {
        for (path, state) in self.host.states() {
            assert_eq!(state, self.before[&path], "{path} is not as it was");
        }
    }
}

fn check_owner(
    definition: &Definition,
    dac: Dac,
    want: Want,
    write: bool,
    state: &State,
    before: &State,
    what: &str,
) {
    let label = definition.seclabel("dac").unwrap().image_label.clone().unwrap();
    let ids: Vec<u32> = label.split(':').map(|id| id.trim_start_matches('+').parse().unwrap()).collect();
    let several = matches!(want, Want::Shared | Want::Content);
    let granted =
        (dac == Dac::UidEach && several).then_some(4 | u16::from(write) << 1 | u16::from(state.directory));
    let owner = match want {
        Want::Own => OWN_OWNER,
        Want::Nothing => before.owner,
        _ if granted.is_some() => before.owner,
        _ => (ids[0], ids[1]),
    };
    assert_eq!(state.owner, owner, "{what}");
    assert_eq!(state.granted(ids[0]), granted, "{what}");
}

fn uuid() -> Uuid {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let mut uuid = [0xc4; 16];
    uuid[15] = NEXT.fetch_add(1, Ordering::Relaxed);
    Uuid(uuid)
}

/// All at once; what was labelled by one handle is given back by another, made from its XML.
fn cold(drivers: &str, dac: Option<Dac>) {
    let test = Test::new(drivers, dac);
    let all: Vec<&Row> = ROWS.iter().collect();
    let domain = test.everything();
    test.manager.gen_security_label(&domain).unwrap();
    test.manager.set_security_all_label(&domain).unwrap();
    test.check(&domain, &all);
    let text = xml::to_xml(&domain.lock().unwrap()).unwrap();
    drop(domain);
    let again = Domain::new(xml::from_xml(&text).unwrap());
    test.check(&again, &all);
    test.manager.restore_security_all_label(&again, false).unwrap();
    test.check_given_back();
    test.manager.release_security_label(&again).unwrap();
}

/// One after another, and back one after another.
fn hot(drivers: &str, dac: Option<Dac>) {
    let test = Test::new(drivers, dac);
    let domain = Domain::new(Definition::new("rows", uuid(), "kvm").unwrap());
    test.manager.gen_security_label(&domain).unwrap();
    test.manager.set_security_all_label(&domain).unwrap();
    let mut plugged: Vec<&Row> = Vec::new();
    for (at, row) in ROWS.iter().enumerate() {
        for resource in test.host.resources(row) {
            test.manager.set_security_resource_label(&domain, resource).unwrap();
        }
        plugged.push(row);
        // Looking at everything takes longer than labelling it.
        if at % 8 == 0 {
            test.check(&domain, &plugged);
        }
    }
    test.check(&domain, &plugged);
    for (at, row) in ROWS.iter().enumerate().rev() {
        for resource in test.host.resources(row).iter().rev() {
            test.manager.restore_security_resource_label(&domain, resource).unwrap();
        }
        plugged.pop();
        if at % 8 == 0 {
            test.check(&domain, &plugged);
        }
    }
    test.check_given_back();
    assert!(domain.lock().unwrap().resources.is_empty());
    test.manager.release_security_label(&domain).unwrap();
}

/// By calls that name kind, path and flags, as a daemon without XML makes them.
fn built(drivers: &str, dac: Option<Dac>) {
    let test = Test::new(drivers, dac);
    let mut definition = Definition::new("rows", uuid(), "kvm").unwrap();
    let named = |row: &Row| {
        row.files.iter().any(|(_, _, want, _)| *want == Want::Own) || row.name.contains("relabel")
    };
    // A seclabel of one device is something that only XML has.
    let rows: Vec<&Row> = ROWS.iter().filter(|row| !named(row)).collect();
    for row in &rows {
        for resource in test.host.resources(row) {
            // A directory in sysfs and the state of a TPM are named as such, everything else file by file.
            let whole = test.host.path(resource.path.strip_prefix("/").unwrap().to_str().unwrap());
            let whole = if whole.is_dir() { whole } else { resource.path.clone() };
            let places = match (resource.kind, whole.is_dir()) {
                (Kind::HostdevPci, true) if !whole.join("iommu_group").is_symlink() => vec![whole],
                (Kind::HostdevMdev | Kind::HostdevScsi | Kind::TpmState, true) => vec![whole],
                // What comes with a device comes with it here too.
                _ => files(&test.host.host(), &resource)
                    .into_iter()
                    .filter(|file| file.flags.no_relabel == resource.flags.no_relabel)
                    .map(|file| file.path)
                    .collect(),
            };
            for (at, path) in places.iter().enumerate() {
                let below = resource.path.ends_with("q/top") && at > 0;
                let flags = Flags { backing: resource.flags.backing || below, ..resource.flags };
                let added = Resource::new(resource.kind, path, flags).unwrap();
                definition
                    .resources
                    .push(Resource { optional: resource.optional || added.optional, ..added });
            }
        }
    }
    definition
        .resources
        .push(Resource::new(Kind::SavedState, &test.host.path("saved"), Flags::default()).unwrap());
    let domain = Domain::new(definition);
    test.manager.gen_security_label(&domain).unwrap();
    test.manager.set_security_all_label(&domain).unwrap();
    let saved = Row {
        name: "saved state",
        place: table::Place::Domain,
        xml: "",
        files: &[("saved", table::Make::File, Want::Content, "rw")],
    };
    let mut rows = rows;
    rows.push(&saved);
    test.check(&domain, &rows);
    let again = xml::from_xml(&xml::to_xml(&domain.lock().unwrap()).unwrap()).unwrap();
    assert_eq!(again.resources.len(), domain.lock().unwrap().resources.len());
    test.manager.restore_security_all_label(&domain, false).unwrap();
    test.check_given_back();
    test.manager.release_security_label(&domain).unwrap();
}

fn files(host: &Host, resource: &Resource) -> Vec<Resource> {
    host.files(resource).unwrap()
}

/// Two guests at a time use everything that is not one guest's own; the last one gives it back.
fn two_guests(drivers: &str, dac: Option<Dac>) {
    let test = Test::new(drivers, dac);
    let several = |row: &&Row| {
        row.files.iter().all(|(_, _, want, _)| matches!(want, Want::Shared | Want::Content | Want::Nothing))
    };
    let rows: Vec<&Row> = ROWS.iter().filter(several).collect();
    assert!(rows.len() >= 18, "{} rows", rows.len());
    let [one, other] = [uuid(), uuid()].map(|uuid| {
        let domain = Domain::new(xml::from_xml(&test.host.xml(uuid, &rows)).unwrap());
        test.manager.gen_security_label(&domain).unwrap();
        test.manager.set_security_all_label(&domain).unwrap();
        domain
    });
    test.check(&one, &rows);
    test.check(&other, &rows);
    test.manager.restore_security_all_label(&one, false).unwrap();
    test.check(&other, &rows);
    test.manager.restore_security_all_label(&other, false).unwrap();
    test.check_given_back();
    for domain in [one, other] {
        test.manager.release_security_label(&domain).unwrap();
    }
}

#[test]
fn dac() {
    cold("dac", Some(Dac::OneUser));
    hot("dac", Some(Dac::OneUser));
    built("dac", Some(Dac::OneUser));
    two_guests("dac", Some(Dac::OneUser));
}

#[test]
fn dac_with_a_uid_each() {
    cold("dac", Some(Dac::UidEach));
    hot("dac", Some(Dac::UidEach));
    built("dac", Some(Dac::UidEach));
    two_guests("dac", Some(Dac::UidEach));
}

/// In the kernel that `tests/kernel/selinux.sh` boots; elsewhere the decisions below say the same.
#[test]
fn selinux() {
    if Selinux::available().is_err() {
        println!("this kernel does not run SELinux: only its decisions are checked");
        return;
    }
    cold("selinux", None);
    hot("selinux", None);
    built("selinux", None);
    two_guests("selinux", None);
    cold("selinux,dac", Some(Dac::UidEach));
    hot("selinux,dac", Some(Dac::OneUser));
}

/// What SELinux decides about every file, and what the guest does with it, which rules and rulesets follow.
#[test]
fn decisions() {
    let host = Fixture::new();
    let (mut rows, mut files_seen) = (0, 0);
    for row in ROWS {
        let found: Vec<Resource> =
            host.resources(row).iter().flat_map(|resource| files(&host.host(), resource)).collect();
        for (path, _, want, access) in row.files {
            let of_path: Vec<&Resource> = found.iter().filter(|file| file.path == host.path(path)).collect();
            let Some(file) = of_path.first() else {
                let why = format!("{}: {path} is not among its files", row.name);
                assert!(*want == Want::Nothing && access.is_empty(), "{why}");
                continue;
            };
            let own = svirt::driver::device_label(file, "selinux", true);
            let wanted = match want {
                Want::Image => Wanted::Private,
                Want::Shared => Wanted::Shared,
                Want::Content => Wanted::Content,
                Want::Own => Wanted::Own(OWN_CONTEXT),
                Want::Nothing if access.is_empty() => continue,
                Want::Nothing => Wanted::Nothing,
            };
            let there = host.path(path).symlink_metadata().is_ok();
            if there {
                assert_eq!(decide(file, own, true), wanted, "{}: {path}", row.name);
            }
            let does = file.access();
            let shown = format!("r{}{}", if does.write { "w" } else { "" }, if does.lock { "k" } else { "" });
            assert_eq!(shown, *access, "{}: {path}", row.name);
            assert_eq!(does.scope == Scope::Socket, path.starts_with("s/"), "{}: {path}", row.name);
            files_seen += 1;
        }
        rows += 1;
    }
    assert!(rows >= 60 && files_seen >= 75, "{rows} rows, {files_seen} files");
}
