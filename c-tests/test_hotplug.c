/* What changes while guests run, with real files, descriptors and mount namespaces. Runs as root.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "hotplug.h"

#include <sys/sysmacros.h>

static svirt_manager *manager;

static svirt_domain *started(const char *uuid, const char *disk)
{
    svirt_domain *domain = new_domain(uuid);
    if (disk)
        assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, disk, 0, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    assert_call(0, svirt_domain_set_security_all_label(manager, domain, 0, &error));
    return domain;
}

static void stop(svirt_domain *domain)
{
    assert_call(0, svirt_domain_restore_security_all_label(manager, domain, 0, &error));
    assert_call(0, svirt_domain_release_security_label(manager, domain, &error));
    svirt_domain_free(domain);
}

static void a_moved_image(void **state)
{
    char *from = make_file("from", 0600), *to = make_file("to", 0600);
    svirt_domain *domain;
    (void)state;
    assert_int_equal(chown(from, 7, 8), 0);
    domain = started(UUID_A, from);
    assert_call(-EINVAL, svirt_domain_move_image(NULL, domain, from, to, &error));
    assert_call(-EINVAL, svirt_domain_move_image(manager, NULL, from, to, &error));
    assert_call(-EINVAL, svirt_domain_move_image(manager, domain, NULL, to, &error));
    assert_call(-EINVAL, svirt_domain_move_image(manager, domain, from, NULL, &error));
    assert_call(-EINVAL, svirt_domain_move_image(manager, domain, from, "relative", &error));
    assert_call(-ENOENT, svirt_domain_move_image(manager, domain, from, in_folder("gone"), &error));
    assert_owner(from, 4711, 4711);
    assert_call(0, svirt_domain_move_image(manager, domain, from, to, &error));
    assert_owner(from, 7, 8);
    assert_forgotten(from);
    assert_owner(to, 4711, 4711);
    assert_attribute(to, "trusted.libvirt.security.dac", "+7:+8");
    assert_attribute(to, "trusted.libvirt.security.ref_dac", "1");
    stop(domain);
    assert_owner(to, 7, 8);
    assert_forgotten(to);
}

static int devices_in_a_child(void *opaque)
{
    return svirt_domain_set_security_device_label(manager, opaque, "<disk/>", NULL) == -EDEADLK &&
                   svirt_domain_restore_security_device_label(manager, opaque, "<disk/>", NULL) == -EDEADLK ?
               0 : 1;
}

/* A device is plugged as libvirt writes it: with all its layers, or not at all. */
static void whole_devices(void **state)
{
    static const char *const wrong[] = {NULL, "", "<disk", "<disk/></disk>", "text"};
    char *own = make_file("own", 0600), *top = make_file("top", 0600), *layer = make_file("layer", 0600);
    char *channel = make_file("channel", 0600), disk[1000], half[1000], serial[600], *xml;
    svirt_domain *domain;
    size_t i;
    (void)state;
    snprintf(disk, sizeof disk,
             "<disk type='file'><source file='%s'/><target dev='vdb'/><backingStore type='file'><format type='raw'/>"
             "<source file='%s'/></backingStore></disk>", top, layer);
    snprintf(half, sizeof half,
             "<disk type='file'><source file='%s'/><target dev='vdb'/><backingStore type='file'><format type='raw'/>"
             "<source file='%s'/></backingStore></disk>", top, in_folder("gone"));
    snprintf(serial, sizeof serial, "<serial type='file'><source path='%s'/></serial>", channel);
    assert_int_equal(chown(top, 7, 8), 0);
    domain = started(UUID_A, own);
    for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_call(-EINVAL, svirt_domain_set_security_device_label(manager, domain, wrong[i], &error));
        assert_call(-EINVAL, svirt_domain_restore_security_device_label(manager, domain, wrong[i], &error));
    }
    assert_call(-EINVAL, svirt_domain_set_security_device_label(NULL, domain, disk, &error));
    assert_call(-EINVAL, svirt_domain_set_security_device_label(manager, NULL, disk, &error));
    assert_call(-EINVAL, svirt_domain_restore_security_device_label(NULL, domain, disk, &error));
    assert_call(-EINVAL, svirt_domain_restore_security_device_label(manager, NULL, disk, &error));
    assert_call(-ENOENT, svirt_domain_set_security_device_label(manager, domain, half, &error));
    assert_owner(top, 7, 8);
    assert_forgotten(top);
    assert_int_equal(in_child(devices_in_a_child, domain), 0);
    assert_call(0, svirt_domain_set_security_device_label(manager, domain, disk, &error));
    assert_call(0, svirt_domain_set_security_device_label(manager, domain, serial, &error));
    assert_owner(top, 4711, 4711);
    assert_owner(layer, 4711, 4711);
    assert_owner(channel, 4711, 4711);
    xml = svirt_domain_to_xml(domain);
    assert_non_null(strstr(xml, top));
    svirt_string_free(xml);
    for (i = 0; i < 2; i++) { /* a second time there is nothing to give back */
        assert_call(0, svirt_domain_restore_security_device_label(manager, domain, disk, &error));
        assert_owner(top, 7, 8);
        assert_forgotten(top);
        assert_owner(layer, 0, 0);
        assert_forgotten(layer);
    }
    assert_owner(channel, 4711, 4711);
    assert_owner(own, 4711, 4711);
    /* In a transaction it is done at the end. */
    assert_call(0, svirt_manager_transaction_start(manager, &error));
    assert_call(0, svirt_domain_set_security_device_label(manager, domain, disk, &error));
    assert_call(0, svirt_domain_restore_security_device_label(manager, domain, serial, &error));
    assert_owner(top, 7, 8);
    assert_owner(channel, 4711, 4711);
    assert_call(0, svirt_manager_transaction_commit(manager, -1, &error));
    assert_owner(top, 4711, 4711);
    assert_owner(channel, 0, 0);
    assert_forgotten(channel);
    stop(domain);
    assert_owner(top, 7, 8);
    assert_forgotten(top);
    assert_owner(layer, 0, 0);
    assert_owner(own, 0, 0);
}

