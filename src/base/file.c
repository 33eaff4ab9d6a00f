#include "base/file.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_CHUNK = 1 << 16 };

static const char *advice(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT: return "; free some space or choose another folder";
    case EACCES:
    case EPERM:
    case EROFS: return "; check the permissions or choose another folder";
    case ENOENT:
    case ENOTDIR:
    case ELOOP: return "; check the path";
    default: return "";
    }
}

#define FAIL_IO(what, path) um_fail(UM_E_IO, "cannot %s %s: %s%s", (what), (path), strerror(errno), advice(errno))

um_status um_path_join(char **out, const char *dir, const char *name)
{
    um_status rc = UM_OK;
    um_text path = {0};
    bool slash = dir[0] && !um_text_ends_with(dir, "/");
    UM_TRY(um_text_add(&path, "%s%s%s", dir, slash ? "/" : "", name));
    *out = path.data;
done:
    return rc;
}

um_status um_file_part_name(char **out, const char *path)
{
    um_status rc = UM_OK;
    um_text part = {0};
    UM_TRY(um_text_add(&part, "%s.part", path));
    *out = part.data;
done:
    return rc;
}

/* fsync of a file or folder by path. File systems that cannot sync a folder say EINVAL or ENOTSUP, which is no loss of ours. */
static um_status sync_path(const char *path, int flags)
{
    um_status rc = UM_OK;
    int fd = open(path, flags | O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return FAIL_IO("open", path);
    if (fsync(fd) != 0 && !((flags & O_DIRECTORY) && (errno == EINVAL || errno == ENOTSUP)))
        rc = FAIL_IO("sync", path);
    close(fd);
    return rc;
}

static um_status sync_parent(const char *path)
{
    um_status rc = UM_OK;
    char *parent = NULL;
    const char *slash = strrchr(path, '/');
    UM_TRY(um_strdup(&parent, slash ? path : "."));
    if (slash)
        parent[slash == path ? 1 : slash - path] = 0;
    UM_TRY(sync_path(parent, O_DIRECTORY));
done:
    um_free(parent);
    return rc;
}

um_status um_file_commit(const char *path)
{
    um_status rc = UM_OK;
    char *part = NULL;
    UM_TRY(um_file_part_name(&part, path));
    UM_TRY(sync_path(part, 0));
    if (rename(part, path) != 0) {
        rc = FAIL_IO("rename the finished part to", path);
        goto done;
    }
    UM_TRY(sync_parent(path));
done:
    um_free(part);
    return rc;
}

void um_file_discard(const char *path)
{
    char *part = NULL;
    if (um_file_part_name(&part, path) == UM_OK)
        unlink(part);
    um_free(part);
}

static um_status write_all(int fd, const char *path, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return FAIL_IO("write", path);
        data += n;
        bytes -= (size_t)n;
    }
    return UM_OK;
}

um_status um_file_write(const char *path, const void *data, size_t bytes)
{
    um_status rc = UM_OK;
    char *part = NULL;
    int fd = -1;
    UM_TRY(um_file_part_name(&part, path));
    fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        rc = FAIL_IO("create", part);
        goto done;
    }
    UM_TRY(write_all(fd, part, data, bytes));
    UM_TRY(um_file_commit(path));
done:
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && rc != UM_OK)
        um_file_discard(path);
    um_free(part);
    return rc;
}

static um_status too_large(const char *path, size_t max_bytes)
{
    return um_fail(UM_E_DATA, "%s is larger than %zu bytes; this cannot be the file that is meant here", path, max_bytes);
}

