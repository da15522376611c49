//! Labels of domains: made, taken over, checked, given up.

use super::files::Now;
use super::{Manager, cannot_tell};
use crate::child::{Plan, Step};
use crate::domain::{Definition, Domain, Resource, Seclabel, SeclabelType, Uuid};
use crate::driver::{Driver, Labels, Moment};
use crate::error::{Error, Result};
use crate::image;
use crate::log::warning;
use crate::reservation::Class;

impl Manager {
    /// Makes the domain's labels, one per driver: all or none.
    pub fn gen_security_label(&self, domain: &Domain) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        self.resolve_models(definition)?;
        let mut seclabels = Vec::with_capacity(self.drivers.len());
        for driver in &self.drivers {
            let seclabel = match definition.seclabel(driver.model()) {
                Some(given) => given.clone(),
                None => self.implicit(driver.model())?,
            };
            if seclabel.live || seclabel.kind == SeclabelType::Dynamic && seclabel.label.is_some() {
                let label = seclabel.label.as_deref().unwrap_or("none");
                let text = format!(
                    "domain {} already has the {} label {label}; release it first",
                    definition.name,
                    driver.model()
                );
                return Err(Error::new(libc::EALREADY, text));
            }
            if seclabel.kind == SeclabelType::None && self.require_confined {
                let text = format!(
                    "domain {}: require_confined is set, but the guest is not to be confined by {}",
                    definition.name,
                    driver.model()
                );
                return Err(Error::invalid(text));
            }
            seclabels.push(seclabel);
        }
        self.give_labels(domain, definition, |definition| {
            for (driver, seclabel) in self.drivers.iter().zip(&mut seclabels) {
                let labels = driver.gen_security_label(definition, seclabel)?;
                seclabel.label = labels.label;
                seclabel.image_label = labels.image_label;
            }
            Ok(seclabels)
        })
    }

    /// Makes what `take` takes for the domain its live labels; when a driver fails, what the earlier ones
    /// have newly taken is free again.
    fn give_labels(
        &self,
        domain: &Domain,
        definition: &mut Definition,
        take: impl FnOnce(&Definition) -> Result<Vec<Seclabel>>,
    ) -> Result<()> {
        let noted = self.note(definition)?;
        let had: Vec<bool> = self.drivers.iter().map(|d| d.has_security_label(definition.uuid)).collect();
        let taken = take(definition).and_then(|seclabels| {
            let all = self.drivers.iter().zip(&seclabels);
            let mut following =
                all.filter(|(driver, label)| driver.follows_resources() && confines(label)).peekable();
            if following.peek().is_some() {
                let on_host = Self::on_host(definition, self.files_there(&definition.resources));
                following.try_for_each(|(driver, label)| driver.apply(&on_host, label, Moment::Gen))?;
            }
            Ok((self.plan(definition, &seclabels)?, seclabels))
        });
        let (plan, seclabels) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                for (driver, _) in self.drivers.iter().zip(had).filter(|(_, had)| !had) {
                    if let Err(error) = driver.release_security_label(definition.uuid) {
                        warning!("while undoing: {error}");
                    }
                }
                if noted && let Err(error) = self.strike_out(definition.uuid) {
                    warning!("while undoing: {error}");
                }
                return Err(error);
            }
        };
        for seclabel in seclabels {
            let seclabel = Seclabel { live: true, ..seclabel };
            match definition.seclabels.iter_mut().find(|s| s.model == seclabel.model) {
                Some(place) => *place = seclabel,
                None => definition.seclabels.push(seclabel),
            }
        }
        domain.plan().set(Some(plan));
        Ok(())
    }

    /// Makes the domain's unique labels usable by others again. Goes by the domain's uuid: the handle's
    /// own label text may be gone already.
    pub fn release_security_label(&self, domain: &Domain) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        let mut result = Ok(());
        for driver in &self.drivers {
            result = result.and(driver.release_security_label(definition.uuid));
        }
        if result.is_ok() {
            result = self.strike_out(definition.uuid);
        }
        definition.seclabels.retain(|seclabel| !seclabel.implicit);
        definition.seclabels.iter_mut().for_each(Seclabel::clear);
        domain.plan().set(None);
        result
    }

    /// Whether a driver keeps what must be found again after a crash.
    pub(super) fn keeps_profiles(&self) -> bool {
        self.drivers.iter().any(|driver| driver.keeps_profiles())
    }

    /// Puts a domain on record for which a driver is about to keep something that nothing else tells of;
    /// `true` when it was not there yet.
    fn note(&self, definition: &Definition) -> Result<bool> {
        let holder = self.holder(definition.uuid);
        match &self.store {
            Some(store) if self.keeps_profiles() && !store.registry.holds(Class::Domain, holder) => {
                store.registry.take(holder.key(), holder, "the domain's record").map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// Nothing is kept for the domain any more.
    pub(super) fn strike_out(&self, uuid: Uuid) -> Result<()> {
        match &self.store {
            Some(store) if self.keeps_profiles() => store.registry.release(Class::Domain, self.holder(uuid)),
            _ => Ok(()),
        }
    }

    /// Takes over a domain that is alive, after the daemon was started again: its label from the process,
    /// its images from what is remembered.
    pub fn reserve_security_label(&self, domain: &Domain, pid: libc::pid_t) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        self.resolve_models(definition)?;
        self.give_labels(domain, definition, |definition| {
            self.drivers.iter().map(|driver| self.reserve(&**driver, definition, pid)).collect()
        })?;
        let steps = self.steps(definition, &self.files(definition, &definition.resources)?)?;
        let original = |step: &image::Step, mode| {
            self.driver_of(Some(step.model)).ok().and_then(|driver| driver.default_label(&step.path, mode))
        };
        self.with_settings(|settings| image::adopt(self.holder(definition.uuid), &steps, settings, original))
    }

    /// One driver's part of taking over a live domain.
    fn reserve(&self, driver: &dyn Driver, definition: &Definition, pid: libc::pid_t) -> Result<Seclabel> {
        let model = driver.model();
        let mut seclabel = match definition.seclabel(model) {
            Some(given) => given.clone(),
            None => {
                Seclabel { implicit: true, ..Seclabel::new(Some(model), SeclabelType::Dynamic, None, None)? }
            }
        };
        if seclabel.kind != SeclabelType::None {
            let live = match driver.get_domain_process_label(definition.uuid, pid)? {
                Some(live) => live.label,
                None => {
                    warning!("domain {}: {}", definition.name, cannot_tell(model, pid));
                    seclabel.label.clone().unwrap_or_default()
                }
            };
            if let Some(label) = &seclabel.label
                && driver.process_label_of(label)? != live
            {
                return Err(self.not_confined(model, pid, &live, label));
            }
            let label = seclabel.label.take().or(Some(live)).filter(|label| !label.is_empty());
            seclabel.image_label = match &label {
                Some(label) => driver.image_label_of(definition, label)?,
                None => None,
            };
            seclabel.label = label;
        }
        driver.reserve_security_label(definition, &Labels::of(&seclabel))?;
        Ok(seclabel)
    }

    /// Whether every label that the caller gave can be applied on this host.
    pub fn verify_security_label(&self, domain: &Domain) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        self.resolve_models(definition)?;
        definition.seclabels.iter().try_for_each(|seclabel| {
            self.driver_of(seclabel.model.as_deref())?.verify_security_label(definition, seclabel)
        })
    }

    /// Seclabels without a model are the primary driver's; one of a model the stack lacks is an error.
    fn resolve_models(&self, definition: &mut Definition) -> Result<()> {
        let primary = self.drivers[0].model();
        for at in 0..definition.seclabels.len() {
            match &definition.seclabels[at].model {
                None if definition.seclabel(primary).is_some() => {
                    let text =
                        format!("domain {}: more than one seclabel of model {primary}", definition.name);
                    return Err(Error::invalid(text));
                }
                None => definition.seclabels[at].model = Some(primary.to_owned()),
                Some(model) => drop(self.driver_of(Some(model))?),
            }
        }
        let says =
            |resource: &Resource, model| resource.seclabels.iter().any(|own| own.model.as_deref() == model);
        match definition.resources.iter().find(|r| says(r, None) && says(r, Some(primary))) {
            Some(twice) => {
                let path = &twice.path;
                let text = format!("{}: more than one seclabel of model {primary}", path.display());
                Err(Error::invalid(text).with_path(path))
            }
            None => Ok(()),
        }
    }

    fn implicit(&self, model: &'static str) -> Result<Seclabel> {
        let confined = self.default_confined && model != "none";
        if !confined && self.require_confined {
            return Err(Error::invalid(format!(
                "require_confined is set, but {model} would not confine this domain"
            )));
        }
        let kind = if confined { SeclabelType::Dynamic } else { SeclabelType::None };
        let mut seclabel = Seclabel::new(Some(model), kind, None, None)?;
        seclabel.model = Some(model.to_owned());
        seclabel.implicit = true;
        Ok(seclabel)
    }

    /// Makes sure that the domain has its labels here. A handle made from the XML of a live domain is
    /// taken at its word, as far as nobody else has its label.
    pub(super) fn claim(&self, domain: &Domain, definition: &mut Definition) -> Result<()> {
        let ready = |s: Option<&Seclabel>| s.is_some_and(|s| s.live);
        if self.drivers.iter().all(|driver| ready(definition.seclabel(driver.model()))) {
            return Ok(());
        }
        self.resolve_models(definition)?;
        let from_xml = |s: &&Seclabel| match s.kind {
            _ if s.live || s.image_label.is_some() => true,
            SeclabelType::None => !self.require_confined,
            SeclabelType::Static => !s.relabel,
            SeclabelType::Dynamic => s.label.is_some(),
        };
        let claim = |driver: &dyn Driver, definition: &Definition| {
            let Some(seclabel) = definition.seclabel(driver.model()).filter(from_xml) else {
                return Err(self.no_label(definition, driver.model()));
            };
            let mut seclabel = seclabel.clone();
            if let (None, Some(label)) = (&seclabel.image_label, &seclabel.label) {
                seclabel.image_label = driver.image_label_of(definition, label)?;
            }
            driver.reserve_security_label(definition, &Labels::of(&seclabel))?;
            Ok(seclabel)
        };
        self.give_labels(domain, definition, |definition| {
            self.drivers.iter().map(|driver| claim(&**driver, definition)).collect()
        })
    }

    /// Everything that the drivers keep outside files follows the definition; when one fails, all follow
    /// what `before` makes of it again.
    pub(super) fn apply(
        &self,
        domain: &Domain,
        definition: &mut Definition,
        (moment, files): Now,
        before: impl FnOnce(&mut Definition),
    ) -> Result<()> {
        let seclabel = |driver: &dyn Driver| {
            let seclabel = definition.seclabel(driver.model()).filter(|s| confines(s));
            seclabel.filter(|_| driver.follows_resources()).cloned()
        };
        let all = self.drivers.iter().map(|driver| &**driver);
        let following: Vec<_> = all.filter_map(|driver| Some((driver, seclabel(driver)?))).collect();
        if !following.is_empty() {
            let on_host = Self::on_host(definition, files);
            for (at, (driver, seclabel)) in following.iter().enumerate() {
                let Err(error) = driver.apply(&on_host, seclabel, moment) else { continue };
                before(definition);
                let on_host = Self::on_host(definition, self.files_there(&definition.resources));
                for (earlier, seclabel) in &following[..at] {
                    if let Err(error) = earlier.apply(&on_host, seclabel, Moment::Unplug) {
                        warning!("while undoing: {error}");
                    }
                }
                return Err(error);
            }
        }
        // What gen has found out for the child stays good, but for the rulesets of those that followed.
        let mut plan = domain.plan().with(|plan| plan.filter(|plan| plan.is_of(self.id)).cloned());
        if plan.is_some() && following.is_empty() {
            return Ok(());
        }
        for (driver, seclabel) in following {
            if let (Some(old), Some(label)) = (&plan, &seclabel.label)
                && let Some(Step::Restrict(new)) = driver.set_security_process_label(definition, label)?
            {
                plan = Some(old.with_ruleset(new));
            }
        }
        let plan = match plan {
            Some(plan) => plan,
            None => {
                let labels = self.drivers.iter().filter_map(|d| definition.seclabel(d.model()).cloned());
                self.plan(definition, &labels.collect::<Vec<_>>())?
            }
        };
        domain.plan().set(Some(plan));
        Ok(())
    }

    /// `seclabels` are in the drivers' order.
    fn plan(&self, definition: &Definition, seclabels: &[Seclabel]) -> Result<Plan> {
        let (mut steps, mut sockets) = (Vec::with_capacity(seclabels.len()), Vec::new());
        for (driver, seclabel) in self.drivers.iter().zip(seclabels) {
            if let (true, Some(label)) = (confines(seclabel), &seclabel.label) {
                steps.extend(driver.set_security_process_label(definition, label)?);
                sockets.extend(driver.socket_labels(label)?);
            }
        }
        Ok(Plan::new(self.id, steps, sockets))
    }
}

fn confines(seclabel: &Seclabel) -> bool {
    seclabel.kind != SeclabelType::None
}
