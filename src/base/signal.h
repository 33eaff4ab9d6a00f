/* Stopping early: handlers only set a flag; training loops look at it between steps, save, and return UM_E_STOPPED. */
#ifndef UM_BASE_SIGNAL_H
#define UM_BASE_SIGNAL_H

#include <stdbool.h>

#include "base/status.h"

/* INT, TERM, USR1 set the flag; a second INT ends the process. PIPE and XFSZ are ignored: the write fails instead. */
void um_signal_install(void);
void um_stop_after(double seconds);       /* --limit-s: sets the flag that many seconds from now; 0 = never */
bool um_stop_requested(void);
/* UM_E_STOPPED "stopped by REASON, AFTERWARDS" once a stop was asked for, else UM_OK. For loops that have nothing to save. */
um_status um_stop_check(const char *afterwards);
void um_stop_pass_on(void);               /* another rank was asked to stop */
void um_stop_clear(void);                 /* tests only */
void um_stop_request(void);               /* tests, and failures that must end a loop */
const char *um_stop_reason(void);         /* "signal SIGUSR1", "time limit of 600 s", "" when none */

#endif
