//! Discretionary access control: the guest's process runs as a user, and its files belong to that user.
//!
//! With a range of uids every guest has a user of its own; images that several guests use then keep
//! their owner and get an entry for each guest in their access control list.

pub mod decide;

use super::{Decision, Driver, Labels, ProcessLabel, device_label};
use crate::child::Step;
use crate::domain::{Definition, Resource, Seclabel, SeclabelType, Uuid};
use crate::error::{Error, Result};
use crate::image::Label;
use crate::log::warning;
use crate::reservation::{Class, Holder, Key, Range as Drawn, Registry, Universe};
use crate::sys::process;
use decide::{Wanted, decide};
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use std::ffi::CString;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// The most uids that one range may have.
const MOST_UIDS: u32 = 1 << 24;

/// Option `dac.uid_range`: `first-last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UidRange {
    first: u32,
    last: u32,
}

impl FromStr for UidRange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::invalid(format!("dac.uid_range {text:?}: {why}"));
        let (first, last) = text
            .split_once('-')
            .and_then(|(a, b)| number(a).zip(number(b)))
            .ok_or_else(|| wrong("not a range such as 100000-165535"))?;
        if first == 0 || first > last {
            return Err(wrong("it must ascend and must not have root in it"));
        }
        if last - first >= MOST_UIDS {
            return Err(wrong("it has more than 16777216 uids"));
        }
        Ok(Self { first, last })
    }
}

impl Universe for UidRange {
    fn name(&self) -> String {
        format!("uids {}-{}", self.first, self.last)
    }

    fn size(&self) -> u32 {
        self.last - self.first + 1
    }

    fn key(&self, at: u32) -> Key {
        Key::new(Class::Uid, u64::from(self.first + at))
    }

    fn number(&self, key: Key) -> Option<u32> {
        let uid = u32::try_from(key.value()).ok()?;
        (key == Key::new(Class::Uid, u64::from(uid)) && (self.first..=self.last).contains(&uid))
            .then(|| uid - self.first)
    }
}

/// What the driver is opened with.
#[derive(Debug, Default)]
pub struct Config<'a> {
    /// Option `dac.user`.
    pub user: Option<&'a str>,
    /// Option `dac.group`.
    pub group: Option<&'a str>,
    /// Option `dac.uid_range`.
    pub range: Option<UidRange>,
    /// Option `dac.dynamic_ownership`.
    pub dynamic_ownership: bool,
    /// A digest of the manager's owner.
    pub owner: u32,
}

/// See the module.
pub struct Dac {
    user: u32,
    group: Option<u32>,
    range: Option<(UidRange, Drawn)>,
    dynamic_ownership: bool,
    registry: Arc<Registry>,
    owner: u32,
}

impl Dac {
    /// Opens the driver. Without a user or a range guests run as the daemon's own user.
    pub fn open(config: &Config<'_>, registry: Arc<Registry>) -> Result<Self> {
        let own = process::effective_ids();
        let user = config.user.map(user_id).transpose()?;
        let mut group = config.group.map(group_id).transpose()?;
        if user.is_none() && config.range.is_none() {
            warning!("driver dac: neither dac.user nor dac.uid_range is set, guests run as uid {}", own.0);
        }
        if config.range.is_none() && group.is_none() {
            group = Some(match user {
                Some(user) => primary_group(user)?.unwrap_or(user),
                None => own.1,
            });
        }
        if config.range.is_some() && group == Some(0) {
            return Err(Error::invalid(
                "dac.group is root's: guests with a uid of their own must not share root's group",
            ));
        }
        let range = config.range.map(|range| (range, registry.add_range(Arc::new(range))));
        let user = user.unwrap_or(own.0);
        Ok(Self {
            user,
            group,
            range,
            dynamic_ownership: config.dynamic_ownership,
            registry,
            owner: config.owner,
        })
    }

    fn holder(&self, uuid: Uuid) -> Holder {
        Holder { owner: self.owner, uuid }
    }

    /// The uid as something that only one guest may have; uids outside the range may be shared.
    fn key(&self, uid: u32) -> Option<Key> {
        let key = Key::new(Class::Uid, u64::from(uid));
        self.range.as_ref().and_then(|(range, _)| range.number(key)).map(|_| key)
    }

    fn take(&self, domain: &Definition, label: &str) -> Result<(u32, u32)> {
        let (uid, gid) = ids(label)?;
        if let Some(key) = self.key(uid) {
            self.registry.take(key, self.holder(domain.uuid), &format!("the uid of label {label}"))?;
        }
        Ok((uid, gid))
    }
}

