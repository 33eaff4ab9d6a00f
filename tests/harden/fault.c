/* A library for LD_PRELOAD that counts the calls by which a program changes files below one folder, and makes one of them go wrong.
 *
 *   FAULT_DIR    absolute path; calls on files elsewhere are left alone
 *   FAULT        "count": nothing goes wrong
 *                "kill:N": SIGKILL instead of the N-th call
 *                "fail:N": the N-th call fails with ENOSPC, once
 *                "full:N": the N-th and every later call that needs space fails with ENOSPC
 *   FAULT_COUNT  file that receives the number of calls at the end
 *
 * Calls: open for writing, write, pwrite, ftruncate, fsync, rename, unlink, mkdir. Shrinking a file and removing one need no space. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static atomic_long n_calls;

static void *next(const char *name)
{
    void *f = dlsym(RTLD_NEXT, name);
    if (!f)
        abort();
    return f;
}

static bool below(const char *path)
{
    const char *dir = getenv("FAULT_DIR");
    char whole[PATH_BYTES];
    size_t n = dir ? strlen(dir) : 0;
    if (!dir || !path)
        return false;
    if (path[0] != '/') {
        char here[PATH_BYTES / 2];
        if (!getcwd(here, sizeof here))
            return false;
        snprintf(whole, sizeof whole, "%s/%.2000s", here, path);
        path = whole;
    }
    return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static bool below_fd(int fd)
{
    char link[64], path[PATH_BYTES];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return false;
    path[n] = 0;
    return below(path);
}

/* Counts a call; true when it has to fail. */
static bool strikes(bool needs_space)
{
    const char *fault = getenv("FAULT");
    long n = atomic_fetch_add(&n_calls, 1) + 1, at = fault && strchr(fault, ':') ? atol(strchr(fault, ':') + 1) : 0;
    if (at == 0 || n < at)
        return false;
    if (strncmp(fault, "kill:", 5) == 0)
        kill(getpid(), SIGKILL);
    bool now = strncmp(fault, "fail:", 5) == 0 ? n == at : strncmp(fault, "full:", 5) == 0 && needs_space;
    if (now)
        errno = ENOSPC;
    return now;
}

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("FAULT_COUNT");
    FILE *f = path && atomic_load(&n_calls) > 0 ? fopen(path, "w") : NULL; /* a shell around the program has none */
    if (f) {
        fprintf(f, "%ld\n", atomic_load(&n_calls));
        fclose(f);
    }
}

static bool open_strikes(const char *path, int flags)
{
    return (flags & (O_CREAT | O_TRUNC)) && below(path) && strikes(true);
}

#define OPEN(name)                                                                                                             \
    int name(const char *path, int flags, ...);                                                                                \
    int name(const char *path, int flags, ...)                                                                                 \
    {                                                                                                                          \
        va_list args;                                                                                                          \
        va_start(args, flags);                                                                                                 \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(args, mode_t) : 0;                                              \
        va_end(args);                                                                                                          \
        if (open_strikes(path, flags))                                                                                         \
            return -1;                                                                                                         \
        return ((int (*)(const char *, int, mode_t))next(#name))(path, flags, mode);                                           \
    }
OPEN(open)
OPEN(open64)

#define CALL(type, name, parameters, arguments, condition)                                                                     \
    type name parameters;                                                                                                      \
    type name parameters                                                                                                       \
    {                                                                                                                          \
        if (condition)                                                                                                         \
            return -1;                                                                                                         \
        return ((type(*) parameters)next(#name))arguments;                                                                     \
    }
static bool grows(int fd, off_t size)
{
    struct stat info;
    return fstat(fd, &info) == 0 && size > info.st_size;
}
CALL(ssize_t, write, (int fd, const void *data, size_t n), (fd, data, n), below_fd(fd) && strikes(true))
CALL(ssize_t, pwrite, (int fd, const void *data, size_t n, off_t at), (fd, data, n, at), below_fd(fd) && strikes(true))
CALL(ssize_t, pwrite64, (int fd, const void *data, size_t n, off64_t at), (fd, data, n, at), below_fd(fd) && strikes(true))
CALL(int, ftruncate, (int fd, off_t size), (fd, size), below_fd(fd) && strikes(grows(fd, size)))
CALL(int, ftruncate64, (int fd, off64_t size), (fd, size), below_fd(fd) && strikes(grows(fd, size)))
CALL(int, fsync, (int fd), (fd), below_fd(fd) && strikes(true))
CALL(int, rename, (const char *from, const char *to), (from, to), below(to) && strikes(true))
CALL(int, unlink, (const char *path), (path), below(path) && strikes(false))
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode), below(path) && strikes(true))
