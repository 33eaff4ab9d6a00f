/* kernels/cuda/runtime.h over host memory: what the backend does above it runs as on a device, and misuse is noticed. A capture runs
 * nothing on a device; here, launches cannot be held back, so the memory of every allocation is put back at the end of a capture, and
 * a replay is refused unless the test says how to run the steps again (um_host_replay). */
#include "kernels/cuda_host/cuda_host.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/runtime.h"

enum { MAX_BLOCKS = 4096 };

typedef struct block {
    char *data, *saved;
    size_t bytes;
} block;

struct um_dev {
    um_dev_info info;
    block blocks[MAX_BLOCKS];
    int n_blocks;
    bool capturing;
};

um_host_counts um_host_count;

int um_cuda_devices(void)
{
    return 1;
}

um_status um_dev_open(um_dev **out)
{
    um_status rc = UM_OK;
    um_dev *d = NULL;
    UM_TRY(UM_NEW(d));
    d->info = (um_dev_info){.name = "host memory", .n_devices = 1, .cc_major = 9, .bytes_total = (size_t)1 << 34, .n_sharing = 1};
    *out = d;
done:
    return rc;
}

void um_dev_close(um_dev *d)
{
    um_free(d);
}

const um_dev_info *um_dev_about(const um_dev *d)
{
    return &d->info;
}

um_status um_dev_alloc(um_dev *d, void **out, size_t bytes)
{
    um_status rc = UM_OK;
    char *p = NULL;
    UM_REQUIRE(!d->capturing && d->n_blocks < MAX_BLOCKS);
    UM_TRY(um_alloc((void **)&p, bytes + 256, 1));
    d->blocks[d->n_blocks++] = (block){.data = p, .bytes = bytes + 256};
    *out = p;
done:
    return rc;
}

void um_dev_free(um_dev *d, void *p)
{
    for (int i = 0; p && i < d->n_blocks; i++)
        if (d->blocks[i].data == p) {
            um_free(p);
            d->blocks[i] = d->blocks[--d->n_blocks];
            return;
        }
}

static um_status copy(um_dev *d, void *to, const void *from, size_t bytes, bool by_host)
{
    um_status rc = UM_OK;
    UM_REQUIRE(!by_host || !d->capturing);
    if (bytes)
        memcpy(to, from, bytes);
done:
    return rc;
}

um_status um_dev_upload(um_dev *d, void *to, const void *host, size_t bytes)
{
    um_host_count.uploads++;
    return copy(d, to, host, bytes, true);
}

um_status um_dev_download(um_dev *d, void *host, const void *from, size_t bytes)
{
    um_host_count.downloads++;
    return copy(d, host, from, bytes, true);
}

um_status um_dev_copy(um_dev *d, void *to, const void *from, size_t bytes)
{
    return copy(d, to, from, bytes, false);
}

um_status um_dev_fill(um_dev *d, void *to, int byte, size_t bytes)
{
    (void)d;
    memset(to, byte, bytes);
    return UM_OK;
}

um_status um_dev_sync(um_dev *d)
{
    um_status rc = UM_OK;
    UM_REQUIRE(!d->capturing);
done:
    return rc;
}

um_status um_dev_capture_begin(um_dev *d)
{
    um_status rc = UM_OK;
    UM_REQUIRE(!d->capturing);
    for (int i = 0; i < d->n_blocks; i++) {
        UM_TRY(um_alloc((void **)&d->blocks[i].saved, d->blocks[i].bytes, 1));
        memcpy(d->blocks[i].saved, d->blocks[i].data, d->blocks[i].bytes);
    }
    d->capturing = true;
done:
    return rc;
}

static void restore(um_dev *d)
{
    for (int i = 0; i < d->n_blocks; i++) {
        memcpy(d->blocks[i].data, d->blocks[i].saved, d->blocks[i].bytes);
        um_free(d->blocks[i].saved);
        d->blocks[i].saved = NULL;
    }
    d->capturing = false;
}

um_status um_dev_capture_end(um_dev *d, void **out)
{
    int *graph = NULL;
    um_status rc = UM_NEW(graph);
    restore(d);
    um_host_count.captures++;
    *out = graph;
    return rc;
}

void um_dev_capture_abandon(um_dev *d)
{
    restore(d);
}

um_status um_dev_graph_launch(um_dev *d, void *graph)
{
    (void)d;
    (void)graph;
    um_host_count.replays++;
    return um_host_count.replay ? um_host_count.replay(um_host_count.replay_payload) : UM_OK;
}

void um_dev_graph_free(um_dev *d, void *graph)
{
    (void)d;
    um_host_count.forgotten += graph != NULL;
    um_free(graph);
}

um_status um_dev_time(um_dev *d, um_status (*fn)(void *payload), void *payload, int repeats, double *seconds)
{
    double start = um_now();
    um_status rc = fn(payload);
    (void)d;
    (void)repeats;
    *seconds = um_now() - start;
    return rc;
}

void *um_dev_stream(const um_dev *d)
{
    (void)d;
    return NULL;
}

um_status um_dev_launched(const char *op)
{
    (void)op;
    um_host_count.launches++;
    return UM_OK;
}
