/*
 * libsvirt: sVirt confinement for hypervisor daemons.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Generated from the library's sources; do not edit. Made by `make header`.
 *
 * Functions that can fail return 0 (or a count), or a negated errno; their last parameter receives an error
 * object that the caller frees, or may be NULL. Handles may be used by any number of threads. Only what says
 * "between fork and exec: yes" may be called there. In a forked child that goes on without exec, handles made
 * before the fork answer EDEADLK; new ones may be made. Strings handed out end in svirt_string_free().
 */


#ifndef SVIRT_H
#define SVIRT_H

#include <stddef.h>
#include <sys/types.h>

/**
 * A label that the library makes; `label` of svirt_domain_set_seclabel() is its base label, or NULL.
 */
#define SVIRT_SECLABEL_DYNAMIC 1

/**
 * A label that the caller gives.
 */
#define SVIRT_SECLABEL_STATIC 2

/**
 * The guest is not confined by this model.
 */
#define SVIRT_SECLABEL_NONE 3

/**
 * A disk image or block device, or with SVIRT_FLAG_BACKING one layer below it; a directory is left alone.
 */
#define SVIRT_RESOURCE_DISK 1

/**
 * A kernel started directly.
 */
#define SVIRT_RESOURCE_KERNEL 2

/**
 * Its initial RAM disk.
 */
#define SVIRT_RESOURCE_INITRD 3

/**
 * A device tree.
 */
#define SVIRT_RESOURCE_DTB 4

/**
 * An ACPI table.
 */
#define SVIRT_RESOURCE_ACPI_TABLE 5

/**
 * The firmware's variable store.
 */
#define SVIRT_RESOURCE_NVRAM 6

/**
 * The firmware itself, whose file is never changed.
 */
#define SVIRT_RESOURCE_LOADER 7

/**
 * A USB device: its node /dev/bus/usb/BUS/DEVICE, or its directory in sysfs.
 */
#define SVIRT_RESOURCE_HOSTDEV_USB 8

/**
 * A PCI device: through VFIO the node of its IOMMU group, /dev/vfio/GROUP; else its directory in sysfs, whose
 * files config, resource*, rom and reset are meant.
 */
#define SVIRT_RESOURCE_HOSTDEV_PCI 9

/**
 * A SCSI device: its node /dev/sgN, or its directory in sysfs; or /dev/vhost-scsi.
 */
#define SVIRT_RESOURCE_HOSTDEV_SCSI 10

/**
 * A mediated device: the node of its IOMMU group, or its directory in sysfs.
 */
#define SVIRT_RESOURCE_HOSTDEV_MDEV 11

/**
 * A file that a character device writes to; it must be there.
 */
#define SVIRT_RESOURCE_CHARDEV_FILE 12

/**
 * A FIFO, or the pair `PATH.in` and `PATH.out` when both are there.
 */
#define SVIRT_RESOURCE_CHARDEV_PIPE 13

/**
 * A UNIX socket; one that is not there yet is left out.
 */
#define SVIRT_RESOURCE_CHARDEV_UNIX 14

/**
 * A character device of the host.
 */
#define SVIRT_RESOURCE_CHARDEV_DEVICE 15

/**
 * A TPM of the host: its node /dev/tpmN; the file in sysfs that cancels its commands comes with it.
 */
#define SVIRT_RESOURCE_TPM_DEVICE 16

/**
 * The state of an emulated TPM: its directory with the files in it, not deeper; or one file, such as its log.
 */
#define SVIRT_RESOURCE_TPM_STATE 17

/**
 * An input device of the host.
 */
#define SVIRT_RESOURCE_INPUT 18

/**
 * A file behind a persistent memory module.
 */
#define SVIRT_RESOURCE_NVDIMM 19

/**
 * Shared memory, /dev/shm/NAME, or the socket of its server; left out when not there yet.
 */
#define SVIRT_RESOURCE_SHMEM 20

/**
 * A directory shared with the guest: rules and rulesets have everything below it, no label is changed.
 */
#define SVIRT_RESOURCE_FILESYSTEM 21

/**
 * A DRM render node; left out where there is none.
 */
#define SVIRT_RESOURCE_RENDERNODE 22

/**
 * A vhost-user socket; one that is not there yet is left out.
 */
#define SVIRT_RESOURCE_VHOST_USER_SOCKET 23

