#include "train/predict.h"

#include "base/mem.h"

struct um_predict_line {
    um_inlet in;
    um_outlet out;
};

void um_predict_line_free(um_predict_line *line)
{
    if (!line)
        return;
    um_inlet_close(&line->in);
    um_outlet_close(&line->out);
    um_free(line);
}

/* Made once: page-locked memory takes long to get. */
static um_status ready(um_segmenter *s)
{
    um_status rc = UM_OK;
    const um_segmenter_config *c = &s->config;
    um_predict_line *line = NULL;
    size_t image = (size_t)(c->h * c->w) * um_dtype_bytes(s->backend->real), in = image * (size_t)c->net.in_ch;
    if (s->predict)
        return UM_OK;
    UM_TRY(UM_NEW(line));
    UM_TRY(um_inlet_open(&line->in, s->backend, &in, 1, c->max_batch));
    UM_TRY(um_outlet_open(&line->out, s->backend, um_segmenter_logit_bytes(s), c->max_batch));
    s->predict = line;
    line = NULL;
done:
    um_predict_line_free(line);
    return rc;
}

static int64_t batch_from(const um_segmenter *s, const um_predict_job *job, int64_t first)
{
    return job->n - first < s->config.max_batch ? job->n - first : s->config.max_batch;
}

static um_status begin(um_segmenter *s, const um_predict_job *job, int64_t first)
{
    um_status rc = UM_OK;
    int64_t n = batch_from(s, job, first);
    void *x[UM_INLET_PARTS];
    um_batch batch;
    UM_TRY(um_inlet_room(&s->predict->in, x));
    UM_TRY(job->make(job->payload, first, n, x[0]));
    UM_TRY(um_inlet_send(&s->predict->in, n));
    UM_TRY(um_inlet_feed(&s->predict->in, s->eval, &s->eval_x, n));
    um_batch_set(&batch, n, 1);
    UM_TRY(um_exec_run(s->eval, &batch, 0, -1));
    UM_TRY(um_outlet_send(&s->predict->out, s->eval, s->eval_logits, n));
done:
    return rc;
}

static um_status end(um_segmenter *s, const um_predict_job *job, int64_t first)
{
    um_status rc = UM_OK;
    const void *logits = NULL;
    UM_TRY(um_outlet_take(&s->predict->out, NULL, &logits));
    UM_TRY(job->look(job->payload, first, batch_from(s, job, first), logits));
done:
    return rc;
}

um_status um_predict_run(um_segmenter *s, const um_predict_job *job)
{
    um_status rc = UM_OK;
    int64_t step = s->config.max_batch;
    UM_TRY(ready(s));
    for (int64_t first = 0; first < job->n; first += step) {
        UM_TRY(begin(s, job, first));
        if (first > 0)
            UM_TRY(end(s, job, first - step));
    }
    if (job->n > 0)
        UM_TRY(end(s, job, (job->n - 1) / step * step));
done:
    if (s->predict)
        um_outlet_forget(&s->predict->out);
    return rc;
}
