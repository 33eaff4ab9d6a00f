#include "grid/paper.h"

#include "base/mem.h"
#include "base/text.h"
#include "grid/paper_lines.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *paper, *ours;
} names[] = {
    {"BUSI", "busi"},
    {"Chest X-ray", "chest_xray"},
    {"Kvasir-SEG", "kvasir_seg"},
    {"Average", "average"},
    {"Average of 4", "average"},
    {"None", "none"},
    {"EM", "em"},
    {"TAP", "tap"},
    {"LSP", "lsp"},
    {"AR", "ar"},
    {"SEP", "sep"},
    {"UMed", "umed"},
    {"U-Net", "unet"},
    {"Attention U-Net", "attention_unet"},
    {"U-Net++", "unetpp"},
    {"TransUNet", "transunet"},
    {"none", "none"},
    {"gaussian_blur_3x3", "blur"},
    {"jpeg", "jpeg60"},
    {"adv_train_linf_4/255", "advtrain"},
    {"", ""},
};

static um_status identifier(const char *field, char out[UM_PAPER_TEXT])
{
    for (size_t i = 0; i < UM_COUNT(names); i++) {
        if (strcmp(names[i].paper, field) == 0) {
            snprintf(out, UM_PAPER_TEXT, "%s", names[i].ours);
            return UM_OK;
        }
    }
    return um_fail(UM_E_BUG, "analysis/paper_tables.csv: no identifier for '%s'", field);
}

enum { N_FIELDS = 9, LINE_BYTES = 256 };

static int split(char *line, char *field[N_FIELDS])
{
    int n = 0;
    for (char *p = line; p && n < N_FIELDS; n++) {
        field[n] = p;
        p = strchr(p, ',');
        if (p)
            *p++ = 0;
    }
    return n;
}

static um_status parse(um_paper_value *v, const char *text)
{
    um_status rc = UM_OK;
    char line[LINE_BYTES], *field[N_FIELDS];
    int64_t table = 0;
    snprintf(line, sizeof line, "%s", text);
    UM_REQUIRE(split(line, field) == N_FIELDS);
    UM_REQUIRE(um_text_parse_int(field[0], &table) && table >= 1 && table <= UM_PAPER_TABLES);
    UM_REQUIRE(um_text_parse_real(field[8], &v->value));
    v->table = (int)table;
    UM_TRY(identifier(field[1], v->dataset));
    UM_TRY(identifier(field[2], v->protector));
    snprintf(v->bound, sizeof v->bound, "%s", field[3]);
    UM_TRY(identifier(field[4], v->exploiter));
    UM_TRY(identifier(field[5], v->defense));
    v->label[0] = field[6][0];
    snprintf(v->metric, sizeof v->metric, "%s", field[7]);
done:
    return rc;
}

um_status um_paper_load(um_paper_value **out, int *n)
{
    um_status rc = UM_OK;
    um_paper_value *values = NULL;
    int count = 0;
    while (um_paper_lines[count + 1])
        count++;
    UM_TRY(UM_NEW_ARRAY(values, count));
    for (int i = 0; i < count; i++)
        UM_TRY(parse(&values[i], um_paper_lines[i + 1]));
    *out = values;
    *n = count;
    values = NULL;
done:
    um_free(values);
    return rc;
}
