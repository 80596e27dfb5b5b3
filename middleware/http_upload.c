/* A whole upload: fields in memory, files on disk or in memory, gone with the exchange unless they are kept. */
#include <causeway/error.h>
#include <causeway/log.h>
#include <causeway/middleware/http_multipart.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILES_MAX_DEFAULT = 10,
    MEMORY_MAX_DEFAULT = 1048576,
    FIRST_ROOM = 256,
    PROC_PATH = 40,
};

static const char temporary[] = "/.upload-XXXXXX";

/* A field or a file. */
struct item {
    struct item *next;
    struct cw_http_file file; /* of a field: name and data */
    bool is_file;
    bool kept;
    uint8_t *bytes; /* in memory */
    size_t cap;
    char *path;   /* on disk under a name of its own; NULL: it has none */
    char texts[]; /* name, filename, type */
};

struct cw_http_upload {
    const char *directory;
    uint64_t files_max;
    uint64_t memory_max;
    void (*on_progress)(struct cw_http_exchange *http, uint64_t bytes, void *user);
    cw_http_upload_fn fn;
    void *user;
    struct item *first;
    struct item **end; /* where the next one goes */
    struct item *item; /* under way */
    uint64_t files;
    uint64_t memory;
    uint64_t bytes;
};

/* ---- files ---- */

static int write_all(int fd, struct cw_span bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.data, bytes.len);
        if (n < 0 && errno != EINTR) {
            return cw_error_from_errno(errno);
        }
        if (n > 0) {
            bytes = cw_span_of(bytes.data + n, bytes.len - (size_t)n);
        }
    }
    return CW_OK;
}

/* One without a name goes by itself, even when the process is killed. To be named later it takes /proc. */
static int open_unnamed(const char *directory)
{
    if (access("/proc/self/fd", X_OK) != 0) {
        return -1;
    }
    return open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
}

static int open_named(const char *directory, char **path)
{
    size_t len = strlen(directory);

    *path = cw_alloc(len + sizeof temporary);
    if (*path == NULL) {
        errno = ENOMEM;
        return -1;
    }
    memcpy(*path, directory, len);
    memcpy(*path + len, temporary, sizeof temporary);
    int fd = mkostemp(*path, O_CLOEXEC); /* O_EXCL, 0600 */
    if (fd < 0) {
        cw_release(*path);
        *path = NULL;
    }
    return fd;
}

static int open_file(const char *directory, struct item *item)
{
    item->file.fd = open_unnamed(directory);
    if (item->file.fd < 0) {
        item->file.fd = open_named(directory, &item->path);
    }
    return item->file.fd < 0 ? CW_EOS : CW_OK;
}

static void free_item(struct item *item)
{
    if (item->file.fd >= 0) {
        close(item->file.fd);
    }
    if (item->path != NULL) {
        (void)unlink(item->path);
        cw_release(item->path);
    }
    cw_release(item->bytes);
    cw_release(item);
}

/* ---- parts ---- */

static char *put_text(char **to, const char *text)
{
    char *put = *to;
    size_t len = strlen(text) + 1;

    memcpy(put, text, len);
    *to += len;
    return put;
}

static struct item *new_item(const struct cw_http_part *part)
{
    const char *filename = part->filename == NULL ? "" : part->filename;
    size_t texts = strlen(part->name) + strlen(filename) + strlen(part->type) + 3;
    struct item *item = cw_alloc_zero(sizeof *item + texts);

    if (item != NULL) {
        char *to = item->texts;
        item->is_file = part->filename != NULL;
        item->file.fd = -1;
        item->file.name = put_text(&to, part->name);
        item->file.filename = put_text(&to, filename);
        item->file.type = put_text(&to, part->type);
    }
    return item;
}

static int refuse(struct cw_http_exchange *http, int status, const char *text)
{
    (void)cw_http_reply_error(http, status, text);
    return status;
}

static int refuse_disk(struct cw_http_exchange *http, const struct cw_http_upload *upload)
{
    int error = errno;

    cw_log(CW_LOG_ERROR, cw_conn_id(cw_http_conn(http)), "upload: %s: %s", upload->directory,
           strerror(error));
    return refuse(http, error == ENOSPC || error == EDQUOT || error == EFBIG ? 507 : 500, NULL);
}

