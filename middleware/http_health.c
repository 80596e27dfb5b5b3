/* Two paths, answered before any route is asked. */
#include <causeway/log.h>
#include <causeway/middleware/http_health.h>

#include <stdatomic.h>

enum { CHECKS_MAX = 64, PATH_MAX_BYTES = 255, NAME_MAX_BYTES = 64 };

struct check {
    char name[NAME_MAX_BYTES + 1];
    bool (*fn)(void *user);
    void *user;
};

struct health {
    struct cw_http_middleware table; /* first: self is both */
    char live_path[PATH_MAX_BYTES + 1];
    char ready_path[PATH_MAX_BYTES + 1];
    char site[PATH_MAX_BYTES + 1]; /* "": any */
    atomic_bool unready;
    size_t check_count;
    struct check checks[];
};

static bool is_path(struct cw_span path, const char *wanted)
{
    return path.len > 0 && cw_span_equal(path, cw_span_text(wanted));
}

static bool is_site(const struct health *health, struct cw_http_exchange *http)
{
    const char *site = cw_http_options_of(http)->site;

    return health->site[0] == '\0' || (site != NULL && strcmp(site, health->site) == 0);
}

/* What stands in the way; NULL: nothing. */
static const char *find_reason(struct health *health, const struct cw_server *server)
{
    if (cw_server_is_stopping(server)) {
        return "stopping";
    }
    if (atomic_load_explicit(&health->unready, memory_order_relaxed)) {
        return "told so";
    }
    for (size_t i = 0; i < health->check_count; i++) {
        const struct check *check = &health->checks[i];
        if (!check->fn(check->user)) {
            return check->name;
        }
    }
    return NULL;
}

static void answer_ready(struct health *health, struct cw_http_exchange *http)
{
    const char *reason = find_reason(health, cw_http_server(http));

    if (reason == NULL) {
        cw_http_reply_text(http, 200, "ready\n");
    } else {
        cw_http_replyf(http, 503, "text/plain; charset=utf-8", "not ready: %s\n", reason);
    }
}

static int on_request(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    struct health *health = (struct health *)self;
    struct cw_span path = cw_http_path(http);
    bool live = is_path(path, health->live_path);

    if ((!live && !is_path(path, health->ready_path)) || !is_site(health, http)) {
        return CW_HTTP_NEXT;
    }
    struct cw_span method = cw_http_method(http);
    if (!cw_span_equal(method, cw_span_text("GET")) &&
        !cw_span_equal(method, cw_span_text("HEAD"))) {
        cw_http_set_field(http, "Allow", "GET, HEAD");
        cw_http_reply_error(http, 405, NULL);
        return CW_HTTP_ANSWERED;
    }
    cw_http_set_field(http, "Cache-Control", "no-store");
    if (live) {
        cw_http_reply_text(http, 200, "alive\n");
    } else {
        answer_ready(health, http);
    }
    return CW_HTTP_ANSWERED;
}

static void release(struct cw_http_middleware *self)
{
    cw_release(self);
}

void cw_http_health_set_ready(struct cw_http_middleware *health, bool ready)
{
    atomic_store_explicit(&((struct health *)health)->unready, !ready, memory_order_relaxed);
}

/* ---- making one ---- */

static bool copy_text(char *to, const char *from, size_t max, const char *member)
{
    size_t len = strlen(from);

    if (len > max) {
        cw_log(CW_LOG_ERROR, 0, "http_health: %s: at most %zu bytes", member, max);
        return false;
    }
    memcpy(to, from, len + 1);
    return true;
}

static bool copy_path(char *to, const char *from, const char *preset, const char *member)
{
    const char *path = from == NULL ? preset : from;

    if (path[0] != '\0' && path[0] != '/') {
        cw_log(CW_LOG_ERROR, 0, "http_health: %s: \"%s\" does not begin with a slash", member, path);
        return false;
    }
    return copy_text(to, path, PATH_MAX_BYTES, member);
}

static bool copy_checks(struct health *health, const struct cw_http_health_options *options)
{
    for (; health->check_count < options->check_count; health->check_count++) {
        const struct cw_http_health_check *from = &options->checks[health->check_count];
        struct check *to = &health->checks[health->check_count];

        if (from->name == NULL || from->fn == NULL) {
            cw_log(CW_LOG_ERROR, 0, "http_health: checks: number %zu has no name or no function",
                   health->check_count);
            return false;
        }
        to->fn = from->fn;
        to->user = from->user;
        if (!copy_text(to->name, from->name, NAME_MAX_BYTES, "checks: name")) {
            return false;
        }
    }
    return true;
}

static bool set_options(struct health *health, const struct cw_http_health_options *options)
{
    atomic_init(&health->unready, options->starts_unready);
    return copy_path(health->live_path, options->live_path, "/health/live", "live_path") &&
           copy_path(health->ready_path, options->ready_path, "/health/ready", "ready_path") &&
           copy_text(health->site, options->site == NULL ? "" : options->site, PATH_MAX_BYTES,
                     "site") &&
           copy_checks(health, options);
}

struct cw_http_middleware *cw_http_health(const struct cw_http_health_options *options)
{
    const struct cw_http_health_options none = {0};
    const struct cw_http_health_options *chosen = options == NULL ? &none : options;

    if (chosen->check_count > CHECKS_MAX || (chosen->check_count > 0 && chosen->checks == NULL)) {
        cw_log(CW_LOG_ERROR, 0, "http_health: check_count: at most %d, and there must be checks",
               CHECKS_MAX);
        return NULL;
    }
    struct health *health =
        cw_alloc_zero(sizeof *health + chosen->check_count * sizeof(struct check));
    if (health == NULL) {
        return NULL;
    }
    health->table = (struct cw_http_middleware){
        .name = "http_health", .on_request = on_request, .release = release};
    if (!set_options(health, chosen)) {
        release(&health->table);
        return NULL;
    }
    return &health->table;
}
