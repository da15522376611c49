# SPDX-License-Identifier: MIT OR Apache-2.0
"""The wrapper against the real library: whole lives of guests, with real files and processes, as root."""

import errno
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

import svirt

UUID_A, UUID_B = "0b15ad3c-11f4-4b0c-a8e2-00000000000a", "0b15ad3c-11f4-4b0c-a8e2-00000000000b"


def comm(pid):
    return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()


def started(guest):
    """Waits until the child has become the guest."""
    while comm(guest.pid) != "sleep":
        time.sleep(0.002)
    return guest


class Case(unittest.TestCase):
    def setUp(self):
        images = "/var/lib/libvirt/images"
        folder = tempfile.TemporaryDirectory(dir=images if os.access(images, os.W_OK) else None)
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.folder.chmod(0o711)

    def open(self, drivers, **options):
        options = {name.replace("__", "."): value for name, value in options.items()}
        return svirt.Manager(drivers, {"runtime_dir": self.folder / "run", "owner": "python-tests", **options})

    def file(self, name):
        path = self.folder / name
        path.touch(0o600)
        return path

    def raises(self, number, function, *arguments):
        with self.assertRaises(svirt.Error) as caught:
            function(*arguments)
        self.assertEqual(caught.exception.errno, number, caught.exception)
        return caught.exception


class Life(Case):
    def test_a_guest_lives_and_everything_is_given_back(self):
        disk, iso, hot = self.file("disk \u00fc.img"), self.file("iso"), self.file("hot")
        before = [(path.stat().st_uid, path.stat().st_mode) for path in (disk, iso, hot)]
        with self.open("dac", dac__uid_range="600000-600009") as manager, svirt.Domain("a", UUID_A) as domain:
            self.assertEqual(manager.models(), ["dac"])
            self.assertEqual((manager.doi(), manager.doi(1)), ("0", None))
            domain.add_resource(svirt.Resource.DISK, disk)
            domain.add_resource(svirt.Resource.DISK, iso, svirt.Flag.READONLY)
            self.assertIsNone(domain.label())
            with manager.confine(domain):
                uid = int(re.fullmatch(r"\+(6\d+):\+\1", domain.label("dac"))[1])
                self.assertEqual((disk.stat().st_uid, iso.stat().st_uid), (uid, 0))
                guest = started(subprocess.Popen(["sleep", "30"], preexec_fn=lambda: manager.set_process_label(domain)))
                manager.check_process_label(domain, guest.pid)
                label = manager.process_label(guest.pid)
                self.assertEqual((label.label, label.enforcing), (domain.label(), True))
                self.assertEqual(self.raises(errno.EPERM, manager.check_process_label, domain, os.getpid()).path,
                                 f"/proc/{os.getpid()}")
                manager.set_resource_label(domain, svirt.Resource.DISK, hot)
                self.assertEqual({image.path for image in manager.images()}, {str(disk), str(iso), str(hot)})
                image = next(image for image in manager.images() if image.path == str(disk))
                self.assertEqual((image.model, image.original, image.label, image.holders),
                                 ("dac", "+0:+0", domain.image_label(), [UUID_A]))
                manager.restore_resource_label(domain, svirt.Resource.DISK, hot)
                self.assertEqual(hot.stat().st_uid, 0)
                device = f"<disk type='file' device='disk'><source file='{hot}'/><target dev='vdb'/></disk>"
                manager.set_device_label(domain, device)
                self.assertEqual(hot.stat().st_uid, uid)
                manager.restore_device_label(domain, device)
                self.assertEqual(hot.stat().st_uid, 0)
                self.raises(errno.EINVAL, manager.set_device_label, domain, "<disk")
                guest.kill()
                guest.wait()
            self.assertIsNone(domain.label())
            self.assertEqual(manager.images(), [])
        self.assertEqual([(path.stat().st_uid, path.stat().st_mode) for path in (disk, iso, hot)], before)
        self.assertEqual([os.listxattr(path) for path in (disk, iso, hot)],
                         [[name for name in os.listxattr(disk) if name == "security.selinux"]] * 3)

    def test_a_living_guest_is_taken_over(self):
        disk = self.file("disk")
        with self.open("dac", dac__uid_range="600000-600009") as manager:
            with svirt.Domain("a", UUID_A) as domain:
                domain.add_resource(svirt.Resource.DISK, disk)
                manager.gen_label(domain)
                manager.set_all_label(domain)
                xml = domain.to_xml()
                guest = started(subprocess.Popen(["sleep", "30"], preexec_fn=lambda: manager.set_process_label(domain)))
            with svirt.Domain.from_xml(xml) as domain, manager.confine(domain, guest.pid):
                self.assertEqual(domain.to_xml(), xml)
                manager.check_process_label(domain, guest.pid)
                guest.kill()
                guest.wait()
        self.assertEqual(disk.stat().st_uid, 0)

    def test_a_failed_start_leaves_nothing(self):
        disk, gone = self.file("disk"), self.folder / "gone"
        with self.open("dac", dac__user="+4711") as manager, svirt.Domain("a", UUID_A) as domain:
            domain.add_resource(svirt.Resource.DISK, disk)
            domain.add_resource(svirt.Resource.DISK, gone)
            error = self.raises(errno.ENOENT, manager.confine(domain).__enter__)
            self.assertEqual(error.path, str(gone))
            self.assertIn(str(gone), error.message)
            self.assertIn(str(gone), str(error))
            self.assertIsNone(domain.label())
        self.assertEqual(disk.stat().st_uid, 0)

    def test_a_child_without_a_label_never_runs(self):
        with self.open("dac", dac__user="+4711") as manager, svirt.Domain("a", UUID_A) as domain:
            with self.assertRaises(subprocess.SubprocessError):
                subprocess.Popen(["true"], preexec_fn=lambda: manager.set_process_label(domain))


    def test_readmes_program_runs(self):
        readme = (pathlib.Path(__file__).resolve().parent.parent / "README.md").read_text()
        (program,) = re.findall(r"^```python\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
        disk = self.file("disk")
        environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(svirt.__file__).parent)}
        guest = ["sh", "-c", f"id -u; echo written >'{disk}'"]
        done = subprocess.run([sys.executable, "-c", program, disk, *guest], env=environment, capture_output=True,
                              text=True, check=True)
        self.assertGreaterEqual(int(done.stdout), 100000)
        self.assertEqual((disk.read_text(), disk.stat().st_uid), ("written\n", 0))


