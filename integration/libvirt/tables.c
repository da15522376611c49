/*
 * libvirt's table of a security driver's 47 methods. Two families: some methods have arguments in 11.x that
 * they lack in 9.x. The order is the same in both.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include "shim.h"

typedef void (*slot)(void);

struct table {
    size_t private_size;
    const char *name;
    slot slots[45];
};

/* 9.x */
static int commit_9(vir_manager *m, pid_t pid, bool lock)
{
    (void)lock;
    return slot_transaction_commit(m, pid);
}

static int move_9(vir_manager *m, pid_t pid, void *from, void *to)
{
    (void)m, (void)pid, (void)from, (void)to;
    return slot_move_image();
}

static int set_all_9(vir_manager *m, vir_domain *d, const char *incoming, bool logd, bool migrated)
{
    (void)migrated;
    return slot_set_all(m, d, incoming, logd);
}

static int restore_all_9(vir_manager *m, vir_domain *d, bool migrated, bool logd)
{
    (void)logd;
    return slot_restore_all(m, d, migrated);
}

/* Both. */
static int probe(const char *virt_driver)
{
    (void)virt_driver;
    return 0;
}

static int set_hostdev(vir_manager *m, vir_domain *d, void *hostdev, const char *root)
{
    (void)root;
    return slot_set_hostdev(m, d, hostdev);
}

static int restore_hostdev(vir_manager *m, vir_domain *d, void *hostdev, const char *root)
{
    (void)root;
    return slot_restore_hostdev(m, d, hostdev);
}

/* 11.x: which file systems are shared with other hosts comes as a list. */
typedef char *const *list;

static int start_11(vir_manager *m, list shared)
{
    (void)shared;
    return slot_transaction_start(m);
}

static int commit_11(vir_manager *m, pid_t pid, bool lock, bool shared)
{
    (void)lock, (void)shared;
    return slot_transaction_commit(m, pid);
}

static int set_image_11(vir_manager *m, list shared, vir_domain *d, void *source, int flags)
{
    (void)shared;
    return slot_set_image(m, d, source, flags);
}

static int restore_image_11(vir_manager *m, list shared, vir_domain *d, void *source, int flags)
{
    (void)shared;
    return slot_restore_image(m, d, source, flags);
}

static int move_11(vir_manager *m, list shared, pid_t pid, void *from, void *to)
{
    (void)m, (void)shared, (void)pid, (void)from, (void)to;
    return slot_move_image();
}

/* `binary`: the label should follow from the binary; helpers get the guest's own instead. */
static int set_child_11(vir_manager *m, vir_domain *d, bool binary, vir_command *command)
{
    (void)binary;
    return slot_set_child(m, d, command);
}

static int set_all_11(vir_manager *m, list shared, vir_domain *d, const char *incoming, bool logd, bool migrated)
{
    (void)shared, (void)migrated;
    return slot_set_all(m, d, incoming, logd);
}

static int restore_all_11(vir_manager *m, list shared, vir_domain *d, bool migrated, bool logd)
{
    (void)shared, (void)logd;
    return slot_restore_all(m, d, migrated);
}

#define S(f) ((slot)(f))
/* All that differs are a model's name and its open, and the methods of a family. */
#define TABLE(NAME, OPEN, START, COMMIT, SET_IMAGE, RESTORE_IMAGE, MOVE, CHILD, SET_ALL, RESTORE_ALL) \
    { 0, NAME, { \
        S(probe), S(OPEN), S(slot_close), S(slot_model), S(slot_doi), NULL /* before fork: nothing */, \
        S(START), S(COMMIT), S(slot_transaction_abort), S(slot_verify), \
        S(SET_IMAGE), S(RESTORE_IMAGE), S(MOVE), S(slot_set_memory), S(slot_restore_memory), \
        S(slot_set_input), S(slot_restore_input), S(slot_daemon_socket), S(slot_socket), S(slot_clear_socket), \
        S(slot_gen), S(slot_reserve), S(slot_release), S(slot_get_process), S(slot_set_process), S(CHILD), \
        S(SET_ALL), S(RESTORE_ALL), S(set_hostdev), S(restore_hostdev), S(slot_set_saved), S(slot_restore_saved), \
        S(slot_image_fd), S(slot_tap_fd), S(slot_mount_options), S(slot_base_label), \
        S(slot_path), S(slot_path_ro), S(slot_restore_path), S(slot_set_chardev), S(slot_restore_chardev), \
        S(slot_set_tpm), S(slot_restore_tpm), S(slot_netdev), S(slot_netdev), \
    } }
#define FAMILY_9(NAME, OPEN) TABLE(NAME, OPEN, slot_transaction_start, commit_9, slot_set_image, \
    slot_restore_image, move_9, slot_set_child, set_all_9, restore_all_9)
#define FAMILY_11(NAME, OPEN) TABLE(NAME, OPEN, start_11, commit_11, set_image_11, \
    restore_image_11, move_11, set_child_11, set_all_11, restore_all_11)
#define ALL(FAMILY) { [SELINUX] = FAMILY("selinux", slot_open_selinux), \
    [APPARMOR] = FAMILY("apparmor", slot_open_apparmor), [DAC] = FAMILY("dac", slot_open_dac) }

static const struct table family_9[MODELS] = ALL(FAMILY_9);
static const struct table family_11[MODELS] = ALL(FAMILY_11);

const void *driver_table(size_t model, unsigned version)
{
    /* Only what was looked at: a family's edges are not known. */
    switch (version) {
    case 9000000:
        return &family_9[model];
    case 11003000:
        return &family_11[model];
    default:
        return NULL;
    }
}
