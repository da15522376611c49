//! After a crash of the daemon or the host.

use super::Manager;
use crate::domain::Uuid;
use crate::error::Result;
use crate::image;
use crate::log::{info, warning};
use std::collections::HashSet;

impl Manager {
    /// Gives back everything that the domains of this owner held that are not in `live`: their images, their
    /// labels, and what the drivers keep for them. Gives how many domains that were. Goes on after an error
    /// and reports the first; what was not given back is found again by the next call.
    pub fn reconcile(&self, live: &HashSet<Uuid>) -> Result<usize> {
        self.check_process()?;
        let mut dead = Vec::new();
        self.with_settings(|settings| {
            dead = image::domains(self.owner, settings)?;
            Ok(())
        })?;
        dead.retain(|holder| !live.contains(&holder.uuid));
        let mut first = Ok(());
        for holder in &dead {
            let images = self.with_settings(|settings| image::bury(*holder, settings));
            // A label is free again only when nothing carries it any more.
            let labels = || {
                let mut released = Ok(());
                for driver in &self.drivers {
                    released = released.and(driver.release_security_label(holder.uuid));
                }
                released.and_then(|()| self.strike_out(holder.uuid))
            };
            match images.and_then(|()| labels()) {
                Ok(()) => info!("domain {} is gone; what it held is given back", holder.uuid),
                Err(error) => {
                    warning!("domain {}: {error}", holder.uuid);
                    first = first.and(Err(error));
                }
            }
        }
        first.map(|()| dead.len())
    }
}
