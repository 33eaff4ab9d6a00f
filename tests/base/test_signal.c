/* The stop flag: by signal, by time limit, by request. */
#include "base/signal.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int clear(void **state)
{
    (void)state;
    um_stop_clear();
    return 0;
}

static void test_signals_set_the_flag(void **state)
{
    (void)state;
    static const struct {
        int number;
        const char *reason;
    } cases[] = {{SIGUSR1, "signal SIGUSR1"}, {SIGTERM, "signal SIGTERM"}, {SIGINT, "signal SIGINT"}};
    um_signal_install();
    assert_false(um_stop_requested());
    assert_string_equal(um_stop_reason(), "");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        raise(cases[i].number);
        assert_true(um_stop_requested());
        assert_string_equal(um_stop_reason(), cases[i].reason);
        um_stop_clear();
        assert_false(um_stop_requested());
    }
}

static void test_broken_pipe_does_not_end_us(void **state)
{
    (void)state;
    int ends[2];
    um_signal_install();
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_int_equal(write(ends[1], "x", 1), -1);
    close(ends[1]);
    assert_false(um_stop_requested());
}

static void test_second_interrupt_ends_the_process(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        um_signal_install();
        raise(SIGINT);
        if (!um_stop_requested())
            _exit(1);
        raise(SIGINT);
        _exit(2);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how));
    assert_int_equal(WTERMSIG(how), SIGINT);
}

static void test_time_limit(void **state)
{
    (void)state;
    um_stop_after(0);
    assert_false(um_stop_requested());
    um_stop_after(3600);
    assert_false(um_stop_requested());
    assert_string_equal(um_stop_reason(), "");
    um_stop_after(0.05);
    double start = um_now();
    while (!um_stop_requested() && um_now() - start < 10)
        usleep(1000);
    assert_true(um_now() - start >= 0.045 && um_now() - start < 10);
    assert_string_equal(um_stop_reason(), "time limit of 0.05 s");
}

static void test_request(void **state)
{
    (void)state;
    um_stop_request();
    assert_true(um_stop_requested());
    assert_string_equal(um_stop_reason(), "request of the program");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_signals_set_the_flag, clear, clear),
        cmocka_unit_test_setup_teardown(test_broken_pipe_does_not_end_us, clear, clear),
        cmocka_unit_test_setup_teardown(test_second_interrupt_ends_the_process, clear, clear),
        cmocka_unit_test_setup_teardown(test_time_limit, clear, clear),
        cmocka_unit_test_setup_teardown(test_request, clear, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
