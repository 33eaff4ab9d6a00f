/* Claims: who may take over from whom, and the files. */
#include "io/io_fixture.h"

#include "mpi/lease.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <stdlib.h>
#include <string.h>
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

static um_job_state job_answer;
static int job_asked;

static um_job_state fake_job(const char *id)
{
    assert_string_equal(id, "77");
    job_asked++;
    return job_answer;
}

static const um_lease_questions ask = {fake_alive, fake_job};

static const um_lease_owner me = {.host = "n1", .boot = "b1", .space = "s1", .pid = 10, .start = 100};

static void rule_same_host(void **state)
{
    (void)state;
    um_lease_owner other = me;
    process_runs = false;
    assert_true(um_lease_is_stale(&me, &other, 0, 600, &ask));
    process_runs = true;
    assert_false(um_lease_is_stale(&me, &other, 0, 600, &ask));
    assert_false(um_lease_is_stale(&me, &other, 1e6, 600, &ask)); /* a living process is never robbed */
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
        assert_false(um_lease_is_stale(&me, others[i], 599, 600, &ask));
        assert_true(um_lease_is_stale(&me, others[i], 601, 600, &ask));
        assert_false(um_lease_is_stale(&me, others[i], -599, 600, &ask));
        assert_true(um_lease_is_stale(&me, others[i], -601, 600, &ask)); /* the server's clock was set back */
    }
    assert_false(um_lease_is_stale(&unknown, &unknown, 599, 600, &ask));
    assert_int_equal(asked, 0);
}

/* A job of our cluster that is gone holds nothing; of others nothing is known. */
static void rule_jobs(void **state)
{
    (void)state;
    um_lease_owner self = me, other = me;
    snprintf(self.cluster, sizeof self.cluster, "c1");
    snprintf(self.job, sizeof self.job, "12");
    other = self;
    snprintf(other.host, sizeof other.host, "n2");
    snprintf(other.job, sizeof other.job, "77");
    job_asked = 0;
    job_answer = UM_JOB_GONE;
    assert_true(um_lease_is_stale(&self, &other, 0, 600, &ask));
    job_answer = UM_JOB_UNKNOWN;
    assert_false(um_lease_is_stale(&self, &other, 0, 600, &ask));
    job_answer = UM_JOB_RUNS;
    assert_false(um_lease_is_stale(&self, &other, 0, 600, &ask));
    assert_int_equal(job_asked, 3);
    assert_true(um_lease_is_stale(&self, &other, 601, 600, &ask)); /* nobody has touched it */
    job_answer = UM_JOB_GONE;
    snprintf(other.cluster, sizeof other.cluster, "c2");
    assert_false(um_lease_is_stale(&self, &other, 0, 600, &ask));
    self.cluster[0] = other.cluster[0] = 0;
    assert_false(um_lease_is_stale(&self, &other, 0, 600, &ask));
    other = self;
    snprintf(self.cluster, sizeof self.cluster, "c1");
    snprintf(other.host, sizeof other.host, "n2"); /* another node of our own job */
    other.cluster[0] = 'c', other.cluster[1] = '1', other.cluster[2] = 0;
    assert_false(um_lease_is_stale(&self, &other, 0, 600, &ask));
    assert_int_equal(job_asked, 3);
}

/* A program on PATH that says `text`, counts how often it is asked, and ends with `code`. */
static void put_command(const char *name, const char *text, int code)
{
    um_text script = {0};
    char path[512];
    snprintf(path, sizeof path, "%s", at(name));
    OK(um_text_add(&script, "#!/bin/sh\necho \"$@\" >>%s.asked\nprintf '%s'\nexit %d\n", path, text, code));
    unlink(path);
    OK(um_file_write(path, um_text_get(&script), script.n));
    assert_int_equal(chmod(path, 0755), 0);
    um_text_free(&script);
}

