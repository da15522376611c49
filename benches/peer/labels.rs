//! What labels cost: made and given back, while few or nearly all pairs of categories are taken.

use crate::libvirt::Libvirt;
use crate::measure::{Thing, each, heap, median, time, turns};
use crate::ours::Ours;
use crate::place::Place;
use crate::side::{Side, many, xml};
use crate::table::{Aim, Row, point};
use std::time::Duration;

const PAIRS: usize = 523_776;
const NANO: f64 = 1e9;

/// While nothing is taken.
pub fn first() {
    allocate(&[0]);
}

/// Until only one pair is left: there libvirt guesses half a million times, and behind it for ever.
pub fn allocation() {
    allocate(&[0, share(500_000), share(900_000), share(990_000), NEARLY_ALL, share(999_900), ALL_BUT_ONE]);
}

fn allocate(levels: &[usize]) {
    let place = Place::new();
    let ours = Ours::open("selinux", &place.run, &place.state);
    let libvirt = Libvirt::open("selinux").unwrap();
    let (guest, definition) = (ours.guest(&xml(PAIRS, &[], "", "")), libvirt.guest(&xml(PAIRS, &[], "", "")));
    let filler = libvirt.guest(&xml(PAIRS + 1, &[], "", ""));
    let mut taken = 0;
    for &wanted in levels {
        let before = heap();
        for number in taken..wanted {
            ours.take(&ours.guest(&xml(number, &[], "", "")));
        }
        let between = heap();
        for _ in taken..wanted {
            libvirt.take(&filler);
            libvirt.forget_label(&filler);
        }
        if taken == 0 && wanted > 0 {
            let bytes = |all: usize| all as f64 / wanted as f64;
            Row {
                libvirt: Some(bytes(heap() - between)),
                ..Row::ours("memory per live label", "B", bytes(between - before), &[Aim::AtMost(64.0)])
            }
            .say();
        }
        taken = wanted;
        // libvirt's guesses take long at the end.
        let times = if wanted > share(990_000) { 1 } else { 100 };
        let rounds = turns(
            Duration::from_secs(3),
            &mut [
                Box::new(|| vec![each(400, || take_and_release(&ours, &guest))]) as Thing<'_>,
                Box::new(|| vec![each(times, || take_and_release(&libvirt, &definition))]),
            ],
        );
        let left = (PAIRS - wanted) as f64;
        point("allocation", "libsvirt", left, rounds.median(0) * 1e6);
        point("allocation", "libvirt", left, rounds.median(1) * 1e6);
        let row = |name, most| Row::timed(name, "ns", NANO, &rounds, &[Aim::OfLibvirt(most)]).say();
        match wanted {
            0 => row("gen + release", 0.15),
            NEARLY_ALL => row("gen + release, 99.9 % of the pairs taken", 0.01),
            ALL_BUT_ONE => row("gen + release of the last pair", 0.00001),
            _ => {}
        }
    }
    if taken != ALL_BUT_ONE {
        return;
    }
    // libvirt never comes back from this one, so it is not asked.
    ours.take(&guest);
    let one_more = ours.guest(&xml(PAIRS + 2, &[], "", ""));
    let refused = median((0..101).map(|_| time(|| ours.must_be_full(&one_more))).collect());
    Row::ours("gen when every pair is taken (libvirt: never returns)", "ns", refused * NANO, &[]).say();
}

fn take_and_release<S: Side>(side: &S, guest: &S::Guest) {
    side.take(guest);
    side.release(guest);
}

const NEARLY_ALL: usize = share(999_000);
const ALL_BUT_ONE: usize = PAIRS - 1;

/// This many millionths of all pairs.
const fn share(millionths: usize) -> usize {
    PAIRS * millionths / 1_000_000
}

/// Domain XML read and freed.
pub fn domain_xml() {
    let place = Place::new();
    let ours = Ours::open("dac", &place.run, &place.state);
    let libvirt = Libvirt::open("dac").unwrap();
    for (disks, most) in [(1, Some(0.2)), (10, None), (100, None), (1000, Some(0.05))] {
        let paths: Vec<_> = (0..disks).map(|at| place.files.join(format!("disk-{at}.img"))).collect();
        let text = xml(1, &paths, "", "");
        let count = 100 / disks + 1;
        let rounds = turns(
            Duration::from_secs(4),
            &mut [
                Box::new(|| vec![each(count, || drop(ours.guest(&text)))]) as Thing<'_>,
                Box::new(|| vec![each(count, || drop(libvirt.guest(&text)))]),
            ],
        );
        point("xml", "libsvirt", disks as f64, rounds.median(0) * 1e6);
        point("xml", "libvirt", disks as f64, rounds.median(1) * 1e6);
        if let Some(most) = most {
            Row::timed(
                format!("domain XML, {}", many(disks, "disk")),
                "µs",
                1e6,
                &rounds,
                &[Aim::OfLibvirt(most)],
            )
            .say();
        }
    }
}
