//! Labelling that is collected by a thread and then done together, also in a guest's mount namespace.

use super::Manager;
use crate::domain::{Domain, Resource};
use crate::driver::Moment;
use crate::error::{Error, Result};
use crate::image::{self, Settings, Task};
use crate::log::warning;
use crate::sys::namespace;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::thread::{self, ThreadId};

/// What each thread has begun to collect.
pub type Transactions = Mutex<HashMap<ThreadId, Transaction>>;

/// A domain, and the resources it had before a call.
pub type Change = (Domain, Vec<Resource>);

/// What one thread has collected.
#[derive(Default)]
pub struct Transaction {
    tasks: Vec<Task>,
    changes: Vec<Change>,
}

/// What a model may live with when it cannot label a file.
const TOLERABLE: [i32; 5] = [libc::EOPNOTSUPP, libc::EROFS, libc::EPERM, libc::EACCES, libc::EINVAL];

impl Manager {
    /// From now on this thread's labelling is collected.
    pub fn transaction_start(&self) -> Result<()> {
        self.check_process()?;
        let mut all = self.transactions.lock();
        if all.contains_key(&thread::current().id()) {
            let text = "this thread has a transaction already; commit or abort it first";
            return Err(Error::new(libc::EALREADY, text));
        }
        all.insert(thread::current().id(), Transaction::default());
        Ok(())
    }

    /// Does what this thread has collected, in the mount namespace of process `pid`, or here for -1; when
    /// that fails, nothing is labelled. The transaction ends in any case.
    pub fn transaction_commit(&self, pid: libc::pid_t) -> Result<()> {
        self.check_process()?;
        let Some(Transaction { tasks, changes }) = self.take_transaction() else {
            return Err(Error::new(libc::ENODATA, "this thread has no transaction: start one first"));
        };
        let result = match pid {
            -1 => self.run(tasks, || Ok(())),
            1.. => self.run_inside(pid, tasks),
            _ => Err(Error::invalid(format!("{pid} is neither a process id nor -1"))),
        };
        if result.is_err() {
            self.take_back(changes);
        }
        result
    }

    /// Drops what this thread has collected; without a transaction nothing happens.
    pub fn transaction_abort(&self) {
        if self.check_process().is_ok()
            && let Some(transaction) = self.take_transaction()
        {
            self.take_back(transaction.changes);
        }
    }

    /// Whether this thread collects.
    pub(super) fn in_transaction(&self) -> bool {
        self.transactions.lock().contains_key(&thread::current().id())
    }

    /// Adds to this thread's transaction; `change` is what must be undone when it fails.
    pub(super) fn collect(&self, task: Task, change: Option<Change>) {
        if let Some(transaction) = self.transactions.lock().get_mut(&thread::current().id()) {
            transaction.tasks.push(task);
            transaction.changes.extend(change);
        }
    }

    /// Does tasks here and now, then `then`.
    pub(super) fn run(&self, tasks: Vec<Task>, then: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut then = Some(then);
        self.with_settings(|settings| {
            image::run(tasks, settings, || then.take().map_or(Ok(()), |then| then()))
        })?;
        // A stack that labels no files.
        then.map_or(Ok(()), |then| then())
    }

    fn run_inside(&self, pid: libc::pid_t, tasks: Vec<Task>) -> Result<()> {
        // Everything that is read from this host's files is read before they are out of sight.
        let models: Vec<(&str, &dyn crate::driver::Driver)> =
            self.drivers.iter().map(|driver| (driver.model(), &**driver)).collect();
        let tolerated: Vec<(&str, i32)> = models
            .iter()
            .flat_map(|(model, driver)| {
                TOLERABLE.iter().filter(|errno| driver.tolerates(**errno)).map(|errno| (*model, *errno))
            })
            .collect();
        let tolerates = |model: &'static str, errno| tolerated.contains(&(model, errno));
        let Some(store) = &self.store else { return Ok(()) };
        let settings = Settings { durable: self.durable, store, tolerates: &tolerates };
        namespace::inside(pid, || image::run(tasks, &settings, || Ok(()))).unwrap_or_else(|error| {
            Err(Error::os(
                format_args!(
                    "cannot enter the mount namespace of process {pid} (does it live? CAP_SYS_ADMIN and CAP_SYS_CHROOT are needed)"
                ),
                &error,
            ))
        })
    }

    fn take_transaction(&self) -> Option<Transaction> {
        self.transactions.lock().remove(&thread::current().id())
    }

    /// The domains' resources as they were before the transaction, and the drivers with them.
    fn take_back(&self, changes: Vec<Change>) {
        for (domain, before) in changes.into_iter().rev() {
            let undone = domain.lock().and_then(|mut definition| {
                definition.resources = before;
                let live = definition.seclabels.iter().any(|seclabel| seclabel.live);
                if !live {
                    return Ok(());
                }
                let now = (Moment::Unplug, self.files_there(&definition.resources));
                self.apply(&domain, &mut definition, now, |_| {})
            });
            if let Err(error) = undone {
                warning!("while undoing a transaction: {error}");
            }
        }
    }
}
