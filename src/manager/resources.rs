//! From a domain's resources to the steps that label their files.

use super::Manager;
use crate::domain::{Definition, Host, Kind, Resource, Seclabel, SeclabelType};
use crate::driver::Decision;
use crate::error::Result;
use crate::image::Step;
use crate::log::info;
use std::path::PathBuf;

impl Manager {
    /// The same manager, for devices that are found in the `/sys` and `/dev` of another host.
    #[must_use]
    pub fn with_host(self, host: Host) -> Self {
        Self { host, ..self }
    }

    /// The files and nodes behind resources, each a resource of its own. Nobody asks about the files of a
    /// domain that no driver confines.
    pub(super) fn files(&self, definition: &Definition, resources: &[Resource]) -> Result<Vec<Resource>> {
        let mut files = Vec::with_capacity(resources.len());
        let is_confined = |s: Option<&Seclabel>| s.is_some_and(|s| s.kind != SeclabelType::None);
        if self.drivers.iter().any(|driver| is_confined(definition.seclabel(driver.model()))) {
            for resource in resources {
                files.extend(self.host.files(resource)?);
            }
        }
        Ok(files)
    }

    /// The files of resources, for drivers that keep more than files. What the host no longer
    /// has is left out; where that matters, its label was refused before.
    pub(super) fn files_there<'a>(&self, resources: impl IntoIterator<Item = &'a Resource>) -> Vec<Resource> {
        if !self.drivers.iter().any(|driver| driver.follows_resources()) {
            return Vec::new();
        }
        let files = |resource| {
            self.host.files(resource).unwrap_or_else(|error| {
                info!("left out: {error}");
                Vec::new()
            })
        };
        resources.into_iter().flat_map(files).collect()
    }

    /// What every driver wants for these files.
    pub(super) fn steps(&self, definition: &Definition, files: &[Resource]) -> Result<Vec<Step>> {
        let mut steps: Vec<Step> = Vec::with_capacity(files.len() * self.drivers.len());
        let confining = |at: usize| {
            let driver = &*self.drivers[at];
            let seclabel = definition.seclabel(driver.model())?;
            (seclabel.kind != SeclabelType::None).then_some((at, driver, seclabel))
        };
        let confining: Vec<_> = (0..self.drivers.len()).filter_map(confining).collect();
        for file in files {
            for (at, driver, seclabel) in &confining {
                let decision = driver.resource_label(definition, seclabel, file, *at == 0)?;
                let Decision::Set(mut label) = decision else { continue };
                // The text of a label is in memory once, however many files have it.
                if let Some(same) = steps.iter().rev().take(confining.len()).find(|step| step.label == label)
                {
                    label = same.label.clone();
                }
                let directory = matches!(file.kind, Kind::TpmState | Kind::Smartcard | Kind::Private);
                let (path, model, optional) = (file.path.clone(), driver.model(), file.optional);
                steps.push(Step { path, model, label, optional, directory, original: None });
            }
        }
        Ok(steps)
    }

    /// The definition as drivers see it that keep more than files: its resources are `files` of this host.
    pub(super) fn on_host(definition: &Definition, files: Vec<Resource>) -> Definition {
        Definition {
            resources: files,
            name: definition.name.clone(),
            uuid: definition.uuid,
            virt_type: definition.virt_type.clone(),
            seclabels: definition.seclabels.clone(),
            emulator: definition.emulator.clone(),
            source: None,
        }
    }

    /// The files behind a resource that is given back. A device may be gone by now: what it was stays held
    /// until everything is given back.
    pub(super) fn paths(&self, resource: &Resource) -> Vec<PathBuf> {
        match self.host.files(resource) {
            Ok(files) => files.into_iter().map(|file| file.path).collect(),
            Err(error) => {
                info!("while giving it back: {error}");
                vec![resource.path.clone()]
            }
        }
    }
}
