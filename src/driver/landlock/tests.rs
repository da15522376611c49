use super::*;
use crate::domain::{Flags, Kind, SeclabelType};
use std::fs;
use std::path::PathBuf;

const UUID: &str = "0b15ad3c-11f4-4b0c-a8e2-00000000000a";

fn domain() -> Definition {
    let mut domain = Definition::new("guest", UUID.parse().unwrap(), "qemu").unwrap();
    domain.emulator = Some("/usr/bin/qemu-system-x86_64".into());
    domain
}

fn resource(kind: Kind, path: impl Into<PathBuf>, bits: u32) -> Resource {
    Resource::new(kind, &path.into(), Flags::from_bits(bits).unwrap()).unwrap()
}

fn seclabel(kind: SeclabelType, label: Option<&str>) -> Seclabel {
    Seclabel::new(Some("landlock"), kind, label, None).unwrap()
}

/// A driver that knows the domain, and the domain's seclabel.
fn begun(domain: &Definition) -> (Landlock, Seclabel) {
    let (driver, seclabel) = (Landlock::open(false).unwrap(), seclabel(SeclabelType::Dynamic, None));
    driver.gen_security_label(domain, &seclabel).unwrap();
    (driver, seclabel)
}

fn fds() -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|e| fs::read_link(e.unwrap().path()).ok());
    links.filter(|to| to.to_string_lossy().contains("landlock")).count()
}

#[test]
fn the_label_is_the_uuid_and_nothing_else() {
    let (driver, domain) = (Landlock::open(false).unwrap(), domain());
    let own = format!("landlock:{UUID}");
    for (kind, given, wanted) in [
        (SeclabelType::Dynamic, None, Some(own.as_str())),
        (SeclabelType::Static, Some(own.as_str()), Some(own.as_str())),
        (SeclabelType::None, None, None),
    ] {
        let labels = driver.gen_security_label(&domain, &seclabel(kind, given)).unwrap();
        assert_eq!((labels.label.as_deref(), labels.image_label), (wanted, None));
    }
    for (kind, given) in [
        (SeclabelType::Static, "landlock:0b15ad3c-11f4-4b0c-a8e2-00000000000b"),
        (SeclabelType::Static, "svirt"),
        (SeclabelType::Dynamic, "landlock:base"),
    ] {
        let error = driver.gen_security_label(&domain, &seclabel(kind, Some(given))).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
    }
}

#[test]
fn a_missing_disk_is_for_set_all_to_find() {
    let folder = tempfile::tempdir().unwrap();
    let mut domain = domain();
    domain.resources.push(resource(Kind::Disk, folder.path().join("a.img"), 0));
    let (driver, seclabel) = begun(&domain);
    driver.apply(&domain, &seclabel, Moment::Gen).unwrap();
    assert!(driver.set_security_process_label(&domain, "").unwrap().is_some());
    let error = driver.apply(&domain, &seclabel, Moment::SetAll).unwrap_err();
    assert_eq!((error.errno(), error.path()), (libc::ENOENT, Some(&*folder.path().join("a.img"))));
    assert!(driver.set_security_process_label(&domain, "").is_ok(), "the ruleset of gen is still there");
    fs::write(folder.path().join("a.img"), "").unwrap();
    driver.apply(&domain, &seclabel, Moment::SetAll).unwrap();
}

#[test]
fn release_closes_the_ruleset() {
    let domain = domain();
    let (driver, seclabel) = begun(&domain);
    assert_eq!(
        driver.set_security_process_label(&domain, "").unwrap_err().errno(),
        libc::ENODATA,
        "without a ruleset there is no child step"
    );
    driver.apply(&domain, &seclabel, Moment::Gen).unwrap();
    let Some(Step::Restrict(step)) = driver.set_security_process_label(&domain, "").unwrap() else {
        panic!()
    };
    assert!(fds() > 0);
    let weak = Arc::downgrade(&step.ruleset);
    drop(step);
    assert!(weak.upgrade().is_some());
    driver.release_security_label(domain.uuid).unwrap();
    assert!(weak.upgrade().is_none() && !driver.has_security_label(domain.uuid));
}