impl Driver for Dac {
    fn model(&self) -> &'static str {
        "dac"
    }

    fn base_label(&self, _: &str) -> Option<String> {
        let group = self.group.unwrap_or(self.user);
        self.range.is_none().then(|| Label::Owner(self.user, group).to_string())
    }

    fn gen_security_label(&self, domain: &Definition, seclabel: &Seclabel) -> Result<Labels> {
        let (uid, gid) = match (seclabel.kind, &self.range) {
            (SeclabelType::None, _) => return Ok(Labels::default()),
            (SeclabelType::Static, _) => self.take(domain, seclabel.label.as_deref().unwrap_or_default())?,
            (SeclabelType::Dynamic, None) => (self.user, self.group.unwrap_or(self.user)),
            (SeclabelType::Dynamic, Some((range, drawn))) => {
                let key = self.registry.take_any(*drawn, self.holder(domain.uuid))?.ok_or_else(|| {
                    let text = format!(
                        "domain {}: all of {} are taken; stop a guest or widen dac.uid_range",
                        domain.name,
                        range.name()
                    );
                    Error::new(libc::ENOSPC, text)
                })?;
                let uid = key.value() as u32;
                (uid, self.group.unwrap_or(uid))
            }
        };
        let image_label = Label::Owner(uid, gid).to_string();
        let label = if seclabel.kind == SeclabelType::Static {
            seclabel.label.clone()
        } else {
            Some(image_label.clone())
        };
        Ok(Labels { label, image_label: Some(image_label) })
    }

    fn reserve_security_label(&self, domain: &Definition, labels: &Labels) -> Result<()> {
        labels.label.as_deref().map_or(Ok(()), |label| self.take(domain, label).map(drop))
    }

    fn has_security_label(&self, domain: Uuid) -> bool {
        self.registry.holds(Class::Uid, self.holder(domain))
    }

    fn release_security_label(&self, domain: Uuid) -> Result<()> {
        self.registry.release(Class::Uid, self.holder(domain))
    }

    fn verify_security_label(&self, domain: &Definition, seclabel: &Seclabel) -> Result<()> {
        let own = domain.resources.iter().filter_map(|r| device_label(r, "dac", false).flatten());
        seclabel.label.as_deref().into_iter().chain(own).try_for_each(|label| ids(label).map(drop))
    }

    fn get_security_process_label(&self, pid: libc::pid_t) -> Result<ProcessLabel> {
        let field = |name: &str| {
            let line = process::status_field(&pid.to_string(), name)
                .map_err(|e| Error::os(format_args!("cannot read the user of process {pid}"), &e))?;
            let mut ids: Vec<String> =
                line.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
            // Real, effective, saved and file system id: one when the process has nothing to fall back on.
            ids.dedup();
            Ok(ids.join(","))
        };
        Ok(ProcessLabel { label: format!("+{}:+{}", field("Uid:")?, field("Gid:")?), enforcing: true })
    }

    fn image_label_of(&self, _: &Definition, label: &str) -> Result<Option<String>> {
        ids(label).map(|(uid, gid)| Some(Label::Owner(uid, gid).to_string()))
    }

    fn process_label_of(&self, label: &str) -> Result<String> {
        ids(label).map(|(uid, gid)| Label::Owner(uid, gid).to_string())
    }

    fn set_security_process_label(&self, _: &Definition, label: &str) -> Result<Option<Step>> {
        let (uid, gid) = ids(label)?;
        // An ordinary user can become nobody else, and is already who it wants to be.
        if (uid, gid) == process::effective_ids() && uid != 0 {
            return Ok(None);
        }
        // A uid of the range is no user that the host knows: it is in no other group.
        let groups = if self.key(uid).is_some() { vec![gid] } else { groups(uid, gid)? };
        Ok(Some(Step::Become { uid, gid, groups: groups.into() }))
    }

    fn resource_label(
        &self,
        _: &Definition,
        seclabel: &Seclabel,
        resource: &Resource,
        primary: bool,
    ) -> Result<Decision> {
        if !self.dynamic_ownership {
            return Ok(Decision::Leave);
        }
        let own = device_label(resource, self.model(), primary);
        let wanted = decide(resource, own, seclabel.relabel, self.range.is_some());
        if let Wanted::Own(label) = wanted {
            let (uid, gid) = ids(label).map_err(|e| e.with_path(&resource.path))?;
            return Ok(Decision::Set(Label::Owner(uid, gid)));
        }
        let Some(label) = &seclabel.image_label else { return Ok(Decision::Leave) };
        let (uid, gid) = ids(label)?;
        Ok(match wanted {
            Wanted::Owner => Decision::Set(Label::Owner(uid, gid)),
            Wanted::Grant { write } => Decision::Set(Label::Grant { uid, write }),
            Wanted::Nothing | Wanted::Own(_) => Decision::Leave,
        })
    }

    fn tolerates(&self, errno: i32) -> bool {
        matches!(errno, libc::EOPNOTSUPP | libc::EINVAL | libc::EPERM | libc::EROFS)
    }

    fn default_label(&self, _: &Path, _: u32) -> Option<Label> {
        Some(Label::Owner(0, 0))
    }
}

