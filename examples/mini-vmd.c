/*
 * mini-vmd: a small hypervisor daemon on libsvirt's public interface alone.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Starts every guest whose libvirt domain XML it is given, each confined, shows what that means for their
 * images, tries as the first guest to get at the second one's disk, and gives everything back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <svirt.h>

enum { MAX_GUESTS = 64, MAX_DISKS = 64, MAX_IMAGES = 256, SECONDS_TO_START = 60 };

struct disk {
    char *path;
    int readonly;
};

struct guest {
    char *name, *emulator, *xml;
    struct disk disks[MAX_DISKS];
    int disk_count;
    svirt_domain *domain;
    pid_t pid;
};

struct image {
    const char *path;
    char before[512], during[512], after[512];
};

static svirt_manager *manager;
static struct guest guests[MAX_GUESTS];
static struct image images[MAX_IMAGES];
static int guest_count, image_count, images_labelled, failures;

/* The error is looked at after the call that sets it: arguments are evaluated in any order. */
static int check(int result, svirt_error **error, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "mini-vmd: %s: %s\n", what, *error ? svirt_error_message(*error) : strerror(-result));
        svirt_error_free(*error);
        *error = NULL;
        failures++;
    }
    return result;
}

static void expect(int ok, const char *what)
{
    printf("  %-66s %s\n", what, ok ? "ok" : "NOT SO");
    failures += !ok;
}

static void on_message(int level, const char *message, void *opaque)
{
    (void)opaque;
    if (level >= SVIRT_LOG_WARNING)
        fprintf(stderr, "mini-vmd: %s\n", message);
}

