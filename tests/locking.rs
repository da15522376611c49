//! The locks of the image table, under a scheduler that chooses which thread runs next: at random, with few
//! changes of the thread that runs, and all schedules there are of two threads.
//!
//! `SVIRT_LOCKING`: how many schedules of each kind, 2000 when it is not set.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../src/image/place.rs"]
mod place;

/// What `place` locks with: the same calls, each a point at which another thread may go on.
mod sync {
    pub use shuttle::sync::atomic::AtomicBool;
    /// The mark is set and read under the value's lock, so no other order is to be tried.
    pub use shuttle::sync::atomic::Ordering::SeqCst as Relaxed;

    #[derive(Default)]
    pub struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn lock(&self) -> shuttle::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }
}

use place::{Places, with_place};
use shuttle::sync::Arc;
use shuttle::thread;
// No points at which another thread may go on.
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// How many uses an image has; with none it goes away.
type Uses = u32;

/// What a thread does to the value of a key: one use more or fewer, or it only looks.
type Step = (u32, i32);

/// Each thread does its steps one after the other; together they add up to nothing.
fn play(threads: &[&[Step]]) {
    let all: Arc<Places<u32, Uses>> = Arc::default();
    let inside: Arc<[AtomicU32; 2]> = Arc::default();
    // What all have added up: an update of a value that was in the table no longer is missing in the next one.
    let total: Arc<[AtomicU32; 2]> = Arc::default();
    let work = |steps: Vec<Step>| {
        let (all, inside, total) = (all.clone(), inside.clone(), total.clone());
        move || {
            for (key, uses) in steps {
                let at = key as usize;
                let change = |value: &mut Uses| {
                    assert_eq!(inside[at].fetch_add(1, SeqCst), 0, "two threads work on one value");
                    assert_eq!(*value, total[at].load(SeqCst), "an update was lost");
                    thread::yield_now();
                    *value = value.checked_add_signed(uses).unwrap();
                    total[at].store(*value, SeqCst);
                    inside[at].fetch_sub(1, SeqCst);
                };
                with_place(&all, &key, change, |value| *value == 0);
            }
        }
    };
    let threads: Vec<_> = threads.iter().map(|steps| thread::spawn(work(steps.to_vec()))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(all.lock().is_empty(), "what nobody uses is still in the table");
}

/// Four threads that meet on two keys.
fn four() {
    play(&[
        &[(0, 1), (1, 1), (0, -1), (1, -1)],
        &[(1, 1), (0, 1), (1, -1), (0, -1)],
        &[(0, 0), (0, 1), (0, 0), (0, -1)],
        &[(1, 0), (1, 1), (1, -1)],
    ]);
}

fn schedules() -> usize {
    std::env::var("SVIRT_LOCKING").map_or(2000, |text| text.parse().unwrap())
}

#[test]
fn at_random() {
    shuttle::check_random(four, schedules());
}

#[test]
fn with_few_changes() {
    shuttle::check_pct(four, schedules(), 3);
}

#[test]
fn every_schedule_of_two_threads() {
    shuttle::check_dfs(|| play(&[&[(0, 0)], &[(0, 0)]]), None);
}
