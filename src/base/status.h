/* Errors: one idiom for the whole program.
 *
 * Every function that can fail returns um_status. The function that *decides* on an error calls um_fail() once, which keeps the
 * message and its place in a per-process slot; callers pass the code on with UM_TRY, which adds one line of trace and jumps to the
 * label `done`. Outputs are written on success only. Only the command line prints the message and picks the exit code.
 *
 *     um_status um_thing_open(um_thing **out, const char *path)
 *     {
 *         um_status rc = UM_OK;
 *         um_thing *t = NULL;
 *         UM_TRY(UM_NEW(t));
 *         UM_TRY(read_header(t, path));
 *         *out = t;
 *         t = NULL;
 *     done:
 *         um_thing_free(t);
 *         return rc;
 *     }
 */
#ifndef UM_BASE_STATUS_H
#define UM_BASE_STATUS_H

#include <stdio.h>

/* Grouped by what an error breaks, so that a caller knows whether to skip a cell, stop a rank group or end the job. */
typedef enum um_status {
    UM_OK = 0,
    UM_E_USAGE,       /* command line: unknown command, option or value                      exit 64 */
    UM_E_CONFIG,      /* configuration: unknown key, wrong type, value out of range          exit 64 */
    UM_E_DATA,        /* an input file or its content; ends this cell                        exit 65 */
    UM_E_NUMERIC,     /* a training diverged (not a number); recorded, ends this cell        exit 3  */
    UM_E_UNSUPPORTED, /* the backend or this build lacks it; named at plan time              exit 64 */
    UM_E_MEMORY,      /* allocation refused                                                  exit 70 */
    UM_E_DEVICE,      /* the accelerator or a library on it                                  exit 70 */
    UM_E_IO,          /* disk full, no permission, vanished file                             exit 74 */
    UM_E_STOPPED,     /* stopped early by a signal or a time limit, everything saved         exit 75 */
    UM_E_COMM,        /* lost peers                                                          exit 76 */
    UM_E_PARTIAL,     /* finished, but some cells failed                                     exit 3  */
    UM_E_BUG,         /* a broken invariant of ours                                          exit 70 */
} um_status;

/* Records the error and returns `code`. Pattern of a message: what failed, on which object, with which values, what to try.
 * No full stop, no newline. */
#define um_fail(code, ...) um_fail_at(__FILE__, __LINE__, (code), __VA_ARGS__)
um_status um_fail_at(const char *file, int line, um_status code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Evaluates a um_status expression; on failure adds a line of trace and jumps to `done` with rc set. Needs a local `rc`. */
#define UM_TRY(expr)                                                                                                           \
    do {                                                                                                                       \
        rc = (expr);                                                                                                           \
        if (rc != UM_OK) {                                                                                                     \
            um_trace_at(__FILE__, __LINE__, #expr);                                                                            \
            goto done;                                                                                                         \
        }                                                                                                                      \
    } while (0)
void um_trace_at(const char *file, int line, const char *expr);

/* A broken invariant inside a function that returns um_status: does not vanish in release builds. */
#define UM_REQUIRE(cond)                                                                                                       \
    do {                                                                                                                       \
        if (!(cond)) {                                                                                                         \
            rc = um_fail(UM_E_BUG, "internal check failed: %s", #cond);                                                        \
            goto done;                                                                                                         \
        }                                                                                                                      \
    } while (0)

const char *um_error_text(void);      /* message of the last error, "" when none; borrowed until the next um_fail */
void um_error_print_trace(FILE *out); /* the places it passed, innermost first */
void um_error_clear(void);
const char *um_status_name(um_status code);
int um_status_exit(um_status code); /* exit code of DESIGN section 5 */

#endif
