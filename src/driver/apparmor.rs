//! AppArmor: a profile for every guest, which names its files and nothing else's.

pub mod load;
pub mod profile;
pub mod quote;
pub mod refuse;
pub mod rules;
#[cfg(test)]
mod tests;

use super::{Decision, Driver, Labels, Moment, ProcessLabel};
use crate::child::Step;
use crate::domain::{Definition, Resource, Seclabel, SeclabelType, Uuid};
use crate::error::{Error, Result};
use crate::image::Label;
use crate::sys::process;
use load::Parser;
use profile::{Profiles, name_of};
use std::ffi::CStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const PARSERS: &[&str] = &["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"];
const FOLDER: &str = "/etc/apparmor.d/libvirt";

/// Templates and the abstractions that they need; the first whose files are there is used.
const TEMPLATES: &[(&str, &str)] = &[
    ("/etc/apparmor.d/libvirt/TEMPLATE.qemu", "/etc/apparmor.d/abstractions/libvirt-qemu"),
    ("/etc/apparmor.d/svirt/TEMPLATE.qemu", "/etc/apparmor.d/abstractions/svirt-qemu"),
];

/// What the driver is opened with.
#[derive(Debug, Default)]
pub struct Config<'a> {
    /// Option `apparmor.template`.
    pub template: Option<&'a str>,
    /// Option `apparmor.profile_dir`.
    pub profile_dir: Option<&'a str>,
    /// Option `apparmor.parser`.
    pub parser: Option<&'a str>,
    /// Option `apparmor.load_at_gen`.
    pub load_at_gen: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Apparmor {
    profiles: Profiles,
    load_at_gen: bool,
    /// Where a child names the profile of its next exec.
    attribute: &'static CStr,
}

impl Apparmor {
    /// Opens the driver; `ENOTSUP` where it cannot work, with the reason. The daemon itself need not be
    /// confined.
    pub fn open(config: &Config<'_>) -> Result<Self> {
        let lacks = |what: &str| Error::unsupported(format!("driver apparmor: {what}"));
        if !load::is_enabled() {
            return Err(lacks(
                "this kernel does not run AppArmor (boot with security=apparmor, or use another driver)",
            ));
        }
        let parser = found(config.parser, PARSERS).ok_or_else(|| {
            lacks("there is no apparmor_parser (install the package apparmor, or set apparmor.parser)")
        })?;
        let template = match config.template {
            Some(given) => Some(PathBuf::from(given)).filter(|path| path.is_file()),
            None => TEMPLATES
                .iter()
                .find(|(template, abstraction)| {
                    [template, abstraction].iter().all(|p| Path::new(p).is_file())
                })
                .map(|(template, _)| PathBuf::from(template)),
        };
        let template = template.ok_or_else(|| {
            lacks("there is no template of profiles (make install puts one into /etc/apparmor.d/svirt, or set apparmor.template)")
        })?;
        if !process::has_capability(process::CAP_MAC_ADMIN) {
            let text = "driver apparmor: loading profiles needs CAP_MAC_ADMIN; run the daemon as root, or use driver landlock";
            return Err(Error::new(libc::EPERM, text));
        }
        let folder = PathBuf::from(config.profile_dir.unwrap_or(FOLDER));
        if folder
            .as_os_str()
            .as_bytes()
            .iter()
            .any(|b| matches!(b, b'"' | b'\\' | b'@' | b'{') || b.is_ascii_control())
        {
            let text = format!("option apparmor.profile_dir: {folder:?} cannot stand in a profile's include");
            return Err(Error::invalid(text).with_path(&folder));
        }
        // A template that is installed elsewhere has its abstractions beside it.
        let includes =
            template.parent().and_then(Path::parent).filter(|p| *p != Path::new("/etc/apparmor.d"));
        let parser = Parser::new(parser, includes.map(Path::to_owned));
        let profiles = Profiles::new(template, folder, parser);
        profiles.render(Uuid([0; 16]))?;
        let attribute = match fs::exists("/proc/self/attr/apparmor/exec") {
            Ok(true) => c"/proc/thread-self/attr/apparmor/exec",
            _ => c"/proc/thread-self/attr/exec",
        };
        Ok(Self { profiles, load_at_gen: config.load_at_gen, attribute })
    }

    /// Whether a label can be this domain's.
    fn check_label(&self, domain: &Definition, label: &str) -> Result<()> {
        if label == name_of(domain.uuid) {
            return Ok(());
        }
        if label.strip_prefix("libvirt-").is_some_and(|uuid| uuid.parse::<Uuid>().is_ok()) {
            let text = format!("domain {}: the AppArmor profile {label} is another domain's", domain.name);
            return Err(Error::new(libc::EEXIST, text));
        }
        check_loaded(label)
    }
}

