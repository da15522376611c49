# SPDX-License-Identifier: MIT OR Apache-2.0
"""What needs a kernel that enforces AppArmor; runs inside the booted one, as root.

The guests are guest-probe, under a name that profiles take for an emulator's.
"""

import contextlib
import errno
import glob
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

import svirt
from svirt import Flag, Resource

A, B = "0b15ad3c-11f4-4b0c-a8e2-00000000000a", "0b15ad3c-11f4-4b0c-a8e2-00000000000b"
PROBE = "/usr/bin/qemu-system-probe"
TEMPLATE = "/etc/apparmor.d/svirt/TEMPLATE.qemu"
KERNEL = "/sys/kernel/security/apparmor/"
REFUSED = errno.EACCES


def loaded():
    with open(KERNEL + "profiles") as profiles:
        return dict(re.fullmatch(r"(.*) \((\w+)\)", line.rstrip("\n")).groups() for line in profiles)


def revision():
    with open(KERNEL + "revision") as file:
        return file.readline()


def read(path):
    with open(path) as file:
        return file.read()


class Guest:
    """A living guest: tries things, and says with which errno they end."""

    def __init__(self, manager, domain):
        self.process = subprocess.Popen([PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        preexec_fn=lambda: manager.set_process_label(domain))
        self.pid = self.process.pid

    def __call__(self, what, path):
        self.process.stdin.write(os.fsencode(f"{what}{path}") + b"\0")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Qemu:
    """A real emulator without a machine, talked to through QMP."""

    def __init__(self, **options):
        self.process = subprocess.Popen(
            ["/usr/bin/qemu-system-x86_64", "-machine", "none", "-accel", "tcg", "-nodefaults", "-display", "none",
             "-qmp", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        self.events = []
        self.pid = self.process.pid
        self.process.stdout.readline()
        self("qmp_capabilities")

    def read(self):
        return json.loads(self.process.stdout.readline())

    def __call__(self, command, **arguments):
        """The error's text, or None."""
        self.process.stdin.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self.process.stdin.flush()
        while True:
            answer = self.read()
            if "event" not in answer:
                return answer.get("error", {}).get("desc")
            self.events.append(answer["event"])

    def wait_for(self, event):
        while event not in self.events:
            self.events.append(self.read().get("event"))

    def add(self, driver, name, path, read_only=False, **more):
        file = {"driver": "file", "filename": path, "auto-read-only": True}
        return self("blockdev-add", **{"driver": driver, "node-name": name, "read-only": read_only, "file": file, **more})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self("quit")
        self.process.communicate()


class Apparmor(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(dir="/var/lib")
        self.addCleanup(shutil.rmtree, self.folder)
        self.profiles = os.path.join(self.folder, "profiles")

    def open(self, drivers="apparmor", **options):
        options = {name.replace("__", "."): value for name, value in options.items()}
        return svirt.Manager(drivers, {"runtime_dir": self.folder + "/run", "apparmor.profile_dir": self.profiles,
                                       **options})

    def file(self, name, text="content"):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o600)
        return path

    def texts(self):
        return {name: read(os.path.join(self.profiles, name)) for name in os.listdir(self.profiles)}

    def domain(self, uuid, *disks, name="guest"):
        domain = svirt.Domain(name, uuid)
        self.addCleanup(domain.close)
        for disk in disks:
            domain.add_resource(Resource.DISK, *(disk if isinstance(disk, tuple) else (disk,)))
        return domain

    @contextlib.contextmanager
    def running(self, manager, domain):
        with manager.confine(domain), Guest(manager, domain) as guest:
            manager.check_process_label(domain, guest.pid)
            yield guest

    def assertRunsAs(self, manager, guest, label, enforcing=True):
        live = manager.process_label(guest.pid)
        self.assertEqual((live.label, live.enforcing), (label, enforcing))

    def fails(self, number):
        @contextlib.contextmanager
        def failing():
            with self.assertRaises(svirt.Error) as caught:
                yield caught
            self.assertEqual(caught.exception.errno, number, str(caught.exception))
        return failing()

    def test_guests_are_kept_from_each_other_and_from_the_host(self):
        disks = self.file("a"), self.file("b")
        iso = self.file("iso"), Flag.READONLY
        with self.open() as manager:
            first, second = self.domain(A, disks[0], iso), self.domain(B, disks[1], iso)
            with self.running(manager, first) as a, self.running(manager, second) as b:
                self.assertRunsAs(manager, a, f"libvirt-{A}")
                self.assertEqual(first.image_label(), f"libvirt-{A}")
                for guest, own, other in (a, *disks), (b, *reversed(disks)):
                    with self.subTest(own):
                        self.assertEqual((guest("r", own), guest("w", own)), (0, 0))
                        self.assertEqual((guest("r", other), guest("w", other)), (REFUSED, REFUSED))
                        self.assertEqual((guest("r", iso[0]), guest("w", iso[0])), (0, REFUSED))
                        self.assertEqual(guest("r", "/etc/shadow"), REFUSED)
                        self.assertEqual(guest("l", self.folder), REFUSED)
                        self.assertEqual(guest("x", "/bin/true"), REFUSED)
                        self.assertEqual(guest("k", str(os.getpid())), REFUSED)
                self.assertEqual(a("k", str(b.pid)), REFUSED)
            self.assertNotIn(f"libvirt-{A}", loaded())
            self.assertEqual(os.listdir(self.profiles), [])
            manager.release_label(first)

    def test_disks_are_plugged_and_unplugged(self):
        disk, more = self.file("disk"), self.file("more")
        with self.open() as manager:
            domain = self.domain(A, disk)
            with self.running(manager, domain) as guest:
                self.assertEqual(guest("w", more), REFUSED)
                manager.set_resource_label(domain, Resource.DISK, more)
                self.assertEqual((guest("w", more), guest("w", disk)), (0, 0))
                manager.restore_resource_label(domain, Resource.DISK, more)
                self.assertEqual((guest("r", more), guest("w", disk)), (REFUSED, 0))
                with self.fails(errno.ENOENT) as caught:
                    manager.set_resource_label(domain, Resource.DISK, disk + ".missing")
                self.assertEqual(caught.exception.path, disk + ".missing")
                os.unlink(disk)
                manager.set_resource_label(domain, Resource.DISK, more)
                self.assertEqual(guest("w", more), 0)

    def test_files_that_are_handed_over_open_are_named(self):
        disk, read, written = self.file("disk"), self.file("read"), self.file("written")
        with self.open() as manager:
            domain = self.domain(A, disk)
            with self.running(manager, domain) as guest:
                for path, flags in [(read, os.O_RDONLY), (written, os.O_RDWR)]:
                    fd = os.open(path, flags)
                    manager.set_fd_label(domain, fd, Resource.DISK)
                    os.close(fd)
                self.assertEqual((guest("r", read), guest("w", read), guest("w", written)), (0, REFUSED, 0))
                # What has no name cannot be in a profile.
                ends = os.pipe()
                manager.set_fd_label(domain, ends[1], Resource.CHARDEV_PIPE)
                for end in ends:
                    os.close(end)

    def test_a_backing_file_is_written_when_asked_for(self):
        top, base = self.file("top"), self.file("base")
        with self.open() as manager:
            domain = self.domain(A, top, (base, Flag.BACKING | Flag.READONLY))
            with self.running(manager, domain) as guest:
                self.assertEqual((guest("r", base), guest("w", base)), (0, REFUSED))
                manager.set_resource_label(domain, Resource.DISK, base)
                self.assertEqual(guest("w", base), 0)
                manager.restore_resource_label(domain, Resource.DISK, base)
                self.assertEqual((guest("r", base), guest("w", base)), (0, REFUSED))

    def test_a_real_emulator_plugs_a_disk_and_commits_a_layer(self):
        base, top, more = (os.path.join(self.folder, name) for name in ("base", "top,\u00fc", "more?*"))
        for make in ["-f", "qcow2", base, "1M"], ["-f", "qcow2", "-b", base, "-F", "qcow2", top], ["-f", "raw", more, "1M"]:
            subprocess.run(["qemu-img", "create", "-q", *make], check=True)
        with self.open() as manager:
            domain = self.domain(A, top, (base, Flag.BACKING | Flag.READONLY))
            with manager.confine(domain), Qemu(preexec_fn=lambda: manager.set_process_label(domain)) as qemu:
                manager.check_process_label(domain, qemu.pid)
                self.assertIn("Permission denied", qemu.add("raw", "more", more))
                manager.set_resource_label(domain, Resource.DISK, more)
                self.assertIsNone(qemu.add("raw", "more", more))
                self.assertIsNone(qemu("blockdev-del", **{"node-name": "more"}))
                manager.restore_resource_label(domain, Resource.DISK, more)
                self.assertIn("Permission denied", qemu.add("raw", "more", more))

                self.assertIsNone(qemu.add("qcow2", "base", base, read_only=True))
                self.assertIsNone(qemu.add("qcow2", "top", top, backing="base"))
                commit = {"job-id": "commit", "device": "top"}
                self.assertIn("Permission denied", qemu("block-commit", **commit))
                manager.set_resource_label(domain, Resource.DISK, base)
                self.assertIsNone(qemu("block-commit", **commit))
                qemu.wait_for("BLOCK_JOB_READY")
                self.assertIsNone(qemu("job-complete", id="commit"))
                qemu.wait_for("BLOCK_JOB_COMPLETED")

    def test_a_compiled_profile_is_used_again(self):
        disk = self.file("disk")

        def compiled():
            return {path: os.stat(path).st_ino for path in glob.glob(f"/var/cache/apparmor/*/libvirt-{A}")}

        with self.open() as manager, manager.confine(self.domain(A, disk)):
            found = compiled()
            self.assertEqual(len(found), 1)
            # Another daemon has loaded nothing yet, but finds the files as it would write them.
            script = f"""
import svirt
with svirt.Manager("apparmor", {{"runtime_dir": {self.folder + "/run"!r}, "apparmor.profile_dir": {self.profiles!r}}}) as m:
    domain = svirt.Domain("guest", {A!r})
    domain.add_resource(svirt.Resource.DISK, {disk!r})
    m.gen_label(domain)
    m.set_all_label(domain)
"""
            subprocess.run([sys.executable, "-c", script], check=True,
                           env={**os.environ, "PYTHONPATH": os.path.dirname(svirt.__file__)})
            self.assertEqual(compiled(), found)
        self.assertEqual(compiled(), {})

    def test_names_stand_for_themselves(self):
        # Each with what it would match if it were taken for a pattern.
        names = {"a*b": ["ab", "axb"], "a**b": ["axxb"], "a?b": ["axb", "a>b", "a@b", "ab"], "[ab]": ["a", "b"],
                 "[^a]": ["b", "^"], "{c,d}": ["c", "d"], "@{HOME}": ["HOME"], "e\\?f": ["e?f", "exf"],
                 "e\\*f": ["e*f", "exf"], "a\"b": ["a"], "\" rw,": [], "a, ** rw": [], "x y": ["x"], " ": [],
                 "a#b": ["a"], "}": [], "{": [], "]": [], "[": [], "\\": [], "\\\\": [], "^": [], ",": [], "'": [],
                 "$(id)": [], "`id`": [], "a|b": [], "(a)": [], "a+": ["aa"], "a.b": ["a-b"], "é": ["è"],
                 "日本": ["日"], "😀": [], "\\052": [], "[\\077]": ["?"], "!": [], "%n": [], "a<b>c": [], "=;:&~": [],
                 "-r": [], "include": [], "x" * 250: ["x" * 249]}
        folder = os.path.join(self.folder, "names")
        os.mkdir(folder)
        paths = {name: self.file("names/" + name) for name in names}
        decoys = [self.file("names/" + decoy) for all in names.values() for decoy in all if decoy not in names]
        target = self.file("names/two\nlines")
        os.symlink(target, os.path.join(folder, "link"))
        with self.open() as manager:
            domain = self.domain(A, *paths.values(), os.path.join(folder, "link"), name="g*{}[]?\"@{x}, \\ é")
            with self.running(manager, domain) as guest:
                for name, path in paths.items():
                    with self.subTest(name):
                        self.assertEqual(guest("w", path), 0)
                self.assertEqual(guest("w", target), 0)
                for path in decoys:
                    with self.subTest(path):
                        self.assertEqual(guest("r", path), REFUSED)

    def test_a_guest_has_its_own_iommu_groups_alone(self):
        os.makedirs("/dev/vfio", exist_ok=True)
        for name in "vfio", "7", "8":
            os.mknod(f"/dev/vfio/{name}", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        self.addCleanup(shutil.rmtree, "/dev/vfio")
        with self.open() as manager:
            domain = self.domain(A)
            domain.add_resource(Resource.HOSTDEV_PCI, "/dev/vfio/7")
            with self.running(manager, domain) as guest:
                self.assertEqual([guest("w", f"/dev/vfio/{name}") for name in ("vfio", "7", "8")], [0, 0, REFUSED])

    def test_folders_are_shared_whole(self):
        state, shared, read = (os.path.join(self.folder, name) for name in ("tpm", "a*b", "read"))
        for path in state, shared, read, os.path.join(self.folder, "axb"):
            os.mkdir(path)
        for name in "tpm/state", "a*b/file", "read/file", "axb/file":
            self.file(name)
        with self.open() as manager:
            domain = self.domain(A)
            domain.add_resource(Resource.TPM_STATE, state)
            domain.add_resource(Resource.FILESYSTEM, shared)
            domain.add_resource(Resource.FILESYSTEM, read, Flag.READONLY)
            with self.running(manager, domain) as guest:
                self.assertEqual((guest("w", state + "/state"), guest("w", shared + "/file")), (0, 0))
                self.assertEqual((guest("r", read + "/file"), guest("w", read + "/file")), (0, REFUSED))
                self.assertEqual((guest("l", shared), guest("r", self.folder + "/axb/file")), (0, REFUSED))

    def test_what_a_crash_left_is_replaced(self):
        old, new = self.file("old"), self.file("new")
        pid = os.fork()
        if pid == 0:
            manager, domain = self.open(), self.domain(A, old)
            manager.gen_label(domain)
            manager.set_all_label(domain)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        self.assertIn(f"libvirt-{A}", loaded())
        os.truncate(f"{self.profiles}/libvirt-{A}", 0)
        os.truncate(f"{self.profiles}/libvirt-{A}.files", 0)
        with self.open() as manager, self.running(manager, self.domain(A, new)) as guest:
            self.assertEqual((guest("w", new), guest("r", old)), (0, REFUSED))
        self.assertNotIn(f"libvirt-{A}", loaded())

    def test_the_parser_runs_only_when_the_text_changes(self):
        disk = self.file("disk")
        with self.open() as manager:
            domain = self.domain(A, disk)
            with manager.confine(domain):
                now = revision()
                manager.set_all_label(domain)
                manager.set_resource_label(domain, Resource.DISK, disk)
                manager.restore_resource_label(domain, Resource.DISK, disk)
                self.assertEqual(revision(), now)
                manager.set_resource_label(domain, Resource.KERNEL, disk)
                self.assertNotEqual(revision(), now)
                # Somebody unloaded it.
                with open(KERNEL + ".remove", "w") as file:
                    file.write(f"libvirt-{A}")
                manager.set_all_label(domain)
                self.assertIn(f"libvirt-{A}", loaded())

    def test_a_profile_before_set_all(self):
        disk, late = self.file("disk"), os.path.join(self.folder, "late")
        with self.open(apparmor__load_at_gen="yes") as manager:
            domain = self.domain(A, disk, late)
            manager.gen_label(domain)
            with Guest(manager, domain) as guest:
                manager.check_process_label(domain, guest.pid)
                self.assertEqual(guest("r", "/etc/shadow"), REFUSED)
                self.file("late")
                manager.set_all_label(domain)
                self.assertEqual((guest("w", disk), guest("w", late)), (0, 0))
            manager.release_label(domain)

    def test_a_child_that_cannot_be_confined_does_not_run(self):
        disk = self.file("disk")
        with self.open() as manager:
            domain = self.domain(A, disk)
            manager.gen_label(domain)
            with self.assertRaises(subprocess.SubprocessError):
                Guest(manager, domain)
            manager.set_all_label(domain)
            with open(KERNEL + ".remove", "w") as file:
                file.write(f"libvirt-{A}")
            with self.assertRaises(subprocess.SubprocessError):
                Guest(manager, domain)
            manager.release_label(domain)

    def test_a_load_that_fails_changes_nothing(self):
        disk, more = self.file("disk"), self.file("more")
        text = read(TEMPLATE)
        os.makedirs(self.folder + "/etc/svirt")
        template = self.file("etc/svirt/TEMPLATE.qemu", text)
        with self.open(apparmor__template=template) as manager:
            domain = self.domain(A, disk)
            with self.running(manager, domain) as guest:
                before = self.texts()
                now = revision()
                self.file("etc/svirt/TEMPLATE.qemu", text.replace("include <abs", "nonsense <abs"))
                with self.fails(errno.EINVAL) as caught:
                    manager.set_resource_label(domain, Resource.DISK, more)
                self.assertIn("parser error", str(caught.exception))
                self.assertEqual((before, now), (self.texts(), revision()))
                self.assertEqual((guest("w", disk), guest("w", more)), (0, REFUSED))
                self.file("etc/svirt/TEMPLATE.qemu", text)
                manager.set_resource_label(domain, Resource.DISK, more)
                self.assertEqual(guest("w", more), 0)

    def test_whatever_the_daemon_does_with_its_children(self):
        template = self.file("template", "profile LIBVIRT_TEMPLATE {\n}\n")
        script = f"""
import os, signal, sys, svirt
{{}}
with svirt.Manager("apparmor", {{{{"runtime_dir": {self.folder + "/run"!r}, "apparmor.profile_dir": {self.profiles!r},
                               "apparmor.template": {template!r}}}}}) as manager:
    domain = svirt.Domain("guest", {A!r})
    manager.gen_label(domain)
    manager.set_all_label(domain)
    assert "libvirt-{A}" in open("{KERNEL}profiles").read()
    open({template!r}, "w").write("profile LIBVIRT_TEMPLATE {{{{\\n nonsense\\n}}}}\\n")
    try:
        manager.set_all_label(domain)
        sys.exit("a profile that cannot be loaded was")
    except svirt.Error as error:
        assert "parser error" in str(error), error
    manager.release_label(domain)
"""
        reap = """
import threading, time
def reap():
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.0005)
threading.Thread(target=reap, daemon=True).start()"""
        for handler in ("signal.signal(signal.SIGCHLD, signal.SIG_IGN)", reap):
            self.file("template", "profile LIBVIRT_TEMPLATE {\n}\n")
            subprocess.run([sys.executable, "-c", script.format(handler)], check=True,
                           env={**os.environ, "PYTHONPATH": os.path.dirname(svirt.__file__)})

    def test_static_labels(self):
        own = self.file("own", "profile my-guest {\n  %s mr,\n  /usr/lib/** mr,\n  /etc/ld.so.cache r,\n}\n" % PROBE)
        with self.open() as manager:
            domain = self.domain(A)
            domain.set_seclabel("apparmor", svirt.Seclabel.STATIC, "my-guest")
            for call in manager.verify_label, manager.gen_label:
                with self.fails(errno.EINVAL):
                    call(domain)
            subprocess.run(["apparmor_parser", "--replace", own], check=True)
            manager.verify_label(domain)
            with self.running(manager, domain) as guest:
                self.assertRunsAs(manager, guest, "my-guest")
                self.assertEqual(guest("r", "/etc/hosts"), REFUSED)
                other = self.domain(B)
                other.set_seclabel("apparmor", svirt.Seclabel.STATIC, f"libvirt-{A}")
                with self.fails(errno.EINVAL):
                    manager.gen_label(other)
                with manager.confine(self.domain(A)), self.fails(errno.EEXIST):
                    manager.gen_label(other)
            self.assertIn("my-guest", loaded())
            based = self.domain(B)
            based.set_seclabel("apparmor", label="my-guest")
            with self.fails(errno.EINVAL):
                manager.gen_label(based)

    def test_a_restarted_daemon_takes_its_guest_over(self):
        disk, more = self.file("disk"), self.file("more")
        with self.open() as manager:
            domain = self.domain(A, disk)
            with self.running(manager, domain) as guest:
                with self.open() as again, svirt.Domain.from_xml(domain.to_xml()) as same:
                    again.reserve_label(same, guest.pid)
                    again.check_process_label(same, guest.pid)
                    again.set_resource_label(same, Resource.DISK, more)
                    self.assertEqual((guest("w", disk), guest("w", more)), (0, 0))
                    with svirt.Domain.from_xml(domain.to_xml()) as same, self.fails(errno.EPERM):
                        again.reserve_label(same, os.getpid())
                    with self.domain(B) as none, self.fails(errno.EINVAL):
                        again.reserve_label(none, os.getpid())

    def test_a_mode_that_does_not_enforce_is_told(self):
        template = self.file("template", read(TEMPLATE).replace("disconnected)", "disconnected,complain)"))
        messages = []
        svirt.set_log_handler(lambda level, text: messages.append(text))
        self.addCleanup(svirt.set_log_handler, None)
        with self.open(apparmor__template=template) as manager:
            domain = self.domain(A)
            with self.running(manager, domain) as guest:
                self.assertRunsAs(manager, guest, f"libvirt-{A}", False)
        self.assertTrue(any("does not enforce" in text for text in messages), messages)

    def test_refusals_name_the_resolved_path(self):
        os.symlink("/etc/shadow", self.folder + "/link")
        with self.open() as manager:
            domain = self.domain(A, self.folder + "/link")
            manager.gen_label(domain)
            with self.fails(errno.EPERM) as caught:
                manager.set_all_label(domain)
            self.assertEqual(caught.exception.path, "/etc/shadow")
            self.assertNotIn(f"libvirt-{A}", loaded())
            manager.release_label(domain)

    def test_what_the_host_enforces_is_picked(self):
        messages = []
        svirt.set_log_handler(lambda level, text: messages.append(text))
        self.addCleanup(svirt.set_log_handler, None)
        with self.open(None) as manager:
            self.assertEqual(manager.models(), ["apparmor"])
        with self.open(None, dac__user="+1000") as manager:
            self.assertEqual(manager.models(), ["apparmor", "dac"])
        self.assertTrue(any("selinux" in text and "SELinux" in text for text in messages), messages)
        for option in "apparmor__template", "apparmor__parser":
            with self.fails(errno.ENOTSUP):
                self.open(**{option: "/nonexistent"})
        with self.fails(errno.EINVAL):
            self.open(apparmor__profile_dir='/a"b')
        pid = os.fork()
        if pid == 0:
            os.setuid(1000)
            try:
                self.open(runtime_dir="/tmp")
            except svirt.Error as error:
                os._exit(error.errno)
            os._exit(0)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), errno.EPERM)


if __name__ == "__main__":
    unittest.main()
