/* Where a caller could be in doubt: one row for every sentence of the contract. Runs as root; what is about SELinux
 * runs where the kernel has it, as virtd_t.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "common.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#define RANGE "dac.uid_range", "200000-200099"
#define XML(middle)                                                                                            \
    "<domain type='kvm'><name>guest</name><uuid>" UUID_A "</uuid><devices>%s</devices>" middle "</domain>"

static int selinux(void)
{
    return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

/* A domain out of XML around one piece of devices. */
static svirt_domain *from_xml(const char *format, const char *devices)
{
    svirt_domain *domain;
    char *xml;
    assert_true(asprintf(&xml, format, devices) > 0);
    assert_call(0, svirt_domain_from_xml(xml, &domain, &error));
    free(xml);
    return domain;
}

static void assert_label(svirt_domain *domain, const char *model, const char *wanted)
{
    char *label = svirt_domain_label(domain, model);
    if (wanted) {
        assert_non_null(label);
        assert_string_equal(label, wanted);
    } else {
        assert_null(label);
    }
    svirt_string_free(label);
}

static void end(svirt_manager *manager, svirt_domain *domain)
{
    assert_call(0, svirt_domain_restore_security_all_label(manager, domain, 0, &error));
    assert_call(0, svirt_domain_release_security_label(manager, domain, &error));
    svirt_domain_free(domain);
}

/* What gen says to one seclabel. */
static void gen(const char *drivers, const char *model, int type, const char *label, int relabel, int wanted)
{
    svirt_manager *manager = open_manager(drivers, RANGE);
    svirt_domain *domain = new_domain(UUID_A);
    assert_call(0, svirt_domain_set_seclabel(domain, model, type, label, relabel, &error));
    assert_call(wanted, svirt_domain_gen_security_label(manager, domain, &error));
    end(manager, domain);
    svirt_manager_close(manager);
}

static void seclabels_that_make_no_sense(void **state)
{
    svirt_domain *domain = new_domain(UUID_A);
    (void)state;
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, "dac", SVIRT_SECLABEL_STATIC, NULL, 0, &error));
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, "dac", SVIRT_SECLABEL_STATIC, "", 0, &error));
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, "dac", 4, NULL, 1, &error));
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, "dac", SVIRT_SECLABEL_STATIC, "+1:+1", -1, &error));
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, "dac", SVIRT_SECLABEL_STATIC, "+1:+1", 2, &error));
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, NULL, SVIRT_SECLABEL_NONE, NULL, 1, &error));
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, "", SVIRT_SECLABEL_NONE, NULL, 0, &error));
    svirt_domain_free(domain);
    gen("dac", "no-such-model", SVIRT_SECLABEL_DYNAMIC, NULL, 1, -EINVAL);
    gen("dac", "selinux", SVIRT_SECLABEL_STATIC, "u:r:t:s0", 1, -EINVAL);
    gen("dac", "dac", SVIRT_SECLABEL_DYNAMIC, NULL, 1, 0);
    if (!selinux())
        return;
    gen("selinux", "selinux", SVIRT_SECLABEL_DYNAMIC, "no context", 1, -EINVAL);
    gen("selinux", "selinux", SVIRT_SECLABEL_DYNAMIC, "u:r:no_such_t:s9", 1, 0); /* the policy is not asked */
    gen("selinux", "selinux", SVIRT_SECLABEL_STATIC, "system_u:system_r:no_such_t:s0", 1, -EINVAL);
    gen("selinux", "selinux", SVIRT_SECLABEL_STATIC, "system_u:system_r:svirt_t:s0:c1,c2", 1, 0);
}

static void seclabels_of_xml_that_make_no_sense(void **state)
{
    static const char *const wrong[] = {
        "<seclabel type='static'/>", "<seclabel type='static' model='dac'><label></label></seclabel>",
        "<seclabel type='odd'/>", "<seclabel relabel='maybe'/>", "<seclabel type='dynamic' relabel='no'/>",
        "<seclabel type='none' relabel='yes'/>", "<seclabel model='none' relabel='yes'/>",
        "<seclabel model='dac'/><seclabel model='dac'/>", "<seclabel/><seclabel/>",
        "<seclabel type='static'><label>+1:+1</label><baselabel>+1:+1</baselabel></seclabel>",
    };
    svirt_domain *domain;
    char *xml;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_true(asprintf(&xml, XML("%s"), "", wrong[i]) > 0);
        assert_call(-EINVAL, svirt_domain_from_xml(xml, &domain, &error));
        assert_null(domain);
        free(xml);
    }
}

