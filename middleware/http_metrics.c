/* Counters of each worker, written by its thread alone and summed when they are asked for. */
#include "metrics_page.h"

#include <causeway/log.h>
#include <causeway/loop.h>
#include <causeway/middleware/http_metrics.h>
#include <causeway/version.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum {
    WORKERS_MAX = 256,
    BUCKETS_MAX = 32,
    PATH_MAX_BYTES = 255,
    REFUSED_FIRST = 400,
    REFUSED_COUNT = 200,
};

static const uint64_t default_buckets_us[] = {500,     1000,    2500,    5000,    10000,
                                              25000,   50000,   100000,  250000,  500000,
                                              1000000, 2500000, 5000000, 10000000};

/* The last one stands for all that are not here. */
static const char *const methods[] = {"GET",     "HEAD",    "POST",  "PUT",   "DELETE",
                                      "CONNECT", "OPTIONS", "TRACE", "PATCH", "other"};
enum { METHOD_COUNT = sizeof methods / sizeof *methods };

typedef atomic_uint_least64_t counter;

/* Requests of one route with one method and one status. Once published, only `count` and `next` change. */
struct series {
    counter count;
    struct series *_Atomic next;
    uint16_t method;
    uint16_t status;
};

struct route_counts {
    struct series *_Atomic series;
    counter took_us;
    counter buckets[BUCKETS_MAX + 1]; /* each for itself, not summed up; the last is without bound */
};

struct worker_counts {
    counter begun;
    counter done;
    counter bytes_in;
    counter bytes_out;
    counter refused[REFUSED_COUNT];
    struct route_counts routes[];
};

/* A name and the number of its counts, found by the address of the name. */
struct place {
    const char *name; /* NULL: free */
    size_t number;
};

struct metrics {
    struct cw_http_middleware table; /* first: self is both */
    char path[PATH_MAX_BYTES + 1];
    size_t path_len; /* 0: no endpoint */
    char site[PATH_MAX_BYTES + 1];
    uint64_t buckets_us[BUCKETS_MAX];
    size_t bucket_count;
    uint64_t started_ms;
    const char **names; /* sorted, each once; the first stands for requests without a route */
    size_t name_count;
    struct place *places;
    size_t place_count; /* a power of two */
    struct worker_counts *_Atomic workers[WORKERS_MAX];
};

