/* Thousands of damaged files through every reader: each is read or refused with a message that names it; nothing crashes, hangs,
 * leaks, or takes much memory. Case (reader, kind, i) is the same in every run.
 *
 *   mutate [COUNT]         COUNT damaged files for each reader (default 320; 4000 with UMED_LONG=1); UMED_SEED picks them
 *   mutate READER KIND I   makes that one file, keeps it, and reads it */
#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "fuzz/readers.h"

/* HDF5 1.10 itself forgets a block when it meets broken metadata, and libconfig the text of a string that does not end; every leak of
 * ours still counts. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5\nleak:libconfig";
}

/* What a file claims is refused before memory is taken for it; a library that takes it nevertheless has to live with being refused. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "max_allocation_size_mb=512:allocator_may_return_null=1:quarantine_size_mb=32";
}

static void limit_memory(void)
{
#ifndef __SANITIZE_ADDRESS__
    const struct rlimit limit = {1 << 30, 1 << 30};
    setrlimit(RLIMIT_DATA, &limit);
#endif
}

enum { SECONDS_MAX = 20, CASE_MIB_MAX = 200, ROOM = 256 };

static char folder[512], message[1024];

static void give_up(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "FAILED: ");
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\n%s", message);
    va_end(args);
    exit(1);
}

static void require_ok(um_status rc)
{
    if (rc != UM_OK)
        give_up("%s", um_error_text());
}

static void on_alarm(int number)
{
    (void)number;
    static const char text[] = "FAILED: a reader hangs: ";
    ssize_t n = write(2, text, sizeof text - 1);
    n += write(2, message, strlen(message));
    _exit(n > 0 ? 1 : 2);
}

/* Processor time: a busy machine is no hang. */
static void watch(long seconds)
{
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = seconds}, NULL);
}

/* Random numbers of one case. */
typedef struct dice {
    uint64_t seed, id;
    uint32_t turn, held[4];
} dice;

static uint32_t roll(dice *d, size_t below)
{
    if (d->turn % 4 == 0)
        um_rng_words(d->seed, UM_RNG_TEST, d->turn / 4, d->id, 0, d->held);
    uint32_t word = d->held[d->turn++ % 4];
    return below ? (uint32_t)((uint64_t)word * below >> 32) : 0;
}

typedef struct bytes {
    uint8_t *data;
    size_t n, cap;
} bytes;

/* Numbers at which sizes and counts go wrong. */
static const uint64_t edges[] = {0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 1ull << 40, INT64_MAX, UINT64_MAX};

static void put_edge(bytes *b, dice *d)
{
    uint64_t v = edges[roll(d, UM_COUNT(edges))];
    size_t width = (size_t)1 << roll(d, 4), at = roll(d, b->n);
    for (size_t i = 0; i < width && at + i < b->n; i++)
        b->data[at + i] = (uint8_t)(v >> 8 * (roll(d, 2) ? i : width - 1 - i));
}

static void insert(bytes *b, dice *d)
{
    size_t n = 1 + roll(d, ROOM / 2), at = roll(d, b->n), from = roll(d, b->n);
    if (b->n + n > b->cap)
        return;
    memmove(b->data + at + n, b->data + at, b->n - at);
    b->n += n;
    for (size_t i = 0; i < n; i++)
        b->data[at + i] = b->data[(from + i) % b->n];
}

static void cut_out(bytes *b, dice *d)
{
    size_t at = roll(d, b->n), n = 1 + roll(d, ROOM);
    n = n < b->n - at ? n : b->n - at;
    memmove(b->data + at, b->data + at + n, b->n - at - n);
    b->n -= n;
}

static void damage(bytes *b, dice *d)
{
    for (uint32_t times = 1 + roll(d, 4); times > 0 && b->n > 1; times--)
        switch (roll(d, 7)) {
        case 0: b->data[roll(d, b->n)] ^= (uint8_t)(1u << roll(d, 8)); break;
        case 1: b->data[roll(d, b->n)] = (uint8_t)roll(d, 256); break;
        case 2: put_edge(b, d); break;
        case 3: insert(b, d); break;
        case 4: cut_out(b, d); break;
        case 5: memset(b->data + roll(d, b->n / 2), (int)roll(d, 256), 1 + roll(d, b->n / 2 < ROOM ? b->n / 2 : ROOM)); break;
        default: b->n = roll(d, 8) ? b->n : 1 + roll(d, b->n); break;
        }
}

static long peak_mib(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_maxrss / 1024;
}