/**
 * The SEV device; left out where there is none.
 */
#define SVIRT_RESOURCE_SEV 24

/**
 * An SGX node, /dev/sgx_vepc or /dev/sgx_provision; left out where there is none.
 */
#define SVIRT_RESOURCE_SGX 25

/**
 * A directory on hugetlbfs: rules and rulesets have everything below it, no label is changed.
 */
#define SVIRT_RESOURCE_HUGEPAGES 26

/**
 * A file handed over through fw_cfg.
 */
#define SVIRT_RESOURCE_FW_CFG 27

/**
 * A saved guest that is being written or read.
 */
#define SVIRT_RESOURCE_SAVED_STATE 28

/**
 * A file or folder that the daemon made for this guest alone.
 */
#define SVIRT_RESOURCE_PRIVATE 31

/**
 * The guest only reads it.
 */
#define SVIRT_FLAG_READONLY 1

/**
 * Several guests may write it at the same time.
 */
#define SVIRT_FLAG_SHARED 2

/**
 * It is a layer below the top image of its chain.
 */
#define SVIRT_FLAG_BACKING 4

/**
 * It keeps the label it has.
 */
#define SVIRT_FLAG_NO_RELABEL 8

/**
 * Something worth knowing when the cause of something is looked for.
 */
#define SVIRT_LOG_DEBUG 1

/**
 * Something worth knowing happened.
 */
#define SVIRT_LOG_INFO 2

/**
 * Confinement holds, but somebody should look.
 */
#define SVIRT_LOG_WARNING 3

/**
 * A tap device: for svirt_domain_set_security_fd_label() only.
 */
#define SVIRT_RESOURCE_TAP 30

/**
 * Restore flag: another host runs the guest now. Our hold is dropped, labels on shared file systems stay.
 */
#define SVIRT_RESTORE_MIGRATED 1

/**
 * Set flag: a log daemon, not the guest, opens the files that character devices write to; those without a
 * seclabel of their own are left alone.
 */
#define SVIRT_SET_LOGGED_CHARDEVS 1

/**
 * A guest. Owned by the caller; ends with svirt_domain_free(). May be used by any number of threads, but
 * must not be released or freed while a child between fork and exec still needs its label.
 */
typedef struct svirt_domain svirt_domain;

/**
 * What went wrong: a number, a message and, where one is involved, a path. Owned by whoever received it;
 * ends with svirt_error_free(). May be read by any number of threads.
 */
typedef struct svirt_error svirt_error;

/**
 * A stack of security drivers. Owned by the caller; ends with svirt_manager_close(). May be used by any
 * number of threads; all managers of a process share one table of labelled images.
 */
typedef struct svirt_manager svirt_manager;

/**
 * What a manager is opened with. Owned by the caller; ends with svirt_options_free(). May be used by any
 * number of threads.
 */
typedef struct svirt_options svirt_options;

/**
 * Who gets the library's messages. `message` is valid during the call only.
 */
typedef void (*svirt_log_handler)(int level, const char *message, void *opaque);

/**
 * A labelled image. Everything in it is borrowed and valid during the visit only.
 */
typedef struct svirt_image {
  /**
   * The size of this structure in the library's version; new fields come at the end.
   */
  size_t size;
  /**
   * Where it was found first.
   */
  const char *path;
  /**
   * The model whose label this is about.
   */
  const char *model;
  /**
   * What is given back by the last holder; NULL when the file had no label.
   */
  const char *original;
  /**
   * What it has now.
   */
  const char *label;
  /**
   * How many domains of this process hold it.
   */
  size_t holders;
  /**
   * Their uuids, `holders` of them.
   */
  const char *const *holder_uuids;
} svirt_image;

/**
 * The live label of a process.
 */
typedef struct svirt_process_label {
  /**
   * Ends in NUL; empty when the model gives processes no label.
   */
  char label[4097];
  /**
   * 1 when the kernel enforces it now, else 0.
   */
  int enforcing;
} svirt_process_label;



#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Hot plug of a whole device, given as libvirt's XML of it (<disk>, <hostdev>, <memory>, …):
 * labels everything it consists of, with its own seclabels, and adds it to the domain. A file that
 * the domain alone uses in another way already (a layer that is to be written, say) gets the label for the
 * new way and keeps one use.
 *
 * Errors: EINVAL malformed XML; else as svirt_domain_set_security_all_label(). Everything is as before then.
 * Between fork and exec: no.
 */
