//! The guest's process: the child step, and what the process really runs as.

use super::{Manager, cannot_tell};
use crate::domain::Domain;
use crate::driver::ProcessLabel;
use crate::error::{Error, Result};
use crate::log::warning;
use crate::sys::process;

impl Manager {
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
        let mut unknown = Ok(());
        for driver in &self.drivers {
            let model = driver.model();
            let Some(seclabel) = definition.seclabel(model).filter(|s| s.live) else {
                return Err(self.no_label(&definition, model));
            };
            let Some(meant) = &seclabel.label else { continue };
            let meant_live = driver.process_label_of(meant)?;
            let read = || driver.get_domain_process_label(definition.uuid, pid);
            let mut live = read()?;
            if live.as_ref().is_some_and(|live| live.label != meant_live) {
                // The exec that a closed pipe has told the caller of may still be on its way to the label.
                process::wait_for_exec(pid);
                live = read()?;
            }
            let Some(live) = live else {
                // What the other drivers find matters more.
                unknown = unknown.and(Err(Error::unsupported(cannot_tell(model, pid))));
                continue;
            };
            if live.label != meant_live {
                return Err(self.not_confined(model, pid, &live.label, meant));
            }
            if !live.enforcing {
                warning!("domain {}: {model} does not enforce its label {meant}", definition.name);
            }
        }
        unknown
    }

    /// What a file system mounted for the domain needs among its options; each begins with a comma.
    pub fn security_mount_options(&self, domain: &Domain) -> Result<String> {
        self.check_process()?;
        let definition = domain.lock()?;
        let drivers = self.drivers.iter();
        Ok(drivers.filter_map(|d| definition.seclabel(d.model()).map(|s| d.mount_options(s))).collect())
    }
}
