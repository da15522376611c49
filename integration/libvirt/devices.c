/*
 * Single devices and paths. libvirt hands over its structure of a device; put into the scratch domain, libvirt
 * writes it as XML, with its own seclabels and its chain, and libsvirt reads that.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include "shim.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static pthread_mutex_t scratch_lock = PTHREAD_MUTEX_INITIALIZER;

char *device_in(const char *xml, const char *element)
{
    char open[32], close[32];
    snprintf(open, sizeof(open), "\n    <%s ", element);
    snprintf(close, sizeof(close), "\n    </%s>", element);
    const char *devices = strstr(xml, "\n  <devices>\n"), *from = devices ? strstr(devices, open) : NULL;
    const char *line = from ? strchr(from + 1, '\n') : NULL, *to = line;
    if (line && line[-2] != '/')
        to = (to = strstr(from, close)) ? to + strlen(close) : NULL;
    return to ? strndup(from, (size_t)(to - from)) : NULL;
}

/*
 * The layers below an image, everything between the first opening and the last closing, cut out: the image has
 * none then. libvirt knows the chain, so libsvirt need not look into the image for one either.
 */
static char *without_layers(char *device, bool chain)
{
    static const char end[] = "<backingStore/>", open[] = "<backingStore ", close[] = "</backingStore>";
    char *from = strstr(device, open), *to = NULL, *made = NULL;
    if (strstr(device, end) && !from)
        return device;
    if (from && chain)
        return device;
    for (char *next = from; next && (next = strstr(next, close)); next++)
        to = next + strlen(close);
    if (!to)
        from = to = strstr(device, "<target ");
    if (!to || asprintf(&made, "%.*s%s%s", (int)(from - device), device, end, to) < 0)
        made = NULL;
    free(device);
    return made;
}

static char *image_xml(void *source, bool chain)
{
    pthread_mutex_lock(&scratch_lock);
    void **disk = libvirt.disk_by_name(scratch, "vda", false), *own = *disk;
    *disk = source;
    char *xml = libvirt.domain_format(scratch, NULL, 0), *device = xml ? device_in(xml, "disk") : NULL;
    *disk = own;
    pthread_mutex_unlock(&scratch_lock);
    free(xml);
    return device ? without_layers(device, chain) : NULL;
}

static char *hostdev_xml(void *hostdev)
{
    pthread_mutex_lock(&scratch_lock);
    char *xml = NULL, *device = NULL;
    if (libvirt.hostdev_insert(scratch, hostdev) == 0) {
        xml = libvirt.domain_format(scratch, NULL, 0);
        device = xml ? device_in(xml, "hostdev") : NULL;
        libvirt.hostdev_remove(scratch, 0);
    }
    pthread_mutex_unlock(&scratch_lock);
    free(xml);
    return device;
}

static char *memory_xml(void *memory)
{
    pthread_mutex_lock(&scratch_lock);
    char *xml = NULL, *device = NULL;
    if (libvirt.memory_insert(scratch, memory) == 0) {
        xml = libvirt.domain_format(scratch, NULL, 0);
        device = xml ? device_in(xml, "memory") : NULL;
        libvirt.memory_remove(scratch, 0);
    }
    pthread_mutex_unlock(&scratch_lock);
    free(xml);
    return device;
}

typedef int device_method(svirt_manager *, svirt_domain *, const char *, svirt_error **);

static int device(vir_manager *m, vir_domain *definition, char *xml, device_method *method)
{
    const struct model *model = model_of(m);
    svirt_error *error = NULL;
    svirt_domain *domain = domain_of(model, definition);
    int status = -1;
    if (domain && !xml)
        shim_log(SHIM_WARNING, "%s: libvirt does not write a device as XML", model->name);
    if (domain && xml)
        status = reported(model, method(model->manager, domain, xml, &error), &error);
    free(xml);
    return status;
}

static int set(vir_manager *m, vir_domain *d, char *xml)
{
    return device(m, d, xml, svirt_domain_set_security_device_label);
}

static int restore(vir_manager *m, vir_domain *d, char *xml)
{
    return device(m, d, xml, svirt_domain_restore_security_device_label);
}

/* With the chain below it, or the one layer alone. */
enum { CHAIN = 1 };

int slot_set_image(vir_manager *m, vir_domain *d, void *source, int flags)
{
    return confined(model_of(m), d) ? set(m, d, image_xml(source, flags & CHAIN)) : 0;
}

int slot_restore_image(vir_manager *m, vir_domain *d, void *source, int flags)
{
    return confined(model_of(m), d) ? restore(m, d, image_xml(source, flags & CHAIN)) : 0;
}

/*
 * libvirt moves what it remembers when a layer takes another's place, since it remembers for the top of a
 * chain only. libsvirt remembers every image by itself, so nothing moves.
 */
int slot_move_image(void)
{
    return 0;
}

int slot_set_hostdev(vir_manager *m, vir_domain *d, void *hostdev)
{
    return confined(model_of(m), d) ? set(m, d, hostdev_xml(hostdev)) : 0;
}

