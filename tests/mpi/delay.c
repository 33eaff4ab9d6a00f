/* Preloaded into umed by races.sh: before every call by which a claim or a result comes, goes or is looked at, a pause of up to
 * UMED_DELAY_MS, a different one each time. Between looking and taking there is room for others then. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static int concerns(const char *path)
{
    return strstr(path, "lease") || strstr(path, "result.h5") || strstr(path, "failed.txt");
}

static void pause_before(const char *path)
{
    static __thread uint64_t x;
    const char *most = getenv("UMED_DELAY_MS");
    struct timespec now, nap = {0};
    if (!concerns(path) || !most)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    x = (x + (uint64_t)now.tv_nsec + (uint64_t)getpid()) * 6364136223846793005u + 1442695040888963407u;
    nap.tv_nsec = (long)((x >> 33) % 1000000) * atol(most);
    nanosleep(&nap, NULL);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    pause_before(path);
    return REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    pause_before(path);
    return REAL(open64)(path, flags, mode);
}

int mkstemp(char *path)
{
    pause_before(path);
    return REAL(mkstemp)(path);
}

int rename(const char *from, const char *to)
{
    pause_before(to);
    return REAL(rename)(from, to);
}

int unlink(const char *path)
{
    pause_before(path);
    return REAL(unlink)(path);
}
