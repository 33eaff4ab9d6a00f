/* check: must catch and name every way in which a kernel can misbehave. A fake backend, the CPU backend with one run replaced,
 * commits each of them on COPY, slice [2,2,2,3] with ld 5. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "kernels/backend_impl.h"

enum { PIXELS = 8, C = 3, LD = 5, ASKED = 64 };

typedef enum crime { HONEST, WRITES_GAP, CHANGES_INPUT, OVERRUNS, LEAVES_UNWRITTEN, MAKES_INF, READS_OUTPUT } crime;

typedef struct fake_impl {
    um_backend_base base;
    um_backend *cpu;
    crime crime;
} fake_impl;

static bool fake_supports(const um_backend *b, um_op op)
{
    const fake_impl *f = b->impl;
    return f->cpu->iface->supports(f->cpu, op);
}

static um_status fake_prepare(um_backend *b, um_op op, const um_op_call *call, size_t *bytes)
{
    const fake_impl *f = b->impl;
    um_status rc = f->cpu->iface->prepare(f->cpu, op, call, bytes);
    *bytes += ASKED;
    return rc;
}

static um_status fake_run(um_backend *b, um_op op, const um_op_call *call)
{
    const fake_impl *f = b->impl;
    float *x = call->in[0].data, *y = call->out[0].data;
    float old = y[1];
    um_status rc = f->cpu->iface->run(f->cpu, op, call);
    switch (f->crime) {
    case HONEST: break;
    case WRITES_GAP: y[LD + C] = 1; break;
    case CHANGES_INPUT: x[2 * LD] += 1; break;
    case OVERRUNS: ((unsigned char *)call->workspace)[ASKED + 9] = 0; break;
    case LEAVES_UNWRITTEN: memcpy(&y[1], &old, sizeof old); break;
    case MAKES_INF: y[LD + 1] = INFINITY; break;
    case READS_OUTPUT: y[1] = old + 1; break;
    }
    return rc;
}

static um_status fake_copy(um_backend *b, void *to, const void *from, size_t bytes)
{
    (void)b;
    memcpy(to, from, bytes);
    return UM_OK;
}

static void fake_destroy(um_backend *b)
{
    fake_impl *f = b->impl;
    um_backend_free(f->cpu);
    um_free(f);
    um_free(b);
}

static const char *fake_describe(const um_backend *b)
{
    return b->name;
}

static const um_backend_iface fake_iface = {
    .supports = fake_supports,
    .prepare = fake_prepare,
    .run = fake_run,
    .upload = fake_copy,
    .download = fake_copy,
    .destroy = fake_destroy,
};

static um_backend *checked_fake(crime c)
{
    um_backend *b = NULL, *out = NULL;
    fake_impl *f = NULL;
    assert_int_equal(UM_NEW(b), UM_OK);
    assert_int_equal(UM_NEW(f), UM_OK);
    *f = (fake_impl){.base = {fake_describe}, .crime = c};
    assert_int_equal(um_backend_create(&f->cpu, "cpu", UM_F32), UM_OK);
    *b = (um_backend){.iface = &fake_iface, .name = "fake", .real = UM_F32, .impl = f};
    assert_int_equal(um_check_backend_create(&out, b), UM_OK);
    assert_string_equal(out->name, "check:fake");
    return out;
}

typedef struct slices {
    float x[PIXELS * LD], y[PIXELS * LD];
    um_op_call call;
    unsigned char workspace[1024];
} slices;

static void slices_set(slices *s)
{
    *s = (slices){.call = {.workspace = s->workspace}};
    for (int i = 0; i < PIXELS * LD; i++) {
        s->x[i] = (float)i;
        s->y[i] = -1;
    }
    s->call.in[0] = (um_view){s->x, UM_F32, 2, 2, 2, C, LD};
    s->call.out[0] = (um_view){s->y, UM_F32, 2, 2, 2, C, LD};
}

static void expect(um_backend *b, um_op op, const um_op_call *call, um_status code, const char *text)
{
    um_error_clear();
    assert_int_equal(b->iface->run(b, op, call), code);
    if (!strstr(um_error_text(), text))
        fail_msg("message '%s' lacks '%s'", um_error_text(), text);
}

static void expect_crime(crime c, um_status code, const char *text)
{
    slices s;
    um_backend *b = checked_fake(c);
    slices_set(&s);
    expect(b, UM_OP_COPY, &s.call, code, text);
    um_backend_free(b);
}

static void honest_kernels_pass(void **state)
{
    (void)state;
    slices s;
    um_backend *b = checked_fake(HONEST);
    slices_set(&s);
    expect(b, UM_OP_COPY, &s.call, UM_OK, "");
    assert_true(s.y[LD + 2] == s.x[LD + 2] && s.y[LD + 3] == -1);
    s.call.accumulate = true;
    expect(b, UM_OP_COPY, &s.call, UM_OK, "");
    assert_true(s.y[0] == 2 * s.x[0] && s.y[7] == 2 * s.x[7]);
    um_backend_free(b);
}

static void misbehaviour_is_named(void **state)
{
    (void)state;
    expect_crime(WRITES_GAP, UM_E_BUG, "copy: out[0] [2,2,2,3] ld 5: element (0,0,1,3) lies in the gap");
    expect_crime(CHANGES_INPUT, UM_E_BUG, "copy: in[0] [2,2,2,3] ld 5: element (0,1,0,0) is an input and was changed");
    expect_crime(OVERRUNS, UM_E_BUG, "copy: wrote 10 bytes behind its workspace of 64 bytes");
    expect_crime(LEAVES_UNWRITTEN, UM_E_BUG, "element (0,0,0,1) was left unwritten");
    expect_crime(READS_OUTPUT, UM_E_BUG, "element (0,0,0,1) was left unwritten, or read before");
    expect_crime(MAKES_INF, UM_E_NUMERIC, "element (0,0,1,1) is not finite although all inputs are");
}

static void bad_inputs_are_told_from_bad_kernels(void **state)
{
    (void)state;
    slices s;
    um_backend *b = checked_fake(HONEST);
    slices_set(&s);
    s.x[1] = NAN;
    expect(b, UM_OP_COPY, &s.call, UM_E_NUMERIC, "is not finite; an input already was not");
    um_backend_free(b);
}

/* Slices of one tensor may stand side by side; the same elements may not, except where the op allows it. */
static void sharing_is_checked(void **state)
{
    (void)state;
    slices s;
    um_backend *b = checked_fake(HONEST);
    slices_set(&s);
    um_view left = {s.x, UM_F32, 2, 2, 2, 2, LD}, right = left, middle = left;
    right.data = s.x + 2;
    middle.data = s.x + 1;
    um_op_call call = {.in = {left}, .out = {right}, .workspace = s.workspace};
    expect(b, UM_OP_COPY, &call, UM_OK, "");
    assert_true(s.x[2] == 0 && s.x[3] == 1 && s.x[4] == 4);
    call.in[0] = right;
    call.out[0] = left;
    expect(b, UM_OP_COPY, &call, UM_OK, "");
    call.in[0] = left;
    call.out[0] = middle;
    expect(b, UM_OP_COPY, &call, UM_E_BUG, "out[0] shares memory with in[0]");
    call = (um_op_call){.in = {left, right}, .out = {left}, .workspace = s.workspace};
    expect(b, UM_OP_ADD, &call, UM_OK, "");
    call.out[0] = right;
    expect(b, UM_OP_ADD, &call, UM_E_BUG, "out[0] shares memory with in[1]");
    um_backend_free(b);
}

static void a_missing_workspace_is_named(void **state)
{
    (void)state;
    slices s;
    um_backend *b = checked_fake(HONEST);
    slices_set(&s);
    s.call.workspace = NULL;
    expect(b, UM_OP_COPY, &s.call, UM_E_BUG, "no workspace");
    um_backend_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_kernels_pass),
        cmocka_unit_test(misbehaviour_is_named),
        cmocka_unit_test(bad_inputs_are_told_from_bad_kernels),
        cmocka_unit_test(sharing_is_checked),
        cmocka_unit_test(a_missing_workspace_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
