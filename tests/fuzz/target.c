/* A libFuzzer target for the reader FUZZ_READER (an index of fuzz_readers). Started with `--seeds DIR` it writes good files to begin
 * with. The files under test lie in memory (/dev/shm). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "fuzz/readers.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const fuzz_reader *reader;
static char path[256];

static void remove_file(void)
{
    unlink(path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    reader = &fuzz_readers[FUZZ_READER];
    um_log_set_level(UM_LOG_ERROR);
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
        char seed[512];
        um_status rc = um_dir_make((*argv)[2], 0777);
        for (int kind = 0; rc == UM_OK; kind++) {
            snprintf(seed, sizeof seed, "%s/%s-%d%s", (*argv)[2], reader->name, kind, reader->extension);
            rc = reader->make(seed, kind);
        }
        exit(rc == UM_E_USAGE ? 0 : 1);
    }
    snprintf(path, sizeof path, "/dev/shm/umed-fuzz-%s-%ld%s", reader->name, (long)getpid(), reader->extension);
    atexit(remove_file);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, n, f) != n)
        abort();
    fclose(f);
    um_status rc = reader->read(path);
    if (rc == UM_E_BUG)
        abort();
    return 0;
}
