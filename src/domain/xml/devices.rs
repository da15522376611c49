//! What stands below `<devices>`, in the order in which it stands there.

use super::chardev::{chardev, seclabels};
use super::disk::disk;
use super::hostdev::{hostdev, interface};
use super::os::host_device;
use super::{at, child, children, content, given, resource, word};
use crate::domain::{Flags, Kind, Resource, Uuid};
use crate::error::Result;
use roxmltree::Node;

/// Adds everything; elements that name no file of the host are passed over.
pub(super) fn read(domain: Node<'_, '_>, uuid: Uuid, name: &str, into: &mut Vec<Resource>) -> Result<()> {
    let Some(devices) = child(domain, "devices") else { return Ok(()) };
    let libvirts = |node: &Node<'_, '_>| node.is_element() && node.tag_name().namespace().is_none();
    devices.children().filter(libvirts).try_for_each(|node| read_device(node, uuid, name, into))
}

/// Adds what one device of the domain with this uuid and name consists of.
pub(super) fn read_device(
    node: Node<'_, '_>,
    uuid: Uuid,
    name: &str,
    into: &mut Vec<Resource>,
) -> Result<()> {
    match node.tag_name().name() {
        "disk" => disk(node, into)?,
        "hostdev" => into.extend(hostdev(node)?),
        "interface" => into.extend(network(node)?),
        "serial" | "parallel" | "console" | "channel" | "redirdev" => chardev(node, into)?,
        "smartcard" => smartcard(node, into)?,
        "rng" => rng(node, into)?,
        "tpm" => tpm(node, uuid, name, into)?,
        "input" => into.extend(input(node)?),
        "memory" => memory(node, into)?,
        "shmem" => into.extend(shmem(node)?),
        "vsock" => into.push(host_device(node, Kind::ChardevDevice, "/dev/vhost-vsock")?),
        "filesystem" => into.extend(filesystem(node)?),
        "graphics" => graphics(node, into)?,
        "video" => {
            for acceleration in children(node, "model").filter_map(|model| child(model, "acceleration")) {
                rendernode(acceleration, into)?;
            }
        }
        "pstore" => {
            into.extend(text(node, "path", Kind::Nvram, Flags::default())?);
        }
        _ => {}
    }
    Ok(())
}

/// A path that is the text of a child.
fn text(node: Node<'_, '_>, name: &str, kind: Kind, flags: Flags) -> Result<Option<Resource>> {
    let named = child(node, name).map(|node| (node, content(node))).filter(|(_, path)| !path.is_empty());
    named.map(|(node, path)| resource(node, kind, &path, flags)).transpose()
}

/// A path that is an attribute of the source, whose seclabels it has.
fn attribute(source: Node<'_, '_>, name: &str, kind: Kind, flags: Flags) -> Result<Option<Resource>> {
    let seclabels = seclabels(source)?;
    let Some(path) = given(source, name) else { return Ok(None) };
    Ok(Some(Resource { seclabels, ..resource(source, kind, path, flags)? }))
}

fn network(node: Node<'_, '_>) -> Result<Option<Resource>> {
    let Some(source) = child(node, "source") else { return Ok(None) };
    match node.attribute("type") {
        Some("vhostuser") => attribute(source, "path", Kind::VhostUserSocket, Flags::default()),
        Some("hostdev") => interface(node, source),
        _ => Ok(None),
    }
}

fn smartcard(node: Node<'_, '_>, into: &mut Vec<Resource>) -> Result<()> {
    match word(node, "mode", &["host", "host-certificates", "passthrough"])? {
        Some("host-certificates") => {
            let readonly = Flags { readonly: true, ..Flags::default() };
            let named = text(node, "database", Kind::Smartcard, readonly)?;
            into.push(match named {
                Some(database) => database,
                None => {
                    // Where certificates are looked for when no database is named.
                    let usual = resource(node, Kind::Smartcard, "/etc/pki/nssdb", readonly)?;
                    Resource { optional: true, ..usual }
                }
            });
            Ok(())
        }
        Some("passthrough") => chardev(node, into),
        Some(_) => Ok(()),
        None => Err(at(node, "<smartcard> has no mode")),
    }
}

