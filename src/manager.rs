//! A stack of drivers and the methods that a daemon calls on it.

mod descriptors;
mod files;
mod label;
mod open;
mod process;
mod reconcile;
mod resources;
mod sockets;
mod transaction;

use crate::domain::handle::same_process;
use crate::domain::{Definition, Host, Uuid};
use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::image;
use crate::options::Options;
use crate::reservation::Holder;
use std::path::Path;
use transaction::Transactions;

/// See the module. A manager may be used by any number of threads at once.
pub struct Manager {
    id: u64,
    generation: u64,
    drivers: Vec<Box<dyn Driver>>,
    owner: u32,
    default_confined: bool,
    require_confined: bool,
    durable: bool,
    /// `None` for a stack that labels nothing.
    store: Option<image::Store>,
    host: Host,
    transactions: Transactions,
}

impl Manager {
    /// Opens a stack: a list such as `selinux,dac`, whose first driver is the primary one, or `None` for
    /// what this host enforces.
    pub fn open(drivers: Option<&str>, options: &Options) -> Result<Self> {
        open::open(drivers, options)
    }

    /// The driver at a place of the stack.
    pub fn driver(&self, index: usize) -> Option<&dyn Driver> {
        self.drivers.get(index).map(|driver| &**driver)
    }

    /// The driver of a model; `None` asks for the primary one.
    pub fn driver_of(&self, model: Option<&str>) -> Result<&dyn Driver> {
        let found = match model {
            None => self.driver(0),
            Some(model) => self.drivers.iter().find(|d| d.model() == model).map(|d| &**d),
        };
        found.ok_or_else(|| self.no_such_model(model.unwrap_or_default()))
    }

    /// `EDEADLK` in a forked child.
    pub fn check_process(&self) -> Result<()> {
        same_process(self.generation)
    }

    fn holder(&self, uuid: Uuid) -> Holder {
        Holder { owner: self.owner, uuid }
    }

    /// Calls `work` with how images are treated here; a stack that labels none has nothing to do.
    fn with_settings(&self, work: impl FnOnce(&image::Settings<'_>) -> Result<()>) -> Result<()> {
        let tolerates =
            |model: &'static str, errno| self.driver_of(Some(model)).is_ok_and(|d| d.tolerates(errno));
        match &self.store {
            Some(store) => work(&image::Settings { durable: self.durable, store, tolerates: &tolerates }),
            None => Ok(()),
        }
    }

    fn no_such_model(&self, model: &str) -> Error {
        let all: Vec<&str> = self.drivers.iter().map(|d| d.model()).collect();
        Error::invalid(format!("model {model:?} is not in this manager's stack ({})", all.join(",")))
    }

    fn no_label(&self, definition: &Definition, model: &str) -> Error {
        let text = format!("domain {} has no {model} label yet: call gen or reserve first", definition.name);
        Error::new(libc::ENODATA, text)
    }

    fn not_confined(&self, model: &str, pid: libc::pid_t, live: &str, meant: &str) -> Error {
        let live = if live.is_empty() { "none" } else { live };
        let text = format!(
            "process {pid} runs with the {model} label {live}, not with {meant}; it is not confined as its domain should be, stop it"
        );
        Error::new(libc::EPERM, text).with_path(Path::new(&format!("/proc/{pid}")))
    }
}

/// Said of a process whose label nothing on this host can tell.
fn cannot_tell(model: &str, pid: libc::pid_t) -> String {
    format!(
        "whether {model} confines process {pid} cannot be known: this daemon has not seen it being confined; it may be the child of a process that was, or was started before this daemon was"
    )
}
