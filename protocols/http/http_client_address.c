/* Connections to one address, kept in a pool, and the calls that wait for one. */
#include "http_client_impl.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <stdio.h>

enum {
    WAITING_MAX = 1 << 24,
};

/* ---- what tells addresses apart ---- */

/* A key that grows, and is only counted as long as `to` is NULL. */
struct key {
    uint8_t *to;
    size_t len;
};

static void put(struct key *key, const void *data, size_t len)
{
    if (key->to && len > 0) {
        memcpy(key->to + key->len, data, len);
    }
    key->len += len;
}

static void put_number(struct key *key, uint64_t number)
{
    put(key, &number, sizeof number);
}

static void put_text(struct key *key, const char *text)
{
    put_number(key, text != NULL);
    put(key, text, text ? strlen(text) + 1 : 0);
}

static void put_tls(struct key *key, const struct cw_tls_options *tls)
{
    const char *const texts[] = {tls->cert,        tls->key,        tls->passphrase, tls->ca,
                                 tls->crl,         tls->alpn,       tls->ciphers,    tls->groups,
                                 tls->fingerprint, tls->server_name};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        put_text(key, texts[i]);
    }
    put_number(key, (uint64_t)tls->min_version);
    put_number(key, (uint64_t)tls->max_version);
    put_number(key, tls->insecure);
    put_number(key, tls->record_start_bytes);
    put_number(key, tls->record_grow_bytes);
    put_number(key, tls->record_rest_ms);
}

static void put_key(struct key *key, const struct cw_http_call *call, const char *target)
{
    put_text(key, target);
    put_number(key, call->url.scheme);
    put_number(key, call->request.connect_ms);
    put_number(key, call->request.no_reuse);
    if (call->url.scheme == CW_SCHEME_HTTPS) {
        put_tls(key, &call->tls);
    }
}

static struct key key_of(const struct cw_http_call *call, const char *target)
{
    struct key key = {NULL, 0};

    put_key(&key, call, target);
    key.to = cw_alloc(key.len);
    key.len = 0;
    if (key.to) {
        put_key(&key, call, target);
    }
    return key;
}

/* ---- addresses ---- */

static bool is_unused(const struct cw_http_address *address)
{
    return address->asked == 0 && address->running == 0 && cw_http_ring_is_empty(&address->waiting);
}

static void address_free(struct cw_http_address *address)
{
    struct cw_http_address **link = &address->client->addresses;

    while (*link != address) {
        link = &(*link)->next;
    }
    *link = address->next;
    address->client->address_count--;
    cw_pool_free(address->pool);
    cw_release(address->key);
    cw_release(address);
}

void cw_http_addresses_free(struct cw_http_client *client)
{
    while (client->addresses) {
        address_free(client->addresses);
    }
}

static struct cw_http_address *longest_unused(struct cw_http_client *client)
{
    struct cw_http_address *found = NULL;

    for (struct cw_http_address *at = client->addresses; at; at = at->next) {
        if (is_unused(at) && (!found || at->used_ms <= found->used_ms)) {
            found = at; /* of equals the one that was made first */
        }
    }
    return found;
}

void cw_http_addresses_trim(struct cw_http_client *client)
{
    struct cw_http_address *unused;

    while (client->address_count > client->options.addresses_max &&
           (unused = longest_unused(client)) != NULL) {
        address_free(unused);
    }
}

static struct cw_pool *make_pool(struct cw_http_client *client, const struct cw_http_call *call,
                                 const char *target)
{
    const uint64_t year = 31536000000ull;
    struct cw_pool_options options = {
        .conns_max = client->options.conns_max,
        .waiting_max = WAITING_MAX,
        .waiting_ms = year, /* calls have time-outs of their own */
        .idle_ms = client->options.idle_ms,
        .no_pause = true,
        .connect = {.connect_ms = call->request.connect_ms,
                    .idle_ms = CW_OFF,
                    .write_ms = CW_OFF,      /* quiet_ms counts both ways */
                    .read_while_full = true, /* an answer may come before all is sent */
                    .tls = call->url.scheme == CW_SCHEME_HTTPS ? &call->tls : NULL},
    };
    struct cw_service service = cw_service(&cw_http_client_protocol, &cw_http_client_hooks, client);

    return cw_pool_new(client->loop, service, target, &options);
}

static struct cw_http_address *address_new(const struct cw_http_call *call, const char *target,
                                           const struct key *key)
{
    struct cw_http_address *address = cw_alloc_zero(sizeof *address);

    if (!address) {
        return NULL;
    }
    address->pool = make_pool(call->client, call, target);
    if (!address->pool) {
        cw_release(address);
        return NULL;
    }
    address->client = call->client;
    cw_http_ring_init(&address->waiting);
    address->key = key->to;
    address->key_len = key->len;
    snprintf(address->target, sizeof address->target, "%s", target);
    address->next = call->client->addresses;
    call->client->addresses = address;
    call->client->address_count++;
    return address;
}

