//! Putting labels on, step by step, undone as a whole when one step fails.

use super::acl::Acl;
use super::durable;
use super::file::{put, refused, unsupported};
use super::holds::{Hold, Origin};
use super::ledger::Line;
use super::moving;
use super::plan::plan;
use super::release::{self, let_go};
use super::standing::{Held, Image, Standing};
use super::table::{self, Guest, Holders, Table};
use super::{Label, Settings, Step};
use crate::error::{Error, Result};
use crate::log::{info, warning};
use crate::reservation::{Class, Holder};
use crate::sys::node::Node;
use std::cell::Cell;
use std::collections::HashSet;
use std::io;

/// Labels everything in `steps` for a domain and calls `then`; when anything fails, nothing is labelled.
pub fn set(
    holder: Holder,
    mut steps: Vec<Step>,
    settings: &Settings<'_>,
    then: impl FnOnce() -> Result<()>,
) -> Result<()> {
    // One order for all processes, so that two guests cannot wait for each other's images.
    steps.sort_by(|a, b| a.path.cmp(&b.path));
    Table::get().with_guest(holder, settings, |guest| {
        settings.store.registry.refresh()?;
        if guest.holds.all().any(|hold| hold.earlier)
            && let Err(error) = release::all(holder, guest, settings, false)
        {
            warning!("what the domain held before the host was booted: {error}");
        }
        let mut done = Vec::with_capacity(steps.len());
        let plans = plan(holder, &steps, guest, settings)?;
        let lines: Vec<Line<'_>> = plans.iter().map(Line::Hold).collect();
        // On the disk before the first label is: after a power loss this is how the images are found.
        if !lines.is_empty() {
            settings.store.ledgers.append(holder, &lines, true)?;
            guest.lines = Some(guest.lines.unwrap_or(0) + lines.len());
        }
        let labelled = label(holder, &steps, &plans, guest, settings, &mut done);
        let result = labelled.and_then(|()| then());
        match &result {
            Ok(()) => done.into_iter().for_each(|done| guest.holds.add(done.hold)),
            Err(_) => undo(holder, guest, settings, &plans, done),
        }
        result
    })
}

/// What a step has made of an image.
struct Done {
    hold: Hold,
    began: Began,
}

/// How a hold began, if it began with this step.
#[derive(Default)]
struct Began {
    now: bool,
    /// What the image was when it is remembered as another one: undone, it is that again.
    was: Option<Option<Label>>,
}

fn label(
    holder: Holder,
    steps: &[Step],
    plans: &[Hold],
    guest: &Guest,
    settings: &Settings<'_>,
    done: &mut Vec<Done>,
) -> Result<()> {
    let mut at = 0;
    for of_one_path in steps.chunk_by(|a, b| a.path == b.path) {
        let plans = &plans[at..at + of_one_path.len()];
        at += of_one_path.len();
        let Some(node) = find(&of_one_path[0])? else { continue };
        let (identity, locked) = (node.identity(), Cell::new(false));
        Table::get().with_image(identity, |models| {
            of_one_path.iter().zip(plans).try_for_each(|(step, plan)| {
                let image = Image::new(&node, &plan.path, plan.model, holder, settings, &locked);
                let image = Image { original: step.original.as_ref(), ..image };
                let mut hold = Hold { identity: Some(identity), ..plan.clone() };
                let mut began = Began::default();
                let has = |hold: &Hold| own_label(guest, done, hold);
                let held = image.hold(models.of(plan.model), &mut hold, has, &mut began);
                // A step that failed may have been cut short anywhere: it is undone like one that succeeded.
                if began.now || matches!(held, Ok(true)) {
                    done.push(Done { hold, began });
                }
                held.map(drop)
            })
        })?;
    }
    Ok(())
}

