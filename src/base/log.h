/* Logging: talk goes to stderr, data to stdout. One line = UTC time, level, rank (when several), text. */
#ifndef UM_BASE_LOG_H
#define UM_BASE_LOG_H

#include <stdbool.h>

typedef enum um_log_level { UM_LOG_ERROR, UM_LOG_WARN, UM_LOG_INFO, UM_LOG_DEBUG } um_log_level;

void um_log(um_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void um_log_lines(um_log_level level, const char *text); /* a table: one line of the log for each of its lines */
void um_log_set_level(um_log_level level); /* default UM_LOG_INFO; lines above it are dropped */
um_log_level um_log_get_level(void);
bool um_log_parse_level(const char *name, um_log_level *out); /* error warn info debug */
void um_log_set_rank(int rank, int n_ranks);                  /* ranks other than 0 print warnings and errors only ... */
void um_log_set_voice(bool speaks);                           /* ... until they are given a voice, or lose it */

/* Progress of a long loop: a rewritten line on a terminal, at most one log line per interval elsewhere.
 * what: "cell 3/8 umed/busi epoch"; done of total; note: free text such as "loss 0.31", may be NULL. */
void um_progress(const char *what, long done, long total, const char *note);
void um_progress_set_interval(double seconds); /* default 10 */

#endif
