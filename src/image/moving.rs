//! Moving what is remembered from one image to another, after a block copy has pivoted.
//!
//! The new image takes the old one's place: the domain holds it, and when the domain ends it becomes what
//! the old image was before the domain. The old image is given back at once.

use super::holds::Hold;
use super::ledger::Line;
use super::standing::{Held, Image};
use super::table::{Guest, Table};
use super::{Label, Settings, Step, durable};
use crate::error::{Error, Result};
use crate::reservation::Holder;
use crate::sys::node::{Identity, Node};
use std::cell::Cell;
use std::path::Path;

/// Makes the new image remembered as the old one is, as far as the domain holds it already; each change goes to
/// `changed`. Gives the labels that it needs otherwise; `None` when there is nothing to move.
pub fn take_over(
    holder: Holder,
    (from, to): (&Path, &Path),
    settings: &Settings<'_>,
    changed: &mut Vec<Exchange>,
) -> Result<Option<Vec<Step>>> {
    Table::get().with_guest(holder, settings, |guest| {
        let (olds, news) = (holds(guest, from), holds(guest, to));
        if olds.is_empty() {
            return Ok(None);
        }
        let identity = find(to)?.identity();
        let mut steps = None;
        for old in olds.into_iter().filter(|old| old.identity != Some(identity)) {
            let steps = steps.get_or_insert_with(Vec::new);
            // An access control list concerns the image that it is on.
            let grant = matches!(old.label, Label::Grant { .. });
            let original = if grant { None } else { original(&old, settings) };
            match (news.iter().find(|new| new.model == old.model), original) {
                (Some(new), Some(original)) if !matches!(new.label, Label::Grant { .. }) => {
                    changed.extend(exchange(holder, guest, new, original, settings)?);
                }
                (Some(_), _) => {}
                (None, original) => steps.push(Step {
                    path: to.to_owned(),
                    model: old.model,
                    label: old.label,
                    optional: false,
                    directory: false,
                    original,
                }),
            }
        }
        Ok(steps)
    })
}

/// What an image was given back as before another's place was moved to it.
pub struct Exchange {
    holder: Holder,
    image: Hold,
    original: Option<Label>,
}

impl Exchange {
    /// Makes it so again.
    pub fn undo(&self, settings: &Settings<'_>) -> Result<()> {
        Table::get().with_guest(self.holder, settings, |guest| {
            exchange(self.holder, guest, &self.image, self.original.clone(), settings).map(drop)
        })
    }
}

/// What the domain holds under this name, or as the same image under another.
fn holds(guest: &Guest, path: &Path) -> Vec<Hold> {
    let identity = Node::find(path).ok().map(|node| node.identity());
    let is_it = |hold: &&Hold| *hold.path == *path || identity.is_some_and(|identity| hold.is_on(identity));
    let mut all: Vec<Hold> = Vec::new();
    for hold in guest.holds.all().filter(is_it) {
        if !all.iter().any(|other| other.model == hold.model) {
            all.push(Hold { identity: hold.identity.or(identity), ..hold.clone() });
        }
    }
    all
}

fn find(path: &Path) -> Result<Node> {
    Node::find(path).map_err(|e| Error::at(path, "cannot find the image that takes over", &e))
}

/// What the old image is given back as; `None` when nothing tells.
fn original(old: &Hold, settings: &Settings<'_>) -> Option<Option<Label>> {
    if let Some(origin) = &old.origin {
        return Some(origin.original.clone());
    }
    let known = |identity: Identity| {
        Table::get()
            .with_image(identity, |models| models.of(old.model).as_ref().map(|held| held.original.clone()))
    };
    old.identity.and_then(known).or_else(|| {
        let node = Node::find(&old.path).ok().filter(|_| settings.durable)?;
        let memory = durable::Remembered::read(&node, old.model).ok()?;
        (memory.count > 0).then_some(memory.original)
    })
}

/// Changes what an image is given back as, unless other domains use it too; gives how it was.
pub fn exchange(
    holder: Holder,
    guest: &mut Guest,
    new: &Hold,
    original: Option<Label>,
    settings: &Settings<'_>,
) -> Result<Option<Exchange>> {
    let node = find(&new.path)?;
    let (identity, locked) = (node.identity(), Cell::new(false));
    let image = Image::new(&node, &new.path, new.model, holder, settings, &locked);
    Table::get().with_image(identity, |models| {
        image.lock()?;
        let standing = image.standing(&new.label)?;
        if !standing.mine || standing.others > 0 {
            return Ok(None);
        }
        let mut before = standing.memory.as_ref().and_then(|memory| memory.original.clone());
        if standing.held == Held::Counted {
            durable::set_original(&node, new.model, original.as_ref())
                .map_err(|e| image.failed("cannot move what is remembered to it", &e))?;
        }
        // The image is one, whatever the names by which the domain uses it.
        let mut moved: Vec<Hold> = guest.holds.all().filter(|own| own.model == new.model).cloned().collect();
        moved.retain(|own| own.origin.is_some() && own.is_on(identity));
        for origin in moved.iter_mut().filter_map(|own| own.origin.as_mut()) {
            before = std::mem::replace(&mut origin.original, original.clone());
        }
        if !moved.is_empty() {
            // A use more, with the new origin, and one less: the origin is what stays.
            let lines: Vec<Line<'_>> =
                moved.iter().flat_map(|own| [Line::Hold(own), Line::Drop(own)]).collect();
            settings.store.ledgers.append(holder, &lines, true)?;
            guest.lines = guest.lines.map(|known| known + lines.len());
            moved.into_iter().for_each(|own| guest.holds.replace(own));
        }
        if let Some(held) = models.of(new.model) {
            held.original = original;
        }
        Ok(Some(Exchange { holder, image: new.clone(), original: before }))
    })
}
