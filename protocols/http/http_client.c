/* Requests to other services: the calls, and what a loop keeps for them. */
#include "http_client_impl.h"

#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <causeway/log.h>

#include <inttypes.h>
#include <stdio.h>

enum {
    TICK_MS = 100, /* time-outs are late by no more */
};

/* ---- numbers ---- */

static struct cw_http_call **bucket(struct cw_http_client *client, int64_t id)
{
    return &client->by_id[(uint64_t)id & (CW_CALL_BUCKETS - 1)];
}

static struct cw_http_call *find(struct cw_http_client *client, int64_t id)
{
    struct cw_http_call *call = *bucket(client, id);

    while (call && call->id != id) {
        call = call->next_by_id;
    }
    return call && call->phase != CW_CALL_OVER ? call : NULL;
}

static void enter(struct cw_http_client *client, struct cw_http_call *call)
{
    struct cw_http_call **place;

    call->id = ++client->last_id;
    place = bucket(client, call->id);
    call->next_by_id = *place;
    *place = call;
    client->count++;
    cw_http_ring_join(&client->calls, &call->home);
}

static void leave(struct cw_http_client *client, struct cw_http_call *call)
{
    struct cw_http_call **place = bucket(client, call->id);

    while (*place != call) {
        place = &(*place)->next_by_id;
    }
    *place = call->next_by_id;
    client->count--;
    cw_http_ring_leave(&call->home);
}

/* ---- those that are over ---- */

static struct cw_http_call *first_of(const struct cw_http_ring *ring)
{
    return cw_http_ring_is_empty(ring) ? NULL
                                       : CW_RING_HOLDER(ring->next, struct cw_http_call, home);
}

/* Those that are over now; not those that come back from within. */
static void tell_all(struct cw_http_client *client)
{
    struct cw_http_call *call;

    for (uint64_t n = client->count; n > 0 && (call = first_of(&client->over)) != NULL; n--) {
        leave(client, call);
        cw_http_call_tell(call);
    }
    if (!cw_http_ring_is_empty(&client->over)) {
        cw_http_client_wake(client);
    }
}

static void rest_if_idle(struct cw_http_client *client)
{
    if (client->count == 0) {
        cw_timer_stop(client->tick);
        client->tick = NULL;
    }
}

static void serve(struct cw_http_client *client)
{
    tell_all(client);
    cw_http_addresses_trim(client);
    rest_if_idle(client);
}

static void on_soon(struct cw_loop *loop, void *user)
{
    struct cw_http_client *client = user;

    (void)loop;
    client->soon = NULL; /* it ends with this call */
    serve(client);
}

void cw_http_client_wake(struct cw_http_client *client)
{
    if (!client->soon && !client->stopped) {
        client->soon = cw_timer_start(client->loop, 0, 0, on_soon, client);
        /* Without memory the next tick does it. */
    }
}

/* ---- time ---- */

static void on_tick(struct cw_loop *loop, void *user)
{
    struct cw_http_client *client = user;
    uint64_t now = cw_loop_now_ms(loop);
    struct cw_http_ring *next;

    for (struct cw_http_ring *at = client->calls.next; at != &client->calls; at = next) {
        struct cw_http_call *call = CW_RING_HOLDER(at, struct cw_http_call, home);

        next = at->next;
        if (now >= call->deadline_ms) {
            cw_http_call_failf(call, CW_EDEADLINE, "no whole answer within timeout_ms (%" PRIu64 ")",
                               call->request.timeout_ms);
        }
    }
    serve(client);
}

static bool tick(struct cw_http_client *client)
{
    if (!client->tick) {
        client->tick = cw_timer_start(client->loop, TICK_MS, TICK_MS, on_tick, client);
    }
    return client->tick != NULL;
}

/* ---- the part of a loop ---- */

static void stop(struct cw_loop *loop, void *memory)
{
    struct cw_http_client *client = memory;
    struct cw_http_call *call;

    (void)loop;
    if (!client->loop) {
        return;
    }
    client->stopped = true;
    while ((call = first_of(&client->calls)) != NULL) {
        cw_http_call_fail(call, CW_ESTOPPED, cw_strerror(CW_ESTOPPED));
    }
    while ((call = first_of(&client->over)) != NULL) {
        leave(client, call);
        cw_http_call_tell(call);
    }
    cw_timer_stop(client->soon);
    cw_timer_stop(client->tick);
    client->soon = NULL;
    client->tick = NULL;
    cw_http_addresses_free(client);
}

static const struct cw_loop_part client_part = {.size = sizeof(struct cw_http_client), .stop = stop};

