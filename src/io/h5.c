#include "io/h5_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

enum { ATTRS_IN_HEADER = 256, LINKS_IN_HEADER = 4096 };

static herr_t keep_innermost(unsigned n, const H5E_error2_t *error, void *payload)
{
    char *text = payload;
    if (n == 0 && error->desc)
        snprintf(text, 256, "%s", error->desc);
    return 0;
}

um_status um_h5_fail_at(const char *file, int line, const um_h5 *f, const char *doing, const char *object)
{
    char reason[256] = "no reason given";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, reason);
    um_status code = f->writing || strstr(reason, "errno = ") ? UM_E_IO : UM_E_DATA;
    const char *space = object[0] ? " " : "";
    const char *advice = strstr(reason, "errno = 28") ? "; free space there, then run again" : "";
    return um_fail_at(file, line, code, "%s: cannot %s%s%s: %s%s", f->path, doing, space, object, reason, advice);
}

void um_h5_drop(hid_t id)
{
    if (id >= 0)
        H5Idec_ref(id);
}

static um_status file_new(um_h5 **out, const char *path, bool writing)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    H5dont_atexit(); /* we close what we open; what could not be closed must not be tried again */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    UM_TRY(UM_NEW(f));
    f->file = -1;
    f->writing = writing;
    UM_TRY(um_strdup(&f->path, path));
    *out = f;
    f = NULL;
done:
    um_h5_free(f);
    return rc;
}

um_status um_h5_fixed_length(um_h5 *f, const char *name, hid_t type)
{
    if (H5Tdetect_class(type, H5T_VLEN) <= 0 && H5Tis_variable_str(type) <= 0)
        return UM_OK;
    return um_fail(UM_E_DATA, "%s: %s has values of variable length; write fixed ones (in h5py numpy.bytes_ or dtype 'S')", f->path, name);
}

/* Low bound 1.10, not 1.8: the chunk index of 1.8 has no checksum, and a flipped bit in it made an image read as zeros. Attributes and
 * links stay in the object's header, and nothing is allocated ahead: room that is no longer used is room that no checksum covers. */
static um_status create_part(um_h5 *f)
{
    um_status rc = UM_OK;
    char *part = NULL;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
    UM_TRY(um_file_part_name(&part, f->path));
    UM_TRY_H5(f, "prepare", "", H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110));
    UM_TRY_H5(f, "prepare", "", H5Pset_fclose_degree(access, H5F_CLOSE_STRONG));
    UM_TRY_H5(f, "prepare", "", H5Pset_obj_track_times(creation, false));
    UM_TRY_H5(f, "prepare", "", H5Pset_attr_phase_change(creation, ATTRS_IN_HEADER, 0));
    UM_TRY_H5(f, "prepare", "", H5Pset_meta_block_size(access, 1));
    UM_TRY_H5(f, "prepare", "", H5Pset_small_data_block_size(access, 1));
    UM_TRY_H5(f, "create", "", f->file = H5Fcreate(part, H5F_ACC_TRUNC, creation, access));
done:
    um_h5_drop(creation);
    um_h5_drop(access);
    um_free(part);
    return rc;
}

um_status um_h5_create(um_h5 **out, const char *path, const char *format, const char *version)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    UM_TRY(file_new(&f, path, true));
    UM_TRY(create_part(f));
    UM_TRY(um_strdup(&f->format, format));
    UM_TRY(um_h5_set_text(f, "/", "format", format));
    UM_TRY(um_h5_set_text(f, "/", "format_version", version));
    *out = f;
    f = NULL;
done:
    um_h5_free(f);
    return rc;
}

/* The library would take older layouts too, and stumble over damaged ones. No HDF5 at all: that is for the library to say. */
static um_status check_layout(const char *path)
{
    static const uint8_t signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    enum { SUPERBLOCK_1_10 = 3 };
    uint8_t head[9] = {0};
    FILE *file = fopen(path, "rb");
    if (!file)
        return um_fail(UM_E_IO, "%s: cannot open: %s", path, strerror(errno));
    size_t n = fread(head, 1, sizeof head, file);
    fclose(file);
    if (n == sizeof head && memcmp(head, signature, sizeof signature) == 0 && head[8] < SUPERBLOCK_1_10)
        return um_fail(UM_E_DATA, "%s: layout of HDF5 1.8 or older, which has no checksums; convert it: h5repack --low=2 --high=2 IN OUT, "
                       "or h5py.File(..., libver='v110')", path);
    return UM_OK;
}

