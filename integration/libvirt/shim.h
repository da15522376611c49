/*
 * libsvirt-libvirt.so: libvirtd's guests confined by libsvirt.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What the files of the shim share. libvirt's own structures stay opaque; where something inside one is
 * needed, probe.c finds it at start by what a known domain makes of it.
 */
#ifndef SVIRT_LIBVIRT_SHIM_H
#define SVIRT_LIBVIRT_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <svirt.h>

typedef struct vir_manager vir_manager; /* libvirt's security manager */
typedef struct vir_domain vir_domain;   /* a domain's definition */
typedef struct vir_command vir_command; /* a process that libvirt is about to start */

/* A domain's <seclabel> of one model; probe.c proves the layout. */
typedef struct vir_seclabel {
    char *model, *label, *imagelabel, *baselabel;
    int type;
    bool relabel, implicit;
} vir_seclabel;

enum { VIR_SECLABEL_DEFAULT, VIR_SECLABEL_NONE, VIR_SECLABEL_DYNAMIC, VIR_SECLABEL_STATIC };

/* The functions of the loaded libvirt.so that the shim calls. */
struct libvirt {
    unsigned version; /* 9.0.0 is 9000000 */
    const void *(*lookup)(const char *name, const char *virt_driver);
    vir_manager *(*manager_new)(const char *name, const char *virt_driver, unsigned flags);
    vir_manager *(*manager_new_dac)(const char *virt_driver, uid_t, gid_t, unsigned flags, void *chown);
    char *(*domain_format)(vir_domain *, void *xmlopt, unsigned flags);
    vir_domain *(*domain_parse)(const char *xml, void *xmlopt, void *opaque, unsigned flags);
    void (*domain_free)(vir_domain *);
    void *(*xmlopt_new)(void *, void *, void *, void *, void *, void *);
    void (*object_unref)(void *);
    vir_seclabel *(*seclabel)(vir_domain *, const char *model);
    void *(*disk_by_name)(vir_domain *, const char *target, bool ambiguous);
    const char *(*disk_source)(void *disk);
    int (*hostdev_insert)(vir_domain *, void *hostdev);
    void *(*hostdev_remove)(vir_domain *, size_t at);
    int (*memory_insert)(vir_domain *, void *memory);
    void *(*memory_remove)(vir_domain *, int at);
    const char *(*input_path)(void *input);
    const char *(*chardev_path)(void *source);
    const char *(*virt_type)(int type);
    int (*parse_owner)(const char *label, uid_t *, gid_t *);
    void (*command_selinux)(vir_command *, const char *label);
    void (*command_apparmor)(vir_command *, const char *profile);
    void (*command_uid)(vir_command *, uid_t);
    void (*command_gid)(vir_command *, gid_t);
    void (*report)(int from, int code, const char *file, const char *function, size_t line, const char *format, ...);
    void (*log)(void *source, int priority, const char *file, int line, const char *function, void *metadata,
                const char *format, ...);
};
extern struct libvirt libvirt;

/* A model that libvirt has handed to the shim. */
struct model {
    const char *name;
    svirt_manager *manager; /* NULL until it is opened */
    uid_t user;             /* dac: who guests run as */
    gid_t group;
};
enum { SELINUX, APPARMOR, DAC, MODELS };
extern struct model models[MODELS];

/* lookup.c */
enum { SHIM_WARNING = 3 }; /* libvirt's priority */
void shim_log(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* probe.c: NULL, or what does not match. */
const char *libvirt_resolve(void);
const char *libvirt_probe(void);
const unsigned char *domain_uuid(const vir_domain *);
extern vir_domain *scratch; /* a domain of the shim's own, with a disk vda */

/* domain.c: libsvirt's handles of libvirt's domains, by model and uuid. NULL: reported. */
svirt_domain *domain_new(const struct model *, vir_domain *);
svirt_domain *domain_of(const struct model *, vir_domain *);
svirt_domain *domain_known(const struct model *, const vir_domain *); /* between fork and exec: yes */
void domain_keep_mount_options(const struct model *, const vir_domain *);
char *domain_mount_options(const struct model *, const vir_domain *); /* between fork and exec: yes */
void domain_forget(const struct model *, const vir_domain *);
bool confined(const struct model *, vir_domain *); /* does this model label the domain's files? */
int reported(const struct model *, int status, svirt_error **); /* 0 or -1 as libvirt wants it; ends the error */

/* devices.c */
char *device_in(const char *domain_xml, const char *element); /* the first one; the caller frees it */

/* slots.c */
const struct model *model_of(const vir_manager *);

/* tables.c: libvirt's table of a driver's methods, in the form of the loaded version; NULL: unknown version. */
const void *driver_table(size_t model, unsigned version);

/* What stands in libvirt's tables, where all versions agree. */
int slot_open_selinux(vir_manager *), slot_open_apparmor(vir_manager *), slot_open_dac(vir_manager *);
int slot_close(vir_manager *);
const char *slot_model(vir_manager *), *slot_doi(vir_manager *), *slot_base_label(vir_manager *, int type);
int slot_transaction_start(vir_manager *);
int slot_transaction_commit(vir_manager *, pid_t);
void slot_transaction_abort(vir_manager *);
int slot_verify(vir_manager *, vir_domain *);
int slot_set_image(vir_manager *, vir_domain *, void *source, int flags);
int slot_restore_image(vir_manager *, vir_domain *, void *source, int flags);
int slot_move_image(void);
int slot_set_memory(vir_manager *, vir_domain *, void *), slot_restore_memory(vir_manager *, vir_domain *, void *);
int slot_set_input(vir_manager *, vir_domain *, void *), slot_restore_input(vir_manager *, vir_domain *, void *);
int slot_daemon_socket(vir_manager *, vir_domain *), slot_socket(vir_manager *, vir_domain *);
int slot_clear_socket(vir_manager *, vir_domain *);
int slot_gen(vir_manager *, vir_domain *), slot_reserve(vir_manager *, vir_domain *, pid_t);
int slot_release(vir_manager *, vir_domain *);
int slot_get_process(vir_manager *, vir_domain *, pid_t, svirt_process_label *);
int slot_set_process(vir_manager *, vir_domain *), slot_set_child(vir_manager *, vir_domain *, vir_command *);
int slot_set_all(vir_manager *, vir_domain *, const char *incoming, bool logd);
int slot_restore_all(vir_manager *, vir_domain *, bool migrated);
int slot_set_hostdev(vir_manager *, vir_domain *, void *), slot_restore_hostdev(vir_manager *, vir_domain *, void *);
int slot_set_saved(vir_manager *, vir_domain *, const char *), slot_restore_saved(vir_manager *, vir_domain *, const char *);
int slot_image_fd(vir_manager *, vir_domain *, int fd), slot_tap_fd(vir_manager *, vir_domain *, int fd);
char *slot_mount_options(vir_manager *, vir_domain *);
int slot_path(vir_manager *, vir_domain *, const char *, bool subtree), slot_path_ro(vir_manager *, vir_domain *, const char *);
int slot_restore_path(vir_manager *, vir_domain *, const char *);
int slot_set_chardev(vir_manager *, vir_domain *, void *, bool), slot_restore_chardev(vir_manager *, vir_domain *, void *, bool);
int slot_set_tpm(vir_manager *, vir_domain *, bool), slot_restore_tpm(vir_manager *, vir_domain *, bool);
int slot_netdev(vir_manager *, vir_domain *, void *);

#endif
