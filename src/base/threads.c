#include "base/threads.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

static int fixed;             /* um_threads_set, 0: by rule */
static int ranks_on_node = 1;

/* OMP_NUM_THREADS may list one number per nesting level; the first is ours. 0 when unset or senseless. */
static int threads_from_environment(void)
{
    const char *text = getenv("OMP_NUM_THREADS");
    if (!text)
        return 0;
    char *end = NULL;
    long n = strtol(text, &end, 10);
    return end != text && (*end == 0 || *end == ',') && n > 0 && n <= 65536 ? (int)n : 0;
}

int um_cores(void)
{
    /* The kernel refuses a mask smaller than its own; grow until it fits. */
    for (int n_cpus = CPU_SETSIZE; n_cpus <= 1 << 20; n_cpus *= 2) {
        cpu_set_t *mask = CPU_ALLOC(n_cpus);
        if (!mask)
            break;
        size_t bytes = CPU_ALLOC_SIZE(n_cpus);
        int count = sched_getaffinity(0, bytes, mask) == 0 ? CPU_COUNT_S(bytes, mask) : 0;
        CPU_FREE(mask);
        if (count > 0)
            return count;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

int um_threads(void)
{
    if (fixed > 0)
        return fixed;
    int n = threads_from_environment();
    if (n == 0)
        n = um_cores() / ranks_on_node;
    return n > 0 ? n : 1;
}

void um_threads_set(int n)
{
    fixed = n > 0 ? n : 0;
}

void um_threads_set_ranks_on_node(int ranks)
{
    ranks_on_node = ranks > 0 ? ranks : 1;
}
