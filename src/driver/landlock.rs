//! Landlock: the guest's process gives up everything that is not the guest's, on any kernel since 5.13,
//! without a policy, without root, beside every other driver. `docs/landlock.md` is its manual.
//!
//! The parent makes the ruleset from the domain's resources and a base that every emulator needs; the
//! child restricts itself with it and leaves a mark, by which the parent knows it again.

mod base;
mod resources;
mod rules;

use super::{Decision, Driver, Labels, Moment, ProcessLabel};
use crate::child::{Restrict, Step};
use crate::domain::{Definition, Resource, Seclabel, SeclabelType, Uuid};
use crate::error::{Error, Result};
use crate::image::Label;
use crate::log::{debug, info, warning};
use crate::sys::marks::Marks;
use crate::sys::process;
use parking_lot::Mutex;
use rules::{Builder, Rules};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// What a kernel lacks that has only the version before the given one.
const LACKS: &[(u32, &str)] = &[
    (3, "truncating files that may not be written"),
    (5, "commands (ioctl) to devices in directories that they share with the host"),
    (6, "signals to other processes and connections to their abstract sockets"),
];
/// The first version that can refuse TCP.
const TCP: u32 = 4;
/// The first version that can show in the audit log what was refused after exec, and its flag for that.
const LOGS_AFTER_EXEC: (u32, u32) = (7, 1 << 1);

/// See the module.
pub struct Landlock {
    deny_network: bool,
    no_new_privs: bool,
    flags: u32,
    domains: Mutex<HashMap<Uuid, State>>,
}

/// What is kept of a domain between gen or reserve and release.
struct State {
    /// Its processes may have been started by an earlier life of this daemon, whose marks are gone.
    taken_over: bool,
    marks: Arc<Marks>,
    rules: Option<Rules>,
}

impl Landlock {
    /// Whether this kernel runs Landlock, and if not, why.
    pub fn available() -> Result<()> {
        if process::landlock_abi() > 0 {
            return Ok(());
        }
        Err(Error::unsupported(
            "driver landlock: this kernel does not run Landlock (Linux 5.13 and later do, when lsm= at boot names it)",
        ))
    }

    /// Opens the driver. `deny_network`: option `landlock.deny_network`.
    pub fn open(deny_network: bool) -> Result<Self> {
        Self::available()?;
        let abi = process::landlock_abi();
        if deny_network && abi < TCP {
            let text = format!(
                "option landlock.deny_network: this kernel's Landlock (ABI {abi}) cannot refuse TCP, Linux 6.7 (ABI {TCP}) and later can"
            );
            return Err(Error::unsupported(text));
        }
        for (needed, what) in LACKS.iter().filter(|(needed, _)| abi < *needed) {
            warning!(
                "driver landlock: this kernel's Landlock (ABI {abi}) cannot refuse guests {what}; that takes ABI {needed}"
            );
        }
        let flags = if abi >= LOGS_AFTER_EXEC.0 { LOGS_AFTER_EXEC.1 } else { 0 };
        let no_new_privs = !process::has_capability(process::CAP_SYS_ADMIN);
        Ok(Self { deny_network, no_new_privs, flags, domains: Mutex::default() })
    }

    /// The domain is known from now on.
    fn enter(&self, uuid: Uuid, taken_over: bool) -> Result<()> {
        let mut domains = self.domains.lock();
        if let Entry::Vacant(place) = domains.entry(uuid) {
            let marks = Marks::new()
                .map_err(|e| Error::os("cannot make the memory that a child leaves a mark in", &e))?;
            place.insert(State { taken_over, marks: Arc::new(marks), rules: None });
        }
        Ok(())
    }

