//! SELinux: a unique pair of categories for every guest, so that type enforcement keeps guests from the
//! host, and categories keep them from each other.

pub mod context;
pub mod decide;
pub mod levels;
pub mod policy;

use super::{Decision, Descriptor, Driver, Labels, Opened, ProcessLabel, device_label};
use crate::child::{SocketLabels, Step};
use crate::domain::{Definition, Resource, Seclabel, SeclabelType, Uuid};
use crate::error::{Error, Result};
use crate::image::Label;
use crate::reservation::{Class, Holder, Range as Drawn, Registry};
use crate::sys::process;
use context::{Context, Level, Range};
use decide::{Wanted, decide};
use levels::{Pairs, key_of};
use policy::{Files, Policy};
use selinux::label::{Labeler, back_end};
use selinux::{KernelSupport, SELinuxMode, SecurityContext};
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The label of the sockets that a thread makes.
const SOCKETS: &CStr = c"/proc/thread-self/attr/sockcreate";

/// What the driver is opened with.
#[derive(Debug)]
pub struct Config<'a> {
    /// Option `mcs.range`.
    pub range: Option<&'a str>,
    /// Option `selinux.root`.
    pub root: Option<&'a Path>,
    /// A digest of the manager's owner.
    pub owner: u32,
}

/// See the module.
pub struct Selinux {
    policy: Policy,
    root: Option<PathBuf>,
    /// The daemon's own context when it opened the driver.
    daemon: Context,
    pairs: Arc<Pairs>,
    registry: Arc<Registry>,
    drawn: Drawn,
    owner: u32,
}

impl Selinux {
    /// Whether this kernel runs SELinux, and if not, why.
    pub fn available() -> Result<()> {
        if selinux::kernel_support() != KernelSupport::Unsupported {
            return Ok(());
        }
        Err(Error::unsupported(
            "driver selinux: this kernel does not run SELinux (boot with security=selinux, or use another driver)",
        ))
    }

    /// Opens the driver; `ENOTSUP` where the kernel does not run SELinux.
    pub fn open(config: &Config<'_>, registry: Arc<Registry>) -> Result<Self> {
        Self::available()?;
        let daemon: Context = text_of(SecurityContext::current(true), "the daemon's own context")?.parse()?;
        let files = match config.root {
            Some(root) => Files::below(root),
            None => Files {
                domain: installed(selinux::path::virtual_domain_context())?,
                image: installed(selinux::path::virtual_image_context())?,
                lxc: installed(selinux::path::lxc_contexts())?,
            },
        };
        let pairs = Arc::new(Pairs::new(daemon.range.as_ref(), config.range)?);
        let drawn = registry.add_range(pairs.clone());
        let root = config.root.map(Path::to_owned);
        Ok(Self { policy: Policy::read(&files)?, root, daemon, pairs, registry, drawn, owner: config.owner })
    }

    fn holder(&self, uuid: Uuid) -> Holder {
        Holder { owner: self.owner, uuid }
    }

    fn image_label(&self, virt_type: &str, range: &str) -> Result<String> {
        let kind = &self.policy.contexts(virt_type)?.image.kind;
        Ok([&self.daemon.user, ":object_r:", kind, ":", range].concat())
    }

    fn take(&self, domain: &Definition, label: &str) -> Result<Context> {
        let context: Context = label.parse()?;
        if let Some(key) = context.range.as_ref().and_then(key_of) {
            self.registry.take(key, self.holder(domain.uuid), &format!("the level of label {label}"))?;
        }
        Ok(context)
    }
}

