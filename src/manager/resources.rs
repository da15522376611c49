//! From a domain's resources to the steps that label them.

use super::Manager;
use crate::domain::{Definition, Kind, Resource, SeclabelType};
use crate::driver::Decision;
use crate::error::{Error, Result};
use crate::image::Step;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

impl Manager {
    /// What every driver wants for these resources.
    pub(super) fn steps(&self, definition: &Definition, resources: &[Resource]) -> Result<Vec<Step>> {
        let mut steps = Vec::with_capacity(resources.len() * self.drivers.len());
        for resource in resources {
            for (at, driver) in self.drivers.iter().enumerate() {
                let Some(seclabel) = definition.seclabel(driver.model()) else { continue };
                if seclabel.kind == SeclabelType::None {
                    continue;
                }
                if let Decision::Set(label) =
                    driver.resource_label(definition, seclabel, resource, at == 0)?
                {
                    if resource.kind == Kind::TpmState {
                        return Err(Error::unsupported(format!(
                            "{}: the state of an emulated TPM cannot be labelled by this version",
                            resource.path.display()
                        ))
                        .with_path(&resource.path));
                    }
                    // A socket that the guest makes itself is not there yet.
                    let optional = resource.kind == Kind::ChardevUnix;
                    let step = |path| Step { path, model: driver.model(), label: label.clone(), optional, directory: false };
                    steps.extend(paths(resource).into_iter().map(step));
                }
            }
        }
        Ok(steps)
    }
}

/// The files behind a resource: a pipe is a pair of FIFOs where there is one.
pub(super) fn paths(resource: &Resource) -> Vec<PathBuf> {
    if resource.kind == Kind::ChardevPipe {
        let end = |suffix: &str| {
            let mut name = OsString::from(&resource.path);
            name.push(suffix);
            PathBuf::from(name)
        };
        let pair = [end(".in"), end(".out")];
        if pair.iter().all(|path| Path::exists(path)) {
            return pair.into();
        }
    }
    vec![resource.path.clone()]
}
