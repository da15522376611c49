/* What a user's environment says does not count in a program that has more rights than that user.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "common.h"

/* Started by run.sh as one user, the file being setuid to another; neither is root, for whom the directories are
 * fixed. */
static void no_variable_is_read(void **state)
{
    svirt_manager *manager;
    svirt_error *error;
    (void)state;
    assert_non_null(getenv("XDG_RUNTIME_DIR"));
    assert_int_not_equal(geteuid(), getuid());
    assert_int_equal(svirt_manager_open("dac", NULL, &manager, &error), -EINVAL);
    assert_non_null(strstr(svirt_error_message(error), "XDG_RUNTIME_DIR"));
    svirt_error_free(error);
}

/* The same program without setuid: the same variables do count. */
static void the_variables_are_read(void **state)
{
    svirt_manager *manager;
    (void)state;
    assert_int_equal(geteuid(), getuid());
    assert_call(0, svirt_manager_open("dac", NULL, &manager, &error));
    svirt_manager_close(manager);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest setuid[] = {cmocka_unit_test(no_variable_is_read)};
    const struct CMUnitTest plain[] = {cmocka_unit_test(the_variables_are_read)};
    (void)argv;
    return argc > 1 ? cmocka_run_group_tests(plain, NULL, NULL) : cmocka_run_group_tests(setuid, NULL, NULL);
}