static int on_part(struct cw_http_exchange *http, const struct cw_http_part *part, void *user)
{
    struct cw_http_upload *upload = user;

    upload->item = new_item(part);
    return upload->item == NULL ? 500 : 0;
}

/* Opened with the first byte, or at the end of an empty file: a form may have places for files that nobody chose. */
static int begin_file(struct cw_http_exchange *http, struct cw_http_upload *upload)
{
    if (upload->files == upload->files_max) {
        return refuse(http, 413, "The body has too many files");
    }
    upload->files++;
    if (upload->directory != NULL && open_file(upload->directory, upload->item) < 0) {
        return refuse_disk(http, upload);
    }
    return 0;
}

static int grow(struct item *item, size_t needed)
{
    size_t cap = item->cap == 0 ? FIRST_ROOM : item->cap;

    while (cap < needed) {
        cap *= 2;
    }
    uint8_t *bytes = cap == item->cap ? item->bytes : cw_resize(item->bytes, cap);
    if (bytes == NULL) {
        return CW_ENOMEM;
    }
    item->bytes = bytes;
    item->cap = cap;
    return CW_OK;
}

static int keep_in_memory(struct cw_http_exchange *http, struct cw_http_upload *upload,
                          struct cw_span piece)
{
    struct item *item = upload->item;

    if (piece.len > upload->memory_max - upload->memory) {
        return refuse(http, 413, "The fields, or files kept in memory, are too long");
    }
    upload->memory += piece.len;
    if (grow(item, item->file.size + piece.len + 1) < 0) {
        return 500;
    }
    memcpy(item->bytes + item->file.size, piece.data, piece.len);
    item->bytes[item->file.size + piece.len] = '\0';
    return 0;
}

static int on_data(struct cw_http_exchange *http, const struct cw_http_part *part,
                   struct cw_span piece, void *user)
{
    struct cw_http_upload *upload = user;
    struct item *item = upload->item;
    int status = item->is_file && item->file.size == 0 ? begin_file(http, upload) : 0;

    if (status == 0 && item->file.fd < 0) {
        status = keep_in_memory(http, upload, piece);
    } else if (status == 0 && write_all(item->file.fd, piece) < 0) {
        status = refuse_disk(http, upload);
    }
    item->file.size += piece.len;
    upload->bytes += piece.len;
    if (status == 0 && upload->on_progress != NULL) {
        upload->on_progress(http, upload->bytes, upload->user);
    }
    return status;
}

static int finish_item(struct cw_http_exchange *http, struct cw_http_upload *upload)
{
    struct item *item = upload->item;
    int status = item->is_file && item->file.size == 0 ? begin_file(http, upload) : 0;

    if (status == 0 && item->file.fd >= 0) {
        return lseek(item->file.fd, 0, SEEK_SET) == 0 ? 0 : refuse_disk(http, upload);
    }
    item->file.data =
        item->bytes == NULL ? cw_span_text("") : cw_span_of(item->bytes, item->file.size);
    return status;
}

static int on_part_end(struct cw_http_exchange *http, const struct cw_http_part *part, void *user)
{
    struct cw_http_upload *upload = user;
    struct item *item = upload->item;

    if (item->is_file && item->file.size == 0 && item->file.filename[0] == '\0') {
        upload->item = NULL;
        free_item(item); /* nobody chose a file */
        return 0;
    }
    int status = finish_item(http, upload);
    if (status == 0) {
        *upload->end = item;
        upload->end = &item->next;
        upload->item = NULL;
    }
    return status;
}

static void free_items(struct cw_http_upload *upload)
{
    struct item *item = upload->first;

    if (upload->item != NULL) {
        free_item(upload->item);
    }
    while (item != NULL) {
        struct item *next = item->next;
        free_item(item);
        item = next;
    }
    upload->item = NULL;
    upload->first = NULL;
    upload->end = &upload->first;
}

static void on_done(struct cw_http_exchange *http, int code, void *user)
{
    struct cw_http_upload *upload = user;

    upload->directory = NULL; /* borrowed until here */
    if (code == CW_OK) {
        upload->fn(http, upload, upload->user);
    } else {
        free_items(upload);
    }
}

static void on_exchange_done(struct cw_http_exchange *http, const struct cw_http_outcome *outcome,
                             void *user)
{
    free_items(user);
}

/* ---- beginning ---- */

