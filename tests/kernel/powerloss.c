/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One boot of the power loss test: gives back what the last boot's guests held, checks that every file is as it
 * was made, then starts and stops guests until the power goes.
 *   powerloss setup|check|run FOLDER */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <svirt.h>

enum { GUESTS = 3, DISKS = 4, FILES = GUESTS * DISKS + 2 };

static const char *folder;
static svirt_manager *manager;

static void fail(const char *what, svirt_error *error)
{
    printf("FAILED: %s: %s\n", what, error ? svirt_error_message(error) : strerror(errno));
    exit(1);
}

/* The private disks of all guests, then one that all write and one that all read. */
static const char *file(int number, char *path)
{
    snprintf(path, PATH_MAX, "%s/disk-%d", folder, number);
    return path;
}

static void setup(void)
{
    char path[PATH_MAX];

    for (int n = 0; n < FILES; n++) {
        int fd = open(file(n, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

        if (fd < 0 || fchown(fd, 10 + n, 20 + n) < 0 || fsync(fd) < 0 || close(fd) < 0)
            fail(path, NULL);
    }
}

static int check(void)
{
    char path[PATH_MAX], names[4096], context[256];
    int wrong = 0;

    for (int n = 0; n < FILES; n++) {
        struct stat facts;
        ssize_t length;

        if (stat(file(n, path), &facts) < 0 || (length = listxattr(path, names, sizeof names)) < 0)
            fail(path, NULL);
        if (facts.st_uid != 10u + n || facts.st_gid != 20u + n || (facts.st_mode & 07777) != 0640) {
            printf("FAILED: %s belongs to %u:%u, mode %o\n", path, facts.st_uid, facts.st_gid, facts.st_mode);
            wrong++;
        }
        for (char *name = names; name < names + length; name += strlen(name) + 1) {
            if (strcmp(name, "security.selinux") != 0) {
                printf("FAILED: %s has the attribute %s\n", path, name);
                wrong++;
            }
        }
        length = getxattr(path, "security.selinux", context, sizeof context - 1);
        context[length < 0 ? 0 : length] = 0;
        if (!strstr(context, ":virt_image_t:s0") || strchr(context, ',')) {
            printf("FAILED: %s has the context %s\n", path, context);
            wrong++;
        }
    }
    return wrong;
}

static void *guest(void *argument)
{
    int number = (int)(intptr_t)argument;
    char uuid[64], path[PATH_MAX];

    for (unsigned cycle = 0;; cycle++) {
        svirt_domain *domain = NULL;
        svirt_error *error = NULL;

        /* Another domain every time, so that nothing is found again by its uuid alone. */
        snprintf(uuid, sizeof uuid, "0b15ad3c-11f4-4b0c-%04x-%012x", number, cycle);
        if (svirt_domain_new("powerloss", uuid, "kvm", &domain, &error) < 0)
            fail("new", error);
        for (int n = 0; n < DISKS; n++)
            if (svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, file(number * DISKS + n, path), 0, &error) < 0)
                fail("add", error);
        if (svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, file(FILES - 2, path), SVIRT_FLAG_SHARED, &error) < 0 ||
            svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, file(FILES - 1, path), SVIRT_FLAG_READONLY, &error) < 0 ||
            svirt_domain_gen_security_label(manager, domain, &error) < 0 ||
            svirt_domain_set_security_all_label(manager, domain, 0, &error) < 0)
            fail("start", error);
        /* The host's own writing back makes cuts between any two of our writes likelier. */
        if (cycle % 3 == 0)
            sync();
        if (svirt_domain_restore_security_all_label(manager, domain, 0, &error) < 0 ||
            svirt_domain_release_security_label(manager, domain, &error) < 0)
            fail("stop", error);
        svirt_domain_free(domain);
        if (cycle == 0) {
            printf("guest %d was started and stopped\n", number);
            fflush(stdout);
        }
    }
    return NULL;
}

static void logged(int level, const char *message, void *opaque)
{
    (void)opaque;
    if (level >= SVIRT_LOG_WARNING)
        printf("log: %s\n", message);
}

int main(int argc, char **argv)
{
    svirt_options *options = svirt_options_new();
    svirt_error *error = NULL;
    char state[PATH_MAX];

    if (argc != 3)
        return 2;
    folder = argv[2];
    if (strcmp(argv[1], "setup") == 0) {
        setup();
        return 0;
    }
    svirt_set_log_handler(logged, NULL);
    snprintf(state, sizeof state, "%s/state", folder);
    if (svirt_options_set(options, "state_dir", state, &error) < 0 ||
        svirt_options_set(options, "owner", "powerloss", &error) < 0 ||
        svirt_options_set(options, "dac.uid_range", "100000-100999", &error) < 0 ||
        svirt_manager_open("selinux,dac", options, &manager, &error) < 0)
        fail("open", error);
    if (strcmp(argv[1], "check") == 0) {
        int count = svirt_manager_reconcile(manager, NULL, 0, &error);

        if (count < 0)
            fail("reconcile", error);
        printf("given back: %d domains\n", count);
        return check() != 0;
    }
    for (int n = 0; n < GUESTS; n++) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, guest, (void *)(intptr_t)n) != 0)
            fail("thread", NULL);
    }
    pause();
    return 0;
}
