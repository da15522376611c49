//! Where the processes of a host agree on who holds what.

use super::Label;
use super::durable::learn_boot;
use super::holds::{Hold, Origin};
use super::ledger::Ledgers;
use super::table::Key;
use crate::error::{Error, Result};
use crate::reservation::Registry;
use once_cell::sync::OnceCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// The reservations of a runtime directory and the ledgers of a state directory.
#[derive(Debug)]
pub struct Store {
    pub(crate) registry: Arc<Registry>,
    pub(super) ledgers: Ledgers,
    earlier: OnceCell<HashMap<Key, Hold>>,
}

impl Store {
    /// Uses a state directory, which is made when it is missing.
    pub fn open(registry: Arc<Registry>, state_dir: &Path) -> Result<Self> {
        learn_boot().map_err(|e| Error::os("cannot tell this boot from others", &e))?;
        Ok(Self { registry, ledgers: Ledgers::open(state_dir)?, earlier: OnceCell::new() })
    }

    /// What an image was before a guest held it that went down with the host, if it still has its label.
    pub(super) fn earlier(&self, key: Key, current: Option<&Label>) -> Result<Option<Origin>> {
        let all = self.earlier.get_or_try_init(|| self.ledgers.earlier())?;
        let fits = |hold: &&Hold| matches!(hold.label, Label::Grant { .. }) || hold.has_put(current);
        Ok(all.get(&key).filter(fits).and_then(|hold| hold.origin.as_deref().cloned()))
    }
}
