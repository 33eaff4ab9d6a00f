/* Time: monotonic seconds for measuring, UTC text for records. */
#ifndef UM_BASE_CLOCK_H
#define UM_BASE_CLOCK_H

double um_now(void);                                       /* monotonic, seconds */
enum { UM_UTC_BYTES = 24 };
void um_utc(char out[UM_UTC_BYTES]);                       /* "2026-11-22T02:05:17Z" */

#endif