static void descriptors(void **state)
{
    svirt_domain *domain = started(UUID_A, NULL);
    char *disk = make_file("disk", 0600);
    int fd = open(disk, O_RDWR | O_CLOEXEC), tun, ends[2];
    (void)state;
    assert_true(fd >= 0);
    assert_call(0, svirt_domain_set_security_fd_label(manager, domain, fd, SVIRT_RESOURCE_DISK, &error));
    assert_owner(disk, 0, 0); /* an open file's owner does not matter any more */
    assert_call(-EINVAL, svirt_domain_set_security_fd_label(manager, domain, fd, SVIRT_RESOURCE_TAP, &error));
    assert_call(-EINVAL, svirt_domain_set_security_fd_label(manager, domain, fd, 0, &error));
    assert_call(-EINVAL, svirt_domain_set_security_fd_label(manager, domain, fd, 1000, &error));
    assert_call(-EINVAL, svirt_domain_set_security_fd_label(manager, NULL, fd, SVIRT_RESOURCE_DISK, &error));
    close(fd);
    assert_call(-EBADF, svirt_domain_set_security_fd_label(manager, domain, fd, SVIRT_RESOURCE_DISK, &error));
    assert_call(-EBADF, svirt_domain_set_security_fd_label(manager, domain, -1, SVIRT_RESOURCE_TAP, &error));
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_call(0, svirt_domain_set_security_fd_label(manager, domain, ends[0], SVIRT_RESOURCE_SAVED_STATE, &error));
    close(ends[0]);
    close(ends[1]);
    tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    assert_true(tun >= 0);
    assert_call(0, svirt_domain_set_security_fd_label(manager, domain, tun, SVIRT_RESOURCE_TAP, &error));
    close(tun);
    stop(domain);
}