int slot_restore_hostdev(vir_manager *m, vir_domain *d, void *hostdev)
{
    return confined(model_of(m), d) ? restore(m, d, hostdev_xml(hostdev)) : 0;
}

int slot_set_memory(vir_manager *m, vir_domain *d, void *memory)
{
    return confined(model_of(m), d) ? set(m, d, memory_xml(memory)) : 0;
}

int slot_restore_memory(vir_manager *m, vir_domain *d, void *memory)
{
    return confined(model_of(m), d) ? restore(m, d, memory_xml(memory)) : 0;
}

/* The TPM of the definition; what swtpm keeps for it only when libvirt asks for that. */
static int tpm(vir_manager *m, vir_domain *d, device_method *method)
{
    if (!confined(model_of(m), d))
        return 0;
    char *xml = libvirt.domain_format(d, NULL, 0), *element = xml ? device_in(xml, "tpm") : NULL;
    free(xml);
    return element ? device(m, d, element, method) : 0;
}

int slot_set_tpm(vir_manager *m, vir_domain *d, bool state)
{
    return state ? tpm(m, d, svirt_domain_set_security_device_label) : 0;
}

int slot_restore_tpm(vir_manager *m, vir_domain *d, bool state)
{
    return state ? tpm(m, d, svirt_domain_restore_security_device_label) : 0;
}

typedef int path_method(svirt_manager *, svirt_domain *, int kind, const char *, unsigned, svirt_error **);

static int path(vir_manager *m, vir_domain *definition, int kind, const char *name, unsigned flags, path_method *method)
{
    const struct model *model = model_of(m);
    if (!name || !confined(model, definition))
        return 0;
    svirt_domain *domain = domain_of(model, definition);
    svirt_error *error = NULL;
    return domain ? reported(model, method(model->manager, domain, kind, name, flags, &error), &error) : -1;
}

static path_method *const set_path = svirt_domain_set_security_resource_label;
static path_method *const restore_path = svirt_domain_restore_security_resource_label;

int slot_set_input(vir_manager *m, vir_domain *d, void *input)
{
    return path(m, d, SVIRT_RESOURCE_INPUT, libvirt.input_path(input), 0, set_path);
}

int slot_restore_input(vir_manager *m, vir_domain *d, void *input)
{
    return path(m, d, SVIRT_RESOURCE_INPUT, libvirt.input_path(input), 0, restore_path);
}

/* 0: nothing that would be labelled (a terminal, a network, a file that virtlogd writes). */
static int chardev_kind(const char *name, bool logd)
{
    struct stat facts;
    if (!name || !strncmp(name, "/dev/pts/", 9))
        return 0;
    if (stat(name, &facts) != 0)
        return SVIRT_RESOURCE_CHARDEV_PIPE; /* perhaps NAME.in and NAME.out */
    switch (facts.st_mode & S_IFMT) {
    case S_IFIFO:
        return SVIRT_RESOURCE_CHARDEV_PIPE;
    case S_IFSOCK:
        return SVIRT_RESOURCE_CHARDEV_UNIX;
    case S_IFCHR:
        return SVIRT_RESOURCE_CHARDEV_DEVICE;
    default:
        return logd ? 0 : SVIRT_RESOURCE_CHARDEV_FILE;
    }
}

int slot_set_chardev(vir_manager *m, vir_domain *d, void *source, bool logd)
{
    const char *name = libvirt.chardev_path(source);
    int kind = chardev_kind(name, logd);
    return kind ? path(m, d, kind, name, 0, set_path) : 0;
}

int slot_restore_chardev(vir_manager *m, vir_domain *d, void *source, bool logd)
{
    const char *name = libvirt.chardev_path(source);
    int kind = chardev_kind(name, logd);
    return kind ? path(m, d, kind, name, 0, restore_path) : 0;
}

int slot_set_saved(vir_manager *m, vir_domain *d, const char *name)
{
    return path(m, d, SVIRT_RESOURCE_SAVED_STATE, name, 0, set_path);
}

int slot_restore_saved(vir_manager *m, vir_domain *d, const char *name)
{
    return path(m, d, SVIRT_RESOURCE_SAVED_STATE, name, 0, restore_path);
}

int slot_path(vir_manager *m, vir_domain *d, const char *name, bool subtree)
{
    (void)subtree;
    return path(m, d, SVIRT_RESOURCE_PRIVATE, name, 0, set_path);
}

int slot_path_ro(vir_manager *m, vir_domain *d, const char *name)
{
    return path(m, d, SVIRT_RESOURCE_PRIVATE, name, SVIRT_FLAG_READONLY, set_path);
}

int slot_restore_path(vir_manager *m, vir_domain *d, const char *name)
{
    return path(m, d, SVIRT_RESOURCE_PRIVATE, name, 0, restore_path);
}

/* vhost-vdpa devices, of 9.x and later: labelled with the domain, not when plugged. */
int slot_netdev(vir_manager *m, vir_domain *d, void *net)
{
    (void)m, (void)d, (void)net;
    return 0;
}