int svirt_domain_set_security_device_label(struct svirt_manager *manager,
                                           struct svirt_domain *domain,
                                           const char *xml,
                                           struct svirt_error **error);

/**
 * Hot unplug of a whole device, given as for svirt_domain_set_security_device_label(): gives everything it
 * consists of back, unless another of the guest's devices uses it too. With nothing held it is success.
 * Errors: EINVAL malformed XML. Between fork and exec: no.
 */
int svirt_domain_restore_security_device_label(struct svirt_manager *manager,
                                               struct svirt_domain *domain,
                                               const char *xml,
                                               struct svirt_error **error);

/**
 * A guest from libvirt's domain XML, inactive or live; what the library does not need is ignored.
 *
 * Errors: EINVAL malformed XML (with line and column), no name, uuid or type, seclabels that make no
 * sense. *domain is NULL then. Between fork and exec: no.
 */
int svirt_domain_from_xml(const char *xml, struct svirt_domain **domain, struct svirt_error **error);

/**
 * A guest without XML; resources and seclabels are added by calls. `virt_type` is kvm, qemu, lxc, ….
 *
 * Errors: EINVAL for a name, uuid or type that is none. *domain is NULL then. Between fork and exec: no.
 */
int svirt_domain_new(const char *name,
                     const char *uuid,
                     const char *virt_type,
                     struct svirt_domain **domain,
                     struct svirt_error **error);

/**
 * Adds a file or device to a guest that has not been labelled yet (for a running one there is
 * svirt_domain_set_security_resource_label()). `kind` is SVIRT_RESOURCE_* and says what `path` means; `flags`
 * SVIRT_FLAG_*. Nodes and directories in sysfs are looked at when labels are set, not now. The layers of an
 * image must be added one by one; only XML that calls an image qcow2 has its header followed.
 *
 * Errors: EINVAL unknown kind or flag; a path that is relative or has control characters.
 * Between fork and exec: no.
 */
int svirt_domain_add_resource(struct svirt_domain *domain,
                              int kind,
                              const char *path,
                              unsigned int flags,
                              struct svirt_error **error);

/**
 * Says how a model labels the guest, instead of what was said before. `model` NULL: the primary driver;
 * `type` is SVIRT_SECLABEL_*; `label` is the label of a static seclabel, the base label of a dynamic one
 * or NULL; `relabel` 1 or 0 (dynamic needs 1, none needs 0).
 *
 * Errors: EINVAL for what makes no sense together; EALREADY when the guest has its label already.
 * Between fork and exec: no.
 */
int svirt_domain_set_seclabel(struct svirt_domain *domain,
                              const char *model,
                              int type,
                              const char *label,
                              int relabel,
                              struct svirt_error **error);

/**
 * The label of the guest's process for a model (NULL: the first); NULL when it has none (yet). The caller
 * frees it with svirt_string_free(). Between fork and exec: no.
 */
char *svirt_domain_label(const struct svirt_domain *domain, const char *model);

/**
 * The label of the guest's private images for a model (NULL: the first); NULL when it has none (yet).
 * The caller frees it with svirt_string_free(). Between fork and exec: no.
 */
char *svirt_domain_image_label(const struct svirt_domain *domain, const char *model);

/**
 * The guest as XML, with its live seclabels and the resources added by calls; a domain made from XML
 * keeps everything else of it. svirt_domain_from_xml() reads it back, also in another process. NULL when
 * memory is short. The caller frees it with svirt_string_free(). Between fork and exec: no.
 */
char *svirt_domain_to_xml(const struct svirt_domain *domain);

/**
 * Ends a handle. The guest's label and images stay held: only release and restore end that. NULL is
 * fine; freeing twice is undefined. Between fork and exec: no.
 */
void svirt_domain_free(struct svirt_domain *domain);

/**
 * The message: what failed, on which path, and what to do. Borrowed: valid until the error is freed.
 * NULL for NULL. Between fork and exec: no.
 */
const char *svirt_error_message(const struct svirt_error *error);

/**
 * The positive errno; 0 for NULL. Between fork and exec: no.
 */
int svirt_error_number(const struct svirt_error *error);

/**
 * The path that the error is about; NULL when there is none. Borrowed: valid until the error is freed.
 * Between fork and exec: no.
 */
