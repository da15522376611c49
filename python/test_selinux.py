# SPDX-License-Identifier: MIT OR Apache-2.0
"""What needs a kernel that enforces SELinux; runs inside the booted one, as virtd_t."""

import os
import unittest

import svirt
import test_svirt


class Selinux(test_svirt.Case):
    def test_a_guest_lives(self):
        disk = self.file("disk")
        context = os.getxattr(disk, "security.selinux")
        with self.open("selinux", mcs__range="c0.c9") as manager, svirt.Domain("a", test_svirt.UUID_A) as domain:
            domain.add_resource(svirt.Resource.DISK, disk)
            with manager.confine(domain):
                self.assertRegex(domain.label(), r"^system_u:system_r:svirt_t:s0:c\d,c\d$")
                self.assertEqual(os.getxattr(disk, "security.selinux").rstrip(b"\0").decode(), domain.image_label())
                self.assertRegex(manager.mount_options(domain), r'^,context="')
        self.assertEqual(os.getxattr(disk, "security.selinux"), context)


if __name__ == "__main__":
    unittest.main()