/* The text between two marks, copied; NULL when it is not there. A real daemon has an XML parser. */
static char *between(const char *text, const char *end, const char *open, const char *close)
{
    const char *from = strstr(text, open), *to;
    if (!from || from >= end)
        return NULL;
    from += strlen(open);
    to = strstr(from, close);
    return to && to <= end ? strndup(from, (size_t)(to - from)) : NULL;
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t size = 0;
    if (!file || getdelim(&text, &size, '\0', file) < 0) {
        fprintf(stderr, "mini-vmd: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    fclose(file);
    return text;
}

static void add_image(const char *path)
{
    for (int i = 0; i < image_count; i++)
        if (!strcmp(images[i].path, path))
            return;
    if (image_count < MAX_IMAGES)
        images[image_count++].path = path;
}

static void read_guest(const char *path)
{
    struct guest *guest = &guests[guest_count++];
    svirt_error *error = NULL;
    const char *at, *all;
    guest->xml = read_file(path);
    if (check(svirt_domain_from_xml(guest->xml, &guest->domain, &error), &error, path) < 0)
        exit(2);
    all = guest->xml + strlen(guest->xml);
    guest->name = between(guest->xml, all, "<name>", "<");
    guest->emulator = between(guest->xml, all, "<emulator>", "<");
    if (!guest->emulator)
        guest->emulator = strdup("/usr/bin/qemu-system-x86_64");
    for (at = guest->xml; (at = strstr(at, "<disk ")) && guest->disk_count < MAX_DISKS; at++) {
        const char *end = strstr(at, "</disk>");
        struct disk *disk = &guest->disks[guest->disk_count];
        disk->path = between(at, end ? end : all, "<source file='", "'");
        disk->readonly = memmem(at, (size_t)((end ? end : all) - at), "cdrom", 5) != NULL;
        if (disk->path) {
            guest->disk_count++;
            add_image(disk->path);
        }
    }
}

/* Owner, mode and context of a file, as far as it has them. */
static void describe(const char *path, char *into, size_t size)
{
    struct stat st;
    char context[256] = "", list[1024];
    ssize_t length;
    if (stat(path, &st) < 0) {
        snprintf(into, size, "%s", strerror(errno));
        return;
    }
    length = getxattr(path, "security.selinux", context, sizeof context - 1);
    context[length > 0 ? length : 0] = '\0';
    length = getxattr(path, "system.posix_acl_access", list, sizeof list);
    snprintf(into, size, "%u:%u %04o%s %s", st.st_uid, st.st_gid, st.st_mode & 07777, length > 0 ? "+acl" : "", context);
    /* Nothing that the library remembers may stay behind. */
    length = listxattr(path, list, sizeof list);
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(list + at) + 1)
        if (!strncmp(list + at, "trusted.", 8)) {
            strncat(into, " (remembered)", size - strlen(into) - 1);
            break;
        }
}

static void describe_all(size_t field)
{
    for (int i = 0; i < image_count; i++)
        describe(images[i].path, (char *)&images[i] + field, sizeof images[i].before);
}

/*
 * Starts an emulator confined as a guest. Everything that needs a lock or memory happens before fork; the
 * child only makes system calls, and ends when it cannot be confined.
 */
static pid_t start(struct guest *as, char **argv, int in, int out)
{
    int report[2], failure = 0;
    pid_t pid;
    if (pipe2(report, O_CLOEXEC) < 0 || (pid = fork()) < 0)
        return -1;
    if (pid == 0) {
        dup2(in, 0);
        dup2(out, 1);
        dup2(out, 2);
        failure = -svirt_domain_set_security_process_label(manager, as->domain);
        if (failure == 0) {
            execv(argv[0], argv);
            failure = errno;
        }
        _exit(write(report[1], &failure, sizeof failure) < 0 ? 125 : 126);
    }
    close(report[1]);
    if (read(report[0], &failure, sizeof failure) > 0) {
        fprintf(stderr, "mini-vmd: %s: the child could not be confined or started: %s\n", as->name, strerror(failure));
        waitpid(pid, NULL, 0);
        pid = -1;
    }
    close(report[0]);
    return pid;
}

static void run_guest(struct guest *guest, int null)
{
    char *argv[2 * MAX_DISKS + 20] = {guest->emulator, "-name", guest->name, "-machine", "pc", "-accel", "tcg", "-m", "32",
                                      "-nodefaults", "-display", "none", "-monitor", "none", "-S"};
    int count = 15;
    for (int i = 0; i < guest->disk_count; i++) {
        struct disk *disk = &guest->disks[i];
        argv[count++] = "-drive";
        if (asprintf(&argv[count++], "file=%s,format=raw,if=ide%s", disk->path, disk->readonly ? ",media=cdrom,readonly=on" : "") < 0)
            abort();
    }
    guest->pid = start(guest, argv, null, 2);
    for (int at = 16; at < count; at += 2)
        free(argv[at]);
}

/* Whether a process has a file open, waiting for it while the process starts. */
static int has_open(pid_t pid, const char *path)
{
    for (int tries = 0; tries < SECONDS_TO_START * 20; tries++) {
        for (int fd = 3; fd < 64; fd++) {
            char name[64], target[4096];
            ssize_t length;
            snprintf(name, sizeof name, "/proc/%d/fd/%d", pid, fd);
            length = readlink(name, target, sizeof target - 1);
            if (length > 0 && (target[length] = '\0', !strcmp(target, path)))
                return 1;
        }
        if (waitpid(pid, NULL, WNOHANG) != 0)
            return 0;
        usleep(50000);
    }
    return 0;
}

/* What happens when the emulator, confined as a guest, opens an image: 0 opened, EACCES refused, else other. */
static int try_open(struct guest *as, const char *path, int readonly)
{
    char *node, output[4096] = "";
    char *argv[] = {as->emulator, "-machine", "none", "-accel", "tcg", "-nodefaults", "-display", "none", "-S", "-monitor", "stdio",
                    "-blockdev", NULL, NULL};
    int to[2], from[2], status = -1;
    size_t length = 0;
    ssize_t count;
    pid_t pid;
    if (asprintf(&node, "driver=file,node-name=it,filename=%s,read-only=%s", path, readonly ? "on" : "off") < 0)
        abort();
    argv[sizeof argv / sizeof *argv - 2] = node;
    if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
        return errno;
    pid = start(as, argv, to[0], from[1]);
    close(to[0]);
    close(from[1]);
    if (pid > 0 && write(to[1], "quit\n", 5) < 0 && errno != EPIPE)
        return errno;
    close(to[1]);
    while (length < sizeof output - 1 && (count = read(from[0], output + length, sizeof output - 1 - length)) > 0)
        length += (size_t)count;
    close(from[0]);
    if (pid > 0)
        waitpid(pid, &status, 0);
    free(node);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (strstr(output, "Permission denied"))
        return EACCES;
    fprintf(stderr, "mini-vmd: %s\n", output);
    return EIO;
}

static void show_labels(struct guest *guest)
{
    char *model;
    for (size_t i = 0; (model = svirt_manager_model(manager, i)); i++) {
        svirt_process_label live;
        svirt_error *error = NULL;
        if (check(svirt_domain_get_security_process_label(manager, guest->domain, model, guest->pid, &live, &error), &error, guest->name) == 0)
            printf("%-10s %-8s %-50s %s\n", guest->name, model, live.label, live.enforcing ? "enforced" : "NOT ENFORCED");
        /* The others keep a profile or a ruleset for the guest instead. */
        images_labelled |= !strcmp(model, "selinux") || !strcmp(model, "dac");
        svirt_string_free(model);
    }
}

static void start_all(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < guest_count; i++) {
        struct guest *guest = &guests[i];
        svirt_error *error = NULL;
        if (check(svirt_domain_gen_security_label(manager, guest->domain, &error), &error, guest->name) < 0)
            continue;
        if (check(svirt_domain_set_security_all_label(manager, guest->domain, 0, &error), &error, guest->name) < 0)
            continue;
        run_guest(guest, null);
        if (guest->pid > 0)
            check(svirt_domain_check_security_process_label(manager, guest->domain, guest->pid, &error), &error, guest->name);
    }
    close(null);
}

