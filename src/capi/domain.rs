//! Domains: guests and what they use.

use super::guard::{guard, quiet};
use super::manager::out;
use super::{handle, optional_text, string, svirt_error, text};
use crate::domain::{Definition, Domain, Flags, Kind, Resource, Seclabel, SeclabelType, xml};
use crate::error::{Error, Result};
use std::ffi::{c_char, c_int, c_uint};
use std::path::Path;
use std::ptr;

/// A guest. Owned by the caller; ends with svirt_domain_free(). May be used by any number of threads, but
/// must not be released or freed while a child between fork and exec still needs its label.
pub struct svirt_domain(pub(super) Domain);

/// A label that the library makes; `label` of svirt_domain_set_seclabel() is its base label, or NULL.
pub const SVIRT_SECLABEL_DYNAMIC: c_int = 1;
/// A label that the caller gives.
pub const SVIRT_SECLABEL_STATIC: c_int = 2;
/// The guest is not confined by this model.
pub const SVIRT_SECLABEL_NONE: c_int = 3;

/// A disk image or block device, or with SVIRT_FLAG_BACKING one layer below it; a directory is left alone.
pub const SVIRT_RESOURCE_DISK: c_int = 1;
/// A kernel started directly.
pub const SVIRT_RESOURCE_KERNEL: c_int = 2;
/// Its initial RAM disk.
pub const SVIRT_RESOURCE_INITRD: c_int = 3;
/// A device tree.
pub const SVIRT_RESOURCE_DTB: c_int = 4;
/// An ACPI table.
pub const SVIRT_RESOURCE_ACPI_TABLE: c_int = 5;
/// The firmware's variable store.
pub const SVIRT_RESOURCE_NVRAM: c_int = 6;
/// The firmware itself, whose file is never changed.
pub const SVIRT_RESOURCE_LOADER: c_int = 7;
/// A USB device: its node /dev/bus/usb/BUS/DEVICE, or its directory in sysfs.
pub const SVIRT_RESOURCE_HOSTDEV_USB: c_int = 8;
/// A PCI device: through VFIO the node of its IOMMU group, /dev/vfio/GROUP; else its directory in sysfs, whose
/// files config, resource*, rom and reset are meant.
pub const SVIRT_RESOURCE_HOSTDEV_PCI: c_int = 9;
/// A SCSI device: its node /dev/sgN, or its directory in sysfs; or /dev/vhost-scsi.
pub const SVIRT_RESOURCE_HOSTDEV_SCSI: c_int = 10;
/// A mediated device: the node of its IOMMU group, or its directory in sysfs.
pub const SVIRT_RESOURCE_HOSTDEV_MDEV: c_int = 11;
/// A file that a character device writes to; it must be there.
pub const SVIRT_RESOURCE_CHARDEV_FILE: c_int = 12;
/// A FIFO, or the pair `PATH.in` and `PATH.out` when both are there.
pub const SVIRT_RESOURCE_CHARDEV_PIPE: c_int = 13;
/// A UNIX socket; one that is not there yet is left out.
pub const SVIRT_RESOURCE_CHARDEV_UNIX: c_int = 14;
/// A character device of the host.
pub const SVIRT_RESOURCE_CHARDEV_DEVICE: c_int = 15;
/// A TPM of the host: its node /dev/tpmN; the file in sysfs that cancels its commands comes with it.
pub const SVIRT_RESOURCE_TPM_DEVICE: c_int = 16;
/// The state of an emulated TPM: its directory with the files in it, not deeper; or one file, such as its log.
pub const SVIRT_RESOURCE_TPM_STATE: c_int = 17;
/// An input device of the host.
pub const SVIRT_RESOURCE_INPUT: c_int = 18;
/// A file behind a persistent memory module.
pub const SVIRT_RESOURCE_NVDIMM: c_int = 19;
/// Shared memory, /dev/shm/NAME, or the socket of its server; left out when not there yet.
pub const SVIRT_RESOURCE_SHMEM: c_int = 20;
/// A directory shared with the guest: rules and rulesets have everything below it, no label is changed.
pub const SVIRT_RESOURCE_FILESYSTEM: c_int = 21;
/// A DRM render node; left out where there is none.
pub const SVIRT_RESOURCE_RENDERNODE: c_int = 22;
/// A vhost-user socket; one that is not there yet is left out.
pub const SVIRT_RESOURCE_VHOST_USER_SOCKET: c_int = 23;
/// The SEV device; left out where there is none.
pub const SVIRT_RESOURCE_SEV: c_int = 24;
/// An SGX node, /dev/sgx_vepc or /dev/sgx_provision; left out where there is none.
pub const SVIRT_RESOURCE_SGX: c_int = 25;
/// A directory on hugetlbfs: rules and rulesets have everything below it, no label is changed.
pub const SVIRT_RESOURCE_HUGEPAGES: c_int = 26;
/// A file handed over through fw_cfg.
pub const SVIRT_RESOURCE_FW_CFG: c_int = 27;
/// A saved guest that is being written or read.
pub const SVIRT_RESOURCE_SAVED_STATE: c_int = 28;
/// A file or folder that the daemon made for this guest alone.
pub const SVIRT_RESOURCE_PRIVATE: c_int = 31;
/// The guest only reads it.
pub const SVIRT_FLAG_READONLY: c_uint = 1;
/// Several guests may write it at the same time.
pub const SVIRT_FLAG_SHARED: c_uint = 2;
/// It is a layer below the top image of its chain.
pub const SVIRT_FLAG_BACKING: c_uint = 4;
/// It keeps the label it has.
pub const SVIRT_FLAG_NO_RELABEL: c_uint = 8;

