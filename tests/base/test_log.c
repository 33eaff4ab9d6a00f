/* Log lines and progress, read back from a redirected stderr (file and pseudo terminal). */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int real_stderr = -1;
static FILE *caught;
static char text[8192];

static int redirect(void **state)
{
    (void)state;
    real_stderr = dup(STDERR_FILENO);
    caught = tmpfile();
    um_log_set_level(UM_LOG_INFO);
    um_log_set_rank(0, 1);
    return caught && real_stderr >= 0 && dup2(fileno(caught), STDERR_FILENO) >= 0 ? 0 : -1;
}

static int restore(void **state)
{
    (void)state;
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    fclose(caught);
    um_progress_set_interval(10);
    return 0;
}

static const char *all_text(void)
{
    ssize_t n = pread(fileno(caught), text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static int count_lines(const char *s)
{
    int n = 0;
    for (; (s = strchr(s, '\n')) != NULL; s++)
        n++;
    return n;
}

static void test_line_format(void **state)
{
    (void)state;
    um_log(UM_LOG_INFO, "epoch %d", 3);
    const char *line = all_text();
    assert_int_equal(strlen(line), strlen("2026-11-22T02:05:17Z info epoch 3\n"));
    assert_int_equal(line[19], 'Z');
    assert_string_equal(line + 20, " info epoch 3\n");
}

static void test_level_drops_lines(void **state)
{
    (void)state;
    um_log(UM_LOG_DEBUG, "hidden");
    assert_string_equal(all_text(), "");
    um_log_set_level(UM_LOG_DEBUG);
    assert_int_equal(um_log_get_level(), UM_LOG_DEBUG);
    um_log(UM_LOG_DEBUG, "shown");
    assert_non_null(strstr(all_text(), " debug shown\n"));
    um_log_set_level(UM_LOG_ERROR);
    um_log(UM_LOG_WARN, "hidden");
    um_log(UM_LOG_ERROR, "broken");
    assert_null(strstr(all_text(), "hidden"));
    assert_non_null(strstr(all_text(), " error broken\n"));
}

static void test_other_ranks_print_warnings_only(void **state)
{
    (void)state;
    um_log_set_rank(3, 4);
    um_log(UM_LOG_INFO, "quiet");
    um_log(UM_LOG_WARN, "loud");
    um_log_set_rank(0, 4);
    um_log(UM_LOG_INFO, "first");
    assert_null(strstr(all_text(), "quiet"));
    assert_non_null(strstr(all_text(), " warn [r3] loud\n"));
    assert_non_null(strstr(all_text(), " info [r0] first\n"));
}

static void test_long_line_is_cut_and_ends(void **state)
{
    (void)state;
    char longer[6000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    um_log(UM_LOG_INFO, "%s", longer);
    size_t n = strlen(all_text());
    assert_in_range(n, 4000, 4096);
    assert_int_equal(text[n - 1], '\n');
}

static void test_parse_level(void **state)
{
    (void)state;
    um_log_level level = UM_LOG_INFO;
    assert_true(um_log_parse_level("warn", &level));
    assert_int_equal(level, UM_LOG_WARN);
    assert_false(um_log_parse_level("loud", &level));
    assert_int_equal(level, UM_LOG_WARN);
}

static void test_progress_in_a_batch_log(void **state)
{
    (void)state;
    um_progress_set_interval(0);
    um_progress("busi epoch", 1, 150, "loss 0.31");
    assert_non_null(strstr(all_text(), " info busi epoch 1/150, loss 0.31\n"));
    um_progress_set_interval(1000);
    for (int i = 2; i <= 150; i++)
        um_progress("busi epoch", i, 150, NULL);
    assert_int_equal(count_lines(all_text()), 1);
    um_progress_set_interval(0);
    um_progress("busi epoch", 2, 150, NULL);
    assert_non_null(strstr(all_text(), "busi epoch 2/150\n"));
    assert_null(strchr(all_text(), '\r'));
}

static void test_progress_on_a_terminal(void **state)
{
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        skip();
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    if (slave < 0)
        skip();
    usleep(150 * 1000);
    text[0] = 0;
    dup2(slave, STDERR_FILENO);
    um_progress("epoch", 1, 3, NULL);
    um_log(UM_LOG_INFO, "saved");
    um_progress("epoch", 3, 3, "done");
    dup2(fileno(caught), STDERR_FILENO);
    size_t have = 0;
    for (int tries = 0; tries < 1000 && !strstr(text, "done\033[K\r\n"); tries++) { /* what is written arrives in parts */
        ssize_t n = read(master, text + have, sizeof text - 1 - have);
        have += n > 0 ? (size_t)n : 0;
        text[have] = 0;
        usleep(n > 0 ? 0 : 5000);
    }
    assert_memory_equal(text, "\repoch 1/3\033[K\r\033[K", 17);
    assert_non_null(strstr(text, " info saved\r\n\repoch 3/3, done\033[K\r\n"));
    close(slave);
    close(master);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_line_format, redirect, restore),
        cmocka_unit_test_setup_teardown(test_level_drops_lines, redirect, restore),
        cmocka_unit_test_setup_teardown(test_other_ranks_print_warnings_only, redirect, restore),
        cmocka_unit_test_setup_teardown(test_long_line_is_cut_and_ends, redirect, restore),
        cmocka_unit_test(test_parse_level),
        cmocka_unit_test_setup_teardown(test_progress_in_a_batch_log, redirect, restore),
        cmocka_unit_test_setup_teardown(test_progress_on_a_terminal, redirect, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
