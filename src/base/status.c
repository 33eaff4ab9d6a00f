#include "base/status.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdarg.h>
#include <string.h>

enum { MESSAGE_BYTES = 1024, MAX_PLACES = 16, EXPR_BYTES = 96 };

typedef struct place {
    const char *file;
    int line;
    char expr[EXPR_BYTES];
} place;

/* The one error slot of the process. The lock keeps it whole when a helper thread fails beside the main one. */
static struct {
    pthread_mutex_t lock;
    char message[MESSAGE_BYTES];
    place places[MAX_PLACES];
    int n_places, n_dropped;
} slot = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct {
    const char *name;
    int exit_code;
} CODES[] = {
    [UM_OK] = {"ok", 0},
    [UM_E_USAGE] = {"usage", 64},
    [UM_E_CONFIG] = {"config", 64},
    [UM_E_DATA] = {"data", 65},
    [UM_E_NUMERIC] = {"numeric", 3},
    [UM_E_UNSUPPORTED] = {"unsupported", 64},
    [UM_E_MEMORY] = {"memory", 70},
    [UM_E_DEVICE] = {"device", 70},
    [UM_E_IO] = {"io", 74},
    [UM_E_STOPPED] = {"stopped", 75},
    [UM_E_COMM] = {"comm", 76},
    [UM_E_PARTIAL] = {"partial", 3},
    [UM_E_BUG] = {"bug", 70},
};

static bool code_known(um_status code)
{
    return (int)code >= 0 && (size_t)code < sizeof CODES / sizeof CODES[0];
}

/* "opt.c" alone is ambiguous and the compiler's path names the build machine: keep folder and file. */
static const char *short_path(const char *file)
{
    const char *last = strrchr(file, '/');
    if (!last)
        return file;
    while (last > file && last[-1] != '/')
        last--;
    return last;
}

static void add_place(const char *file, int line, const char *expr)
{
    if (slot.n_places == MAX_PLACES) {
        slot.n_dropped++;
        return;
    }
    place *p = &slot.places[slot.n_places++];
    p->file = short_path(file);
    p->line = line;
    snprintf(p->expr, sizeof p->expr, "%s", expr);
}

um_status um_fail_at(const char *file, int line, um_status code, const char *fmt, ...)
{
    char message[MESSAGE_BYTES]; /* formatted aside: an argument may be um_error_text() itself */
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    if (n >= MESSAGE_BYTES)
        memcpy(message + MESSAGE_BYTES - 4, "...", 4);
    pthread_mutex_lock(&slot.lock);
    memcpy(slot.message, message, sizeof message);
    slot.n_places = slot.n_dropped = 0;
    add_place(file, line, um_status_name(code));
    pthread_mutex_unlock(&slot.lock);
    return code;
}

void um_trace_at(const char *file, int line, const char *expr)
{
    pthread_mutex_lock(&slot.lock);
    add_place(file, line, expr);
    pthread_mutex_unlock(&slot.lock);
}

const char *um_error_text(void)
{
    return slot.message;
}

void um_error_print_trace(FILE *out)
{
    pthread_mutex_lock(&slot.lock);
    for (int i = 0; i < slot.n_places; i++)
        fprintf(out, "  at %s:%d: %s\n", slot.places[i].file, slot.places[i].line, slot.places[i].expr);
    if (slot.n_dropped > 0)
        fprintf(out, "  and %d more\n", slot.n_dropped);
    pthread_mutex_unlock(&slot.lock);
}

void um_error_clear(void)
{
    pthread_mutex_lock(&slot.lock);
    slot.message[0] = 0;
    slot.n_places = slot.n_dropped = 0;
    pthread_mutex_unlock(&slot.lock);
}

const char *um_status_name(um_status code)
{
    return code_known(code) ? CODES[code].name : "unknown";
}

int um_status_exit(um_status code)
{
    return code_known(code) ? CODES[code].exit_code : CODES[UM_E_BUG].exit_code;
}