static size_t n_open_files(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

static bool acceptable(um_status rc)
{
    return rc == UM_OK || rc == UM_E_DATA || rc == UM_E_CONFIG || rc == UM_E_IO || rc == UM_E_USAGE;
}

typedef struct tally {
    long read, refused;
} tally;

static void one_case(const fuzz_reader *r, int kind, long i, const um_text *good, tally *t)
{
    char path[700];
    bytes b = {NULL, good->n, good->n + 4 * ROOM};
    dice d = {.seed = (uint64_t)(getenv("UMED_SEED") ? atol(getenv("UMED_SEED")) : 1),
              .id = um_text_hash(r->name) ^ (uint64_t)kind << 32 ^ (uint64_t)i};
    snprintf(message, sizeof message, "this file: mutate %s %d %ld\n", r->name, kind, i);
    snprintf(path, sizeof path, "%s/%s-%d-%ld%s", folder, r->name, kind, i, r->extension);
    require_ok(um_alloc((void **)&b.data, b.cap, 1));
    memcpy(b.data, good->data, good->n);
    damage(&b, &d);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(b.data, 1, b.n, f) != b.n || fclose(f) != 0)
        give_up("%s cannot be written", path);
    um_free(b.data);
    long before = peak_mib();
    watch(SECONDS_MAX);
    um_status rc = r->read(path);
    watch(0);
    if (peak_mib() - before > CASE_MIB_MAX)
        give_up("reading it took %ld MiB more than anything before", peak_mib() - before);
    if (!acceptable(rc))
        give_up("%s: %s", um_status_name(rc), um_error_text());
    if (rc != UM_OK && !strstr(um_error_text(), path))
        give_up("the message does not name the file: %s", um_error_text());
    t->read += rc == UM_OK;
    t->refused += rc != UM_OK;
    unlink(path);
}

static um_status good_file(const fuzz_reader *r, int kind, um_text *out)
{
    um_status rc = UM_OK;
    char path[700];
    snprintf(path, sizeof path, "%s/good-%s-%d%s", folder, r->name, kind, r->extension);
    snprintf(message, sizeof message, "the good file %s\n", path);
    rc = r->make(path, kind);
    if (rc == UM_E_USAGE)
        return rc;
    require_ok(rc);
    require_ok(r->read(path));
    require_ok(um_file_read(out, path, 1 << 24));
    unlink(path);
    return UM_OK;
}

static void all_cases(const fuzz_reader *r, long count)
{
    um_text good[16] = {{0}};
    int n_kinds = 0;
    tally t = {0};
    double begun = um_now();
    while (n_kinds < 16 && good_file(r, n_kinds, &good[n_kinds]) == UM_OK)
        n_kinds++;
    size_t files = n_open_files();
    for (long i = 0; i < count; i++)
        one_case(r, (int)(i % n_kinds), i, &good[i % n_kinds], &t);
    if (n_open_files() != files)
        give_up("%s: %zu files are open, %zu were", r->name, n_open_files(), files);
    printf("%-11s %6ld damaged files of %d kinds: %ld read, %ld refused, %.1f s\n", r->name, count, n_kinds, t.read, t.refused,
           um_now() - begun);
    fflush(stdout);
    if (t.refused < count / 4)
        give_up("%s: hardly anything is refused", r->name);
    for (int k = 0; k < n_kinds; k++)
        um_text_free(&good[k]);
}

static void replay(char **argv)
{
    for (int i = 0; i < fuzz_n_readers; i++)
        if (strcmp(fuzz_readers[i].name, argv[1]) == 0) {
            um_text good = {0};
            tally t = {0};
            require_ok(good_file(&fuzz_readers[i], atoi(argv[2]), &good));
            one_case(&fuzz_readers[i], atoi(argv[2]), atol(argv[3]), &good, &t);
            printf("%s %s\n", t.read ? "read" : "refused:", t.read ? "" : um_error_text());
            um_text_free(&good);
        }
}

int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR"), *more = getenv("UMED_LONG");
    long count = argc == 2 ? atol(argv[1]) : more && strcmp(more, "1") == 0 ? 4000 : 320;
    snprintf(folder, sizeof folder, "%s/umed-fuzz-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        give_up("%s cannot be made", folder);
    signal(SIGPROF, on_alarm);
    limit_memory();
    um_log_set_level(UM_LOG_ERROR);
    if (argc == 4)
        replay(argv);
    for (int i = 0; argc < 4 && i < fuzz_n_readers; i++)
        all_cases(&fuzz_readers[i], count);
    printf("largest memory: %ld MiB\n", peak_mib());
    return um_dir_remove(folder) == UM_OK ? 0 : 1;
}
