//! The files of domains: labelled, given back.

use super::Manager;
use crate::domain::xml::device_from_xml;
use crate::domain::{Definition, Domain, Kind, Resource};
use crate::driver::Moment;
use crate::error::Result;
use crate::image::Task;
use std::path::Path;

/// What drivers are told that keep more than files: the moment, and all files of the domain as they are then.
pub(super) type Now = (Moment, Vec<Resource>);

impl Manager {
    /// Labels everything the domain uses, or nothing.
    pub fn set_security_all_label(&self, domain: &Domain) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        self.claim(domain, definition)?;
        let files = self.files(definition, &definition.resources)?;
        let task = Task::Set(self.holder(definition.uuid), self.steps(definition, &files)?);
        self.change(domain, definition, task, (Moment::SetAll, files), |_| {})
    }

    /// Gives back everything that the domain holds, and nothing else.
    pub fn restore_security_all_label(&self, domain: &Domain, migrated: bool) -> Result<()> {
        self.check_process()?;
        let uuid = domain.lock()?.uuid;
        self.label_files(Task::RestoreAll(self.holder(uuid), migrated))
    }

    /// Labels one resource of a running domain, and adds it to the domain.
    pub fn set_security_resource_label(&self, domain: &Domain, resource: Resource) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        self.claim(domain, definition)?;
        let new = self.files(definition, std::slice::from_ref(&resource))?;
        let task = Task::Set(self.holder(definition.uuid), self.steps(definition, &new)?);
        let now = self.plugged(&definition.resources, new);
        self.change(domain, definition, task, now, |all| all.push(resource))
    }

    /// Leaves out the files of character devices that somebody else writes for the guest, except those with a
    /// seclabel of their own.
    pub fn leave_logged_chardevs(&self, domain: &Domain) -> Result<()> {
        let logged =
            |resource: &Resource| resource.kind == Kind::ChardevFile && resource.seclabels.is_empty();
        domain.lock()?.resources.retain(|resource| !logged(resource));
        Ok(())
    }

    /// Labels everything that one device consists of, or nothing, and adds it to the domain. A file that the
    /// domain alone uses in another way already is used in the new way from now on.
    pub fn set_security_device_label(&self, domain: &Domain, xml: &str) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        let device = device_from_xml(xml, definition)?;
        self.claim(domain, definition)?;
        let new = self.files(definition, &device)?;
        let task = Task::Plug(self.holder(definition.uuid), self.steps(definition, &new)?);
        let other_way = |other: &Resource, resource: &Resource| {
            same_file(other, resource)
                && (other.flags, &other.seclabels) != (resource.flags, &resource.seclabels)
        };
        let kept = |other: &&Resource| !device.iter().any(|resource| other_way(other, resource));
        let now = self.plugged(definition.resources.iter().filter(kept), new);
        self.change(domain, definition, task, now, |all| {
            for resource in device {
                match all.iter_mut().find(|other| other_way(other, &resource)) {
                    Some(place) => *place = resource,
                    None => all.push(resource),
                }
            }
        })
    }

    /// Gives back everything that one device consists of, and takes it out of the domain.
    pub fn restore_security_device_label(&self, domain: &Domain, xml: &str) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        let device = device_from_xml(xml, definition)?;
        let paths = device.iter().flat_map(|resource| {
            let known = definition.resources.iter().rfind(|other| same_file(other, resource));
            self.paths(known.unwrap_or(resource))
        });
        let task = Task::Restore(self.holder(definition.uuid), paths.collect());
        let take_out = |all: &mut Vec<Resource>| {
            for resource in &device {
                all.iter().rposition(|other| same_file(other, resource)).map(|at| all.remove(at));
            }
        };
        if is_live(definition) {
            let mut left = definition.resources.clone();
            take_out(&mut left);
            let now = (Moment::Unplug, self.files_there(&left));
            return self.change(domain, definition, task, now, take_out);
        }
        take_out(&mut definition.resources);
        self.label_files(task)
    }

    /// Gives back one resource, and takes it out of the domain.
    pub fn restore_security_resource_label(&self, domain: &Domain, resource: &Resource) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        let same = |other: &Resource| other.kind == resource.kind && other.path == resource.path;
        let at = definition.resources.iter().rposition(same);
        // The domain's own knows how its files are found.
        let known = at.map_or(resource, |at| &definition.resources[at]);
        let task = Task::Restore(self.holder(definition.uuid), self.paths(known));
        match at {
            Some(at) if is_live(definition) => {
                let now = (Moment::Unplug, self.files_there(all_but(definition, at)));
                self.change(domain, definition, task, now, |all| drop(all.remove(at)))
            }
            at => {
                at.map(|at| definition.resources.remove(at));
                self.label_files(task)
            }
        }
    }

    /// After a block copy has pivoted: `to` takes the place of `from` in the domain, and is remembered as
    /// `from` was; `from` is given back.
    pub fn move_image(&self, domain: &Domain, from: &Path, to: &Path) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        let task = Task::Move(self.holder(definition.uuid), from.to_owned(), to.to_owned());
        let Some(at) = definition.resources.iter().position(|r| r.path == from && !r.flags.backing) else {
            return self.label_files(task);
        };
        // A mirror that was plugged in before is the disk now.
        let known = definition.resources.iter().any(|r| r.path == to);
        let disk = Resource { path: to.to_owned(), added: true, ..definition.resources[at].clone() };
        let live = is_live(definition);
        let now = if !live || known {
            (Moment::Unplug, self.files_there(all_but(definition, at)))
        } else {
            let new = self.files(definition, std::slice::from_ref(&disk))?;
            self.plugged(all_but(definition, at), new)
        };
        let edit = |all: &mut Vec<Resource>| {
            if known {
                all.remove(at);
            } else {
                all[at] = disk;
            }
        };
        if !live {
            self.label_files(task)?;
            edit(&mut definition.resources);
            return Ok(());
        }
        self.change(domain, definition, task, now, edit)
    }

    /// The files of what a domain keeps, and new ones, which stand last.
    pub(super) fn plugged<'a>(
        &self,
        kept: impl IntoIterator<Item = &'a Resource>,
        new: Vec<Resource>,
    ) -> Now {
        let moment = Moment::Plug { new: new.len() };
        let mut files = self.files_there(kept);
        files.extend(new);
        (moment, files)
    }

    /// Does what concerns files, then changes the domain's resources and lets the drivers follow; all or
    /// nothing. In a transaction the files wait for its end.
    fn change(
        &self,
        domain: &Domain,
        definition: &mut Definition,
        task: Task,
        now: Now,
        edit: impl FnOnce(&mut Vec<Resource>),
    ) -> Result<()> {
        let before = definition.resources.clone();
        let then = || {
            edit(&mut definition.resources);
            self.apply(domain, definition, now, |now| now.resources.clone_from(&before))
        };
        if !self.in_transaction() {
            return self.run(vec![task], then);
        }
        then()?;
        self.collect(task, Some((domain.clone(), before)));
        Ok(())
    }

    fn label_files(&self, task: Task) -> Result<()> {
        if !self.in_transaction() {
            return self.run(vec![task], || Ok(()));
        }
        self.collect(task, None);
        Ok(())
    }
}

fn all_but(definition: &Definition, at: usize) -> impl Iterator<Item = &Resource> {
    let others = definition.resources.iter().enumerate().filter(move |(other, _)| *other != at);
    others.map(|(_, resource)| resource)
}

fn is_live(definition: &Definition) -> bool {
    definition.seclabels.iter().any(|seclabel| seclabel.live)
}

fn same_file(one: &Resource, other: &Resource) -> bool {
    one.kind == other.kind && one.path == other.path
}