static void asks_slurm(void **state)
{
    (void)state;
    char old[4096], path[8192];
    um_text questions = {0};
    snprintf(old, sizeof old, "%s", getenv("PATH"));
    snprintf(path, sizeof path, "%s:%s", at("."), old);
    setenv("PATH", path, 1);
    put_command("squeue", "RUNNING\\n", 0);
    put_command("sacct", "", 1);
    assert_int_equal(um_lease_job_state("1"), UM_JOB_RUNS);
    put_command("squeue", "PENDING\\n", 0);
    assert_int_equal(um_lease_job_state("1"), UM_JOB_RUNS); /* believed for a while */
    assert_int_equal(um_lease_job_state("2_4"), UM_JOB_GONE);
    put_command("squeue", "RUNNING\\n", 0);
    assert_int_equal(um_lease_job_state("2_4"), UM_JOB_RUNS); /* it started since: "gone" is not remembered */
    put_command("squeue", "PENDING\\nCOMPLETING\\n", 0);
    assert_int_equal(um_lease_job_state("3"), UM_JOB_RUNS);
    put_command("squeue", "CANCELLED\\nTIMEOUT\\n", 0);
    assert_int_equal(um_lease_job_state("4"), UM_JOB_GONE);
    put_command("squeue", "slurm_load_jobs error: Invalid job id specified\\n", 1);
    assert_int_equal(um_lease_job_state("5"), UM_JOB_GONE);
    put_command("squeue", "slurm_load_jobs error: Unable to contact slurm controller\\n", 1);
    assert_int_equal(um_lease_job_state("6"), UM_JOB_UNKNOWN);
    put_command("sacct", "           COMPLETED\\n", 0);
    assert_int_equal(um_lease_job_state("7"), UM_JOB_GONE);
    put_command("sacct", "   CANCELLED by 1000\\n", 0);
    assert_int_equal(um_lease_job_state("8"), UM_JOB_GONE);
    put_command("sacct", "             RUNNING\\n", 0);
    assert_int_equal(um_lease_job_state("9"), UM_JOB_RUNS);
    assert_int_equal(um_lease_job_state("9; touch here"), UM_JOB_UNKNOWN);
    OK(um_file_read(&questions, at("squeue.asked"), 4096));
    assert_non_null(strstr(um_text_get(&questions), "-j 2_4"));
    assert_null(strstr(um_text_get(&questions), "touch"));
    um_text_free(&questions);
    setenv("PATH", old, 1);
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
    bool held = false;
    OK(um_lease_take(&mine, at("lease"), 600));
    assert_non_null(mine);
    assert_true(um_file_exists(at("lease.1")));
    assert_true(um_lease_check(mine));
    OK(um_lease_take(&second, at("lease"), 600));
    assert_null(second);
    OK(um_lease_holder(&who, &held, at("lease"), 600));
    assert_true(held);
    assert_non_null(strstr(um_text_get(&who), "pid"));
    assert_non_null(strstr(um_text_get(&who), "since 20"));
    um_lease_release(mine);
    assert_false(um_file_exists(at("lease.1")));
    um_text_free(&who);
    who = (um_text){0};
    OK(um_lease_holder(&who, &held, at("lease"), 600));
    assert_int_equal(who.n, 0);
    assert_false(held);
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
    um_text who = {0};
    bool held = true;
    OK(um_lease_owner_self(&dead));
    dead.start += 1; /* our pid, but another process */
    put_claim(at("lease.3"), &dead, 0);
    OK(um_lease_holder(&who, &held, at("lease"), 600)); /* who was it? */
    assert_false(held);
    assert_non_null(strstr(um_text_get(&who), "pid"));
    um_text_free(&who);
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

/* A claim of an ended job of another node is taken at once. */
static void takes_over_from_an_ended_job(void **state)
{
    (void)state;
    char old[4096], path[8192];
    um_lease_owner other;
    um_lease *mine = NULL;
    setenv("SLURM_CLUSTER_NAME", "c1", 1);
    setenv("SLURM_JOB_ID", "100", 1);
    snprintf(old, sizeof old, "%s", getenv("PATH"));
    snprintf(path, sizeof path, "%s:%s", at("."), old);
    setenv("PATH", path, 1);
    OK(um_lease_owner_self(&other));
    assert_string_equal(other.job, "100");
    snprintf(other.host, sizeof other.host, "another-host");
    snprintf(other.job, sizeof other.job, "99");
    put_claim(at("lease.1"), &other, 0);
    put_command("squeue", "RUNNING\\n", 0);
    OK(um_lease_take(&mine, at("lease"), 600));
    assert_null(mine);
    snprintf(other.job, sizeof other.job, "98");
    put_claim(at("lease.2"), &other, 0);
    put_command("squeue", "slurm_load_jobs error: Invalid job id specified\\n", 1);
    OK(um_lease_take(&mine, at("lease"), 600));
    assert_non_null(mine);
    assert_true(um_file_exists(at("lease.3")));
    um_lease_release(mine);
    setenv("PATH", old, 1);
    unsetenv("SLURM_CLUSTER_NAME");
    unsetenv("SLURM_JOB_ID");
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

/* A claim has its owner from the first moment on, and what runs that were killed left beside it goes. */
static void a_claim_is_whole(void **state)
{
    (void)state;
    um_lease *mine = NULL;
    um_text holder = {0};
    char **names = NULL;
    size_t n = 0;
    bool held = false;
    store_bytes(at("lease-clock-a1b2c3"), (const uint8_t *)"", 0);
    OK(um_lease_take(&mine, at("lease"), 600));
    assert_non_null(mine);
    OK(um_lease_holder(&holder, &held, at("lease"), 600));
    assert_true(held);
    assert_non_null(strstr(holder.data, "pid"));
    OK(um_dir_list(&names, &n, fixture_dir));
    assert_int_equal(n, 1);
    assert_string_equal(names[0], "lease.1");
    um_names_free(names, n);
    um_text_free(&holder);
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
        FIXTURE_TEST(race),                   FIXTURE_TEST(rule_jobs),                FIXTURE_TEST(asks_slurm),
        FIXTURE_TEST(takes_over_from_an_ended_job), FIXTURE_TEST(a_claim_is_whole),
    };
    return cmocka_run_group_tests_name("grid_lease", tests, NULL, NULL);
}
