//! Moving what is remembered from one image to another, after a block copy has pivoted.
//!
//! The new image takes the old one's place: the domain holds it, and when the domain ends it becomes what
//! the old image was before the domain. The old image is given back at once.

use super::ledger::Line;
use super::standing::{Held, Image};
use super::table::{Guest, Hold, Origin, Table};
use super::{Label, Settings, Step, durable, release};
use crate::error::{Error, Result};
use crate::reservation::Holder;
use crate::sys::node::{Identity, Node};
use std::cell::Cell;
use std::path::Path;

/// The labels that the new image needs first, as far as the domain does not hold it already.
pub fn steps(holder: Holder, from: &Path, to: &Path, settings: &Settings<'_>) -> Result<Vec<Step>> {
    Table::get().with_guest(holder, settings, |guest| {
        let olds = holds(guest, from);
        if olds.is_empty() {
            return Ok(Vec::new());
        }
        let identity = find(to)?.identity();
        let news = holds(guest, to);
        let missing =
            |old: &&Hold| old.identity != Some(identity) && !news.iter().any(|new| new.model == old.model);
        let step = |old: &Hold| Step {
            path: to.to_owned(),
            model: old.model,
            label: old.label.clone(),
            optional: false,
            directory: false,
        };
        Ok(olds.iter().filter(missing).map(step).collect())
    })
}

/// Makes the new image, which is labelled, remembered as the old one is, and gives the old one back.
pub fn finish(holder: Holder, from: &Path, to: &Path, settings: &Settings<'_>) -> Result<()> {
    let moved = Table::get().with_guest(holder, settings, |guest| {
        let (olds, news) = (holds(guest, from), holds(guest, to));
        let mut moved = false;
        for old in olds {
            let Some(new) = news.iter().find(|new| new.model == old.model && new.identity != old.identity)
            else {
                continue;
            };
            moved = true;
            // An access control list concerns the image that it is on.
            if !matches!(old.label, Label::Grant { .. })
                && let Some(original) = original(&old, settings)
            {
                exchange(holder, guest, new, original, settings)?;
            }
        }
        Ok(moved)
    })?;
    if moved { release::restore(holder, from, settings) } else { Ok(()) }
}

/// What the domain holds under this name, or as the same image under another.
fn holds(guest: &Guest, path: &Path) -> Vec<Hold> {
    let identity = Node::find(path).ok().map(|node| node.identity());
    let is_it = |hold: &&Hold| *hold.path == *path || identity.is_some() && hold.identity == identity;
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

/// Changes what an image is given back as, unless other domains use it too.
fn exchange(
    holder: Holder,
    guest: &mut Guest,
    new: &Hold,
    original: Option<Label>,
    settings: &Settings<'_>,
) -> Result<()> {
    let node = find(&new.path)?;
    let (identity, locked) = (node.identity(), Cell::new(false));
    let image =
        Image { node: &node, path: &new.path, key: (identity, new.model), holder, settings, locked: &locked };
    Table::get().with_image(identity, |models| {
        image.lock()?;
        let standing = image.standing(&new.label)?;
        if !standing.mine || standing.others > 0 {
            return Ok(());
        }
        if standing.held == Held::Counted {
            durable::set_original(&node, new.model, original.as_ref())
                .map_err(|e| image.failed("cannot move what is remembered to it", &e))?;
        }
        if let Some(own) = guest.holds.get(&new.path, new.model).filter(|own| own.origin.is_some()).cloned() {
            let acl = own.origin.as_ref().and_then(|origin| origin.acl.clone());
            let moved = Hold { origin: Some(Origin { original: original.clone(), acl }), ..own.clone() };
            // A line for each use, as a ledger counts them.
            let lines: Vec<Line<'_>> = (0..own.uses)
                .map(|_| Line::Drop(&own))
                .chain((0..own.uses).map(|_| Line::Hold(&moved)))
                .collect();
            settings.store.ledgers.append(holder, &lines, true)?;
            guest.lines = guest.lines.map(|known| known + lines.len());
            guest.holds.remove(&own);
            guest.holds.add(moved);
        }
        if let Some(held) = models.of(new.model) {
            held.original = original;
        }
        Ok(())
    })
}