static void labels_without_categories_may_be_shared(void **state)
{
    const char *driver = selinux() ? "selinux" : "dac";
    svirt_manager *manager = open_manager(driver, RANGE);
    const char *shared = selinux() ? "system_u:system_r:svirt_t:s0" : "+4711:+4711";
    const char *alone = selinux() ? "system_u:system_r:svirt_t:s0:c5,c6" : "+200005:+1";
    svirt_domain *a = new_domain(UUID_A), *b = new_domain(UUID_B);
    svirt_error *error = NULL;
    (void)state;
    for (int unique = 0; unique < 2; unique++) {
        const char *label = unique ? alone : shared;
        assert_call(0, svirt_domain_set_seclabel(a, driver, SVIRT_SECLABEL_STATIC, label, 0, &error));
        assert_call(0, svirt_domain_set_seclabel(b, driver, SVIRT_SECLABEL_STATIC, label, 0, &error));
        assert_call(0, svirt_domain_gen_security_label(manager, a, &error));
        assert_int_equal(svirt_domain_gen_security_label(manager, b, &error), unique ? -EEXIST : 0);
        if (unique) {
            assert_non_null(strstr(svirt_error_message(error), label));
            assert_non_null(strstr(svirt_error_message(error), UUID_A));
            svirt_error_free(error);
            error = NULL;
        }
        assert_call(0, svirt_domain_release_security_label(manager, a, &error));
        assert_call(0, svirt_domain_release_security_label(manager, b, &error));
    }
    svirt_domain_free(a);
    svirt_domain_free(b);
    svirt_manager_close(manager);
}

/* Static with relabel=no, and type none in three spellings: the disk stays as it is. */
static void files_stay_untouched(void **state)
{
    svirt_manager *manager = open_manager("dac", RANGE);
    static const char *const none[] = {XML("<seclabel type='none'/>"), XML("<seclabel type='none' model='dac'/>"), XML("<seclabel model='none'/>"),
                                       XML("<seclabel type='static' model='dac'><label>+4711:+4711</label></seclabel>")};
    char *disk = make_file("untouched", 0640), devices[256];
    (void)state;
    snprintf(devices, sizeof devices, "<disk><source file='%s'/></disk>", disk);
    for (int i = 0; i < 4; i++) {
        svirt_domain *domain = from_xml(none[i], devices);
        assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
        assert_label(domain, "dac", i < 3 ? NULL : "+4711:+4711");
        assert_call(0, svirt_domain_set_security_all_label(manager, domain, 0, &error));
        assert_owner(disk, 0, 0);
        assert_forgotten(disk);
        end(manager, domain);
    }
    svirt_manager_close(manager);
}

