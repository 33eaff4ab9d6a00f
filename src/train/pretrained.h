/* Weights that a network starts from, out of a file. */
#ifndef UM_TRAIN_PRETRAINED_H
#define UM_TRAIN_PRETRAINED_H

#include "base/opt.h"
#include "models/model.h"

/* The file that the settings name for a network, "" when none or when it takes none. Borrowed from the settings. */
const char *um_pretrained_path(const um_model_def *model, const um_settings *settings);

/* What the file holds, as a line for keys and fingerprints ("pretrained=SHA-256\n"); nothing without a file. The path itself does not
 * count (its row is run_only). A file of several hundred MB is hashed once per program run while its size and time stay. One thread. */
um_status um_pretrained_describe(const um_model_def *model, const um_settings *settings, um_text *text);

/* "transunet-scratch" or "transunet-pretrained"; networks that take no file are called by their name. */
void um_pretrained_label(const um_model_def *model, const um_settings *settings, char out[64]);

/* Loads the .npz file into an initialised set; logs which tensor came from where. All or nothing: on an error the weights are what
 * they were. Errors: UM_E_IO, UM_E_DATA naming file and tensor. */
um_status um_pretrained_load(um_params *params, const um_model_def *model, const char *path);

#endif
