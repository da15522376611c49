# SPDX-License-Identifier: MIT OR Apache-2.0
"""sVirt confinement from Python: a thin wrapper of libsvirt.so.0.

    with svirt.Manager("selinux,dac", {"dac.user": "qemu"}) as manager, svirt.Domain.from_xml(xml) as domain:
        with manager.confine(domain):
            guest = subprocess.Popen(qemu, preexec_fn=lambda: manager.set_process_label(domain))
            manager.check_process_label(domain, guest.pid)
            guest.wait()

Handles end with their `with` block or with close(). Labels do not: release and restore_all end those, in
this process or in another one (`confine` calls both). Every failure is an Error.
"""

import contextlib
import ctypes
import enum
import errno
import os
from ctypes import POINTER, byref, c_char, c_char_p, c_int, c_size_t, c_uint, c_void_p

__all__ = ["Domain", "Error", "Flag", "Image", "LogLevel", "Manager", "ProcessLabel", "Resource", "Seclabel",
           "set_log_handler", "version"]

Resource = enum.IntEnum("Resource", [*((name, number) for number, name in enumerate([
    "DISK", "KERNEL", "INITRD", "DTB", "ACPI_TABLE", "NVRAM", "LOADER", "HOSTDEV_USB", "HOSTDEV_PCI",
    "HOSTDEV_SCSI", "HOSTDEV_MDEV", "CHARDEV_FILE", "CHARDEV_PIPE", "CHARDEV_UNIX", "CHARDEV_DEVICE",
    "TPM_DEVICE", "TPM_STATE", "INPUT", "NVDIMM", "SHMEM", "FILESYSTEM", "RENDERNODE", "VHOST_USER_SOCKET",
    "SEV", "SGX", "HUGEPAGES", "FW_CFG", "SAVED_STATE"], 1)), ("TAP", 30),
    ("PRIVATE", 31)])
Flag = enum.IntFlag("Flag", ["READONLY", "SHARED", "BACKING", "NO_RELABEL"])
Seclabel = enum.IntEnum("Seclabel", ["DYNAMIC", "STATIC", "NONE"])
LogLevel = enum.IntEnum("LogLevel", ["DEBUG", "INFO", "WARNING"])
_RESTORE_MIGRATED = 1


class Error(OSError):
    """What the library could not do: errno, message and, where one is involved, path."""

    def __init__(self, number, message, path=None):
        super().__init__(number, message, path)

    @property
    def message(self):
        """What failed, on which path, and what to do."""
        return self.strerror

    @property
    def path(self):
        """The path that the error is about, or None."""
        return self.filename

    def __str__(self):
        return self.strerror


class _ProcessLabel(ctypes.Structure):
    _fields_ = [("label", c_char * 4097), ("enforcing", c_int)]


class _Image(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("path", c_char_p), ("model", c_char_p), ("original", c_char_p),
                ("label", c_char_p), ("holders", c_size_t), ("holder_uuids", POINTER(c_char_p))]


class ProcessLabel:
    """The live label of a process, and whether the kernel enforces it now."""

    def __init__(self, label, enforcing):
        self.label, self.enforcing = label, enforcing


class Image:
    """A labelled image: path, model, original (None: it had no label), label, holders (uuids)."""

    def __init__(self, raw):
        self.path, self.model = os.fsdecode(raw.path), raw.model.decode()
        self.original = raw.original and raw.original.decode()
        self.label = raw.label.decode()
        self.holders = [raw.holder_uuids[i].decode() for i in range(raw.holders)]


_VISIT = ctypes.CFUNCTYPE(c_int, POINTER(_Image), c_void_p)
_LOG = ctypes.CFUNCTYPE(None, c_int, c_char_p, c_void_p)
_library = ctypes.CDLL("libsvirt.so.0")


