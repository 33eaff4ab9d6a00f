/* The few pieces of JSON that manifests need: one object per line, written by us and read back by us. */
#ifndef UM_ARCHIVE_JSON_H
#define UM_ARCHIVE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

/* Appends "key":value, with a comma unless it is the first behind a bracket. */
um_status um_json_text(um_text *out, const char *key, const char *value); /* escapes */
um_status um_json_int(um_text *out, const char *key, int64_t value);
um_status um_json_real(um_text *out, const char *key, double value); /* null when it is no number */
/* "key": and an opening bracket, or with key NULL a bracket as an element; `close` is the closing one. */
um_status um_json_open(um_text *out, const char *key, char bracket);
um_status um_json_close(um_text *out, char bracket);
um_status um_json_element(um_text *out, const char *value); /* a text of an array */

/* Ends an object with its seal, "sha256_line": SHA-256 of the line as it stood before; and a newline. */
um_status um_json_seal(um_text *line);
/* UM_E_DATA naming `where` when line (without or with its newline) is not as it was sealed. */
um_status um_json_check(const char *line, const char *where);

/* A member of the outermost object, by its first appearance. False when there is none of that kind. Texts: appended, unescaped. */
bool um_json_get_text(const char *line, const char *key, um_text *out);
bool um_json_get_int(const char *line, const char *key, int64_t *out);

#endif