static um_status open_file(um_h5 *f)
{
    um_status rc = UM_OK;
    struct stat info;
    hid_t access = -1;
    if (stat(f->path, &info) != 0) {
        rc = um_fail(UM_E_IO, "%s: cannot open: %s", f->path, strerror(errno));
        goto done;
    }
    if (!S_ISREG(info.st_mode)) {
        rc = um_fail(UM_E_DATA, "%s: not a file", f->path);
        goto done;
    }
    UM_TRY(check_layout(f->path));
    access = H5Pcreate(H5P_FILE_ACCESS);
    UM_TRY_H5(f, "prepare", "", H5Pset_fclose_degree(access, H5F_CLOSE_STRONG));
    UM_TRY_H5(f, "open as HDF5", "", f->file = H5Fopen(f->path, H5F_ACC_RDONLY, access));
done:
    um_h5_drop(access);
    return rc;
}

static um_status check_complete(um_h5 *f)
{
    um_status rc = UM_OK;
    int64_t complete = 0;
    if (!um_h5_has_attr(f, "/", "complete"))
        return um_fail(UM_E_DATA, "%s: no root attribute 'complete': not a finished file of umed; make it again", f->path);
    UM_TRY(um_h5_get_int(f, "/", "complete", &complete));
    if (complete != 1)
        rc = um_fail(UM_E_DATA, "%s: root attribute 'complete' is %lld, not 1: make the file again", f->path, (long long)complete);
done:
    return rc;
}

static um_status check_format(um_h5 *f, const char *format, const char *version)
{
    um_status rc = UM_OK;
    um_text is = {0}, has = {0};
    UM_TRY(um_h5_get_text(f, "/", "format", &is));
    UM_TRY(um_h5_get_text(f, "/", "format_version", &has));
    UM_TRY(um_strdup(&f->format, um_text_get(&is)));
    if (format && strcmp(format, f->format) != 0) {
        rc = um_fail(UM_E_DATA, "%s: format is '%s', expected '%s'", f->path, f->format, format);
        goto done;
    }
    long major = strtol(um_text_get(&has), NULL, 10), known = strtol(version, NULL, 10);
    if (major < 1 || major > known)
        rc = um_fail(UM_E_DATA, "%s: format_version '%s' of '%s' is not readable by this umed (knows %s); use a newer one", f->path,
                     um_text_get(&has), f->format, version);
done:
    um_text_free(&is);
    um_text_free(&has);
    return rc;
}

um_status um_h5_open(um_h5 **out, const char *path, const char *format, const char *version)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    UM_TRY(file_new(&f, path, false));
    UM_TRY(open_file(f));
    UM_TRY(check_complete(f));
    UM_TRY(check_format(f, format, version));
    *out = f;
    f = NULL;
done:
    um_h5_free(f);
    return rc;
}

um_status um_h5_end(um_h5 **file)
{
    um_status rc = UM_OK;
    um_h5 *f = *file;
    hid_t still_open;
    *file = NULL;
    UM_TRY(um_h5_set_int(f, "/", "complete", 1));
    UM_TRY_H5(f, "flush", "", H5Fflush(f->file, H5F_SCOPE_GLOBAL));
    still_open = f->file;
    f->file = -1; /* closed once, whatever comes of it */
    UM_TRY_H5(f, "close", "", H5Fclose(still_open));
    f->writing = false;
done:
    um_h5_free(f);
    return rc;
}

um_status um_h5_commit(um_h5 **file)
{
    um_status rc = UM_OK;
    char *path = NULL;
    UM_TRY(um_strdup(&path, (*file)->path));
    UM_TRY(um_h5_end(file));
    UM_TRY(um_file_commit(path));
done:
    if (rc != UM_OK && path)
        um_file_discard(path);
    um_h5_free(*file);
    *file = NULL;
    um_free(path);
    return rc;
}

/* Gives the file's descriptor to memory, so that whatever the library still wants to write succeeds, on a full or failing disk too:
 * a second H5Fclose after one that failed reads freed memory (HDF5 1.10). */
static void detach(um_h5 *f)
{
    void *handle = NULL;
    int memory = memfd_create("umed", MFD_CLOEXEC);
    if (memory >= 0 && H5Fget_vfd_handle(f->file, H5P_DEFAULT, &handle) >= 0)
        dup2(memory, *(int *)handle);
    if (memory >= 0)
        close(memory);
}

static void abandon(um_h5 *f)
{
    if (f->file >= 0) {
        detach(f);
        H5Fclose(f->file);
    }
    um_file_discard(f->path);
}

void um_h5_free(um_h5 *f)
{
    if (!f)
        return;
    if (f->writing)
        abandon(f);
    else if (f->file >= 0)
        H5Fclose(f->file);
    um_free(f->path);
    um_free(f->format);
    um_free(f);
}