/* Reads to the end, whatever the size on record: a file may grow, and /proc and pipes have none. */
static um_status read_all(um_text *out, int fd, const char *path, size_t max_bytes)
{
    um_status rc = UM_OK;
    for (;;) {
        if (out->cap - out->n < 2) {
            UM_TRY(UM_GROW(out->data, out->cap, out->cap + READ_CHUNK + out->cap / 2));
            out->cap += READ_CHUNK + out->cap / 2;
        }
        ssize_t n = read(fd, out->data + out->n, out->cap - out->n - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return FAIL_IO("read", path);
        if ((size_t)n > max_bytes - out->n)
            return too_large(path, max_bytes);
        out->n += (size_t)n;
        if (n == 0)
            break;
    }
    out->data[out->n] = 0;
done:
    return rc;
}

um_status um_file_read(um_text *out, const char *path, size_t max_bytes)
{
    um_status rc = UM_OK;
    um_text text = {0};
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0) {
        rc = FAIL_IO("open", path);
        goto done;
    }
    if (S_ISREG(info.st_mode) && (uint64_t)info.st_size > max_bytes) {
        rc = too_large(path, max_bytes);
        goto done;
    }
    UM_TRY(read_all(&text, fd, path, max_bytes));
    um_text_free(out);
    *out = text;
    text = (um_text){0};
done:
    if (fd >= 0)
        close(fd);
    um_text_free(&text);
    return rc;
}

bool um_file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool um_dir_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static um_status make_one(const char *path, int mode)
{
    if (mkdir(path, (mode_t)mode) == 0)
        return UM_OK;
    int error = errno; /* read-only parents answer EROFS for a folder that exists, so look before refusing */
    if (um_dir_exists(path))
        return UM_OK;
    errno = error;
    if (error == EEXIST)
        return um_fail(UM_E_IO, "cannot make folder %s: a file of that name is in the way; choose another name", path);
    return FAIL_IO("make folder", path);
}

um_status um_dir_make(const char *path, int mode)
{
    um_status rc = UM_OK;
    char *copy = NULL;
    UM_TRY(um_strdup(&copy, path));
    for (char *slash = copy; copy[0] && (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        UM_TRY(make_one(copy, 0777));
        *slash = '/';
    }
    UM_TRY(make_one(path, mode));
done:
    um_free(copy);
    return rc;
}

void um_names_free(char **names, size_t n)
{
    for (size_t i = 0; names && i < n; i++)
        um_free(names[i]);
    um_free(names);
}

static int name_compare(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* All names of an open folder, unsorted. */
static um_status read_names(char ***out, size_t *n_out, DIR *dir, const char *path)
{
    um_status rc = UM_OK;
    char **names = NULL;
    size_t n = 0, cap = 0;
    struct dirent *entry = NULL;
    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (n == cap) {
            UM_TRY(UM_GROW(names, cap, 2 * cap + 16));
            cap = 2 * cap + 16;
        }
        UM_TRY(um_strdup(&names[n], entry->d_name));
        n++;
    }
    if (errno != 0) {
        rc = FAIL_IO("list folder", path);
        goto done;
    }
    *out = names;
    *n_out = n;
    names = NULL;
done:
    um_names_free(names, n);
    return rc;
}

um_status um_dir_list(char ***out, size_t *n, const char *path)
{
    um_status rc = UM_OK;
    DIR *dir = opendir(path);
    if (!dir)
        return FAIL_IO("list folder", path);
    UM_TRY(read_names(out, n, dir, path));
    if (*n > 1)
        qsort(*out, *n, sizeof **out, name_compare);
done:
    closedir(dir);
    return rc;
}

static um_status remove_tree(int parent, const char *name, const char *root);

static um_status remove_entry(int parent, const char *name, const char *root)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return UM_OK;
    if (errno == EISDIR)
        return remove_tree(parent, name, root);
    return FAIL_IO("remove a file in", root);
}

/* Works on folder descriptors, and O_NOFOLLOW refuses links: nothing outside of root is ever touched. */
static um_status remove_tree(int parent, const char *name, const char *root)
{
    um_status rc = UM_OK;
    char **names = NULL;
    size_t n = 0;
    DIR *dir = NULL;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? UM_OK : FAIL_IO("remove folder", root);
    dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return FAIL_IO("remove folder", root);
    }
    UM_TRY(read_names(&names, &n, dir, root));
    for (size_t i = 0; i < n; i++)
        UM_TRY(remove_entry(dirfd(dir), names[i], root));
    if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        rc = FAIL_IO("remove folder", root);
done:
    um_names_free(names, n);
    closedir(dir);
    return rc;
}

um_status um_dir_remove(const char *path)
{
    return remove_tree(AT_FDCWD, path, path);
}