const char *svirt_error_path(const struct svirt_error *error);

/**
 * Ends an error. NULL is fine; freeing twice is undefined. Between fork and exec: no.
 */
void svirt_error_free(struct svirt_error *error);

/**
 * Ends a string that the library handed out. NULL is fine; freeing twice is undefined.
 * Between fork and exec: no.
 */
void svirt_string_free(char *string);

/**
 * The version of the loaded library as 0xMMmmpp: major, minor, patch. Between fork and exec: yes.
 */
unsigned int svirt_version(void);

/**
 * Installs the handler for the library's messages, for the whole process; NULL removes it. The handler
 * may be called on any thread and must not call svirt_set_log_handler(). Without one nothing is
 * reported: the library never writes to stdout or stderr. A forked child that goes on without exec begins
 * without one. Between fork and exec: no.
 */
void svirt_set_log_handler(svirt_log_handler handler, void *opaque);

/**
 * Hot plug: labels one resource of a running guest and adds it to the domain. What the domain holds
 * already is used once more.
 *
 * Errors: EBUSY the image is held with another label, by another guest or by this one; else as svirt_domain_add_resource() and svirt_domain_set_security_all_label(). Between fork and exec: no.
 */
int svirt_domain_set_security_resource_label(struct svirt_manager *manager,
                                             struct svirt_domain *domain,
                                             int kind,
                                             const char *path,
                                             unsigned int flags,
                                             struct svirt_error **error);

/**
 * Hot unplug: gives one resource back, unless another of the guest's resources is the same file, and takes
 * it out of the domain. With nothing held it is success. Errors: EINVAL as svirt_domain_add_resource().
 * Between fork and exec: no.
 */
int svirt_domain_restore_security_resource_label(struct svirt_manager *manager,
                                                 struct svirt_domain *domain,
                                                 int kind,
                                                 const char *path,
                                                 unsigned int flags,
                                                 struct svirt_error **error);

/**
 * What a file system mounted for the guest needs among its mount options: empty, or beginning with a comma
 * to be appended to others. NULL on bad arguments. The caller frees it with svirt_string_free().
 * Between fork and exec: no.
 */
char *svirt_domain_security_mount_options(struct svirt_manager *manager, struct svirt_domain *domain);

/**
 * After a block copy has pivoted: `to` takes the place of `from`. What is remembered about `from` is
 * remembered about `to` from now on, so that `to` becomes, when the guest ends, what `from` was before the
 * guest; the guest's resource with path `from` gets path `to`. `to` may have been added by hot plug as the
 * copy was begun, or gets its label now. `from` is given back at once, unless other guests use it, and may
 * be gone. An image `to` that other guests use keeps what is remembered about it. What the guest does not
 * hold is not moved; that is success.
 *
 * Errors: ENOENT there is no `to`; EBUSY another guest holds `to` with another label; EINVAL a path that is
 * relative or has control characters. Everything is as before then; only when giving `from` back fails
 * has the move been made, and restore tries again. Between fork and exec: no.
 */
int svirt_domain_move_image(struct svirt_manager *manager,
                            struct svirt_domain *domain,
                            const char *from,
                            const char *to,
                            struct svirt_error **error);

/**
 * Labels what a descriptor refers to, before it is handed to the guest. The descriptor stays the caller's
 * and may be closed afterwards. `kind` is SVIRT_RESOURCE_TAP for a tap device, else the SVIRT_RESOURCE_* of
 * an image, a saved state or a channel. svirt_domain_restore_security_all_label() gives it back; what has
 * no name (a pipe, a deleted file) is remembered in memory.
 *
 * selinux: the guest's image label; a macvtap or ipvtap device keeps its type and gets the guest's level;
 * other tap devices share one node, /dev/net/tun, which is never touched. dac: nothing, since an owner
 * counts when a file is opened, not when it is handed on. apparmor: the profile names the file too, for reading
 * only when the descriptor is. A guest that does not relabel: nothing.
 *
 * Errors: EBADF `fd` is not open; EINVAL unknown kind, or SVIRT_RESOURCE_TAP for what is no tap device;
 * EBUSY another label is in use on it; ENODATA before gen; EPERM/EACCES the kernel refused. Nothing is
 * changed then. A transaction does not wait with it: a descriptor is the same in every mount namespace.
 * Between fork and exec: no.
 */
