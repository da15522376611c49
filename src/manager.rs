//! A stack of drivers and the methods that a daemon calls on it.

mod open;
mod resources;

use crate::child::Plan;
use crate::domain::handle::same_process;
use crate::domain::{Definition, Domain, Resource, Seclabel, SeclabelType, Uuid};
use crate::driver::{Driver, Labels, ProcessLabel};
use crate::error::{Error, Result};
use crate::image;
use crate::log::warning;
use crate::options::Options;
use crate::reservation::Holder;
use std::path::Path;

/// See the module. A manager may be used by any number of threads at once.
pub struct Manager {
    id: u64,
    generation: u64,
    drivers: Vec<Box<dyn Driver>>,
    owner: u32,
    default_confined: bool,
    require_confined: bool,
    durable: bool,
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
        same_process(self.generation, "manager")
    }

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
        let had: Vec<bool> = self.drivers.iter().map(|d| d.has_security_label(definition.uuid)).collect();
        let taken = take(definition).and_then(|seclabels| Ok((self.plan(&seclabels)?, seclabels)));
        let (plan, seclabels) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                for (driver, _) in self.drivers.iter().zip(had).filter(|(_, had)| !had) {
                    if let Err(error) = driver.release_security_label(definition.uuid) {
                        warning!("while undoing: {error}");
                    }
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
        definition.seclabels.retain(|seclabel| !seclabel.implicit);
        definition.seclabels.iter_mut().for_each(Seclabel::clear);
        domain.plan().set(None);
        result
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
        let steps = self.steps(definition, &definition.resources)?;
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
            let live = driver.get_security_process_label(pid)?.label;
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

    /// Labels everything the domain uses, or nothing.
    pub fn set_security_all_label(&self, domain: &Domain) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        self.claim(domain, definition)?;
        let steps = self.steps(definition, &definition.resources)?;
        self.with_settings(|settings| image::set(self.holder(definition.uuid), steps, settings))
    }

    /// Gives back everything that the domain holds, and nothing else.
    pub fn restore_security_all_label(&self, domain: &Domain, migrated: bool) -> Result<()> {
        self.check_process()?;
        let uuid = domain.lock()?.uuid;
        image::restore_all(self.holder(uuid), migrated)
    }

    /// Labels one resource of a running domain, and adds it to the domain.
    pub fn set_security_resource_label(&self, domain: &Domain, resource: Resource) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        self.claim(domain, definition)?;
        let steps = self.steps(definition, std::slice::from_ref(&resource))?;
        self.with_settings(|settings| image::set(self.holder(definition.uuid), steps, settings))?;
        definition.resources.push(resource);
        Ok(())
    }

    /// Gives back one resource, and takes it out of the domain.
    pub fn restore_security_resource_label(&self, domain: &Domain, resource: &Resource) -> Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        let same = |other: &Resource| other.kind == resource.kind && other.path == resource.path;
        if let Some(at) = definition.resources.iter().rposition(same) {
            definition.resources.remove(at);
        }
        let holder = self.holder(definition.uuid);
        let mut result = Ok(());
        for path in resources::paths(resource) {
            result = result.and(image::restore(holder, &path));
        }
        result
    }

    /// The child step. May run between fork and exec: no lock, no allocation. A negated errno on failure,
    /// after which the child must `_exit`.
    pub fn set_security_process_label(&self, domain: &Domain) -> std::result::Result<(), i32> {
        domain.plan().with(|plan| plan.map_or(Err(-libc::ENODATA), |plan| plan.play(self.id)))
    }

    /// The live label of a process.
    pub fn get_security_process_label(&self, model: Option<&str>, pid: libc::pid_t) -> Result<ProcessLabel> {
        self.check_process()?;
        self.driver_of(model)?.get_security_process_label(pid)
    }

    /// Whether a process really has every label that its domain was given.
    pub fn check_security_process_label(&self, domain: &Domain, pid: libc::pid_t) -> Result<()> {
        self.check_process()?;
        let definition = domain.lock()?;
        for driver in &self.drivers {
            let model = driver.model();
            let Some(seclabel) = definition.seclabel(model).filter(|s| s.live) else {
                return Err(self.no_label(&definition, model));
            };
            let Some(meant) = &seclabel.label else { continue };
            let live = driver.get_security_process_label(pid)?;
            if live.label != driver.process_label_of(meant)? {
                return Err(self.not_confined(model, pid, &live.label, meant));
            }
            if !live.enforcing {
                warning!("domain {}: {model} does not enforce its label {meant}", definition.name);
            }
        }
        Ok(())
    }

    /// What a file system mounted for the domain needs among its options; each begins with a comma.
    pub fn security_mount_options(&self, domain: &Domain) -> Result<String> {
        self.check_process()?;
        let definition = domain.lock()?;
        let drivers = self.drivers.iter();
        Ok(drivers.filter_map(|d| definition.seclabel(d.model()).map(|s| d.mount_options(s))).collect())
    }

    fn holder(&self, uuid: Uuid) -> Holder {
        Holder { owner: self.owner, uuid }
    }

    fn with_settings<R>(&self, work: impl FnOnce(&image::Settings<'_>) -> R) -> R {
        let tolerates =
            |model: &'static str, errno| self.driver_of(Some(model)).is_ok_and(|d| d.tolerates(errno));
        work(&image::Settings { durable: self.durable, tolerates: &tolerates })
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
        Ok(())
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
    fn claim(&self, domain: &Domain, definition: &mut Definition) -> Result<()> {
        let ready = |s: Option<&Seclabel>| s.is_some_and(|s| s.live);
        if self.drivers.iter().all(|driver| ready(definition.seclabel(driver.model()))) {
            return Ok(());
        }
        self.resolve_models(definition)?;
        let from_xml = |s: &&Seclabel| {
            s.live || s.image_label.is_some() || s.kind == SeclabelType::Dynamic && s.label.is_some()
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

    fn plan(&self, seclabels: &[Seclabel]) -> Result<Plan> {
        let mut steps = Vec::with_capacity(seclabels.len());
        for (driver, seclabel) in self.drivers.iter().zip(seclabels) {
            if let (true, Some(label)) = (seclabel.kind != SeclabelType::None, &seclabel.label) {
                steps.extend(driver.set_security_process_label(label)?);
            }
        }
        Ok(Plan::new(self.id, steps))
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
        let text = format!(
            "process {pid} runs with the {model} label {live}, not with {meant}; it is not confined as its domain should be, stop it"
        );
        Error::new(libc::EPERM, text).with_path(Path::new(&format!("/proc/{pid}")))
    }
}
