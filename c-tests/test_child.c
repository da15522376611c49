/* The child step: between fork and exec nothing is allocated, nothing locked, and a failure stops the child.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "common.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

/* The program's allocator, which the library uses too. It has a lock, does not answer in the child, and stops one
 * thread at a certain call until it may go on. */
#if defined(__SANITIZE_ADDRESS__)
#define INTERPOSED 0
#else
#define INTERPOSED 1
static atomic_int in_the_child, stopped, ended;
static pthread_mutex_t heap = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local int watched;
static int calls, stop_at;
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

static void enter(void)
{
    if (in_the_child)
        abort();
    pthread_mutex_lock(&heap);
    if (watched && ++calls == stop_at)
        for (stopped = 1; stopped;)
            sched_yield();
}

static void *leave(void *result)
{
    pthread_mutex_unlock(&heap);
    return result;
}

void *malloc(size_t size) { return enter(), leave(__libc_malloc(size)); }
void *calloc(size_t count, size_t size) { return enter(), leave(__libc_calloc(count, size)); }
void *realloc(void *old, size_t size) { return enter(), leave(__libc_realloc(old, size)); }
void free(void *old) { enter(), __libc_free(old), leave(NULL); }
#endif

struct both {
    svirt_manager *manager;
    svirt_domain *domain;
    svirt_options *options;
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
    struct both both = {
        .manager = open_manager(drivers, "dac.uid_range", "600000-600999"),
        .domain = new_domain(UUID_A),
    };
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

/* As in_child(), by vfork: the child runs in this process's memory. */
static __attribute__((noinline)) int in_vfork_child(int (*body)(void *), void *opaque)
{
    int status;
    pid_t pid = vfork();
    if (pid == 0)
        _exit(body(opaque));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    /* The kernel has cleared this when the child changed its user, for the memory that both share. */
    assert_int_equal(prctl(PR_SET_DUMPABLE, 1), 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#if INTERPOSED
static int allocate_in_the_child(void *opaque)
{
    in_the_child = 1;
    return svirt_domain_gen_security_label(NULL, opaque, NULL) == 0;
}
#endif

static void allocates_nothing(void **state)
{
    struct both both = prepare();
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(in_child(play, &both), 0);
        assert_int_equal(in_vfork_child(play, &both), 0);
    }
#if INTERPOSED
    /* The library does use this allocator: an error object ends the child. */
    assert_int_equal(in_child(allocate_in_the_child, both.domain), 128 + SIGABRT);
#endif
    assert_int_equal(geteuid(), 0);
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
    static const char *const stacks[] = {"none", "dac", "selinux", "selinux,dac"};
    static const int wanted[] = {0, 3, 3, 6};
    int bare = 0;
    (void)state;
    for (int i = 0; i < (selinux() ? 4 : 2); i++) {
        struct both both = {
            .manager = open_manager(stacks[i], "dac.uid_range", "600000-600999"),
            .domain = new_domain(UUID_B),
        };
        assert_call(0, svirt_domain_gen_security_label(both.manager, both.domain, &error));
        int count = system_calls(&both);
        if (i == 0)
            bare = count;
        print_message("child step of %s: %d system calls\n", stacks[i], count - bare);
        assert_int_equal(count - bare, wanted[i]);
        finish(both);
    }
}

static int drop_and_play(void *opaque)
{
    if (syscall(SYS_setresuid, 1, 1, 1) < 0)
        return 99;
    return play(opaque);
}

/* As a daemon does it: no exec after a failure. */
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
    assert_int_equal(in_vfork_child(play, &both), 0);
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
    assert_int_equal(in_vfork_child(drop_and_play, &both), EPERM);
    assert_int_equal(in_child(play_and_exec, &both), 42);
    assert_int_equal(in_vfork_child(play_and_exec, &both), 42);
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
    struct both crossed = {.manager = open_manager("none", NULL, NULL), .domain = both.domain};
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

#if INTERPOSED
/* A life in which every lock of the library is taken, the table's among them. */
static void *live(void *opaque)
{
    struct both *both = opaque;
    svirt_domain *other;
    char *xml;
    int bad;
    watched = 1;
    bad = svirt_domain_set_security_all_label(both->manager, both->domain, 0, NULL) != 0;
    xml = svirt_domain_to_xml(both->domain);
    svirt_string_free(xml);
    bad |= svirt_domain_restore_security_all_label(both->manager, both->domain, 0, NULL) != 0;
    bad |= svirt_domain_new("other", UUID_B, "kvm", &other, NULL) != 0;
    bad |= svirt_domain_gen_security_label(both->manager, other, NULL) != 0;
    bad |= svirt_domain_release_security_label(both->manager, other, NULL) != 0;
    svirt_domain_free(other);
    watched = 0;
    ended = 1;
    return (void *)(intptr_t)bad;
}

/* Stops that thread inside each of its allocations in turn, so with the allocator's lock held and whatever the
 * library holds there, and forks. */
static void no_lock_held_at_any_allocation_is_waited_for(void **state)
{
    struct both both = prepare();
    int done = 0;
    (void)state;
    assert_call(0, svirt_domain_add_resource(both.domain, SVIRT_RESOURCE_DISK, make_file("held", 0600), 0, &error));
    for (stop_at = 1; !done; stop_at++) {
        pthread_t thread;
        void *bad;
        calls = ended = 0;
        assert_int_equal(pthread_create(&thread, NULL, live, &both), 0);
        while (!stopped && !ended)
            sched_yield();
        done = !stopped;
        assert_int_equal(in_child(play, &both), 0);
        assert_int_equal(in_vfork_child(play, &both), 0);
        stopped = 0;
        pthread_join(thread, &bad);
        assert_null(bad);
    }
    print_message("played at each of %d calls of the allocator\n", stop_at - 2);
    assert_true(stop_at > 50);
    stop_at = 0;
    finish(both);
}
#endif

static int never(const svirt_image *image, void *opaque)
{
    (void)image;
    return *(int *)opaque = 1;
}

static int call_everything(void *opaque)
{
    struct both *both = opaque;
    svirt_manager *fresh, *manager = both->manager;
    svirt_domain *domain = both->domain;
    svirt_options *options = options_here();
    svirt_process_label label;
    svirt_error *errors[3] = {NULL, NULL, NULL};
    char *name, *doi;
    int called = 0;
    const int results[] = {
        svirt_domain_gen_security_label(manager, domain, NULL),
        svirt_domain_release_security_label(manager, domain, NULL),
        svirt_domain_set_security_all_label(manager, domain, 0, NULL),
        svirt_domain_restore_security_all_label(manager, domain, 0, NULL),
        svirt_domain_get_security_process_label(manager, domain, NULL, 1, &label, NULL),
        svirt_domain_verify_security_label(manager, domain, NULL),
        svirt_domain_reserve_security_label(manager, domain, 1, NULL),
        svirt_domain_check_security_process_label(manager, domain, 1, NULL),
        svirt_domain_set_security_resource_label(manager, domain, SVIRT_RESOURCE_DISK, "/x", 0, NULL),
        svirt_domain_restore_security_resource_label(manager, domain, SVIRT_RESOURCE_DISK, "/x", 0, NULL),
        svirt_domain_move_image(manager, domain, "/a", "/b", NULL),
        svirt_domain_set_security_fd_label(manager, domain, 0, SVIRT_RESOURCE_DISK, NULL),
        svirt_domain_add_resource(domain, SVIRT_RESOURCE_DISK, "/x", 0, NULL),
        svirt_domain_set_seclabel(domain, NULL, SVIRT_SECLABEL_DYNAMIC, NULL, 1, NULL),
        svirt_manager_reconcile(manager, NULL, 0, NULL),
        svirt_manager_transaction_start(manager, NULL),
        svirt_manager_transaction_commit(manager, -1, NULL),
        svirt_manager_foreach_image(manager, never, &called),
        svirt_options_set(both->options, "owner", "x", NULL),
        svirt_manager_open("none", both->options, &fresh, NULL),
        svirt_domain_set_security_socket_label(manager, domain, &errors[0]),
        svirt_domain_set_security_daemon_socket_label(manager, domain, &errors[1]),
        svirt_domain_clear_security_socket_label(manager, domain, &errors[2]),
    };
    for (unsigned i = 0; i < sizeof results / sizeof *results; i++)
        if (results[i] != -EDEADLK)
            return 100 + (int)i;
    svirt_manager_transaction_abort(manager);
    if (called || svirt_domain_label(domain, NULL) || svirt_domain_image_label(domain, NULL) ||
        svirt_domain_to_xml(domain) || svirt_domain_security_mount_options(manager, domain) ||
        svirt_manager_base_label(manager, "dac", "kvm"))
        return 1;
    for (int i = 0; i < 3; i++) {
        if (svirt_error_number(errors[i]) != EDEADLK)
            return 3;
        svirt_error_free(errors[i]);
    }
    /* These take no lock, so they answer. */
    svirt_string_free(name = svirt_manager_model(manager, 0));
    svirt_string_free(doi = svirt_manager_doi(manager, 0));
    if (!name || !doi || svirt_domain_from_xml("<domain/>", &domain, NULL) != -EINVAL ||
        svirt_domain_new("child", UUID_B, "kvm", &domain, NULL) != 0)
        return 4;
    svirt_domain_free(domain);
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
    both.options = options_here();
    assert_int_equal(in_child(call_everything, &both), 0);
    svirt_options_free(both.options);
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

/* Whatever the threads of the parent held when the child was made, no call waits for it. */
static int play_and_be_refused(void *opaque)
{
    struct both *both = opaque;
    if (play(both) != 0)
        return 1;
    return svirt_domain_gen_security_label(both->manager, both->domain, NULL) != -EDEADLK ||
           svirt_domain_set_security_all_label(both->manager, both->domain, 0, NULL) != -EDEADLK ||
           svirt_domain_restore_security_all_label(both->manager, both->domain, 0, NULL) != -EDEADLK ||
           svirt_manager_reconcile(both->manager, NULL, 0, NULL) != -EDEADLK;
}

static void forks_among_busy_threads_never_hang(void **state)
{
    enum { THREADS = 8 };
    struct both both = prepare();
    pthread_t threads[THREADS];
    const char *wanted = getenv("SVIRT_FORKS");
    int forks = wanted ? atoi(wanted) : 2000;
    void *failed;
    (void)state;
    assert_true(forks > 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, start_and_stop, both.manager), 0);
    for (int i = 0; i < forks; i++)
        assert_int_equal(in_child(play_and_be_refused, &both), 0);
    stop = 1;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    print_message("%d forks\n", forks);
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
#if INTERPOSED
        cmocka_unit_test(no_lock_held_at_any_allocation_is_waited_for),
#endif
        cmocka_unit_test(everything_else_says_edeadlk),
        cmocka_unit_test(forks_among_busy_threads_never_hang),
    };
    return cmocka_run_group_tests_name("child", tests, make_folder, remove_folder);
}