/// A guest from libvirt's domain XML, inactive or live; what the library does not need is ignored.
///
/// Errors: EINVAL malformed XML (with line and column), no name, uuid or type, seclabels that make no
/// sense. *domain is NULL then. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_from_xml(
    xml: *const c_char,
    domain: *mut *mut svirt_domain,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let place = out(domain, "place for the domain")?;
            let definition = xml::from_xml(text(xml, "XML")?)?;
            *place = Box::into_raw(Box::new(svirt_domain(Domain::new(definition))));
            Ok(0)
        })
    }
}

/// A guest without XML; resources and seclabels are added by calls. `virt_type` is kvm, qemu, lxc, ….
///
/// Errors: EINVAL for a name, uuid or type that is none. *domain is NULL then. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_new(
    name: *const c_char,
    uuid: *const c_char,
    virt_type: *const c_char,
    domain: *mut *mut svirt_domain,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let place = out(domain, "place for the domain")?;
            let uuid = text(uuid, "uuid")?.parse()?;
            let definition = Definition::new(text(name, "name")?, uuid, text(virt_type, "type")?)?;
            *place = Box::into_raw(Box::new(svirt_domain(Domain::new(definition))));
            Ok(0)
        })
    }
}

/// A resource out of C's arguments.
///
/// # Safety
/// `path` is NULL or a string that ends in NUL.
pub(super) unsafe fn resource(kind: c_int, path: *const c_char, flags: c_uint) -> Result<Resource> {
    let (kind, flags) = (Kind::from_number(kind)?, Flags::from_bits(flags)?);
    // SAFETY: as the caller promises.
    Resource::new(kind, Path::new(unsafe { text(path, "path")? }), flags)
}

/// Adds a file or device to a guest that has not been labelled yet (for a running one there is
/// svirt_domain_set_security_resource_label()). `kind` is SVIRT_RESOURCE_* and says what `path` means; `flags`
/// SVIRT_FLAG_*. Nodes and directories in sysfs are looked at when labels are set, not now. The layers of an
/// image must be added one by one; only XML that calls an image qcow2 has its header followed.
///
/// Errors: EINVAL unknown kind or flag; a path that is relative or has control characters.
/// Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_add_resource(
    domain: *mut svirt_domain,
    kind: c_int,
    path: *const c_char,
    flags: c_uint,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let domain = handle(domain, "domain")?;
            let resource = resource(kind, path, flags)?;
            domain.0.lock()?.resources.push(resource);
            Ok(0)
        })
    }
}