fn rng(node: Node<'_, '_>, into: &mut Vec<Resource>) -> Result<()> {
    let Some(backend) = child(node, "backend") else { return Ok(()) };
    match word(backend, "model", &["random", "egd", "builtin"])? {
        Some("egd") => chardev(backend, into),
        Some("random") => {
            // A source of the host that everybody may read.
            let path = Some(content(backend)).filter(|path| !path.is_empty());
            let flags = Flags { readonly: true, no_relabel: true, ..Flags::default() };
            into.extend(path.map(|path| resource(backend, Kind::ChardevDevice, &path, flags)).transpose()?);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn tpm(node: Node<'_, '_>, uuid: Uuid, name: &str, into: &mut Vec<Resource>) -> Result<()> {
    let backend = child(node, "backend").ok_or_else(|| at(node, "<tpm> has no <backend>"))?;
    let of_source = |name, kind| match child(backend, "source") {
        Some(source) => attribute(source, name, kind, Flags::default()),
        None => Ok(None),
    };
    match word(backend, "type", &["passthrough", "emulator", "external"])? {
        Some("passthrough") => {
            let path = child(backend, "device").and_then(|device| given(device, "path"));
            into.push(resource(backend, Kind::TpmDevice, path.unwrap_or("/dev/tpm0"), Flags::default())?);
        }
        Some("emulator") => {
            // Where libvirt keeps state and log; made when the emulator starts for the first time.
            let version = match word(backend, "version", &["1.2", "2.0", "default"])? {
                Some("1.2") => "tpm1.2",
                _ => "tpm2",
            };
            let made = |path: &str| -> Result<Resource> {
                let state = resource(backend, Kind::TpmState, path, Flags::default())?;
                Ok(Resource { optional: true, ..state })
            };
            into.push(match of_source("path", Kind::TpmState)? {
                Some(named) => Resource { optional: true, ..named },
                None => made(&format!("/var/lib/libvirt/swtpm/{uuid}/{version}"))?,
            });
            // A name with a slash in it is none that a log can have.
            if !name.contains('/') {
                into.push(made(&format!("/var/log/swtpm/libvirt/qemu/{name}-swtpm.log"))?);
            }
        }
        Some("external") => into.extend(of_source("path", Kind::ChardevUnix)?),
        _ => return Err(at(backend, "a TPM's <backend> has no type")),
    }
    Ok(())
}

fn input(node: Node<'_, '_>) -> Result<Option<Resource>> {
    let Some(source) = child(node, "source") else { return Ok(None) };
    match node.attribute("type") {
        Some("evdev") => attribute(source, "dev", Kind::Input, Flags::default()),
        Some("passthrough") => attribute(source, "evdev", Kind::Input, Flags::default()),
        _ => Ok(None),
    }
}

fn memory(node: Node<'_, '_>, into: &mut Vec<Resource>) -> Result<()> {
    match word(node, "model", &["dimm", "nvdimm", "virtio-pmem", "virtio-mem", "sgx-epc"])? {
        Some("nvdimm" | "virtio-pmem") => {
            let source = child(node, "source").ok_or_else(|| at(node, "<memory> has no <source>"))?;
            let readonly = child(node, "target").is_some_and(|target| child(target, "readonly").is_some());
            let module = text(source, "path", Kind::Nvdimm, Flags { readonly, ..Flags::default() })?;
            into.push(module.ok_or_else(|| at(source, "<source> has no <path>"))?);
        }
        Some("sgx-epc") => {
            for path in ["/dev/sgx_vepc", "/dev/sgx_provision"] {
                let node = host_device(node, Kind::Sgx, path)?;
                if !into.contains(&node) {
                    into.push(node);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Memory that guests share by its name, or the socket of the server that hands it out.
fn shmem(node: Node<'_, '_>) -> Result<Option<Resource>> {
    let name = super::needed(node, "name")?;
    if name.contains('/') || matches!(name, "." | "..") {
        return Err(at(node, &format!("name={name:?} is not a name for shared memory")));
    }
    let shared = Flags { shared: true, ..Flags::default() };
    let model = match child(node, "model") {
        Some(model) => word(model, "type", &["ivshmem", "ivshmem-plain", "ivshmem-doorbell"])?,
        None => None,
    };
    let server = child(node, "server");
    if server.is_some() || model == Some("ivshmem-doorbell") {
        let usual = format!("/var/lib/libvirt/shmem-{name}-sock");
        let node = server.unwrap_or(node);
        let path = given(node, "path").unwrap_or(&usual);
        return resource(node, Kind::ChardevUnix, path, shared).map(Some);
    }
    resource(node, Kind::Shmem, &format!("/dev/shm/{name}"), shared).map(Some)
}

fn filesystem(node: Node<'_, '_>) -> Result<Option<Resource>> {
    let Some(source) = child(node, "source") else { return Ok(None) };
    let flags = Flags { readonly: child(node, "readonly").is_some(), ..Flags::default() };
    if let Some(path) = given(source, "socket") {
        return resource(source, Kind::VhostUserSocket, path, Flags::default()).map(Some);
    }
    let name = match node.attribute("type") {
        None | Some("mount" | "bind") => "dir",
        Some("file") => "file",
        Some("block") => "dev",
        _ => return Ok(None),
    };
    attribute(source, name, Kind::Filesystem, flags)
}

fn rendernode(node: Node<'_, '_>, into: &mut Vec<Resource>) -> Result<()> {
    let Some(path) = given(node, "rendernode") else { return Ok(()) };
    let device = host_device(node, Kind::Rendernode, path)?;
    if !into.contains(&device) {
        into.push(device);
    }
    Ok(())
}

fn graphics(node: Node<'_, '_>, into: &mut Vec<Resource>) -> Result<()> {
    if let Some(gl) = child(node, "gl") {
        rendernode(gl, into)?;
    }
    // The emulator makes the socket when it starts.
    let listens = children(node, "listen").filter(|listen| listen.attribute("type") == Some("socket"));
    for place in std::iter::once(node).chain(listens) {
        if let Some(socket) = attribute(place, "socket", Kind::ChardevUnix, Flags::default())?
            && !into.contains(&socket)
        {
            into.push(socket);
        }
    }
    Ok(())
}