static int fill_options(struct cw_http_client_options *options)
{
    const uint64_t year = 31536000000ull;

    options->conns_max = options->conns_max == 0 ? 8 : options->conns_max;
    options->addresses_max = options->addresses_max == 0 ? 256 : options->addresses_max;
    options->waiting_max = options->waiting_max == 0 ? 1024 : options->waiting_max;
    options->idle_ms = options->idle_ms == 0 ? 30000 : options->idle_ms;
    if (options->conns_max > 65536 || options->addresses_max > 65536 ||
        options->waiting_max > 1 << 24 || (options->idle_ms > year && options->idle_ms != CW_OFF)) {
        cw_log(
            CW_LOG_ERROR, 0,
            "cw_http_client_configure: conns_max and addresses_max are at most 65536, waiting_max "
            "16777216, idle_ms a year or CW_OFF");
        return CW_EINVAL;
    }
    return CW_OK;
}

static struct cw_http_client *client_of(struct cw_loop *loop)
{
    struct cw_http_client *client = loop ? cw_loop_part(loop, &client_part) : NULL;

    if (client && !client->loop) {
        client->loop = loop;
        cw_http_ring_init(&client->calls);
        cw_http_ring_init(&client->over);
        fill_options(&client->options);
    }
    return client;
}

/* ---- the calls ---- */

int cw_http_client_configure(struct cw_loop *loop, const struct cw_http_client_options *options)
{
    struct cw_http_client_options filled = *options;
    struct cw_http_client *client = client_of(loop);
    int error = fill_options(&filled);

    if (!client || error < 0) {
        return client ? error : CW_ENOMEM;
    }
    client->options = filled;
    return CW_OK;
}

static int log_refusal(const struct cw_http_request *request, int error, const char *why)
{
    if (error == CW_EINVAL) {
        cw_log(CW_LOG_ERROR, 0, "cw_http_request %.160s: %s", request->url ? request->url : "", why);
    }
    return error;
}

static int begin(struct cw_http_call *call, const char **why)
{
    struct cw_http_client *client = call->client;
    uint64_t timeout = call->request.timeout_ms;

    if (!tick(client)) {
        return CW_ENOMEM;
    }
    call->began_ms = cw_loop_now_ms(client->loop);
    call->deadline_ms = timeout == CW_OFF ? CW_NO_LIMIT : call->began_ms + timeout;
    return cw_http_address_join(call, why);
}

static int64_t start(struct cw_http_client *client, const struct cw_http_request *request,
                     cw_http_response_fn fn, void *user)
{
    struct cw_http_call *call = NULL;
    const char *why = "";
    int error;

    if (client->stopped) {
        return CW_ESTOPPED;
    }
    if (client->count >= client->options.waiting_max) {
        return CW_EFULL;
    }
    error = cw_http_call_new(client, request, &call, &why);
    if (error < 0) {
        return log_refusal(request, error, why);
    }
    call->fn = fn;
    call->user = user;
    error = begin(call, &why);
    if (error < 0) {
        cw_http_call_free(call);
        rest_if_idle(client);
        return log_refusal(request, error, why);
    }
    enter(client, call);
    cw_http_addresses_trim(client);
    return call->id;
}

int64_t cw_http_request(struct cw_loop *loop, const struct cw_http_request *request,
                        cw_http_response_fn fn, void *user)
{
    struct cw_http_client *client = client_of(loop);
    int64_t id = client ? start(client, request, fn, user) : CW_ENOMEM;

    if (id < 0 && request->pulled) {
        request->pulled((int)id, request->pull_user);
    }
    return id;
}

int64_t cw_http_get(struct cw_loop *loop, const char *url, cw_http_response_fn fn, void *user)
{
    return cw_http_request(loop, &(struct cw_http_request){.url = url}, fn, user);
}

int cw_http_request_cancel(struct cw_loop *loop, int64_t request)
{
    struct cw_http_client *client = client_of(loop);
    struct cw_http_call *call = client ? find(client, request) : NULL;

    if (!call) {
        return CW_ENOTFOUND;
    }
    cw_http_call_fail(call, CW_ECLOSED, "cancelled");
    return CW_OK;
}

int cw_http_request_resume(struct cw_loop *loop, int64_t request)
{
    struct cw_http_client *client = client_of(loop);
    struct cw_http_call *call = client ? find(client, request) : NULL;

    if (!call) {
        return CW_ENOTFOUND;
    }
    if (call->conn && call->rests) {
        cw_conn_soon(call->conn);
    }
    if (call->conn && call->upload) {
        cw_conn_source_ready(call->conn);
    }
    return CW_OK;
}

/* ---- the answer's fields ---- */

struct cw_span cw_http_response_field_next(const struct cw_http_response *response,
                                           const char *name, size_t *at)
{
    const struct cw_http_headers *headers = response->headers;

    while (headers && *at < headers->count) {
        const struct cw_http_line *line = &headers->lines[(*at)++];

        if (cw_http_equal(cw_span_of(headers->bytes + line->name, line->name_len), name)) {
            return cw_span_of(headers->bytes + line->value, line->value_len);
        }
    }
    return cw_span_of(NULL, 0);
}

struct cw_span cw_http_response_field(const struct cw_http_response *response, const char *name)
{
    size_t at = 0;

    return cw_http_response_field_next(response, name, &at);
}
