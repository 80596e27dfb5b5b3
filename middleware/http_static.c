#include "http_static_dir.h"
#include "http_static_parts.h"

#include <causeway/error.h>
#include <causeway/http_middleware.h>
#include <causeway/log.h>
#include <causeway/parts.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    RANGES_STANDARD = 16,
    LIST_STANDARD = 1000,
    LIST_MOST = 100000,
    WHY_MAX = 160,
};

static const uint64_t age_most_s = 100ull * 365 * 24 * 3600;

/* ---- options ---- */

static int complain(char *why, int code, const char *what)
{
    snprintf(why, WHY_MAX, "%s", what);
    return code;
}

static int check_numbers(struct cw_http_static_options *options, char *why)
{
    if (options->ranges_max != CW_OFF && options->ranges_max > CW_STATIC_RANGES_MAX) {
        return complain(why, CW_EINVAL, "ranges_max: at most 64, or CW_OFF, is allowed");
    }
    if (options->list_max > LIST_MOST) {
        return complain(why, CW_EINVAL, "list_max: at most 100000 is allowed");
    }
    if (options->max_age_s != CW_OFF && options->max_age_s > age_most_s) {
        return complain(why, CW_EINVAL, "max_age_s: at most 3153600000, or CW_OFF, is allowed");
    }
    if (options->immutable && (options->max_age_s == 0 || options->max_age_s == CW_OFF)) {
        return complain(why, CW_EINVAL, "immutable: needs max_age_s");
    }
    options->ranges_max = options->ranges_max ? options->ranges_max : RANGES_STANDARD;
    options->list_max = options->list_max ? options->list_max : LIST_STANDARD;
    return CW_OK;
}

static void word_cache_control(struct cw_http_dir *dir)
{
    const struct cw_http_static_options *options = &dir->options;

    if (options->max_age_s == 0) {
        snprintf(dir->cache_control, sizeof dir->cache_control, "no-cache");
    } else if (options->max_age_s != CW_OFF) {
        snprintf(dir->cache_control, sizeof dir->cache_control, "public, max-age=%llu%s",
                 (unsigned long long)options->max_age_s, options->immutable ? ", immutable" : "");
    }
}

/* Parts the list of names where it stands. */
static int part_index(struct cw_http_dir *dir, char *list, char *why)
{
    size_t count = 0;

    for (char *name; (name = strsep(&list, ", \t")) != NULL;) {
        if (name[0] == '\0') {
            continue;
        }
        if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
            return complain(why, CW_EINVAL, "index: names of files, without a slash");
        }
        if (count == CW_STATIC_INDEX_MAX) {
            return complain(why, CW_EINVAL, "index: at most 8 names are allowed");
        }
        dir->index[count++] = name;
    }
    return CW_OK;
}

static int copy_texts(struct cw_http_dir *dir, char *why)
{
    struct cw_http_static_options *options = &dir->options;
    const char *index = options->index ? options->index : "index.html";
    const char *fallback = options->fallback ? options->fallback : "";
    size_t index_size = strlen(index) + 1;
    size_t fallback_size = strlen(fallback) + 1;

    dir->texts = cw_alloc(index_size + fallback_size);
    if (!dir->texts) {
        return complain(why, CW_ENOMEM, cw_strerror(CW_ENOMEM));
    }
    memcpy(dir->texts, index, index_size);
    memcpy(dir->texts + index_size, fallback, fallback_size);
    if (options->fallback && (fallback[0] == '\0' || fallback[0] == '/')) {
        return complain(why, CW_EINVAL, "fallback: a file's path, without a slash at its begin");
    }
    options->index = NULL;
    options->fallback = options->fallback ? dir->texts + index_size : NULL;
    return part_index(dir, dir->texts, why);
}

static int set_up(struct cw_http_dir *dir, const char *directory, char *why)
{
    int error = check_numbers(&dir->options, why);

    if (error == CW_OK) {
        error = copy_texts(dir, why);
    }
    if (error == CW_OK) {
        error = cw_hash_seed(&dir->seed);
    }
    if (error == CW_OK && (!directory || directory[0] == '\0')) {
        return complain(why, CW_EINVAL, "no directory was named");
    }
    if (error == CW_OK) {
        dir->beneath = cw_beneath_new(directory, dir->options.symlinks, &error);
    }
    if (error < 0 && why[0] == '\0') {
        snprintf(why, WHY_MAX, "%.100s: %s", directory, cw_strerror(error));
    }
    word_cache_control(dir);
    return error;
}

