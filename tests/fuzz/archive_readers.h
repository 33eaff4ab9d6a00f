/* Readers and makers of files of an archive and of MedLocker, for the table in readers.c. */
#ifndef UM_TESTS_FUZZ_ARCHIVE_READERS_H
#define UM_TESTS_FUZZ_ARCHIVE_READERS_H

#include "base/status.h"

um_status fuzz_read_shard(const char *path), fuzz_make_shard(const char *path, int kind);
um_status fuzz_read_delta(const char *path), fuzz_make_delta(const char *path, int kind);
um_status fuzz_read_job(const char *path), fuzz_make_job(const char *path, int kind);
um_status fuzz_read_item(const char *path), fuzz_make_item(const char *path, int kind);
um_status fuzz_read_manifest(const char *path), fuzz_make_manifest(const char *path, int kind); /* the owner's */
um_status fuzz_read_public(const char *path), fuzz_make_public(const char *path, int kind);     /* the release's */

um_status fuzz_read_certificate(const char *path), fuzz_make_certificate(const char *path, int kind);
um_status fuzz_read_sealed(const char *path), fuzz_make_sealed(const char *path, int kind);
um_status fuzz_read_record(const char *path), fuzz_make_record(const char *path, int kind); /* the text of one certificate */
um_status fuzz_read_key(const char *path), fuzz_make_key(const char *path, int kind);

#endif
