//! Keys that one domain has alone, found by key and by domain, in a few bytes each: hundreds of thousands may be
//! taken.

use super::{Holder, Key};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// Entries in a piece. Pieces never move, so that growing copies nothing and leaves nothing unused.
const PIECE: usize = 64;

#[derive(Clone, Copy)]
struct Entry {
    key: Key,
    holder: Holder,
    /// How many were taken before it.
    turn: u32,
}

/// See the module. Both tables hold numbers of entries.
#[derive(Default)]
pub struct Alone {
    turn: u32,
    pieces: Vec<Vec<Entry>>,
    by_key: HashTable<u32>,
    by_holder: HashTable<u32>,
    seed: DefaultHashBuilder,
}

impl Alone {
    /// Notes that a domain has a key; `false` when one has it already.
    pub fn take(&mut self, key: Key, holder: Holder) -> bool {
        if self.find(key).is_some() {
            return false;
        }
        let number = self.by_key.len() as u32;
        let entry = Entry { key, holder, turn: self.turn };
        self.turn += 1;
        match self.pieces.last_mut().filter(|piece| piece.len() < PIECE) {
            Some(piece) => piece.push(entry),
            None => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(entry);
                self.pieces.push(piece);
            }
        }
        let (pieces, seed) = (&self.pieces, &self.seed);
        self.by_key.insert_unique(seed.hash_one(key), number, |n| seed.hash_one(at(pieces, *n).key));
        self.by_holder.insert_unique(seed.hash_one(holder), number, |n| seed.hash_one(at(pieces, *n).holder));
        true
    }

    /// Notes that a domain has a key no longer; `false` when it does not have it.
    pub fn give(&mut self, key: Key, holder: Holder) -> bool {
        let Some(number) = self.find(key).filter(|n| at(&self.pieces, *n).holder == holder) else {
            return false;
        };
        let Some(last) = self.pieces.last_mut().and_then(Vec::pop) else { return false };
        self.pieces.pop_if(|piece| piece.is_empty());
        // The last entry takes the free place.
        let from = self.by_key.len() as u32 - 1;
        if number != from {
            self.pieces[number as usize / PIECE][number as usize % PIECE] = last;
        }
        for (table, hash, hash_of_last) in [
            (&mut self.by_key, self.seed.hash_one(key), self.seed.hash_one(last.key)),
            (&mut self.by_holder, self.seed.hash_one(holder), self.seed.hash_one(last.holder)),
        ] {
            if let Ok(entry) = table.find_entry(hash, |n| *n == number) {
                entry.remove();
            }
            if let Some(place) = table.find_mut(hash_of_last, |n| *n == from) {
                *place = number;
            }
        }
        true
    }

    /// The domain that has a key.
    pub fn holder(&self, key: Key) -> Option<Holder> {
        self.find(key).map(|n| at(&self.pieces, n).holder)
    }

    /// The keys that a domain has.
    pub fn keys(&self, holder: Holder) -> impl Iterator<Item = Key> + '_ {
        self.of(holder).map(|entry| entry.key)
    }

    /// The first of the keys that a domain has taken, out of some.
    pub fn first(&self, holder: Holder, wanted: impl Fn(Key) -> bool) -> Option<Key> {
        let entries = self.of(holder).filter(|entry| wanted(entry.key));
        entries.min_by_key(|entry| entry.turn).map(|entry| entry.key)
    }

    fn of(&self, holder: Holder) -> impl Iterator<Item = Entry> + '_ {
        let entries = self.by_holder.iter_hash(self.seed.hash_one(holder)).map(|n| at(&self.pieces, *n));
        entries.filter(move |entry| entry.holder == holder)
    }

    /// All keys and who has them.
    pub fn all(&self) -> impl Iterator<Item = (Key, Holder)> + '_ {
        self.pieces.iter().flatten().map(|entry| (entry.key, entry.holder))
    }

    /// The same in the order in which they were taken.
    pub fn in_turn(&self) -> impl Iterator<Item = (Key, Holder)> + '_ {
        let mut entries: Vec<&Entry> = self.pieces.iter().flatten().collect();
        entries.sort_unstable_by_key(|entry| entry.turn);
        entries.into_iter().map(|entry| (entry.key, entry.holder))
    }

    /// How many keys are taken.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    fn find(&self, key: Key) -> Option<u32> {
        self.by_key.find(self.seed.hash_one(key), |n| at(&self.pieces, *n).key == key).copied()
    }
}

fn at(pieces: &[Vec<Entry>], number: u32) -> Entry {
    pieces[number as usize / PIECE][number as usize % PIECE]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Uuid;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn holder(number: u8) -> Holder {
        Holder { owner: 1, uuid: Uuid([number; 16]) }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn behaves_like_a_map(steps in prop::collection::vec((any::<bool>(), 0..300_u64, 0..40_u8), 0..900)) {
            let (mut alone, mut model) = (Alone::default(), BTreeMap::new());
            for (take, key, who) in steps {
                if take {
                    let free = !model.contains_key(&key);
                    prop_assert_eq!(alone.take(Key(key), holder(who)), free);
                    model.entry(key).or_insert(who);
                } else {
                    // Mostly the one that has it.
                    let who = model.get(&key).copied().filter(|_| who > 5).unwrap_or(who);
                    let has = model.get(&key) == Some(&who);
                    prop_assert_eq!(alone.give(Key(key), holder(who)), has);
                    if has {
                        model.remove(&key);
                    }
                }
                prop_assert_eq!(alone.len(), model.len());
                prop_assert_eq!(alone.holder(Key(key)), model.get(&key).copied().map(holder));
            }
            for who in 0..40 {
                let mut keys: Vec<u64> = alone.keys(holder(who)).map(|key| key.0).collect();
                keys.sort_unstable();
                let wanted: Vec<u64> = model.iter().filter(|(_, has)| **has == who).map(|(key, _)| *key).collect();
                prop_assert_eq!(keys, wanted);
            }
            prop_assert_eq!(alone.all().count(), model.len());
        }
    }
}
