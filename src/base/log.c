#include "base/log.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 4096 };

static const char *const LEVEL_NAMES[] = {"error", "warn", "info", "debug"};
static const double TERMINAL_INTERVAL_S = 0.1;

static struct {
    um_log_level level;
    int rank, n_ranks;
    bool mute;            /* warnings and errors only */
    double interval;      /* seconds between progress lines in a batch log */
    double last_progress; /* um_now() of the last one, 0 before the first */
    bool bar_shown;       /* the cursor stands behind an unfinished progress line */
} state = {.level = UM_LOG_INFO, .n_ranks = 1, .interval = 10};

static bool level_shown(um_log_level level)
{
    return level <= state.level && (!state.mute || level <= UM_LOG_WARN);
}

/* One write per line, so that lines of several ranks do not mix. */
static void put(const char *line, size_t n)
{
    fwrite(line, 1, n, stderr);
    fflush(stderr);
}

static size_t line_start(char line[LINE_BYTES], um_log_level level)
{
    char utc[UM_UTC_BYTES], rank[24] = "";
    um_utc(utc);
    if (state.n_ranks > 1)
        snprintf(rank, sizeof rank, "[r%d] ", state.rank);
    const char *erase = state.bar_shown ? "\r\033[K" : "";
    state.bar_shown = false;
    return (size_t)snprintf(line, LINE_BYTES, "%s%s %s %s", erase, utc, LEVEL_NAMES[level], rank);
}

void um_log(um_log_level level, const char *fmt, ...)
{
    if (!level_shown(level))
        return;
    char line[LINE_BYTES];
    size_t n = line_start(line, level), room = sizeof line - n - 1;
    va_list args;
    va_start(args, fmt);
    int wanted = vsnprintf(line + n, room, fmt, args);
    va_end(args);
    if (wanted > 0)
        n += (size_t)wanted < room ? (size_t)wanted : room - 1;
    line[n++] = '\n';
    put(line, n);
}

void um_log_lines(um_log_level level, const char *text)
{
    while (*text) {
        int n = (int)strcspn(text, "\n");
        um_log(level, "%.*s", n, text);
        text += n + (text[n] == '\n');
    }
}

void um_log_set_level(um_log_level level)
{
    state.level = level;
}

um_log_level um_log_get_level(void)
{
    return state.level;
}

bool um_log_parse_level(const char *name, um_log_level *out)
{
    for (size_t i = 0; i < UM_COUNT(LEVEL_NAMES); i++) {
        if (strcmp(name, LEVEL_NAMES[i]) == 0) {
            *out = (um_log_level)i;
            return true;
        }
    }
    return false;
}

void um_log_set_rank(int rank, int n_ranks)
{
    state.rank = rank;
    state.n_ranks = n_ranks;
    state.mute = rank != 0;
}

void um_log_set_voice(bool speaks)
{
    state.mute = !speaks;
}

static void show_bar(const char *what, long done, long total, const char *note)
{
    char line[512];
    int n = snprintf(line, sizeof line - 1, "\r%s %ld/%ld%s%s\033[K", what, done, total, note[0] ? ", " : "", note);
    size_t bytes = (size_t)n < sizeof line - 1 ? (size_t)n : sizeof line - 2;
    state.bar_shown = done < total;
    if (!state.bar_shown)
        line[bytes++] = '\n';
    put(line, bytes);
}

void um_progress(const char *what, long done, long total, const char *note)
{
    if (!level_shown(UM_LOG_INFO))
        return;
    bool terminal = isatty(STDERR_FILENO);
    double now = um_now(), wait = terminal ? TERMINAL_INTERVAL_S : state.interval;
    bool due = state.last_progress == 0 || now - state.last_progress >= wait;
    if (!due && !(terminal && done >= total))
        return;
    state.last_progress = now;
    if (!note)
        note = "";
    if (terminal)
        show_bar(what, done, total, note);
    else
        um_log(UM_LOG_INFO, "%s %ld/%ld%s%s", what, done, total, note[0] ? ", " : "", note);
}

void um_progress_set_interval(double seconds)
{
    state.interval = seconds;
}
