/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SVIRT_TESTS_COMMON_H
#define SVIRT_TESTS_COMMON_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>
#include <svirt.h>

#define UUID_A "0b15ad3c-11f4-4b0c-a8e2-00000000000a"
#define UUID_B "0b15ad3c-11f4-4b0c-a8e2-00000000000b"

/* Fails with the library's own message when a call does not end as expected. */
#define assert_call(expected, call)                                                                                 \
    do {                                                                                                            \
        svirt_error *error = NULL;                                                                                  \
        int result_ = (call);                                                                                       \
        if (result_ != (expected))                                                                                  \
            fail_msg("%s gave %d: %s", #call, result_, error ? svirt_error_message(error) : "no message");          \
        if (result_ < 0) {                                                                                          \
            assert_non_null(error);                                                                                 \
            assert_int_equal(svirt_error_number(error), -result_);                                                  \
            assert_true(strlen(svirt_error_message(error)) > 5);                                                    \
        } else {                                                                                                    \
            assert_null(error);                                                                                     \
        }                                                                                                           \
        svirt_error_free(error);                                                                                    \
    } while (0)

/* A folder for one test, with its own reservations; options that point there. */
static char folder[64];

static inline svirt_options *options_here(void)
{
    char run[128];
    svirt_options *options = svirt_options_new();
    snprintf(run, sizeof run, "%s/run", folder);
    assert_int_equal(svirt_options_set(options, "runtime_dir", run, NULL), 0);
    assert_int_equal(svirt_options_set(options, "owner", "c-tests", NULL), 0);
    return options;
}

static inline svirt_manager *open_manager(const char *drivers, const char *name, const char *value)
{
    svirt_manager *manager;
    svirt_options *options = options_here();
    if (name)
        assert_call(0, svirt_options_set(options, name, value, &error));
    assert_call(0, svirt_manager_open(drivers, options, &manager, &error));
    svirt_options_free(options);
    return manager;
}

static inline svirt_domain *new_domain(const char *uuid)
{
    svirt_domain *domain;
    assert_call(0, svirt_domain_new("guest", uuid, "kvm", &domain, &error));
    return domain;
}

static inline char *in_folder(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static inline char *make_file(const char *name, mode_t mode)
{
    char *path = in_folder(name);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    return path;
}

static inline void assert_owner(const char *path, uid_t uid, gid_t gid)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, uid);
    assert_int_equal(st.st_gid, gid);
}

/* Nothing of what the library remembers is left on a file. */
static inline void assert_forgotten(const char *path)
{
    char list[2048];
    ssize_t length = listxattr(path, list, sizeof list);
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(list + at) + 1)
        if (!strncmp(list + at, "trusted.", 8) || !strcmp(list + at, "system.posix_acl_access"))
            fail_msg("%s still has %s", path, list + at);
}

static inline void assert_attribute(const char *path, const char *name, const char *value)
{
    char has[512] = "";
    ssize_t length = getxattr(path, name, has, sizeof has - 1);
    if (!value) {
        assert_int_equal(length, -1);
        return;
    }
    if (length < 0)
        fail_msg("%s has no %s", path, name);
    assert_string_equal(has, value);
}

/* The exit status of a child that runs `body`. */
static inline int in_child(int (*body)(void *), void *opaque)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(20);
        _exit(body(opaque));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline int make_folder(void **state)
{
    (void)state;
    strcpy(folder, access("/var/lib/libvirt/images", W_OK) == 0 ? "/var/lib/libvirt/images/svirt-XXXXXX" : "/tmp/svirt-XXXXXX");
    return mkdtemp(folder) ? chmod(folder, 0711) : -1;
}

static inline int remove_folder(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}
#endif