/// Says how a model labels the guest, instead of what was said before. `model` NULL: the primary driver;
/// `type` is SVIRT_SECLABEL_*; `label` is the label of a static seclabel, the base label of a dynamic one
/// or NULL; `relabel` 1 or 0 (dynamic needs 1, none needs 0).
///
/// Errors: EINVAL for what makes no sense together; EALREADY when the guest has its label already.
/// Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_set_seclabel(
    domain: *mut svirt_domain,
    model: *const c_char,
    r#type: c_int,
    label: *const c_char,
    relabel: c_int,
    error: *mut *mut svirt_error,
) -> c_int {
    // SAFETY: pointers by contract.
    unsafe {
        guard(error, || {
            let domain = handle(domain, "domain")?;
            let kind = SeclabelType::from_number(r#type)?;
            let relabel = match relabel {
                0 => false,
                1 => true,
                other => return Err(Error::invalid(format!("relabel is {other}, not 0 or 1"))),
            };
            let (model, label) = (optional_text(model, "model")?, optional_text(label, "label")?);
            let seclabel = Seclabel::new(model, kind, label, Some(relabel))?;
            let definition = &mut *domain.0.lock()?;
            match definition.seclabels.iter_mut().find(|other| other.model == seclabel.model) {
                Some(other) if other.live => Err(Error::new(
                    libc::EALREADY,
                    format!("domain {} has its label already; release it first", definition.name),
                )),
                Some(other) => {
                    *other = seclabel;
                    Ok(0)
                }
                None => definition.add_seclabel(seclabel).map(|()| 0),
            }
        })
    }
}

/// The label of the guest's process for a model (NULL: the first); NULL when it has none (yet). The caller
/// frees it with svirt_string_free(). Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_label(
    domain: *const svirt_domain,
    model: *const c_char,
) -> *mut c_char {
    // SAFETY: pointers by contract.
    quiet(ptr::null_mut(), || string(unsafe { of_model(domain, model, |s| s.label.clone()) }))
}

/// The label of the guest's private images for a model (NULL: the first); NULL when it has none (yet).
/// The caller frees it with svirt_string_free(). Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_image_label(
    domain: *const svirt_domain,
    model: *const c_char,
) -> *mut c_char {
    // SAFETY: pointers by contract.
    quiet(ptr::null_mut(), || string(unsafe { of_model(domain, model, |s| s.image_label.clone()) }))
}

/// # Safety
/// Both pointers by contract.
unsafe fn of_model(
    domain: *const svirt_domain,
    model: *const c_char,
    get: impl Fn(&Seclabel) -> Option<String>,
) -> Option<String> {
    // SAFETY: as the caller promises.
    let (domain, model) = unsafe { (domain.as_ref()?, optional_text(model, "model").ok()?) };
    let definition = domain.0.lock().ok()?;
    match model {
        Some(model) => get(definition.seclabel(model)?),
        None => get(definition.seclabels.first()?),
    }
}

/// The guest as XML, with its live seclabels and the resources added by calls; a domain made from XML
/// keeps everything else of it. svirt_domain_from_xml() reads it back, also in another process. NULL when
/// memory is short. The caller frees it with svirt_string_free(). Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_to_xml(domain: *const svirt_domain) -> *mut c_char {
    // SAFETY: NULL or a live domain, by contract.
    let domain = unsafe { domain.as_ref() };
    quiet(ptr::null_mut(), || {
        let definition = domain.and_then(|domain| domain.0.lock().ok());
        string(definition.and_then(|definition| xml::to_xml(&definition).ok()))
    })
}

/// Ends a handle. The guest's label and images stay held: only release and restore end that. NULL is
/// fine; freeing twice is undefined. Between fork and exec: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn svirt_domain_free(domain: *mut svirt_domain) {
    // SAFETY: NULL or a live domain, by contract.
    unsafe { super::free(domain) }
}
