//! A definition that threads share, and the plan that a forked child may read.

use super::Definition;
use crate::child::Plan;
use crate::error::{Error, Result};
use crate::sys::cell::Cell;
use crate::sys::fork;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;

/// A guest as the library's callers hold it; a clone is the same guest.
#[derive(Debug, Clone)]
pub struct Domain(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    generation: u64,
    definition: Mutex<Definition>,
    plan: Cell<Plan>,
}

impl Domain {
    /// A handle for a definition.
    pub fn new(definition: Definition) -> Self {
        let definition = Mutex::new(definition);
        Self(Arc::new(Shared { generation: fork::generation(), definition, plan: Cell::default() }))
    }

    /// The definition, for as long as the guard lives; `EDEADLK` in a forked child, where the lock may
    /// be held by a thread that does not exist there.
    pub fn lock(&self) -> Result<MutexGuard<'_, Definition>> {
        self.check_process()?;
        Ok(self.0.definition.lock())
    }

    /// `EDEADLK` in a forked child.
    pub fn check_process(&self) -> Result<()> {
        same_process(self.0.generation)
    }

    /// The child's plan.
    pub fn plan(&self) -> &Cell<Plan> {
        &self.0.plan
    }
}

/// `EDEADLK` when a handle is used in another process than the one that made it. The answer allocates nothing.
pub fn same_process(generation: u64) -> Result<()> {
    if generation == fork::generation() {
        return Ok(());
    }
    Err(Error::new(
        libc::EDEADLK,
        "this handle was made before fork: in the child only svirt_domain_set_security_process_label may be called",
    ))
}
