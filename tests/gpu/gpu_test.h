/* Tests that need a device leave with 77 and one line where there is none. */
#ifndef UM_TESTS_GPU_TEST_H
#define UM_TESTS_GPU_TEST_H

#include <stdio.h>
#include <stdlib.h>

#include "kernels/backend.h"

static inline void gpu_need_device(void)
{
    um_backend *b = NULL;
    um_status rc = um_backend_create(&b, "cuda", UM_F32);
    if (rc == UM_E_UNSUPPORTED) {
        printf("skipped: %s\n", um_error_text());
        exit(77);
    }
    if (rc != UM_OK) { /* a device that is there and does not work is a failure */
        fprintf(stderr, "%s\n", um_error_text());
        exit(1);
    }
    printf("%s\n", um_backend_describe(b));
    um_backend_free(b);
}

#endif