def _declare():
    handle, text, error = c_void_p, c_char_p, POINTER(c_void_p)
    both = [handle, handle]
    # Owned strings come as pointers: c_char_p would copy them and lose what must be freed.
    for name, result, arguments in [
        ("version", c_uint, []),
        ("string_free", None, [c_void_p]),
        ("set_log_handler", None, [_LOG, c_void_p]),
        ("error_message", text, [handle]),
        ("error_number", c_int, [handle]),
        ("error_path", text, [handle]),
        ("error_free", None, [handle]),
        ("options_new", handle, []),
        ("options_set", c_int, [handle, text, text, error]),
        ("options_free", None, [handle]),
        ("manager_open", c_int, [text, handle, error, error]),
        ("manager_close", None, [handle]),
        ("manager_model", c_void_p, [handle, c_size_t]),
        ("manager_doi", c_void_p, [handle, c_size_t]),
        ("manager_base_label", c_void_p, [handle, text, text]),
        ("manager_reconcile", c_int, [handle, POINTER(text), c_size_t, error]),
        ("manager_transaction_start", c_int, [handle, error]),
        ("manager_transaction_commit", c_int, [handle, c_int, error]),
        ("manager_transaction_abort", None, [handle]),
        ("manager_foreach_image", c_int, [handle, _VISIT, c_void_p]),
        ("domain_from_xml", c_int, [text, error, error]),
        ("domain_new", c_int, [text, text, text, error, error]),
        ("domain_add_resource", c_int, [handle, c_int, text, c_uint, error]),
        ("domain_set_seclabel", c_int, [handle, text, c_int, text, c_int, error]),
        ("domain_label", c_void_p, [handle, text]),
        ("domain_image_label", c_void_p, [handle, text]),
        ("domain_to_xml", c_void_p, [handle]),
        ("domain_free", None, [handle]),
        ("domain_gen_security_label", c_int, [*both, error]),
        ("domain_release_security_label", c_int, [*both, error]),
        ("domain_set_security_all_label", c_int, [*both, c_uint, error]),
        ("domain_restore_security_all_label", c_int, [*both, c_uint, error]),
        ("domain_set_security_process_label", c_int, both),
        ("domain_get_security_process_label", c_int, [*both, text, c_int, POINTER(_ProcessLabel), error]),
        ("domain_verify_security_label", c_int, [*both, error]),
        ("domain_reserve_security_label", c_int, [*both, c_int, error]),
        ("domain_check_security_process_label", c_int, [*both, c_int, error]),
        ("domain_set_security_resource_label", c_int, [*both, c_int, text, c_uint, error]),
        ("domain_restore_security_resource_label", c_int, [*both, c_int, text, c_uint, error]),
        ("domain_set_security_device_label", c_int, [*both, text, error]),
        ("domain_restore_security_device_label", c_int, [*both, text, error]),
        ("domain_move_image", c_int, [*both, text, text, error]),
        ("domain_set_security_fd_label", c_int, [*both, c_int, c_int, error]),
        ("domain_set_security_socket_label", c_int, [*both, error]),
        ("domain_set_security_daemon_socket_label", c_int, [*both, error]),
        ("domain_clear_security_socket_label", c_int, [*both, error]),
        ("domain_security_mount_options", c_void_p, both),
    ]:
        function = getattr(_library, "svirt_" + name)
        function.restype, function.argtypes = result, arguments


_declare()


def _bytes(value):
    if value is None:
        return None
    value = os.fsencode(value)
    if b"\0" in value:
        raise Error(errno.EINVAL, f"{value!r} has a NUL inside")
    return value


def _call(name, *arguments):
    """Calls a function whose last parameter is the error; gives its result when that is not negative."""
    error = c_void_p()
    result = getattr(_library, "svirt_" + name)(*arguments, byref(error))
    if result >= 0:
        return result
    try:
        path = _library.svirt_error_path(error)
        raise Error(_library.svirt_error_number(error), _library.svirt_error_message(error).decode(),
                    path and os.fsdecode(path))
    finally:
        _library.svirt_error_free(error)


def _string(name, *arguments):
    """Calls a function that hands out a string; None when there is none."""
    pointer = getattr(_library, "svirt_" + name)(*arguments)
    if not pointer:
        return None
    try:
        return os.fsdecode(ctypes.string_at(pointer))
    finally:
        _library.svirt_string_free(pointer)


def version():
    """The loaded library's version: (major, minor, patch)."""
    number = _library.svirt_version()
    return number >> 16, number >> 8 & 0xff, number & 0xff


_log_handler = _LOG()


