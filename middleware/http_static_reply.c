#include "http_static_dir.h"
#include "http_static_parts.h"

#include <causeway/error.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* One file on its way to one answer. */
struct errand {
    struct cw_http_exchange *http;
    struct cw_http_dir *dir;
    struct cw_static_found *found;
    const char *type;
    bool gets;
    bool fresh;
    struct timespec now;
    char etag[CW_STATIC_ETAG_SIZE];
};

/* ---- finding ---- */

const char *cw_static_join(struct cw_http_exchange *http, const char *path, const char *behind)
{
    size_t size = strlen(path) + strlen(behind) + 1;
    char *joined = cw_http_alloc(http, size);

    if (joined) {
        snprintf(joined, size, "%s%s", path, behind);
    }
    return joined;
}

int cw_static_find(struct cw_http_dir *dir, const char *path, struct cw_static_found *found)
{
    struct stat status;
    int fd = cw_beneath_open(dir->beneath, path, &status);

    if (fd < 0) {
        return fd;
    }
    if (S_ISDIR(status.st_mode)) {
        close(fd);
        return CW_STATIC_FOLDER;
    }
    *found = (struct cw_static_found){
        .fd = fd,
        .version = {.size = (uint64_t)status.st_size,
                    .inode = (uint64_t)status.st_ino,
                    .modified_s = status.st_mtim.tv_sec,
                    .modified_ns = status.st_mtim.tv_nsec,
                    .suffix = ""},
    };
    return CW_OK;
}

/* ---- precompressed ---- */

static bool is_older(const struct cw_static_version *one, const struct cw_static_version *other)
{
    return one->modified_s < other->modified_s ||
           (one->modified_s == other->modified_s && one->modified_ns < other->modified_ns);
}

/* Puts path.suffix in place of path, if it is there and made of what path is now. */
static bool replace(struct errand *errand, const char *path, const char *suffix)
{
    const char *name = cw_static_join(errand->http, path, suffix);
    struct cw_static_found other;

    if (!name || cw_static_find(errand->dir, name, &other) != CW_OK) {
        return false;
    }
    other.version.suffix = suffix;
    if (is_older(&other.version, &errand->found->version)) {
        close(other.fd);
        return false;
    }
    close(errand->found->fd);
    *errand->found = other;
    return true;
}

static void choose_coding(struct errand *errand, const char *path)
{
    static const char *const codings[][2] = {{"br", ".br"}, {"gzip", ".gz"}};
    struct cw_span accepts = cw_http_field_list(errand->http, "Accept-Encoding");
    int plain = cw_http_quality("Accept-Encoding", accepts, "identity");
    int first = cw_http_quality("Accept-Encoding", accepts, "br") >=
                        cw_http_quality("Accept-Encoding", accepts, "gzip")
                    ? 0
                    : 1;

    for (int i = 0; accepts.data && i < 2; i++) {
        const char *const *coding = codings[first ^ i];
        int quality = cw_http_quality("Accept-Encoding", accepts, coding[0]);

        if (quality > 0 && quality >= plain && replace(errand, path, coding[1])) {
            errand->found->coding = coding[0];
            return;
        }
    }
}

/* ---- the head ---- */

static void set_head(struct errand *errand)
{
    struct cw_http_exchange *http = errand->http;
    const struct cw_static_version *version = &errand->found->version;
    const char *cache = errand->fresh ? "no-cache" : errand->dir->cache_control;
    /* RFC 9110 §8.8.2.1: not later than the answer. */
    int64_t modified_s =
        version->modified_s < errand->now.tv_sec ? version->modified_s : errand->now.tv_sec;
    char date[CW_HTTP_DATE_SIZE];

    cw_http_print_date(modified_s, date);
    (void)cw_http_set_field(http, "ETag", errand->etag);
    (void)cw_http_set_field(http, "Last-Modified", date);
    if (cache[0] && !cw_http_reply_field(http, "Cache-Control").data) {
        (void)cw_http_set_field(http, "Cache-Control", cache);
    }
}

static void set_whole_head(struct errand *errand)
{
    bool ranges = errand->dir->options.ranges_max != CW_OFF;

    set_head(errand);
    (void)cw_http_set_field(errand->http, "Accept-Ranges", ranges ? "bytes" : "none");
    (void)cw_http_set_field(errand->http, "X-Content-Type-Options", "nosniff");
    if (errand->found->coding) {
        (void)cw_http_set_field(errand->http, "Content-Encoding", errand->found->coding);
    }
}

/* Another answer will follow. */
static void forget_head(struct cw_http_exchange *http)
{
    static const char *const names[] = {"ETag",          "Last-Modified", "Cache-Control",
                                        "Accept-Ranges", "Content-Range", "Content-Encoding"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)cw_http_set_field(http, names[i], NULL);
    }
}

/* ---- the body ---- */

static int send_range(struct errand *errand, int status, const struct cw_http_range *range)
{
    const struct cw_file_range bytes = {errand->found->fd, range->first, range->len};

    return cw_http_reply_file(errand->http, status, errand->type, &bytes);
}

static int send_whole(struct errand *errand)
{
    const struct cw_http_range all = {0, errand->found->version.size};

    set_whole_head(errand);
    return send_range(errand, 200, &all);
}

