/* The verbs of `umed medlocker`; each is a command of its own within the command. */
#ifndef UM_CLI_MEDLOCKER_H
#define UM_CLI_MEDLOCKER_H

#include "cli/cli.h"
#include "medlocker/evaluate.h"
#include "medlocker/mark.h"

typedef struct um_verb {
    const char *name, *usage;
    int min_nets; /* networks given as arguments after the verb */
    int max_nets;
    um_status (*run)(um_cli *cli);
} um_verb;

um_status um_verb_train(um_cli *cli);
um_status um_verb_mark(um_cli *cli);
um_status um_verb_key(um_cli *cli);
um_status um_verb_seal(um_cli *cli);
um_status um_verb_verify(um_cli *cli);
um_status um_verb_recover(um_cli *cli);
um_status um_verb_report(um_cli *cli);

/* Classifiers from files, for images of d. Errors: those of um_model_load; UM_E_DATA for a network that is no classifier. */
um_status um_verb_load_net(um_segmenter **out, um_backend *backend, const char *path, const um_dataset *d, int64_t batch);
um_status um_verb_load_nets(um_targets *out, const um_cli *cli, um_backend *backend, const um_dataset *d, int64_t batch);
um_status um_verb_rows(um_rows *out, const um_cli *cli, const um_dataset *d); /* --rows all|train|test, all by default */
/* --certificate with --key: read and verified. */
um_status um_verb_certificate(um_certificate *out, um_secret *key, const um_cli *cli);
/* "42 of 60, 70.0 % [57.5, 80.1]" */
void um_verb_share(char out[64], int64_t hits, int64_t n);

#endif
