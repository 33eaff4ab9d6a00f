/* Tasks that other threads finish while their owner goes on, a bounded number at a time. */
#ifndef UM_ARCHIVE_BACKLOG_H
#define UM_ARCHIVE_BACKLOG_H

#include "base/status.h"

typedef struct um_backlog um_backlog;

/* run: takes the task, in one of `threads` threads. most: tasks that may wait besides those that are at work. out: owned by the caller. */
um_status um_backlog_open(um_backlog **out, int threads, int most, void (*run)(void *task, void *payload), void *payload);
void um_backlog_put(um_backlog *b, void *task); /* waits while too many are there */
void um_backlog_close(um_backlog *b);           /* waits for all of them; accepts NULL */

#endif
