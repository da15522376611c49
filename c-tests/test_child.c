/* The child step: between fork and exec nothing is allocated, nothing locked, and a failure stops the child.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "common.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#if defined(__SANITIZE_ADDRESS__)
#define INTERPOSED 0
#else
#define INTERPOSED 1
static atomic_int in_the_child;
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void __libc_free(void *);
void *malloc(size_t size) { return in_the_child ? (abort(), NULL) : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return in_the_child ? (abort(), NULL) : __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return in_the_child ? (abort(), NULL) : __libc_realloc(old, size); }
void free(void *old) { in_the_child ? abort() : __libc_free(old); }
#endif

struct both {
    svirt_manager *manager;
    svirt_domain *domain;
};

static int play(void *opaque)
{
    struct both *both = opaque;
    int result;
#if INTERPOSED
    in_the_child = 1;
#endif
    result = svirt_domain_set_security_process_label(both->manager, both->domain);
#if INTERPOSED
    in_the_child = 0;
#endif
    return -result;
}

/* With SELinux where the kernel runs it. */
static int selinux(void)
{
    return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

static struct both prepare_with(const char *drivers)
{
    struct both both = {open_manager(drivers, "dac.uid_range", "600000-600999"), new_domain(UUID_A)};
    assert_call(0, svirt_domain_gen_security_label(both.manager, both.domain, &error));
    return both;
}

static struct both prepare(void)
{
    return prepare_with(selinux() ? "selinux,dac" : "dac");
}

static void finish(struct both both)
{
    assert_call(0, svirt_domain_release_security_label(both.manager, both.domain, &error));
    svirt_domain_free(both.domain);
    svirt_manager_close(both.manager);
}

static void allocates_nothing(void **state)
{
    struct both both = prepare();
    (void)state;
    assert_int_equal(in_child(play, &both), 0);
#if INTERPOSED
    in_the_child = 0;
#endif
    finish(both);
}

static int play_after_stop(void *opaque)
{
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    return play(opaque);
}

/* System calls of the child from its stop to its end, exit included. */
static int system_calls(struct both *both)
{
    int status, entries = 0, entering = 1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(play_after_stop(both));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSTOPPED(status));
    for (;;) {
        assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            return entries;
        }
        entries += entering;
        entering = !entering;
    }
}

/* Three of DAC: groups, group, user; three of SELinux: open, write, close. */
static void makes_three_system_calls_per_driver(void **state)
{
    struct both both = prepare();
    struct both unconfined = {open_manager("none", NULL, NULL), new_domain(UUID_B)};
    int with, without;
    (void)state;
    assert_call(0, svirt_domain_gen_security_label(unconfined.manager, unconfined.domain, &error));
    with = system_calls(&both);
    without = system_calls(&unconfined);
    print_message("child step of %s: %d system calls\n", selinux() ? "selinux,dac" : "dac", with - without);
    assert_int_equal(with - without, selinux() ? 6 : 3);
    finish(both);
    finish(unconfined);
}

static int drop_and_play(void *opaque)
{
    if (syscall(SYS_setresuid, 1, 1, 1) < 0)
        return 99;
    return play(opaque);
}

static int play_and_exec(void *opaque)
{
    if (drop_and_play(opaque) != 0)
        return 42;
    execl("/bin/true", "true", (char *)NULL);
    return 43;
}

/* Landlock: its own /proc takes three, the restriction one, the mark for the daemon two. */
static void landlock_makes_six_system_calls(void **state)
{
    svirt_manager *manager;
    struct both dac, both;
    int count, status;
    pid_t pid;
    (void)state;
    if (svirt_manager_open("landlock", NULL, &manager, NULL) == -ENOTSUP)
        skip();
    svirt_manager_close(manager);
    dac = prepare_with("dac");
    count = -system_calls(&dac);
    finish(dac);
    both = prepare_with("landlock,dac");
    assert_int_equal(in_child(play, &both), 0);
    count += system_calls(&both);
    print_message("child step of landlock: %d system calls\n", count);
    assert_int_equal(count, 6);
    /* Who may not restrict itself must not run. */
    assert_int_equal(in_child(drop_and_play, &both), EPERM);
    finish(both);
    /* vfork: what the child does to itself leaves its parent, whose memory it borrows, alone. */
    both = prepare_with("landlock");
    pid = vfork();
    if (pid == 0) {
        if (svirt_domain_set_security_process_label(both.manager, both.domain) == 0)
            execl("/bin/true", "true", (char *)NULL);
        _exit(errno == EACCES ? 42 : 43);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 42);
    assert_int_equal(access("/etc/shadow", R_OK), 0);
    finish(both);
}

static void a_failed_step_stops_the_child(void **state)
{
    struct both both = prepare();
    (void)state;
    assert_int_equal(in_child(drop_and_play, &both), EPERM);
    assert_int_equal(in_child(play_and_exec, &both), 42);
    finish(both);
}

static int hide_proc_and_play(void *opaque)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/proc", "tmpfs", 0, NULL) != 0)
        return 99;
    return play(opaque);
}

