//! What every security driver can do, in libvirt's vocabulary.
//!
//! A driver turns a domain into labels and a resource into a [`Decision`], which is plain data. It never
//! touches another driver, a file's label, C types or XML.

pub mod apparmor;
pub mod dac;
pub mod landlock;
pub mod none;
pub mod selinux;

use crate::child::{SocketLabels, Step};
use crate::domain::{Definition, Kind, Resource, Seclabel, Uuid};
use crate::error::Result;
use crate::image::Label;
use std::ffi::CStr;
use std::ops::Range;
use std::path::Path;

/// What gen made or reserve found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// The label of the guest's process; `None` when it is not confined by this model.
    pub label: Option<String>,
    /// The label of the guest's private images.
    pub image_label: Option<String>,
}

impl Labels {
    /// The labels that a seclabel names.
    pub fn of(seclabel: &Seclabel) -> Self {
        Self { label: seclabel.label.clone(), image_label: seclabel.image_label.clone() }
    }
}

/// The live label of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessLabel {
    /// As the model writes it; empty when the model gives processes none.
    pub label: String,
    /// Whether the kernel enforces it now.
    pub enforcing: bool,
}

/// What a driver wants for one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It keeps what it has.
    Leave,
    /// It gets this label until its last holder lets go.
    Set(Label),
}

/// What a caller says that a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// An image, a saved state or a channel.
    Image(Kind),
    /// A network device.
    Tap,
}

/// Something open that is handed to a guest.
#[derive(Debug)]
pub struct Descriptor<'a> {
    /// What the caller says that it is.
    pub opened: Opened,
    /// A name that leads to it, when there is one.
    pub name: Option<&'a Path>,
    /// Its type and mode.
    pub mode: u32,
}

/// When a driver is asked to [`Driver::apply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The labels were just made; nothing of the guest is labelled yet.
    Gen,
    /// Everything of the guest is labelled; its process has not started.
    SetAll,
    /// A resource was added to the definition of a guest that may be running; its files stand last.
    Plug {
        /// How many of the definition's resources are new. They must be there; the others once were.
        new: usize,
    },
    /// A resource was taken out of the definition of a guest that may be running, or the definition is what
    /// it was before a step that failed. Nothing is new.
    Unplug,
}

impl Moment {
    /// Which of the definition's resources must be there.
    pub fn new_of(self, domain: &Definition) -> Range<usize> {
        let all = domain.resources.len();
        let new = match self {
            Self::Gen | Self::Unplug => 0,
            Self::SetAll => all,
            Self::Plug { new } => new,
        };
        all.saturating_sub(new)..all
    }
}

/// One security model.
pub trait Driver: Send + Sync {
    /// The model's name, as in `<seclabel model='…'>`.
    fn model(&self) -> &'static str;

    /// The domain of interpretation; libvirt uses "0" throughout.
    fn doi(&self) -> &'static str {
        "0"
    }

    /// What a guest of this type gets before anything of its own is put in.
    fn base_label(&self, virt_type: &str) -> Option<String>;

    /// Makes the domain's labels and takes what must be unique about them; the domain's seclabel tells
    /// dynamic from static and none.
    fn gen_security_label(&self, domain: &Definition, seclabel: &Seclabel) -> Result<Labels>;

    /// Takes what is unique about labels that the domain already has, so that nobody else gets it.
    fn reserve_security_label(&self, domain: &Definition, labels: &Labels) -> Result<()>;

    /// Whether the domain has taken something.
    fn has_security_label(&self, domain: Uuid) -> bool {
        let _ = domain;
        false
    }

    /// Whether it keeps something for a domain that outlives the daemon and that nothing else tells of, such as
    /// a loaded profile. Such a domain is noted among the reservations, so that reconcile finds it.
    fn keeps_profiles(&self) -> bool {
        false
    }

    /// Everything that the domain has taken may be used again; with nothing taken it is success.
    fn release_security_label(&self, domain: Uuid) -> Result<()>;

    /// Whether the labels that the caller gave are ones that this host can apply.
    fn verify_security_label(&self, domain: &Definition, seclabel: &Seclabel) -> Result<()>;

    /// The live label of a process.
    fn get_security_process_label(&self, pid: libc::pid_t) -> Result<ProcessLabel>;

    /// The live label of a process that is meant to be the domain's; `None` when nothing on this host can
    /// tell.
    fn get_domain_process_label(&self, domain: Uuid, pid: libc::pid_t) -> Result<Option<ProcessLabel>> {
        let _ = domain;
        self.get_security_process_label(pid).map(Some)
    }

    /// The image label that goes with a process label.
    fn image_label_of(&self, domain: &Definition, label: &str) -> Result<Option<String>>;

    /// A label as [`Driver::get_security_process_label`] writes it.
    fn process_label_of(&self, label: &str) -> Result<String> {
        Ok(label.to_owned())
    }

    /// Whether it keeps something outside the guest's files that follows the domain's resources. For the
    /// other drivers [`Driver::apply`] is not called.
    fn follows_resources(&self) -> bool {
        false
    }

    /// Brings what the driver keeps outside the guest's files, a profile or a ruleset, into line with the
    /// domain's resources. When it fails, everything is as before. Release ends it.
    fn apply(&self, domain: &Definition, seclabel: &Seclabel, moment: Moment) -> Result<()> {
        let _ = (domain, seclabel, moment);
        Ok(())
    }

    /// What the child must do to get its label; nothing for a guest that is not confined. Asked after gen,
    /// and again whenever [`Driver::apply`] has run, which may have made another ruleset.
    fn set_security_process_label(&self, domain: &Definition, label: &str) -> Result<Option<Step>>;

    /// Which label a resource gets. `primary`: this driver speaks for seclabels without a model.
    fn resource_label(
        &self,
        domain: &Definition,
        seclabel: &Seclabel,
        resource: &Resource,
        primary: bool,
    ) -> Result<Decision>;

    /// Which label something open gets. Most models look at a file when it is opened and never again.
    fn fd_label(
        &self,
        domain: &Definition,
        seclabel: &Seclabel,
        opened: &Descriptor<'_>,
    ) -> Result<Decision> {
        let _ = (domain, seclabel, opened);
        Ok(Decision::Leave)
    }

    /// The labels of sockets made for a guest with this label, by the guest's daemon.
    fn socket_labels(&self, label: &str) -> Result<Option<SocketLabels>> {
        let _ = label;
        Ok(None)
    }

    /// The file below `/proc/thread-self/attr` that labels the sockets of a thread. Called between fork and
    /// exec too.
    fn socket_attribute(&self) -> Option<&'static CStr> {
        None
    }

    /// Whether a file may keep its label when putting another one on fails with this errno.
    fn tolerates(&self, errno: i32) -> bool {
        let _ = errno;
        false
    }

    /// What a file without a remembered label gets when it is given back.
    fn default_label(&self, path: &Path, mode: u32) -> Option<Label>;

    /// What a file system mounted for the guest needs among its options.
    fn mount_options(&self, seclabel: &Seclabel) -> String {
        let _ = seclabel;
        String::new()
    }
}

/// A device's own seclabel of a model: `Some(None)` leaves the device alone.
pub fn device_label<'a>(resource: &'a Resource, model: &str, primary: bool) -> Option<Option<&'a str>> {
    resource
        .seclabels
        .iter()
        .find(|own| own.model.as_deref().map_or(primary, |named| named == model))
        .map(|own| own.label.as_deref())
}