static struct cw_http_dir *make_dir(const char *directory,
                                    const struct cw_http_static_options *options, int *error,
                                    char *why)
{
    struct cw_http_dir *dir = cw_alloc_zero(sizeof *dir);

    why[0] = '\0';
    if (!dir) {
        *error = complain(why, CW_ENOMEM, cw_strerror(CW_ENOMEM));
        return NULL;
    }
    if (options) {
        dir->options = *options;
    }
    *error = set_up(dir, directory, why);
    if (*error < 0) {
        cw_http_dir_free(dir);
        return NULL;
    }
    return dir;
}

/* ---- a request ---- */

/* A file and nothing else. */
static int reply_file(struct cw_http_exchange *http, struct cw_http_dir *dir, const char *path,
                      bool fresh)
{
    struct cw_static_found found;
    int error = cw_static_find(dir, path, &found);

    if (error == CW_STATIC_FOLDER) {
        return CW_ENOTFOUND;
    }
    return error < 0 ? error : cw_static_reply(http, dir, path, &found, fresh);
}

/* To the same with a slash behind it, so that links on its page lead where they should. Made of the path that was
 * understood: it has one slash at its begin, and so names no other host. */
static int redirect(struct cw_http_exchange *http)
{
    struct cw_span query = cw_http_query_string(http);
    struct cw_static_text to = {0};
    int error = CW_ENOMEM;

    cw_static_put_path(&to, (const char *)cw_http_path(http).data);
    cw_static_put_text(&to, "/");
    if (query.data) {
        cw_static_put_text(&to, "?");
        cw_static_put(&to, (const char *)query.data, query.len);
    }
    cw_static_put(&to, "", 1);
    if (!to.failed) {
        error = cw_http_redirect(http, 301, to.data);
    }
    cw_static_text_release(&to);
    return error;
}

/* path: "" or with a slash at its end. */
static int reply_folder(struct cw_http_exchange *http, struct cw_http_dir *dir, const char *path)
{
    for (const char *const *name = dir->index; *name; name++) {
        const char *index = cw_static_join(http, path, *name);
        int error = index ? reply_file(http, dir, index, false) : CW_ENOMEM;

        if (error != CW_ENOTFOUND) {
            return error;
        }
    }
    return dir->options.list ? cw_static_list(http, dir, path) : CW_ENOTFOUND;
}

static bool ends_in_slash(struct cw_span path)
{
    return path.len > 0 && path.data[path.len - 1] == '/';
}

static int reply_any(struct cw_http_exchange *http, struct cw_http_dir *dir, const char *path)
{
    struct cw_static_found found;
    int kind = cw_static_find(dir, path, &found);

    if (kind == CW_STATIC_FOLDER) {
        return ends_in_slash(cw_http_path(http)) ? reply_folder(http, dir, path) : redirect(http);
    }
    return kind < 0 ? kind : cw_static_reply(http, dir, path, &found, false);
}

/* Whether somebody asks for a page, and not for a script or picture that is missing: those would be handed a page that they
 * cannot use. */
static bool wants_page(struct cw_http_exchange *http, const char *path)
{
    struct cw_span accepts = cw_http_field_list(http, "Accept");
    struct cw_span element;

    if (!strchr(cw_static_base(path), '.')) {
        return true;
    }
    while (cw_http_list_next(&accepts, &element)) {
        if (cw_http_equal(cw_http_without_parameters(element), "text/html")) {
            return true;
        }
    }
    return false;
}

static int answer(struct cw_http_exchange *http, struct cw_http_dir *dir)
{
    struct cw_span rest = cw_http_param(http, "path");
    const char *path = rest.data ? (const char *)rest.data : "";
    int error;

    if (!cw_static_may_ask(rest, dir->options.dotfiles)) {
        return CW_ENOTFOUND;
    }
    error = reply_any(http, dir, path);
    if (error == CW_ENOTFOUND && dir->options.fallback && wants_page(http, path)) {
        error = reply_file(http, dir, dir->options.fallback, true);
    }
    return error;
}

static int status_of(int error)
{
    switch (error) {
    case CW_ENOTFOUND:
        return 404;
    case CW_EACCESS:
        return 403;
    case CW_EDESCRIPTORS:
    case CW_ENOMEM:
    case CW_EAGAIN:
        return 503;
    default:
        return 500;
    }
}