static void confined_or_not(void **state)
{
    svirt_options *options = options_here();
    svirt_manager *manager;
    svirt_domain *domain = new_domain(UUID_A);
    (void)state;
    assert_call(0, svirt_options_set(options, "dac.user", "+4711", &error));
    assert_call(0, svirt_options_set(options, "default_confined", "no", &error));
    assert_call(0, svirt_manager_open("dac", options, &manager, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    assert_label(domain, "dac", NULL);
    assert_call(0, svirt_domain_release_security_label(manager, domain, &error));
    svirt_manager_close(manager);
    assert_call(0, svirt_options_set(options, "require_confined", "yes", &error));
    assert_call(0, svirt_manager_open("dac", options, &manager, &error));
    assert_call(-EINVAL, svirt_domain_gen_security_label(manager, domain, &error));
    assert_call(0, svirt_domain_set_seclabel(domain, NULL, SVIRT_SECLABEL_NONE, NULL, 0, &error));
    assert_call(-EINVAL, svirt_domain_gen_security_label(manager, domain, &error));
    assert_call(0, svirt_domain_set_seclabel(domain, NULL, SVIRT_SECLABEL_DYNAMIC, NULL, 1, &error));
    svirt_domain_free(domain);
    domain = new_domain(UUID_A);
    assert_call(0, svirt_domain_set_seclabel(domain, "dac", SVIRT_SECLABEL_DYNAMIC, NULL, 1, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    assert_label(domain, "dac", "+4711:+4711");
    end(manager, domain);
    svirt_manager_close(manager);
    svirt_options_free(options);
}

static void seclabels_of_devices(void **state)
{
    static const char *const wrong[] = {
        "<seclabel relabel='yes'/>", "<seclabel model='dac'/>",
        "<seclabel relabel='no'><label>+1:+1</label></seclabel>",
        "<seclabel model='dac' relabel='no'/><seclabel model='dac' relabel='no'/>",
        "<seclabel relabel='no'/><seclabel model='dac' relabel='no'/>",
        "<seclabel model='dac'><label>broken</label></seclabel>", "<seclabel><label>+1:+4294967295</label></seclabel>",
    };
    svirt_manager *manager = open_manager("dac", RANGE);
    char *disk = make_file("own.img", 0600), *xml;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        svirt_domain *domain;
        int result;
        assert_true(asprintf(&xml, "<domain type='kvm'><name>a</name><uuid>" UUID_A "</uuid><devices><disk><source file='%s'>%s"
                                   "</source></disk></devices></domain>", disk, wrong[i]) > 0);
        result = svirt_domain_from_xml(xml, &domain, NULL);
        if (result == 0)
            result = svirt_domain_verify_security_label(manager, domain, NULL);
        if (result == 0)
            result = svirt_domain_gen_security_label(manager, domain, NULL);
        if (result == 0)
            result = svirt_domain_set_security_all_label(manager, domain, 0, NULL);
        if (result != -EINVAL)
            fail_msg("%s gave %d", wrong[i], result);
        if (domain)
            end(manager, domain);
        assert_owner(disk, 0, 0);
        free(xml);
    }
    /* Of models that the stack lacks: ignored. Of its own: the label, or nothing. */
    for (int relabel = 0; relabel < 2; relabel++) {
        svirt_domain *domain;
        assert_true(asprintf(&xml, "<domain type='kvm'><name>a</name><uuid>" UUID_A "</uuid><devices><disk><source file='%s'>"
                                   "<seclabel model='apparmor' relabel='no'/><seclabel model='selinux'><label>u:r:t:s0</label></seclabel>%s"
                                   "</source></disk></devices></domain>", disk,
                             relabel ? "<seclabel model='dac'><label>+77:+78</label></seclabel>" : "<seclabel model='dac' relabel='no'/>") > 0);
        assert_call(0, svirt_domain_from_xml(xml, &domain, &error));
        assert_call(0, svirt_domain_verify_security_label(manager, domain, &error));
        assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
        assert_call(0, svirt_domain_set_security_all_label(manager, domain, 0, &error));
        assert_owner(disk, relabel ? 77 : 0, relabel ? 78 : 0);
        end(manager, domain);
        assert_owner(disk, 0, 0);
        free(xml);
    }
    svirt_manager_close(manager);
}

static void users_and_groups(void **state)
{
    static const char *const wrong[] = {"", ":", "root", "root:", ":root", "+4294967295:+1", "+1:+4294967295", "4294967295:1", "+4294967296:+1",
                                        "+99999999999999999999:+1", "0x10:1", "+0x10:+1", "+:+1", "+1:+", "-1:1", "+-1:+1", "+1:+1:+1", "1.5:1",
                                        " 1:1", "nobody-by-this-name:root"};
    static const char *const users[] = {"4294967295", "+4294967295", "+4294967296", "0x10", "+", "-1", "nobody-by-this-name"};
    svirt_options *options = options_here();
    svirt_manager *manager;
    svirt_domain *domain;
    char *label;
    unsigned uid, gid;
    (void)state;
    for (size_t i = 1; i < sizeof wrong / sizeof *wrong; i++)
        gen("dac", "dac", SVIRT_SECLABEL_STATIC, wrong[i], 1, -EINVAL);
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        assert_call(0, svirt_options_set(options, "dac.user", users[i], &error));
        assert_call(-EINVAL, svirt_manager_open("dac", options, &manager, &error));
        assert_null(manager);
    }
    assert_call(0, svirt_options_set(options, "dac.user", "root", &error));
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        assert_call(0, svirt_options_set(options, "dac.group", users[i], &error));
        assert_call(-EINVAL, svirt_manager_open("dac", options, &manager, &error));
    }
    /* With a range the gid is dac.group, else the uid, and never root's. */
    assert_call(0, svirt_options_set(options, RANGE, &error));
    assert_call(0, svirt_options_set(options, "dac.group", "root", &error));
    assert_call(-EINVAL, svirt_manager_open("dac", options, &manager, &error));
    assert_call(-EINVAL, svirt_options_set(options, "dac.uid_range", "0-5", &error));
    assert_call(-EINVAL, svirt_options_set(options, "dac.uid_range", "5-4294967295", &error));
    assert_call(-EINVAL, svirt_options_set(options, "dac.uid_range", "9-5", &error));
    assert_call(-EINVAL, svirt_options_set(options, "dac.uid_range", "0x10-0x20", &error));
    assert_call(-EINVAL, svirt_options_set(options, "dac.uid_range", "-", &error));
    for (int own = 0; own < 2; own++) {
        svirt_options_free(options);
        options = options_here();
        assert_call(0, svirt_options_set(options, RANGE, &error));
        if (!own)
            assert_call(0, svirt_options_set(options, "dac.group", "+55", &error));
        assert_call(0, svirt_manager_open("dac", options, &manager, &error));
        domain = new_domain(UUID_A);
        assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
        label = svirt_domain_label(domain, "dac");
        assert_int_equal(sscanf(label, "+%u:+%u", &uid, &gid), 2);
        assert_in_range(uid, 200000, 200099);
        assert_int_equal(gid, own ? uid : 55);
        svirt_string_free(label);
        end(manager, domain);
        svirt_manager_close(manager);
    }
    svirt_options_free(options);
}

/* In a world where a user is called 4712 and has another number. */
static int look_up(void *opaque)
{
    static const char *const rows[][2] = {{"4712:+5", "+7777:+5"}, {"+4712:+5", "+4712:+5"}, {"4713:5", "+4713:+5"}};
    const char *passwd = opaque;
    svirt_options *options = options_here();
    svirt_manager *manager;
    svirt_domain *domain;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(passwd, "/etc/passwd", "none", MS_BIND, NULL) != 0)
        return 77;
    if (svirt_options_set(options, "dac.user", "+1", NULL) != 0 || svirt_manager_open("dac", options, &manager, NULL) != 0)
        return 1;
    for (int i = 0; i < 3; i++) {
        char *label;
        int same;
        if (svirt_domain_new("a", UUID_A, "kvm", &domain, NULL) != 0 ||
            svirt_domain_set_seclabel(domain, "dac", SVIRT_SECLABEL_STATIC, rows[i][0], 1, NULL) != 0 ||
            svirt_domain_gen_security_label(manager, domain, NULL) != 0)
            return 2;
        label = svirt_domain_image_label(domain, "dac");
        same = strcmp(label, rows[i][1]) == 0;
        svirt_string_free(label);
        svirt_domain_free(domain);
        if (!same)
            return 10 + i;
    }
    svirt_manager_close(manager);
    svirt_options_free(options);
    return 0;
}