static void stop_all(void)
{
    for (int i = 0; i < guest_count; i++) {
        struct guest *guest = &guests[i];
        svirt_error *error = NULL;
        if (guest->pid > 0) {
            kill(guest->pid, SIGKILL);
            waitpid(guest->pid, NULL, 0);
        }
        check(svirt_domain_restore_security_all_label(manager, guest->domain, 0, &error), &error, guest->name);
        check(svirt_domain_release_security_label(manager, guest->domain, &error), &error, guest->name);
    }
}

static void try_each_other(void)
{
    char text[512];
    for (int i = 0; i < guest_count; i++)
        for (int d = 0; d < guests[i].disk_count; d++) {
            struct disk *disk = &guests[i].disks[d];
            snprintf(text, sizeof text, "%s has opened %s", guests[i].name, disk->path);
            expect(guests[i].pid > 0 && has_open(guests[i].pid, disk->path), text);
        }
    for (int i = 0; i < guest_count; i++) {
        struct guest *one = &guests[i], *other = &guests[(i + 1) % guest_count];
        for (int d = 0; d < other->disk_count && one != other; d++) {
            struct disk *disk = &other->disks[d];
            snprintf(text, sizeof text, "as %s: reading %s %s", one->name, disk->path, disk->readonly ? "works" : "is refused");
            expect(try_open(one, disk->path, 1) == (disk->readonly ? 0 : EACCES), text);
            snprintf(text, sizeof text, "as %s: writing %s is refused", one->name, disk->path);
            expect(try_open(one, disk->path, 0) == EACCES, text);
        }
    }
}

static void usage(FILE *to)
{
    fprintf(to,
            "usage: mini-vmd [-d DRIVERS] [-o NAME=VALUE]... DOMAIN.xml...\n"
            "Runs the guests of libvirt domain XML files confined, and shows it.\n"
            "  -d DRIVERS     drivers of libsvirt, such as selinux,dac (default: what the host enforces)\n"
            "  -o NAME=VALUE  an option of libsvirt, such as dac.uid_range=100000-165535\n");
}

int main(int argc, char **argv)
{
    svirt_options *options = svirt_options_new();
    svirt_error *error = NULL;
    const char *drivers = NULL;
    static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
    for (int flag; (flag = getopt_long(argc, argv, "d:o:h", longs, NULL)) != -1;) {
        char *value = flag == 'o' ? strchr(optarg, '=') : NULL;
        if (flag == 'd') {
            drivers = optarg;
        } else if (value) {
            *value++ = '\0';
            if (check(svirt_options_set(options, optarg, value, &error), &error, "option") < 0)
                return 2;
        } else {
            usage(flag == 'h' ? stdout : stderr);
            return flag == 'h' ? 0 : 2;
        }
    }
    if (optind == argc || argc - optind > MAX_GUESTS) {
        usage(stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    svirt_set_log_handler(on_message, NULL);
    if (check(svirt_manager_open(drivers, options, &manager, &error), &error, "manager") < 0)
        return 2;
    svirt_options_free(options);
    for (int i = optind; i < argc; i++)
        read_guest(argv[i]);

    describe_all(offsetof(struct image, before));
    start_all();
    describe_all(offsetof(struct image, during));
    printf("%-10s %-8s %-50s %s\n", "GUEST", "MODEL", "LABEL OF ITS PROCESS", "");
    for (int i = 0; i < guest_count; i++)
        if (guests[i].pid > 0)
            show_labels(&guests[i]);
    printf("\nWHAT THE GUESTS CAN DO\n");
    try_each_other();
    stop_all();
    describe_all(offsetof(struct image, after));

    printf("\nIMAGES\n");
    for (int i = 0; i < image_count; i++) {
        printf("%s\n  before  %s\n  during  %s\n  after   %s\n", images[i].path, images[i].before, images[i].during, images[i].after);
        expect(!strcmp(images[i].before, images[i].after), "given back as it was");
        expect(!images_labelled == !strcmp(images[i].before, images[i].during), images_labelled ? "labelled while in use" : "left alone, as this model labels no images");
    }
    for (int i = 0; i < guest_count; i++) {
        struct guest *guest = &guests[i];
        svirt_domain_free(guest->domain);
        for (int d = 0; d < guest->disk_count; d++)
            free(guest->disks[d].path);
        free(guest->name);
        free(guest->emulator);
        free(guest->xml);
    }
    svirt_manager_close(manager);
    printf("\n%s\n", failures ? "FAILED" : "All guests ran confined, and everything was given back.");
    return failures != 0;
}