const char *um_h5_path(const um_h5 *f)
{
    return f->path;
}

const char *um_h5_format(const um_h5 *f)
{
    return f->format;
}

um_status um_h5_make_parents(um_h5 *f, const char *path)
{
    um_status rc = UM_OK;
    char *parent = NULL;
    UM_TRY(um_strdup(&parent, path));
    for (char *slash = strchr(parent + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        UM_TRY(um_h5_make_group(f, parent));
        *slash = '/';
    }
done:
    um_free(parent);
    return rc;
}

um_status um_h5_make_group(um_h5 *f, const char *path)
{
    um_status rc = UM_OK;
    hid_t creation = -1, group = -1;
    if (um_h5_exists(f, path))
        return UM_OK;
    UM_TRY(um_h5_make_parents(f, path));
    creation = H5Pcreate(H5P_GROUP_CREATE);
    UM_TRY_H5(f, "create group", path, H5Pset_obj_track_times(creation, false));
    UM_TRY_H5(f, "create group", path, H5Pset_link_phase_change(creation, LINKS_IN_HEADER, 0));
    UM_TRY_H5(f, "create group", path, group = H5Gcreate2(f->file, path, H5P_DEFAULT, creation, H5P_DEFAULT));
done:
    um_h5_drop(group);
    um_h5_drop(creation);
    return rc;
}

bool um_h5_exists(um_h5 *f, const char *path)
{
    char prefix[1024];
    if (strcmp(path, "/") == 0)
        return true;
    size_t n = strlen(path);
    if (n >= sizeof prefix)
        return false;
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(prefix, path, i);
        prefix[i] = 0;
        if (H5Lexists(f->file, prefix, H5P_DEFAULT) <= 0)
            return false;
    }
    return H5Oexists_by_name(f->file, path, H5P_DEFAULT) > 0;
}

typedef struct name_list {
    char **names;
    size_t n, cap;
    um_status rc;
} name_list;

static um_status keep_name(name_list *l, const char *name)
{
    um_status rc = UM_OK;
    if (l->n == l->cap) {
        UM_TRY(UM_GROW(l->names, l->cap, 2 * l->cap + 16));
        l->cap = 2 * l->cap + 16;
    }
    UM_TRY(um_strdup(&l->names[l->n], name));
    l->n++;
done:
    return rc;
}

static herr_t on_link(hid_t group, const char *name, const H5L_info_t *info, void *payload)
{
    name_list *l = payload;
    (void)group, (void)info;
    l->rc = keep_name(l, name);
    return l->rc == UM_OK ? 0 : -1;
}

static herr_t on_attribute(hid_t owner, const char *name, const H5A_info_t *info, void *payload)
{
    name_list *l = payload;
    (void)owner, (void)info;
    l->rc = keep_name(l, name);
    return l->rc == UM_OK ? 0 : -1;
}

um_status um_h5_list_attrs(um_h5 *f, const char *object, char ***out, size_t *n_out)
{
    um_status rc = UM_OK;
    name_list l = {0};
    hsize_t at = 0;
    hid_t id = -1;
    UM_TRY_H5(f, "open", object, id = H5Oopen(f->file, object, H5P_DEFAULT));
    herr_t walked = H5Aiterate2(id, H5_INDEX_NAME, H5_ITER_NATIVE, &at, on_attribute, &l);
    UM_TRY(l.rc);
    UM_TRY_H5(f, "list the attributes of", object, walked);
    *out = l.names;
    *n_out = l.n;
    l.names = NULL;
done:
    if (l.names)
        um_names_free(l.names, l.n);
    um_h5_drop(id);
    return rc;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the file's own order, sorted here: for a sorted walk HDF5 1.10 makes a table of its own, and frees what it never filled in when the
 * group is damaged. */
um_status um_h5_list(um_h5 *f, const char *group, char ***out, size_t *n_out)
{
    um_status rc = UM_OK;
    name_list l = {0};
    hid_t id = -1;
    UM_TRY_H5(f, "open group", group, id = H5Gopen2(f->file, group, H5P_DEFAULT));
    herr_t walked = H5Literate(id, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, on_link, &l);
    UM_TRY(l.rc);
    UM_TRY_H5(f, "list", group, walked);
    if (l.n > 1)
        qsort(l.names, l.n, sizeof *l.names, by_bytes);
    *out = l.names;
    *n_out = l.n;
    l.names = NULL;
done:
    if (l.names)
        um_names_free(l.names, l.n);
    um_h5_drop(id);
    return rc;
}
