/* What the image tests share. */
#ifndef UM_TESTS_IMAGE_TEST_H
#define UM_TESTS_IMAGE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"

#define OK(expr) assert_ok((expr), __FILE__, __LINE__)
#define FAILS(expr, code, text) assert_failed((expr), (code), (text), __FILE__, __LINE__)
#define NEAR(a, b, tolerance) assert_near((a), (b), (tolerance), __FILE__, __LINE__)

static inline void assert_ok(um_status rc, const char *file, int line)
{
    if (rc != UM_OK) {
        print_error("%s:%d: %s: %s\n", file, line, um_status_name(rc), um_error_text());
    }
    _assert_true(rc == UM_OK, "status is UM_OK", file, line);
}

static inline void assert_failed(um_status rc, um_status code, const char *text, const char *file, int line)
{
    if (rc != code || strstr(um_error_text(), text) == NULL) {
        print_error("%s:%d: got %s '%s'\n", file, line, um_status_name(rc), um_error_text());
    }
    _assert_true(rc == code && strstr(um_error_text(), text) != NULL, "fails as expected", file, line);
}

static inline void assert_near(double a, double b, double tolerance, const char *file, int line)
{
    const double d = a > b ? a - b : b - a;
    if (!(d <= tolerance)) {
        print_error("%s:%d: %.12g against %.12g, difference %.3g above %.3g\n", file, line, a, b, d, tolerance);
    }
    _assert_true(d <= tolerance, "values agree", file, line);
}

/* Value i of a fixed pattern, `bits` wide (the one of tests/ref/pillow_resize.py). */
static inline uint32_t pattern(int64_t i, int bits)
{
    return (uint32_t)(i + 1) * 2654435761u >> (32 - bits);
}

#endif
