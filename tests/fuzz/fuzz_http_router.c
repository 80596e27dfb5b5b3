/* Whatever routes and whatever requests: the tree finds what a search through all patterns, one by one, finds.
 *
 * Input: lines `HOST METHODS PATH` up to an empty line are routes (`-`: any host), lines `HOST METHOD PATH` behind it are
 * asked. */
#include "http/http_pattern.h"
#include "http/http_router.h"

#include <causeway/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROUTES_MAX = 40, ASKED_MAX = 60, SEGMENTS_MAX = 80 };

struct case_route {
    struct cw_http_route route;
    const char *host;
    struct cw_http_pattern pattern;
};

static struct case_route routes[ROUTES_MAX];
static size_t route_count;

static void expect(bool right)
{
    if (!right) {
        abort();
    }
}

/* ---- the slow way ---- */

struct path {
    struct cw_span segments[SEGMENTS_MAX];
    size_t count;
    bool ends_in_slash;
};

/* Where a route stands among those that fit: compared from the left, the smaller one wins. */
struct rank {
    int values[SEGMENTS_MAX + 4];
    size_t count;
};

static bool split(struct cw_span text, struct path *path)
{
    size_t from = 1;

    memset(path, 0, sizeof *path);
    if (text.len == 0 || text.data[0] != '/') {
        return false;
    }
    path->ends_in_slash = text.data[text.len - 1] == '/';
    for (size_t at = 1; at <= text.len; at++) {
        bool end = at == text.len;

        if ((end && !path->ends_in_slash) || (!end && text.data[at] == '/')) {
            if (path->count == SEGMENTS_MAX) {
                return false;
            }
            path->segments[path->count++] = cw_span_of(text.data + from, at - from);
            from = at + 1;
        }
    }
    return true;
}

static void put(struct rank *rank, int value)
{
    rank->values[rank->count++] = value;
}

/* Exactly the first `count` segments, then the end. */
static bool fits_whole(const struct cw_http_pattern *pattern, size_t count, bool slash,
                       const struct path *path, struct rank *rank)
{
    bool rest = count > 0 && pattern->segments[count - 1].kind == CW_SEGMENT_REST;

    count -= rest;
    if (path->count < count || (!rest && (path->count != count || path->ends_in_slash != slash))) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct cw_http_segment *segment = &pattern->segments[i];

        if (segment->kind == CW_SEGMENT_LITERAL
                ? !cw_span_equal(segment->text, path->segments[i])
                : !cw_http_segment_fits(segment->kind, path->segments[i])) {
            return false;
        }
        put(rank, (int)segment->kind);
    }
    put(rank, rest ? CW_SEGMENT_REST : -1);
    return true;
}

static bool fits(const struct cw_http_pattern *pattern, const struct path *path, struct rank *rank)
{
    size_t count = pattern->count;
    struct rank before = *rank;

    if (fits_whole(pattern, count, pattern->ends_in_slash, path, rank)) {
        return true;
    }
    *rank = before;
    return pattern->last_is_optional && fits_whole(pattern, count - 1, count == 1, path, rank);
}

static int host_rank(const char *wanted, struct cw_span host)
{
    size_t len = wanted ? strlen(wanted) : 0;

    host.len -= host.len > 0 && host.data[host.len - 1] == '.';
    if (!wanted) {
        return 1000;
    }
    if (host.len > 253) {
        return -1;
    }
    if (wanted[0] != '*') {
        return host.len == len && strncasecmp(wanted, (const char *)host.data, len) == 0 ? 0 : -1;
    }
    len--;
    return host.len > len && host.data[0] != '.' &&
                   strncasecmp(wanted + 1, (const char *)host.data + host.len - len, len) == 0
               ? 1000 - (int)len
               : -1;
}

static bool has_method(const char *list, struct cw_span method)
{
    for (const char *at = list; at; at = strchr(at, '|')) {
        at += *at == '|';
        if (cw_span_equal(cw_span_of(at, strcspn(at, "|")), method)) {
            return true;
        }
    }
    return false;
}

static int method_rank(const char *list, struct cw_span method)
{
    if (strcmp(list, "*") == 0) {
        return 2;
    }
    if (has_method(list, method)) {
        return 0;
    }
    return cw_span_equal(method, cw_span_text("HEAD")) && has_method(list, cw_span_text("GET"))
               ? 1
               : -1;
}

