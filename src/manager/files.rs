//! The files of domains: labelled, given back.

use super::Manager;
use crate::domain::xml::device_from_xml;
use crate::domain::{Definition, Domain, Kind, Resource};
use crate::driver::Moment;
use crate::error::Result;
use crate::image::Task;
use std::path::Path;

impl Manager {
    /// Labels everything the domain uses, or nothing.
    pub fn set_security_all_label(&self, domain: &Domain) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        self.claim(domain, definition)?;
        let steps = self.steps(definition, &definition.resources)?;
        let task = Task::Set(self.holder(definition.uuid), steps);
        self.change(domain, definition, vec![task], Moment::SetAll, |_| {})
    }

    /// Gives back everything that the domain holds, and nothing else.
    pub fn restore_security_all_label(&self, domain: &Domain, migrated: bool) -> Result<()> {
        self.check_process()?;
        let uuid = domain.lock()?.uuid;
        self.label_files(vec![Task::RestoreAll(self.holder(uuid), migrated)])
    }

    /// Labels one resource of a running domain, and adds it to the domain.
    pub fn set_security_resource_label(&self, domain: &Domain, resource: Resource) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        self.claim(domain, definition)?;
        let steps = self.steps(definition, std::slice::from_ref(&resource))?;
        let task = Task::Set(self.holder(definition.uuid), steps);
        self.change(domain, definition, vec![task], Moment::Plug, |all| all.push(resource))
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
        let task = Task::Plug(self.holder(definition.uuid), self.steps(definition, &device)?);
        self.change(domain, definition, vec![task], Moment::Plug, |all| {
            for resource in device {
                let other_way = |other: &&mut Resource| {
                    same_file(other, &resource)
                        && (other.flags, &other.seclabels) != (resource.flags, &resource.seclabels)
                };
                match all.iter_mut().find(other_way) {
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
            return self.change(domain, definition, vec![task], Moment::Unplug, take_out);
        }
        take_out(&mut definition.resources);
        self.label_files(vec![task])
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
                self.change(domain, definition, vec![task], Moment::Unplug, |all| drop(all.remove(at)))
            }
            at => {
                at.map(|at| definition.resources.remove(at));
                self.label_files(vec![task])
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
            return self.label_files(vec![task]);
        };
        // A mirror that was plugged in before is the disk now.
        let plugged = definition.resources.iter().any(|r| r.path == to);
        let edit = |all: &mut Vec<Resource>| {
            if plugged {
                all.remove(at);
            } else {
                all[at].path = to.to_owned();
                all[at].added = true;
            }
        };
        if !is_live(definition) {
            self.label_files(vec![task])?;
            edit(&mut definition.resources);
            return Ok(());
        }
        let moment = if plugged { Moment::Unplug } else { Moment::Plug };
        self.change(domain, definition, vec![task], moment, edit)
    }

    /// Does what concerns files, then changes the domain's resources and lets the drivers follow; all or
    /// nothing. In a transaction the files wait for its end.
    fn change(
        &self,
        domain: &Domain,
        definition: &mut Definition,
        tasks: Vec<Task>,
        moment: Moment,
        edit: impl FnOnce(&mut Vec<Resource>),
    ) -> Result<()> {
        let before = definition.resources.clone();
        let then = || {
            edit(&mut definition.resources);
            self.apply(domain, definition, moment, |now| now.resources.clone_from(&before))
        };
        if !self.in_transaction() {
            return self.run(tasks, then);
        }
        then()?;
        self.collect(tasks, Some((domain.clone(), before, moment)));
        Ok(())
    }

    fn label_files(&self, tasks: Vec<Task>) -> Result<()> {
        if !self.in_transaction() {
            return self.run(tasks, || Ok(()));
        }
        self.collect(tasks, None);
        Ok(())
    }
}

fn is_live(definition: &Definition) -> bool {
    definition.seclabels.iter().any(|seclabel| seclabel.live)
}

fn same_file(one: &Resource, other: &Resource) -> bool {
    one.kind == other.kind && one.path == other.path
}
