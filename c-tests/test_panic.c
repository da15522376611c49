/* A panic inside the library ends in EIO, and the host lives on with its stderr clean. Needs a library built
 * with the feature panic-for-tests.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "common.h"

static void the_host_survives(void **state)
{
    svirt_options *options = svirt_options_new();
    svirt_error *error = NULL;
    char printed[64];
    int out[2], saved = dup(2);
    (void)state;
    assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    dup2(out[1], 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(svirt_options_set(options, "test.panic", "x", &error), -EIO);
        assert_non_null(strstr(svirt_error_message(error), "on purpose"));
        svirt_error_free(error);
    }
    dup2(saved, 2);
    close(saved);
    assert_int_equal(read(out[0], printed, sizeof printed), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(svirt_options_set(options, "owner", "still here", NULL), 0);
    svirt_options_free(options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_host_survives)};
    return cmocka_run_group_tests_name("panic", tests, NULL, NULL);
}
