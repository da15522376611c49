//! Putting labels on and giving them back, step by step, undone as a whole when one step fails.

use super::acl::Acl;
use super::durable::{self, Remembered, Standing};
use super::file::{current, put, refused, unsupported};
use super::release::let_go;
use super::table::{Held, Hold, Key, Table};
use super::{Label, Settings, Step};
use crate::error::{Error, Result};
use crate::log::{debug, info, warning};
use crate::reservation::Holder;
use crate::sys::node::Node;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Labels everything in `steps` for a domain and calls `then`; when anything fails, nothing is labelled.
///
/// This is where a ledger on disk gets its one write: all steps are known and none is done.
pub fn set(
    holder: Holder,
    mut steps: Vec<Step>,
    settings: &Settings<'_>,
    then: impl FnOnce() -> Result<()>,
) -> Result<()> {
    // One order for all processes, so that two guests cannot wait for each other's images.
    steps.sort_by(|a, b| a.path.cmp(&b.path));
    let mut done: Vec<Key> = Vec::new();
    let labelled = steps.chunk_by(|a, b| a.path == b.path).try_for_each(|of_one_path| {
        let Some(node) = find(&of_one_path[0])? else { return Ok(()) };
        let path: Arc<Path> = of_one_path[0].path.as_path().into();
        let image = Image { node: &node, path: &path, holder, settings };
        for step in of_one_path {
            let key = (node.identity(), step.model);
            if image.hold(key, &step.label)? {
                Table::get().add_hold(holder, key, &path);
                done.push(key);
            }
        }
        Ok(())
    });
    let result = labelled.and_then(|()| then());
    if result.is_err() {
        for key in done.iter().rev() {
            for hold in Table::get().drop_uses(holder, |hold| hold.key == *key).unwrap_or_default() {
                if let Err(error) = let_go(holder, &hold, false) {
                    warning!("while undoing a failed start: {error}");
                    Table::get().keep_hold(holder, hold);
                }
            }
        }
    }
    result
}

/// Takes over what a live domain already holds according to the attributes, or what carries its label;
/// `original` tells what to give back where nothing is remembered.
pub fn adopt(
    holder: Holder,
    steps: &[Step],
    settings: &Settings<'_>,
    original: impl Fn(&Step, u32) -> Option<Label>,
) -> Result<()> {
    for step in steps {
        let Some(node) = find(step)? else { continue };
        let path: Arc<Path> = step.path.as_path().into();
        let key = (node.identity(), step.model);
        let image = Image { node: &node, path: &path, holder, settings };
        let adopted = Table::get().with_entry(key, |entry| image.take_over(entry, key.1, step, &original))?;
        if adopted {
            Table::get().add_hold(holder, key, &path);
        }
    }
    Ok(())
}

/// Gives back everything that a domain holds; goes on after an error and reports the first.
pub fn restore_all(holder: Holder, migrated: bool) -> Result<()> {
    give_back(holder, Table::get().take_holds(holder), migrated)
}

/// Gives back one image that a domain holds, unless another resource of the domain uses it too.
pub fn restore(holder: Holder, path: &Path) -> Result<()> {
    let by_path = || Table::get().drop_uses(holder, |hold| *hold.path == *path);
    // The same image by another name.
    let by_identity = || {
        let identity = Node::find(path).ok()?.identity();
        Table::get().drop_uses(holder, |hold| hold.key.0 == identity)
    };
    let gone = by_path().or_else(by_identity).unwrap_or_default();
    give_back(holder, gone, false)
}

fn give_back(holder: Holder, holds: Vec<Hold>, migrated: bool) -> Result<()> {
    let mut first = Ok(());
    for hold in holds {
        if let Err(error) = let_go(holder, &hold, migrated) {
            Table::get().keep_hold(holder, Hold { uses: 1, ..hold });
            warning!("{error}");
            first = first.and(Err(error));
        }
    }
    first
}

/// Finds a step's file; `None` when there is nothing to label and that is fine.
fn find(step: &Step) -> Result<Option<Node>> {
    match Node::find(&step.path) {
        Ok(node) if step.optional || !node.is_directory() => Ok(Some(node)),
        Ok(_) => Ok(None),
        Err(error) if step.optional && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::at(&step.path, "cannot find the guest's file", &error)),
    }
}

/// One image that a domain wants to hold.
struct Image<'a> {
    node: &'a Node,
    path: &'a Arc<Path>,
    holder: Holder,
    settings: &'a Settings<'a>,
}

