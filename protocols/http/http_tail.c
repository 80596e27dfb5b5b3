/* What few connections of HTTP need: where a head that comes in pieces is, and whom to ask where no route answers. */
#include "http_impl.h"

#include <causeway/log.h>

static bool has_own(const struct cw_http_conn *http)
{
    return http->tail != &http->tail->shared->none;
}

static bool take(struct cw_http_conn *http)
{
    struct cw_http_shared *shared = http->tail->shared;
    struct cw_http_tail *tail = shared->tails;

    if (has_own(http)) {
        return true;
    }
    if (tail) {
        shared->tails = tail->next;
        shared->tails_count--;
    } else {
        tail = cw_alloc(sizeof *tail);
    }
    if (!tail) {
        return false;
    }
    *tail = shared->none;
    http->tail = tail;
    return true;
}

static void give_back(struct cw_http_conn *http)
{
    struct cw_http_tail *tail = http->tail;
    struct cw_http_shared *shared = tail->shared;

    http->tail = &shared->none;
    if (shared->tails_count == CW_HTTP_TAILS_KEPT) {
        cw_release(tail);
        return;
    }
    tail->next = shared->tails;
    shared->tails = tail;
    shared->tails_count++;
}

bool cw_http_keep_scan(struct cw_http_conn *http, const struct cw_http_scan *scan)
{
    if (!take(http)) {
        return false;
    }
    http->tail->scan = *scan;
    return true;
}

bool cw_http_keep_fallback(struct cw_http_conn *http, struct cw_http_fallback *fallback)
{
    if (!take(http)) {
        return false;
    }
    http->tail->fallback = fallback;
    return true;
}

void cw_http_forget_scan(struct cw_http_conn *http)
{
    if (!has_own(http)) {
        return;
    }
    if (http->tail->fallback) {
        http->tail->scan = http->tail->shared->none.scan;
    } else {
        give_back(http);
    }
}

void cw_http_tail_release(struct cw_http_conn *http)
{
    if (has_own(http)) {
        cw_http_fallback_free(http->tail->fallback);
        give_back(http);
    }
}

void cw_http_tails_free(struct cw_http_shared *shared)
{
    while (shared->tails) {
        struct cw_http_tail *tail = shared->tails;

        shared->tails = tail->next;
        cw_release(tail);
    }
}
