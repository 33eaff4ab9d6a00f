#include "base/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first line of text, as much of it as fits. */
static void keep_line(char out[UM_HOST_TEXT], const char *text)
{
    snprintf(out, UM_HOST_TEXT, "%.*s", (int)strcspn(text, "\n"), text);
}

void um_host_name(char out[UM_HOST_TEXT])
{
    char name[UM_HOST_TEXT] = "";
    keep_line(out, gethostname(name, sizeof name - 1) == 0 ? name : "unknown");
}

void um_job_id(char out[UM_HOST_TEXT])
{
    const char *array = getenv("SLURM_ARRAY_JOB_ID"), *task = getenv("SLURM_ARRAY_TASK_ID"), *id = getenv("SLURM_JOB_ID");
    char text[UM_HOST_TEXT];
    snprintf(text, sizeof text, "%s_%s", array ? array : "", task ? task : "");
    keep_line(out, array && task ? text : id ? id : "");
}

void um_job_cluster(char out[UM_HOST_TEXT])
{
    const char *name = getenv("SLURM_CLUSTER_NAME");
    keep_line(out, name ? name : "");
}
