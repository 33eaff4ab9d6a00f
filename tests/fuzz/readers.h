/* The readers that meet files of strangers, as one function of a path. Each returns what the program would have exited with, having
 * freed all it got. Used by the libFuzzer targets and by the mutation driver. */
#ifndef UM_TESTS_FUZZ_READERS_H
#define UM_TESTS_FUZZ_READERS_H

#include "base/status.h"

typedef struct fuzz_reader {
    const char *name;                 /* as in CMakeLists.txt, in its order */
    const char *extension;
    um_status (*read)(const char *path);
    um_status (*make)(const char *path, int kind); /* writes a good file; kinds 0, 1, ... differ; UM_E_USAGE past the last */
} fuzz_reader;

extern const fuzz_reader fuzz_readers[];
extern const int fuzz_n_readers;

#endif
