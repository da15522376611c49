//! What labelling images costs: one and many, with one driver and two, shared, and from several threads.

use crate::floor::{Floor, Label};
use crate::libvirt::Libvirt;
use crate::measure::{Rounds, Thing, heap, median, time, turns};
use crate::ours::Ours;
use crate::place::Place;
use crate::side::{Side, free, held, images, many, must, xml};
use crate::table::{Aim, Row, point};
use std::ffi::CString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const MICRO: f64 = 1e6;
const SHORT: Duration = Duration::from_secs(3);

/// One guest of each side on the same images; what both leave on them is looked at.
struct Pair<'a> {
    ours: (&'a Ours, <Ours as Side>::Guest),
    libvirt: (&'a Libvirt, <Libvirt as Side>::Guest),
}

fn check<S: Side>(side: &S, guest: &S::Guest, models: &str, paths: &[PathBuf]) {
    must("labelled, remembered, and given back", || {
        side.set(guest);
        let set = held(paths, models, &side.label(guest, c"selinux"), 1);
        side.restore(guest);
        set && free(paths)
    });
}

fn pair<'a>(ours: &'a Ours, libvirt: &'a Libvirt, models: &str, paths: &[PathBuf]) -> Pair<'a> {
    let text = xml(1, paths, "", "");
    let (guest, definition) = (ours.guest(&text), libvirt.guest(&text));
    ours.take(&guest);
    libvirt.take(&definition);
    check(ours, &guest, models, paths);
    check(libvirt, &definition, models, paths);
    Pair { ours: (ours, guest), libvirt: (libvirt, definition) }
}

fn set_and_restore<S: Side>((side, guest): &(&S, S::Guest)) -> Vec<f64> {
    vec![time(|| side.set(guest)), time(|| side.restore(guest))]
}

impl Pair<'_> {
    fn turns(&self, floor: Option<&Floor>) -> Rounds {
        let mut things: Vec<Thing<'_>> =
            vec![Box::new(|| set_and_restore(&self.ours)), Box::new(|| set_and_restore(&self.libvirt))];
        if let Some(floor) = floor {
            things.push(Box::new(|| vec![time(|| floor.set()), time(|| floor.restore())]));
        }
        turns(SHORT, &mut things)
    }

    fn end(self) {
        self.ours.0.release(&self.ours.1);
        self.libvirt.0.release(&self.libvirt.1);
    }
}

/// Set-all and restore-all, remembered and locked, per disk.
pub fn labelling() {
    let place = Place::new();
    let ours = Ours::open("selinux", &place.run, &place.state);
    let libvirt = Libvirt::open("selinux").unwrap();
    for disks in [1, 10, 100, 1000] {
        let paths = images(&place.files, &disks.to_string(), disks);
        let pair = pair(&ours, &libvirt, "selinux", &paths);
        let rounds = pair.turns(Some(&Floor::new(&paths, Label::Context)));
        let each = MICRO / disks as f64;
        for (thing, name) in ["libsvirt", "libvirt", "bare calls"].into_iter().enumerate() {
            point("labelling", name, disks as f64, rounds.median(thing) * each);
        }
        let row = |name, aims: &[Aim]| Row::timed(name, "µs per disk", each, &rounds, aims).say();
        match disks {
            1 => row("set + restore, 1 disk", &[Aim::OfLibvirt(0.1)]),
            1000 => row("set + restore, 1,000 disks", &[Aim::OfLibvirt(0.8), Aim::OfFloor(1.3)]),
            _ => continue,
        }
        for (part, name) in ["set", "restore"].into_iter().enumerate() {
            Row {
                libvirt: Some(rounds.part(1, part) * each),
                ratio: Some(rounds.part(0, part) / rounds.part(1, part)),
                floor: Some(rounds.part(2, part) * each),
                ..Row::ours(
                    format!("· {name}, {}", many(disks, "disk")),
                    "µs per disk",
                    rounds.part(0, part) * each,
                    &[],
                )
            }
            .say();
        }
        pair.end();
    }
}

/// The same on a disk. Our ledger costs an fdatasync for each set there, a promise that libvirt does not make.
pub fn disk() {
    let place = Place::new();
    let disk = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    let libvirt = Libvirt::open("selinux").unwrap();
    for (what, files, state) in [
        ("ledger on a disk", place.files.as_path(), disk.path().join("state")),
        ("images on a disk", disk.path(), place.state.clone()),
    ] {
        let ours = Ours::open("selinux", &place.run, &state);
        for disks in [1, 1000] {
            let paths = images(files, &disks.to_string(), disks);
            let pair = pair(&ours, &libvirt, "selinux", &paths);
            let rounds = pair.turns(Some(&Floor::new(&paths, Label::Context)));
            let name = format!("set + restore, {}, {what}", many(disks, "disk"));
            Row::timed(name, "µs per disk", MICRO / disks as f64, &rounds, &[]).say();
            pair.end();
        }
    }
}

/// SELinux and owners stacked.
pub fn stack() {
    let place = Place::new();
    let ours = Ours::open("selinux,dac", &place.run, &place.state);
    let libvirt = Libvirt::open("selinux,dac").unwrap();
    for (disks, most) in [(1, 0.05), (1000, 0.7)] {
        let paths = images(&place.files, &disks.to_string(), disks);
        let pair = pair(&ours, &libvirt, "selinux,dac", &paths);
        let name = format!("selinux and dac: set + restore, {}", many(disks, "disk"));
        let aims = [Aim::OfLibvirt(most)];
        Row::timed(name, "µs per disk", MICRO / disks as f64, &pair.turns(None), &aims).say();
        pair.end();
    }
}