def set_log_handler(handler):
    """Hands every message of the library to handler(LogLevel, text), on any thread; None ends that."""
    global _log_handler
    new = _LOG(lambda level, message, _: handler(LogLevel(level), message.decode())) if handler else _LOG()
    _library.svirt_set_log_handler(new, None)
    _log_handler = new  # the library calls it as long as it is installed


class _Handle:
    _free = None
    _pointer = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        self.close()

    def close(self):
        """Ends the handle; its labels stay. Closing twice is fine."""
        pointer, self._pointer = self._pointer, None
        if pointer:
            getattr(_library, self._free)(pointer)


class Domain(_Handle):
    """A guest and what it uses."""

    _free = "svirt_domain_free"

    def __init__(self, name, uuid, virt_type="kvm"):
        self._pointer = self._make("domain_new", name, str(uuid), virt_type)

    @classmethod
    def from_xml(cls, xml):
        """A guest from libvirt's domain XML, inactive or live."""
        domain = cls.__new__(cls)
        domain._pointer = cls._make("domain_from_xml", xml)
        return domain

    @staticmethod
    def _make(function, *texts):
        pointer = c_void_p()
        _call(function, *map(_bytes, texts), byref(pointer))
        return pointer.value

    def add_resource(self, kind, path, flags=0):
        """Adds a file or device before the guest is labelled."""
        _call("domain_add_resource", self._pointer, kind, _bytes(path), flags)

    def set_seclabel(self, model=None, kind=Seclabel.DYNAMIC, label=None, relabel=None):
        """Says how a model labels the guest; model None is the primary driver."""
        if relabel is None:
            relabel = kind == Seclabel.DYNAMIC
        _call("domain_set_seclabel", self._pointer, _bytes(model), kind, _bytes(label), int(relabel))

    def label(self, model=None):
        """The label of the guest's process; None when it has none (yet)."""
        return _string("domain_label", self._pointer, _bytes(model))

    def image_label(self, model=None):
        """The label of the guest's private images; None when it has none (yet)."""
        return _string("domain_image_label", self._pointer, _bytes(model))

    def to_xml(self):
        """The guest as XML with its live labels, for from_xml() in another process."""
        return _string("domain_to_xml", self._pointer)