int svirt_domain_set_security_fd_label(struct svirt_manager *manager,
                                       struct svirt_domain *domain,
                                       int fd,
                                       int kind,
                                       struct svirt_error **error);

/**
 * Calls `visit` for every image that this process holds, by path and model, until it gives something other
 * than 0. No lock is held during the calls: `visit` may use the library.
 *
 * Returns how many were visited, what `visit` ended with, or a negated errno. Between fork and exec: no.
 */
int svirt_manager_foreach_image(struct svirt_manager *manager, int (*visit)(const struct svirt_image *image,
                                                                            void *opaque), void *opaque);

/**
 * Gives the guest its labels, one per driver: makes dynamic ones, takes static ones. The label stays taken,
 * also when this process ends, until svirt_domain_release_security_label(). A domain that still has a
 * label under its uuid gets the same one again.
 *
 * Errors: EALREADY the handle has its label already; ENOSPC all labels are taken; EEXIST another domain
 * holds what the static label needs alone (the message names it); EINVAL a seclabel that makes no sense or
 * of a model the stack lacks, or not confined against require_confined. Nothing is taken then.
 * Between fork and exec: no.
 */
int svirt_domain_gen_security_label(struct svirt_manager *manager,
                                    struct svirt_domain *domain,
                                    struct svirt_error **error);

/**
 * Makes the guest's labels usable by others and takes them out of the handle; a base label stays. Goes by the
 * domain's uuid alone, so any handle of the domain will do. With nothing taken it is success. Call it after
 * the guest's process is gone and its files are restored. Between fork and exec: no.
 */
int svirt_domain_release_security_label(struct svirt_manager *manager,
                                        struct svirt_domain *domain,
                                        struct svirt_error **error);

/**
 * Labels everything the guest uses, in all drivers; what it was is remembered. An image that other guests
 * hold with the same label gets one holder more. `flags`: 0 or SVIRT_SET_LOGGED_CHARDEVS.
 *
 * Errors: ENODATA before gen; EBUSY an image is held with another label (the message names both labels and
 * the holders); ENOENT a file is missing; ENOTSUP the file system cannot do what sharing needs;
 * EPERM/EACCES the kernel refused. Everything is as before then. Between fork and exec: no.
 */
int svirt_domain_set_security_all_label(struct svirt_manager *manager,
                                        struct svirt_domain *domain,
                                        unsigned int flags,
                                        struct svirt_error **error);

/**
 * Gives back everything that this guest holds, and nothing else; goes on after an error and reports the
 * first, and what failed is tried again by the next call. A file whose label somebody else changed in the
 * meantime is left as it is. With nothing held it is success. `flags`: 0 or SVIRT_RESTORE_MIGRATED.
 * Between fork and exec: no.
 */
int svirt_domain_restore_security_all_label(struct svirt_manager *manager,
                                            struct svirt_domain *domain,
                                            unsigned int flags,
                                            struct svirt_error **error);

/**
 * Confines the calling thread's next exec and, with dac, changes its user now. Between fork and exec: yes,
 * and only there: it takes no lock, allocates nothing and makes bare system calls, in a child of fork and
 * of vfork alike (vfork: a change of user clears the parent's dumpable flag, as the kernel has it).
 *
 * Returns 0, or a negated errno: -ENODATA no label was made with this manager, -EINVAL NULL or a label
 * that the policy lacks. After a failure the child must _exit(): an exec would run unconfined.
 */
int svirt_domain_set_security_process_label(struct svirt_manager *manager, struct svirt_domain *domain);

/**
 * The live label of process `pid` in a model (NULL: the primary one), and whether it is enforced. `out` is
 * cleared first; `domain` may be NULL.
 *
 * Errors: EINVAL the model is not in the stack, pid is not positive; ENOENT, ESRCH no such process.
 * Between fork and exec: no.
 */
int svirt_domain_get_security_process_label(struct svirt_manager *manager,
                                            struct svirt_domain *domain,
                                            const char *model,
                                            pid_t pid,
                                            struct svirt_process_label *out,
                                            struct svirt_error **error);

/**
 * Asks this host whether the labels that the caller gave (static ones and those of devices) can be applied.
 * Changes nothing. Errors: EINVAL with the label. Between fork and exec: no.
 */
int svirt_domain_verify_security_label(struct svirt_manager *manager,
                                       struct svirt_domain *domain,
                                       struct svirt_error **error);