static struct cw_http_address *find(struct cw_http_client *client, const struct key *key)
{
    struct cw_http_address *at = client->addresses;

    while (at && !cw_span_equal(cw_span_of(at->key, at->key_len), cw_span_of(key->to, key->len))) {
        at = at->next;
    }
    return at;
}

/* The address that a call's URL leads to, made if it is not there. */
static int find_or_make(struct cw_http_call *call, const char **why)
{
    char target[CW_URL_CONNECT_MAX];
    struct key key;

    if (cw_http_url_connect(&call->url, target) < 0) {
        *why = "the socket's path has to be absolute, and at most 107 bytes long";
        return CW_EINVAL;
    }
    key = key_of(call, target);
    if (!key.to) {
        *why = cw_strerror(CW_ENOMEM);
        return CW_ENOMEM;
    }
    call->address = find(call->client, &key);
    if (call->address) {
        cw_release(key.to);
        return CW_OK;
    }
    call->address = address_new(call, target, &key);
    if (!call->address) {
        cw_release(key.to);
        *why = "its address or its TLS options are not allowed, as the log says, or memory ran out";
        return CW_EINVAL;
    }
    return CW_OK;
}

/* ---- waiting for a connection ---- */

static struct cw_http_call *first_waiting(struct cw_http_address *address)
{
    struct cw_http_ring *first = address->waiting.next;

    return cw_http_ring_is_empty(&address->waiting)
               ? NULL
               : CW_RING_HOLDER(first, struct cw_http_call, wait);
}

static void on_conn(struct cw_loop *loop, struct cw_conn *conn, int code, void *user)
{
    struct cw_http_address *address = user;
    struct cw_http_call *call = first_waiting(address);

    (void)loop;
    address->asked--;
    if (!call) { /* cancelled meanwhile */
        if (conn) {
            cw_pool_release(address->pool, cw_conn_id(conn));
        }
        return;
    }
    cw_http_ring_leave(&call->wait);
    if (conn) {
        address->running++;
        cw_http_call_send(call, conn);
    } else {
        cw_http_call_fail(call, code, code == address->why_code ? address->why : cw_strerror(code));
    }
}

int cw_http_address_join(struct cw_http_call *call, const char **why)
{
    int error = find_or_make(call, why);

    if (error < 0) {
        return error;
    }
    error = cw_pool_acquire(call->address->pool, on_conn, call->address);
    if (error < 0) {
        *why = cw_strerror(error);
        return error;
    }
    call->phase = CW_CALL_WAITING;
    call->address->asked++;
    call->address->used_ms = cw_loop_now_ms(call->client->loop);
    cw_http_ring_join(&call->address->waiting, &call->wait);
    return CW_OK;
}

void cw_http_address_leave(struct cw_http_call *call)
{
    cw_http_ring_leave(&call->wait);
}

void cw_http_address_give_back(struct cw_http_call *call, struct cw_conn *conn,
                               enum cw_http_parting parting)
{
    struct cw_http_answer *answer = cw_conn_state(conn);
    struct cw_http_address *address = call->address;

    call->conn = NULL;
    address->used_ms = cw_loop_now_ms(address->client->loop);
    cw_conn_unhold(conn);
    if (parting == CW_PART_KEEP && !call->request.no_reuse &&
        call->client->options.idle_ms != CW_OFF) {
        cw_conn_set_idle(conn, CW_OFF); /* the pool looks after it now */
        answer->returns = address;      /* inside on_bytes its input still seems unused */
        cw_conn_soon(conn);
        return;
    }
    if (parting == CW_PART_ABORT) {
        cw_conn_abort(conn);
    } else {
        cw_conn_close(conn);
    }
    address->running--;
    cw_pool_release(address->pool, cw_conn_id(conn));
}

void cw_http_address_return(struct cw_http_answer *answer, struct cw_conn *conn)
{
    struct cw_http_address *address = answer->returns;

    answer->returns = NULL;
    address->running--;
    cw_pool_release(address->pool, cw_conn_id(conn));
}

/* Which address it is about stands in the text alone: those that failed may be gone already. */
void cw_http_address_note(struct cw_http_client *client, const struct cw_error_report *report)
{
    char words[CW_REPORT_TEXT_MAX];

    for (struct cw_http_address *at = client->addresses; at; at = at->next) {
        int len = snprintf(words, sizeof words, "connect %.80s: ", at->target);

        if (len > 0 && strncmp(report->text, words, (size_t)len) == 0) {
            at->why_code = report->code;
            snprintf(at->why, sizeof at->why, "%s", report->text);
        }
    }
}
