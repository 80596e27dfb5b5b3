/* Clients of datagrams, and hooks that count and remember. */
#include "support/client_story.h"

#include "loop_impl.h"

#include <stdio.h>
#include <string.h>

static void go_on(struct rig_client *client)
{
    if (client->then) {
        client->then(client);
    }
}

static void on_connection(struct cw_conn *conn, void *user)
{
    struct rig_client *client = user;

    rig_check(!client->inside);
    rig_check(!client->conn);
    rig_check(client->opened == client->closed);
    rig_check(cw_conn_is_datagram(conn));
    client->conn = conn;
    client->opened++;
    client->peer = *cw_conn_peer(conn);
    client->conn_user = cw_conn_user(conn);
    rig_check(cw_client_conn(client->loop, client->id) == conn);
    go_on(client);
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct rig_client *client = user;
    size_t kept = msg->body.len < RIG_LAST_MAX - 1 ? msg->body.len : RIG_LAST_MAX - 1;

    rig_check(client->conn == conn);
    client->messages++;
    client->bytes += msg->body.len;
    client->last_len = msg->body.len;
    memcpy(client->last, kept > 0 ? msg->body.data : (const uint8_t *)"", kept);
    client->last[kept] = '\0';
    go_on(client);
}

static int on_idle(struct cw_conn *conn, void *user)
{
    struct rig_client *client = user;

    rig_check(client->conn == conn);
    client->idled++;
    return client->idled <= client->kept ? CW_KEEP : 0;
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct rig_client *client = user;

    rig_check(!client->inside);
    rig_check(client->conn == conn);
    rig_check(!cw_client_conn(client->loop, client->id));
    client->conn = NULL;
    client->closed++;
    client->reason = *reason;
    go_on(client);
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    struct rig_client *client = user;

    rig_check(!client->inside);
    client->failed++;
    client->report = *report;
    client->report.address = NULL;
    client->address = report->address ? *report->address : (struct cw_address){0};
    go_on(client);
}

const struct cw_hooks rig_client_hooks = {
    .on_connection = on_connection,
    .on_data = on_data,
    .on_idle = on_idle,
    .on_close = on_close,
    .on_error = on_error,
};

void rig_client_begin(struct rig_client *client, struct rig_client *other)
{
    memset(client, 0, sizeof *client);
    client->loop = other ? other->loop : cw_loop_new();
    rig_check(client->loop);
}

void rig_client_connect_udp(struct rig_client *client, const char *address,
                            const struct cw_udp_options *udp,
                            const struct cw_connect_options *options)
{
    client->inside = true;
    client->id =
        cw_connect(client->loop, cw_udp_service(udp, &rig_client_hooks, client), address, options);
    client->inside = false;
    if (client->id <= 0) {
        rig_fail(__FILE__, __LINE__, "connect %s: %s", address, cw_strerror((int)client->id));
    }
}

void rig_client_connect(struct rig_client *client, const char *address,
                        const struct cw_connect_options *options)
{
    rig_client_connect_udp(client, address, NULL, options);
}

void rig_client_meet(const char *host, struct rig_client *client, struct rig_udp *peer,
                     const struct cw_udp_options *udp, const struct cw_connect_options *options)
{
    struct cw_address from;
    char hello[8];

    *peer = rig_udp_open(host, "127.0.0.1");
    rig_client_begin(client, NULL);
    client->then = rig_client_greet;
    rig_client_connect_udp(client, rig_at(host, rig_udp_port(peer)), udp, options);
    rig_client_until(client, client->opened == 1);
    rig_client_flush(client);
    rig_check(rig_udp_receive_from(peer, hello, sizeof hello, &from) == 5);
    rig_udp_turn_port(peer, from.port);
}

struct cw_datagram_stats rig_client_stats(const struct rig_client *client)
{
    struct cw_datagram_stats stats;

    cw_loop_datagram_stats(client->loop, &stats);
    return stats;
}

void rig_client_finish(struct rig_client *client)
{
    rig_check(cw_loop_run(client->loop) == CW_OK);
    cw_loop_free(client->loop);
}

void rig_client_end(struct rig_client *client)
{
    (void)cw_client_stop(client->loop, client->id);
    rig_client_finish(client);
}

const char *rig_at(const char *host, uint16_t port)
{
    static char text[128];

    snprintf(text, sizeof text, "%s:%u", host, port);
    return text;
}

void rig_client_say(struct rig_client *client, const char *text)
{
    rig_check(client->conn);
    rig_check(cw_conn_send_text(client->conn, text) == CW_OK);
}

void rig_client_flush(struct rig_client *client)
{
    rig_check(cw_loop_turn(client->loop, false) >= 0);
}

bool rig_client_turn(struct rig_client *client, uint64_t deadline_ms)
{
    rig_client_flush(client);
    return rig_rest(deadline_ms);
}

void rig_client_greet(struct rig_client *client)
{
    if (client->greeted < client->opened) {
        client->greeted = client->opened;
        rig_client_say(client, "hello");
    }
}

void rig_client_close_at_answer(struct rig_client *client)
{
    rig_client_greet(client);
    if (client->conn && client->messages == 1) {
        cw_conn_close(client->conn);
    }
}

void rig_client_close_at_once(struct rig_client *client)
{
    if (client->conn) {
        cw_conn_close(client->conn);
    }
}
