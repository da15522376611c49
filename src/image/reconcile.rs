//! After a crash: everything that dead domains held goes back.

use super::{Settings, release};
use crate::error::Result;
use crate::reservation::Holder;

/// All domains of an owner that hold something on this host, or have something reserved.
pub fn domains(owner: u32, settings: &Settings<'_>) -> Result<Vec<Holder>> {
    let mut all = settings.store.ledgers.domains(owner)?;
    all.extend(settings.store.registry.domains(owner)?);
    all.sort_unstable_by_key(|holder| holder.uuid);
    all.dedup();
    Ok(all)
}

/// Gives back everything that a dead domain held.
pub fn bury(holder: Holder, settings: &Settings<'_>) -> Result<()> {
    release::restore_all(holder, settings, false)?;
    // Only now: what could not be given back is still the domain's.
    settings.store.registry.leave_all(holder)
}