static uint64_t read_counter(const counter *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

/* One thread writes: no read-modify-write is needed. */
static void add(counter *to, uint64_t n)
{
    atomic_store_explicit(to, read_counter(to) + n, memory_order_relaxed);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- counting ---- */

/* NULL: no memory. Made by the worker's own thread. */
static struct worker_counts *counts_of(struct metrics *metrics, struct cw_loop *loop)
{
    unsigned worker = cw_loop_worker(loop) % WORKERS_MAX;
    struct worker_counts *counts =
        atomic_load_explicit(&metrics->workers[worker], memory_order_relaxed);

    if (counts == NULL) {
        counts = cw_alloc_zero(sizeof *counts + metrics->name_count * sizeof *counts->routes);
        atomic_store_explicit(&metrics->workers[worker], counts, memory_order_release);
    }
    return counts;
}

static size_t place_of(const struct metrics *metrics, const char *name)
{
    uint64_t mixed = (uint64_t)(uintptr_t)name * 0x9e3779b97f4a7c15U;

    return (size_t)(mixed >> 32) & (metrics->place_count - 1);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The number of a route's counts; 0: it is none of those that were there at the start. */
static size_t number_of(const struct metrics *metrics, const char *name)
{
    size_t at = name == NULL ? 0 : place_of(metrics, name);

    if (name == NULL) {
        return 0;
    }
    for (; metrics->places[at].name != NULL; at = (at + 1) & (metrics->place_count - 1)) {
        if (metrics->places[at].name == name) {
            return metrics->places[at].number;
        }
    }
    const char **found = bsearch(&name, metrics->names + 1, metrics->name_count - 1,
                                 sizeof *metrics->names, compare_names);
    return found == NULL ? 0 : (size_t)(found - metrics->names);
}

static unsigned method_of(struct cw_span method)
{
    unsigned number = 0;

    if (method.len == 3 && memcmp(method.data, "GET", 3) == 0) {
        return 0;
    }
    while (number < METHOD_COUNT - 1 && !cw_span_equal(method, cw_span_text(methods[number]))) {
        number++;
    }
    return number;
}

/* NULL: no memory. */
static struct series *series_of(struct route_counts *route, unsigned method, int status)
{
    struct series *_Atomic *link = &route->series;
    struct series *series;

    while ((series = atomic_load_explicit(link, memory_order_relaxed)) != NULL) {
        if (series->method == method && series->status == status) {
            return series;
        }
        link = &series->next;
    }
    series = cw_alloc_zero(sizeof *series);
    if (series != NULL) {
        series->method = (uint16_t)method;
        series->status = (uint16_t)status;
        atomic_store_explicit(link, series, memory_order_release);
    }
    return series;
}

static size_t bucket_of(const struct metrics *metrics, uint64_t us)
{
    size_t bucket = 0;

    while (bucket < metrics->bucket_count && us > metrics->buckets_us[bucket]) {
        bucket++;
    }
    return bucket;
}

static void on_done(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                    const struct cw_http_outcome *outcome)
{
    struct metrics *metrics = (struct metrics *)self;
    struct worker_counts *counts = counts_of(metrics, cw_http_loop(http));

    if (counts == NULL) {
        return;
    }
    struct route_counts *route = &counts->routes[number_of(metrics, cw_http_route_name(http))];
    struct series *series = series_of(route, method_of(cw_http_method(http)), outcome->status);
    if (series != NULL) {
        add(&series->count, 1);
    }
    add(&route->buckets[bucket_of(metrics, outcome->took_us)], 1);
    add(&route->took_us, outcome->took_us);
    add(&counts->bytes_in, outcome->bytes_in);
    add(&counts->bytes_out, outcome->bytes_out);
    add(&counts->done, 1);
}

static bool is_asked_for(const struct metrics *metrics, struct cw_http_exchange *http)
{
    const char *site = cw_http_options_of(http)->site;
    struct cw_span method = cw_http_method(http);

    return (metrics->site[0] == '\0' || (site != NULL && strcmp(site, metrics->site) == 0)) &&
           (cw_span_equal(method, cw_span_text("GET")) ||
            cw_span_equal(method, cw_span_text("HEAD")));
}

static int on_request(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    struct metrics *metrics = (struct metrics *)self;
    struct worker_counts *counts = counts_of(metrics, cw_http_loop(http));
    struct cw_span path = cw_http_path(http);

    if (counts != NULL) {
        add(&counts->begun, 1);
    }
    if (path.len != metrics->path_len || path.len == 0 ||
        memcmp(path.data, metrics->path, path.len) != 0 || !is_asked_for(metrics, http)) {
        return CW_HTTP_NEXT;
    }
    cw_http_metrics_reply(self, http);
    return CW_HTTP_ANSWERED;
}

static void on_refused(struct cw_conn *conn, int status, void *user)
{
    struct worker_counts *counts = counts_of(user, cw_conn_loop(conn));

    if (counts != NULL && status >= REFUSED_FIRST && status < REFUSED_FIRST + REFUSED_COUNT) {
        add(&counts->refused[status - REFUSED_FIRST], 1);
    }
}

/* ---- the text ---- */

struct page {
    struct metrics *metrics;
    size_t workers;
    struct cw_metrics_page text;
};

/* The counts of a worker; NULL: it has none. */
static struct worker_counts *at(struct metrics *metrics, size_t worker)
{
    return atomic_load_explicit(&metrics->workers[worker], memory_order_acquire);
}

static void say_bodies(struct page *page)
{
    uint64_t begun = 0;
    uint64_t done = 0;
    uint64_t in = 0;
    uint64_t out = 0;

    for (size_t worker = 0; worker < page->workers; worker++) {
        const struct worker_counts *counts = at(page->metrics, worker);
        if (counts != NULL) {
            done += read_counter(&counts->done);
            begun += read_counter(&counts->begun);
            in += read_counter(&counts->bytes_in);
            out += read_counter(&counts->bytes_out);
        }
    }
    cw_page_one(&page->text, "http_requests_in_flight", "gauge", "HTTP requests not answered yet.",
                begun > done ? begun - done : 0);
    cw_page_one(&page->text, "http_request_body_bytes_total", "counter", "Bytes of request bodies.",
                in);
    cw_page_one(&page->text, "http_response_body_bytes_total", "counter",
                "Bytes of response bodies.", out);
}

static void say_refused(struct page *page)
{
    static const char name[] = "http_heads_refused_total";

    cw_page_family(&page->text, name, "counter",
                   "Request heads refused before any route was asked.");
    for (int i = 0; i < REFUSED_COUNT; i++) {
        uint64_t total = 0;
        for (size_t worker = 0; worker < page->workers; worker++) {
            const struct worker_counts *counts = at(page->metrics, worker);
            total += counts != NULL ? read_counter(&counts->refused[i]) : 0;
        }
        if (total > 0) {
            cw_page_say(&page->text, "causeway_%s{status=\"%d\"} %" PRIu64 "\n", name,
                        REFUSED_FIRST + i, total);
        }
    }
}

/* The count of one series on a worker and those behind it. */
static uint64_t sum_from(const struct page *page, size_t worker, size_t number,
                         const struct series *like)
{
    uint64_t total = 0;

    for (; worker < page->workers; worker++) {
        struct worker_counts *counts = at(page->metrics, worker);
        const struct series *series =
            counts != NULL ? atomic_load(&counts->routes[number].series) : NULL;
        for (; series != NULL; series = atomic_load(&series->next)) {
            if (series->method == like->method && series->status == like->status) {
                total += read_counter(&series->count);
            }
        }
    }
    return total;
}

static bool is_on_earlier(const struct page *page, size_t worker, size_t number,
                          const struct series *like)
{
    for (size_t i = 0; i < worker; i++) {
        struct worker_counts *counts = at(page->metrics, i);
        const struct series *series =
            counts != NULL ? atomic_load(&counts->routes[number].series) : NULL;
        for (; series != NULL; series = atomic_load(&series->next)) {
            if (series->method == like->method && series->status == like->status) {
                return true;
            }
        }
    }
    return false;
}

static void say_series(struct page *page, size_t number, size_t worker)
{
    struct worker_counts *counts = at(page->metrics, worker);
    const struct series *series =
        counts != NULL ? atomic_load(&counts->routes[number].series) : NULL;

    for (; series != NULL; series = atomic_load(&series->next)) {
        if (is_on_earlier(page, worker, number, series)) {
            continue;
        }
        cw_page_say(&page->text, "causeway_http_requests_total{route=\"");
        cw_page_escaped(&page->text, page->metrics->names[number]);
        cw_page_say(&page->text, "\",method=\"%s\",status=\"", methods[series->method]);
        if (series->status == 0) {
            cw_page_say(&page->text, "none");
        } else {
            cw_page_say(&page->text, "%d", series->status);
        }
        cw_page_say(&page->text, "\"} %" PRIu64 "\n", sum_from(page, worker, number, series));
    }
}

static void say_requests(struct page *page)
{
    cw_page_family(&page->text, "http_requests_total", "counter", "HTTP requests that are over.");
    for (size_t number = 0; number < page->metrics->name_count; number++) {
        for (size_t worker = 0; worker < page->workers; worker++) {
            say_series(page, number, worker);
        }
    }
}

struct histogram {
    uint64_t buckets[BUCKETS_MAX + 1];
    uint64_t count;
    uint64_t took_us;
};

static struct histogram sum_histogram(const struct page *page, size_t number)
{
    struct histogram sum = {0};

    for (size_t worker = 0; worker < page->workers; worker++) {
        const struct worker_counts *counts = at(page->metrics, worker);
        if (counts == NULL) {
            continue;
        }
        sum.took_us += read_counter(&counts->routes[number].took_us);
        for (size_t i = 0; i <= page->metrics->bucket_count; i++) {
            sum.buckets[i] += read_counter(&counts->routes[number].buckets[i]);
        }
    }
    for (size_t i = 0; i <= page->metrics->bucket_count; i++) {
        sum.count += sum.buckets[i];
    }
    return sum;
}

static void say_duration(struct page *page, const char *what, const char *route)
{
    cw_page_say(&page->text, "causeway_http_request_duration_seconds%s{route=\"", what);
    cw_page_escaped(&page->text, route);
    cw_page_say(&page->text, "\"");
}

static void say_histogram(struct page *page, size_t number)
{
    struct histogram sum = sum_histogram(page, number);
    const char *route = page->metrics->names[number];
    uint64_t so_far = 0;

    if (sum.count == 0) {
        return;
    }
    for (size_t i = 0; i < page->metrics->bucket_count; i++) {
        so_far += sum.buckets[i];
        say_duration(page, "_bucket", route);
        cw_page_say(&page->text, ",le=\"");
        cw_page_seconds(&page->text, page->metrics->buckets_us[i]);
        cw_page_say(&page->text, "\"} %" PRIu64 "\n", so_far);
    }
    say_duration(page, "_bucket", route);
    cw_page_say(&page->text, ",le=\"+Inf\"} %" PRIu64 "\n", sum.count);
    say_duration(page, "_sum", route);
    cw_page_say(&page->text, "} ");
    cw_page_seconds(&page->text, sum.took_us);
    cw_page_say(&page->text, "\n");
    say_duration(page, "_count", route);
    cw_page_say(&page->text, "} %" PRIu64 "\n", sum.count);
}

static void say_all(struct page *page, const struct cw_server *server)
{
    cw_page_family(&page->text, "build_info", "gauge", "The version that runs.");
    cw_page_labelled(&page->text, "build_info", "version", cw_version(), 1);
    cw_page_family(&page->text, "uptime_seconds", "gauge", "Time since the server was started.");
    cw_page_say(&page->text, "causeway_uptime_seconds ");
    cw_page_seconds(&page->text, (now_ms() - page->metrics->started_ms) * 1000);
    cw_page_say(&page->text, "\n");
    cw_page_one(&page->text, "workers", "gauge", "Loops, each with a thread.",
                cw_server_workers(server));
    cw_page_server(&page->text, server);
    say_bodies(page);
    say_refused(page);
    say_requests(page);
    cw_page_family(&page->text, "http_request_duration_seconds", "histogram",
                   "Time from a request's head to the end of its answer.");
    for (size_t number = 0; number < page->metrics->name_count; number++) {
        say_histogram(page, number);
    }
}

int cw_http_metrics_reply(struct cw_http_middleware *metrics, struct cw_http_exchange *http)
{
    const struct cw_server *server = cw_http_server(http);
    struct page page = {.metrics = (struct metrics *)metrics, .workers = cw_server_workers(server)};

    say_all(&page, server);
    cw_http_set_field(http, "Cache-Control", "no-store");
    int error = page.text.failed
                    ? cw_http_reply_error(http, 500, NULL)
                    : cw_http_reply(http, 200, "text/plain; version=0.0.4; charset=utf-8",
                                    cw_span_of(page.text.bytes, page.text.len));
    cw_release(page.text.bytes);
    return error;
}

/* ---- start and end ---- */

static void count_route(const struct cw_http_route_info *route, void *user)
{
    struct metrics *metrics = user;

    metrics->name_count++;
}

static void take_name(const struct cw_http_route_info *route, void *user)
{
    struct metrics *metrics = user;

    metrics->names[metrics->name_count++] = route->name;
}

/* Routes of one name are counted as one, but each name has a place, by its address. */
static void put_places(struct metrics *metrics, const char *const *all, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t place = place_of(metrics, all[i]);
        const char **found = bsearch(&all[i], metrics->names + 1, metrics->name_count - 1,
                                     sizeof *metrics->names, compare_names);
        while (metrics->places[place].name != NULL && metrics->places[place].name != all[i]) {
            place = (place + 1) & (metrics->place_count - 1);
        }
        metrics->places[place] =
            (struct place){all[i], found == NULL ? 0 : (size_t)(found - metrics->names)};
    }
}

static void keep_each_once(struct metrics *metrics)
{
    size_t kept = 1; /* the one that stands for none */

    qsort(metrics->names + 1, metrics->name_count - 1, sizeof *metrics->names, compare_names);
    for (size_t i = 1; i < metrics->name_count; i++) {
        const char *name = metrics->names[i];
        if (strcmp(metrics->names[0], name) != 0 && strcmp(metrics->names[kept - 1], name) != 0) {
            metrics->names[kept++] = name;
        }
    }
    metrics->name_count = kept;
}

static int learn_routes(struct metrics *metrics, struct cw_server *server)
{
    cw_http_each_route(server, count_route, metrics);
    size_t count = metrics->name_count;
    metrics->place_count = 4;
    while (metrics->place_count < 2 * count) {
        metrics->place_count *= 2;
    }
    const char **all = cw_alloc_zero((count + 1) * sizeof *all);
    metrics->names = cw_alloc_zero((count + 1) * sizeof *metrics->names);
    metrics->places = cw_alloc_zero(metrics->place_count * sizeof *metrics->places);
    if (all == NULL || metrics->names == NULL || metrics->places == NULL) {
        cw_release(all);
        return CW_ENOMEM;
    }
    metrics->names[0] = "none";
    metrics->name_count = 1;
    cw_http_each_route(server, take_name, metrics);
    memcpy(all, metrics->names + 1, count * sizeof *all);
    keep_each_once(metrics);
    put_places(metrics, all, count);
    cw_release(all);
    return CW_OK;
}

static int start(struct cw_http_middleware *self, struct cw_server *server, const char *prefix)
{
    struct metrics *metrics = (struct metrics *)self;
    int error = learn_routes(metrics, server);

    metrics->started_ms = now_ms();
    return error < 0 ? error : cw_http_on_refused(server, on_refused, metrics);
}

static void free_counts(struct metrics *metrics, size_t worker)
{
    struct worker_counts *counts = at(metrics, worker);

    for (size_t i = 0; counts != NULL && i < metrics->name_count; i++) {
        struct series *series = atomic_load(&counts->routes[i].series);
        while (series != NULL) {
            struct series *next = atomic_load(&series->next);
            cw_release(series);
            series = next;
        }
    }
    cw_release(counts);
}

static void release(struct cw_http_middleware *self)
{
    struct metrics *metrics = (struct metrics *)self;

    for (size_t worker = 0; worker < WORKERS_MAX; worker++) {
        free_counts(metrics, worker);
    }
    cw_release(metrics->names);
    cw_release(metrics->places);
    cw_release(metrics);
}

static bool copy_text(char *to, const char *from, const char *member)
{
    size_t len = strlen(from);

    if (len > PATH_MAX_BYTES) {
        cw_log(CW_LOG_ERROR, 0, "http_metrics: %s: at most %d bytes", member, PATH_MAX_BYTES);
        return false;
    }
    memcpy(to, from, len + 1);
    return true;
}

static bool set_buckets(struct metrics *metrics, const uint64_t *bounds, size_t count)
{
    if (bounds == NULL) {
        bounds = default_buckets_us;
        count = sizeof default_buckets_us / sizeof *default_buckets_us;
    }
    if (count == 0 || count > BUCKETS_MAX) {
        cw_log(CW_LOG_ERROR, 0, "http_metrics: bucket_count: 1 to %d", BUCKETS_MAX);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && bounds[i] <= bounds[i - 1]) {
            cw_log(CW_LOG_ERROR, 0, "http_metrics: buckets_us: each must be above the one before");
            return false;
        }
        metrics->buckets_us[i] = bounds[i];
    }
    metrics->bucket_count = count;
    return true;
}

static bool set_options(struct metrics *metrics, const struct cw_http_metrics_options *options)
{
    const char *path = options->path == NULL ? "/metrics" : options->path;

    if (path[0] != '\0' && path[0] != '/') {
        cw_log(CW_LOG_ERROR, 0, "http_metrics: path: \"%s\" does not begin with a slash", path);
        return false;
    }
    metrics->path_len = strlen(path);
    return copy_text(metrics->path, path, "path") &&
           copy_text(metrics->site, options->site == NULL ? "" : options->site, "site") &&
           set_buckets(metrics, options->buckets_us, options->bucket_count);
}

struct cw_http_middleware *cw_http_metrics(const struct cw_http_metrics_options *options)
{
    const struct cw_http_metrics_options none = {0};
    struct metrics *metrics = cw_alloc_zero(sizeof *metrics);

    if (metrics == NULL) {
        return NULL;
    }
    metrics->table = (struct cw_http_middleware){.name = "http_metrics",
                                                 .start = start,
                                                 .on_request = on_request,
                                                 .on_done = on_done,
                                                 .release = release};
    if (!set_options(metrics, options == NULL ? &none : options)) {
        release(&metrics->table);
        return NULL;
    }
    return &metrics->table;
}
