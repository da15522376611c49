/*
 * Finds libvirt's functions, and proves what the shim assumes about its structures with a domain that it
 * knows everything about. Whatever does not match makes the shim decline.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include "shim.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct libvirt libvirt;
static size_t uuid_offset;

#define LABEL "probe_u:probe_r:probe_t:s0:c1,c2"
#define IMAGE "probe_u:probe_r:image_t:s0:c1,c2"
static const unsigned char uuid[16] = "\x9c\x1e\x5a\x77\x30\x2b\x4d\x68\xb1\x0f\xd4\x93\xe2\x86\x7a\x4c";
static const char probe[] =
    "<domain type='qemu'><name>svirt-probe</name><uuid>9c1e5a77-302b-4d68-b10f-d493e2867a4c</uuid>"
    "<memory>1024</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>"
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/probe/a'/><target dev='vda' bus='virtio'/></disk>"
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/probe/b'/><target dev='vdb' bus='virtio'/><readonly/></disk>"
    "</devices><seclabel type='static' model='selinux' relabel='yes'><label>" LABEL "</label><imagelabel>" IMAGE "</imagelabel></seclabel></domain>";

/* One domain with one disk, into which devices.c puts what it wants to see as XML. */
vir_domain *scratch;

/* Public functions have nodes of their own; the private ones belong to exactly one version. */
static void *private(const char *name)
{
    char node[64];
    snprintf(node, sizeof(node), "LIBVIRT_PRIVATE_%u.%u.%u", libvirt.version / 1000000,
             libvirt.version / 1000 % 1000, libvirt.version % 1000);
    return dlvsym(RTLD_NEXT, name, node);
}

const char *libvirt_resolve(void)
{
    int (*get_version)(unsigned long *, const char *, unsigned long *);
    *(void **)&get_version = dlsym(RTLD_NEXT, "virGetVersion");
    unsigned long version = 0;
    if (!get_version || get_version(&version, NULL, NULL))
        return "libvirt.so does not say its version";
    libvirt.version = (unsigned)version;
    const struct {
        void *place;
        const char *name;
    } functions[] = {
        { &libvirt.log, "virLogMessage" },
        { &libvirt.lookup, "virSecurityDriverLookup" },
        { &libvirt.manager_new, "virSecurityManagerNew" },
        { &libvirt.manager_new_dac, "virSecurityManagerNewDAC" },
        { &libvirt.domain_format, "virDomainDefFormat" },
        { &libvirt.domain_parse, "virDomainDefParseString" },
        { &libvirt.domain_free, "virDomainDefFree" },
        { &libvirt.xmlopt_new, "virDomainXMLOptionNew" },
        { &libvirt.object_unref, "virObjectUnref" },
        { &libvirt.seclabel, "virDomainDefGetSecurityLabelDef" },
        { &libvirt.disk_by_name, "virDomainDiskByName" },
        { &libvirt.disk_source, "virDomainDiskGetSource" },
        { &libvirt.hostdev_insert, "virDomainHostdevInsert" },
        { &libvirt.hostdev_remove, "virDomainHostdevRemove" },
        { &libvirt.memory_insert, "virDomainMemoryInsert" },
        { &libvirt.memory_remove, "virDomainMemoryRemove" },
        { &libvirt.input_path, "virDomainInputDefGetPath" },
        { &libvirt.chardev_path, "virDomainChrSourceDefGetPath" },
        { &libvirt.virt_type, "virDomainVirtTypeToString" },
        { &libvirt.parse_owner, "virParseOwnershipIds" },
        { &libvirt.command_selinux, "virCommandSetSELinuxLabel" },
        { &libvirt.command_apparmor, "virCommandSetAppArmorProfile" },
        { &libvirt.command_uid, "virCommandSetUID" },
        { &libvirt.command_gid, "virCommandSetGID" },
        { &libvirt.report, "virReportErrorHelper" },
    };
    const char *missing = NULL;
    for (size_t at = 0; at < sizeof(functions) / sizeof(*functions); at++) {
        void *found = private(functions[at].name);
        memcpy(functions[at].place, &found, sizeof(found));
        if (!found && !missing)
            missing = functions[at].name;
    }
    return missing;
}

static bool find_uuid(const vir_domain *domain)
{
    for (uuid_offset = 0; uuid_offset <= 64; uuid_offset += 4) {
        if (!memcmp((const char *)domain + uuid_offset, uuid, sizeof(uuid)))
            return true;
    }
    return false;
}

const unsigned char *domain_uuid(const vir_domain *domain)
{
    return (const unsigned char *)domain + uuid_offset;
}

static bool seclabel_fits(vir_domain *domain)
{
    const vir_seclabel *label = libvirt.seclabel(domain, "selinux");
    return label && label->model && !strcmp(label->model, "selinux") && label->label && !strcmp(label->label, LABEL)
        && label->imagelabel && !strcmp(label->imagelabel, IMAGE) && !label->baselabel && label->type == VIR_SECLABEL_STATIC && label->relabel
        && !label->implicit && !libvirt.seclabel(domain, "dac");
}

/* A disk begins with the pointer to its image: two disks exchange their images when the pointers are. */
static bool disks_fit(vir_domain *domain)
{
    void **a = libvirt.disk_by_name(domain, "vda", false), **b = libvirt.disk_by_name(domain, "vdb", false);
    if (!a || !b)
        return false;
    const char *path_a = libvirt.disk_source(a), *path_b = libvirt.disk_source(b);
    void *image = *a;
    *a = *b;
    *b = image;
    bool fits = path_a && path_b && libvirt.disk_source(a) == path_b && libvirt.disk_source(b) == path_a;
    char *xml = fits ? libvirt.domain_format(domain, NULL, 0) : NULL;
    const char *first = xml ? strstr(xml, "<disk ") : NULL, *second = first ? strstr(first + 1, "<disk ") : NULL;
    const char *source = first ? strstr(first, "'/probe/b'") : NULL, *readonly = first ? strstr(first, "<readonly/>") : NULL;
    fits = source && readonly && second && source < second && readonly < second && strstr(second, "'/probe/a'");
    free(xml);
    *b = *a;
    *a = image;
    return fits;
}

static bool text_fits(vir_domain *domain)
{
    char *xml = libvirt.domain_format(domain, NULL, 0), *disk = xml ? device_in(xml, "disk") : NULL;
    const char *end = xml ? strstr(xml, "\n  </devices>\n  <seclabel ") : NULL;
    bool fits = disk && strstr(disk, "'/probe/a'") && !strstr(disk, "'/probe/b'") && end && strstr(end, "\n</domain>\n");
    free(disk);
    free(xml);
    return fits;
}

const char *libvirt_probe(void)
{
    void *options = libvirt.xmlopt_new(NULL, NULL, NULL, NULL, NULL, NULL);
    vir_domain *domain = options ? libvirt.domain_parse(probe, options, NULL, 0) : NULL;
    if (options)
        libvirt.object_unref(options);
    if (!domain)
        return "its libvirt.so does not read the domain that libsvirt knows it by";
    const char *wrong = NULL;
    if (!find_uuid(domain))
        wrong = "a domain's uuid is not found in its definition";
    else if (!seclabel_fits(domain))
        wrong = "a seclabel does not look as expected";
    else if (!disks_fit(domain))
        wrong = "a disk does not look as expected";
    else if (!text_fits(domain))
        wrong = "a domain's XML does not look as expected";
    if (wrong)
        libvirt.domain_free(domain);
    else
        scratch = domain;
    return wrong;
}
