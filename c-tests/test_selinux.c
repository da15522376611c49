/* What needs a kernel that enforces SELinux; run inside the booted one, as virtd_t.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "common.h"

#include <signal.h>

static char *context_of(const char *path)
{
    static char context[256];
    ssize_t length = getxattr(path, "security.selinux", context, sizeof context - 1);
    assert_true(length > 0);
    context[length] = '\0';
    return context;
}

static svirt_domain *guest(int number)
{
    char uuid[64];
    snprintf(uuid, sizeof uuid, "0b15ad3c-11f4-4b0c-a8e2-0000000000%02d", number);
    return new_domain(uuid);
}

static int exec_confined(void *opaque)
{
    void **both = opaque;
    int result = svirt_domain_set_security_process_label(both[0], both[1]);
    if (result < 0)
        return -result;
    execl("/usr/bin/qemu-system-x86_64", "qemu", "--version", (char *)NULL);
    return 99;
}

static void twenty_eight_pairs_and_no_more(void **state)
{
    svirt_manager *manager = open_manager("selinux", "mcs.range", "c0.c7");
    svirt_domain *domains[29];
    char *disk = make_file("one-of-30.img", 0600), before[256];
    (void)state;
    strcpy(before, context_of(disk));
    for (int i = 0; i < 30; i++) { /* one after another, each with its disk and its process */
        svirt_domain *domain = guest(i);
        void *both[] = {manager, domain};
        unsigned low, high;
        char *label;
        assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, disk, 0, &error));
        assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
        label = svirt_domain_image_label(domain, "selinux");
        assert_int_equal(sscanf(label, "system_u:object_r:svirt_image_t:s0:c%u,c%u", &low, &high), 2);
        assert_true(low < high && high < 8);
        assert_call(0, svirt_domain_set_security_all_label(manager, domain, 0, &error));
        assert_string_equal(context_of(disk), label);
        svirt_string_free(label);
        assert_int_equal(in_child(exec_confined, both), 0);
        assert_call(0, svirt_domain_restore_security_all_label(manager, domain, 0, &error));
        assert_string_equal(context_of(disk), before);
        assert_forgotten(disk);
        assert_call(0, svirt_domain_release_security_label(manager, domain, &error));
        svirt_domain_free(domain);
    }
    for (int i = 0; i < 29; i++) { /* at the same time */
        domains[i] = guest(i);
        assert_call(i < 28 ? 0 : -ENOSPC, svirt_domain_gen_security_label(manager, domains[i], &error));
        for (int j = 0; j < i && i < 28; j++) {
            char *one = svirt_domain_label(domains[i], "selinux"), *other = svirt_domain_label(domains[j], "selinux");
            assert_string_not_equal(one, other);
            svirt_string_free(one);
            svirt_string_free(other);
        }
    }
    for (int i = 0; i < 29; i++) {
        assert_call(0, svirt_domain_release_security_label(manager, domains[i], &error));
        svirt_domain_free(domains[i]);
    }
    svirt_manager_close(manager);
}

static void static_and_base_labels(void **state)
{
    static const char fixed[] = "system_u:system_r:svirt_t:s0:c100,c200";
    svirt_manager *manager = open_manager("selinux", NULL, NULL);
    svirt_domain *a = guest(1), *b = guest(2), *c = guest(3);
    char *text;
    (void)state;
    assert_call(0, svirt_domain_set_seclabel(a, "selinux", SVIRT_SECLABEL_STATIC, fixed, 1, &error));
    assert_call(0, svirt_domain_set_seclabel(b, NULL, SVIRT_SECLABEL_STATIC, "system_u:system_r:svirt_t:s0:c200,c100", 0, &error));
    assert_call(0, svirt_domain_verify_security_label(manager, a, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, a, &error));
    text = svirt_domain_image_label(a, "selinux");
    assert_string_equal(text, "system_u:object_r:svirt_image_t:s0:c100,c200");
    svirt_string_free(text);
    assert_call(-EEXIST, svirt_domain_gen_security_label(manager, b, &error));
    assert_call(0, svirt_domain_set_seclabel(b, "selinux", SVIRT_SECLABEL_STATIC, "system_u:system_r:no_such_t:s0", 0, &error));
    assert_call(-EINVAL, svirt_domain_verify_security_label(manager, b, &error));
    assert_call(-EINVAL, svirt_domain_gen_security_label(manager, b, &error));
    assert_call(0, svirt_domain_set_seclabel(b, "apparmor", SVIRT_SECLABEL_DYNAMIC, NULL, 1, &error));
    assert_call(-EINVAL, svirt_domain_gen_security_label(manager, b, &error));
    assert_call(0, svirt_domain_set_seclabel(c, "selinux", SVIRT_SECLABEL_DYNAMIC, "u:r:svirt_t:s9", 1, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, c, &error));
    text = svirt_domain_label(c, "selinux");
    assert_int_equal(strncmp(text, "system_u:system_r:svirt_t:s0:c", 30), 0);
    svirt_string_free(text);
    text = svirt_manager_base_label(manager, "selinux", "kvm");
    assert_string_equal(text, "system_u:system_r:svirt_t:s0");
    svirt_string_free(text);
    assert_call(0, svirt_domain_release_security_label(manager, a, &error));
    assert_call(0, svirt_domain_release_security_label(manager, c, &error));
    svirt_domain_free(a);
    svirt_domain_free(b);
    svirt_domain_free(c);
    svirt_manager_close(manager);
}