class Errors(Case):
    def test_what_is_wrong_is_said(self):
        self.raises(errno.EINVAL, svirt.Manager, "dac,nonsense")
        self.assertIn("dac.user", self.raises(errno.EINVAL, svirt.Manager, "dac", {"x": "y"}).message)
        self.raises(errno.EINVAL, svirt.Domain, "a", "no uuid")
        self.assertIn("line 2", self.raises(errno.EINVAL, svirt.Domain.from_xml, "<domain>\n</x>").message)
        with svirt.Domain("a", UUID_A) as domain:
            for path in "relative", "/a\nb", "/a\0b":
                self.raises(errno.EINVAL, domain.add_resource, svirt.Resource.DISK, path)
            self.raises(errno.EINVAL, domain.add_resource, 99, "/a")
            self.raises(errno.EINVAL, domain.set_seclabel, None, svirt.Seclabel.STATIC)
            domain.close()
            self.raises(errno.EINVAL, domain.add_resource, svirt.Resource.DISK, "/a")

    def test_out_of_order_and_taken(self):
        with self.open("dac", dac__uid_range="700000-700000") as manager:
            with svirt.Domain("a", UUID_A) as a, svirt.Domain("b", UUID_B) as b:
                self.raises(errno.ENODATA, manager.set_all_label, a)
                manager.gen_label(a)
                self.raises(errno.EALREADY, manager.gen_label, a)
                self.raises(errno.ENOSPC, manager.gen_label, b)
                manager.release_label(a)
                manager.gen_label(b)
                manager.release_label(b)

    def test_static_seclabels_and_no_confinement(self):
        disk = self.file("disk")
        with self.open("dac", dac__user="+1", require_confined=False) as manager, svirt.Domain("a", UUID_A) as domain:
            domain.add_resource(svirt.Resource.DISK, disk)
            domain.set_seclabel("dac", svirt.Seclabel.STATIC, "+5:+6", relabel=True)
            manager.verify_label(domain)
            with manager.confine(domain):
                self.assertEqual((disk.stat().st_uid, disk.stat().st_gid), (5, 6))
            domain.set_seclabel("dac", svirt.Seclabel.NONE)
            with manager.confine(domain):
                self.assertEqual(disk.stat().st_uid, 0)

    def test_messages_reach_the_handler(self):
        messages = []
        disk = self.file("disk")
        svirt.set_log_handler(lambda level, text: messages.append((level, text)))
        self.addCleanup(svirt.set_log_handler, None)
        with self.open("dac", dac__user="+4711") as manager, svirt.Domain("a", UUID_A) as domain:
            domain.add_resource(svirt.Resource.DISK, disk)
            with manager.confine(domain):
                os.chown(disk, 99, 99)
        self.assertEqual(disk.stat().st_uid, 99)
        self.assertTrue(any(level == svirt.LogLevel.WARNING and str(disk) in text for level, text in messages), messages)


class Wrapper(unittest.TestCase):
    def test_it_has_every_function_and_number_of_the_header(self):
        root = pathlib.Path(__file__).resolve().parent.parent
        source = pathlib.Path(svirt.__file__).read_text()
        for symbol in (root / "abi/symbols.txt").read_text().split():
            self.assertIn(f'"{symbol.removeprefix("svirt_")}"', source)
        numbers = re.findall(r"#define SVIRT_(RESOURCE|FLAG|SECLABEL|LOG)_(\w+) (\d+)",
                             (root / "include/svirt.h").read_text())
        kinds = {"RESOURCE": svirt.Resource, "FLAG": svirt.Flag, "SECLABEL": svirt.Seclabel, "LOG": svirt.LogLevel}
        self.assertEqual(len(numbers), sum(map(len, kinds.values())))
        for kind, name, number in numbers:
            self.assertEqual(kinds[kind][name], int(number))

    def test_version(self):
        self.assertEqual(len(svirt.version()), 3)


if __name__ == "__main__":
    unittest.main()