static const struct cw_http_multipart_hooks hooks = {
    .on_part = on_part, .on_data = on_data, .on_part_end = on_part_end, .on_done = on_done};

static uint64_t or_default(uint64_t limit, uint64_t standard)
{
    return limit == 0 ? standard : limit;
}

int cw_http_read_upload(struct cw_http_exchange *http, const struct cw_http_upload_options *options,
                        cw_http_upload_fn fn, void *user)
{
    const struct cw_http_upload_options none = {0};
    const struct cw_http_upload_options *chosen = options == NULL ? &none : options;
    struct cw_http_upload *upload = cw_http_alloc(http, sizeof *upload);

    if (upload == NULL || cw_http_on_done(http, on_exchange_done, upload) < 0) {
        (void)cw_http_reply_error(http, 500, NULL);
        return CW_ENOMEM;
    }
    *upload = (struct cw_http_upload){
        .directory = chosen->directory,
        .files_max = or_default(chosen->files_max, FILES_MAX_DEFAULT),
        .memory_max = or_default(chosen->memory_max_bytes, MEMORY_MAX_DEFAULT),
        .on_progress = chosen->on_progress,
        .fn = fn,
        .user = user,
        .end = &upload->first,
    };
    return cw_http_read_multipart(http, &chosen->limits, &hooks, upload);
}

/* ---- asking ---- */

/* The next of its kind; NULL: no more. */
static const struct item *find(const struct cw_http_upload *upload, bool is_file, const char *name,
                               size_t *at)
{
    size_t index = 0;

    for (const struct item *item = upload->first; item != NULL; item = item->next, index++) {
        if (index >= *at && item->is_file == is_file &&
            (name == NULL || strcmp(item->file.name, name) == 0)) {
            *at = index + 1;
            return item;
        }
    }
    *at = index;
    return NULL;
}

struct cw_span cw_http_upload_value_next(const struct cw_http_upload *upload, const char *name,
                                         size_t *at)
{
    const struct item *item = find(upload, false, name, at);

    return item == NULL ? (struct cw_span){NULL, 0} : item->file.data;
}

const struct cw_http_file *cw_http_upload_file_next(const struct cw_http_upload *upload,
                                                    const char *name, size_t *at)
{
    const struct item *item = find(upload, true, name, at);

    return item == NULL ? NULL : &item->file;
}

struct cw_span cw_http_upload_value(const struct cw_http_upload *upload, const char *name)
{
    size_t at = 0;

    return cw_http_upload_value_next(upload, name, &at);
}

const struct cw_http_file *cw_http_upload_file(const struct cw_http_upload *upload, const char *name)
{
    size_t at = 0;

    return cw_http_upload_file_next(upload, name, &at);
}

/* ---- keeping ---- */

static int error_of_path(void)
{
    return errno == EEXIST ? CW_EINVAL : cw_error_from_errno(errno);
}

/* A link never takes the place of what is there, as a rename would. */
static int link_file(struct item *item, const char *path)
{
    char own[PROC_PATH];

    if (item->path != NULL) {
        if (link(item->path, path) != 0) {
            return error_of_path();
        }
        (void)unlink(item->path);
        cw_release(item->path);
        item->path = NULL;
        return CW_OK;
    }
    snprintf(own, sizeof own, "/proc/self/fd/%d", item->file.fd);
    return linkat(AT_FDCWD, own, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 ? CW_OK : error_of_path();
}

static int write_file(const struct item *item, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);

    if (fd < 0) {
        return error_of_path();
    }
    int code = write_all(fd, item->file.data);
    int error = errno;
    if (close(fd) != 0 && code == CW_OK) {
        error = errno;
        code = cw_error_from_errno(error);
    }
    if (code < 0) {
        (void)unlink(path);
        errno = error;
    }
    return code;
}

static struct item *item_of(struct cw_http_upload *upload, const struct cw_http_file *file)
{
    struct item *item = upload->first;

    while (item != NULL && &item->file != file) {
        item = item->next;
    }
    return item;
}

int cw_http_upload_keep(struct cw_http_upload *upload, const struct cw_http_file *file,
                        const char *path)
{
    struct item *item = item_of(upload, file);

    if (item == NULL || item->kept) {
        return CW_ESTATE;
    }
    int code = item->file.fd >= 0 ? link_file(item, path) : write_file(item, path);
    item->kept = code == CW_OK;
    return code;
}