/**
 * Takes over a guest that is alive, after the daemon was started again: its label is read from process
 * `pid` and taken, its images from what is remembered on them. May be called for a handle with or without
 * labels, and again.
 *
 * Errors: EEXIST another domain holds the label (named); EPERM the process does not run with the label
 * that the handle has; ENOENT, ESRCH no such process. Between fork and exec: no.
 */
int svirt_domain_reserve_security_label(struct svirt_manager *manager,
                                        struct svirt_domain *domain,
                                        pid_t pid,
                                        struct svirt_error **error);

/**
 * After exec: compares the real labels of process `pid` with those that the guest was given.
 *
 * Errors: EPERM they differ (the message has both): stop the process; ENOTSUP one of them cannot be known
 * (landlock, after a restart of the daemon), the others are right; ENODATA before gen; ENOENT, ESRCH no such
 * process. Between fork and exec: no.
 */
int svirt_domain_check_security_process_label(struct svirt_manager *manager,
                                              struct svirt_domain *domain,
                                              pid_t pid,
                                              struct svirt_error **error);

/**
 * Opens a stack of drivers: "selinux", "landlock", "dac", "none", or a list such as "selinux,dac" whose first is the
 * primary one. NULL: what this host enforces (selinux, else landlock; a log message says why), and dac
 * when dac.user or dac.uid_range is set. `options` may be NULL and may be freed afterwards.
 *
 * Errors: EINVAL unknown driver, or twice the same; ENOTSUP the host or this version lacks the driver;
 * EPERM remember=xattr without CAP_SYS_ADMIN. *manager is NULL then. Between fork and exec: no; in a
 * forked child that goes on without exec a manager of its own can be opened.
 */
int svirt_manager_open(const char *drivers,
                       const struct svirt_options *options,
                       struct svirt_manager **manager,
                       struct svirt_error **error);

/**
 * Ends a manager. Labels and held images stay as they are. No thread may be using it. NULL is fine.
 * Between fork and exec: no.
 */
void svirt_manager_close(struct svirt_manager *manager);

/**
 * The model of the driver at a place of the stack; NULL past the last. The caller frees it with
 * svirt_string_free(). Between fork and exec: no.
 */
char *svirt_manager_model(const struct svirt_manager *manager, size_t index);

/**
 * The domain of interpretation of the driver at a place of the stack; NULL past the last. The caller
 * frees it with svirt_string_free(). Between fork and exec: no.
 */
char *svirt_manager_doi(const struct svirt_manager *manager, size_t index);

/**
 * What a guest of a type (kvm, qemu, lxc) gets before its unique part is put in; NULL when the model has
 * no such thing or is not in the stack. `model` NULL: the primary one. The caller frees it with
 * svirt_string_free(). Between fork and exec: no.
 */
char *svirt_manager_base_label(const struct svirt_manager *manager, const char *model, const char *virt_type);

/**
 * After a crash of the daemon or the host: gives back everything that domains of this manager's owner held
 * on this host and that are not in `live_uuids`, whichever process labelled it, and makes their labels
 * usable again. Domains of other owners, and images somebody else relabelled meanwhile, stay as they are.
 * Goes on after an error and reports the first; it may be called again, also after being killed itself.
 *
 * Returns how many domains were given back. Errors: EINVAL a uuid is malformed, nothing is done then; what
 * the kernel answered about an image. Between fork and exec: no.
 */
int svirt_manager_reconcile(struct svirt_manager *manager,
                            const char *const *live_uuids,
                            size_t count,
                            struct svirt_error **error);

/**
 * Empty options: everything has its default. Never NULL. Between fork and exec: no.
 */
struct svirt_options *svirt_options_new(void);

