/* Bad input from C: every function gets an error object out of it, and nothing else.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "common.h"

static const char not_utf8[] = "/\xff\xfe";

static void version_and_strings(void **state)
{
    (void)state;
    assert_int_equal(svirt_version(), 0x000100);
    svirt_string_free(NULL);
    svirt_error_free(NULL);
    svirt_options_free(NULL);
    svirt_manager_close(NULL);
    svirt_domain_free(NULL);
    assert_null(svirt_error_message(NULL));
    assert_null(svirt_error_path(NULL));
    assert_int_equal(svirt_error_number(NULL), 0);
    svirt_set_log_handler(NULL, NULL);
}

static void null_everywhere(void **state)
{
    svirt_manager *manager = open_manager("none", NULL, NULL);
    svirt_domain *domain = new_domain(UUID_A), *out = (void *)1;
    svirt_options *options = svirt_options_new();
    svirt_process_label label;
    (void)state;
    assert_call(-EINVAL, svirt_options_set(NULL, "owner", "x", &error));
    assert_call(-EINVAL, svirt_options_set(options, NULL, "x", &error));
    assert_call(-EINVAL, svirt_options_set(options, "owner", NULL, &error));
    assert_call(-EINVAL, svirt_manager_open("none", options, NULL, &error));
    assert_null(svirt_manager_model(NULL, 0));
    assert_null(svirt_manager_doi(NULL, 0));
    assert_null(svirt_manager_base_label(NULL, NULL, NULL));
    assert_call(-EINVAL, svirt_manager_reconcile(NULL, NULL, 0, &error));
    assert_call(-EINVAL, svirt_manager_reconcile(manager, NULL, 1, &error));
    assert_call(-EINVAL, svirt_manager_reconcile(manager, (const char *const[]){UUID_A, NULL}, 2, &error));
    assert_null(svirt_manager_base_label(manager, NULL, NULL));
    assert_call(-EINVAL, svirt_domain_from_xml(NULL, &out, &error));
    assert_null(out);
    assert_call(-EINVAL, svirt_domain_from_xml("<domain/>", NULL, &error));
    assert_call(-EINVAL, svirt_domain_new(NULL, UUID_A, "kvm", &out, &error));
    assert_call(-EINVAL, svirt_domain_new("a", NULL, "kvm", &out, &error));
    assert_call(-EINVAL, svirt_domain_new("a", UUID_A, NULL, &out, &error));
    assert_call(-EINVAL, svirt_domain_new("a", UUID_A, "kvm", NULL, &error));
    assert_call(-EINVAL, svirt_domain_add_resource(NULL, SVIRT_RESOURCE_DISK, "/x", 0, &error));
    assert_call(-EINVAL, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, NULL, 0, &error));
    assert_call(-EINVAL, svirt_domain_set_seclabel(NULL, "dac", SVIRT_SECLABEL_DYNAMIC, NULL, 1, &error));
    assert_call(-EINVAL, svirt_domain_set_security_resource_label(manager, domain, SVIRT_RESOURCE_DISK, NULL, 0, &error));
    assert_call(-EINVAL, svirt_domain_restore_security_resource_label(manager, domain, SVIRT_RESOURCE_DISK, NULL, 0, &error));
    assert_call(-EINVAL, svirt_domain_move_image(manager, domain, NULL, "/b", &error));
    assert_call(-EINVAL, svirt_domain_move_image(manager, domain, "/a", NULL, &error));
    assert_null(svirt_domain_label(domain, NULL));
    assert_null(svirt_domain_image_label(domain, NULL));
    assert_null(svirt_domain_label(NULL, NULL));
    assert_null(svirt_domain_image_label(NULL, "dac"));
    assert_null(svirt_domain_to_xml(NULL));
#define BOTH(function, ...)                                                   \
    assert_call(-EINVAL, function(NULL, domain, ##__VA_ARGS__, &error));      \
    assert_call(-EINVAL, function(manager, NULL, ##__VA_ARGS__, &error));     \
    assert_int_equal(function(NULL, NULL, ##__VA_ARGS__, NULL), -EINVAL)
    BOTH(svirt_domain_gen_security_label);
    BOTH(svirt_domain_release_security_label);
    BOTH(svirt_domain_set_security_all_label, 0);
    BOTH(svirt_domain_restore_security_all_label, 0);
    BOTH(svirt_domain_verify_security_label);
    BOTH(svirt_domain_reserve_security_label, getpid());
    BOTH(svirt_domain_check_security_process_label, getpid());
    BOTH(svirt_domain_set_security_resource_label, SVIRT_RESOURCE_DISK, "/x", 0);
    BOTH(svirt_domain_restore_security_resource_label, SVIRT_RESOURCE_DISK, "/x", 0);
    BOTH(svirt_domain_move_image, "/a", "/b");
    BOTH(svirt_domain_set_security_fd_label, 0, SVIRT_RESOURCE_DISK);
    BOTH(svirt_domain_set_security_socket_label);
    BOTH(svirt_domain_set_security_daemon_socket_label);
    BOTH(svirt_domain_clear_security_socket_label);
    assert_call(-EINVAL, svirt_domain_get_security_process_label(NULL, domain, NULL, 1, &label, &error));
    assert_call(-EINVAL, svirt_domain_get_security_process_label(manager, domain, NULL, 1, NULL, &error));
    assert_int_equal(svirt_domain_set_security_process_label(NULL, domain), -EINVAL);
    assert_int_equal(svirt_domain_set_security_process_label(manager, NULL), -EINVAL);
    assert_null(svirt_domain_security_mount_options(NULL, domain));
    assert_null(svirt_domain_security_mount_options(manager, NULL));
    assert_call(-EINVAL, svirt_manager_transaction_start(NULL, &error));
    assert_call(-EINVAL, svirt_manager_transaction_commit(NULL, -1, &error));
    svirt_manager_transaction_abort(NULL);
    assert_int_equal(svirt_manager_foreach_image(NULL, NULL, NULL), -EINVAL);
    assert_int_equal(svirt_manager_foreach_image(manager, NULL, NULL), -EINVAL);
    svirt_options_free(options);
    svirt_domain_free(domain);
    svirt_manager_close(manager);
}

static void unknown_numbers_and_texts(void **state)
{
    svirt_manager *manager = open_manager("none", NULL, NULL), *none;
    svirt_domain *domain = new_domain(UUID_A), *out;
    svirt_options *options = svirt_options_new();
    svirt_process_label label;
    char *huge = malloc((1 << 20) + 1);
    (void)state;
    memset(huge, 'x', 1 << 20);
    huge[1 << 20] = '\0';
    assert_call(-EINVAL, svirt_options_set(options, "colour", "blue", &error));
    assert_call(-EINVAL, svirt_options_set(options, "owner", not_utf8, &error));
    assert_call(-EINVAL, svirt_manager_open("soup", options, &none, &error));
    assert_null(none);
    assert_call(-EINVAL, svirt_manager_open("", NULL, &none, &error));
    assert_call(-EINVAL, svirt_manager_open("none,none", NULL, &none, &error));
    assert_call(-EINVAL, svirt_manager_open(not_utf8, NULL, &none, &error));
    assert_call(-ENOTSUP, svirt_manager_open("apparmor", NULL, &none, &error));
    for (int kind = -2; kind < 60; kind++) {
        int known = (kind >= SVIRT_RESOURCE_DISK && kind <= SVIRT_RESOURCE_SAVED_STATE) || kind == SVIRT_RESOURCE_PRIVATE;
        assert_int_equal(svirt_domain_add_resource(domain, kind, "/x", 0, NULL), known ? 0 : -EINVAL);
    }
    assert_call(-EINVAL, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, "/x", 16, &error));
    assert_call(-EINVAL, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, "/x", ~0u, &error));
    assert_call(-EINVAL, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, "x", 0, &error));
    assert_call(-EINVAL, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, "", 0, &error));
    assert_call(-EINVAL, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, "/a\nb", 0, &error));
    assert_call(-EINVAL, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, not_utf8, 0, &error));
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, "dac", 0, NULL, 1, &error));
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, "dac", 77, NULL, 1, &error));
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, "dac", SVIRT_SECLABEL_DYNAMIC, NULL, 2, &error));
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, "dac", SVIRT_SECLABEL_STATIC, huge, 1, &error));
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, "dac", SVIRT_SECLABEL_STATIC, NULL, 1, &error));
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, "dac", SVIRT_SECLABEL_DYNAMIC, NULL, 0, &error));
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, "dac", SVIRT_SECLABEL_NONE, NULL, 1, &error));
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, not_utf8, SVIRT_SECLABEL_DYNAMIC, NULL, 1, &error));
    assert_call(-EINVAL, svirt_domain_new("", UUID_A, "kvm", &out, &error));
    assert_call(-EINVAL, svirt_domain_new("a\nb", UUID_A, "kvm", &out, &error));
    assert_call(-EINVAL, svirt_domain_new("a", "nonsense", "kvm", &out, &error));
    assert_call(-EINVAL, svirt_domain_new("a", UUID_A, "k v m", &out, &error));
    assert_call(-EINVAL, svirt_domain_from_xml(huge, &out, &error));
    assert_call(-EINVAL, svirt_domain_from_xml(not_utf8, &out, &error));
    assert_call(-EINVAL, svirt_domain_from_xml(
        "<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;&a;'>]><domain type='kvm'>&b;</domain>", &out, &error));
    assert_call(-EINVAL, svirt_domain_set_security_all_label(manager, domain, SVIRT_SET_LOGGED_CHARDEVS << 1, &error));
    assert_call(-EINVAL, svirt_domain_restore_security_all_label(manager, domain, 2, &error));
    assert_call(-EINVAL, svirt_domain_get_security_process_label(manager, domain, "dac", 1, &label, &error));
    assert_call(-EINVAL, svirt_domain_get_security_process_label(manager, domain, NULL, 0, &label, &error));
    assert_call(-EINVAL, svirt_domain_reserve_security_label(manager, domain, -1, &error));
    assert_call(-EBADF, svirt_domain_set_security_fd_label(manager, domain, -1, SVIRT_RESOURCE_DISK, &error));
    free(huge);
    svirt_options_free(options);
    svirt_domain_free(domain);
    svirt_manager_close(manager);
}

static void not_utf8_anywhere(void **state)
{
    svirt_manager *manager = open_manager("none", NULL, NULL), *none;
    svirt_domain *domain = new_domain(UUID_A), *out;
    svirt_options *options = svirt_options_new();
    svirt_process_label label;
    (void)state;
    assert_call(-EINVAL, svirt_options_set(options, not_utf8, "x", &error));
    assert_call(-EINVAL, svirt_options_set(options, "runtime_dir", not_utf8, &error));
    assert_call(-EINVAL, svirt_manager_open(not_utf8, options, &none, &error));
    assert_call(-EINVAL, svirt_domain_new(not_utf8, UUID_A, "kvm", &out, &error));
    assert_call(-EINVAL, svirt_domain_new("a", not_utf8, "kvm", &out, &error));
    assert_call(-EINVAL, svirt_domain_new("a", UUID_A, not_utf8, &out, &error));
    assert_null(out);
    assert_call(-EINVAL, svirt_domain_set_seclabel(domain, "dac", SVIRT_SECLABEL_STATIC, not_utf8, 1, &error));
    assert_call(-EINVAL, svirt_domain_get_security_process_label(manager, NULL, not_utf8, 1, &label, &error));
    assert_call(-EINVAL, svirt_domain_set_security_resource_label(manager, domain, SVIRT_RESOURCE_DISK, not_utf8, 0, &error));
    assert_call(-EINVAL, svirt_domain_restore_security_resource_label(manager, domain, SVIRT_RESOURCE_DISK, not_utf8, 0, &error));
    assert_call(-EINVAL, svirt_domain_move_image(manager, domain, not_utf8, "/b", &error));
    assert_call(-EINVAL, svirt_domain_move_image(manager, domain, "/a", not_utf8, &error));
    assert_call(-EINVAL, svirt_manager_reconcile(manager, (const char *const[]){not_utf8}, 1, &error));
    assert_null(svirt_manager_base_label(manager, not_utf8, "kvm"));
    assert_null(svirt_manager_base_label(manager, NULL, not_utf8));
    assert_null(svirt_domain_label(domain, not_utf8));
    assert_null(svirt_domain_image_label(domain, not_utf8));
    svirt_options_free(options);
    svirt_domain_free(domain);
    svirt_manager_close(manager);
}

/* Text of `count` times `piece` between two others. */
static char *many(const char *before, const char *piece, size_t count, const char *after)
{
    size_t first = strlen(before), one = strlen(piece);
    char *text = malloc(first + one * count + strlen(after) + 1);
    assert_non_null(text);
    memcpy(text, before, first);
    for (size_t i = 0; i < count; i++)
        memcpy(text + first + i * one, piece, one);
    strcpy(text + first + one * count, after);
    return text;
}