/// The label with which the domain holds the image already, by this name or by another one.
fn own_label(guest: &Guest, done: &[Done], hold: &Hold) -> Option<Label> {
    if let Some(other) = guest.holds.get(&hold.path, hold.model) {
        return Some(other.label.clone());
    }
    // The neighbours that were just labelled come first: they may have the same path.
    let all = done.iter().rev().map(|done| &done.hold).chain(guest.holds.all());
    all.filter(|other| other.model == hold.model)
        .find(|other| hold.identity.is_some_and(|identity| other.is_on(identity)))
        .map(|other| other.label.clone())
}

fn undo(holder: Holder, guest: &mut Guest, settings: &Settings<'_>, plans: &[Hold], done: Vec<Done>) {
    let mut kept = HashSet::new();
    for Done { mut hold, began } in done.into_iter().rev().filter(|done| done.began.now) {
        if let Some(was) = began.was {
            if let Some(origin) = &mut hold.origin {
                origin.original = was.clone();
            }
            if let Err(error) = moving::exchange(holder, guest, &hold, was, settings) {
                warning!("while undoing a failed move: {error}");
            }
        }
        if let Err(error) = let_go(holder, &hold, settings, false) {
            warning!("while undoing a failed start: {error}");
            kept.insert((hold.path.clone(), hold.model));
            guest.holds.add(hold);
        }
    }
    let gone: Vec<&Hold> = plans.iter().filter(|p| !kept.contains(&(p.path.clone(), p.model))).collect();
    if let Err(error) = release::write_off(holder, guest, settings, &gone) {
        warning!("while undoing a failed start: {error}");
    }
}

/// Finds a step's file; `None` when there is nothing to label and that is fine.
pub fn find(step: &Step) -> Result<Option<Node>> {
    match Node::find(&step.path) {
        Ok(node) if step.directory || !node.is_directory() => Ok(Some(node)),
        Ok(_) => Ok(None),
        Err(error) if step.optional && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::at(&step.path, "cannot find the guest's file", &error)),
    }
}

