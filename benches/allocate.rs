//! What a unique label costs: gen and release of category pairs with more and more of them taken, beside the
//! bare system calls that they need.

#![allow(missing_docs, clippy::unwrap_used)]

use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use svirt::domain::{Definition, Domain, Uuid};
use svirt::driver::selinux::levels::Pairs;
use svirt::manager::Manager;
use svirt::options::Options;
use svirt::reservation::{Class, Holder, Registry, Universe};

const BATCH: u32 = 40_000;
const BATCHES: usize = 9;

fn main() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let pairs = Arc::new(Pairs::new(None, None).unwrap());
    let all = pairs.size();
    let registry = Registry::open(&folder.path().join("run")).unwrap();
    let range = registry.add_range(pairs);
    let bare = bare(&folder.path().join("bare"));
    println!("gen and release of one of {all} pairs, and their four system calls alone: {bare:.0} ns\n");
    println!("{:>18} {:>12} {:>14}", "pairs taken", "ns a pair", "of bare calls");
    let mut taken = 0;
    let mut first = None;
    for wanted in [0, all / 2, all / 1000 * 999, all - 1] {
        for number in taken..wanted {
            registry.take_any(range, holder(number)).unwrap().unwrap();
        }
        taken = wanted;
        let next = holder(all);
        let time = median(|| {
            registry.take_any(range, next).unwrap().unwrap();
            registry.release(Class::Level, next).unwrap();
        });
        let share = 100.0 * f64::from(taken) / f64::from(all);
        println!("{taken:>8} {share:>7.3} % {time:>12.0} {:>13.2}x", time / bare);
        let first = *first.get_or_insert(time);
        if taken == all - 1 {
            println!("\nthe last pair costs {:.2} times the first", time / first);
        }
    }
    registry.take_any(range, holder(taken)).unwrap().unwrap();
    let none = median(|| assert!(registry.take_any(range, holder(all)).unwrap().is_none()));
    println!("nothing left: said after {none:.0} ns");
    let whole = through_a_manager(folder.path());
    println!(
        "\nthe same through a manager (a domain of dac, a uid each): {whole:.0} ns, {:.2}x",
        whole / bare
    );
}

fn holder(number: u32) -> Holder {
    let mut uuid = [0; 16];
    uuid[..4].copy_from_slice(&number.to_le_bytes());
    Holder { owner: 1, uuid: Uuid(uuid) }
}

/// Nanoseconds a call takes: the median of some batches.
fn median(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            (0..BATCH).for_each(|_| work());
            start.elapsed().as_nanos() as f64 / f64::from(BATCH)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[BATCHES / 2]
}

/// One record appended and its place asked for, twice: a pair taken and given back.
fn bare(path: &Path) -> f64 {
    let mut file: File = OpenOptions::new().append(true).create(true).open(path).unwrap();
    median(|| {
        for _ in 0..2 {
            file.write_all(&[7; 32]).unwrap();
            file.stream_position().unwrap();
        }
    })
}

fn through_a_manager(folder: &Path) -> f64 {
    let mut options = Options::default();
    options.set("runtime_dir", folder.join("whole").to_str().unwrap()).unwrap();
    options.set("dac.uid_range", "100000-165535").unwrap();
    let manager = Manager::open(Some("dac"), &options).unwrap();
    let domain = Domain::new(Definition::new("guest", Uuid([9; 16]), "kvm").unwrap());
    median(|| {
        manager.gen_security_label(&domain).unwrap();
        manager.release_security_label(&domain).unwrap();
    })
}
