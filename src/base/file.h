/* Files: whole or not at all. An artifact is written to NAME.part, flushed, fsynced, renamed, and its folder fsynced; so a file
 * that exists under its final name is complete (DESIGN D11). */
#ifndef UM_BASE_FILE_H
#define UM_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

/* PATH.part, owned by the caller (um_free). Distinct writers of one name must not exist; leases see to that. */
um_status um_file_part_name(char **out, const char *path);
/* fsync(PATH.part), rename to PATH, fsync the folder. Errors: UM_E_IO naming path and reason. */
um_status um_file_commit(const char *path);
void um_file_discard(const char *path); /* removes PATH.part if present */

um_status um_file_write(const char *path, const void *data, size_t bytes); /* small files, by part + commit */
um_status um_file_read(um_text *out, const char *path, size_t max_bytes);  /* refuses larger files with UM_E_DATA */

bool um_file_exists(const char *path);
bool um_dir_exists(const char *path);
um_status um_dir_make(const char *path, int mode); /* with parents; no error when it exists */
um_status um_dir_remove(const char *path);         /* a tree of ours; missing is no error */

/* Sorted names in a folder (without . and ..), owned by the caller: free with um_names_free. Sort: bytewise. */
um_status um_dir_list(char ***out, size_t *n, const char *path);
void um_names_free(char **names, size_t n);

um_status um_path_join(char **out, const char *dir, const char *name); /* owned by the caller */

#endif