impl Image<'_> {
    /// Makes the domain a holder; `false` when the file cannot be labelled and the model lives with it.
    /// `has` finds the label with which the domain holds it already; `began` is set before the first change
    /// that makes it a holder.
    fn hold(
        &self,
        entry: &mut Option<table::Held>,
        hold: &mut Hold,
        has: impl FnOnce(&Hold) -> Option<Label>,
        began: &mut Began,
    ) -> Result<bool> {
        self.lock()?;
        let standing = self.standing(&hold.label)?;
        let has = if standing.mine { has(hold) } else { None };
        if has.as_ref().is_some_and(|has| *has != hold.label) || !self.fits(&standing, hold) {
            return Err(self.busy(&standing, has.as_ref(), &hold.label));
        }
        let labelled = if standing.mine && standing.others > 0 {
            self.grant(&hold.label).map(|()| true)
        } else {
            began.now = !standing.mine;
            if began.now && self.original.is_some() {
                let plain = Image { original: None, ..*self };
                began.was = Some(plain.origin(&standing, &hold.label)?.original);
            }
            self.join(&standing, hold)
        }?;
        if labelled {
            self.enter(entry, &standing, hold);
        }
        Ok(labelled)
    }

    /// Whether a label can stand beside those of the holders there are.
    fn fits(&self, standing: &Standing, hold: &Hold) -> bool {
        let grant = matches!(hold.label, Label::Grant { .. });
        let same = grant || standing.current.as_ref() == Some(&hold.label);
        let own = standing.memory.as_ref().and_then(|memory| memory.own.as_ref());
        // The label is what is put on last: where only this domain is on record it may still be missing.
        let alone = standing.mine && standing.others == 0;
        match standing.held {
            Held::Free(_) => true,
            Held::Counted => own.is_none_or(|own| own.fits(&hold.label)) && (same || alone),
            Held::Listed => {
                let granted =
                    self.first_listed().is_some_and(|other| matches!(other.label, Label::Grant { .. }));
                alone || same && grant == granted
            }
        }
    }

    /// A hold of another domain that only the ledger remembers.
    fn first_listed(&self) -> Option<Hold> {
        self.listed(|member, _| member != self.holder)
    }

    /// A hold that only the ledger remembers.
    fn listed(&self, wanted: impl Fn(Holder, &Hold) -> bool) -> Option<Hold> {
        let store = self.settings.store;
        let members = store.registry.members(self.shared_key(Class::Listed)).ok()?;
        members.into_iter().find_map(|member| {
            let page = store.ledgers.read(member).ok()??;
            let same = |hold: &&Hold| hold.identity == Some(self.key.0) && hold.model == self.key.1;
            page.holds.all().filter(same).find(|hold| wanted(member, hold)).cloned()
        })
    }

    /// What the image was before its first holder came.
    pub fn origin(&self, standing: &Standing, label: &Label) -> Result<Origin> {
        if standing.held == Held::Listed
            // The domain's own too: it may use the image once more.
            && let Some(origin) = self.listed(|_, hold| hold.origin.is_some()).and_then(|hold| hold.origin)
        {
            return Ok(*origin);
        }
        let acl = match label {
            Label::Grant { .. } => Some(Acl::read(self.node).map_err(|e| self.no_acl(&e))?),
            _ => None,
        };
        let original = match &standing.held {
            Held::Free(_) if self.original.is_some() => self.original.cloned().flatten(),
            Held::Free(Some(original)) => original.clone(),
            // Where the image itself cannot tell, a ledger from before the last boot may.
            Held::Free(None) if standing.memory.is_none() => {
                match self.settings.store.earlier(self.key, standing.current.as_ref())? {
                    Some(origin) => return Ok(Origin { acl: origin.acl.or(acl), ..origin }),
                    None => standing.current.clone(),
                }
            }
            _ => standing.current.clone(),
        };
        Ok(Origin { original, acl })
    }

    fn join(&self, standing: &Standing, hold: &mut Hold) -> Result<bool> {
        match (&standing.held, &standing.memory) {
            (Held::Counted, Some(memory)) if !standing.mine => {
                if matches!(hold.label, Label::Grant { .. }) && !memory.has_acl {
                    let acl = Acl::read(self.node).map_err(|e| self.no_acl(&e))?;
                    durable::remember_acl(self.node, &acl.encode())
                        .map_err(|e| self.failed("cannot remember its access control list", &e))?;
                }
                let own = self.share(memory, &hold.label)?;
                self.settings.store.registry.join(self.shared_key(Class::Counted), self.holder)?;
                self.count(memory.count.saturating_add(1))?;
                if own.is_local() {
                    self.note(&own.counting(own.foreign, own.ours + 1))?;
                }
                self.grant(&hold.label).map(|()| true)
            }
            // Alone on record: the daemon died on the way, or the step is repeated.
            (Held::Counted, _) => self.put_first(standing, hold),
            (Held::Free(_), Some(_)) => {
                self.clear_grants(standing)?;
                if !self.remember(&self.origin(standing, &hold.label)?, &hold.label)? {
                    self.list(standing, hold)?;
                }
                self.put_first(standing, hold)
            }
            _ => {
                self.list(standing, hold)?;
                self.put_first(standing, hold)
            }
        }
    }

    /// Remembers an image in the ledger and the reservations alone; `EBUSY` when another process was faster.
    pub fn list(&self, standing: &Standing, hold: &mut Hold) -> Result<()> {
        let origin = match &hold.origin {
            Some(known) if standing.mine => known.clone(),
            _ => Box::new(self.origin(standing, &hold.label)?),
        };
        // The usual case was written down before the first label changed; this one has become known now.
        if hold.origin.as_ref() != Some(&origin) {
            hold.origin = Some(origin);
            self.settings.store.ledgers.append(self.holder, &[Line::Drop(hold), Line::Hold(hold)], true)?;
        }
        let (registry, key) = (&self.settings.store.registry, self.shared_key(Class::Listed));
        registry.join(key, self.holder)?;
        // Whoever has listed it since we looked was first.
        if registry.known_membership(key, self.holder).0 > standing.others + 1 {
            registry.leave(key, self.holder)?;
            return Err(self.busy(&self.standing(&hold.label)?, None, &hold.label));
        }
        Ok(())
    }

    /// Writes the attributes for a first holder; `false` when the file system takes none.
    pub fn remember(&self, origin: &Origin, label: &Label) -> Result<bool> {
        let (model, acl) = (self.model(), origin.acl.as_ref().map(Acl::encode));
        let original = origin.original.as_ref();
        match durable::remember(self.node, model, self.holder, original, acl.as_deref(), label) {
            Ok(()) => Ok(true),
            // A policy may let a daemon relabel a device node and yet write nothing else about it.
            Err(error) if unsupported(&error) || refused(&error) => {
                let _ = durable::forget(self.node, model, acl.is_some());
                info!("{}: its label is remembered in the ledger only: {error}", self.path.display());
                Ok(false)
            }
            Err(error) => Err(self.failed("cannot remember its label in attributes (is there room for them? option remember=ledger does without)", &error)),
        }
    }

    /// Guests went down with the host: what they had in the access control list is nobody's any more.
    fn clear_grants(&self, standing: &Standing) -> Result<()> {
        if let Held::Free(Some(_)) = standing.held
            && let Some(before) = self.remembered_acl(standing)?
        {
            before.write(self.node).map_err(|e| self.no_acl(&e))?;
        }
        Ok(())
    }

    /// The access control list that the image remembers.
    pub fn remembered_acl(&self, standing: &Standing) -> Result<Option<Acl>> {
        if !standing.memory.as_ref().is_some_and(|memory| memory.has_acl) {
            return Ok(None);
        }
        let bytes = durable::remembered_acl(self.node)
            .map_err(|e| self.failed("cannot read what is remembered", &e))?;
        Ok(Acl::decode(&bytes))
    }

    fn put_first(&self, standing: &Standing, hold: &Hold) -> Result<bool> {
        if standing.current.as_ref() == Some(&hold.label) {
            return Ok(true);
        }
        let Err(error) = put(self.node, &hold.label) else { return Ok(true) };
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        // What nobody can write to may be readable to the guest as it is.
        if matches!(hold.label, Label::Grant { .. }) && errno != libc::EROFS {
            return Err(self.no_acl(&error));
        }
        let has = standing.current.as_ref().map_or_else(|| "no label".to_owned(), Label::to_string);
        let (model, label) = (self.model(), &hold.label);
        if !(self.settings.tolerates)(model, errno) {
            let what = format_args!(
                "cannot change its {model} label from {has} to {label}; see the kernel's audit log for the reason"
            );
            return Err(self.failed(what, &error));
        }
        info!("{}: keeps its {model} label {has}: {error}", self.path.display());
        release::unhold(self, hold, false)?;
        Ok(false)
    }

    /// Puts a further holder's own entry on; other labels are there already.
    fn grant(&self, label: &Label) -> Result<()> {
        match label {
            Label::Grant { .. } => put(self.node, label).map_err(|e| self.no_acl(&e)),
            _ => Ok(()),
        }
    }

    /// Writes down in this process's table that the domain holds the image.
    pub fn enter(&self, entry: &mut Option<table::Held>, standing: &Standing, hold: &Hold) {
        let original = || match (&standing.held, &standing.memory, &hold.origin) {
            (_, _, Some(origin)) => origin.original.clone(),
            (Held::Counted, Some(memory), _) => memory.original.clone(),
            (Held::Free(_), ..) if self.original.is_some() => self.original.cloned().flatten(),
            (Held::Free(Some(original)), ..) => original.clone(),
            _ => standing.current.clone(),
        };
        let held = entry.get_or_insert_with(|| table::Held {
            path: self.path.clone(),
            original: original(),
            label: hold.label.clone(),
            holders: Holders::One(self.holder),
        });
        if !standing.mine && standing.others == 0 && !held.holders.contains(self.holder) {
            // Whoever held it when we last looked holds it no longer.
            (held.original, held.label) = (original(), hold.label.clone());
            held.holders = Holders::One(self.holder);
        }
        held.holders.insert(self.holder);
    }
}
