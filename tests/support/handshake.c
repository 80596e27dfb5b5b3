/* A TLS handshake in memory. */
#include "support/handshake.h"

#include "support/wait.h"
#include "tls/tls_library.h"

#include <stdio.h>

enum { PIPE_CAP = 1 << 17, STEPS_MAX = 200 };

struct pipe {
    unsigned char bytes[PIPE_CAP];
    size_t len;
};

struct end {
    struct cw_tls_session session;
    struct pipe *in;
    struct pipe *out;
    int result;
    bool seen_cert;
};

static int send_bytes(void *context, const unsigned char *bytes, size_t len)
{
    struct pipe *out = ((struct end *)context)->out;

    if (len > PIPE_CAP - out->len) {
        len = PIPE_CAP - out->len;
    }
    memcpy(out->bytes + out->len, bytes, len);
    out->len += len;
    return len > 0 ? (int)len : MBEDTLS_ERR_SSL_WANT_WRITE;
}

static int receive_bytes(void *context, unsigned char *bytes, size_t len)
{
    struct pipe *in = ((struct end *)context)->in;

    if (in->len == 0) {
        return MBEDTLS_ERR_SSL_WANT_READ;
    }
    len = len < in->len ? len : in->len;
    memcpy(bytes, in->bytes, len);
    memmove(in->bytes, in->bytes + len, in->len - len);
    in->len -= len;
    return (int)len;
}

static bool wants_more(int result)
{
    return result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE;
}

/* A resumed handshake never comes to the server's certificate. */
static int shake_one(struct end *end)
{
    mbedtls_ssl_context *ssl = &end->session.ssl;
    int result = 0;

    while (result == 0 && ssl->CW_TLS_PRIVATE(state) != MBEDTLS_SSL_HANDSHAKE_OVER) {
        end->seen_cert =
            end->seen_cert || ssl->CW_TLS_PRIVATE(state) == MBEDTLS_SSL_SERVER_CERTIFICATE;
        result = cw_tls_session_step(&end->session);
    }
    end->session.resumed = result == 0 && !end->seen_cert;
    return result;
}

static void shake(struct end *server, struct end *client)
{
    server->result = client->result = MBEDTLS_ERR_SSL_WANT_READ;
    for (int i = 0; i < STEPS_MAX; i++) {
        if (wants_more(client->result)) {
            client->result = shake_one(client);
        }
        if (wants_more(server->result)) {
            server->result = shake_one(server);
        }
        if (!wants_more(server->result) && !wants_more(client->result)) {
            return;
        }
        if (server->in->len == 0 && client->in->len == 0) {
            return;
        }
    }
}

/* The library also says that it wants to read when it has read a message of its own. */
static int read_some(struct end *end, unsigned char *bytes, size_t len)
{
    int result;

    do {
        result = mbedtls_ssl_read(&end->session.ssl, bytes, len);
#if defined(MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
        if (result == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
            cw_tls_session_keep(&end->session);
            result = MBEDTLS_ERR_SSL_WANT_READ;
        }
#endif
    } while (result == MBEDTLS_ERR_SSL_WANT_READ && end->in->len > 0);
    return result;
}

static bool say(struct end *from, struct end *to)
{
    static const unsigned char word[] = "hello";
    unsigned char heard[16] = "";

    if (mbedtls_ssl_write(&from->session.ssl, word, sizeof word) != (int)sizeof word) {
        return false;
    }
    int got = read_some(to, heard, sizeof heard);
    if (got < 0) {
        to->result = got;
    }
    return got == (int)sizeof word && memcmp(word, heard, sizeof word) == 0;
}

static void describe(struct end *end, struct handshake_end *out)
{
    memset(out, 0, sizeof *out);
    out->result = end->result;
    if (end->result != 0) {
        cw_tls_explain(&end->session, end->result, &out->failure);
        cw_tls_session_forget(&end->session);
        return;
    }
    cw_tls_describe(&end->session, &out->info);
    out->has_peer = cw_tls_describe_peer(&end->session, &out->peer) == CW_OK;
    snprintf(out->server_name, sizeof out->server_name, "%s", out->info.server_name);
    snprintf(out->alpn, sizeof out->alpn, "%s", out->info.alpn);
    snprintf(out->version, sizeof out->version, "%s", out->info.version);
    snprintf(out->cipher, sizeof out->cipher, "%s", out->info.cipher);
}

static void open_end(struct end *end, struct cw_tls *tls, struct pipe *in, struct pipe *out)
{
    memset(end, 0, sizeof *end);
    rig_check(cw_tls_session_open(&end->session, tls) == CW_OK);
    end->in = in;
    end->out = out;
    mbedtls_ssl_set_bio(&end->session.ssl, end, send_bytes, receive_bytes, NULL);
}

void handshake_run(struct cw_tls *server, struct cw_tls *client, struct handshake *handshake)
{
    static struct pipe to_server;
    static struct pipe to_client;
    struct end at_server;
    struct end at_client;

    to_server.len = to_client.len = 0;
    memset(handshake, 0, sizeof *handshake);
    open_end(&at_server, server, &to_server, &to_client);
    open_end(&at_client, client, &to_client, &to_server);
    shake(&at_server, &at_client);
    if (at_client.result == 0) {
        cw_tls_session_keep(&at_client.session);
    }
    if (at_client.result == 0 && at_server.result == 0) {
        handshake->spoken = say(&at_client, &at_server) && say(&at_server, &at_client);
    } else if (at_client.result == 0) {
        unsigned char byte; /* under 1.3 a client is done before the server has judged it */
        at_client.result = read_some(&at_client, &byte, 1);
    }
    describe(&at_server, &handshake->server);
    describe(&at_client, &handshake->client);
    cw_tls_session_close(&at_server.session);
    cw_tls_session_close(&at_client.session);
}

static struct cw_tls *make(const struct cw_tls_options *options, enum cw_role role, const char *host)
{
    struct cw_complaint complaint = {""};
    int error = CW_OK;
    struct cw_tls *tls =
        cw_tls_new(&(struct cw_tls_setup){options, role, host, false}, &complaint, &error);

    if (!tls) {
        rig_fail(__FILE__, __LINE__, "%s (%d)", complaint.text, error);
    }
    return tls;
}

struct cw_tls *handshake_server(const struct cw_tls_options *options)
{
    return make(options, CW_SERVER, NULL);
}

struct cw_tls *handshake_client(const struct cw_tls_options *options, const char *host)
{
    return make(options, CW_CLIENT, host ? host : "localhost");
}

void handshake_try(const struct cw_tls_options *server, const struct cw_tls_options *client,
                   const char *host, struct handshake *handshake)
{
    struct cw_tls *one = handshake_server(server);
    struct cw_tls *other = handshake_client(client, host);

    handshake_run(one, other, handshake);
    cw_tls_drop(one);
    cw_tls_drop(other);
}