class Manager(_Handle):
    """A stack of drivers, such as "selinux,dac"; None is what this host enforces."""

    _free = "svirt_manager_close"

    def __init__(self, drivers=None, options=None):
        raw = _library.svirt_options_new()
        try:
            for name, value in (options or {}).items():
                value = {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value
                _call("options_set", raw, _bytes(name), _bytes(value))
            pointer = c_void_p()
            _call("manager_open", _bytes(drivers), raw, byref(pointer))
            self._pointer = pointer.value
        finally:
            _library.svirt_options_free(raw)

    @contextlib.contextmanager
    def confine(self, domain, pid=None):
        """The whole life of a guest: its label and its files are given back at the end of the block.

        With a pid the guest is alive already and is taken over instead of being labelled anew.
        """
        if pid is None:
            self.gen_label(domain)
        else:
            self.reserve_label(domain, pid)
        try:
            if pid is None:
                self.set_all_label(domain)
            yield domain
        finally:
            try:
                self.restore_all_label(domain)
            finally:
                self.release_label(domain)

    def models(self):
        """The models of the stack, the primary one first."""
        models = iter(range(16))
        return list(iter(lambda: _string("manager_model", self._pointer, next(models)), None))

    def doi(self, index=0):
        """The domain of interpretation of a driver; None past the last one."""
        return _string("manager_doi", self._pointer, index)

    def base_label(self, model=None, virt_type="kvm"):
        """What a guest of this type gets before anything of its own is put in."""
        return _string("manager_base_label", self._pointer, _bytes(model), _bytes(virt_type))

    def gen_label(self, domain):
        """Makes the domain's labels."""
        _call("domain_gen_security_label", self._pointer, domain._pointer)

    def release_label(self, domain):
        """Lets others have the domain's labels; goes by its uuid."""
        _call("domain_release_security_label", self._pointer, domain._pointer)

    def reserve_label(self, domain, pid):
        """Takes over a living domain after the daemon was started again."""
        _call("domain_reserve_security_label", self._pointer, domain._pointer, pid)

    def verify_label(self, domain):
        """Raises unless every label that was given can be applied on this host."""
        _call("domain_verify_security_label", self._pointer, domain._pointer)

    def set_all_label(self, domain):
        """Labels everything that the domain uses, or nothing."""
        _call("domain_set_security_all_label", self._pointer, domain._pointer, 0)

    def restore_all_label(self, domain, migrated=False):
        """Gives back everything that the domain holds."""
        flags = _RESTORE_MIGRATED if migrated else 0
        _call("domain_restore_security_all_label", self._pointer, domain._pointer, flags)

    def set_resource_label(self, domain, kind, path, flags=0):
        """Labels one resource of a running domain, and adds it."""
        _call("domain_set_security_resource_label", self._pointer, domain._pointer, kind, _bytes(path), flags)

    def restore_resource_label(self, domain, kind, path, flags=0):
        """Gives back one resource, and takes it out of the domain."""
        _call("domain_restore_security_resource_label", self._pointer, domain._pointer, kind, _bytes(path), flags)

    def set_device_label(self, domain, xml):
        """Labels a whole device of a running domain, given as libvirt's XML of it, and adds it."""
        _call("domain_set_security_device_label", self._pointer, domain._pointer, _bytes(xml))

    def restore_device_label(self, domain, xml):
        """Gives back a whole device, given as for set_device_label(), and takes it out of the domain."""
        _call("domain_restore_security_device_label", self._pointer, domain._pointer, _bytes(xml))

    def set_process_label(self, domain):
        """The child step, for preexec_fn: raises, so that the exec does not happen, when it fails."""
        result = _library.svirt_domain_set_security_process_label(self._pointer, domain._pointer)
        if result < 0:
            raise Error(-result, f"the guest's label cannot be applied: {os.strerror(-result)}")

    def process_label(self, pid, model=None):
        """The live label of a process."""
        label = _ProcessLabel()
        _call("domain_get_security_process_label", self._pointer, None, _bytes(model), pid, byref(label))
        return ProcessLabel(label.label.decode(), bool(label.enforcing))

    def check_process_label(self, domain, pid):
        """Raises unless the process really has every label of its domain."""
        _call("domain_check_security_process_label", self._pointer, domain._pointer, pid)

    def mount_options(self, domain):
        """What a file system mounted for the domain needs among its options; may be empty."""
        return _string("domain_security_mount_options", self._pointer, domain._pointer)

    def move_image(self, domain, source, target):
        """After a block copy: what is remembered moves to the new image."""
        _call("domain_move_image", self._pointer, domain._pointer, _bytes(source), _bytes(target))

    def set_fd_label(self, domain, fd, kind):
        """Labels what an open descriptor refers to."""
        _call("domain_set_security_fd_label", self._pointer, domain._pointer, fd, kind)

    def set_socket_label(self, domain):
        """Sockets that this thread makes from now on are the guest's."""
        _call("domain_set_security_socket_label", self._pointer, domain._pointer)

    def set_daemon_socket_label(self, domain):
        """Sockets that this thread makes from now on are the daemon's, for the guest to connect to."""
        _call("domain_set_security_daemon_socket_label", self._pointer, domain._pointer)

    def clear_socket_label(self, domain):
        """Sockets that this thread makes from now on are ordinary again."""
        _call("domain_clear_security_socket_label", self._pointer, domain._pointer)

    @contextlib.contextmanager
    def transaction(self, pid=-1):
        """What this thread labels in the block is done at its end, in the mount namespace of `pid`."""
        _call("manager_transaction_start", self._pointer)
        try:
            yield
        except BaseException:
            _library.svirt_manager_transaction_abort(self._pointer)
            raise
        _call("manager_transaction_commit", self._pointer, pid)

    def reconcile(self, live_uuids):
        """Ends everything of this owner's domains except the living ones; gives how many ended."""
        uuids = [str(uuid).encode() for uuid in live_uuids]
        array = (c_char_p * len(uuids))(*uuids)
        return _call("manager_reconcile", self._pointer, array, len(uuids))

    def images(self):
        """All images that this process has labelled."""
        images = []
        visit = _VISIT(lambda image, _: images.append(Image(image.contents)) or 0)
        _library.svirt_manager_foreach_image(self._pointer, visit, None)
        return images
