//! Values by key, each with a lock of its own: whoever works on one waits only for those who work on the same.
//! A value that says nothing any more is taken out of the table, and whoever waited for it begins again.
//!
//! `tests/locking.rs` compiles this file once more, with locks for which it chooses who runs when.

use super::sync::{AtomicBool, Mutex, Relaxed};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// The lock of the table itself is held for as long as it takes to find a place.
pub type Places<K, V> = Mutex<HashMap<K, Arc<Place<V>>>>;

/// A value of the table.
#[derive(Default)]
pub struct Place<T> {
    /// The value.
    pub value: Mutex<T>,
    /// Tells who waited for the lock that the value is in the table no longer.
    gone: AtomicBool,
}

/// Calls `work` with the value of a key locked; it goes away when it is empty afterwards.
pub fn with_place<K, V, R>(
    all: &Places<K, V>,
    key: &K,
    work: impl FnOnce(&mut V) -> R,
    empty: impl Fn(&V) -> bool,
) -> R
where
    K: Hash + Eq + Clone,
    V: Default,
{
    loop {
        let place = all.lock().entry(key.clone()).or_default().clone();
        let mut value = place.value.lock();
        if place.gone.load(Relaxed) {
            continue;
        }
        let result = work(&mut value);
        if empty(&value) {
            place.gone.store(true, Relaxed);
            all.lock().remove(key);
        }
        return result;
    }
}