/// Decimal digits only, and not the number that means "no id".
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

fn ids(label: &str) -> Result<(u32, u32)> {
    let (user, group) = label
        .split_once(':')
        .ok_or_else(|| Error::invalid(format!("{label:?} is not a DAC label (user:group or +uid:+gid)")))?;
    Ok((user_id(user)?, group_id(group)?))
}

fn user_id(text: &str) -> Result<u32> {
    id(text, "user", |name| Ok(User::from_name(name)?.map(|user| user.uid.as_raw())))
}

fn group_id(text: &str) -> Result<u32> {
    id(text, "group", |name| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw())))
}

/// A name is looked up before it is taken for a number; `+` forces a number.
fn id(text: &str, what: &str, look_up: impl Fn(&str) -> nix::Result<Option<u32>>) -> Result<u32> {
    let wrong = || {
        Error::invalid(format!(
            "{text:?} is not a {what}: neither a known name nor a number below 4294967295"
        ))
    };
    if let Some(forced) = text.strip_prefix('+') {
        return number(forced).ok_or_else(wrong);
    }
    if text.is_empty() || text.contains('\0') {
        return Err(wrong());
    }
    match look_up(text) {
        Ok(Some(id)) => Ok(id),
        _ => number(text).ok_or_else(wrong),
    }
}

fn primary_group(uid: u32) -> Result<Option<u32>> {
    let user = User::from_uid(Uid::from_raw(uid))
        .map_err(|e| Error::new(e as i32, format!("cannot look up uid {uid}: {e}")))?;
    Ok(user.map(|user| user.gid.as_raw()))
}

/// All groups of the user's process: those the user is a member of, with `gid` among them.
fn groups(uid: u32, gid: u32) -> Result<Vec<u32>> {
    let failed = |e: nix::Error| Error::new(e as i32, format!("cannot look up the groups of uid {uid}: {e}"));
    let Some(user) = User::from_uid(Uid::from_raw(uid)).map_err(failed)? else { return Ok(vec![gid]) };
    let name = CString::new(user.name).map_err(|_| failed(nix::Error::EINVAL))?;
    let groups = getgrouplist(&name, Gid::from_raw(gid)).map_err(failed)?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_names_or_numbers() {
        assert_eq!(ids("+107:+64055").unwrap(), (107, 64055));
        assert_eq!(ids("root:root").unwrap(), (0, 0));
        assert_eq!(ids("107:64055").unwrap(), (107, 64055));
        assert_eq!(ids("root:+5").unwrap(), (0, 5));
        for label in [
            "",
            ":",
            "root",
            "root:",
            ":root",
            "+4294967295:+0",
            "+0:+4294967295",
            "+4294967296:+0",
            "0x10:0",
            "+:+",
            "++1:+1",
            "+-1:+1",
            "no such user:root",
            "+1:+1:+1",
            "+ 1:+1",
        ] {
            assert_eq!(ids(label).unwrap_err().errno(), libc::EINVAL, "{label}");
        }
    }

    #[test]
    fn ranges_are_checked() {
        let range: UidRange = "100000-100009".parse().unwrap();
        assert_eq!(range.size(), 10);
        for number in 0..10 {
            assert_eq!(range.number(range.key(number)), Some(number));
        }
        assert_eq!(range.number(Key::new(Class::Level, 100_000)), None);
        for text in ["", "1", "0-5", "5-4", "1-4294967295", "1-99999999", "a-b", "1-2-3", "+1-+2"] {
            assert_eq!(text.parse::<UidRange>().unwrap_err().errno(), libc::EINVAL, "{text}");
        }
    }
}
