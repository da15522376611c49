/* What changes while guests run, under a kernel that enforces SELinux; run inside the booted one, as virtd_t.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "hotplug.h"

#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

static svirt_manager *manager;

static char *context_of(const char *path)
{
    static char contexts[4][256];
    static unsigned next;
    char *context = contexts[next++ % 4];
    ssize_t length = getxattr(path, "security.selinux", context, sizeof contexts[0] - 1);
    if (length <= 0)
        fail_msg("%s: %s", path, strerror(errno));
    context[length] = '\0';
    return context;
}

static svirt_domain *started(const char *disk)
{
    svirt_domain *domain = new_domain(UUID_A);
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

/* The label of a new socket, or the errno of making it. */
static const char *new_socket(void)
{
    static __thread char context[256];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t length;
    if (fd < 0)
        return strerror(errno);
    length = fgetxattr(fd, "security.selinux", context, sizeof context - 1);
    close(fd);
    assert_true(length > 0);
    context[length] = '\0';
    return context;
}

/* A thread that was there before, and what it finds when it is told to go on. */
static void *usual_socket(void *go_on)
{
    char byte;
    return read(*(int *)go_on, &byte, 1) == 1 ? strdup(new_socket()) : NULL;
}

static int socket_in_a_child(void *domain)
{
    char *label = getenv("LABEL");
    if (svirt_domain_set_security_socket_label(manager, domain, NULL))
        return 1;
    return strcmp(new_socket(), label) != 0;
}

static void sockets(void **state)
{
    svirt_domain *domain = started(NULL);
    char *label = svirt_domain_label(domain, "selinux"), own[256], daemon[512];
    pthread_t other;
    void *others;
    int go_on[2];
    (void)state;
    strcpy(own, new_socket());
    assert_int_equal(pipe2(go_on, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&other, NULL, usual_socket, go_on), 0);
    assert_call(0, svirt_domain_set_security_socket_label(manager, domain, &error));
    assert_string_equal(new_socket(), label);
    assert_int_equal(write(go_on[1], "", 1), 1);
    assert_int_equal(pthread_join(other, &others), 0);
    assert_non_null(others);
    assert_string_equal(others, own);
    free(others);
    close(go_on[0]);
    close(go_on[1]);
    assert_int_equal(svirt_domain_set_security_daemon_socket_label(manager, domain, NULL), 0);
    snprintf(daemon, sizeof daemon, "system_u:system_r:virtd_t%s", strchr(strstr(label, "svirt_t"), ':'));
    assert_string_equal(new_socket(), daemon);
    assert_call(0, svirt_domain_clear_security_socket_label(manager, domain, &error));
    assert_string_equal(new_socket(), own);
    setenv("LABEL", label, 1);
    assert_int_equal(in_child(socket_in_a_child, domain), 0);
    assert_string_equal(new_socket(), own);
    svirt_string_free(label);
    stop(domain);
}

static void mount_options(void **state)
{
    svirt_domain *domain = started(NULL);
    char *image = svirt_domain_image_label(domain, "selinux"), wanted[300];
    char *options = svirt_domain_security_mount_options(manager, domain);
    (void)state;
    snprintf(wanted, sizeof wanted, ",context=\"%s\"", image);
    assert_string_equal(options, wanted);
    svirt_string_free(options);
    svirt_string_free(image);
    stop(domain);
}

static void a_moved_image(void **state)
{
    char *from = make_file("from", 0600), *to = make_file("to", 0600), before[256], *image;
    svirt_domain *domain;
    (void)state;
    strcpy(before, context_of(from));
    domain = started(from);
    image = svirt_domain_image_label(domain, "selinux");
    assert_call(0, svirt_domain_move_image(manager, domain, from, to, &error));
    assert_string_equal(context_of(from), before);
    assert_string_equal(context_of(to), image);
    assert_attribute(to, "trusted.libvirt.security.selinux", before);
    assert_attribute(to, "trusted.libvirt.security.ref_selinux", "1");
    assert_forgotten(from);
    svirt_string_free(image);
    stop(domain);
    assert_string_equal(context_of(to), before);
    assert_forgotten(to);
}

static void descriptors(void **state)
{
    char *disk = make_file("disk", 0600), *deleted = make_file("deleted", 0600), before[256], name[64], *image;
    svirt_domain *domain = started(NULL);
    int named = open(disk, O_RDONLY | O_CLOEXEC), nameless = open(deleted, O_RDWR | O_CLOEXEC);
    (void)state;
    strcpy(before, context_of(disk));
    image = svirt_domain_image_label(domain, "selinux");
    assert_int_equal(unlink(deleted), 0);
    snprintf(name, sizeof name, "/proc/self/fd/%d", nameless);
    assert_call(0, svirt_domain_set_security_fd_label(manager, domain, named, SVIRT_RESOURCE_DISK, &error));
    assert_call(0, svirt_domain_set_security_fd_label(manager, domain, nameless, SVIRT_RESOURCE_SAVED_STATE, &error));
    assert_call(-EBADF, svirt_domain_set_security_fd_label(manager, domain, 999, SVIRT_RESOURCE_DISK, &error));
    assert_call(-EINVAL, svirt_domain_set_security_fd_label(manager, domain, named, SVIRT_RESOURCE_TAP, &error));
    close(named);
    assert_string_equal(context_of(disk), image);
    assert_string_equal(context_of(name), image);
    svirt_string_free(image);
    stop(domain);
    assert_string_equal(context_of(disk), before);
    assert_string_equal(context_of(name), before);
    assert_forgotten(disk);
    close(nameless);
}

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void in_another_mount_namespace(void **state)
{
    char *disk = make_file("disk", 0600), before[256], *image;
    svirt_domain *domain = new_domain(UUID_A);
    pid_t pid = process_elsewhere(NULL, NULL);
    (void)state;
    strcpy(before, context_of(disk));
    assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, disk, 0, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    image = svirt_domain_image_label(domain, "selinux");
    for (int round = 0; round < 2; round++) {
        pid_t where = round ? pid : -1;
        double begin = milliseconds();
        assert_call(0, svirt_manager_transaction_start(manager, &error));
        assert_call(0, svirt_domain_set_security_all_label(manager, domain, 0, &error));
        assert_call(0, svirt_manager_transaction_commit(manager, where, &error));
        print_message("a transaction %s: %.2f ms\n", round ? "in a namespace" : "here", milliseconds() - begin);
        assert_string_equal(context_of(disk), image);
        assert_call(0, svirt_manager_transaction_start(manager, &error));
        assert_call(0, svirt_domain_restore_security_all_label(manager, domain, 0, &error));
        assert_call(0, svirt_manager_transaction_commit(manager, where, &error));
        assert_string_equal(context_of(disk), before);
    }
    end_process(pid);
    svirt_string_free(image);
    stop(domain);
}

static int set_up(void **state)
{
    if (make_folder(state))
        return -1;
    manager = open_manager("selinux", NULL, NULL);
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
        cmocka_unit_test(sockets),
        cmocka_unit_test(mount_options),
        cmocka_unit_test(a_moved_image),
        cmocka_unit_test(descriptors),
        cmocka_unit_test(in_another_mount_namespace),
    };
    return cmocka_run_group_tests_name("selinux-hotplug", tests, set_up, tear_down);
}
