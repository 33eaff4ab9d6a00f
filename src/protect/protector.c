#include "protect/protector.h"

#include <string.h>

#define UM_PROTECTOR(name) extern const um_protector_def um_protector_##name;
#include "protect/protectors.def"
#undef UM_PROTECTOR

static const um_protector_def *const all[] = {
#define UM_PROTECTOR(name) &um_protector_##name,
#include "protect/protectors.def"
#undef UM_PROTECTOR
};
enum { N_PROTECTORS = sizeof all / sizeof all[0] };

um_status um_protector_find(const um_protector_def **out, const char *name)
{
    const char *names[N_PROTECTORS];
    for (int i = 0; i < N_PROTECTORS; i++) {
        names[i] = all[i]->name;
        if (!strcmp(name, all[i]->name)) {
            *out = all[i];
            return UM_OK;
        }
    }
    const char *near = um_text_nearest(name, names, N_PROTECTORS);
    return um_fail(UM_E_CONFIG, "unknown protector \"%s\"%s%s%s; `umed list` shows all", name, near ? "; did you mean \"" : "",
                   near ? near : "", near ? "\"?" : "");
}

const um_protector_def *const *um_protector_all(int *n)
{
    *n = N_PROTECTORS;
    return all;
}

um_status um_protect_fingerprint(const um_protect_job *job, const char *kind, const char *groups, char out[UM_SHA256_HEX])
{
    um_status rc = UM_OK;
    um_text text = {0};
    char data[UM_SHA256_HEX];
    um_dataset_sha256(job->data, data);
    UM_TRY(um_settings_changes(job->settings, groups, &text));
    UM_TRY(um_text_add(&text, "%s data %s rows %ld seed %llu\n", kind, data, (long)job->rows->n, (unsigned long long)job->seed));
    um_sha256_of(um_text_get(&text), text.n, out);
done:
    um_text_free(&text);
    return rc;
}
