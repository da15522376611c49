/* The whole life of guests under DAC, with real files. Runs as root.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "common.h"

#include <signal.h>

static char *program;

static uid_t uid_of(const svirt_domain *domain)
{
    char *label = svirt_domain_label(domain, "dac");
    unsigned uid = 0;
    assert_non_null(label);
    assert_int_equal(sscanf(label, "+%u:", &uid), 1);
    svirt_string_free(label);
    return uid;
}

static void one_user_for_all(void **state)
{
    svirt_manager *manager = open_manager("dac", "dac.user", "+4711");
    svirt_domain *domain = new_domain(UUID_A);
    char *disk = make_file("disk", 0600), *kernel = make_file("kernel", 0644), *text;
    (void)state;
    assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, disk, 0, &error));
    assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_KERNEL, kernel, 0, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    text = svirt_domain_label(domain, "dac");
    assert_string_equal(text, "+4711:+4711");
    svirt_string_free(text);
    assert_call(0, svirt_domain_set_security_all_label(manager, domain, 0, &error));
    assert_owner(disk, 4711, 4711);
    assert_owner(kernel, 4711, 4711);
    assert_attribute(disk, "trusted.libvirt.security.dac", "+0:+0");
    assert_attribute(disk, "trusted.libvirt.security.ref_dac", "1");
    assert_call(0, svirt_domain_restore_security_all_label(manager, domain, 0, &error));
    assert_owner(disk, 0, 0);
    assert_owner(kernel, 0, 0);
    assert_forgotten(disk);
    assert_forgotten(kernel);
    assert_call(0, svirt_domain_release_security_label(manager, domain, &error));
    assert_null(svirt_domain_label(domain, "dac"));
    svirt_domain_free(domain);
    svirt_manager_close(manager);
}

static void a_uid_each_and_what_they_share(void **state)
{
    svirt_manager *manager = open_manager("dac", "dac.uid_range", "200000-200009");
    svirt_domain *a = new_domain(UUID_A), *b = new_domain(UUID_B), *domains[] = {a, b};
    char *own[] = {make_file("a.img", 0600), make_file("b.img", 0600)};
    char *shared = make_file("shared.img", 0660), *iso = make_file("iso", 0600);
    struct stat before, after;
    (void)state;
    assert_int_equal(stat(shared, &before), 0);
    for (int i = 0; i < 2; i++) {
        svirt_domain *domain = domains[i];
        assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, own[i], 0, &error));
        assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, shared, SVIRT_FLAG_SHARED, &error));
        assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, iso, SVIRT_FLAG_READONLY, &error));
        assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
        assert_call(0, svirt_domain_set_security_all_label(manager, domain, 0, &error));
        assert_owner(own[i], uid_of(domain), uid_of(domain));
    }
    assert_int_not_equal(uid_of(a), uid_of(b));
    assert_owner(shared, 0, 0);
    assert_attribute(shared, "trusted.libvirt.security.ref_dac", "2");
    assert_call(0, svirt_domain_restore_security_all_label(manager, a, 0, &error));
    assert_owner(own[0], 0, 0);
    assert_owner(own[1], uid_of(b), uid_of(b));
    assert_attribute(shared, "trusted.libvirt.security.ref_dac", "1");
    assert_call(0, svirt_domain_restore_security_all_label(manager, b, 0, &error));
    assert_owner(own[1], 0, 0);
    assert_forgotten(shared);
    assert_forgotten(iso);
    assert_int_equal(stat(shared, &after), 0);
    assert_int_equal(before.st_mode, after.st_mode);
    for (int i = 0; i < 2; i++) {
        assert_call(0, svirt_domain_release_security_label(manager, domains[i], &error));
        svirt_domain_free(domains[i]);
    }
    svirt_manager_close(manager);
}

static void in_use_is_busy_and_changes_nothing(void **state)
{
    svirt_manager *manager = open_manager("dac", "dac.uid_range", "200000-200009");
    svirt_domain *a = new_domain(UUID_A), *b = new_domain(UUID_B);
    char *first = make_file("1.img", 0600), *common = make_file("2.img", 0600), *link = in_folder("link");
    svirt_error *error = NULL;
    (void)state;
    assert_int_equal(symlink(common, link), 0);
    assert_call(0, svirt_domain_add_resource(a, SVIRT_RESOURCE_DISK, common, 0, &error));
    assert_call(0, svirt_domain_add_resource(b, SVIRT_RESOURCE_DISK, first, 0, &error));
    assert_call(0, svirt_domain_add_resource(b, SVIRT_RESOURCE_DISK, link, 0, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, a, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, b, &error));
    assert_call(0, svirt_domain_set_security_all_label(manager, a, 0, &error));
    assert_int_equal(svirt_domain_set_security_all_label(manager, b, 0, &error), -EBUSY);
    assert_string_equal(svirt_error_path(error), link);
    assert_non_null(strstr(svirt_error_message(error), UUID_A));
    svirt_error_free(error);
    assert_owner(first, 0, 0);
    assert_forgotten(first);
    assert_owner(common, uid_of(a), uid_of(a));
    assert_attribute(common, "trusted.libvirt.security.ref_dac", "1");
    /* What b never held, b does not give back. */
    assert_call(0, svirt_domain_restore_security_all_label(manager, b, 0, &error));
    assert_owner(common, uid_of(a), uid_of(a));
    assert_call(0, svirt_domain_restore_security_all_label(manager, a, 0, &error));
    assert_owner(common, 0, 0);
    assert_call(0, svirt_domain_release_security_label(manager, a, &error));
    assert_call(0, svirt_domain_release_security_label(manager, b, &error));
    svirt_domain_free(a);
    svirt_domain_free(b);
    svirt_manager_close(manager);
}

