//! The files of domains: labelled, given back.

use super::Manager;
use crate::domain::{Domain, Resource};
use crate::driver::Moment;
use crate::error::Result;
use crate::image::{self, Step};
use crate::reservation::Holder;

impl Manager {
    /// Labels everything the domain uses, or nothing.
    pub fn set_security_all_label(&self, domain: &Domain) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        self.claim(domain, definition)?;
        let (holder, steps) = (self.holder(definition.uuid), self.steps(definition, &definition.resources)?);
        let then = || self.apply(domain, definition, Moment::SetAll, |_| {});
        self.label(holder, steps, then)
    }

    /// Labels files and calls `then`; a stack that labels none goes straight there.
    fn label(&self, holder: Holder, steps: Vec<Step>, then: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.store.is_none() {
            return then();
        }
        self.with_settings(|settings| image::set(holder, steps, settings, then))
    }

    /// Gives back everything that the domain holds, and nothing else.
    pub fn restore_security_all_label(&self, domain: &Domain, migrated: bool) -> Result<()> {
        self.check_process()?;
        let uuid = domain.lock()?.uuid;
        self.with_settings(|settings| image::restore_all(self.holder(uuid), settings, migrated))
    }

    /// Labels one resource of a running domain, and adds it to the domain.
    pub fn set_security_resource_label(&self, domain: &Domain, resource: Resource) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        self.claim(domain, definition)?;
        let holder = self.holder(definition.uuid);
        let steps = self.steps(definition, std::slice::from_ref(&resource))?;
        let then = || {
            definition.resources.push(resource);
            self.apply(domain, definition, Moment::Plug, |before| drop(before.resources.pop()))
        };
        self.label(holder, steps, then)
    }

    /// Gives back one resource, and takes it out of the domain.
    pub fn restore_security_resource_label(&self, domain: &Domain, resource: &Resource) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        let same = |other: &Resource| other.kind == resource.kind && other.path == resource.path;
        let mut result = Ok(());
        let found = definition.resources.iter().rposition(same).map(|at| definition.resources.remove(at));
        // The domain's own knows how its files are found.
        let paths = self.paths(found.as_ref().unwrap_or(resource));
        if found.is_some() && definition.seclabels.iter().any(|seclabel| seclabel.live) {
            result = self.apply(domain, definition, Moment::Unplug, |_| {});
        }
        let holder = self.holder(definition.uuid);
        for path in paths {
            result = result.and(self.with_settings(|settings| image::restore(holder, &path, settings)));
        }
        result
    }
}
