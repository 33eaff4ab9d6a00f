/* Shared by config*.c only: where a setting stands, and the lists of group `grid`. */
#ifndef UM_IO_CONFIG_INTERNAL_H
#define UM_IO_CONFIG_INTERNAL_H

#include <stdbool.h>

#include <libconfig.h>

#include "base/text.h"
#include "io/config.h"

typedef struct um_config_source {
    const char *path;
    char *dir;
} um_config_source;

/* out: becomes "file:line" of s. */
um_status um_config_where(const um_config_source *c, const config_setting_t *s, um_text *out);
/* Records "file:line: problem" and returns UM_E_CONFIG. */
um_status um_config_fail(const um_config_source *c, const config_setting_t *s, const char *problem);

bool um_config_is_grid_list(const char *name);
/* group: NULL when the file has none; out then holds empty lists. */
um_status um_config_read_grid(const um_config_source *c, const config_setting_t *group, um_grid_config **out);

#endif
