//! What is known, and refused, before a domain's ledger says what it is about to hold.

use super::apply::find;
use super::errors;
use super::holds::Hold;
use super::standing::Image;
use super::table::Guest;
use super::{Settings, Step};
use crate::error::Result;
use crate::reservation::Holder;
use once_cell::unsync::OnceCell;
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

/// What the ledger will say about the steps, which are sorted by path. The images themselves are looked at only
/// when they cannot remember.
pub fn plan(holder: Holder, steps: &[Step], guest: &Guest, settings: &Settings<'_>) -> Result<Vec<Hold>> {
    let mut plans: Vec<Hold> = Vec::with_capacity(steps.len());
    for of_one_path in steps.chunk_by(|a, b| a.path == b.path) {
        let path: Arc<Path> = of_one_path[0].path.as_path().into();
        let (node, begin) = (OnceCell::new(), plans.len());
        for step in of_one_path {
            let mut plan = Hold::new(path.clone(), step.model, step.label.clone());
            let other = plans[begin..].iter().find(|o| o.model == step.model && o.label != step.label);
            if let Some(other) = other {
                return Err(errors::twice(&path, &other.label, &step.label));
            }
            let known = guest.holds.get(&path, step.model);
            let known = known.filter(|known| known.origin.is_some() || known.label != step.label);
            if (known.is_some() || !settings.durable)
                && let Some(node) = node.get_or_try_init(|| find(step))?
            {
                let locked = Cell::new(false);
                let image = Image::new(node, &path, step.model, holder, settings, &locked);
                let image = Image { original: step.original.as_ref(), ..image };
                look(&image, step, known, &mut plan)?;
            }
            plans.push(plan);
        }
    }
    Ok(plans)
}

/// What a look at the image adds; `known`: how the domain holds it already by this name.
fn look(image: &Image<'_>, step: &Step, known: Option<&Hold>, plan: &mut Hold) -> Result<()> {
    let identity = image.key.0;
    if let Some(known) = known.filter(|known| known.identity.is_none_or(|its| its == identity)) {
        // Another label is refused before a line of the ledger says that the domain has it.
        if known.label != step.label {
            let standing = image.standing(&step.label)?;
            if standing.mine {
                return Err(image.busy(&standing, Some(&known.label), &step.label));
            }
        }
        // One use more: what is known of the image already is not to be lost with the line before.
        (plan.identity, plan.origin) = (known.identity, known.origin.clone());
    }
    if !image.settings.durable {
        let standing = image.standing(&step.label)?;
        plan.identity = Some(identity);
        plan.origin = Some(Box::new(image.origin(&standing, &step.label)?));
    }
    Ok(())
}