    /// A ruleset for the domain. What is missing of the `new` resources is an error.
    fn build(&self, domain: &Definition, new: Range<usize>) -> Result<Rules> {
        let mut builder = Builder::new(self.deny_network)?;
        if domain.emulator.is_none() {
            debug!("domain {}: no emulator is named, every qemu of /usr/bin may be executed", domain.name);
        }
        for want in base::wants(domain) {
            if let Err(error) = builder.allow(&want)
                && error.kind() != io::ErrorKind::NotFound
            {
                debug!("domain {}: {} is not in the base: {error}", domain.name, want.path.display());
            }
        }
        for (at, resource) in domain.resources.iter().enumerate() {
            for want in resources::wants(resource) {
                match builder.allow(&want) {
                    Ok(true) => {}
                    Ok(false) => info!(
                        "domain {}: {}: a {} that is a directory is not opened to the guest",
                        domain.name,
                        want.path.display(),
                        resource.kind.name()
                    ),
                    Err(e) if e.kind() == io::ErrorKind::NotFound && !new.contains(&at) => {}
                    Err(e) if e.kind() == io::ErrorKind::NotFound && resource.optional => {
                        info!(
                            "domain {}: {} is not there, the guest cannot use it",
                            domain.name,
                            want.path.display()
                        );
                    }
                    Err(e) => return Err(Error::at(&want.path, "cannot be allowed by Landlock", &e)),
                }
            }
        }
        let rules = builder.finish()?;
        debug!("domain {}: Landlock rules for {} files and directories", domain.name, rules.len());
        Ok(rules)
    }
}

/// The label of a domain: the one that it always has.
fn label(uuid: Uuid) -> String {
    format!("landlock:{uuid}")
}

fn check_label(domain: &Definition, given: Option<&str>) -> Result<()> {
    let own = label(domain.uuid);
    match given {
        Some(given) if given != own => Err(Error::invalid(format!(
            "domain {}: {given:?} is not its Landlock label; leave the label out, or give {own}",
            domain.name
        ))),
        _ => Ok(()),
    }
}

