//! The table of images that this process has labelled, one entry per image and model.

use super::Label;
use crate::domain::Uuid;
use crate::reservation::Holder;
use crate::sys::fork::PerProcess;
use crate::sys::node::Identity;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// An image in the eyes of one model.
pub type Key = (Identity, &'static str);

/// All images, and all domains that hold some. Neither lock is ever held over a system call; an entry's
/// own lock covers those, so guests that share nothing never wait for each other.
#[derive(Default)]
pub struct Table {
    entries: Mutex<HashMap<Key, Arc<Entry>>>,
    domains: Mutex<HashMap<Holder, Vec<Hold>>>,
}

static TABLE: PerProcess<Table> = PerProcess::new();

/// One image and model.
#[derive(Default)]
pub struct Entry(Mutex<Option<Held>>, std::sync::atomic::AtomicBool);

/// What is known of an image that somebody holds.
pub struct Held {
    /// For messages; the identity is what counts.
    pub path: Arc<Path>,
    /// What is given back; `None` when the file had no label at all.
    pub original: Option<Label>,
    /// What the first holder put on.
    pub label: Label,
    /// The access control list as it was, for labels that are grants.
    pub acl: Option<super::acl::Acl>,
    /// Remembered in attributes too.
    pub durable: bool,
    /// Each with the label it asked for (they differ in grants only).
    pub holders: Vec<(Holder, Label)>,
}

/// A domain's hold on an image.
#[derive(Debug, Clone)]
pub struct Hold {
    /// Which image.
    pub key: Key,
    /// The name under which it was labelled.
    pub path: Arc<Path>,
    /// By how many of the domain's resources.
    pub uses: u32,
}

impl Table {
    /// This process's table.
    pub fn get() -> &'static Self {
        TABLE.get()
    }

    /// Calls `work` with the image's entry locked; an entry that is empty afterwards goes away.
    pub fn with_entry<R>(&self, key: Key, work: impl FnOnce(&mut Option<Held>) -> R) -> R {
        use std::sync::atomic::Ordering::Relaxed;
        loop {
            let entry = self.entries.lock().entry(key).or_default().clone();
            let mut held = entry.0.lock();
            // The last holder may have taken the entry out of the table while we waited for it.
            if entry.1.load(Relaxed) {
                continue;
            }
            let result = work(&mut held);
            if held.is_none() {
                entry.1.store(true, Relaxed);
                self.entries.lock().remove(&key);
            }
            return result;
        }
    }

    /// Writes down that a domain holds an image through one resource more.
    pub fn add_hold(&self, holder: Holder, key: Key, path: &Arc<Path>) {
        let mut domains = self.domains.lock();
        let holds = domains.entry(holder).or_default();
        // The same image comes again only through another resource; looking from the end finds the
        // neighbour that set-all has just added.
        match holds.iter_mut().rev().find(|hold| hold.key == key) {
            Some(hold) => hold.uses += 1,
            None => holds.push(Hold { key, path: path.clone(), uses: 1 }),
        }
    }

    /// Lets a domain's holds go that `which` picks, each by one use; gives those that were the last use,
    /// or `None` when it picks none.
    pub fn drop_uses(&self, holder: Holder, which: impl Fn(&Hold) -> bool) -> Option<Vec<Hold>> {
        let mut domains = self.domains.lock();
        let holds = domains.get_mut(&holder).filter(|holds| holds.iter().any(&which))?;
        holds.iter_mut().filter(|hold| which(hold)).for_each(|hold| hold.uses -= 1);
        let (keep, gone) = std::mem::take(holds).into_iter().partition(|hold| hold.uses > 0);
        *holds = keep;
        if holds.is_empty() {
            domains.remove(&holder);
        }
        Some(gone)
    }

    /// Takes all holds of a domain.
    pub fn take_holds(&self, holder: Holder) -> Vec<Hold> {
        self.domains.lock().remove(&holder).unwrap_or_default()
    }

    /// Puts back a hold that could not be let go, so that a later call can.
    pub fn keep_hold(&self, holder: Holder, hold: Hold) {
        self.domains.lock().entry(holder).or_default().push(hold);
    }
}

/// An image as it stands in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Where it was found first.
    pub path: Arc<Path>,
    /// The model whose label this is about.
    pub model: &'static str,
    /// What is given back.
    pub original: Option<String>,
    /// What it has now.
    pub label: String,
    /// Who holds it.
    pub holders: Vec<Uuid>,
}

/// All images that the process holds, by path and model.
pub fn list() -> Vec<Info> {
    let table = Table::get();
    let entries: Vec<_> = table.entries.lock().iter().map(|(key, entry)| (key.1, entry.clone())).collect();
    let mut list: Vec<Info> = entries
        .into_iter()
        .filter_map(|(model, entry)| {
            let held = entry.0.lock();
            let held = held.as_ref()?;
            Some(Info {
                path: held.path.clone(),
                model,
                original: held.original.as_ref().map(Label::to_string),
                label: held.label.to_string(),
                holders: held.holders.iter().map(|(holder, _)| holder.uuid).collect(),
            })
        })
        .collect();
    list.sort_by(|a, b| (&a.path, a.model).cmp(&(&b.path, b.model)));
    list
}
