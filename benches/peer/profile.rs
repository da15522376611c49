//! AppArmor, in a kernel that enforces it: a profile made and loaded at start, and changed when a disk is plugged.
//! libvirt lets its helper do both.

use crate::libvirt::Libvirt;
use crate::measure::{Thing, time, turns};
use crate::ours::Ours;
use crate::place::Place;
use crate::side::{Side, images, xml};
use crate::table::{Aim, Row};
use std::time::Duration;

pub fn apparmor() {
    let place = Place::new();
    let ours = Ours::open("apparmor", &place.run, &place.state);
    let libvirt = Libvirt::open("apparmor").unwrap();
    let paths = images(&place.files, "disk", 2);
    let guest = |number| xml(number, &paths[..1], "", "");
    let (mine, theirs) = (ours.guest(&guest(1)), libvirt.guest(&guest(2)));
    let plugged = libvirt.guest(&xml(3, &paths[1..], "", ""));
    let mut things: [Thing<'_>; 2] = [
        Box::new(|| {
            let start = time(|| {
                ours.take(&mine);
                ours.set(&mine);
            });
            let plug = time(|| ours.plug(&mine, &paths[1]));
            ours.unplug(&mine, &paths[1]);
            let stop = time(|| ours.restore(&mine));
            ours.release(&mine);
            vec![start, plug, stop]
        }),
        Box::new(|| {
            let start = time(|| {
                libvirt.take(&theirs);
                libvirt.set(&theirs);
            });
            let plug = time(|| libvirt.plug(&theirs, &plugged));
            libvirt.unplug(&theirs, &plugged);
            let stop = time(|| libvirt.restore(&theirs));
            libvirt.release(&theirs);
            vec![start, plug, stop]
        }),
    ];
    let rounds = turns(Duration::from_secs(60), &mut things);
    for (part, name, aims) in [
        (0, "AppArmor: start", &[Aim::OfLibvirt(0.5)][..]),
        (1, "AppArmor: hot plug of a disk", &[Aim::OfLibvirt(0.5)]),
        (2, "AppArmor: stop", &[]),
    ] {
        let (a, b) = (rounds.part(0, part), rounds.part(1, part));
        Row { libvirt: Some(b * 1e3), ratio: Some(a / b), ..Row::ours(name, "ms", a * 1e3, aims) }.say();
    }
}
