//! What a domain holds.

use super::Label;
use super::acl::Acl;
use crate::sys::node::{Identity, Node};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::Arc;

/// What an image was, where nothing on the image itself says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its label; `None` when it had none.
    pub original: Option<Label>,
    /// Its access control list, for labels that are grants.
    pub acl: Option<Acl>,
}

/// A domain's hold on an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The name under which it is labelled.
    pub path: Arc<Path>,
    /// Whose label it is.
    pub model: &'static str,
    /// The label.
    pub label: Label,
    /// The one that it had before, which it still has when the daemon died just then.
    pub was: Option<Label>,
    /// The file itself; not known yet when the ledger was written without looking at the file.
    pub identity: Option<Identity>,
    /// What is not remembered on the image.
    pub origin: Option<Box<Origin>>,
    /// It was written down before the host was booted last.
    pub earlier: bool,
    /// By how many of the domain's resources.
    pub uses: u32,
}

impl Hold {
    /// One use of an image of which nothing else is known yet.
    pub fn new(path: Arc<Path>, model: &'static str, label: Label) -> Self {
        Self { path, model, label, was: None, identity: None, origin: None, earlier: false, uses: 1 }
    }

    /// Whether a label that the image has now was put on for this hold.
    pub fn has_put(&self, label: Option<&Label>) -> bool {
        label.is_some_and(|label| *label == self.label || Some(label) == self.was.as_ref())
    }

    fn is(&self, path: &Path, model: &'static str) -> bool {
        *self.path == *path && self.model == model
    }

    /// Whether it is about this image, also under another name.
    pub fn is_on(&self, identity: Identity) -> bool {
        match self.identity {
            None => Node::find(&self.path).is_ok_and(|node| node.identity() == identity),
            Some(known) => known == identity,
        }
    }
}

/// What a domain holds, found by path and model. The entries are boxed: a table has as many places again that are
/// empty.
#[derive(Debug, Default)]
pub struct Holds {
    all: HashTable<Box<Hold>>,
    seed: DefaultHashBuilder,
}

impl Holds {
    /// One use more of an image.
    pub fn add(&mut self, hold: Hold) {
        let (mut uses, mut was) = (0, None);
        if let Some(other) = self.take(&hold.path, hold.model) {
            uses = other.uses;
            was = if other.label == hold.label { other.was } else { Some(other.label) };
        }
        self.insert(Hold { uses: uses + 1, was, ..hold });
    }

    /// The same hold, with another label or another origin.
    pub fn replace(&mut self, hold: Hold) {
        self.take(&hold.path, hold.model);
        self.insert(hold);
    }

    /// The hold on an image by that name.
    pub fn get(&self, path: &Path, model: &'static str) -> Option<&Hold> {
        self.all.find(self.hash(path, model), |hold| hold.is(path, model)).map(|hold| &**hold)
    }

    /// Ends one use; gives the hold, whose uses say how many are left.
    pub fn drop_use(&mut self, path: &Path, model: &'static str) -> Option<Hold> {
        let mut hold = self.take(path, model)?;
        hold.uses -= 1;
        if hold.uses > 0 {
            self.insert(hold.clone());
        }
        Some(hold)
    }

    /// Takes the hold out, whatever its uses.
    pub fn remove(&mut self, hold: &Hold) {
        self.take(&hold.path, hold.model);
    }

    /// All holds, in no certain order.
    pub fn all(&self) -> impl Iterator<Item = &Hold> {
        self.all.iter().map(|hold| &**hold)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    fn insert(&mut self, hold: Hold) {
        let (hash, seed) = (self.hash(&hold.path, hold.model), &self.seed);
        self.all.insert_unique(hash, Box::new(hold), |other| seed.hash_one((&*other.path, other.model)));
    }

    fn take(&mut self, path: &Path, model: &'static str) -> Option<Hold> {
        let hash = self.hash(path, model);
        let entry = self.all.find_entry(hash, |hold| hold.is(path, model)).ok()?;
        Some(*entry.remove().0)
    }

    fn hash(&self, path: &Path, model: &'static str) -> u64 {
        self.seed.hash_one((path, model))
    }
}
