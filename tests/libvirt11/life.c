/*
 * A guest's life as libvirt 11's daemon calls it, on its libvirt.so with libsvirt preloaded. Its private functions
 * have no header; eight of the methods behind them have other arguments than in 9.x, which is what this is about.
 *   life DISK
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define OWNER 4711
/* Guests are confined by default; as root; owners follow the guests. */
#define FLAGS (1 << 1 | 1 << 3 | 1 << 4)

extern int virInitialize(void);
extern int virGetVersion(unsigned long *, const char *, unsigned long *);
extern const char *virGetLastErrorMessage(void);

static unsigned passed;

static void check(const char *name, bool holds)
{
    if (!holds) {
        printf("FAILED: %s: %s\ntotal: %u passed, 1 failed\n", name, virGetLastErrorMessage(), passed);
        exit(1);
    }
    printf("ok: %s\n", name);
    passed++;
}

static void *private(const char *name)
{
    void *found = dlvsym(RTLD_DEFAULT, name, "LIBVIRT_PRIVATE_11.3.0");
    if (!found) {
        printf("FAILED: no %s\ntotal: %u passed, 1 failed\n", name, passed);
        exit(1);
    }
    return found;
}
#define CALL(result, name, ...) ((result(*)())private(name))(__VA_ARGS__)

static unsigned owner(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 ? facts.st_uid : ~0u;
}

/* What libsvirt alone writes. */
static bool remembered(const char *path)
{
    return getxattr(path, "trusted.svirt.dac", NULL, 0) > 0;
}

int main(int argc, char **argv)
{
    const char *disk = argc > 1 ? argv[1] : "";
    const char *const shared[] = { NULL };
    unsigned long version = 0;
    char xml[1024];
    setvbuf(stdout, NULL, _IOLBF, 0);
    check("libvirt 11.3.0", virInitialize() == 0 && virGetVersion(&version, NULL, NULL) == 0 && version == 11003000);
    /* As libvirt's drivers find it: the preloaded library comes first. */
    void *(*new_dac)(const char *, uid_t, gid_t, unsigned, void *);
    *(void **)&new_dac = dlsym(RTLD_DEFAULT, "virSecurityManagerNewDAC");
    void *dac = new_dac ? new_dac("QEMU", OWNER, OWNER, FLAGS, NULL) : NULL;
    void *manager = dac ? CALL(void *, "virSecurityManagerNewStack", dac) : NULL;
    check("a manager", manager);
    snprintf(xml, sizeof(xml),
        "<domain type='qemu'><name>eleven</name><uuid>0b15ad3c-11f4-4b0c-a8e2-00000000000b</uuid><memory>1024</memory>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><disk type='file' device='disk'>"
        "<driver name='qemu' type='raw'/><source file='%s'/><target dev='vda' bus='virtio'/></disk></devices></domain>",
        disk);
    void *options = CALL(void *, "virDomainXMLOptionNew", NULL, NULL, NULL, NULL, NULL, NULL);
    void *domain = CALL(void *, "virDomainDefParseString", xml, options, NULL, 1);
    check("a domain", domain);
    check("gen", CALL(int, "virSecurityManagerGenLabel", manager, domain) == 0);

    check("transaction start", CALL(int, "virSecurityManagerTransactionStart", manager, shared) == 0);
    check("set all", CALL(int, "virSecurityManagerSetAllLabel", manager, shared, domain, NULL, false, false) == 0);
    check("nothing is labelled before the commit", owner(disk) == 0);
    check("transaction commit", CALL(int, "virSecurityManagerTransactionCommit", manager, -1, true) == 0);
    check("the disk is the guest's, and libsvirt made it so", owner(disk) == OWNER && remembered(disk));

    void **image = CALL(void **, "virDomainDiskByName", domain, "vda", false);
    check("restore an image", image && CALL(int, "virSecurityManagerRestoreImageLabel", manager, shared, domain, *image, 0) == 0);
    check("it is as it was", owner(disk) == 0 && !remembered(disk));
    check("set an image", CALL(int, "virSecurityManagerSetImageLabel", manager, shared, domain, *image, 0) == 0);
    check("it is the guest's again", owner(disk) == OWNER && remembered(disk));

    /* What a child would be given: the command runs "id -u" as the guest's user. */
    char *text = NULL;
    void *command = CALL(void *, "virCommandNew", "/bin/id");
    CALL(void, "virCommandAddArg", command, "-u");
    CALL(void, "virCommandSetOutputBuffer", command, &text);
    check("a child's label", CALL(int, "virSecurityManagerSetChildProcessLabel", manager, domain, false, command) == 0);
    check("it runs", CALL(int, "virCommandRun", command, NULL) == 0);
    check("as the guest's user", text && atoi(text) == OWNER);

    check("restore all", CALL(int, "virSecurityManagerRestoreAllLabel", manager, shared, domain, false, false) == 0);
    check("release", CALL(int, "virSecurityManagerReleaseLabel", manager, domain) == 0);
    check("the disk is as it was", owner(disk) == 0 && !remembered(disk));
    printf("total: %u passed, 0 failed\n", passed);
    return 0;
}
