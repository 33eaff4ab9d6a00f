/* The device by the CUDA runtime (runtime.h). Copies from the host pass through pinned buffers, so that an upload returns while it is
 * still on its way, or stands behind a step that runs; a download waits. */
#include "kernels/cuda/runtime.h"

#include <stdlib.h>
#include <string.h>

#include <cuda_runtime_api.h>

#include "base/mem.h"
#include "kernels/cuda/cuda.h"

enum { MAX_REPEATS = 32, N_STAGES = 2, MAX_SLOTS = 16 };

/* Buffers in turn: many small ones, so that the few numbers of the next steps wait for nobody, and room for a batch of images. */
typedef struct stage {
    char *base; /* pinned host memory, n slots of `bytes` */
    size_t bytes;
    int n, next;
    cudaEvent_t free[MAX_SLOTS]; /* when its last copy is done */
} stage;

static const struct { size_t bytes; int n; } stages[N_STAGES] = {{64 << 10, MAX_SLOTS}, {8 << 20, 4}};

struct um_dev {
    um_dev_info info;
    cudaStream_t stream;
    stage stage[N_STAGES];
    cudaEvent_t begin, end;
    cudaEvent_t fence, marks[UM_DEV_MARKS]; /* fence: of follow */
};

static um_status fail_cuda(const char *file, int line, cudaError_t e, const char *what)
{
    um_status code = e == cudaErrorMemoryAllocation ? UM_E_MEMORY : UM_E_DEVICE;
    (void)cudaGetLastError(); /* told here; the next launch is not to find it */
    return um_fail_at(file, line, code, "CUDA: %s: %s (%s)", what, cudaGetErrorString(e), cudaGetErrorName(e));
}

/* A call of the runtime; on an error the message has its text. */
#define TRY_CUDA(call)                                                 \
    do {                                                               \
        cudaError_t cuda_error = (call);                               \
        if (cuda_error != cudaSuccess) {                               \
            rc = fail_cuda(__FILE__, __LINE__, cuda_error, #call);     \
            goto done;                                                 \
        }                                                              \
    } while (0)

int um_cuda_devices(void)
{
    int n = 0;
    return cudaGetDeviceCount(&n) == cudaSuccess ? n : 0;
}

static long env_number(const char *name)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : -1;
}

static um_status choose_device(um_dev_info *info, int rank_on_host)
{
    cudaError_t e = cudaGetDeviceCount(&info->n_devices);
    if (e != cudaSuccess || info->n_devices < 1)
        return um_fail(UM_E_UNSUPPORTED, "backend cuda: this machine has no CUDA device (%s); use --backend cpu",
                       e == cudaSuccess ? "none found" : cudaGetErrorString(e));
    long wanted = env_number("UMED_CUDA_DEVICE");
    if (wanted >= info->n_devices)
        return um_fail(UM_E_CONFIG, "UMED_CUDA_DEVICE is %ld, but this machine has %d devices (0 to %d)", wanted,
            info->n_devices, info->n_devices - 1);
    info->index = wanted >= 0 ? (int)wanted : rank_on_host % info->n_devices;
    return UM_OK;
}

