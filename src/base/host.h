/* Where this process runs. */
#ifndef UM_BASE_HOST_H
#define UM_BASE_HOST_H

enum { UM_HOST_TEXT = 128 };

void um_host_name(char out[UM_HOST_TEXT]); /* "unknown" when the system does not tell */
void um_job_id(char out[UM_HOST_TEXT]);    /* of Slurm: "123", an array's task "123_4"; empty outside */
void um_job_cluster(char out[UM_HOST_TEXT]); /* the name of the Slurm cluster that the job id belongs to; empty outside */

#endif
