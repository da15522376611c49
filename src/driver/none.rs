//! The driver that confines nothing, for hosts and daemons that want the calls but no labels.

use super::{Decision, Driver, Labels, ProcessLabel};
use crate::child::Step;
use crate::domain::{Definition, Resource, Seclabel, Uuid};
use crate::error::Result;
use crate::image::Label;
use std::path::Path;

/// See the module.
#[derive(Debug)]
pub struct NoneDriver;

impl Driver for NoneDriver {
    fn model(&self) -> &'static str {
        "none"
    }

    fn base_label(&self, _: &str) -> Option<String> {
        None
    }

    fn gen_security_label(&self, _: &Definition, _: &Seclabel) -> Result<Labels> {
        Ok(Labels::default())
    }

    fn reserve_security_label(&self, _: &Definition, _: &Labels) -> Result<()> {
        Ok(())
    }

    fn release_security_label(&self, _: Uuid) -> Result<()> {
        Ok(())
    }

    fn verify_security_label(&self, _: &Definition, _: &Seclabel) -> Result<()> {
        Ok(())
    }

    fn get_security_process_label(&self, _: libc::pid_t) -> Result<ProcessLabel> {
        Ok(ProcessLabel { label: String::new(), enforcing: false })
    }

    fn image_label_of(&self, _: &Definition, _: &str) -> Result<Option<String>> {
        Ok(None)
    }

    fn set_security_process_label(&self, _: &Definition, _: &str) -> Result<Option<Step>> {
        Ok(None)
    }

    fn resource_label(&self, _: &Definition, _: &Seclabel, _: &Resource, _: bool) -> Result<Decision> {
        Ok(Decision::Leave)
    }

    fn default_label(&self, _: &Path, _: u32) -> Option<Label> {
        None
    }
}
