//! What is known, and refused, before a domain's ledger says what it is about to hold.

use super::apply::find;
use super::errors;
use super::holds::Hold;
use super::standing::Image;
use super::table::Guest;
use super::{Settings, Step};
use crate::error::Result;
use crate::reservation::Holder;
use crate::sys::node::Node;
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

/// What the ledger will say about the steps. The images themselves are looked at only when they cannot
/// remember.
pub fn plan(holder: Holder, steps: &[Step], guest: &Guest, settings: &Settings<'_>) -> Result<Vec<Hold>> {
    let mut plans = Vec::with_capacity(steps.len());
    let mut found: Option<(Arc<Path>, Option<Node>)> = None;
    for step in steps {
        let path = match &found {
            Some((path, _)) if **path == *step.path => path.clone(),
            _ => step.path.as_path().into(),
        };
        let mut hold = Hold {
            path: path.clone(),
            model: step.model,
            label: step.label.clone(),
            was: None,
            identity: None,
            origin: None,
            earlier: false,
            uses: 1,
        };
        let neighbours = plans.iter().rev().take_while(|plan: &&Hold| plan.path == path);
        if let Some(other) = neighbours.into_iter().find(|o| o.model == step.model && o.label != step.label) {
            return Err(errors::twice(&path, &other.label, &step.label));
        }
        if let Some(known) = guest.holds.get(&path, step.model)
            && (known.origin.is_some() || known.label != step.label)
            && let Some(node) = find(step)?
            && known.identity.is_none_or(|identity| identity == node.identity())
        {
            // Another label is refused before a line of the ledger says that the domain has it.
            if known.label != step.label {
                let (key, locked) = ((node.identity(), step.model), Cell::new(false));
                let image = Image {
                    node: &node,
                    path: &path,
                    key,
                    holder,
                    settings,
                    locked: &locked,
                    original: None,
                };
                let standing = image.standing(&step.label)?;
                if standing.mine {
                    return Err(image.busy(&standing, Some(&known.label), &step.label));
                }
            }
            // One use more: what is known of the image already is not to be lost with the line before.
            (hold.identity, hold.origin) = (known.identity, known.origin.clone());
        }
        if !settings.durable {
            if found.as_ref().is_none_or(|(other, _)| *other != path) {
                found = Some((path.clone(), find(step)?));
            }
            let Some((_, Some(node))) = &found else {
                plans.push(hold);
                continue;
            };
            let key = (node.identity(), step.model);
            let locked = Cell::new(false);
            let original = step.original.as_ref();
            let image = Image { node, path: &path, key, holder, settings, locked: &locked, original };
            let standing = image.standing(&step.label)?;
            hold.identity = Some(key.0);
            hold.origin = Some(Box::new(image.origin(&standing, &step.label)?));
        } else if found.as_ref().is_none_or(|(other, _)| *other != path) {
            found = Some((path, None));
        }
        plans.push(hold);
    }
    Ok(plans)
}
