/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SVIRT_TESTS_HOTPLUG_H
#define SVIRT_TESTS_HOTPLUG_H
#include "common.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

/* A process in a mount namespace of its own, in which a file system of its own with the file `name` is on `place`;
 * without a place nothing is mounted, which a policy may forbid. */
static inline pid_t process_elsewhere(const char *place, const char *name)
{
    int ready[2];
    char byte, path[256];
    pid_t pid;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(60);
        snprintf(path, sizeof path, "%s/%s", place ? place : "", name ? name : "");
        byte = unshare(CLONE_NEWNS) ||
               (place && (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("none", place, "tmpfs", 0, NULL) ||
                          close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)))) ?
                   errno : 0;
        if (write(ready[1], &byte, 1) == 1)
            pause();
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    assert_int_equal(byte, 0);
    return pid;
}

static inline void end_process(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A file as process `pid` sees it. */
static inline char *seen_by(pid_t pid, const char *path)
{
    static char names[4][300];
    static unsigned next;
    char *name = names[next++ % 4];
    snprintf(name, sizeof names[0], "/proc/%d/root%s", (int)pid, path);
    return name;
}
#endif
