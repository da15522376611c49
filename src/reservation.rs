//! What only one domain of the host may have at a time, category pairs and uids, and who shares an image.
//!
//! Taken keys stay taken when the process that took them is killed: they end with release, with
//! reconcile, or with the host (the log lives on a file system that is empty after boot).

mod alone;
mod book;
mod log;
mod pool;
mod random;

use crate::directory;
use crate::domain::Uuid;
use crate::error::{Error, Result};
use crate::sys::fork::PerProcess;
use crate::sys::node::fnv;
use book::Book;
use log::{Log, Record};
use parking_lot::Mutex;
use random::Random;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

/// Something that can be taken; the top byte is its [`Class`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u64);

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// A level of SELinux: a pair of categories, or the digest of another set.
    Level = 1,
    /// A user of DAC.
    Uid = 2,
    /// An image whose holders its own attributes count.
    Counted = 3,
    /// An image about which nothing stands on the image itself.
    Listed = 4,
    /// A domain for which a driver keeps something.
    Domain = 5,
}

impl Key {
    /// A key of a class; `value` uses the low 56 bits.
    pub fn new(class: Class, value: u64) -> Self {
        Self((class as u64) << 56 | value & (u64::MAX >> 8))
    }

    /// The value given to [`Key::new`].
    pub fn value(self) -> u64 {
        self.0 & (u64::MAX >> 8)
    }

    fn is(self, class: Class) -> bool {
        self.0 >> 56 == class as u64
    }
}

/// Who takes: a domain of one daemon. Two daemons never give each other's domains back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holder {
    /// A digest of the manager's `owner` option.
    pub owner: u32,
    /// The domain.
    pub uuid: Uuid,
}

impl Holder {
    /// The key under which the domain itself is on record.
    pub fn key(&self) -> Key {
        Key::new(Class::Domain, fnv(self.owner.to_le_bytes().iter().chain(&self.uuid.0)))
    }
}

/// A finite set of keys out of which unused ones are drawn.
pub trait Universe: Send + Sync {
    /// The same for universes that are the same.
    fn name(&self) -> String;
    /// How many keys there are.
    fn size(&self) -> u32;
    /// The key with a number below the size.
    fn key(&self, number: u32) -> Key;
    /// The number of a key, when the key belongs here.
    fn number(&self, key: Key) -> Option<u32>;
}

/// The reservations of one runtime directory, shared by all managers of the process.
pub struct Registry {
    state: Mutex<State>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

/// A universe that a registry draws from.
#[derive(Debug, Clone, Copy)]
pub struct Range(usize);

/// Those in use; the last manager that is closed closes the file.
static REGISTRIES: PerProcess<Mutex<HashMap<PathBuf, Weak<Registry>>>> = PerProcess::new();

impl Registry {
    /// The registry of a runtime directory, which is made when it is missing.
    pub fn open(directory: &Path) -> Result<Arc<Self>> {
        let directory = directory::private(directory, "runtime_dir")?;
        let mut all = REGISTRIES.get().lock();
        if let Some(registry) = all.get(&directory).and_then(Weak::upgrade) {
            return Ok(registry);
        }
        let mut state =
            State { log: Log::open(&directory)?, book: Book::default(), random: Random::default() };
        state.catch_up()?;
        let registry = Arc::new(Self { state: Mutex::new(state) });
        all.retain(|_, other| other.strong_count() > 0);
        all.insert(directory, Arc::downgrade(&registry));
        Ok(registry)
    }

    /// Makes a universe one to draw from; managers that want the same one share it.
    pub fn add_range(&self, universe: Arc<dyn Universe>) -> Range {
        let book = &mut self.state.lock().book;
        let known = book.ranges.iter().position(|(other, _)| other.name() == universe.name());
        if let Some(at) = known {
            return Range(at);
        }
        Range(book.add_range(universe))
    }

    /// Draws an unused key for a domain; one that the domain already has in this range is given again.
    /// `None` when all are taken.
    pub fn take_any(&self, range: Range, holder: Holder) -> Result<Option<Key>> {
        let state = &mut *self.state.lock();
        if state.book.held_in(range, holder).is_some() {
            // Another process may have given it back for the domain, and somebody else may have it by now.
            state.catch_up()?;
            if let Some(key) = state.book.held_in(range, holder) {
                return Ok(Some(key));
            }
        }
        loop {
            let Some(key) = state.draw(range)? else {
                // The last one may have become the domain's in another process.
                return Ok(state.book.held_in(range, holder));
            };
            state.append(Record::Take(key, holder))?;
            // Another process may have been first, with this key or with this domain.
            let Some(first) = state.book.held_in(range, holder) else { continue };
            if first != key && state.book.alone.holder(key) == Some(holder) {
                state.append(Record::Give(key, holder))?;
            }
            return Ok(Some(first));
        }
    }