static int send_one(struct errand *errand, const struct cw_http_range *range)
{
    set_whole_head(errand);
    (void)cw_http_set_fieldf(errand->http, "Content-Range", "bytes %llu-%llu/%llu",
                             (unsigned long long)range->first,
                             (unsigned long long)(range->first + range->len - 1),
                             (unsigned long long)errand->found->version.size);
    return send_range(errand, 206, range);
}

/* Not to be guessed by who writes the file: what it holds would else pass for a border. */
static void print_boundary(const struct errand *errand, char boundary[CW_STATIC_BOUNDARY_MAX])
{
    struct cw_http_id id = cw_http_id(errand->http);
    struct {
        struct timespec now;
        struct cw_http_id id;
    } unique;

    memset(&unique, 0, sizeof unique);
    unique.now = errand->now;
    unique.id = id;
    snprintf(boundary, CW_STATIC_BOUNDARY_MAX, "causeway-%016llx",
             (unsigned long long)cw_hash(&errand->dir->seed, cw_span_of(&unique, sizeof unique)));
}

static int send_several(struct errand *errand, const struct cw_http_range *ranges, size_t count)
{
    char boundary[CW_STATIC_BOUNDARY_MAX];
    char type[CW_STATIC_BOUNDARY_MAX + 32];
    struct cw_static_whole whole = {errand->found->fd, errand->found->version.size, errand->type,
                                    boundary};
    struct cw_static_parts *parts;

    print_boundary(errand, boundary);
    parts = cw_static_parts_new(&whole, ranges, count);
    if (!parts) {
        return CW_ENOMEM;
    }
    errand->found->fd = -1;
    set_whole_head(errand);
    snprintf(type, sizeof type, "multipart/byteranges; boundary=%s", boundary);
    return cw_http_reply_source(errand->http, 206, type, cw_static_parts_length(parts),
                                cw_static_parts_pull, cw_static_parts_done, parts);
}

static int refuse_range(struct errand *errand)
{
    (void)cw_http_set_fieldf(errand->http, "Content-Range", "bytes */%llu",
                             (unsigned long long)errand->found->version.size);
    return cw_http_reply_error(errand->http, 416, NULL);
}

static int send_asked(struct errand *errand, const struct cw_http_conditions *conditions,
                      struct cw_http_validators *state)
{
    struct cw_http_range ranges[CW_STATIC_RANGES_MAX];
    uint64_t most = errand->dir->options.ranges_max;
    int count = 0;

    if (!cw_static_time_is_strong(&errand->found->version, errand->now.tv_sec)) {
        state->modified_s = INT64_MIN;
    }
    if (errand->gets && most != CW_OFF) {
        count =
            cw_http_ranges(conditions, state, errand->found->version.size, ranges, (size_t)most);
    }
    if (count < 0) {
        return refuse_range(errand);
    }
    if (count == 0) {
        return send_whole(errand);
    }
    return count == 1 ? send_one(errand, ranges) : send_several(errand, ranges, (size_t)count);
}

/* ---- conditions ---- */

static struct cw_http_conditions conditions_of(struct cw_http_exchange *http)
{
    return (struct cw_http_conditions){
        .if_match = cw_http_field_list(http, "If-Match"),
        .if_none_match = cw_http_field_list(http, "If-None-Match"),
        .if_modified_since = cw_http_field(http, "If-Modified-Since"),
        .if_unmodified_since = cw_http_field(http, "If-Unmodified-Since"),
        .if_range = cw_http_field(http, "If-Range"),
        .range = cw_http_field(http, "Range"),
    };
}

static int send_judged(struct errand *errand)
{
    struct cw_http_conditions conditions = conditions_of(errand->http);
    struct cw_http_validators state = {
        .etag = errand->etag, .modified_s = errand->found->version.modified_s, .exists = true};
    int status = cw_http_judge(&conditions, &state, true, errand->now.tv_sec);

    if (status == 304) {
        set_head(errand);
        return cw_http_reply_empty(errand->http, status);
    }
    return status != 0 ? cw_http_reply_error(errand->http, status, NULL)
                       : send_asked(errand, &conditions, &state);
}

/* ---- shared ---- */

static const char *type_of(const struct cw_http_dir *dir, const char *name)
{
    const struct cw_http_static_options *options = &dir->options;
    const char *type = options->type_of ? options->type_of(name, options->user) : NULL;

    return type ? type : cw_http_type_of(name);
}

int cw_static_reply(struct cw_http_exchange *http, struct cw_http_dir *dir, const char *path,
                    struct cw_static_found *found, bool fresh)
{
    struct cw_span method = cw_http_method(http);
    struct errand errand = {
        .http = http,
        .dir = dir,
        .found = found,
        .type = type_of(dir, cw_static_base(path)),
        .gets = cw_span_equal(method, cw_span_text("GET")),
        .fresh = fresh,
    };
    int error;

    clock_gettime(CLOCK_REALTIME, &errand.now);
    if (dir->options.precompressed && cw_http_type_compresses(cw_span_text(errand.type))) {
        (void)cw_http_add_to_list(http, "Vary", "Accept-Encoding");
        choose_coding(&errand, path);
    }
    cw_static_print_etag(&found->version, errand.now.tv_sec, errand.now.tv_nsec, errand.etag);
    /* What conditions mean to other methods is their handler's own affair. */
    error = errand.gets || cw_span_equal(method, cw_span_text("HEAD")) ? send_judged(&errand)
                                                                       : send_whole(&errand);
    if (found->fd >= 0) {
        close(found->fd);
    }
    if (error < 0) {
        forget_head(http);
    }
    return error;
}
