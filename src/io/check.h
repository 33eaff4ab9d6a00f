/* `umed check`: is what lies there whole and what it says it is? */
#ifndef UM_IO_CHECK_H
#define UM_IO_CHECK_H

#include "base/status.h"

/* One line per file: what it is and holds when it is good ("dataset, 240 images 64x64x1 u8"), else what is wrong. line: borrowed
 * for the call. */
typedef void um_check_report(const char *path, um_status status, const char *line, void *payload);

/* path: a file of any kind of ours, a folder of shards, or any folder, which is searched for .h5 files (a sweep folder). Reads
 * every dataset, so that every checksum is looked at; besides
 *     datasets     geometry, masks and split in {0,1}, unique ids across all shards, recorded sha256
 *     checkpoints  recorded sha256
 *     results      science_sha256
 * All files are looked at, also after a bad one; the result is then the first error, UM_E_DATA or UM_E_IO, naming the first bad
 * object. A folder without any .h5 file is UM_E_DATA. */
um_status um_check_path(const char *path, um_check_report *report, void *payload);

#endif
