//! A `<seclabel>` of a whole domain: what was asked for, and what it became.

use crate::error::{Error, Result};

/// Where the label comes from; the numbers are the C interface's `SVIRT_SECLABEL_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeclabelType {
    /// The library makes a unique one.
    Dynamic = 1,
    /// The caller gives it.
    Static = 2,
    /// The guest is not confined by this model.
    None = 3,
}

impl SeclabelType {
    /// The type behind a number that came from C.
    pub fn from_number(number: i32) -> Result<Self> {
        match number {
            1 => Ok(Self::Dynamic),
            2 => Ok(Self::Static),
            3 => Ok(Self::None),
            _ => Err(Error::invalid(format!("{number} is not a seclabel type (SVIRT_SECLABEL_*)"))),
        }
    }

    /// The word libvirt's XML uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::Static => "static",
            Self::None => "none",
        }
    }
}

/// One model's seclabel of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seclabel {
    /// `None` until a manager says which driver is the primary one.
    pub model: Option<String>,
    /// Where the label comes from.
    pub kind: SeclabelType,
    /// Whether the guest's files get labels.
    pub relabel: bool,
    /// The process label: given when static, made by gen when dynamic.
    pub label: Option<String>,
    /// The label of the guest's private images.
    pub image_label: Option<String>,
    /// What a dynamic label takes its type from.
    pub base_label: Option<String>,
    /// Made by gen because the domain had none; goes away with release.
    pub implicit: bool,
    /// Made or taken over in this handle by gen or reserve.
    pub live: bool,
}

impl Seclabel {
    /// A seclabel as a caller or XML asks for it. `relabel` `None` takes the type's default.
    ///
    /// `label` is the label of a static seclabel, the base label of a dynamic one.
    pub fn new(
        model: Option<&str>,
        kind: SeclabelType,
        label: Option<&str>,
        relabel: Option<bool>,
    ) -> Result<Self> {
        let of = model.unwrap_or("the primary driver");
        let wrong = |what: &str| Err(Error::invalid(format!("seclabel of {of}: {what}")));
        // libvirt writes model='none' for a guest that is not confined at all.
        let (model, kind) = if model == Some("none") { (None, SeclabelType::None) } else { (model, kind) };
        if model == Some("") {
            return wrong("the model is empty");
        }
        if label.is_some_and(|l| l.is_empty() || l.len() > 4096 || l.chars().any(char::is_control)) {
            return wrong("the label is empty, longer than 4096 bytes or has control characters");
        }
        match kind {
            SeclabelType::Dynamic if relabel == Some(false) => {
                return wrong("a dynamic label must relabel");
            }
            SeclabelType::Static if label.is_none() => return wrong("a static seclabel needs a label"),
            SeclabelType::None if relabel == Some(true) => return wrong("type none cannot relabel"),
            SeclabelType::None if label.is_some() => return wrong("type none cannot have a label"),
            _ => {}
        }
        let text = label.map(str::to_owned);
        let (label, base_label) = if kind == SeclabelType::Dynamic { (None, text) } else { (text, None) };
        Ok(Self {
            model: model.map(str::to_owned),
            kind,
            relabel: relabel.unwrap_or(kind == SeclabelType::Dynamic),
            label,
            image_label: None,
            base_label,
            implicit: false,
            live: false,
        })
    }

    /// Forgets what gen or reserve made; what the caller gave stays.
    pub fn clear(&mut self) {
        if self.kind == SeclabelType::Dynamic {
            self.label = None;
        }
        self.image_label = None;
        self.live = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SeclabelType::{Dynamic, None as Unconfined, Static};

    #[test]
    fn combinations_that_make_no_sense_are_refused() {
        for (kind, label, relabel) in [
            (Dynamic, None, Some(false)),
            (Static, None, None),
            (Static, Some(""), None),
            (Static, Some("a\nb"), None),
            (Unconfined, None, Some(true)),
            (Unconfined, Some("x"), None),
        ] {
            let error = Seclabel::new(Some("selinux"), kind, label, relabel).unwrap_err();
            assert_eq!(error.errno(), libc::EINVAL);
        }
    }

    #[test]
    fn relabel_defaults_to_yes_for_dynamic_only() {
        assert!(Seclabel::new(None, Dynamic, None, None).unwrap().relabel);
        assert!(!Seclabel::new(None, Static, Some("x"), None).unwrap().relabel);
        assert!(!Seclabel::new(None, Unconfined, None, None).unwrap().relabel);
    }

    #[test]
    fn clear_keeps_the_base_label_and_a_static_label() {
        let mut dynamic = Seclabel::new(None, Dynamic, Some("a:b:c:s0"), None).unwrap();
        dynamic.label = Some("made".into());
        dynamic.clear();
        assert_eq!((dynamic.label, dynamic.base_label.as_deref()), (None, Some("a:b:c:s0")));
        let mut fixed = Seclabel::new(None, Static, Some("a:b:c:s0"), None).unwrap();
        fixed.clear();
        assert_eq!(fixed.label.as_deref(), Some("a:b:c:s0"));
    }
}
