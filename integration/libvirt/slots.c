/*
 * The methods that concern a whole domain.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include "shim.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Which model each of libvirt's managers has asked for. */
static struct {
    const vir_manager *manager;
    const struct model *model;
} managers[64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t daemon_pid;

static int opened(const vir_manager *m, const struct model *model)
{
    pthread_mutex_lock(&lock);
    daemon_pid = getpid();
    size_t at = 0;
    while (at < 63 && managers[at].manager)
        at++;
    managers[at].model = model;
    managers[at].manager = at < 63 ? m : NULL;
    pthread_mutex_unlock(&lock);
    return at < 63 ? 0 : -1;
}

int slot_open_selinux(vir_manager *m) { return opened(m, &models[SELINUX]); }
int slot_open_apparmor(vir_manager *m) { return opened(m, &models[APPARMOR]); }
int slot_open_dac(vir_manager *m) { return opened(m, &models[DAC]); }

/* Without the lock: a manager is used between its open and its close, and children use it too. */
const struct model *model_of(const vir_manager *m)
{
    size_t at = 0;
    while (at < 63 && managers[at].manager != m)
        at++;
    return managers[at].model;
}

int slot_close(vir_manager *m)
{
    pthread_mutex_lock(&lock);
    for (size_t at = 0; at < 63; at++) {
        if (managers[at].manager == m)
            managers[at].manager = NULL;
    }
    pthread_mutex_unlock(&lock);
    return 0;
}

const char *slot_model(vir_manager *m)
{
    return model_of(m)->name;
}

const char *slot_doi(vir_manager *m)
{
    (void)m;
    return "0";
}

/* libvirt keeps the pointer: one text for every model and type, made when first asked for. */
const char *slot_base_label(vir_manager *m, int type)
{
    static char *labels[MODELS][32];
    const struct model *model = model_of(m);
    if (type < 0 || type >= 32)
        return NULL;
    char **label = &labels[model - models][type];
    pthread_mutex_lock(&lock);
    if (!*label)
        *label = svirt_manager_base_label(model->manager, model->name, libvirt.virt_type(type));
    pthread_mutex_unlock(&lock);
    return *label;
}

int slot_transaction_start(vir_manager *m)
{
    svirt_error *error = NULL;
    int status = svirt_manager_transaction_start(model_of(m)->manager, &error);
    return reported(model_of(m), status, &error);
}

int slot_transaction_commit(vir_manager *m, pid_t pid)
{
    svirt_error *error = NULL;
    int status = svirt_manager_transaction_commit(model_of(m)->manager, pid, &error);
    return reported(model_of(m), status, &error);
}

void slot_transaction_abort(vir_manager *m)
{
    svirt_manager_transaction_abort(model_of(m)->manager);
}

int slot_verify(vir_manager *m, vir_domain *definition)
{
    const struct model *model = model_of(m);
    svirt_domain *domain = domain_of(model, definition);
    svirt_error *error = NULL;
    return domain ? reported(model, svirt_domain_verify_security_label(model->manager, domain, &error), &error) : -1;
}

static void replace(char **place, char *made)
{
    if (made) {
        free(*place);
        *place = strdup(made);
    }
    svirt_string_free(made);
}

int slot_gen(vir_manager *m, vir_domain *definition)
{
    const struct model *model = model_of(m);
    vir_seclabel *label = libvirt.seclabel(definition, model->name);
    svirt_domain *domain = label ? domain_new(model, definition) : NULL;
    svirt_error *error = NULL;
    if (!domain)
        return label ? -1 : 0;
    if (reported(model, svirt_domain_gen_security_label(model->manager, domain, &error), &error))
        return -1;
    replace(&label->label, svirt_domain_label(domain, model->name));
    replace(&label->imagelabel, svirt_domain_image_label(domain, model->name));
    domain_keep_mount_options(model, definition);
    return 0;
}

static int reserve(const struct model *model, vir_domain *definition, pid_t pid)
{
    svirt_domain *domain = domain_new(model, definition);
    svirt_error *error = NULL;
    if (!domain)
        return -1;
    int status = svirt_domain_reserve_security_label(model->manager, domain, pid, &error);
    domain_keep_mount_options(model, definition);
    return reported(model, status, &error);
}

/* libvirt asks its primary driver alone; owners are taken over with it. */
int slot_reserve(vir_manager *m, vir_domain *definition, pid_t pid)
{
    const struct model *model = model_of(m), *owners = &models[DAC];
    int status = reserve(model, definition, pid);
    return status || model == owners || !owners->manager ? status : reserve(owners, definition, pid);
}

int slot_release(vir_manager *m, vir_domain *definition)
{
    const struct model *model = model_of(m);
    vir_seclabel *label = libvirt.seclabel(definition, model->name);
    svirt_domain *domain = domain_of(model, definition);
    svirt_error *error = NULL;
    int status = domain ? svirt_domain_release_security_label(model->manager, domain, &error) : -1;
    status = domain ? reported(model, status, &error) : -1;
    domain_forget(model, definition);
    if (label && label->type == VIR_SECLABEL_DYNAMIC) {
        free(label->label);
        label->label = NULL;
    }
    if (label) {
        free(label->imagelabel);
        label->imagelabel = NULL;
    }
    return status;
}

int slot_get_process(vir_manager *m, vir_domain *definition, pid_t pid, svirt_process_label *out)
{
    const struct model *model = model_of(m);
    svirt_error *error = NULL;
    (void)definition;
    int status = svirt_domain_get_security_process_label(model->manager, NULL, model->name, pid, out, &error);
    return reported(model, status, &error);
}

int slot_set_process(vir_manager *m, vir_domain *definition)
{
    const struct model *model = model_of(m);
    svirt_domain *domain = domain_known(model, definition);
    if (!confined(model, definition))
        return 0;
    return domain ? reported(model, svirt_domain_set_security_process_label(model->manager, domain), NULL) : -1;
}

int slot_set_child(vir_manager *m, vir_domain *definition, vir_command *command)
{
    const struct model *model = model_of(m);
    const vir_seclabel *label = libvirt.seclabel(definition, model->name);
    const char *text = label && label->type != VIR_SECLABEL_NONE ? label->label : NULL;
    uid_t user = model->user;
    gid_t group = model->group;
    switch (model - models) {
    case SELINUX:
        if (text)
            libvirt.command_selinux(command, text);
        break;
    case APPARMOR:
        if (text)
            libvirt.command_apparmor(command, text);
        break;
    default: /* also a guest without a label runs as the configured user */
        if (text && libvirt.parse_owner(text, &user, &group) < 0)
            return -1;
        libvirt.command_uid(command, user);
        libvirt.command_gid(command, group);
    }
    return 0;
}

int slot_set_all(vir_manager *m, vir_domain *definition, const char *incoming, bool logd)
{
    const struct model *model = model_of(m);
    if (!confined(model, definition))
        return 0;
    /* Since gen, libvirt has filled in paths. */
    svirt_domain *domain = domain_new(model, definition);
    svirt_error *error = NULL;
    if (!domain)
        return -1;
    unsigned flags = logd ? SVIRT_SET_LOGGED_CHARDEVS : 0;
    int status = svirt_domain_set_security_all_label(model->manager, domain, flags, &error);
    if (!status && incoming)
        status = svirt_domain_set_security_resource_label(model->manager, domain, SVIRT_RESOURCE_SAVED_STATE, incoming, 0,
                                                          &error);
    domain_keep_mount_options(model, definition);
    return reported(model, status, &error);
}

int slot_restore_all(vir_manager *m, vir_domain *definition, bool migrated)
{
    const struct model *model = model_of(m);
    svirt_domain *domain = domain_of(model, definition);
    svirt_error *error = NULL;
    unsigned flags = migrated ? SVIRT_RESTORE_MIGRATED : 0;
    return domain ? reported(model, svirt_domain_restore_security_all_label(model->manager, domain, flags, &error), &error) : -1;
}

/* In the daemon a missing handle is made; a child makes do with the one from gen. */
typedef int socket_method(svirt_manager *, svirt_domain *, svirt_error **);

static int socket_label(vir_manager *m, vir_domain *definition, socket_method *method)
{
    const struct model *model = model_of(m);
    const vir_seclabel *label = libvirt.seclabel(definition, model->name);
    if (!label || !label->label || label->type == VIR_SECLABEL_NONE)
        return 0;
    bool child = getpid() != daemon_pid;
    svirt_domain *domain = child ? domain_known(model, definition) : domain_of(model, definition);
    svirt_error *error = NULL;
    return domain ? reported(model, method(model->manager, domain, child ? NULL : &error), &error) : -1;
}

int slot_daemon_socket(vir_manager *m, vir_domain *definition)
{
    return socket_label(m, definition, svirt_domain_set_security_daemon_socket_label);
}

int slot_socket(vir_manager *m, vir_domain *definition)
{
    return socket_label(m, definition, svirt_domain_set_security_socket_label);
}

int slot_clear_socket(vir_manager *m, vir_domain *definition)
{
    return socket_label(m, definition, svirt_domain_clear_security_socket_label);
}

static int descriptor(vir_manager *m, vir_domain *definition, int fd, int kind)
{
    const struct model *model = model_of(m);
    if (!confined(model, definition))
        return 0;
    svirt_domain *domain = domain_of(model, definition);
    svirt_error *error = NULL;
    return domain ? reported(model, svirt_domain_set_security_fd_label(model->manager, domain, fd, kind, &error), &error) : -1;
}

int slot_image_fd(vir_manager *m, vir_domain *definition, int fd)
{
    return descriptor(m, definition, fd, SVIRT_RESOURCE_DISK);
}

int slot_tap_fd(vir_manager *m, vir_domain *definition, int fd)
{
    return descriptor(m, definition, fd, SVIRT_RESOURCE_TAP);
}

char *slot_mount_options(vir_manager *m, vir_domain *definition)
{
    return domain_mount_options(model_of(m), definition);
}
