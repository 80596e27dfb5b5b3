/* Clients: the handshake on a connection, and cw_websocket_connect. */
#include "ws_dial.h"

#include "../http/http_url.h"

#include <causeway/client.h>
#include <causeway/digest.h>
#include <causeway/error.h>
#include <causeway/hash.h>
#include <causeway/http_fields.h>
#include <causeway/log.h>

#include <stdio.h>

enum {
    KEY_TEXT = CW_BASE64_ROOM(sizeof(struct cw_hash_seed)),
    WANT_FROM = 16384,
};

/* ---- the request ---- */

void cw_ws_dial_free(struct cw_ws_dial *dial)
{
    if (dial) {
        cw_release(dial->subprotocol);
        cw_release(dial);
    }
}

/* Host of a client that was not made from a URL. */
static void print_host(const struct cw_conn *conn, char host[CW_ADDRESS_TEXT_MAX])
{
    struct cw_address peer = *cw_conn_peer(conn);

    peer.scope = 0; /* RFC 6874 §1: it means something on this machine alone */
    if (peer.family == CW_UNIX) {
        snprintf(host, CW_ADDRESS_TEXT_MAX, "localhost");
    } else {
        cw_address_print(&peer, host);
    }
}

/* RFC 6455 §4.1, point 7: 16 bytes, by chance, new for each connection. */
static int make_key(char key[KEY_TEXT])
{
    struct cw_hash_seed chance;

    if (cw_hash_seed(&chance) < 0) {
        return CW_EOS;
    }
    cw_base64_encode(cw_span_of(&chance, sizeof chance), key);
    return CW_OK;
}

static int ask_application(struct cw_conn *conn, struct cw_websocket_request *request)
{
    const struct cw_websocket_options *options = request->options;
    int answer;

    if (!options->on_request) {
        return CW_OK;
    }
    answer = options->on_request(request, cw_conn_service_user(conn));
    return answer == 0
               ? CW_OK
               : cw_conn_fail(conn, answer < 0 ? answer : CW_EINVAL, "on_request says %s",
                              answer < 0 ? cw_error_name(answer) : "what is no enum cw_error");
}

static int write_request(struct cw_conn *conn, const struct cw_websocket_request *request,
                         const char *key)
{
    const struct cw_websocket_options *options = request->options;
    char host[CW_ADDRESS_TEXT_MAX];
    char offer[CW_WS_EXTENSION_TEXT];
    struct cw_ws_text text = {0};
    struct cw_span bytes;
    int error;

    print_host(conn, host);
    if (options->compress) {
        cw_ws_make_offer(&options->deflate, offer);
    }
    error = cw_ws_request_print(request, host, key, options->compress ? offer : NULL, &text);
    bytes = cw_span_of(text.data, text.len);
    error = error < 0 ? error : cw_conn_write(conn, &bytes, 1);
    cw_release(text.data);
    return error < 0 ? error : CW_OK;
}

static int send_request(struct cw_conn *conn, struct cw_ws_dial *dial)
{
    struct cw_websocket_request request = {.options = cw_conn_options(conn)};
    char key[KEY_TEXT];
    int error = make_key(key);

    error = error < 0 ? error : cw_ws_accept_key(cw_span_text(key), dial->accept);
    error = error < 0 ? error : ask_application(conn, &request);
    error = error < 0 ? error : write_request(conn, &request, key);
    cw_ws_request_release(&request);
    return error;
}

int cw_ws_open_client(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    struct cw_ws_dial *dial = cw_alloc_zero(sizeof *dial);
    int error;

    if (!dial) {
        return CW_ENOMEM;
    }
    error = send_request(conn, dial);
    error = error < 0 ? error : cw_ws_set_dial(conn, ws, dial);
    if (error < 0) {
        cw_ws_dial_free(dial);
        return error;
    }
    return 1;
}

/* ---- the answer ---- */

/* It is right: what comes behind it are frames. */
static int begin(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    struct cw_ws_dial *dial = cw_ws_dial_of(ws);
    struct cw_ws_agreed agreed = dial->agreed;
    char *subprotocol = dial->subprotocol;
    int error;

    dial->subprotocol = NULL;
    cw_ws_set_dial(conn, ws, NULL);
    cw_ws_dial_free(dial);
    error = cw_ws_begin(conn, ws, &agreed, subprotocol);
    if (error == CW_OK) {
        cw_conn_ready(conn);
    }
    return error;
}

ptrdiff_t cw_ws_dial_bytes(struct cw_conn *conn, struct cw_ws_conn *ws, const uint8_t *data,
                           size_t len)
{
    struct cw_ws_dial *dial = cw_ws_dial_of(ws);
    struct cw_complaint complaint = {""};
    ptrdiff_t used =
        cw_ws_read_answer(dial, cw_conn_options(conn), cw_span_of(data, len), &complaint);
    int error;

    if (used < 0) {
        return cw_conn_fail(conn, (int)used, "%s", complaint.text);
    }
    if (used == 0 && len >= WANT_FROM) {
        cw_conn_want(conn, len + 1); /* a head may be longer than what may wait unused otherwise */
    }
    error = dial->is_done ? begin(conn, ws) : CW_OK;
    return error < 0 ? error : used;
}