static void without_proc_selinux_fails_and_dac_works(void **state)
{
    struct both both = prepare();
    (void)state;
    assert_int_equal(in_child(hide_proc_and_play, &both), selinux() ? ENOENT : 0);
    finish(both);
}

static void another_managers_plan_is_not_played(void **state)
{
    struct both both = prepare();
    struct both crossed = {open_manager("none", NULL, NULL), both.domain};
    (void)state;
    assert_int_equal(in_child(play, &crossed), ENODATA);
    svirt_manager_close(crossed.manager);
    finish(both);
}

static atomic_int labelling;

static void *label_a_locked_image(void *opaque)
{
    struct both *both = opaque;
    labelling = 1;
    return (void *)(intptr_t)svirt_domain_set_security_all_label(both->manager, both->domain, 0, NULL);
}

/* The thread waits for the image's lock with the domain's and the image's own locks held; now we fork. */
static void no_lock_of_another_thread_is_waited_for(void **state)
{
    struct both both = prepare();
    char *image = make_file("locked", 0600);
    struct flock lock = {.l_type = F_WRLCK, .l_start = 1, .l_len = 1};
    int fd = open(image, O_RDWR | O_CLOEXEC);
    pthread_t thread;
    void *result;
    (void)state;
    assert_call(0, svirt_domain_add_resource(both.domain, SVIRT_RESOURCE_DISK, image, 0, &error));
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    assert_int_equal(pthread_create(&thread, NULL, label_a_locked_image, &both), 0);
    while (!labelling)
        sched_yield();
    usleep(100000);
    for (int i = 0; i < 100; i++)
        assert_int_equal(in_child(play, &both), 0);
    lock.l_type = F_UNLCK;
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    pthread_join(thread, &result);
    assert_int_equal((intptr_t)result, 0);
    close(fd);
    assert_call(0, svirt_domain_restore_security_all_label(both.manager, both.domain, 0, &error));
    finish(both);
}

static int call_everything(void *opaque)
{
    struct both *both = opaque;
    svirt_manager *fresh;
    svirt_options *options = options_here();
    if (svirt_domain_gen_security_label(both->manager, both->domain, NULL) != -EDEADLK ||
        svirt_domain_set_security_all_label(both->manager, both->domain, 0, NULL) != -EDEADLK ||
        svirt_domain_restore_security_all_label(both->manager, both->domain, 0, NULL) != -EDEADLK ||
        svirt_domain_release_security_label(both->manager, both->domain, NULL) != -EDEADLK ||
        svirt_domain_verify_security_label(both->manager, both->domain, NULL) != -EDEADLK ||
        svirt_domain_label(both->domain, NULL) != NULL)
        return 1;
    /* A child that goes on by itself may begin anew. */
    if (svirt_manager_open("none", options, &fresh, NULL) != 0)
        return 2;
    svirt_manager_close(fresh);
    svirt_options_free(options);
    return 0;
}

static void everything_else_says_edeadlk(void **state)
{
    struct both both = prepare();
    (void)state;
    assert_int_equal(in_child(call_everything, &both), 0);
    finish(both);
}

static volatile int stop;

static void *start_and_stop(void *opaque)
{
    svirt_manager *manager = opaque;
    static atomic_int next;
    char uuid[64], name[32], *image;
    int number = next++;
    svirt_domain *domain;
    snprintf(uuid, sizeof uuid, "0b15ad3c-11f4-4b0c-a8e2-00000001%04d", number);
    snprintf(name, sizeof name, "busy%d", number);
    image = make_file(name, 0600);
    if (svirt_domain_new("busy", uuid, "kvm", &domain, NULL) != 0 ||
        svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, image, 0, NULL) != 0)
        return (void *)1;
    while (!stop)
        if (svirt_domain_gen_security_label(manager, domain, NULL) != 0 ||
            svirt_domain_set_security_all_label(manager, domain, 0, NULL) != 0 ||
            svirt_domain_restore_security_all_label(manager, domain, 0, NULL) != 0 ||
            svirt_domain_release_security_label(manager, domain, NULL) != 0)
            return (void *)1;
    svirt_domain_free(domain);
    return NULL;
}

static void forks_among_busy_threads_never_hang(void **state)
{
    struct both both = prepare();
    pthread_t threads[4];
    void *failed;
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, start_and_stop, both.manager), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(in_child(play, &both), 0);
    stop = 1;
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    finish(both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocates_nothing),
        cmocka_unit_test(makes_three_system_calls_per_driver),
        cmocka_unit_test(landlock_makes_six_system_calls),
        cmocka_unit_test(a_failed_step_stops_the_child),
        cmocka_unit_test(without_proc_selinux_fails_and_dac_works),
        cmocka_unit_test(another_managers_plan_is_not_played),
        cmocka_unit_test(no_lock_of_another_thread_is_waited_for),
        cmocka_unit_test(everything_else_says_edeadlk),
        cmocka_unit_test(forks_among_busy_threads_never_hang),
    };
    return cmocka_run_group_tests_name("child", tests, make_folder, remove_folder);
}