static bool is_before(const struct rank *one, const struct rank *other)
{
    for (size_t i = 0; i < one->count && i < other->count; i++) {
        if (one->values[i] != other->values[i]) {
            return one->values[i] < other->values[i];
        }
    }
    return false;
}

/* The best route, and how many have the path. */
static const struct cw_http_route *search(const struct cw_http_ask *ask, const struct path *path,
                                          size_t *fitting)
{
    const struct case_route *best = NULL;
    struct rank best_rank;

    *fitting = 0;
    for (size_t i = 0; i < route_count; i++) {
        struct rank rank = {{host_rank(routes[i].host, ask->host)}, 1};
        int method = method_rank(routes[i].route.method, ask->method);

        if (rank.values[0] < 0 || routes[i].pattern.is_asterisk ||
            !fits(&routes[i].pattern, path, &rank)) {
            continue;
        }
        ++*fitting;
        put(&rank, method);
        if (method >= 0 && (!best || is_before(&rank, &best_rank))) {
            best = &routes[i];
            best_rank = rank;
        }
    }
    return best ? &best->route : NULL;
}

/* ---- both ways ---- */

static enum cw_http_method_known known(struct cw_span method)
{
    static const char *const names[] = {"",       "GET",     "HEAD",    "POST",  "PUT",
                                        "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH"};

    for (size_t i = 1; i < sizeof names / sizeof names[0]; i++) {
        if (cw_span_equal(method, cw_span_text(names[i]))) {
            return (enum cw_http_method_known)i;
        }
    }
    return CW_METHOD_OTHER;
}

static void check_match(const struct cw_http_match *match, const struct cw_http_ask *ask)
{
    expect(match->route || match->status == 404 || match->status == 405 || match->status == 204);
    expect((match->allow != NULL) == (match->status == 405 || match->status == 204));
    expect(!match->allow || strlen(match->allow) < CW_HTTP_ALLOW_MAX);
    for (size_t i = 0; i < match->param_count; i++) {
        struct cw_span value = match->params[i].value;

        expect(strlen(match->params[i].name) > 0);
        expect(value.data >= ask->path.data);
        expect(value.data + value.len <= ask->path.data + ask->path.len);
    }
}

static void ask_both(const struct cw_http_router *router, const struct cw_http_ask *ask)
{
    struct cw_http_match match;
    struct cw_http_found found;
    struct path path;
    size_t fitting;

    cw_http_router_find(router, ask, &match, &found);
    check_match(&match, ask);
    if (split(ask->path, &path)) {
        expect(match.route == search(ask, &path, &fitting));
        expect(match.route || (match.status == 404) == (fitting == 0));
    }
}

/* ---- the input ---- */

static void add(struct cw_http_router *router, const char *host, char *methods, char *path)
{
    struct case_route *one = &routes[route_count];
    const struct cw_http_place place = {NULL, strcmp(host, "-") == 0 ? NULL : host};
    struct cw_complaint complaint = {""};
    char why[CW_HTTP_WHY_MAX];

    memset(one, 0, sizeof *one);
    one->route.method = methods;
    one->route.path = path;
    one->host = place.host;
    if (cw_http_router_add(router, &place, &one->route, &complaint) == CW_OK) {
        expect(cw_http_pattern_parse(path, false, &one->pattern, why) == CW_OK);
        route_count++;
    } else {
        expect(complaint.text[0] != '\0');
    }
}

/* Cuts a line off, and the line into three. NULL: an empty line, or the end. */
static char *next_line(char **rest, char *words[3])
{
    char *line = strsep(rest, "\n");

    words[0] = strsep(&line, " ");
    words[1] = line ? strsep(&line, " ") : NULL;
    words[2] = line;
    return words[0] && words[0][0] != '\0' ? words[0] : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    char *rest = text;
    struct cw_http_router *router = cw_http_router_new();
    char *words[3];

    expect(text && router);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    route_count = 0;
    while (rest && next_line(&rest, words) && route_count < ROUTES_MAX) {
        if (words[2]) {
            add(router, words[0], words[1], words[2]);
        }
    }
    for (size_t i = 0; i < ASKED_MAX && rest; i++) {
        if (next_line(&rest, words) && words[2]) {
            const struct cw_http_ask ask = {
                .known = known(cw_span_text(words[1])),
                .method = cw_span_text(words[1]),
                .host = strcmp(words[0], "-") == 0 ? cw_span_of(NULL, 0) : cw_span_text(words[0]),
                .path = cw_span_text(words[2])};

            ask_both(router, &ask);
        }
    }
    cw_http_router_free(router);
    free(text);
    return 0;
}