#[test]
fn what_a_running_guest_has_may_be_plugged_again_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        fs::write(folder.path().join(name), "").unwrap();
        folder.path().join(name)
    };
    fs::create_dir(folder.path().join("shared")).unwrap();
    let mut domain = domain();
    domain.resources = vec![
        resource(Kind::Disk, file("own.img"), 0),
        resource(Kind::Disk, file("cd.iso"), 1),
        resource(Kind::Filesystem, folder.path().join("shared"), 0),
    ];
    let (driver, seclabel) = begun(&domain);
    driver.apply(&domain, &seclabel, Moment::SetAll).unwrap();
    let plug = |kind, path: PathBuf, bits| {
        let mut domain = domain.clone();
        domain.resources.push(resource(kind, path, bits));
        driver.apply(&domain, &seclabel, Moment::Plug { new: 1 }).map_err(|e| (e.errno(), e.to_string()))
    };
    // Nobody runs yet: the ruleset is made anew.
    plug(Kind::Disk, file("early.img"), 0).unwrap();
    driver.apply(&domain, &seclabel, Moment::SetAll).unwrap();
    driver.domains.lock()[&domain.uuid].marks.leave().unwrap();
    plug(Kind::Disk, file("own.img"), 1).unwrap();
    plug(Kind::Disk, file("shared/more.img"), 0).unwrap();
    std::os::unix::fs::symlink("own.img", folder.path().join("link")).unwrap();
    plug(Kind::Disk, folder.path().join("link"), 0).unwrap();
    for (path, bits) in [(file("cd.iso"), 0), (file("other.img"), 0), (file("other.img"), 1)] {
        let (errno, message) = plug(Kind::Disk, path, bits).unwrap_err();
        assert_eq!(errno, libc::ENOTSUP);
        assert!(message.contains("descriptor"), "{message}");
    }
    assert_eq!(plug(Kind::Disk, folder.path().join("none"), 0).unwrap_err().0, libc::ENOENT);
    // A device of several files: each of them is new, and what is not new is not asked about.
    let mut more = domain.clone();
    more.resources.extend(["other.img", "own.img"].map(|name| resource(Kind::Disk, file(name), 0)));
    for (new, errno) in [(2, Some(libc::ENOTSUP)), (1, None)] {
        let plugged = driver.apply(&more, &seclabel, Moment::Plug { new });
        assert_eq!(plugged.err().map(|error| error.errno()), errno, "{new}");
    }
    driver.apply(&domain, &seclabel, Moment::Unplug).unwrap();
}

#[test]
fn a_directory_is_opened_only_where_it_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let mut builder = Builder::new(false).unwrap();
    for (kind, wanted) in [
        (Kind::Disk, false),
        (Kind::Kernel, false),
        (Kind::ChardevFile, false),
        (Kind::Filesystem, true),
        (Kind::Hugepages, true),
        (Kind::TpmState, true),
    ] {
        let want = &resources::wants(&resource(kind, folder.path(), 0))[0];
        assert_eq!(builder.allow(want).unwrap(), wanted, "{kind:?}");
    }
}

#[test]
fn a_socket_is_connected_to_or_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let want = || resources::wants(&resource(Kind::ChardevUnix, &path, 0)).remove(0);
    assert_eq!((want().path.as_path(), want().file), (folder.path(), rules::NOTHING));
    assert_eq!(want().beneath, rules::MAKE_SOCKETS);
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert_eq!((want().path.as_path(), want().beneath), (path.as_path(), rules::NOTHING));
}

#[test]
fn of_a_guest_taken_over_nothing_is_known() {
    let domain = domain();
    let own = std::process::id() as i32;
    let (driver, _) = begun(&domain);
    let live = driver.get_domain_process_label(domain.uuid, own).unwrap();
    assert_eq!(live, Some(unmarked()), "started by this very driver, it would have left a mark");
    driver.domains.lock()[&domain.uuid].marks.leave().unwrap();
    assert_eq!(driver.get_domain_process_label(domain.uuid, own).unwrap(), Some(marked(domain.uuid)));
    assert_eq!(driver.get_security_process_label(own).unwrap(), marked(domain.uuid));
    let later = Landlock::open(false).unwrap();
    let labels = Labels { label: Some(label(domain.uuid)), image_label: None };
    later.reserve_security_label(&domain, &labels).unwrap();
    assert_eq!(later.get_domain_process_label(domain.uuid, own).unwrap(), None);
    assert_eq!(later.get_security_process_label(own).unwrap(), unmarked());
    assert!(matches!(
        later.get_domain_process_label(domain.uuid, i32::MAX).unwrap_err().errno(),
        libc::ENOENT | libc::ESRCH
    ));
}
