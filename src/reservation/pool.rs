//! Which of many numbered things are free, with a uniform choice in constant time.

/// The numbers `0..n`, kept so that the free ones come first: choosing one is a single draw, however few
/// are left (a virtual Fisher–Yates shuffle).
///
/// Both tables hold `entry XOR index`, so that an untouched entry is zero and a fresh pool costs no
/// memory until pages of it are used.
#[derive(Debug)]
pub struct Pool {
    at: Vec<u32>,
    place: Vec<u32>,
    free: u32,
}

impl Pool {
    /// All of `0..size` free.
    pub fn new(size: u32) -> Self {
        Self { at: vec![0; size as usize], place: vec![0; size as usize], free: size }
    }

    /// How many are free.
    pub fn free(&self) -> u32 {
        self.free
    }

    /// The free number that `draw` chooses; `draw` gets the count and gives a number below it.
    pub fn choose(&self, draw: impl FnOnce(u32) -> u32) -> Option<u32> {
        (self.free > 0).then(|| self.get(draw(self.free)))
    }

    /// Marks a number as taken; nothing happens when it already is.
    pub fn take(&mut self, number: u32) {
        let from = self.place_of(number);
        if from < self.free {
            self.free -= 1;
            self.swap(from, self.free);
        }
    }

    /// Marks a number as free; nothing happens when it already is.
    pub fn give(&mut self, number: u32) {
        let from = self.place_of(number);
        if from >= self.free {
            self.swap(from, self.free);
            self.free += 1;
        }
    }

    fn get(&self, place: u32) -> u32 {
        self.at[place as usize] ^ place
    }

    fn place_of(&self, number: u32) -> u32 {
        self.place[number as usize] ^ number
    }

    fn swap(&mut self, a: u32, b: u32) {
        let (at_a, at_b) = (self.get(a), self.get(b));
        self.put(a, at_b);
        self.put(b, at_a);
    }

    fn put(&mut self, place: u32, number: u32) {
        self.at[place as usize] = number ^ place;
        self.place[number as usize] = place ^ number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_set(steps in prop::collection::vec((any::<bool>(), 0u32..40, any::<u32>()), 0..300)) {
            let mut pool = Pool::new(40);
            let mut free: BTreeSet<u32> = (0..40).collect();
            for (take, number, draw) in steps {
                if take { pool.take(number); free.remove(&number); }
                else { pool.give(number); free.insert(number); }
                prop_assert_eq!(pool.free() as usize, free.len());
                match pool.choose(|n| draw % n) {
                    Some(chosen) => prop_assert!(free.contains(&chosen)),
                    None => prop_assert!(free.is_empty()),
                }
            }
            let all: BTreeSet<u32> = (0..pool.free()).map(|at| pool.get(at)).collect();
            prop_assert_eq!(all, free);
        }
    }
}
