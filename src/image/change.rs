//! Another label for an image that a domain holds alone: a layer that is written for a while.

use super::durable::Own;
use super::file::put;
use super::ledger::Line;
use super::standing::{Held, Image};
use super::table::{Hold, Table};
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
    Table::get().with_guest(holder, settings, |guest| {
        let Some(hold) = guest.holds.get(&path, step.model).cloned() else { return Ok(None) };
        let grant = |label: &Label| matches!(label, Label::Grant { .. });
        if hold.label == step.label || grant(&hold.label) || grant(&step.label) {
            return Ok(None);
        }
        let Ok(node) = Node::find(&path) else { return Ok(None) };
        let (identity, locked) = (node.identity(), Cell::new(false));
        if hold.identity.is_some_and(|known| known != identity) {
            return Ok(None);
        }
        let key = (identity, step.model);
        let image =
            Image { node: &node, path: &path, key, holder, settings, locked: &locked, original: None };
        Table::get().with_image(identity, |models| {
            image.lock()?;
            let standing = image.standing(&step.label)?;
            if !standing.mine || standing.others > 0 || standing.current.as_ref() != Some(&hold.label) {
                return Ok(None);
            }
            let next = Hold { label: step.label.clone(), identity: Some(identity), ..hold.clone() };
            let record = |hold: &Hold| {
                // A use more, with the label, and one less: the label is what stays.
                settings.store.ledgers.append(holder, &[Line::Hold(hold), Line::Drop(hold)], true)
            };
            record(&next)?;
            guest.lines = guest.lines.map(|lines| lines + 2);
            if let Err(error) = put(&node, &next.label) {
                if let Err(error) = record(&hold) {
                    warning!("{error}");
                }
                let (model, has) = (step.model, &hold.label);
                let what = format_args!("cannot change its {model} label from {has} to {}", step.label);
                return Err(image.failed(what, &error));
            }
            if standing.held == Held::Counted
                && let Some(own) = standing.memory.as_ref().and_then(|memory| memory.own.as_ref())
            {
                image.note(&Own::new(own.only, own.foreign, own.ours, &next.label))?;
            }
            if let Some(held) = models.of(step.model) {
                held.label = next.label.clone();
            }
            guest.holds.replace(next);
            Ok(Some(hold.label.clone()))
        })
    })
}