    /// Takes one certain key; `EEXIST` when another domain has it. `what` names it in the message.
    pub fn take(&self, key: Key, holder: Holder, what: &str) -> Result<()> {
        let state = &mut *self.state.lock();
        state.catch_up()?;
        loop {
            match state.book.alone.holder(key) {
                Some(other) if other == holder => return Ok(()),
                Some(other) => {
                    return Err(Error::new(
                        libc::EEXIST,
                        format!("{what} is already held by domain {}", other.uuid),
                    ));
                }
                None => state.append(Record::Take(key, holder))?,
            }
        }
    }

    /// Whether a domain is known to have a key of a class.
    pub fn holds(&self, class: Class, holder: Holder) -> bool {
        self.state.lock().book.first(holder, class).is_some()
    }

    /// Who uses a key together with others, as far as all processes have said by now.
    pub fn members(&self, key: Key) -> Result<Vec<Holder>> {
        let state = &mut *self.state.lock();
        state.catch_up()?;
        Ok(state.book.members(key).collect())
    }

    /// How many use a key together, and whether `holder` does, as far as all processes have said by now.
    pub fn membership(&self, key: Key, holder: Holder) -> Result<(u32, bool)> {
        let state = &mut *self.state.lock();
        state.catch_up()?;
        Ok(state.book.membership(key, holder))
    }

    /// The same as far as this process has heard, without a system call.
    pub fn known_membership(&self, key: Key, holder: Holder) -> (u32, bool) {
        self.state.lock().book.membership(key, holder)
    }

    /// Learns what other processes did.
    pub fn refresh(&self) -> Result<()> {
        self.state.lock().catch_up()
    }

    /// Makes a domain one of those who use a key.
    pub fn join(&self, key: Key, holder: Holder) -> Result<()> {
        let state = &mut *self.state.lock();
        while !state.book.membership(key, holder).1 {
            state.append(Record::Join(key, holder))?;
        }
        Ok(())
    }

    /// A domain uses a key no longer.
    pub fn leave(&self, key: Key, holder: Holder) -> Result<()> {
        let state = &mut *self.state.lock();
        while state.book.membership(key, holder).1 {
            state.append(Record::Leave(key, holder))?;
        }
        Ok(())
    }

    /// A domain uses none of the shared keys any longer.
    pub fn leave_all(&self, holder: Holder) -> Result<()> {
        let shared = |key: &Key| key.is(Class::Counted) || key.is(Class::Listed);
        let keys: Vec<Key> = self.state.lock().book.keys(holder).filter(shared).collect();
        keys.into_iter().try_for_each(|key| self.leave(key, holder))
    }

    /// All domains of an owner that have something here.
    pub fn domains(&self, owner: u32) -> Result<Vec<Holder>> {
        let state = &mut *self.state.lock();
        state.catch_up()?;
        Ok(state.book.holders().into_iter().filter(|holder| holder.owner == owner).collect())
    }

    /// Gives back all keys of a class that a domain has.
    pub fn release(&self, class: Class, holder: Holder) -> Result<()> {
        let state = &mut *self.state.lock();
        if state.book.first(holder, class).is_none() {
            state.catch_up()?;
        }
        while let Some(key) = state.book.first(holder, class) {
            state.append(Record::Give(key, holder))?;
        }
        Ok(())
    }
}

struct State {
    log: Log,
    book: Book,
    random: Random,
}

impl State {
    fn append(&mut self, record: Record) -> Result<()> {
        if self.log.append(record)? {
            self.book.apply(record);
        } else {
            self.catch_up()?;
        }
        // A quarter of the log is enough to say what is held: start it anew.
        if self.log.length() > (64 << 10) + (self.book.len() * 4 * log::RECORD) as u64 {
            if self.log.append(Record::Close)? { self.follow()? } else { self.catch_up()? }
        }
        Ok(())
    }

    fn catch_up(&mut self) -> Result<()> {
        while self.log.read(|record| self.book.apply(record))? {
            self.follow()?;
        }
        Ok(())
    }

    fn follow(&mut self) -> Result<()> {
        self.log.follow(self.book.records())?;
        self.book.clear();
        self.catch_up()
    }

    fn draw(&mut self, range: Range) -> Result<Option<Key>> {
        if self.book.ranges[range.0].1.free() == 0 {
            self.catch_up()?;
        }
        let (universe, pool) = &self.book.ranges[range.0];
        let mut failed = None;
        let number = pool.choose(|count| {
            self.random.below(count).unwrap_or_else(|e| {
                failed = Some(e);
                0
            })
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(number.map(|number| universe.key(number))),
        }
    }
}

#[cfg(test)]
pub mod tests;