static void names_come_before_numbers(void **state)
{
    char *passwd = make_file("passwd", 0644);
    FILE *file = fopen(passwd, "we");
    (void)state;
    assert_non_null(file);
    fputs("root:x:0:0::/:/bin/sh\n4712:x:7777:7777::/:/bin/sh\n", file);
    fclose(file);
    if (!selinux()) /* virtd_t may not mount there */
        assert_int_equal(in_child(look_up, passwd), 0);
}

static void booleans_are_yes_or_no(void **state)
{
    static const char *const names[] = {"default_confined", "require_confined", "dac.dynamic_ownership"};
    static const char *const wrong[] = {"", "1", "0", "true", "Yes", "on", "yes "};
    svirt_options *options = options_here();
    (void)state;
    for (int i = 0; i < 3; i++) {
        for (size_t j = 0; j < sizeof wrong / sizeof *wrong; j++)
            assert_call(-EINVAL, svirt_options_set(options, names[i], wrong[j], &error));
        assert_call(0, svirt_options_set(options, names[i], "yes", &error));
        assert_call(0, svirt_options_set(options, names[i], "no", &error));
    }
    svirt_options_free(options);
}

static void every_name_works(void **state)
{
    static const char *const names[] = {"a b", "[x]{y}?^,\"*", "d\xc3\xa9j\xc3\xa0 'vu'", "&lt;&amp;", "@{HOME}", "back\\slash", "#x", "-dash", "%s%n"};
    svirt_manager *manager = open_manager("dac", RANGE);
    svirt_domain *domain = new_domain(UUID_A), *again;
    char *paths[sizeof names / sizeof *names], *xml, *text;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        paths[i] = strdup(make_file(names[i], 0600));
        assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, paths[i], 0, &error));
    }
    assert_call(-EINVAL, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, in_folder("a\tb"), 0, &error));
    assert_call(-EINVAL, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, in_folder("a\x7f"), 0, &error));
    assert_call(-EINVAL, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, in_folder("a\xff"), 0, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    assert_call(0, svirt_domain_set_security_all_label(manager, domain, 0, &error));
    xml = svirt_domain_to_xml(domain);
    assert_call(0, svirt_domain_from_xml(xml, &again, &error));
    text = svirt_domain_to_xml(again);
    assert_string_equal(text, xml);
    svirt_string_free(text);
    svirt_string_free(xml);
    svirt_domain_free(domain);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct stat st;
        assert_int_equal(stat(paths[i], &st), 0);
        assert_in_range(st.st_uid, 200000, 200099);
    }
    end(manager, again);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_owner(paths[i], 0, 0);
        assert_forgotten(paths[i]);
        free(paths[i]);
    }
    svirt_manager_close(manager);
}