static void images_get_labels_and_get_them_back(void **state)
{
    svirt_manager *manager = open_manager("selinux", NULL, NULL);
    svirt_domain *domains[] = {guest(1), guest(2)};
    char *own[] = {make_file("a.img", 0600), make_file("b.img", 0600)};
    char *shared = make_file("shared.img", 0600), *iso = make_file("iso", 0600), *port = "/dev/ttyS3", before[256], port_before[256], *label;
    (void)state;
    strcpy(before, context_of(iso));
    strcpy(port_before, context_of(port));
    for (int i = 0; i < 2; i++) {
        svirt_domain *domain = domains[i];
        assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, own[i], 0, &error));
        assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, shared, SVIRT_FLAG_SHARED, &error));
        assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, iso, SVIRT_FLAG_READONLY, &error));
        if (i == 0)
            assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_CHARDEV_DEVICE, port, 0, &error));
        assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
        assert_call(0, svirt_domain_set_security_all_label(manager, domain, 0, &error));
        label = svirt_domain_image_label(domain, "selinux");
        assert_string_equal(context_of(own[i]), label);
        svirt_string_free(label);
        assert_string_equal(context_of(shared), "system_u:object_r:svirt_image_t:s0");
        assert_string_equal(context_of(iso), "system_u:object_r:virt_content_t:s0");
        assert_attribute(iso, "trusted.libvirt.security.selinux", before);
        assert_attribute(iso, "trusted.libvirt.security.ref_selinux", i ? "2" : "1");
    }
    label = svirt_domain_image_label(domains[0], "selinux");
    assert_string_equal(context_of(port), label);
    assert_forgotten(port); /* this policy lets nothing be remembered on a device node */
    svirt_string_free(label);
    assert_call(0, svirt_domain_restore_security_all_label(manager, domains[0], 0, &error));
    assert_string_equal(context_of(own[0]), before);
    assert_string_equal(context_of(port), port_before);
    assert_string_equal(context_of(iso), "system_u:object_r:virt_content_t:s0");
    /* Somebody changes a label while it is in use: that is left. */
    assert_int_equal(setxattr(own[1], "security.selinux", "system_u:object_r:virt_content_t:s0", 36, 0), 0);
    assert_call(0, svirt_domain_restore_security_all_label(manager, domains[1], 0, &error));
    assert_string_equal(context_of(own[1]), "system_u:object_r:virt_content_t:s0");
    assert_string_equal(context_of(iso), before);
    assert_string_equal(context_of(shared), before);
    for (int i = 0; i < 2; i++) {
        assert_forgotten(own[i]);
        assert_call(0, svirt_domain_release_security_label(manager, domains[i], &error));
        svirt_domain_free(domains[i]);
    }
    assert_forgotten(shared);
    assert_forgotten(iso);
    svirt_manager_close(manager);
}

static void a_label_that_the_policy_lacks_stops_the_child(void **state)
{
    svirt_manager *manager = open_manager("selinux", NULL, NULL);
    svirt_domain *domain = guest(1);
    void *both[] = {manager, domain};
    (void)state;
    assert_call(0, svirt_domain_set_seclabel(domain, "selinux", SVIRT_SECLABEL_DYNAMIC, "u:r:no_such_t", 1, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    assert_int_equal(in_child(exec_confined, both), EINVAL);
    assert_call(0, svirt_domain_release_security_label(manager, domain, &error));
    assert_call(0, svirt_domain_set_seclabel(domain, "selinux", SVIRT_SECLABEL_DYNAMIC, NULL, 1, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    assert_int_equal(in_child(exec_confined, both), 0);
    assert_call(0, svirt_domain_release_security_label(manager, domain, &error));
    svirt_domain_free(domain);
    svirt_manager_close(manager);
}

static void an_unconfined_process_is_found(void **state)
{
    svirt_manager *manager = open_manager(NULL, NULL, NULL);
    svirt_domain *domain = guest(1);
    svirt_process_label live;
    char *model = svirt_manager_model(manager, 0);
    (void)state;
    assert_string_equal(model, "selinux");
    svirt_string_free(model);
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    assert_call(-EPERM, svirt_domain_check_security_process_label(manager, domain, getpid(), &error));
    assert_call(0, svirt_domain_get_security_process_label(manager, domain, NULL, getpid(), &live, &error));
    assert_string_equal(live.label, "system_u:system_r:virtd_t:s0");
    assert_int_equal(live.enforcing, 1);
    assert_call(0, svirt_domain_release_security_label(manager, domain, &error));
    svirt_domain_free(domain);
    svirt_manager_close(manager);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twenty_eight_pairs_and_no_more),
        cmocka_unit_test(static_and_base_labels),
        cmocka_unit_test(images_get_labels_and_get_them_back),
        cmocka_unit_test(a_label_that_the_policy_lacks_stops_the_child),
        cmocka_unit_test(an_unconfined_process_is_found),
    };
    return cmocka_run_group_tests_name("selinux", tests, make_folder, remove_folder);
}