static void print_uuid(const cudaUUID_t *u, char out[48])
{
    int at = snprintf(out, 48, "GPU-");
    for (int i = 0; i < 16; i++)
        at += snprintf(out + at, 48 - (size_t)at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", (unsigned char)u->bytes[i]);
}

static um_status describe_device(um_dev_info *info)
{
    um_status rc = UM_OK;
    struct cudaDeviceProp p;
    TRY_CUDA(cudaGetDeviceProperties(&p, info->index));
    TRY_CUDA(cudaRuntimeGetVersion(&info->runtime));
    TRY_CUDA(cudaDriverGetVersion(&info->driver));
    snprintf(info->name, sizeof info->name, "%.95s", p.name);
    info->cc_major = p.major;
    info->cc_minor = p.minor;
    info->multiprocessors = p.multiProcessorCount;
    info->bytes_total = p.totalGlobalMem;
    print_uuid(&p.uuid, info->uuid);
    if (p.major < 8)
        rc = um_fail(UM_E_UNSUPPORTED, "backend cuda needs compute capability 8.0 or newer (A100, H100, ...); %s has %d.%d",
            info->name, p.major, p.minor);
done:
    return rc;
}

/* Waiting for a mark sleeps: a thread that spins takes a core from the stages beside it. */
static um_status make_events(um_dev *d)
{
    um_status rc = UM_OK;
    TRY_CUDA(cudaEventCreateWithFlags(&d->fence, cudaEventDisableTiming));
    for (int i = 0; i < UM_DEV_MARKS; i++)
        TRY_CUDA(cudaEventCreateWithFlags(&d->marks[i], cudaEventDisableTiming | cudaEventBlockingSync));
done:
    return rc;
}

static um_status make_stage(stage *s, size_t bytes, int n)
{
    um_status rc = UM_OK;
    s->bytes = bytes;
    TRY_CUDA(cudaMallocHost((void **)&s->base, bytes * (size_t)n));
    for (; s->n < n; s->n++)
        TRY_CUDA(cudaEventCreateWithFlags(&s->free[s->n], cudaEventDisableTiming));
done:
    return rc;
}

static void free_stage(stage *s)
{
    for (int i = 0; i < s->n; i++)
        (void)cudaEventDestroy(s->free[i]);
    if (s->base)
        (void)cudaFreeHost(s->base);
}

um_status um_dev_open(um_dev **out, int rank_on_host)
{
    um_status rc = UM_OK;
    um_dev *d = NULL;
    UM_TRY(UM_NEW(d));
    UM_TRY(choose_device(&d->info, rank_on_host));
    UM_TRY(describe_device(&d->info));
    TRY_CUDA(cudaSetDevice(d->info.index));
    TRY_CUDA(cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking));
    UM_TRY(make_events(d));
    TRY_CUDA(cudaEventCreate(&d->begin));
    TRY_CUDA(cudaEventCreate(&d->end));
    for (int i = 0; i < N_STAGES; i++)
        UM_TRY(make_stage(&d->stage[i], stages[i].bytes, stages[i].n));
    *out = d;
    d = NULL;
done:
    um_dev_close(d);
    return rc;
}

/* Its launches go before those of d that wait for a free multiprocessor: what others wait for is short. */
um_status um_dev_branch(um_dev **out, const um_dev *d)
{
    um_status rc = UM_OK;
    um_dev *branch = NULL;
    int low = 0, high = 0;
    UM_TRY(UM_NEW(branch));
    branch->info = d->info;
    TRY_CUDA(cudaDeviceGetStreamPriorityRange(&low, &high));
    TRY_CUDA(cudaStreamCreateWithPriority(&branch->stream, cudaStreamNonBlocking, high));
    UM_TRY(make_events(branch));
    *out = branch;
    branch = NULL;
done:
    um_dev_close(branch);
    return rc;
}

um_status um_dev_enter(const um_dev *d)
{
    um_status rc = UM_OK;
    TRY_CUDA(cudaSetDevice(d->info.index));
done:
    return rc;
}

/* Failures here have nobody to tell. */
void um_dev_close(um_dev *d)
{
    if (!d)
        return;
    if (d->stream)
        (void)cudaStreamSynchronize(d->stream);
    for (int i = 0; i < N_STAGES; i++)
        free_stage(&d->stage[i]);
    if (d->begin)
        (void)cudaEventDestroy(d->begin);
    if (d->end)
        (void)cudaEventDestroy(d->end);
    if (d->fence)
        (void)cudaEventDestroy(d->fence);
    for (int i = 0; i < UM_DEV_MARKS; i++)
        if (d->marks[i])
            (void)cudaEventDestroy(d->marks[i]);
    if (d->stream)
        (void)cudaStreamDestroy(d->stream);
    um_free(d);
}

const um_dev_info *um_dev_about(const um_dev *d)
{
    return &d->info;
}

static um_status no_room(const um_dev *d, size_t bytes)
{
    size_t unused = 0, total = 0;
    (void)cudaGetLastError();
    (void)cudaMemGetInfo(&unused, &total);
    return um_fail(UM_E_MEMORY, "device %d (%s) has no room for %.1f MiB: %.1f of %.1f MiB are free; use a smaller batch",
        d->info.index, d->info.name,
                   (double)bytes / 1048576, (double)unused / 1048576, (double)total / 1048576);
}

