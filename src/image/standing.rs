//! Who holds an image now: what its attributes, the reservations and its label say together.

use super::durable::{self, Meaning, Own, Remembered};
use super::file::{current, unsupported};
use super::table::Key;
use super::{Label, Settings};
use crate::error::Result;
use crate::reservation::{self, Class, Holder};
use crate::sys::node::Node;
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

/// One image that a domain wants to hold, or holds.
pub struct Image<'a> {
    pub node: &'a Node,
    pub path: &'a Arc<Path>,
    pub key: Key,
    pub holder: Holder,
    pub settings: &'a Settings<'a>,
    /// The metadata lock was taken with this node.
    pub locked: &'a Cell<bool>,
    /// What it is given back as when nobody holds it yet and it takes another's place.
    pub original: Option<&'a Option<Label>>,
}

/// How an image is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// By nobody. `Some`: what to give back is not the label that it has now.
    Free(Option<Option<Label>>),
    /// By domains that its attributes count.
    Counted,
    /// By domains that only the reservations list.
    Listed,
}

/// What is so of an image.
pub struct Standing {
    /// The label on the file.
    pub current: Option<Label>,
    /// What its attributes say; `None` where attributes are not to be used, or there are none.
    pub memory: Option<Remembered>,
    /// How it is held.
    pub held: Held,
    /// The domain itself is a holder.
    pub mine: bool,
    /// How many others are.
    pub others: u32,
}

impl<'a> Image<'a> {
    /// An image that a domain holds, or wants to hold, in the eyes of one model.
    pub fn new(
        node: &'a Node,
        path: &'a Arc<Path>,
        model: &'static str,
        holder: Holder,
        settings: &'a Settings<'a>,
        locked: &'a Cell<bool>,
    ) -> Self {
        Self { node, path, key: (node.identity(), model), holder, settings, locked, original: None }
    }
}

impl Image<'_> {
    pub fn model(&self) -> &'static str {
        self.key.1
    }

    /// The image among the reservations.
    pub fn shared_key(&self, class: Class) -> reservation::Key {
        reservation::Key::new(class, self.key.0.digest(self.key.1))
    }

    /// Takes the lock that libvirt takes too; it ends with the node.
    pub fn lock(&self) -> Result<()> {
        if !self.locked.get() {
            self.node
                .lock_metadata()
                .map_err(|e| self.failed("another process keeps its metadata locked", &e))?;
            self.locked.set(true);
        }
        Ok(())
    }

    /// Finds out what is so; `like` is a label of the kind that is asked about. What a process that was
    /// killed left half done is brought to its end.
    pub fn standing(&self, like: &Label) -> Result<Standing> {
        let current = current(self.node, like).map_err(|e| self.failed("cannot read its label", &e))?;
        let memory = match self.settings.durable.then(|| Remembered::read(self.node, self.model())) {
            None => None,
            // A file system without attributes.
            Some(Err(error)) if unsupported(&error) => None,
            Some(read) => Some(read.map_err(|e| self.failed("cannot read what is remembered", &e))?),
        };
        let meaning = memory.as_ref().map(|memory| memory.meaning(self.holder, current.as_ref(), self.node));
        let meaning =
            meaning.transpose().map_err(|e| self.failed("cannot tell whether other hosts use it", &e))?;
        let free = match (meaning, memory) {
            (Some(Meaning::Held), Some(memory)) => return self.counted(current, memory),
            (Some(Meaning::Free(original)), memory) => (original, memory),
            (_, memory) => (None, memory),
        };
        let (original, memory) = free;
        let key = self.shared_key(Class::Listed);
        let registry = &self.settings.store.registry;
        // Where attributes are the rule, what others list was looked up at the beginning of the step.
        let (members, mine) = match memory {
            Some(_) => registry.known_membership(key, self.holder),
            None => registry.membership(key, self.holder)?,
        };
        let held = if members > 0 { Held::Listed } else { Held::Free(original) };
        Ok(Standing { current, memory, held, mine, others: members - u32::from(mine) })
    }

    fn counted(&self, current: Option<Label>, mut memory: Remembered) -> Result<Standing> {
        let (others, mine) = match &memory.own {
            None => (memory.count, false),
            Some(Own { only: Some(only), .. }) if *only == self.holder => (memory.count - 1, true),
            Some(Own { only: Some(_), .. }) => (memory.count, false),
            Some(own) => {
                let own = own.clone();
                let key = self.shared_key(Class::Counted);
                let (ours, mine) = self.settings.store.registry.membership(key, self.holder)?;
                let own = self.settle(&mut memory, own, ours)?;
                let count = own.foreign + ours;
                memory.own = Some(own);
                (count - u32::from(mine), mine)
            }
        };
        Ok(Standing { current, memory: Some(memory), held: Held::Counted, mine, others })
    }

    /// Brings count and reservations together again: what the reservations say was decided, and the count
    /// may lag behind by what a killed process had still to write. Any other difference is libvirt's doing.
    fn settle(&self, memory: &mut Remembered, own: Own, ours: u32) -> Result<Own> {
        let before = own.foreign.saturating_add(own.ours);
        let lags = own.is_local() && ours != own.ours && memory.count == before;
        let foreign = if lags { own.foreign } else { memory.count.saturating_sub(ours) };
        let settled = own.counting(foreign, ours);
        if settled != own && own.is_local() || foreign + ours != memory.count {
            memory.count = foreign + ours;
            self.count(memory.count)?;
            if own.is_local() {
                self.note_or_forget(&settled, memory)?;
            }
        }
        Ok(settled)
    }

    /// Writes libvirt's count.
    pub fn count(&self, count: u32) -> Result<()> {
        durable::set_count(self.node, self.model(), count)
            .map_err(|e| self.failed("cannot count its holders", &e))
    }

    /// Writes our own attribute.
    pub fn note(&self, own: &Own) -> Result<()> {
        own.write(self.node, self.model()).map_err(|e| self.failed("cannot note its holders", &e))
    }

    /// As [`Image::note`]; where none of ours is left among libvirt's holders, nothing of ours stays either.
    pub fn note_or_forget(&self, own: &Own, memory: &Remembered) -> Result<()> {
        if own.ours > 0 {
            return self.note(own);
        }
        durable::forget_own(self.node, self.model(), memory.has_acl)
            .map_err(|e| self.failed("cannot note its holders", &e))
    }

    /// From now on the reservations list those of ours who hold the image.
    pub fn share(&self, memory: &Remembered, label: &Label) -> Result<Own> {
        let own = match &memory.own {
            Some(own @ Own { only: None, .. }) => return Ok(own.clone()),
            own => own.clone(),
        };
        let registry = &self.settings.store.registry;
        let key = self.shared_key(Class::Counted);
        let only = own.and_then(|own| own.only);
        // Nobody who is still listed can have to do with this use of the image.
        for member in registry.members(key)? {
            if Some(member) != only {
                registry.leave(key, member)?;
            }
        }
        if let Some(only) = only {
            registry.join(key, only)?;
        }
        let ours = u32::from(only.is_some());
        let own = Own::new(None, memory.count.saturating_sub(ours), ours, label);
        self.note(&own)?;
        Ok(own)
    }
}
