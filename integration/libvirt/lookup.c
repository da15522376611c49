/*
 * Where libvirt asks for a security driver: what the preloaded library exports in libvirt's place.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include "shim.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/* The flags that libvirt's constructor of the dac driver takes, and the ones that all take. */
enum { EVERY_DRIVER = 0xe, DYNAMIC_OWNERSHIP = 0x10 };

struct model models[MODELS] = { { .name = "selinux" }, { .name = "apparmor" }, { .name = "dac" } };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *declined; /* why libvirt's own drivers are used; NULL: they are not */
static bool asked;

/*
 * The guest must not inherit the preloading: its policy would have to let it read this library. What starts
 * libvirtd (a script, say) passes it on.
 */
__attribute__((constructor)) static void leave_no_trace(void)
{
    const char *own = "libsvirt-libvirt.so", *list = getenv("LD_PRELOAD");
    if (!list || !strstr(list, own) || !dlsym(RTLD_NEXT, "virSecurityDriverLookup"))
        return;
    char *left = calloc(1, strlen(list) + 1), *copy = strdup(list), *state = NULL;
    if (left && copy) {
        for (char *one = strtok_r(copy, ": ", &state); one; one = strtok_r(NULL, ": ", &state)) {
            if (strstr(one, own))
                continue;
            if (*left)
                strcat(left, ":");
            strcat(left, one);
        }
        if (*left)
            setenv("LD_PRELOAD", left, 1);
        else
            unsetenv("LD_PRELOAD");
    }
    free(left);
    free(copy);
}

void shim_log(int priority, const char *format, ...)
{
    /* libvirt's source of messages: a name, a level and a count that it keeps; the rest is room. */
    static struct { const char *name; unsigned priority, serial; long room[6]; } source = { .name = "libsvirt" };
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (libvirt.log)
        libvirt.log(&source, priority, "libsvirt", 0, "libsvirt", NULL, "%s", text);
}

static void log_message(int level, const char *message, void *opaque)
{
    (void)opaque;
    shim_log(level, "%s", message); /* the same numbers: debug, info, warning */
}

static void ask_once(void)
{
    if (asked)
        return;
    asked = true;
    if (!(declined = libvirt_resolve()) && !(declined = libvirt_probe()) && !driver_table(SELINUX, libvirt.version))
        declined = "this version of libvirt is not known to libsvirt";
    if (declined)
        shim_log(SHIM_WARNING, "libsvirt does not confine guests here, libvirt's own drivers do: %s (libvirt %u)",
                 declined, libvirt.version);
    else
        svirt_set_log_handler(log_message, NULL);
}

/* Options: the shim's own, and what the administrator put into LIBSVIRT_OPTIONS as name=value name=value. */
static int set_options(svirt_options *options, svirt_error **error)
{
    int status = svirt_options_set(options, "owner", "libvirt", error);
    const char *given = getenv("LIBSVIRT_OPTIONS");
    char *copy = given ? strdup(given) : NULL, *state = NULL;
    for (char *one = copy ? strtok_r(copy, " ", &state) : NULL; one && !status; one = strtok_r(NULL, " ", &state)) {
        char *value = strchr(one, '=');
        if (value)
            *value++ = '\0';
        status = svirt_options_set(options, one, value, error);
    }
    free(copy);
    return status;
}

static int open_model(struct model *model, unsigned flags)
{
    svirt_error *error = NULL;
    svirt_options *options = svirt_options_new();
    int status = set_options(options, &error);
    char number[16];
    if (!status && model == &models[DAC]) {
        snprintf(number, sizeof(number), "+%u", (unsigned)model->user);
        status = svirt_options_set(options, "dac.user", number, &error);
        snprintf(number, sizeof(number), "+%u", (unsigned)model->group);
        status = status ? status : svirt_options_set(options, "dac.group", number, &error);
        const char *owned = flags & DYNAMIC_OWNERSHIP ? "yes" : "no";
        status = status ? status : svirt_options_set(options, "dac.dynamic_ownership", owned, &error);
    }
    if (!status && model == &models[APPARMOR]) /* libvirt's child attaches before everything is labelled */
        status = svirt_options_set(options, "apparmor.load_at_gen", "yes", &error);
    if (!status)
        status = svirt_manager_open(model->name, options, &model->manager, &error);
    svirt_options_free(options);
    unsigned version = svirt_version();
    if (status)
        shim_log(SHIM_WARNING, "libsvirt does not confine guests with %s, libvirt's own driver does: %s",
                 model->name, svirt_error_message(error));
    else
        shim_log(SHIM_WARNING, "libsvirt %u.%u.%u confines this daemon's guests: %s", version >> 16,
                 version >> 8 & 0xff, version & 0xff, model->name);
    svirt_error_free(error);
    return status;
}

/* The shim's table for a model, opened; NULL: libvirt's own driver shall do it. */
static const void *take_over(size_t at, unsigned flags)
{
    if (declined || (!models[at].manager && open_model(&models[at], flags)))
        return NULL;
    return driver_table(at, libvirt.version);
}

/* libvirt asks by name, or with NULL for what this host enforces; its own answer decides which model it is. */
EXPORT const void *virSecurityDriverLookup(const char *name, const char *virt_driver)
{
    const void *taken = NULL;
    pthread_mutex_lock(&lock);
    ask_once();
    if (name && !strcmp(name, models[DAC].name)) {
        /* Only virSecurityManagerNewDAC() below asks for this one. */
        taken = models[DAC].manager ? driver_table(DAC, libvirt.version) : NULL;
        pthread_mutex_unlock(&lock);
        return taken ? taken : libvirt.lookup(name, virt_driver);
    }
    const void *own = libvirt.lookup ? libvirt.lookup(name, virt_driver) : NULL;
    const char *const *own_name = own ? (const char *const *)((const char *)own + sizeof(size_t)) : NULL;
    for (size_t at = 0; own && at < DAC && virt_driver && !strcmp(virt_driver, "QEMU"); at++) {
        if (!declined && !strcmp(*own_name, models[at].name))
            taken = take_over(at, 0);
    }
    pthread_mutex_unlock(&lock);
    return taken ? taken : own;
}

EXPORT vir_manager *virSecurityManagerNewDAC(const char *virt_driver, uid_t user, gid_t group, unsigned flags,
                                             void *chown)
{
    pthread_mutex_lock(&lock);
    ask_once();
    models[DAC].user = user;
    models[DAC].group = group;
    bool ours = virt_driver && !strcmp(virt_driver, "QEMU") && take_over(DAC, flags);
    pthread_mutex_unlock(&lock);
    if (ours)
        return libvirt.manager_new(models[DAC].name, virt_driver, flags & EVERY_DRIVER);
    return libvirt.manager_new_dac ? libvirt.manager_new_dac(virt_driver, user, group, flags, chown) : NULL;
}
