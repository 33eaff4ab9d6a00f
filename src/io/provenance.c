#include "io/provenance.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "base/host.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "io/version.h"

const char *um_version(void)
{
    return UMED_VERSION;
}

static void machine_text(char out[512])
{
    struct utsname u;
    if (uname(&u) == 0)
        snprintf(out, 512, "%s %s %s", u.sysname, u.release, u.machine);
    else
        snprintf(out, 512, "unknown");
}

um_status um_provenance_stamp(um_h5 *f)
{
    um_status rc = UM_OK;
    char created[UM_UTC_BYTES], machine[512], host[UM_HOST_TEXT], job[UM_HOST_TEXT];
    um_utc(created);
    um_host_name(host);
    um_job_id(job);
    machine_text(machine);
    UM_TRY(um_h5_set_text(f, "/", "software", "umed"));
    UM_TRY(um_h5_set_text(f, "/", "version", UMED_VERSION));
    UM_TRY(um_h5_set_text(f, "/", "created", created));
    UM_TRY(um_h5_set_text(f, "/", "machine", machine));
    UM_TRY(um_h5_set_text(f, "/", "host", host));
    if (job[0])
        UM_TRY(um_h5_set_text(f, "/", "slurm_job", job));
    UM_TRY(um_h5_set_text(f, "/", "dependencies", UMED_DEPENDENCIES));
done:
    return rc;
}

um_status um_provenance_lines(const um_provenance *p, um_text *out)
{
    um_status rc = UM_OK;
    char sha256[UM_SHA256_HEX];
    if (p->command)
        UM_TRY(um_text_add(out, "command=%s\n", p->command));
    if (p->seed)
        UM_TRY(um_text_add(out, "seed=%lld\n", (long long)*p->seed));
    if (p->settings) {
        um_sha256_of(p->settings, strlen(p->settings), sha256);
        UM_TRY(um_text_add(out, "config_sha256=%s\n", sha256));
    }
    if (p->inputs)
        UM_TRY(um_text_add(out, "inputs=%s\n", p->inputs));
done:
    return rc;
}

um_status um_provenance_set_lines(um_h5 *f, const char *lines)
{
    um_status rc = UM_OK;
    char *copy = NULL, *rest = NULL;
    UM_TRY(um_strdup(&copy, lines ? lines : ""));
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *equal = strchr(line, '=');
        UM_REQUIRE(equal != NULL);
        *equal = 0;
        UM_TRY(um_h5_set_text(f, "/", line, equal + 1));
    }
done:
    um_free(copy);
    return rc;
}

um_status um_provenance_write(um_h5 *f, const um_provenance *p)
{
    um_status rc = UM_OK;
    um_text lines = {0};
    UM_TRY(um_provenance_stamp(f));
    UM_TRY(um_provenance_lines(p, &lines));
    UM_TRY(um_provenance_set_lines(f, um_text_get(&lines)));
    if (p->settings)
        UM_TRY(um_h5_write_text(f, "/config", p->settings, "effective settings, libconfig syntax"));
done:
    um_text_free(&lines);
    return rc;
}

um_status um_provenance_add_input(um_text *inputs, const char *path, const char *sha256)
{
    return um_text_add(inputs, "%s%s sha256=%s", inputs->n ? "; " : "", path, sha256);
}
