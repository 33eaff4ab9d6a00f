/* Where the paper contradicts itself or leaves doubt: marks beside its numbers in our tables. Found by checking its averages, and
 * that
 * J = D/(2-D) holds for one confusion matrix and J is larger for a mean over several. */
#include "grid/report_internal.h"

#include <string.h>

/* An empty text stands for any. */
typedef struct note {
    char mark;
    int table; /* 0: any */
    const char *dataset, *protector, *bound, *exploiter, *defense;
    const char *text;
} note;

static const note notes[] = {
    {'a', 2, "chest_xray", "none", "", "average", "", "the printed average 92.21 | 95.95 is 90.95 | 95.25 by the three entries"},
    {'b', 2, "chest_xray", "none", "", "attention_unet", "", "probably a wrong entry: 92.68 | 96.22 gives the printed average"},
    {'c', 1, "chest_xray", "none", "", "unet", "", "a weak baseline: the other networks reach 91 to 93, and TAP beats it"},
    {'d', 2, "chest_xray", "tap", "", "attention_unet", "", "digit for digit the entry of U-Net in Table 1: probably a duplicate"},
    {'d', 1, "chest_xray", "tap", "", "unet", "", "digit for digit the entry of Attention U-Net in Table 2: probably a duplicate"},
    {'e', 2, "chest_xray", "sep", "", "transunet", "", "impossible: a Jaccard index below DSC/(2-DSC) (so is the average with it)"},
    {'e', 2, "chest_xray", "sep", "", "average", "", "impossible: a Jaccard index below DSC/(2-DSC) (so is the average with it)"},
    {'e', 3, "busi", "sep", "", "unet", "blur", "impossible: a Jaccard index below DSC/(2-DSC); with 53.47 for 54.37 it would fit"},
    {'f', 2, "kvasir_seg", "tap", "", "attention_unet", "", "far off every other pair: DSC near 66 would fit the Jaccard index"},
    {'g', 0, "", "lsp", "4/255", "", "", "4/255 cannot bound a pixel of LSP or AR: Table 4 needs 5/255 on two datasets"},
    {'g', 0, "", "ar", "4/255", "", "", "4/255 cannot bound a pixel of LSP or AR: Table 4 needs 5/255 on two datasets"},
    {'h', 3, "", "", "", "unet", "jpeg60", "JPEG quality: 60 in the caption, 30 in the text; ours is 60"},
    {'i', 3, "", "umed", "12/255", "unet", "advtrain", "from 71.09 at 8/255 to 0.38 at 12/255: a cliff"},
    {'j', 5, "", "em", "", "", "", "the text says that a region does not improve EM; without one EM averages 36.83 | 50.94"},
};

static bool fits(const char *wanted, const char *value)
{
    return wanted[0] == 0 || strcmp(wanted, value) == 0;
}

static bool applies(const note *n, const um_paper_value *v)
{
    return (n->table == 0 || n->table == v->table) && fits(n->dataset, v->dataset) && fits(n->protector, v->protector) &&
           fits(n->bound, v->bound) && fits(n->exploiter, v->exploiter) && fits(n->defense, v->defense);
}

unsigned um_report_notes_of(const um_paper_value *v, char marks[UM_REPORT_MARKS])
{
    unsigned found = 0;
    size_t n = 0;
    for (size_t i = 0; i < UM_REPORT_N_NOTES && i < sizeof notes / sizeof notes[0]; i++)
        if (applies(&notes[i], v)) {
            found |= 1u << i;
            if (n + 1 < UM_REPORT_MARKS)
                marks[n++] = notes[i].mark;
        }
    marks[n] = 0;
    return found;
}

const char *um_report_note(int index, char *mark)
{
    if (index < 0 || index >= (int)(sizeof notes / sizeof notes[0]))
        return NULL;
    *mark = notes[index].mark;
    return notes[index].text;
}