static void missing_files_undo_everything(void **state)
{
    svirt_manager *manager = open_manager("dac", "dac.user", "+4711");
    svirt_domain *domain = new_domain(UUID_A);
    char *disk = make_file("a-disk", 0600), *gone = in_folder("zzz");
    svirt_error *error = NULL;
    (void)state;
    assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, disk, 0, &error));
    assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, gone, 0, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    assert_int_equal(svirt_domain_set_security_all_label(manager, domain, 0, &error), -ENOENT);
    assert_string_equal(svirt_error_path(error), gone);
    svirt_error_free(error);
    assert_owner(disk, 0, 0);
    assert_forgotten(disk);
    assert_call(0, svirt_domain_release_security_label(manager, domain, &error));
    svirt_domain_free(domain);
    svirt_manager_close(manager);
}

static void labels_run_out_and_come_back(void **state)
{
    svirt_manager *manager = open_manager("dac", "dac.uid_range", "300000-300003");
    svirt_domain *domains[5];
    char uuid[64];
    (void)state;
    for (int i = 0; i < 5; i++) {
        snprintf(uuid, sizeof uuid, "0b15ad3c-11f4-4b0c-a8e2-0000000001%02d", i);
        domains[i] = new_domain(uuid);
        assert_call(i < 4 ? 0 : -ENOSPC, svirt_domain_gen_security_label(manager, domains[i], &error));
    }
    svirt_domain_free(domains[2]);
    domains[2] = new_domain("0b15ad3c-11f4-4b0c-a8e2-000000000102"); /* another handle of the same domain */
    assert_call(0, svirt_domain_release_security_label(manager, domains[2], &error));
    assert_call(0, svirt_domain_gen_security_label(manager, domains[4], &error));
    for (int i = 0; i < 5; i++) {
        assert_call(0, svirt_domain_release_security_label(manager, domains[i], &error));
        svirt_domain_free(domains[i]);
    }
    svirt_manager_close(manager);
}

static void static_labels_are_exclusive_in_the_range(void **state)
{
    svirt_manager *manager = open_manager("dac", "dac.uid_range", "400000-400003");
    svirt_domain *a = new_domain(UUID_A), *b = new_domain(UUID_B);
    svirt_error *error = NULL;
    (void)state;
    assert_call(0, svirt_domain_set_seclabel(a, "dac", SVIRT_SECLABEL_STATIC, "+400001:+5", 0, &error));
    assert_call(0, svirt_domain_set_seclabel(b, NULL, SVIRT_SECLABEL_STATIC, "400001:5", 0, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, a, &error));
    assert_int_equal(svirt_domain_gen_security_label(manager, b, &error), -EEXIST);
    assert_non_null(strstr(svirt_error_message(error), "400001"));
    svirt_error_free(error);
    assert_call(0, svirt_domain_release_security_label(manager, a, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, b, &error));
    assert_call(0, svirt_domain_release_security_label(manager, b, &error));
    svirt_domain_free(a);
    svirt_domain_free(b);
    svirt_manager_close(manager);
}

static int sleep_as(void *opaque)
{
    void **both = opaque;
    if (svirt_domain_set_security_process_label(both[0], both[1]) < 0)
        return 1;
    execl("/bin/sleep", "sleep", "30", (char *)NULL);
    return 2;
}

/* What a daemon does that was started again while its guest lived on: a process of its own.
 * Arguments: the folder, the guest's XML, an image plugged in later, the guest's pid. */
static int take_over(char **arguments)
{
    pid_t guest = atoi(arguments[3]);
    svirt_manager *manager;
    svirt_domain *domain, *stranger;
    strcpy(folder, arguments[0]);
    manager = open_manager("dac", "dac.uid_range", "500000-500099");
    stranger = new_domain(UUID_B);
    assert_call(0, svirt_domain_from_xml(arguments[1], &domain, &error));
    assert_call(-EEXIST, svirt_domain_reserve_security_label(manager, stranger, guest, &error));
    assert_call(0, svirt_domain_reserve_security_label(manager, domain, guest, &error));
    assert_call(0, svirt_domain_check_security_process_label(manager, domain, guest, &error));
    assert_call(0, svirt_domain_restore_security_resource_label(manager, domain, SVIRT_RESOURCE_DISK, arguments[2], 0, &error));
    assert_call(0, svirt_domain_restore_security_all_label(manager, domain, 0, &error));
    assert_call(0, svirt_domain_release_security_label(manager, domain, &error));
    svirt_domain_free(domain);
    svirt_domain_free(stranger);
    svirt_manager_close(manager);
    return 0;
}

