//! Another label for an image that a domain holds alone: a layer that is written for a while.
//!
//! Killed anywhere, the next process finds both labels on record, in the ledger and on the image, and takes either
//! for the domain's.

use super::file::put;
use super::holds::Hold;
use super::ledger::Line;
use super::standing::{Held, Image, Standing};
use super::table::{Guest, Table};
use super::{Label, Settings, Step};
use crate::error::Result;
use crate::log::warning;
use crate::reservation::Holder;
use crate::sys::node::Node;
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

/// Changes the label of an image that the domain alone holds with another one; what is given back stays the
/// same. Gives the label that it had, or `None` when there is nothing to change or others hold it too.
pub fn change(holder: Holder, step: &Step, settings: &Settings<'_>) -> Result<Option<Label>> {
    let path: Arc<Path> = step.path.as_path().into();
    let to = &step.label;
    Table::get().with_guest(holder, settings, |guest| {
        let Some(hold) = guest.holds.get(&path, step.model).cloned() else { return Ok(None) };
        let grant = |label: &Label| matches!(label, Label::Grant { .. });
        if hold.label == *to && hold.was.is_none() || grant(&hold.label) || grant(to) {
            return Ok(None);
        }
        let Ok(node) = Node::find(&path) else { return Ok(None) };
        let (identity, locked) = (node.identity(), Cell::new(false));
        if !hold.is_on(identity) {
            return Ok(None);
        }
        let image = Image::new(&node, &path, step.model, holder, settings, &locked);
        Table::get().with_image(identity, |models| {
            image.lock()?;
            let standing = image.standing(to)?;
            let Some(has) = standing.current.clone().filter(|label| hold.has_put(Some(label))) else {
                return Ok(None);
            };
            if !standing.mine || standing.others > 0 || hold.label == *to && has == *to {
                return Ok(None);
            }
            // The image has one label, whatever the names by which the domain uses it.
            let all = guest.holds.all().filter(|other| other.model == step.model && other.is_on(identity));
            let before: Vec<Hold> = all.cloned().collect();
            let with = |hold: &Hold, label: &Label, was| Hold { label: label.clone(), was, ..hold.clone() };
            let next: Vec<Hold> = before.iter().map(|hold| with(hold, to, None)).collect();
            record(&image, guest, &next)?;
            if let Err(error) = image.change(&standing, &has, to) {
                let undone: Vec<Hold> =
                    before.iter().map(|hold| with(hold, &hold.label, Some(to.clone()))).collect();
                if let Err(error) = record(&image, guest, &undone) {
                    warning!("{error}");
                }
                undone.into_iter().for_each(|hold| guest.holds.replace(hold));
                return Err(error);
            }
            if let Some(held) = models.of(step.model) {
                held.label = to.clone();
            }
            next.into_iter().for_each(|hold| guest.holds.replace(hold));
            Ok(Some(has))
        })
    })
}

/// Writes down which label the holds have from now on: a use more, with the label, and one less. The one before
/// is known to whoever reads the ledger as well.
fn record(image: &Image<'_>, guest: &mut Guest, holds: &[Hold]) -> Result<()> {
    let lines: Vec<Line<'_>> = holds.iter().flat_map(|hold| [Line::Hold(hold), Line::Drop(hold)]).collect();
    image.settings.store.ledgers.append(image.holder, &lines, true)?;
    guest.lines = guest.lines.map(|known| known + lines.len());
    Ok(())
}

impl Image<'_> {
    /// Changes the label and what the image itself says of it; after an error both are as before, as far as that
    /// can be.
    fn change(&self, standing: &Standing, has: &Label, to: &Label) -> Result<()> {
        let own = standing.memory.as_ref().and_then(|memory| memory.own.as_ref());
        let own = own.filter(|_| standing.held == Held::Counted);
        let note = |label: &str| own.map_or(Ok(()), |own| self.note(&own.labelled(label)));
        let changed = note(&format!("{has} {to}"))
            .and_then(|()| {
                let what = || format!("cannot change its {} label from {has} to {to}", self.model());
                put(self.node, to).map_err(|error| self.failed(what(), &error))
            })
            .and_then(|()| note(&to.to_string()));
        if changed.is_err() {
            if let Err(error) = put(self.node, has) {
                warning!("{}: its label cannot be changed back to {has}: {error}", self.path.display());
            } else if let Err(error) = note(&has.to_string()) {
                warning!("{error}");
            }
        }
        changed
    }
}
