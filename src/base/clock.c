#include "base/clock.h"

#include <time.h>

double um_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void um_utc(char out[UM_UTC_BYTES])
{
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(out, UM_UTC_BYTES, "%Y-%m-%dT%H:%M:%SZ", &parts);
}
