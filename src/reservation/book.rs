//! Who holds what, as replayed from the log.

use super::alone::Alone;
use super::log::Record;
use super::pool::Pool;
use super::{Class, Holder, Key, Range, Universe};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// See the module.
#[derive(Default)]
pub struct Book {
    /// The keys that one domain has alone.
    pub alone: Alone,
    /// Those that domains use together, and the same by domain.
    members: HashMap<Key, HashSet<Holder>>,
    memberships: HashMap<Holder, Vec<Key>>,
    /// How many memberships there are.
    shared: usize,
    /// What is drawn from.
    pub ranges: Vec<(Arc<dyn Universe>, Pool)>,
}

impl Book {
    /// One more universe to draw from; gives its place.
    pub fn add_range(&mut self, universe: Arc<dyn Universe>) -> usize {
        let mut pool = Pool::new(universe.size());
        self.alone.all().filter_map(|(key, _)| universe.number(key)).for_each(|number| pool.take(number));
        self.ranges.push((universe, pool));
        self.ranges.len() - 1
    }

    /// What the next record in the log changes.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Take(key, holder) => {
                if self.alone.take(key, holder) {
                    self.each_pool(key, Pool::take);
                }
            }
            Record::Give(key, holder) => {
                if self.alone.give(key, holder) {
                    self.each_pool(key, Pool::give);
                }
            }
            Record::Join(key, holder) => {
                if self.members.entry(key).or_default().insert(holder) {
                    self.memberships.entry(holder).or_default().push(key);
                    self.shared += 1;
                }
            }
            Record::Leave(key, holder) => self.leave(key, holder),
            Record::Close => {}
        }
    }

    fn leave(&mut self, key: Key, holder: Holder) {
        let Some(members) = self.members.get_mut(&key).filter(|all| all.contains(&holder)) else { return };
        members.remove(&holder);
        if members.is_empty() {
            self.members.remove(&key);
        }
        if let Some(keys) = self.memberships.get_mut(&holder) {
            keys.retain(|held| *held != key);
            if keys.is_empty() {
                self.memberships.remove(&holder);
            }
        }
        self.shared -= 1;
    }

    fn each_pool(&mut self, key: Key, change: impl Fn(&mut Pool, u32)) {
        for (universe, pool) in &mut self.ranges {
            if let Some(number) = universe.number(key) {
                change(pool, number);
            }
        }
    }

    /// Forgets all but the ranges.
    pub fn clear(&mut self) {
        (self.members, self.memberships, self.shared) = Default::default();
        for (key, _) in std::mem::take(&mut self.alone).all() {
            self.each_pool(key, Pool::give);
        }
    }

    /// How many records say it all.
    pub fn len(&self) -> usize {
        self.alone.len() + self.shared
    }

    /// The records that say it all. Who was first stays first.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let alone = self.alone.in_turn().map(|(key, holder)| Record::Take(key, holder));
        let shared = self.members.iter();
        alone.chain(shared.flat_map(|(key, all)| all.iter().map(|holder| Record::Join(*key, *holder))))
    }

    /// How many use a key together, and whether a domain does.
    pub fn membership(&self, key: Key, holder: Holder) -> (u32, bool) {
        self.members.get(&key).map_or((0, false), |all| (all.len() as u32, all.contains(&holder)))
    }

    /// Who uses a key together with others.
    pub fn members(&self, key: Key) -> impl Iterator<Item = Holder> + '_ {
        self.members.get(&key).into_iter().flatten().copied()
    }

    /// All domains that have something.
    pub fn holders(&self) -> HashSet<Holder> {
        self.alone.all().map(|(_, holder)| holder).chain(self.memberships.keys().copied()).collect()
    }

    /// What a domain has, alone or together with others.
    pub fn keys(&self, holder: Holder) -> impl Iterator<Item = Key> + '_ {
        self.alone.keys(holder).chain(self.memberships.get(&holder).into_iter().flatten().copied())
    }

    /// A key of a class that a domain has.
    pub fn first(&self, holder: Holder, class: Class) -> Option<Key> {
        self.keys(holder).find(|key| key.is(class))
    }

    /// What a domain has out of a range; of several, because two processes drew at the same time, the first.
    pub fn held_in(&self, range: Range, holder: Holder) -> Option<Key> {
        let universe = &self.ranges[range.0].0;
        self.alone.first(holder, |key| universe.number(key).is_some())
    }
}