impl Driver for Selinux {
    fn model(&self) -> &'static str {
        "selinux"
    }

    fn base_label(&self, virt_type: &str) -> Option<String> {
        self.policy.contexts(virt_type).ok().map(|contexts| contexts.process.to_string())
    }

    fn gen_security_label(&self, domain: &Definition, seclabel: &Seclabel) -> Result<Labels> {
        let contexts = self.policy.contexts(&domain.virt_type)?;
        match seclabel.kind {
            SeclabelType::None => {
                let level = Level { sensitivity: self.pairs.sensitivity, categories: Default::default() };
                let image_label = self.image_label(&domain.virt_type, &level.to_string())?;
                Ok(Labels { label: None, image_label: Some(image_label) })
            }
            SeclabelType::Static => {
                let label = seclabel.label.as_deref().unwrap_or_default();
                check(label)?;
                let range = self.take(domain, label)?.range.unwrap_or_else(bottom);
                let image_label = self.image_label(&domain.virt_type, &range.to_string())?;
                Ok(Labels { label: Some(label.to_owned()), image_label: Some(image_label) })
            }
            SeclabelType::Dynamic => {
                let kind = match &seclabel.base_label {
                    Some(base) => &base.parse::<Context>()?.kind,
                    None => &contexts.process.kind,
                };
                let key = self.registry.take_any(self.drawn, self.holder(domain.uuid))?.ok_or_else(|| {
                    Error::new(libc::ENOSPC, format!(
                        "domain {}: every pair of categories of {} is taken; stop a guest or widen mcs.range",
                        domain.name,
                        crate::reservation::Universe::name(&*self.pairs),
                    ))
                })?;
                let level = Pairs::level(key).to_string();
                let label = [&self.daemon.user, ":", &self.daemon.role, ":", kind, ":", &level].concat();
                let image_label = self.image_label(&domain.virt_type, &level)?;
                Ok(Labels { label: Some(label), image_label: Some(image_label) })
            }
        }
    }

    fn reserve_security_label(&self, domain: &Definition, labels: &Labels) -> Result<()> {
        labels.label.as_deref().map_or(Ok(()), |label| self.take(domain, label).map(drop))
    }

    fn has_security_label(&self, domain: Uuid) -> bool {
        self.registry.holds(Class::Level, self.holder(domain))
    }

    fn release_security_label(&self, domain: Uuid) -> Result<()> {
        self.registry.release(Class::Level, self.holder(domain))
    }

    fn verify_security_label(&self, domain: &Definition, seclabel: &Seclabel) -> Result<()> {
        if let Some(label) = &seclabel.label {
            check(label)?;
        }
        if let Some(base) = &seclabel.base_label {
            base.parse::<Context>()?;
        }
        domain
            .resources
            .iter()
            .filter_map(|r| device_label(r, "selinux", false).flatten())
            .try_for_each(check)
    }

    fn get_security_process_label(&self, pid: libc::pid_t) -> Result<ProcessLabel> {
        let label =
            text_of(SecurityContext::of_process(pid, true), &format!("the context of process {pid}"))?;
        Ok(ProcessLabel { label, enforcing: selinux::current_mode() == SELinuxMode::Enforcing })
    }

    fn image_label_of(&self, domain: &Definition, label: &str) -> Result<Option<String>> {
        let range = label.parse::<Context>()?.range.unwrap_or_else(bottom);
        self.image_label(&domain.virt_type, &range.to_string()).map(Some)
    }

    fn set_security_process_label(&self, _: &Definition, label: &str) -> Result<Option<Step>> {
        let label = CString::new(label).map_err(|_| Error::invalid("a label with a NUL in it"))?;
        let file = c"/proc/thread-self/attr/exec";
        Ok(Some(Step::NextExec { file, label: label.into_bytes_with_nul().into() }))
    }

    fn resource_label(
        &self,
        domain: &Definition,
        seclabel: &Seclabel,
        resource: &Resource,
        primary: bool,
    ) -> Result<Decision> {
        let contexts = self.policy.contexts(&domain.virt_type)?;
        let own = device_label(resource, self.model(), primary);
        let label = match decide(resource, own, seclabel.relabel) {
            Wanted::Nothing => return Ok(Decision::Leave),
            Wanted::Own(label) => {
                label.parse::<Context>().map_err(|e| e.with_path(&resource.path))?;
                label.to_owned()
            }
            Wanted::Private => match &seclabel.image_label {
                Some(label) => label.clone(),
                None => return Ok(Decision::Leave),
            },
            Wanted::Shared => contexts.image.to_string(),
            Wanted::Content => contexts.content.to_string(),
        };
        Ok(Decision::Set(Label::Context(label.into())))
    }

    fn fd_label(&self, _: &Definition, seclabel: &Seclabel, opened: &Descriptor<'_>) -> Result<Decision> {
        let Some(image_label) = seclabel.image_label.as_deref().filter(|_| seclabel.relabel) else {
            return Ok(Decision::Leave);
        };
        // A tap device keeps the type that the policy gives it, and gets the guest's level.
        let label = match opened.name.filter(|_| opened.opened == Opened::Tap) {
            Some(name) => match self.default_label(name, opened.mode) {
                Some(Label::Context(default)) => {
                    let range = image_label.parse::<Context>()?.range;
                    Context { range, ..default.parse()? }.to_string()
                }
                _ => image_label.to_owned(),
            },
            None => image_label.to_owned(),
        };
        Ok(Decision::Set(Label::Context(label.into())))
    }

    fn socket_labels(&self, label: &str) -> Result<Option<SocketLabels>> {
        // The daemon's context with the guest's range, which comes after the third colon.
        let Context { user, role, kind, .. } = &self.daemon;
        let range = label.match_indices(':').nth(2).map_or("", |(at, _)| &label[at..]);
        let bytes = |parts: &[&str]| parts.concat().into_bytes().into_boxed_slice();
        let daemon = bytes(&[user, ":", role, ":", kind, range, "\0"]);
        Ok(Some(SocketLabels { file: SOCKETS, guest: bytes(&[label, "\0"]), daemon }))
    }

    fn socket_attribute(&self) -> Option<&'static CStr> {
        Some(SOCKETS)
    }

    fn tolerates(&self, errno: i32) -> bool {
        match errno {
            libc::EOPNOTSUPP | libc::EROFS => true,
            libc::EPERM | libc::EACCES => {
                process::effective_ids().0 != 0 || selinux::current_mode() != SELinuxMode::Enforcing
            }
            _ => false,
        }
    }

    fn default_label(&self, path: &Path, mode: u32) -> Option<Label> {
        let spec = self.root.as_ref().map(|root| root.join("contexts/files/file_contexts"));
        let spec = spec.and_then(|path| CString::new(path.into_os_string().into_encoded_bytes()).ok());
        let option = |path: &CString| (selinux_option_path(), path.as_ptr().cast());
        let options: Vec<_> = spec.as_ref().map(option).into_iter().collect();
        let labeler = Labeler::<back_end::File>::new(&options, true).ok()?;
        let key = CString::new(path.as_os_str().as_encoded_bytes()).ok()?;
        let found = text_of(labeler.look_up(&key, mode as i32), "the policy's default").ok()?;
        (found != "<<none>>").then(|| Label::Context(found.into()))
    }

    fn mount_options(&self, seclabel: &Seclabel) -> String {
        seclabel.image_label.as_ref().map_or_else(String::new, |label| format!(",context=\"{label}\""))
    }
}