/* A macvtap device has a node of its own, whose number sysfs tells. */
static void a_macvtap_device(void **state)
{
    static const char make[] = "ip link add svtest0 type veth peer name svtest2 && ip link add link svtest0 name svtest1 type macvtap && "
                               "cat /sys/class/net/svtest1/macvtap/tap*/dev";
    svirt_domain *domain = started(UUID_A, NULL);
    unsigned major_number, minor_number;
    FILE *number = popen(make, "r");
    char *node = in_folder("tap");
    int fd;
    (void)state;
    assert_int_equal(fscanf(number, "%u:%u", &major_number, &minor_number), 2);
    pclose(number);
    assert_int_equal(mknod(node, S_IFCHR | 0600, makedev(major_number, minor_number)), 0);
    fd = open(node, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_call(0, svirt_domain_set_security_fd_label(manager, domain, fd, SVIRT_RESOURCE_TAP, &error));
    close(fd);
    assert_int_equal(system("ip link del svtest0"), 0);
    stop(domain);
}

static int sockets_in_a_child(void *opaque)
{
    if (svirt_domain_set_security_socket_label(manager, opaque, NULL) ||
        svirt_domain_set_security_daemon_socket_label(manager, opaque, NULL) ||
        svirt_domain_clear_security_socket_label(manager, opaque, NULL))
        return 1;
    return svirt_manager_transaction_start(manager, NULL) == -EDEADLK &&
                   svirt_manager_transaction_commit(manager, -1, NULL) == -EDEADLK &&
                   svirt_domain_move_image(manager, opaque, "/a", "/b", NULL) == -EDEADLK ?
               0 : 2;
}

static void sockets_without_selinux(void **state)
{
    svirt_domain *domain = new_domain(UUID_A);
    (void)state;
    assert_int_equal(svirt_domain_set_security_socket_label(manager, domain, NULL), -ENODATA);
    assert_call(-ENODATA, svirt_domain_set_security_socket_label(manager, domain, &error));
    assert_call(0, svirt_domain_clear_security_socket_label(manager, domain, &error));
    assert_int_equal(svirt_domain_set_security_socket_label(manager, NULL, NULL), -EINVAL);
    assert_call(-EINVAL, svirt_domain_clear_security_socket_label(NULL, domain, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    assert_call(0, svirt_domain_set_security_socket_label(manager, domain, &error));
    assert_call(0, svirt_domain_set_security_daemon_socket_label(manager, domain, &error));
    assert_call(0, svirt_domain_clear_security_socket_label(manager, domain, &error));
    assert_int_equal(in_child(sockets_in_a_child, domain), 0);
    stop(domain);
}

static void mount_options_without_selinux(void **state)
{
    svirt_domain *domain = started(UUID_A, NULL);
    char *options = svirt_domain_security_mount_options(manager, domain);
    (void)state;
    assert_string_equal(options, "");
    svirt_string_free(options);
    assert_null(svirt_domain_security_mount_options(manager, NULL));
    assert_null(svirt_domain_security_mount_options(NULL, domain));
    stop(domain);
}

static void a_guest_with_a_private_place(void **state)
{
    char *place = in_folder("private"), *node = in_folder("private/node"), *disk = make_file("disk", 0600);
    svirt_domain *domain = new_domain(UUID_A);
    pid_t pid;
    (void)state;
    assert_int_equal(mkdir(place, 0755), 0);
    make_file("private/node", 0600);
    pid = process_elsewhere(place, "node");
    assert_call(-ENODATA, svirt_manager_transaction_commit(manager, pid, &error));
    svirt_manager_transaction_abort(manager);
    svirt_manager_transaction_abort(NULL);
    assert_call(-EINVAL, svirt_manager_transaction_start(NULL, &error));
    assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, disk, 0, &error));
    assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_CHARDEV_FILE, node, 0, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    assert_call(0, svirt_manager_transaction_start(manager, &error));
    assert_call(-EALREADY, svirt_manager_transaction_start(manager, &error));
    assert_call(0, svirt_domain_set_security_all_label(manager, domain, 0, &error));
    assert_owner(disk, 0, 0);
    assert_call(0, svirt_manager_transaction_commit(manager, pid, &error));
    assert_owner(disk, 4711, 4711);
    assert_owner(node, 0, 0);
    assert_owner(seen_by(pid, node), 4711, 4711);
    assert_call(0, svirt_manager_transaction_start(manager, &error));
    assert_call(0, svirt_domain_restore_security_resource_label(manager, domain, SVIRT_RESOURCE_DISK, disk, 0, &error));
    assert_call(0, svirt_manager_transaction_commit(manager, pid, &error));
    assert_owner(disk, 0, 0);
    end_process(pid);
    assert_call(0, svirt_manager_transaction_start(manager, &error));
    assert_true(svirt_manager_transaction_commit(manager, pid, NULL) < 0);
    stop(domain); /* its node is gone with its namespace */
    assert_owner(node, 0, 0);
    assert_forgotten(node);
}

static int set_up(void **state)
{
    if (make_folder(state))
        return -1;
    manager = open_manager("dac", "dac.user", "+4711");
    return 0;
}

static int tear_down(void **state)
{
    svirt_manager_close(manager);
    return remove_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_moved_image),
        cmocka_unit_test(whole_devices),
        cmocka_unit_test(descriptors),
        cmocka_unit_test(a_macvtap_device),
        cmocka_unit_test(sockets_without_selinux),
        cmocka_unit_test(mount_options_without_selinux),
        cmocka_unit_test(a_guest_with_a_private_place),
    };
    return cmocka_run_group_tests_name("hotplug", tests, set_up, tear_down);
}