static int become_new_daemon(void *opaque)
{
    execv(((char **)opaque)[0], opaque);
    return 126;
}

static void a_new_daemon_takes_a_living_guest_over(void **state)
{
    svirt_manager *manager = open_manager("dac", "dac.uid_range", "500000-500099");
    svirt_domain *domain = new_domain(UUID_A), *again;
    char *disk = make_file("live.img", 0600), *plug = make_file("plug.img", 0600), *xml, cmdline[64] = "", pid[16];
    void *both[] = {manager, domain};
    svirt_process_label live;
    pid_t guest;
    uid_t uid;
    int fd;
    (void)state;
    assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, disk, 0, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    assert_call(0, svirt_domain_set_security_all_label(manager, domain, 0, &error));
    assert_call(0, svirt_domain_set_security_resource_label(manager, domain, SVIRT_RESOURCE_DISK, plug, 0, &error));
    uid = uid_of(domain);
    assert_owner(plug, uid, uid);
    if ((guest = fork()) == 0)
        _exit(sleep_as(both));
    while (strcmp(cmdline, "sleep") != 0) {
        char name[64];
        snprintf(name, sizeof name, "/proc/%d/cmdline", guest);
        assert_true((fd = open(name, O_RDONLY | O_CLOEXEC)) >= 0 && read(fd, cmdline, sizeof cmdline - 1) >= 0);
        close(fd);
    }
    assert_call(0, svirt_domain_check_security_process_label(manager, domain, guest, &error));
    assert_call(-EPERM, svirt_domain_check_security_process_label(manager, domain, getpid(), &error));
    assert_call(0, svirt_domain_get_security_process_label(manager, NULL, "dac", guest, &live, &error));
    assert_int_equal(live.enforcing, 1);
    xml = svirt_domain_to_xml(domain);
    assert_non_null(xml);
    svirt_domain_free(domain);
    snprintf(pid, sizeof pid, "%d", guest);
    assert_int_equal(in_child(become_new_daemon, (char *[]){program, folder, xml, plug, pid, NULL}), 0);
    assert_owner(disk, 0, 0);
    assert_owner(plug, 0, 0);
    assert_forgotten(disk);
    assert_forgotten(plug);
    kill(guest, SIGKILL);
    waitpid(guest, NULL, 0);
    /* The first process still has the images in its table; giving back what is back changes nothing. */
    again = new_domain(UUID_A);
    assert_call(0, svirt_domain_restore_security_all_label(manager, again, 0, &error));
    assert_owner(disk, 0, 0);
    svirt_domain_free(again);
    svirt_string_free(xml);
    svirt_manager_close(manager);
}

static int count_images(const svirt_image *image, void *opaque)
{
    assert_int_equal(image->size, sizeof *image);
    assert_string_equal(image->model, "dac");
    assert_string_equal(image->original, "+0:+0");
    assert_string_equal(image->label, "+4711:+4711");
    assert_int_equal(image->holders, 1);
    assert_string_equal(image->holder_uuids[0], UUID_A);
    return ++*(int *)opaque == 2 ? 77 : 0;
}

static void images_can_be_listed(void **state)
{
    svirt_manager *manager = open_manager("dac", "dac.user", "+4711");
    svirt_domain *domain = new_domain(UUID_A);
    int count = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        char name[] = "list0";
        name[4] += (char)i;
        assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, make_file(name, 0600), 0, &error));
    }
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    assert_call(0, svirt_domain_set_security_all_label(manager, domain, 0, &error));
    assert_int_equal(svirt_manager_foreach_image(manager, count_images, &count), 77);
    count = -10;
    assert_int_equal(svirt_manager_foreach_image(manager, count_images, &count), 3);
    assert_call(0, svirt_domain_restore_security_all_label(manager, domain, 0, &error));
    assert_int_equal(svirt_manager_foreach_image(manager, count_images, &count), 0);
    assert_call(0, svirt_domain_release_security_label(manager, domain, &error));
    svirt_domain_free(domain);
    svirt_manager_close(manager);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_user_for_all),
        cmocka_unit_test(a_uid_each_and_what_they_share),
        cmocka_unit_test(in_use_is_busy_and_changes_nothing),
        cmocka_unit_test(missing_files_undo_everything),
        cmocka_unit_test(labels_run_out_and_come_back),
        cmocka_unit_test(static_labels_are_exclusive_in_the_range),
        cmocka_unit_test(a_new_daemon_takes_a_living_guest_over),
        cmocka_unit_test(images_can_be_listed),
    };
    program = argv[0];
    if (argc == 5)
        return take_over(argv + 1);
    return cmocka_run_group_tests_name("dac", tests, make_folder, remove_folder);
}