um_status um_dev_alloc(um_dev *d, void **out, size_t bytes)
{
    um_status rc = UM_OK;
    void *p = NULL;
    cudaError_t e = cudaMalloc(&p, bytes ? bytes : 1);
    if (e == cudaErrorMemoryAllocation)
        return no_room(d, bytes);
    TRY_CUDA(e);
    TRY_CUDA(cudaMemsetAsync(p, 0, bytes ? bytes : 1, d->stream));
    *out = p;
    p = NULL;
done:
    if (p)
        (void)cudaFree(p);
    return rc;
}

void um_dev_free(um_dev *d, void *p)
{
    (void)d;
    if (p)
        (void)cudaFree(p); /* waits for the device */
}

/* A piece of a transfer, and the slot that it passes through. */
typedef struct piece {
    char *pinned;
    size_t bytes;
    cudaEvent_t done;
} piece;

static stage *stage_for(um_dev *d, size_t bytes)
{
    return &d->stage[bytes > d->stage[0].bytes];
}

/* The next slot for what is left of a transfer, when its last copy is done. */
static um_status take_slot(stage *s, size_t left, piece *out)
{
    um_status rc = UM_OK;
    TRY_CUDA(cudaEventSynchronize(s->free[s->next]));
    *out = (piece){s->base + (size_t)s->next * s->bytes, left < s->bytes ? left : s->bytes, s->free[s->next]};
    s->next = (s->next + 1) % s->n;
done:
    return rc;
}

um_status um_dev_upload(um_dev *d, void *to, const void *host, size_t bytes)
{
    um_status rc = UM_OK;
    piece p = {0};
    for (size_t at = 0; at < bytes; at += p.bytes) {
        UM_TRY(take_slot(stage_for(d, bytes), bytes - at, &p));
        memcpy(p.pinned, (const char *)host + at, p.bytes);
        TRY_CUDA(cudaMemcpyAsync((char *)to + at, p.pinned, p.bytes, cudaMemcpyHostToDevice, d->stream));
        TRY_CUDA(cudaEventRecord(p.done, d->stream));
    }
done:
    return rc;
}

um_status um_dev_download(um_dev *d, void *host, const void *from, size_t bytes)
{
    um_status rc = UM_OK;
    piece p = {0};
    for (size_t at = 0; at < bytes; at += p.bytes) {
        UM_TRY(take_slot(stage_for(d, bytes), bytes - at, &p));
        TRY_CUDA(cudaMemcpyAsync(p.pinned, (const char *)from + at, p.bytes, cudaMemcpyDeviceToHost, d->stream));
        TRY_CUDA(cudaStreamSynchronize(d->stream));
        memcpy((char *)host + at, p.pinned, p.bytes);
    }
done:
    return rc;
}

um_status um_dev_copy(um_dev *d, void *to, const void *from, size_t bytes)
{
    um_status rc = UM_OK;
    TRY_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, d->stream));
done:
    return rc;
}

um_status um_dev_fill(um_dev *d, void *to, int byte, size_t bytes)
{
    um_status rc = UM_OK;
    TRY_CUDA(cudaMemsetAsync(to, byte, bytes, d->stream));
done:
    return rc;
}

um_status um_dev_sync(um_dev *d)
{
    um_status rc = UM_OK;
    TRY_CUDA(cudaStreamSynchronize(d->stream));
done:
    return rc;
}

um_status um_dev_pin(um_dev *d, void **out, size_t bytes)
{
    um_status rc = UM_OK;
    void *p = NULL;
    (void)d;
    TRY_CUDA(cudaMallocHost(&p, bytes ? bytes : 1));
    memset(p, 0, bytes);
    *out = p;
done:
    return rc;
}

void um_dev_unpin(um_dev *d, void *p)
{
    (void)d;
    if (p)
        (void)cudaFreeHost(p);
}

um_status um_dev_fetch(um_dev *d, void *pinned, const void *from, size_t bytes)
{
    um_status rc = UM_OK;
    TRY_CUDA(cudaMemcpyAsync(pinned, from, bytes, cudaMemcpyDeviceToHost, d->stream));
done:
    return rc;
}

