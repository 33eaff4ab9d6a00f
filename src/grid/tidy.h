/* What a run that was killed leaves beside finished work: checkpoints, claims, parts of files, reasons of earlier failures. */
#ifndef UM_GRID_TIDY_H
#define UM_GRID_TIDY_H

#include "grid/run_internal.h"

/* Removes those of every finished task; results, networks and utilities stay, and so does everything of a task that a living run holds:
 * it is about to do the same. The sweep is done all the same, so a failure here is no more than a warning. */
void um_sweep_tidy(const um_sweep_run_options *o, double lease_s);

#endif
