/* Claims: who may take over from whom, and the files. */
#include "grid_fixture.h"

#include "grid/lease.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool process_runs;
static int asked;

static bool fake_alive(int64_t pid, int64_t start)
{
    (void)pid, (void)start;
    asked++;
    return process_runs;
}

static const um_lease_owner me = {.host = "n1", .boot = "b1", .space = "s1", .pid = 10, .start = 100};

static void rule_same_host(void **state)
{
    (void)state;
    um_lease_owner other = me;
    process_runs = false;
    assert_true(um_lease_is_stale(&me, &other, 0, 600, fake_alive));
    process_runs = true;
    assert_false(um_lease_is_stale(&me, &other, 0, 600, fake_alive));
    assert_false(um_lease_is_stale(&me, &other, 1e6, 600, fake_alive)); /* a living process is never robbed */
}

/* Where a process cannot be looked up, only age counts. */
static void rule_elsewhere(void **state)
{
    (void)state;
    um_lease_owner host = me, boot = me, space = me, unknown = me;
    snprintf(host.host, sizeof host.host, "n2");
    snprintf(boot.boot, sizeof boot.boot, "b2");
    snprintf(space.space, sizeof space.space, "s2");
    unknown.boot[0] = 0;
    const um_lease_owner *const others[] = {&host, &boot, &space, NULL};
    process_runs = false;
    asked = 0;
    for (size_t i = 0; i < 4; i++) {
        assert_false(um_lease_is_stale(&me, others[i], 599, 600, fake_alive));
        assert_true(um_lease_is_stale(&me, others[i], 601, 600, fake_alive));
        assert_false(um_lease_is_stale(&me, others[i], -599, 600, fake_alive));
        assert_true(um_lease_is_stale(&me, others[i], -601, 600, fake_alive)); /* the server's clock was set back */
    }
    assert_false(um_lease_is_stale(&unknown, &unknown, 599, 600, fake_alive));
    assert_int_equal(asked, 0);
}

static void owner_text(void **state)
{
    (void)state;
    um_lease_owner self, back;
    um_text text = {0};
    OK(um_lease_owner_self(&self));
    assert_int_equal(self.pid, getpid());
    assert_true(self.host[0] && self.boot[0] && self.start > 0);
    OK(um_lease_owner_print(&self, &text));
    assert_true(um_lease_owner_parse(&back, um_text_get(&text)));
    assert_memory_equal(&self, &back, sizeof self);
    for (size_t cut = 0; cut + 1 < text.n; cut += 7) { /* written by halves: no claim */
        char part[1024];
        snprintf(part, sizeof part, "%.*s", (int)cut, um_text_get(&text));
        assert_false(um_lease_owner_parse(&back, part));
    }
    um_text_free(&text);
}

static void processes(void **state)
{
    (void)state;
    um_lease_owner self;
    OK(um_lease_owner_self(&self));
    assert_true(um_lease_process_alive(self.pid, self.start));
    assert_false(um_lease_process_alive(self.pid, self.start + 1));
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    usleep(50000);
    assert_false(um_lease_process_alive(child, 0)); /* ended, not waited for */
    waitpid(child, NULL, 0);
    assert_false(um_lease_process_alive(child, 0));
}

static void put_claim(const char *path, const um_lease_owner *owner, double age_s)
{
    um_text text = {0};
    struct timespec times[2];
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= (time_t)age_s;
    times[1] = times[0];
    if (owner)
        OK(um_lease_owner_print(owner, &text));
    OK(um_file_write(path, um_text_get(&text), text.n));
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    um_text_free(&text);
}

