/*
 * guest-probe: stands in for an emulator; does what it is told, confined as a guest, and says how that went.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Standard input: commands, each ended by a NUL: a letter (r read, w write, x run, l list, k signal) and a path
 * or pid. Standard output: an errno in decimal and a newline for each.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int open_and(const char *path, int write_it)
{
    char byte = 'x';
    int fd = open(path, (write_it ? O_RDWR : O_RDONLY) | O_CLOEXEC), result = 0;
    if (fd < 0)
        return errno;
    if ((write_it ? pwrite(fd, &byte, 1, 0) : pread(fd, &byte, 1, 0)) < 0)
        result = errno;
    close(fd);
    return result;
}

static int run(const char *path)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        execl(path, path, (char *)NULL);
        _exit(errno);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

static int list(const char *path)
{
    DIR *folder = opendir(path);
    return folder ? closedir(folder) : errno;
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (getdelim(&line, &size, '\0', stdin) > 1) {
        const char *what = line + 1;
        switch (line[0]) {
        case 'r':
        case 'w': printf("%d\n", open_and(what, line[0] == 'w')); break;
        case 'x': printf("%d\n", run(what)); break;
        case 'l': printf("%d\n", list(what)); break;
        case 'k': printf("%d\n", kill(atoi(what), 0) ? errno : 0); break;
        default: printf("%d\n", EINVAL);
        }
    }
    free(line);
    return 0;
}
