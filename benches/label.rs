//! What labelling costs: set-all and restore-all of guests with more and more disks on tmpfs, beside a bare loop
//! of the same system calls in the same run. As root.

#![allow(missing_docs, unsafe_code, clippy::unwrap_used)]

#[path = "peer/floor.rs"]
mod floor;

use floor::{Floor, Label};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;
use svirt::domain::{Definition, Domain, Flags, Kind, Resource, Uuid};
use svirt::manager::Manager;
use svirt::options::Options;

const OWNER: u32 = 4711;

fn main() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut options = Options::default();
    for (name, value) in [("runtime_dir", "run"), ("state_dir", "state")] {
        options.set(name, folder.path().join(value).to_str().unwrap()).unwrap();
    }
    options.set("dac.user", &format!("+{OWNER}")).unwrap();
    let manager = Manager::open(Some("dac"), &options).unwrap();
    println!("set-all and restore-all of a guest (dac, remembered in attributes) on tmpfs");
    println!("{:>6} {:>14} {:>14} {:>8}", "disks", "µs a disk", "bare calls", "ratio");
    for disks in [1, 10, 100, 1000] {
        let paths: Vec<PathBuf> =
            (0..disks).map(|n| folder.path().join(format!("{disks}-{n}.img"))).collect();
        let mut definition = Definition::new("guest", Uuid([9; 16]), "kvm").unwrap();
        for path in &paths {
            File::create(path).unwrap();
            definition.resources.push(Resource::new(Kind::Disk, path, Flags::default()).unwrap());
        }
        let domain = Domain::new(definition);
        manager.gen_security_label(&domain).unwrap();
        let floor = Floor::new(&paths, Label::Owner(OWNER));
        let (mut library, mut bare) = (Vec::new(), Vec::new());
        // Taking turns, so that both see the same machine.
        for _ in 0..(6000 / disks).clamp(15, 600) {
            let start = Instant::now();
            manager.set_security_all_label(&domain).unwrap();
            manager.restore_security_all_label(&domain, false).unwrap();
            library.push(start.elapsed());
            let start = Instant::now();
            floor.set();
            floor.restore();
            bare.push(start.elapsed());
        }
        manager.release_security_label(&domain).unwrap();
        paths.iter().for_each(|path| untouched(path));
        let median = |mut times: Vec<std::time::Duration>| {
            times.sort();
            times[times.len() / 2].as_secs_f64() * 1e6 / disks as f64
        };
        let (library, bare) = (median(library), median(bare));
        println!("{disks:>6} {library:>14.2} {bare:>14.2} {:>8.2}", library / bare);
    }
}

fn untouched(path: &Path) {
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(path).unwrap().uid(), 0, "{path:?}");
    fs::remove_file(path).unwrap();
}