/// `SELABEL_OPT_PATH` of `selinux/label.h`: the file to read instead of the installed one.
const fn selinux_option_path() -> i32 {
    3
}

fn bottom() -> Range {
    let level = Level { sensitivity: 0, categories: Default::default() };
    Range { low: level.clone(), high: level }
}

/// Asks the loaded policy whether it knows a context.
fn check(label: &str) -> Result<()> {
    label.parse::<Context>()?;
    let text = CString::new(label).map_err(|_| Error::invalid("a label with a NUL in it"))?;
    match SecurityContext::from_c_str(&text, true).check() {
        Some(false) => Err(Error::invalid(format!("{label} is not valid in the loaded SELinux policy"))),
        _ => Ok(()),
    }
}

fn installed(path: selinux::errors::Result<&'static Path>) -> Result<PathBuf> {
    path.map(Path::to_owned).map_err(|e| Error::unsupported(format!("libselinux names no policy: {e}")))
}

fn text_of(context: selinux::errors::Result<SecurityContext<'_>>, what: &str) -> Result<String> {
    use std::error::Error as _;
    let errno = |error: &selinux::errors::Error| {
        let source = error.source().and_then(|e| e.downcast_ref::<std::io::Error>());
        source.and_then(std::io::Error::raw_os_error).unwrap_or(libc::EIO)
    };
    let failed = |e: selinux::errors::Error| Error::new(errno(&e), format!("cannot read {what}: {e}"));
    let context = context.map_err(failed)?;
    let text = context.to_c_string().map_err(failed)?;
    text.and_then(|text| text.to_str().ok().map(str::to_owned))
        .ok_or_else(|| Error::new(libc::EIO, format!("{what} is not text")))
}