static void serve(struct cw_http_exchange *http, void *user)
{
    int error = answer(http, user);

    if (error < 0) {
        (void)cw_http_reply_error(http, status_of(error), NULL);
    }
}

/* ---- routes ---- */

static void drop_dir(void *user)
{
    cw_http_dir_free(user);
}

/* `GET prefix/` and all that follows. NULL: no memory. */
static char *word_pattern(const char *prefix)
{
    size_t len = strlen(prefix);
    size_t size;
    char *pattern;

    while (len > 0 && prefix[len - 1] == '/') {
        len--;
    }
    size = len + sizeof "GET /*path";
    pattern = cw_alloc(size);
    if (pattern) {
        snprintf(pattern, size, "GET %.*s/*path", (int)len, prefix);
    }
    return pattern;
}

/* Where a directory is served: at a server, or in a group of one. */
struct place {
    struct cw_server *server; /* NULL: in the group */
    struct cw_http_group *group;
    const char *prefix;
};

static int add_route(const struct place *place, struct cw_http_dir *dir)
{
    const struct cw_http_route_options options = {.drop = drop_dir};
    char *pattern = word_pattern(place->prefix);
    int error;

    if (!pattern) {
        cw_http_dir_free(dir);
        return CW_ENOMEM;
    }
    error = place->server ? cw_http_route_with(place->server, pattern, serve, dir, &options)
                          : cw_http_group_route(place->group, pattern, serve, dir, &options);
    cw_release(pattern);
    return error;
}

int cw_http_static(struct cw_server *server, const char *prefix, const char *directory,
                   const struct cw_http_static_options *options)
{
    const struct place place = {server, NULL, prefix ? prefix : ""};
    char why[WHY_MAX];
    int error = cw_server_check_set_up(server, "cw_http_static");

    if (error < 0) {
        return error;
    }

    struct cw_http_dir *dir = make_dir(directory, options, &error, why);

    return dir ? add_route(&place, dir)
               : cw_server_complain(server, error, "cw_http_static %.60s: %s", place.prefix, why);
}

/* ---- what a group cannot say ---- */

/* A group does not tell its server; but its middleware is asked when the server starts. */
struct refusal {
    struct cw_http_middleware table;
    int error;
    char why[WHY_MAX];
};

static int refuse_start(struct cw_http_middleware *self, struct cw_server *server,
                        const char *prefix)
{
    const struct refusal *refusal = (const struct refusal *)self;

    return cw_server_complain(server, refusal->error, "cw_http_group_static: %s", refusal->why);
}

static void release_refusal(struct cw_http_middleware *self)
{
    cw_release(self);
}

static int refuse(struct cw_http_group *group, int error, const char *why)
{
    struct refusal *refusal = cw_alloc_zero(sizeof *refusal);

    if (refusal) {
        refusal->table = (struct cw_http_middleware){
            .name = "static", .start = refuse_start, .release = release_refusal};
        refusal->error = error;
        snprintf(refusal->why, sizeof refusal->why, "%s", why);
    }
    (void)cw_http_group_use(group, refusal ? &refusal->table : NULL);
    return error;
}

int cw_http_group_static(struct cw_http_group *group, const char *prefix, const char *directory,
                         const struct cw_http_static_options *options)
{
    const struct place place = {NULL, group, prefix ? prefix : ""};
    char why[WHY_MAX];
    int error = CW_OK;
    struct cw_http_dir *dir = make_dir(directory, options, &error, why);

    return dir ? add_route(&place, dir) : refuse(group, error, why);
}

/* ---- from handlers ---- */

struct cw_http_dir *cw_http_dir_new(const char *directory,
                                    const struct cw_http_static_options *options)
{
    char why[WHY_MAX];
    int error = CW_OK;
    struct cw_http_dir *dir = make_dir(directory, options, &error, why);

    if (!dir) {
        cw_log(CW_LOG_ERROR, 0, "cw_http_dir_new: %s", why);
    }
    return dir;
}

void cw_http_dir_free(struct cw_http_dir *dir)
{
    if (dir) {
        cw_beneath_free(dir->beneath);
        cw_release(dir->texts);
        cw_release(dir);
    }
}

int cw_http_reply_path(struct cw_http_exchange *http, struct cw_http_dir *dir, const char *path)
{
    if (!cw_static_may_ask(cw_span_text(path), dir->options.dotfiles)) {
        return CW_ENOTFOUND;
    }
    return reply_file(http, dir, path, false);
}