int cw_ws_dial_end(struct cw_conn *conn, size_t len)
{
    return cw_conn_fail(conn, CW_ETRUNCATED, "the connection ended %s",
                        len > 0 ? "in the middle of the server's answer"
                                : "before the server had answered");
}

int cw_websocket_status(const struct cw_conn *conn)
{
    const struct cw_ws_dial *dial;
    const struct cw_ws_conn *ws;

    if (cw_conn_protocol(conn) != &cw_websocket || cw_conn_role(conn) != CW_CLIENT) {
        return 0;
    }
    ws = cw_conn_state((struct cw_conn *)conn);
    dial = cw_ws_dial_of(ws);
    return ws->flags & CW_WS_BEGUN ? 101 : dial ? dial->status : 0;
}

/* ---- from a URL ---- */

/* A URL and what is made of it. */
struct place {
    char text[CW_URL_MAX + 1]; /* with the scheme of HTTP */
    char target[CW_URL_MAX + 2];
    char host[CW_URL_CONNECT_MAX];
    char address[CW_URL_CONNECT_MAX];
    struct cw_http_url url;
};

static int refuse(const char **why, const char *sentence)
{
    *why = sentence;
    return CW_EINVAL;
}

/* RFC 6455 §3: as http and https, but for the scheme, and without a fragment. */
static int take_scheme(struct cw_span url, struct place *place, const char **why)
{
    static const char *const schemes[][2] = {
        {"ws://", "http://"}, {"wss://", "https://"}, {"ws+unix://", "http+unix://"}};
    size_t room = sizeof place->text;

    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t len = strlen(schemes[i][0]);

        if (url.len >= len && cw_http_equal(cw_span_of(url.data, len), schemes[i][0])) {
            return (size_t)snprintf(place->text, room, "%s%.*s", schemes[i][1],
                                    (int)(url.len - len), (const char *)url.data + len) < room
                       ? CW_OK
                       : refuse(why, "it is longer than 16384 bytes");
        }
    }
    return refuse(why, "a URL of a WebSocket begins with ws://, wss:// or ws+unix://");
}

static int read_url(const char *text, struct place *place, const char **why)
{
    struct cw_span url = cw_span_text(text ? text : "");

    if (url.len > CW_URL_MAX) {
        return refuse(why, "it is longer than 16384 bytes");
    }
    if (take_scheme(url, place, why) < 0) {
        return CW_EINVAL;
    }
    if (strchr(place->text, '#')) {
        return refuse(why, "a URL of a WebSocket has no fragment: write # as %23");
    }
    if (cw_http_url_parse(cw_span_text(place->text), &place->url, why) < 0) {
        return CW_EINVAL;
    }
    if (cw_http_url_connect(&place->url, place->address) < 0) {
        return refuse(why, "the path of the socket is absolute and at most 107 bytes long");
    }
    cw_http_url_authority(&place->url, place->host, sizeof place->host);
    snprintf(place->target, sizeof place->target, "%s%.*s%.*s", place->url.path.len == 0 ? "/" : "",
             (int)place->url.path.len, (const char *)place->url.path.data,
             (int)place->url.query.len, (const char *)place->url.query.data);
    return CW_OK;
}

static int64_t connect_place(struct cw_loop *loop, const struct place *place,
                             const struct cw_hooks *hooks, struct cw_websocket_options *options,
                             const struct cw_connect_options *connect)
{
    struct cw_connect_options how = connect ? *connect : (struct cw_connect_options){0};
    struct cw_tls_options tls = how.tls ? *how.tls : (struct cw_tls_options){0};

    tls.alpn = tls.alpn ? tls.alpn : "http/1.1"; /* RFC 7301 §6 */
    how.tls = place->url.scheme == CW_SCHEME_HTTPS ? &tls : NULL;
    options->host = options->host ? options->host : place->host;
    options->target = place->target;
    return cw_connect(loop, cw_websocket_service(options, hooks, options->user), place->address,
                      &how);
}

/* The URL as far as it holds no secret. */
static int64_t complain(const char *url, const char *why)
{
    const char *text = url ? url : "(NULL)";

    cw_log(CW_LOG_ERROR, 0, "cw_websocket_connect: %.*s: %s",
           strchr(text, '@') ? 0 : (int)strcspn(text, "?#"), text, why);
    return CW_EINVAL;
}

int64_t cw_websocket_connect(struct cw_loop *loop, const char *url, const struct cw_hooks *hooks,
                             const struct cw_websocket_options *options,
                             const struct cw_connect_options *connect)
{
    struct cw_websocket_options own = options ? *options : (struct cw_websocket_options){0};
    struct place *place = cw_alloc(sizeof *place);
    const char *why = "";
    int64_t id;

    if (!place) {
        return CW_ENOMEM;
    }
    if (own.target) {
        id = complain(url, "target: the URL says it");
    } else if (cw_ws_foreign_member(&own, CW_CLIENT)) {
        id = complain(url, own.origins ? "origins: only servers have it; say Origin in `fields`"
                                       : "on_handshake and http: only servers have them");
    } else if (read_url(url, place, &why) < 0) {
        id = complain(url, why);
    } else {
        id = connect_place(loop, place, hooks, &own, connect);
    }
    cw_release(place);
    return id;
}