static void busy_names_everything(void **state)
{
    svirt_manager *manager = open_manager("dac", RANGE);
    svirt_domain *a = new_domain(UUID_A), *b = new_domain(UUID_B);
    char *disk = make_file("busy.img", 0600), *label;
    svirt_error *error = NULL;
    (void)state;
    assert_call(0, svirt_domain_add_resource(a, SVIRT_RESOURCE_DISK, disk, 0, &error));
    assert_call(0, svirt_domain_add_resource(b, SVIRT_RESOURCE_DISK, disk, 0, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, a, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, b, &error));
    assert_call(0, svirt_domain_set_security_all_label(manager, a, 0, &error));
    assert_int_equal(svirt_domain_set_security_all_label(manager, b, 0, &error), -EBUSY);
    label = svirt_domain_image_label(a, "dac");
    assert_non_null(strstr(svirt_error_message(error), label));
    assert_non_null(strstr(svirt_error_message(error), UUID_A));
    assert_non_null(strstr(svirt_error_message(error), disk));
    assert_string_equal(svirt_error_path(error), disk);
    svirt_string_free(label);
    svirt_error_free(error);
    end(manager, a);
    end(manager, b);
    svirt_manager_close(manager);
}

/* The label is the domain's, not the handle's: the same again, reserved without a label, and given up by a handle
 * that knows nothing of it. */
static void labels_belong_to_domains(void **state)
{
    svirt_manager *manager = open_manager("dac", RANGE), *second = open_manager("dac", RANGE);
    svirt_domain *domain = new_domain(UUID_A), *again, *stranger = new_domain(UUID_B);
    char *label;
    (void)state;
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    assert_call(-EALREADY, svirt_domain_set_seclabel(domain, "dac", SVIRT_SECLABEL_DYNAMIC, NULL, 1, &error));
    label = svirt_domain_label(domain, NULL);
    svirt_domain_free(domain);
    again = new_domain(UUID_A);
    assert_call(0, svirt_domain_gen_security_label(second, again, &error));
    assert_label(again, "dac", label);
    assert_call(0, svirt_domain_set_seclabel(stranger, "dac", SVIRT_SECLABEL_STATIC, label, 0, &error));
    assert_call(-EEXIST, svirt_domain_gen_security_label(manager, stranger, &error));
    svirt_domain_free(again);
    again = new_domain(UUID_A);
    assert_call(0, svirt_domain_release_security_label(second, again, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, stranger, &error));
    end(manager, stranger);
    svirt_domain_free(again);
    svirt_string_free(label);
    /* This process runs as root; reserving takes what it runs with. */
    again = new_domain(UUID_A);
    assert_call(0, svirt_domain_reserve_security_label(manager, again, getpid(), &error));
    assert_label(again, "dac", "+0:+0");
    assert_call(0, svirt_domain_reserve_security_label(manager, again, getpid(), &error));
    end(manager, again);
    svirt_manager_close(manager);
    svirt_manager_close(second);
}

