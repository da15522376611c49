//! What a guest is: its name, uuid and type, its seclabels, and the files and devices it uses.

pub mod access;
mod chain;
pub mod handle;
pub mod host;
pub mod qcow2;
pub mod resource;
pub mod seclabel;
pub mod uuid;
pub mod xml;

pub use handle::Domain;
pub use host::Host;
pub use resource::{DeviceSeclabel, Flags, Kind, Place, Resource};
pub use seclabel::{Seclabel, SeclabelType};
pub use uuid::Uuid;

use crate::error::{Error, Result};
use std::path::PathBuf;

/// The definition of a guest, as data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The guest's name, for messages and profiles.
    pub name: String,
    /// What labels and images are held under.
    pub uuid: Uuid,
    /// `kvm`, `qemu`, `lxc`, …: the `type` of libvirt's domain element.
    pub virt_type: String,
    /// The program that runs the guest, when the XML names it.
    pub emulator: Option<PathBuf>,
    /// At most one of each model.
    pub seclabels: Vec<Seclabel>,
    /// Everything that gets a label, in the order in which it was named.
    pub resources: Vec<Resource>,
    /// The XML that the definition was read from; kept so that it can be given back whole.
    pub source: Option<String>,
}

impl Definition {
    /// A guest without resources, as the builder calls begin with.
    pub fn new(name: &str, uuid: Uuid, virt_type: &str) -> Result<Self> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Error::invalid("the domain's name is empty or has control characters"));
        }
        if virt_type.is_empty() || !virt_type.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(Error::invalid(format!(
                "{virt_type:?} is not a domain type such as kvm, qemu or lxc"
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            uuid,
            virt_type: virt_type.to_owned(),
            emulator: None,
            seclabels: Vec::new(),
            resources: Vec::new(),
            source: None,
        })
    }

    /// Adds a seclabel; a second one of the same model is an error.
    pub fn add_seclabel(&mut self, seclabel: Seclabel) -> Result<()> {
        if self.seclabels.iter().any(|s| s.model == seclabel.model) {
            let model = seclabel.model.as_deref().unwrap_or("the primary driver");
            return Err(Error::invalid(format!(
                "domain {}: more than one seclabel of model {model}",
                self.name
            )));
        }
        self.seclabels.push(seclabel);
        Ok(())
    }

    /// The seclabel of a model, once a manager has said which model is the primary one.
    pub fn seclabel(&self, model: &str) -> Option<&Seclabel> {
        self.seclabels.iter().find(|s| s.model.as_deref() == Some(model))
    }
}
