//! What is said when an image cannot be had.

use super::Label;
use super::file::unsupported;
use super::standing::{Held, Image, Standing};
use crate::error::Error;
use crate::reservation::Class;
use std::io;
use std::path::Path;

/// One domain wants an image with two labels at once.
pub fn twice(path: &Path, one: &Label, other: &Label) -> Error {
    let text = format!("{}: is to have label {one} and label {other} for the same domain", path.display());
    Error::new(libc::EBUSY, text).with_path(path)
}

impl Image<'_> {
    /// Others hold it with another label.
    pub fn busy(&self, standing: &Standing, has: Option<&Label>, wants: &Label) -> Error {
        let registry = &self.settings.store.registry;
        let own = standing.memory.as_ref().and_then(|memory| memory.own.as_ref());
        let class = if standing.held == Held::Listed { Class::Listed } else { Class::Counted };
        let mut holders = match own.and_then(|own| own.only) {
            Some(only) => vec![only],
            None => registry.members(self.shared_key(class)).unwrap_or_default(),
        };
        holders.sort_unstable_by_key(|holder| holder.uuid);
        let known = holders.len() as u32;
        let mut by: Vec<String> = holders.iter().map(|holder| holder.uuid.to_string()).collect();
        let unknown = (standing.others + u32::from(standing.mine)).saturating_sub(known);
        if unknown > 0 {
            by.push(format!("{unknown} more that libvirt runs"));
        }
        let has = has.or(standing.current.as_ref()).map_or_else(|| "no label".to_owned(), Label::to_string);
        let path = self.path.display();
        Error::new(
            libc::EBUSY,
            format!("{path}: in use with label {has} by domain {}, but domain {} needs {wants}; stop the other guest, or make the disk <shareable/> or <readonly/> in both", by.join(", "), self.holder.uuid),
        )
        .with_path(self.path)
    }

    /// Access control lists are needed and cannot be changed.
    pub fn no_acl(&self, error: &io::Error) -> Error {
        if !unsupported(error) {
            return self.failed("cannot change its access control list", error);
        }
        let path = self.path.display();
        Error::unsupported(format!("{path}: the file system has no access control lists, so the image cannot be shared among guests with a uid of their own")).with_path(self.path)
    }

    /// An error about this image.
    pub fn failed(&self, what: impl std::fmt::Display, error: &io::Error) -> Error {
        Error::at(self.path, what, error)
    }
}
