/* Names of protectors, exploiters and defenses: what this version has, and what it refuses because a later version brings it. */
#ifndef UM_GRID_NAMES_H
#define UM_GRID_NAMES_H

#include <stddef.h>

#include "base/status.h"
#include "base/text.h"
#include "exploit/defense.h"
#include "models/model.h"
#include "protect/protector.h"

typedef enum um_name_kind { UM_NAME_PROTECTOR, UM_NAME_EXPLOITER, UM_NAME_DEFENSE } um_name_kind;

/* UM_E_UNSUPPORTED for names that a later version brings; UM_E_CONFIG, with the nearest match, for the rest. more, n_more: further
 * known names (variants), offered as matches; where: place for messages ("busi.cfg:12", "--model"). Always fails. */
um_status um_name_refuse(um_name_kind kind, const char *name, const char *const *more, size_t n_more, const char *where);

um_status um_name_protector(const um_protector_def **out, const char *name, const char *where);
um_status um_name_exploiter(const um_model_def **out, const char *name, const char *where); /* models offered as exploiters */
um_status um_name_defense(const um_defense_def **out, const char *name, const char *where);

/* Adds "name  summary" lines of all of a kind, as `umed list` prints them. */
um_status um_name_list(um_name_kind kind, um_text *out);

#endif
