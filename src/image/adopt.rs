//! Taking over what a live domain holds, after its daemon was started again.

use super::apply::find;
use super::holds::{Hold, Origin};
use super::ledger::Line;
use super::standing::{Held, Image, Standing};
use super::table::Table;
use super::{Label, Settings, Step};
use crate::error::Result;
use crate::log::{debug, info};
use crate::reservation::{Class, Holder};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

/// Takes over what a live domain holds: by its ledger, by the attributes of its images, as a libvirt
/// without this library leaves them, or by their label; `original` tells what to give back where nothing
/// is remembered.
pub fn adopt(
    holder: Holder,
    steps: &[Step],
    settings: &Settings<'_>,
    original: impl Fn(&Step, u32) -> Option<Label>,
) -> Result<()> {
    Table::get().with_guest(holder, settings, |guest| {
        settings.store.registry.refresh()?;
        for step in steps {
            let Some(node) = find(step)? else { continue };
            let path: Arc<Path> = step.path.as_path().into();
            let (identity, locked) = (node.identity(), Cell::new(false));
            let image = Image::new(&node, &path, step.model, holder, settings, &locked);
            let known = guest.holds.get(&path, step.model).cloned();
            let mut hold = known.clone().unwrap_or_else(|| Hold {
                identity: Some(identity),
                ..Hold::new(path.clone(), step.model, step.label.clone())
            });
            let adopted = Table::get().with_image(identity, |models| {
                image.lock()?;
                let standing = image.standing(&step.label)?;
                // A line first, so that reconcile finds what the attributes alone would tell.
                if known.is_none() && (standing.mine || carries(&standing, step)) {
                    if !standing.mine {
                        hold.origin = image.unknown(&standing, step, &original).map(Box::new);
                    }
                    settings.store.ledgers.append(holder, &[Line::Hold(&hold)], false)?;
                    guest.lines = Some(guest.lines.unwrap_or(0) + 1);
                }
                let adopted = standing.mine || image.take_over(&standing, step, &hold)?;
                if adopted {
                    image.enter(models.of(step.model), &standing, &hold);
                }
                Ok(adopted)
            })?;
            if adopted && known.is_none() {
                guest.holds.add(hold);
            }
        }
        Ok(())
    })
}

fn carries(standing: &Standing, step: &Step) -> bool {
    standing.current.as_ref() == Some(&step.label)
}

impl Image<'_> {
    /// What an image that carries the domain's label is given back as, when nothing is remembered.
    fn unknown(
        &self,
        standing: &Standing,
        step: &Step,
        original: &impl Fn(&Step, u32) -> Option<Label>,
    ) -> Option<Origin> {
        match &standing.held {
            Held::Free(Some(original)) => Some(Origin { original: original.clone(), acl: None }),
            Held::Free(None) => {
                let original = original(step, self.node.mode());
                if original.is_none() {
                    info!(
                        "{}: nothing tells which label it had; it will be left as it is",
                        self.path.display()
                    );
                }
                original.map(|original| Origin { original: Some(original), acl: None })
            }
            _ => None,
        }
    }

    /// Makes the domain a holder of an image that has its label already; `false` when it is none.
    fn take_over(&self, standing: &Standing, step: &Step, hold: &Hold) -> Result<bool> {
        if !carries(standing, step) {
            debug!("{}: not labelled for the domain, so not taken over", self.path.display());
            return Ok(false);
        }
        let registry = &self.settings.store.registry;
        match (&standing.held, &standing.memory, &hold.origin) {
            (Held::Counted, Some(memory), _) => {
                let own = self.share(memory, &step.label)?;
                if own.foreign == 0 || !own.is_local() {
                    debug!("{}: all its holders are known", self.path.display());
                    return Ok(false);
                }
                // It was counted by libvirt; from now on it is one of ours. Cut anywhere, the sum is right.
                let own = own.counting(own.foreign - 1, own.ours);
                self.note(&own)?;
                registry.join(self.shared_key(Class::Counted), self.holder)?;
                self.note(&own.counting(own.foreign, own.ours + 1))?;
                Ok(true)
            }
            (Held::Free(_), memory, Some(origin)) => {
                if memory.is_none() || !self.remember(origin, &step.label)? {
                    registry.join(self.shared_key(Class::Listed), self.holder)?;
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
