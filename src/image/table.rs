//! What this process knows: the images it has labelled, and what each of its domains holds.

use super::holds::Holds;
use super::place::{Place, Places, with_place};
use super::{Label, Settings};
use crate::domain::Uuid;
use crate::error::Result;
use crate::reservation::Holder;
use crate::sys::fork::PerProcess;
use crate::sys::node::Identity;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// An image in the eyes of one model.
pub type Key = (Identity, &'static str);

/// All images, and all domains that hold some. Neither lock is ever held over a system call; an image's
/// and a domain's own lock cover those, so guests that share nothing never wait for each other. An image
/// has one lock for all models, which is taken before the metadata lock of the file: two threads that label
/// one file for different models would else wait for each other.
#[derive(Default)]
pub struct Table {
    images: Places<Identity, Models>,
    /// A domain is known by its ledger: the state directory and the holder.
    domains: Places<(Arc<Path>, Holder), Guest>,
}

static TABLE: PerProcess<Table> = PerProcess::new();

/// What is known of an image, for each model.
#[derive(Default)]
pub struct Models(Vec<(&'static str, Option<Held>)>);

impl Models {
    /// The image in the eyes of one model.
    pub fn of(&mut self, model: &'static str) -> &mut Option<Held> {
        let at = self.0.iter().position(|(other, _)| *other == model).unwrap_or_else(|| {
            self.0.reserve_exact(1);
            self.0.push((model, None));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// A domain holds the image no longer.
    pub fn drop_holder(&mut self, model: &'static str, holder: Holder) {
        let entry = self.of(model);
        if let Some(held) = entry
            && !held.holders.remove(holder)
        {
            *entry = None;
        }
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, held)| held.is_none())
    }
}

/// What is known of an image that somebody in this process holds.
pub struct Held {
    /// For messages; the identity is what counts.
    pub path: Arc<Path>,
    /// What is given back; `None` when the file had no label at all.
    pub original: Option<Label>,
    /// What the first holder put on.
    pub label: Label,
    /// Those of this process.
    pub holders: Holders,
}

/// The domains of this process that hold an image: seldom more than one.
pub enum Holders {
    /// This one.
    One(Holder),
    /// These.
    #[allow(clippy::box_collection, reason = "what most images have is not to take the space of this")]
    Many(Box<HashSet<Holder>>),
}

impl Holders {
    /// Whether a domain is among them.
    pub fn contains(&self, holder: Holder) -> bool {
        match self {
            Self::One(other) => *other == holder,
            Self::Many(all) => all.contains(&holder),
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = Holder> + '_ {
        let (one, many) = match self {
            Self::One(holder) => (Some(*holder), None),
            Self::Many(all) => (None, Some(all)),
        };
        one.into_iter().chain(many.into_iter().flat_map(|all| all.iter().copied()))
    }

    /// One domain more.
    pub fn insert(&mut self, holder: Holder) {
        match self {
            Self::One(other) if *other == holder => {}
            Self::One(other) => *self = Self::Many(Box::new(HashSet::from([*other, holder]))),
            Self::Many(all) => drop(all.insert(holder)),
        }
    }

    /// One domain less; `false` when none is left.
    fn remove(&mut self, holder: Holder) -> bool {
        match self {
            Self::One(other) => *other != holder,
            Self::Many(all) => {
                all.remove(&holder);
                !all.is_empty()
            }
        }
    }
}

/// A domain and its ledger, which is read when the process first hears of the domain.
#[derive(Default)]
pub struct Guest {
    /// What it holds.
    pub holds: Holds,
    /// How many lines its file has; `None`: there is no file.
    pub lines: Option<usize>,
    loaded: bool,
}

impl Table {
    /// This process's table.
    pub fn get() -> &'static Self {
        TABLE.get()
    }

    /// Calls `work` with the image locked; one that nobody holds afterwards goes away.
    pub fn with_image<R>(&self, identity: Identity, work: impl FnOnce(&mut Models) -> R) -> R {
        with_place(&self.images, &identity, work, Models::is_empty)
    }

    /// Calls `work` with a domain locked, after its ledger was read.
    pub fn with_guest<R>(
        &self,
        holder: Holder,
        settings: &Settings<'_>,
        work: impl FnOnce(&mut Guest) -> Result<R>,
    ) -> Result<R> {
        let load = |guest: &mut Guest| {
            if !guest.loaded {
                if let Some(page) = settings.store.ledgers.read(holder)? {
                    (guest.holds, guest.lines) = (page.holds, Some(page.lines));
                }
                guest.loaded = true;
            }
            work(guest)
        };
        let idle = |guest: &Guest| !guest.loaded || guest.holds.is_empty() && guest.lines.is_none();
        with_place(&self.domains, &(settings.store.ledgers.path().clone(), holder), load, idle)
    }
}

#[cfg(test)]
impl Table {
    /// Two tables exchange what they know of a state directory and of some images: another process's turn.
    pub fn swap(&self, other: &Self, state: &Path, images: &[Identity]) {
        exchange(&self.images, &other.images, |identity| images.contains(identity));
        exchange(&self.domains, &other.domains, |(directory, _)| **directory == *state);
    }
}

#[cfg(test)]
fn exchange<K: std::hash::Hash + Eq, V>(
    one: &Places<K, V>,
    other: &Places<K, V>,
    wanted: impl Fn(&K) -> bool,
) {
    let (mut one, mut other) = (one.lock(), other.lock());
    let mine: Vec<_> = one.extract_if(|key, _| wanted(key)).collect();
    one.extend(other.extract_if(|key, _| wanted(key)));
    other.extend(mine);
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
    let places: Vec<_> = table.images.lock().values().cloned().collect();
    let info = |(model, held): &(&'static str, Option<Held>)| {
        let held = held.as_ref()?;
        let mut holders: Vec<Uuid> = held.holders.all().map(|holder| holder.uuid).collect();
        holders.sort_unstable();
        Some(Info {
            path: held.path.clone(),
            model,
            original: held.original.as_ref().map(Label::to_string),
            label: held.label.to_string(),
            holders,
        })
    };
    let of_one = |place: Arc<Place<Models>>| place.value.lock().0.iter().filter_map(info).collect::<Vec<_>>();
    let mut list: Vec<Info> = places.into_iter().flat_map(of_one).collect();
    list.sort_by(|a, b| (&a.path, a.model).cmp(&(&b.path, b.model)));
    list
}