impl Image<'_> {
    /// Makes the domain a holder; `false` when the file cannot be labelled and the model lives with it.
    fn hold(&self, key: Key, label: &Label) -> Result<bool> {
        Table::get().with_entry(key, |entry| {
            self.lock()?;
            match entry {
                None => {
                    *entry = self.hold_first(key.1, label)?;
                    Ok(entry.is_some())
                }
                Some(held) => self.join(held, key.1, label).map(|()| true),
            }
        })
    }

    fn lock(&self) -> Result<()> {
        self.node
            .lock_metadata()
            .map(drop)
            .map_err(|e| self.failed("another process keeps its metadata locked", &e))
    }

    fn hold_first(&self, model: &'static str, label: &Label) -> Result<Option<Held>> {
        let current = current(self.node, label).map_err(|e| self.failed("cannot read its label", &e))?;
        let mut held = self.held(current.clone(), label);
        if let Label::Grant { .. } = label {
            held.acl = Some(Acl::read(self.node).map_err(|e| self.no_acl(&e))?);
        }
        if self.settings.durable {
            // A file system without such attributes is remembered in memory only.
            let memory = match Remembered::read(self.node, model) {
                Err(error) if unsupported(&error) => Remembered::default(),
                read => read.map_err(|e| self.failed("cannot read what is remembered", &e))?,
            };
            match memory.standing(self.holder, current.as_ref(), self.node.on_shared_filesystem()) {
                Standing::Free(remembered) => held.original = remembered.or(held.original),
                Standing::HeldByUs
                    if matches!(label, Label::Grant { .. }) || current.as_ref() == Some(label) =>
                {
                    held.original = memory.original;
                    held.durable = true;
                    self.restore_remembered_acl(&mut held);
                    self.grant(label)?;
                    return Ok(Some(held));
                }
                _ if matches!(label, Label::Grant { .. }) || current.as_ref() == Some(label) => {
                    held.original = memory.original.clone();
                    held.durable = true;
                    self.restore_remembered_acl(&mut held);
                    self.count(model, memory.count.saturating_add(1))?;
                    self.grant(label)?;
                    return Ok(Some(held));
                }
                _ => return Err(self.busy(current.as_ref(), label, &memory.holders())),
            }
            held.durable = self.remember(model, &held)?;
        }
        if current.as_ref() == Some(label) {
            return Ok(Some(held));
        }
        match put(self.node, label) {
            Ok(()) => Ok(Some(held)),
            Err(error) => {
                if held.durable
                    && let Err(error) = durable::forget(self.node, model)
                {
                    warning!("{}: cannot remove what was remembered: {error}", self.path.display());
                }
                self.not_put(model, label, current.as_ref(), &error).map(|()| None)
            }
        }
    }

    /// Writes the attributes; `false` when the file system has none.
    fn remember(&self, model: &str, held: &Held) -> Result<bool> {
        let written = durable::remember(self.node, model, self.holder, held.original.as_ref(), &held.label)
            .and_then(|()| match &held.acl {
                Some(acl) => durable::remember_acl(self.node, &acl.encode()),
                None => Ok(()),
            });
        match written {
            Ok(()) => Ok(true),
            // A policy may let a daemon relabel a device node and yet write nothing else about it.
            Err(error) if unsupported(&error) || refused(&error) => {
                let _ = durable::forget(self.node, model);
                info!("{}: its label is remembered in memory only: {error}", self.path.display());
                Ok(false)
            }
            Err(error) => {
                let _ = durable::forget(self.node, model);
                Err(self.failed("cannot remember its label in attributes", &error))
            }
        }
    }

    fn join(&self, held: &mut Held, model: &'static str, label: &Label) -> Result<()> {
        let mine = held.holders.iter().find(|(holder, _)| *holder == self.holder);
        let both_grants = matches!((&held.label, label), (Label::Grant { .. }, Label::Grant { .. }));
        if mine.map_or(held.label != *label && !both_grants, |(_, mine)| mine != label) {
            let uuids: Vec<String> = held.holders.iter().map(|(holder, _)| holder.uuid.to_string()).collect();
            let has = mine.map_or(&held.label, |(_, label)| label);
            return Err(self.busy(Some(has), label, &format!("domain {}", uuids.join(", "))));
        }
        if mine.is_some() {
            return Ok(());
        }
        if held.durable {
            let memory =
                Remembered::read(self.node, model).map_err(|e| self.failed("cannot read its count", &e))?;
            self.count(model, memory.count.max(held.holders.len() as u32).saturating_add(1))?;
        }
        self.grant(label)?;
        held.holders.push((self.holder, label.clone()));
        Ok(())
    }

    fn take_over(
        &self,
        entry: &mut Option<Held>,
        model: &'static str,
        step: &Step,
        original: &impl Fn(&Step, u32) -> Option<Label>,
    ) -> Result<bool> {
        if let Some(held) = entry {
            let fits = held.label == step.label || matches!(held.label, Label::Grant { .. });
            if fits && !held.holders.iter().any(|(holder, _)| *holder == self.holder) {
                held.holders.push((self.holder, step.label.clone()));
            }
            return Ok(fits);
        }
        self.lock()?;
        let current =
            current(self.node, &step.label).map_err(|e| self.failed("cannot read its label", &e))?;
        let memory = if self.settings.durable {
            Remembered::read(self.node, model).unwrap_or_default()
        } else {
            Remembered::default()
        };
        let grant = matches!(step.label, Label::Grant { .. });
        if grant && memory.count == 0 || !grant && current.as_ref() != Some(&step.label) {
            debug!("{}: not labelled for the domain, so not taken over", self.path.display());
            return Ok(false);
        }
        let mut held =
            self.held(memory.original.clone().or_else(|| original(step, self.node.mode())), &step.label);
        held.durable = memory.count > 0;
        if grant {
            held.acl = Some(Acl::read(self.node).map_err(|e| self.no_acl(&e))?);
            self.restore_remembered_acl(&mut held);
        }
        if held.original.is_none() {
            info!("{}: nothing tells which label it had; it will be left as it is", self.path.display());
            return Ok(false);
        }
        *entry = Some(held);
        Ok(true)
    }

    fn held(&self, original: Option<Label>, label: &Label) -> Held {
        Held {
            path: self.path.clone(),
            original,
            label: label.clone(),
            acl: None,
            durable: false,
            holders: vec![(self.holder, label.clone())],
        }
    }

    fn restore_remembered_acl(&self, held: &mut Held) {
        if held.acl.is_some() {
            held.acl = durable::remembered_acl(self.node).and_then(|b| Acl::decode(&b)).or(held.acl.take());
        }
    }

    /// Puts a further holder's own entry on; other labels are there already.
    fn grant(&self, label: &Label) -> Result<()> {
        if !matches!(label, Label::Grant { .. }) {
            return Ok(());
        }
        put(self.node, label).map_err(|e| self.no_acl(&e))
    }

    fn count(&self, model: &str, count: u32) -> Result<()> {
        durable::set_count(self.node, model, count).map_err(|e| self.failed("cannot count its holders", &e))
    }

    fn not_put(
        &self,
        model: &'static str,
        label: &Label,
        current: Option<&Label>,
        error: &io::Error,
    ) -> Result<()> {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        if let Label::Grant { .. } = label {
            return Err(self.no_acl(error));
        }
        let has = current.map_or_else(|| "no label".to_owned(), Label::to_string);
        if (self.settings.tolerates)(model, errno) {
            info!("{}: keeps its {model} label {has}: {error}", self.path.display());
            return Ok(());
        }
        Err(self.failed(
            format_args!("cannot change its {model} label from {has} to {label}; see the kernel's audit log for the reason"),
            error,
        ))
    }

    fn busy(&self, has: Option<&Label>, wants: &Label, by: &str) -> Error {
        let has = has.map_or_else(|| "no label".to_owned(), Label::to_string);
        let path = self.path.display();
        Error::new(
            libc::EBUSY,
            format!("{path}: in use with label {has} by {by}, but domain {} needs {wants}; stop the other guest, or make the disk <shareable/> or <readonly/> in both", self.holder.uuid),
        )
        .with_path(self.path)
    }

    fn no_acl(&self, error: &io::Error) -> Error {
        if !unsupported(error) {
            return self.failed("cannot change its access control list", error);
        }
        let path = self.path.display();
        Error::unsupported(format!("{path}: the file system has no access control lists, so the image cannot be shared among guests with a uid of their own")).with_path(self.path)
    }

    fn failed(&self, what: impl std::fmt::Display, error: &io::Error) -> Error {
        Error::at(self.path, what, error)
    }
}