/**
 * Sets an option; a second value replaces the first. Both strings are copied.
 *
 * owner: whose domains these are (default: the executable's name); runtime_dir: reservations, gone at
 * boot (/run/svirt; for an ordinary user $XDG_RUNTIME_DIR/svirt); state_dir: the ledger (/var/lib/svirt,
 * $XDG_STATE_HOME/svirt); remember: xattr (needs CAP_SYS_ADMIN, the default with it) or ledger;
 * default_confined (yes), require_confined (no): whether guests without a seclabel are, and all guests
 * must be, confined; mcs.range: categories that may be used (c0.c1023, or a whole range s0-s0:c0.c1023;
 * default: the daemon's own range); dac.user, dac.group: who guests run as; dac.uid_range (first-last): a
 * uid of its own for every guest; dac.dynamic_ownership (yes): whether files change owner;
 * landlock.deny_network (no): whether guests are refused TCP, and what else of the network this kernel's
 * Landlock can refuse; selinux.root: the policy's folder; apparmor.template, apparmor.profile_dir,
 * apparmor.parser: paths; apparmor.load_at_gen (no): whether a first profile is loaded in gen, for a daemon
 * whose child gives itself its label before set-all.
 *
 * Errors: EINVAL for an unknown name or a value that does not fit; the message lists what does.
 * Between fork and exec: no.
 */
int svirt_options_set(struct svirt_options *options,
                      const char *name,
                      const char *value,
                      struct svirt_error **error);

/**
 * Ends options; managers opened with them are not affected. NULL is fine. Between fork and exec: no.
 */
void svirt_options_free(struct svirt_options *options);

/**
 * Sockets that the calling thread makes from now on have the label of the guest's process, until
 * svirt_domain_clear_security_socket_label(): for sockets that are handed to the guest. Other threads are
 * not concerned, but those that this thread starts meanwhile begin with it; an exec ends it. Only selinux labels sockets; without it nothing is done.
 *
 * Between fork and exec: yes, when `error` is NULL; the domain must have got its label by this manager and
 * handle then. With `error`, a handle made from live XML is taken over first.
 *
 * Errors: ENODATA before gen; EINVAL NULL, or a label that the policy lacks; EPERM/EACCES the kernel refused.
 */
int svirt_domain_set_security_socket_label(struct svirt_manager *manager,
                                           struct svirt_domain *domain,
                                           struct svirt_error **error);

/**
 * Sockets that the calling thread makes from now on keep the daemon's own type but have the guest's level,
 * so that this guest may connect to them and no other one. Else as svirt_domain_set_security_socket_label().
 */
int svirt_domain_set_security_daemon_socket_label(struct svirt_manager *manager,
                                                  struct svirt_domain *domain,
                                                  struct svirt_error **error);

/**
 * Sockets that the calling thread makes from now on have the usual label again. With nothing set it is
 * success, also for a domain without a label. Between fork and exec: yes, when `error` is NULL.
 *
 * Errors: EINVAL NULL; EPERM/EACCES the kernel refused.
 */
int svirt_domain_clear_security_socket_label(struct svirt_manager *manager,
                                             struct svirt_domain *domain,
                                             struct svirt_error **error);

/**
 * From now on the calling thread's labelling with this manager is collected, until commit or abort: set-all,
 * restore-all, set and restore of one resource, move. Those calls still find out at once what cannot be
 * labelled at all, and AppArmor profiles and Landlock rulesets follow at once, since they speak of names;
 * files are looked up and labelled by commit. Everything else, and other threads, are not concerned.
 *
 * Errors: EALREADY the thread has one already. Between fork and exec: no.
 */
int svirt_manager_transaction_start(struct svirt_manager *manager, struct svirt_error **error);

/**
 * Does what the calling thread has collected, in its order, in the mount namespace of process `pid`, or of
 * this thread when `pid` is -1. No process is forked: a short-lived thread goes into the namespace, in which
 * the log handler may be called. When something cannot be labelled, everything that was labelled before is
 * given back, and the domains have the resources that they had before start. Giving back goes on after an
 * error and reports the first. The transaction ends in any case.
 *
 * What was labelled in a namespace is given back in it; when the namespace is gone, with its own /dev, a plain
 * svirt_domain_restore_security_all_label() drops the hold and leaves this host's nodes of the same name alone.
 *
 * Errors: those of the calls that were collected; ENODATA without start; EINVAL pid is neither positive nor
 * -1; ENOENT, ESRCH no such process; EPERM/EACCES the namespace may not be entered (CAP_SYS_ADMIN and
 * CAP_SYS_CHROOT are needed). Between fork and exec: no.
 */
int svirt_manager_transaction_commit(struct svirt_manager *manager,
                                     pid_t pid,
                                     struct svirt_error **error);

/**
 * Drops what the calling thread has collected; the domains have the resources that they had before start.
 * Without a transaction nothing happens. Between fork and exec: no.
 */
void svirt_manager_transaction_abort(struct svirt_manager *manager);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SVIRT_H */
