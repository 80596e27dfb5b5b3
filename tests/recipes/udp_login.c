/* udp_login: who says hello is sent a token, and who sends it back with the password is in the room.
 *
 * ```text
 * hello from ada                        ──►
 *                                       ◄──  token 64kVxPR1vXmZtqVtJrBGQQ==
 * join 64kVxPR1vXmZtqVtJrBGQQ== sesame  ──►
 *                                       ◄──  welcome
 * anything                              ──►  to everybody else
 * ``` */
#include <causeway/causeway.h>
#include <causeway/middleware/http_auth.h>
#include <stdlib.h>

/* Only the owner of the address reads it, so only he can send it back. Nothing is kept for those who never do. */
static void send_token(struct cw_conn *conn)
{
    uint8_t token[CW_TOKEN_BYTES];
    char text[CW_BASE64_ROOM(CW_TOKEN_BYTES)];

    if (cw_conn_token(conn, token) == CW_OK) {
        cw_base64_encode(cw_span_of(token, sizeof token), text);
        cw_conn_sendf(conn, "token %s", text); /* refused if the hello was under 10 bytes */
    }
}

static bool is_password(struct cw_span given)
{
    char text[64];

    return cw_span_to_text(given, text, sizeof text) == CW_OK && cw_equal_secret(text, "sesame");
}

static bool is_token(struct cw_conn *conn, struct cw_span text)
{
    uint8_t token[CW_BASE64_ROOM(CW_TOKEN_BYTES)];
    ptrdiff_t len = text.len < sizeof token ? cw_base64_decode(text, token) : CW_EINVAL;

    return len > 0 && cw_conn_prove(conn, cw_span_of(token, (size_t)len)) == CW_OK;
}

/* A join may come twice, or its answer be lost: whoever repeats it is welcome again. */
static void join(struct cw_conn *conn, struct cw_span token, struct cw_span password)
{
    if (!is_token(conn, token)) {
        send_token(conn); /* too old, or not his */
    } else if (!is_password(password)) {
        cw_conn_send_text(conn, "wrong password");
    } else {
        cw_conn_set_user(conn, conn); /* logged in */
        cw_room_join(conn, "lobby");
        cw_conn_send_text(conn, "welcome");
    }
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct cw_span rest = cw_span_trim(msg->body);

    if (cw_span_starts_with(rest, "join ")) {
        cw_span_cut(&rest, ' ');
        struct cw_span token = cw_span_cut(&rest, ' ');
        join(conn, token, rest);
    } else if (cw_conn_user(conn) == NULL) {
        send_token(conn);
    } else {
        cw_room_send(cw_conn_server(conn), "lobby", msg,
                     &(struct cw_room_send_options){.except = cw_conn_id(conn)});
    }
}

int main(int argc, char **argv)
{
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000;
    struct cw_server *server = cw_create_server(&cw_udp);

    cw_server_set_hooks(server, &(struct cw_hooks){.on_data = on_data}, NULL);
    cw_server_listen(
        server, &(struct cw_listen_options){.port = port, .datagram = {.peer_silent_ms = 30000}});
    return cw_server_main(server);
}
