#include "bench/peer.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

struct um_peer {
    char name[32];
    char conditions[512];
    pid_t pid;
    FILE *to, *from;
};

/* $UMED_PEERS/NAME, or ../peers/NAME beside the folder of this program. */
static um_status find_program(char **out, const char *name)
{
    um_status rc = UM_OK;
    char self[4096], *dir = NULL, *program = NULL;
    const char *given = getenv("UMED_PEERS");
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 16);
    if (given) {
        UM_TRY(um_strdup(&dir, given));
    } else {
        UM_REQUIRE(n > 0);
        self[n] = 0;
        *strrchr(self, '/') = 0;
        UM_TRY(um_path_join(&dir, self, "../peers"));
    }
    UM_TRY(um_path_join(&program, dir, name));
    if (!um_file_exists(program)) {
        rc = um_fail(UM_E_UNSUPPORTED,
                     "there is no peer %s in %s; a build with its tests fills build/peers (the peer's library must be "
                     "installed), or set UMED_PEERS",
                     name, dir);
        goto done;
    }
    *out = program;
    program = NULL;
done:
    um_free(program);
    um_free(dir);
    return rc;
}

static void exec_child(const char *program, const char *const *args, int n_args, int in, int out)
{
    char *argv[UM_PEER_ARGS + 2] = {(char *)program};
    for (int i = 0; i < n_args; i++)
        argv[i + 1] = (char *)args[i];
    if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0)
        execv(program, argv);
    _exit(127);
}

/* Standard input and output of the child on two pipes; the other ends are closed on exec. */
static um_status spawn(um_peer *p, const char *program, const char *const *args, int n_args)
{
    int down[2], up[2];
    if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0)
        return um_fail(UM_E_IO, "no pipe to the peer %s", p->name);
    p->pid = fork();
    if (p->pid == 0)
        exec_child(program, args, n_args, down[0], up[1]);
    close(down[0]);
    close(up[1]);
    p->to = fdopen(down[1], "w");
    p->from = fdopen(up[0], "r");
    return p->pid > 0 && p->to && p->from ? UM_OK : um_fail(UM_E_IO, "the peer %s could not be started", p->name);
}

static um_status read_line(um_peer *p, char *line, size_t bytes)
{
    if (!fgets(line, (int)bytes, p->from))
        return um_fail(UM_E_UNSUPPORTED, "the peer %s left without an answer; what it said is above", p->name);
    line[strcspn(line, "\n")] = 0;
    return UM_OK;
}

um_status um_peer_start(um_peer **out, const char *name, const char *const *args, int n_args)
{
    um_status rc = UM_OK;
    um_peer *p = NULL;
    char *program = NULL, line[512];
    UM_REQUIRE(n_args <= UM_PEER_ARGS && strlen(name) < sizeof p->name);
    UM_TRY(find_program(&program, name));
    UM_TRY(UM_NEW(p));
    strcpy(p->name, name);
    UM_TRY(spawn(p, program, args, n_args));
    UM_TRY(read_line(p, line, sizeof line));
    if (strncmp(line, "ready ", 6) != 0) {
        rc = um_fail(UM_E_UNSUPPORTED, "the peer %s is not ready: %s", name, line);
        goto done;
    }
    strcpy(p->conditions, line + 6);
    *out = p;
    p = NULL;
done:
    um_peer_free(p);
    um_free(program);
    return rc;
}

void um_peer_free(um_peer *p)
{
    if (!p)
        return;
    if (p->to)
        fclose(p->to);
    if (p->from)
        fclose(p->from);
    if (p->pid > 0)
        waitpid(p->pid, NULL, 0);
    um_free(p);
}

const char *um_peer_name(const um_peer *p)
{
    return p->name;
}

const char *um_peer_conditions(const um_peer *p)
{
    return p->conditions;
}

static um_status ask(um_peer *p, const char *question, double *a, double *b)
{
    um_status rc = UM_OK;
    char line[256];
    double unused;
    if (fprintf(p->to, "%s\n", question) < 0 || fflush(p->to) != 0)
        return um_fail(UM_E_IO, "the peer %s is gone", p->name);
    UM_TRY(read_line(p, line, sizeof line));
    if (sscanf(line, "%lf %lf", a, b ? b : &unused) < (b ? 2 : 1))
        rc = um_fail(UM_E_IO, "the peer %s answered \"%s\" to %s", p->name, line, question);
done:
    return rc;
}

um_status um_peer_run(um_peer *p, double *seconds)
{
    return ask(p, "run", seconds, NULL);
}

um_status um_peer_peak(um_peer *p, double *peak_bytes, double *before_bytes)
{
    return ask(p, "peak", peak_bytes, before_bytes);
}

um_status um_peer_product(um_peer *p, double *flops)
{
    return ask(p, "product", flops, NULL);
}