impl Driver for Apparmor {
    fn model(&self) -> &'static str {
        "apparmor"
    }

    fn base_label(&self, _: &str) -> Option<String> {
        None
    }

    fn gen_security_label(&self, domain: &Definition, seclabel: &Seclabel) -> Result<Labels> {
        let label = match seclabel.kind {
            SeclabelType::None => return Ok(Labels::default()),
            SeclabelType::Static => {
                let label = seclabel.label.clone().unwrap_or_default();
                check_loaded(&label)?;
                self.check_label(domain, &label)?;
                label
            }
            SeclabelType::Dynamic => {
                no_base_label(seclabel)?;
                if domain.virt_type == "lxc" {
                    let text =
                        format!("domain {}: driver apparmor has no template for containers", domain.name);
                    return Err(Error::unsupported(text));
                }
                name_of(domain.uuid)
            }
        };
        Ok(Labels { label: Some(label.clone()), image_label: Some(label) })
    }

    fn reserve_security_label(&self, domain: &Definition, labels: &Labels) -> Result<()> {
        labels.label.as_deref().map_or(Ok(()), |label| self.check_label(domain, label))
    }

    fn has_security_label(&self, domain: Uuid) -> bool {
        self.profiles.exists(domain)
    }

    fn keeps_profiles(&self) -> bool {
        true
    }

    fn release_security_label(&self, domain: Uuid) -> Result<()> {
        self.profiles.remove(domain)
    }

    fn verify_security_label(&self, domain: &Definition, seclabel: &Seclabel) -> Result<()> {
        no_base_label(seclabel)?;
        match (&seclabel.label, seclabel.kind) {
            (Some(label), SeclabelType::Static) => check_loaded(label),
            (Some(label), _) => self.check_label(domain, label),
            (None, _) => Ok(()),
        }
    }

    fn get_security_process_label(&self, pid: libc::pid_t) -> Result<ProcessLabel> {
        let text = process::attribute(&pid.to_string(), "apparmor/current")
            .or_else(|_| process::attribute(&pid.to_string(), "current"))
            .map_err(|e| Error::os(format_args!("cannot read the AppArmor profile of process {pid}"), &e))?;
        Ok(match load::split(&text) {
            Some((name, mode)) => {
                ProcessLabel { label: name.to_owned(), enforcing: matches!(mode, "enforce" | "kill") }
            }
            None => ProcessLabel { label: text.trim_end().to_owned(), enforcing: false },
        })
    }

    fn image_label_of(&self, _: &Definition, label: &str) -> Result<Option<String>> {
        Ok(Some(label.to_owned()))
    }

    fn follows_resources(&self) -> bool {
        true
    }

    fn apply(&self, domain: &Definition, seclabel: &Seclabel, moment: Moment) -> Result<()> {
        // A static label names a profile that is somebody else's to write.
        if seclabel.kind != SeclabelType::Dynamic {
            return Ok(());
        }
        if moment == Moment::Gen && (!self.load_at_gen || in_use(&name_of(domain.uuid))?) {
            return Ok(());
        }
        let new = moment.new_of(domain);
        let rules = rules::text(domain, |at| new.contains(&at))?;
        self.profiles.load(domain.uuid, &rules)
    }

    fn set_security_process_label(&self, _: &Definition, label: &str) -> Result<Option<Step>> {
        let label = format!("exec {label}").into_bytes().into();
        Ok(Some(Step::NextExec { file: self.attribute, label }))
    }

    fn resource_label(&self, _: &Definition, _: &Seclabel, _: &Resource, _: bool) -> Result<Decision> {
        Ok(Decision::Leave)
    }

    fn default_label(&self, _: &Path, _: u32) -> Option<Label> {
        None
    }
}

fn found(given: Option<&str>, known: &[&str]) -> Option<PathBuf> {
    let all = given.map_or_else(|| known.to_vec(), |given| vec![given]);
    all.into_iter().map(PathBuf::from).find(|path| path.is_file())
}

fn no_base_label(seclabel: &Seclabel) -> Result<()> {
    match &seclabel.base_label {
        Some(base) => Err(Error::invalid(format!("base label {base:?}: AppArmor has no base labels"))),
        None => Ok(()),
    }
}

fn check_loaded(label: &str) -> Result<()> {
    match load::mode_of(label)? {
        Some(_) => Ok(()),
        None => Err(Error::invalid(format!("{label} is not a loaded AppArmor profile; load it first"))),
    }
}

/// Whether a process runs under a profile. What such a guest may use is not for gen to change: a handle made
/// from an older XML may lack devices that were added since.
fn in_use(profile: &str) -> Result<bool> {
    if load::mode_of(profile)?.is_none() {
        return Ok(false);
    }
    let all =
        fs::read_dir("/proc").map_err(|e| Error::at(Path::new("/proc"), "cannot list processes", &e))?;
    let pids = all.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(pids.filter(|pid| pid.bytes().all(|b| b.is_ascii_digit())).any(|pid| {
        let label =
            process::attribute(&pid, "apparmor/current").or_else(|_| process::attribute(&pid, "current"));
        label.is_ok_and(|text| load::split(&text).is_some_and(|(name, _)| name == profile))
    }))
}