um_status um_dev_send(um_dev *d, void *to, const void *pinned, size_t bytes)
{
    um_status rc = UM_OK;
    TRY_CUDA(cudaMemcpyAsync(to, pinned, bytes, cudaMemcpyHostToDevice, d->stream));
done:
    return rc;
}

um_status um_dev_follow(um_dev *d, um_dev *other)
{
    um_status rc = UM_OK;
    TRY_CUDA(cudaEventRecord(other->fence, other->stream));
    TRY_CUDA(cudaStreamWaitEvent(d->stream, other->fence, 0));
done:
    return rc;
}

um_status um_dev_mark(um_dev *d, int i)
{
    um_status rc = UM_OK;
    TRY_CUDA(cudaEventRecord(d->marks[i], d->stream));
done:
    return rc;
}

um_status um_dev_wait(um_dev *d, int i)
{
    um_status rc = UM_OK;
    TRY_CUDA(cudaEventSynchronize(d->marks[i]));
done:
    return rc;
}

um_status um_dev_reached(um_dev *d, int i, bool *yes)
{
    um_status rc = UM_OK;
    cudaError_t e = cudaEventQuery(d->marks[i]);
    *yes = e == cudaSuccess;
    if (e != cudaErrorNotReady)
        TRY_CUDA(e);
done:
    return rc;
}

um_status um_dev_capture_begin(um_dev *d)
{
    um_status rc = UM_OK;
    TRY_CUDA(cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal));
done:
    return rc;
}

um_status um_dev_capture_end(um_dev *d, void **out)
{
    um_status rc = UM_OK;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t ready = NULL;
    TRY_CUDA(cudaStreamEndCapture(d->stream, &graph));
    TRY_CUDA(cudaGraphInstantiate(&ready, graph, 0));
    TRY_CUDA(cudaGraphUpload(ready, d->stream));
    *out = ready;
    ready = NULL;
done:
    if (ready)
        (void)cudaGraphExecDestroy(ready);
    if (graph)
        (void)cudaGraphDestroy(graph);
    return rc;
}

void um_dev_capture_abandon(um_dev *d)
{
    cudaGraph_t graph = NULL;
    (void)cudaStreamEndCapture(d->stream, &graph);
    if (graph)
        (void)cudaGraphDestroy(graph);
    (void)cudaGetLastError();
}

um_status um_dev_graph_launch(um_dev *d, void *graph)
{
    um_status rc = UM_OK;
    TRY_CUDA(cudaGraphLaunch((cudaGraphExec_t)graph, d->stream));
done:
    return rc;
}

void um_dev_graph_free(um_dev *d, void *graph)
{
    if (!graph)
        return;
    (void)cudaStreamSynchronize(d->stream);
    (void)cudaGraphExecDestroy((cudaGraphExec_t)graph);
}

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

um_status um_dev_time(um_dev *d, um_status (*fn)(void *payload), void *payload, int repeats, double *seconds)
{
    um_status rc = UM_OK;
    float ms[MAX_REPEATS];
    int n = repeats < MAX_REPEATS ? repeats : MAX_REPEATS;
    UM_TRY(fn(payload));
    for (int i = 0; i < n; i++) {
        TRY_CUDA(cudaEventRecord(d->begin, d->stream));
        UM_TRY(fn(payload));
        TRY_CUDA(cudaEventRecord(d->end, d->stream));
        TRY_CUDA(cudaEventSynchronize(d->end));
        TRY_CUDA(cudaEventElapsedTime(&ms[i], d->begin, d->end));
    }
    qsort(ms, (size_t)n, sizeof *ms, by_size);
    *seconds = 1e-3 * (double)ms[n / 2];
done:
    return rc;
}

void *um_dev_stream(const um_dev *d)
{
    return d->stream;
}

um_status um_dev_launched(const char *op)
{
    cudaError_t e = cudaPeekAtLastError();
    if (e == cudaSuccess)
        return UM_OK;
    (void)cudaGetLastError();
    return um_fail(UM_E_DEVICE, "CUDA: launch of %s: %s (%s)", op, cudaGetErrorString(e), cudaGetErrorName(e));
}
