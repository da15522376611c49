//! What one more guest costs while more and more of them run, each with a disk of its own.

use crate::libvirt::Libvirt;
use crate::measure::{each, heap, median, time};
use crate::ours::Ours;
use crate::place::Place;
use crate::side::{Side, images, uuid, xml};
use crate::table::{Aim, Row, point};
use std::ffi::CString;
use std::path::PathBuf;

const SIZES: [usize; 6] = [1, 10, 100, 1000, 10_000, 100_000];
const STEPS: [&str; 4] = ["gen", "set", "restore", "release"];
const MICRO: f64 = 1e6;

/// Guests that come beside those that run already.
struct More<S: Side> {
    guests: Vec<S::Guest>,
}

impl<S: Side> More<S> {
    fn new(side: &S, paths: &[PathBuf]) -> Self {
        let one = |(at, path)| side.guest(&xml(10_000_000 + at, std::slice::from_ref(path), "", ""));
        Self { guests: paths.iter().enumerate().map(one).collect() }
    }

    /// Seconds a guest, for each step: the median of some rounds.
    fn measure(&self, side: &S) -> [f64; 4] {
        let steps = [S::take, S::set, S::restore, S::release];
        let mut times: [Vec<f64>; 4] = Default::default();
        for _ in 0..5 {
            for (step, times) in steps.iter().zip(&mut times) {
                let all = time(|| self.guests.iter().for_each(|guest| step(side, guest)));
                times.push(all / self.guests.len() as f64);
            }
        }
        times.map(median)
    }
}

/// Ours, all of whose guests are labelled; after each step of the growth it is also restarted.
pub fn ours() {
    let place = Place::new();
    let side = Ours::open("selinux", &place.run, &place.state);
    let more = More::new(&side, &images(&place.files, "more", 200));
    more.measure(&side); // once, so that nobody pays for what is done once
    let mut running = Vec::new();
    let mut costs = Vec::new();
    let before = heap();
    for size in SIZES {
        for (at, path) in images(&place.files, &size.to_string(), size - running.len()).iter().enumerate() {
            let guest = side.guest(&xml(size + at, std::slice::from_ref(path), "", ""));
            side.take(&guest);
            side.set(&guest);
            running.push((guest, uuid(size + at)));
        }
        let mut cost = more.measure(&side).to_vec();
        let live: Vec<CString> = running.iter().map(|(_, uuid)| uuid.clone()).collect();
        cost.push(median((0..3).map(|_| time(|| side.reconcile(&live)) / size as f64).collect()));
        cost.push(each(1000, || drop(side.guest(&side.text(&running[size / 2].0)))));
        for (name, cost) in STEPS.into_iter().chain(["reconcile", "XML"]).zip(&cost) {
            point("growth", name, size as f64, cost * MICRO);
        }
        costs.push(cost);
    }
    let bytes = (heap() - before) as f64 / running.len() as f64;
    let (first, last) = (&costs[0], &costs[SIZES.len() - 1]);
    for (at, name) in STEPS.into_iter().chain(["reconcile", "XML"]).enumerate() {
        Row::ours(
            format!("{name} beside 100,000 guests, of beside 1"),
            "×",
            last[at] / first[at],
            &[Aim::AtMost(1.5)],
        )
        .say();
    }
    Row::ours("memory per running guest with a disk, handle and all", "B", bytes, &[]).say();
    for (guest, _) in &running {
        side.restore(guest);
        side.release(guest);
    }
}

/// libvirt, which keeps the definitions and the categories, and nothing of images.
pub fn libvirt() {
    let place = Place::new();
    let side = Libvirt::open("selinux").unwrap();
    let more = More::new(&side, &images(&place.files, "more", 20));
    let path = place.files.join("disk.img");
    more.measure(&side);
    let mut running = Vec::new();
    for size in SIZES {
        while running.len() < size {
            let guest = side.guest(&xml(running.len(), std::slice::from_ref(&path), "", ""));
            side.take(&guest);
            running.push(guest);
        }
        for (name, cost) in STEPS.into_iter().zip(more.measure(&side)) {
            point("growth", &format!("libvirt: {name}"), size as f64, cost * MICRO);
        }
    }
}