static void take_and_release(void **state)
{
    (void)state;
    um_lease *mine = NULL, *second = NULL;
    um_text who = {0};
    OK(um_lease_take(&mine, at("lease"), 600));
    assert_non_null(mine);
    assert_true(um_file_exists(at("lease.1")));
    assert_true(um_lease_check(mine));
    OK(um_lease_take(&second, at("lease"), 600));
    assert_null(second);
    OK(um_lease_holder(&who, at("lease"), 600));
    assert_non_null(strstr(um_text_get(&who), "pid"));
    um_lease_release(mine);
    assert_false(um_file_exists(at("lease.1")));
    um_text_free(&who);
    who = (um_text){0};
    OK(um_lease_holder(&who, at("lease"), 600));
    assert_int_equal(who.n, 0);
    OK(um_lease_take(&second, at("lease"), 600));
    assert_non_null(second);
    um_lease_release(second);
    um_lease_release(NULL);
    um_text_free(&who);
}

static void takes_over_from_the_dead(void **state)
{
    (void)state;
    um_lease_owner dead;
    um_lease *mine = NULL;
    OK(um_lease_owner_self(&dead));
    dead.start += 1; /* our pid, but another process */
    put_claim(at("lease.3"), &dead, 0);
    OK(um_lease_take(&mine, at("lease"), 600));
    assert_non_null(mine);
    assert_true(um_file_exists(at("lease.4")));
    assert_false(um_file_exists(at("lease.3")));
    um_lease_release(mine);
}

static void waits_for_another_host(void **state)
{
    (void)state;
    um_lease_owner other;
    um_lease *mine = NULL;
    OK(um_lease_owner_self(&other));
    snprintf(other.host, sizeof other.host, "another-host");
    put_claim(at("lease.1"), &other, 100);
    OK(um_lease_take(&mine, at("lease"), 600));
    assert_null(mine);
    put_claim(at("lease.1"), &other, 700);
    OK(um_lease_take(&mine, at("lease"), 600));
    assert_non_null(mine);
    um_lease_release(mine);
}

static void waits_for_an_empty_claim(void **state)
{
    (void)state;
    um_lease *mine = NULL;
    put_claim(at("lease.1"), NULL, 0);
    OK(um_lease_take(&mine, at("lease"), 600));
    assert_null(mine);
    put_claim(at("lease.1"), NULL, 700);
    OK(um_lease_take(&mine, at("lease"), 600));
    assert_non_null(mine);
    um_lease_release(mine);
}

static void notices_a_takeover(void **state)
{
    (void)state;
    um_lease *mine = NULL;
    OK(um_lease_take(&mine, at("lease"), 600));
    put_claim(at("lease.2"), &me, 0);
    assert_false(um_lease_check(mine));
    um_lease_release(mine);
    assert_true(um_file_exists(at("lease.2"))); /* not ours to remove */
}

/* Ten processes want one claim at once: one gets it. */
static void race(void **state)
{
    (void)state;
    enum { N = 10 };
    int winners = 0, status, gate[2];
    char byte;
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < N; i++) {
        if (fork() == 0) {
            um_lease *l = NULL;
            close(gate[1]);
            if (read(gate[0], &byte, 1) != 0) /* until the parent closes its end */
                _exit(2);
            um_status rc = um_lease_take(&l, at("lease"), 600);
            usleep(300000);
            _exit(rc != UM_OK ? 2 : l != NULL);
        }
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < N; i++) {
        assert_true(wait(&status) > 0 && WIFEXITED(status));
        assert_int_not_equal(WEXITSTATUS(status), 2);
        winners += WEXITSTATUS(status);
    }
    assert_int_equal(winners, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(rule_same_host),         FIXTURE_TEST(rule_elsewhere),           FIXTURE_TEST(owner_text),
        FIXTURE_TEST(processes),              FIXTURE_TEST(take_and_release),         FIXTURE_TEST(takes_over_from_the_dead),
        FIXTURE_TEST(waits_for_another_host), FIXTURE_TEST(waits_for_an_empty_claim), FIXTURE_TEST(notices_a_takeover),
        FIXTURE_TEST(race),
    };
    return cmocka_run_group_tests_name("grid_lease", tests, NULL, NULL);
}