impl Driver for Landlock {
    fn model(&self) -> &'static str {
        "landlock"
    }

    fn base_label(&self, _: &str) -> Option<String> {
        None
    }

    fn gen_security_label(&self, domain: &Definition, seclabel: &Seclabel) -> Result<Labels> {
        if seclabel.kind == SeclabelType::None {
            return Ok(Labels::default());
        }
        self.verify_security_label(domain, seclabel)?;
        self.enter(domain.uuid, false)?;
        Ok(Labels { label: Some(label(domain.uuid)), image_label: None })
    }

    fn reserve_security_label(&self, domain: &Definition, labels: &Labels) -> Result<()> {
        if labels.label.is_none() {
            return Ok(());
        }
        check_label(domain, labels.label.as_deref())?;
        self.enter(domain.uuid, true)
    }

    fn has_security_label(&self, domain: Uuid) -> bool {
        self.domains.lock().contains_key(&domain)
    }

    fn release_security_label(&self, domain: Uuid) -> Result<()> {
        self.domains.lock().remove(&domain);
        Ok(())
    }

    fn verify_security_label(&self, domain: &Definition, seclabel: &Seclabel) -> Result<()> {
        if seclabel.base_label.is_some() {
            let text = format!("domain {}: Landlock has no base labels", domain.name);
            return Err(Error::invalid(text));
        }
        check_label(domain, seclabel.label.as_deref())
    }

    fn get_security_process_label(&self, pid: libc::pid_t) -> Result<ProcessLabel> {
        let started = started(pid)?;
        let domains = self.domains.lock();
        let found = domains.iter().find(|(_, state)| state.marks.has(pid, started));
        Ok(found.map_or_else(unmarked, |(uuid, _)| marked(*uuid)))
    }

    fn get_domain_process_label(&self, domain: Uuid, pid: libc::pid_t) -> Result<Option<ProcessLabel>> {
        let started = started(pid)?;
        // Who a child in a pid namespace of its own is, its mark cannot tell.
        let names = process::status_field(&pid.to_string(), "NSpid:")
            .map_err(|e| Error::os(format_args!("cannot read the status of process {pid}"), &e))?;
        let inner = names.is_some_and(|names| names.split_whitespace().count() > 1);
        if inner {
            return Ok(None);
        }
        let domains = self.domains.lock();
        if let Some((uuid, _)) = domains.iter().find(|(_, state)| state.marks.has(pid, started)) {
            return Ok(Some(marked(*uuid)));
        }
        // A child of a confined process is confined as well, and has left no mark.
        let own = domains.get(&domain);
        let unconfined = own.is_some_and(|state| !state.taken_over && !state.marks.may_descend(started));
        Ok(unconfined.then(unmarked))
    }

    fn image_label_of(&self, _: &Definition, _: &str) -> Result<Option<String>> {
        Ok(None)
    }

    fn follows_resources(&self) -> bool {
        true
    }

    fn apply(&self, domain: &Definition, _: &Seclabel, moment: Moment) -> Result<()> {
        {
            let domains = self.domains.lock();
            let Some(state) = domains.get(&domain.uuid) else { return Ok(()) };
            let running = state.taken_over || state.marks.count() > 0;
            match (moment, &state.rules) {
                // What a process may do cannot become more, so what it was started with stays known.
                (Moment::Plug { .. }, Some(rules)) if running => {
                    let mut new = domain.resources[moment.new_of(domain)].iter();
                    return new.try_for_each(|resource| check_plug(domain, rules, resource));
                }
                (Moment::Gen | Moment::Unplug, Some(_)) if running => return Ok(()),
                _ => {}
            }
        }
        // Without the lock: other guests need not wait for it.
        let rules = self.build(domain, moment.new_of(domain))?;
        if let Some(state) = self.domains.lock().get_mut(&domain.uuid) {
            state.rules = Some(rules);
        }
        Ok(())
    }

    fn set_security_process_label(&self, domain: &Definition, _: &str) -> Result<Option<Step>> {
        let domains = self.domains.lock();
        let Some((marks, rules)) =
            domains.get(&domain.uuid).and_then(|state| Some((&state.marks, state.rules.as_ref()?)))
        else {
            // No step would let the child run unconfined.
            let text = format!("domain {} has no Landlock ruleset: call gen or reserve first", domain.name);
            return Err(Error::new(libc::ENODATA, text));
        };
        Ok(Some(Step::Restrict(Restrict {
            ruleset: Arc::clone(&rules.fd),
            flags: self.flags,
            no_new_privs: self.no_new_privs,
            own_proc: base::OWN_PROC.bits(),
            marks: Arc::clone(marks),
        })))
    }

    fn resource_label(&self, _: &Definition, _: &Seclabel, _: &Resource, _: bool) -> Result<Decision> {
        Ok(Decision::Leave)
    }

    fn default_label(&self, _: &Path, _: u32) -> Option<Label> {
        None
    }
}

fn started(pid: libc::pid_t) -> Result<u64> {
    process::start_ticks(pid)
        .map_err(|e| Error::os(format_args!("cannot read the state of process {pid}"), &e))
}

fn marked(uuid: Uuid) -> ProcessLabel {
    ProcessLabel { label: label(uuid), enforcing: true }
}

fn unmarked() -> ProcessLabel {
    ProcessLabel { label: String::new(), enforcing: false }
}

/// A running guest has what its ruleset allowed when it was started.
fn check_plug(domain: &Definition, rules: &Rules, resource: &Resource) -> Result<()> {
    for want in resources::wants(resource) {
        match rules.cover(&want) {
            Ok(true) => {}
            Ok(false) => {
                return Err(Error::unsupported(format!(
                    "{}: Landlock cannot allow a running guest one path more; open it in the daemon and pass the descriptor to domain {}, or restart the guest with it",
                    want.path.display(),
                    domain.name
                ))
                .with_path(&want.path));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound && resource.optional => {}
            Err(e) => return Err(Error::at(&want.path, "cannot be asked about", &e)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