static void bombs(void **state)
{
    static const char head[] = "<domain type='kvm'><name>a</name><uuid>" UUID_A "</uuid>";
    const struct {
        const char *piece;
        size_t count;
        const char *before, *after;
        int result;
    } rows[] = {
        {"x", 1 << 20, "<seclabel type='static'><label>", "</label></seclabel></domain>", -EINVAL},
        {"x", 1 << 20, "<seclabel model='", "'/></domain>", 0}, /* unknown models are found by gen */
        {"x", 17 << 20, "<description>", "</description></domain>", -EINVAL},
        {"<!-- x -->", 100000, "", "</domain>", 0},
        {"&lt;", 1 << 18, "<description>", "</description></domain>", 0},
        {"&#0;", 1, "<description>", "</description></domain>", -EINVAL},
        {"&undefined;", 1, "<description>", "</description></domain>", -EINVAL},
        {"<a b='c' b='c'/>", 1, "", "</domain>", -EINVAL},
        {" a", 1 << 20, "<b", "/></domain>", -EINVAL},
        {"<seclabel/>", 1000, "", "</domain>", -EINVAL},
        {"<backingStore type='file'><source file='/x'/>", 250, "<devices><disk><source file='/y'/>", "", -EINVAL},
        {"<disk><source file='/x'/></disk>", 50000, "<devices>", "</devices></domain>", 0},
        {"<", 1 << 20, "", "", -EINVAL},
        {"]]>", 1, "", "</domain>", -EINVAL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *before, *xml;
        svirt_domain *out;
        assert_true(asprintf(&before, "%s%s", head, rows[i].before) > 0);
        xml = many(before, rows[i].piece, rows[i].count, rows[i].after);
        if (svirt_domain_from_xml(xml, &out, NULL) != rows[i].result)
            fail_msg("%zu times %s", rows[i].count, rows[i].piece);
        assert_true((out != NULL) == (rows[i].result == 0));
        svirt_domain_free(out);
        free(before);
        free(xml);
    }
}

static void a_path_of_a_mebibyte(void **state)
{
    svirt_manager *manager = open_manager("dac", "dac.user", "+4711");
    svirt_domain *domain = new_domain(UUID_A);
    char *path = many("/", "x", 1 << 20, "");
    (void)state;
    assert_call(0, svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, path, 0, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    assert_call(-ENAMETOOLONG, svirt_domain_set_security_all_label(manager, domain, 0, &error));
    assert_call(0, svirt_domain_restore_security_all_label(manager, domain, 0, &error));
    assert_call(0, svirt_domain_release_security_label(manager, domain, &error));
    free(path);
    svirt_domain_free(domain);
    svirt_manager_close(manager);
}

static void deep_and_wide_xml(void **state)
{
    svirt_domain *out;
    size_t size = 3 << 20;
    char *xml = malloc(size + 1);
    (void)state;
    for (size_t at = 0; at < size; at += 3)
        memcpy(xml + at, "<a>", 3);
    xml[size] = '\0';
    assert_call(-EINVAL, svirt_domain_from_xml(xml, &out, &error));
    free(xml);
}

static void out_of_order(void **state)
{
    svirt_manager *manager = open_manager("none", NULL, NULL);
    svirt_domain *domain = new_domain(UUID_A);
    (void)state;
    assert_int_equal(svirt_domain_set_security_process_label(manager, domain), -ENODATA);
    assert_call(-ENODATA, svirt_domain_set_security_all_label(manager, domain, 0, &error));
    assert_call(-ENODATA, svirt_domain_check_security_process_label(manager, domain, getpid(), &error));
    assert_call(0, svirt_domain_restore_security_all_label(manager, domain, 0, &error));
    assert_call(0, svirt_domain_release_security_label(manager, domain, &error));
    assert_call(0, svirt_domain_gen_security_label(manager, domain, &error));
    assert_call(-EALREADY, svirt_domain_gen_security_label(manager, domain, &error));
    assert_call(0, svirt_domain_set_security_all_label(manager, domain, 0, &error));
    assert_call(0, svirt_domain_release_security_label(manager, domain, &error));
    assert_call(0, svirt_domain_release_security_label(manager, domain, &error));
    assert_int_equal(svirt_domain_set_security_process_label(manager, domain), -ENODATA);
    svirt_domain_free(domain);
    svirt_manager_close(manager);
}

static void what_comes_later_says_so(void **state)
{
    svirt_manager *manager = open_manager("none", NULL, NULL);
    const char *uuids[] = {UUID_A};
    (void)state;
    assert_call(0, svirt_manager_reconcile(manager, uuids, 1, &error));
    svirt_manager_close(manager);
}

static void a_host_without_selinux_says_so(void **state)
{
    svirt_manager *manager;
    (void)state;
    if (access("/sys/fs/selinux/enforce", F_OK) == 0)
        assert_call(0, svirt_manager_open("selinux", NULL, &manager, &error));
    else
        assert_call(-ENOTSUP, svirt_manager_open("selinux", NULL, &manager, &error));
    svirt_manager_close(manager);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_and_strings),
        cmocka_unit_test(null_everywhere),
        cmocka_unit_test(unknown_numbers_and_texts),
        cmocka_unit_test(not_utf8_anywhere),
        cmocka_unit_test(deep_and_wide_xml),
        cmocka_unit_test(bombs),
        cmocka_unit_test(a_path_of_a_mebibyte),
        cmocka_unit_test(out_of_order),
        cmocka_unit_test(what_comes_later_says_so),
        cmocka_unit_test(a_host_without_selinux_says_so),
    };
    return cmocka_run_group_tests_name("input", tests, make_folder, remove_folder);
}