/// A second guest on images that a first one has: as shareable disks, which libvirt labels and does not count, and
/// with one label for both guests, where both sides count.
pub fn shared() {
    let place = Place::new();
    let ours = Ours::open("selinux", &place.run, &place.state);
    let libvirt = Libvirt::open("selinux").unwrap();
    let same = "<seclabel type='static' model='selinux' relabel='yes'>\
                <label>system_u:system_r:svirt_t:s0</label>\
                <imagelabel>system_u:object_r:svirt_image_t:s0</imagelabel></seclabel>";
    for (way, extra, seclabel) in
        [("counted by both", "", same), ("shareable, libvirt does not count", "<shareable/>", "")]
    {
        for disks in [1, 1000] {
            let paths = images(&place.files, &format!("{disks}{}", extra.len()), disks);
            let guests = [1, 2].map(|number| xml(number, &paths, extra, seclabel));
            let both = (Sharing::new(&ours, &guests), Sharing::new(&libvirt, &guests));
            if extra.is_empty() {
                must("counted by libsvirt", || both.0.counts(&paths));
                must("counted by libvirt", || both.1.counts(&paths));
            }
            let mut things: [Thing<'_>; 2] = [Box::new(|| both.0.turn()), Box::new(|| both.1.turn())];
            let name = format!("a second guest on {}, {way}", many(disks, "shared image"));
            let rounds = turns(SHORT, &mut things);
            Row::timed(name, "µs per image", MICRO / disks as f64, &rounds, &[Aim::OfLibvirt(0.3)]).say();
        }
    }
}

/// Two guests of one side on the same images. Both go each time: no side must find the other's count.
struct Sharing<'a, S: Side> {
    side: &'a S,
    guests: [S::Guest; 2],
}

impl<'a, S: Side> Sharing<'a, S> {
    fn new(side: &'a S, guests: &[CString; 2]) -> Self {
        let guests = guests.each_ref().map(|text| side.guest(text));
        guests.iter().for_each(|guest| side.take(guest));
        Self { side, guests }
    }

    fn counts(&self, paths: &[PathBuf]) -> bool {
        self.guests.iter().for_each(|guest| self.side.set(guest));
        let counted = held(paths, "selinux", &self.side.label(&self.guests[0], c"selinux"), 2);
        self.guests.iter().for_each(|guest| self.side.restore(guest));
        counted && free(paths)
    }

    /// What the second guest costs.
    fn turn(&self) -> Vec<f64> {
        self.side.set(&self.guests[0]);
        let set = time(|| self.side.set(&self.guests[1]));
        let restore = time(|| self.side.restore(&self.guests[1]));
        self.side.restore(&self.guests[0]);
        vec![set, restore]
    }
}

impl<S: Side> Drop for Sharing<'_, S> {
    fn drop(&mut self) {
        self.guests.iter().for_each(|guest| self.side.release(guest));
    }
}

/// Guests that share nothing, started and stopped by several threads at the same time.
pub fn threads() {
    let place = Place::new();
    let ours = Ours::open("selinux", &place.run, &place.state);
    let libvirt = Libvirt::open("selinux").unwrap();
    let paths = images(&place.files, "thread", 4);
    let counts = [1, 2, 4];
    let mut rates: [[Vec<f64>; 3]; 2] = Default::default();
    for _ in 0..7 {
        for (at, count) in counts.into_iter().enumerate() {
            rates[0][at].push(guests_per_second(&ours, &paths[..count]));
            rates[1][at].push(guests_per_second(&libvirt, &paths[..count]));
        }
    }
    let [mine, theirs] = rates.map(|side| side.map(median));
    for (at, count) in counts.into_iter().enumerate() {
        Row {
            libvirt: Some(theirs[at]),
            ratio: Some(mine[at] / theirs[at]),
            ..Row::ours(
                format!("guests started and stopped by {}", many(count, "thread")),
                "1/s",
                mine[at],
                &[],
            )
        }
        .say();
        point("threads", "libsvirt", count as f64, mine[at]);
        point("threads", "libvirt", count as f64, theirs[at]);
    }
    Row {
        libvirt: Some(theirs[1] / theirs[0]),
        ..Row::ours("2 threads against 1", "×", mine[1] / mine[0], &[Aim::AtLeast(1.8)])
    }
    .say();
}

fn guests_per_second<S: Side>(side: &S, paths: &[PathBuf]) -> f64 {
    let start = Instant::now();
    let done: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = paths
            .iter()
            .enumerate()
            .map(|(at, path)| {
                scope.spawn(move || {
                    let guest = side.guest(&xml(at, std::slice::from_ref(path), "", ""));
                    let mut done = 0;
                    while start.elapsed() < Duration::from_millis(400) {
                        side.take(&guest);
                        side.set(&guest);
                        side.restore(&guest);
                        side.release(&guest);
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    done as f64 / start.elapsed().as_secs_f64()
}

/// What stays in memory for an image that is held; libvirt keeps nothing.
pub fn memory() {
    let place = Place::new();
    let ours = Ours::open("selinux", &place.run, &place.state);
    let paths = images(&place.files, "held", 10_000);
    let guests: Vec<_> =
        paths.chunks(10).enumerate().map(|(at, chunk)| ours.guest(&xml(at, chunk, "", ""))).collect();
    guests.iter().for_each(|guest| ours.take(guest));
    let before = heap();
    guests.iter().for_each(|guest| ours.set(guest));
    let bytes = (heap() - before) as f64 / paths.len() as f64;
    Row { libvirt: Some(0.0), ..Row::ours("memory per held image", "B", bytes, &[Aim::AtMost(400.0)]) }.say();
    guests.iter().for_each(|guest| {
        ours.restore(guest);
        ours.release(guest)
    });
}
