/* Where a file comes from: root attributes of everything that is not released (style: one attribute per fact, text).
 *
 *     software, version, created (UTC), machine, host, dependencies ("name@version;...")  always: um_provenance_stamp
 *     slurm_job                                                                          inside a Slurm job: "123", "123_4"
 *     command, seed, config_sha256, inputs ("path sha256=...;...")                      when known
 *     /config                                                                            the full effective settings
 *
 * A released file gets none of these (DESIGN D15). */
#ifndef UM_IO_PROVENANCE_H
#define UM_IO_PROVENANCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "io/h5.h"

const char *um_version(void); /* "0.1.0+g1a2b3c4", ends in "-dirty" when built from changed sources; borrowed */

typedef struct um_provenance {
    const char *command;  /* "umed protect"; may be NULL */
    const int64_t *seed;  /* NULL when nothing random was used */
    const char *settings; /* um_settings_print text; may be NULL */
    const char *inputs;   /* may be NULL */
} um_provenance;

um_status um_provenance_stamp(um_h5 *f);
/* The stamp, every known member, and /config. */
um_status um_provenance_write(um_h5 *f, const um_provenance *p);

/* The known members as "key=value" lines (config_sha256 instead of the settings), for um_dataset_write_options. */
um_status um_provenance_lines(const um_provenance *p, um_text *out);
/* "key=value" lines as root attributes; lines may be NULL. UM_E_BUG for a line without '='. */
um_status um_provenance_set_lines(um_h5 *f, const char *lines);

/* Appends "PATH sha256=..." to a list of inputs, with "; " between. */
um_status um_provenance_add_input(um_text *inputs, const char *path, const char *sha256);

#endif