enum { PROCESSES = 4, EACH = 15, UIDS = 40 };

/* A process that takes labels until there are none, tells them, and is killed. */
static int take_some(int number, int out)
{
    svirt_manager *manager = open_manager("dac", "dac.uid_range", "300000-300039");
    for (int i = 0; i < EACH; i++) {
        char uuid[64], *label;
        svirt_domain *domain;
        unsigned uid = 0;
        int result;
        snprintf(uuid, sizeof uuid, "0b15ad3c-11f4-4b0c-a8e2-%06d%06d", number, i);
        domain = new_domain(uuid);
        result = svirt_domain_gen_security_label(manager, domain, NULL);
        if (result != 0 && result != -ENOSPC)
            return 1;
        label = svirt_domain_label(domain, NULL);
        if (label && sscanf(label, "+%u:", &uid) != 1)
            return 2;
        if (write(out, &uid, sizeof uid) != sizeof uid)
            return 3;
        svirt_string_free(label);
        svirt_domain_free(domain);
    }
    raise(SIGKILL);
    return 4;
}

static void unique_among_processes_that_are_killed(void **state)
{
    svirt_manager *manager;
    unsigned uids[PROCESSES * EACH], taken = 0;
    int out[2];
    (void)state;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    for (int i = 0; i < PROCESSES; i++)
        if (fork() == 0)
            _exit(take_some(i, out[1]));
    for (int i = 0; i < PROCESSES * EACH; i++)
        assert_int_equal(read(out[0], &uids[i], sizeof *uids), sizeof *uids);
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    for (int i = 0; i < PROCESSES * EACH; i++) {
        taken += uids[i] != 0;
        for (int j = 0; j < i; j++)
            assert_true(uids[i] == 0 || uids[i] != uids[j]);
    }
    assert_int_equal(taken, UIDS);
    /* What they took stays taken, until somebody releases it by the domains' uuids. */
    manager = open_manager("dac", "dac.uid_range", "300000-300039");
    for (int round = 0; round < 2; round++) {
        svirt_domain *next = new_domain(UUID_A);
        assert_call(round ? 0 : -ENOSPC, svirt_domain_gen_security_label(manager, next, &error));
        end(manager, next);
        for (int i = 0; i < PROCESSES * EACH; i++) {
            char uuid[64];
            snprintf(uuid, sizeof uuid, "0b15ad3c-11f4-4b0c-a8e2-%06d%06d", i / EACH, i % EACH);
            end(manager, new_domain(uuid));
        }
    }
    svirt_manager_close(manager);
    close(out[0]);
    close(out[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seclabels_that_make_no_sense),
        cmocka_unit_test(seclabels_of_xml_that_make_no_sense),
        cmocka_unit_test(labels_without_categories_may_be_shared),
        cmocka_unit_test(files_stay_untouched),
        cmocka_unit_test(confined_or_not),
        cmocka_unit_test(seclabels_of_devices),
        cmocka_unit_test(users_and_groups),
        cmocka_unit_test(names_come_before_numbers),
        cmocka_unit_test(booleans_are_yes_or_no),
        cmocka_unit_test(every_name_works),
        cmocka_unit_test(busy_names_everything),
        cmocka_unit_test(labels_belong_to_domains),
        cmocka_unit_test(unique_among_processes_that_are_killed),
    };
    return cmocka_run_group_tests_name("contract", tests, make_folder, remove_folder);
}
