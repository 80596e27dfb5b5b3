/* presence: who is here? "hi NAME" comes in, "who" lists; everyone hears "+NAME" and "-NAME". */
#include <causeway/causeway.h>
#include <stdio.h>
#include <stdlib.h>

static const char room[] = "here";
enum { NAME_MAX_BYTES = 32 };

struct person {
    char name[NAME_MAX_BYTES + 1]; /* "": has not said hi */
};

static void tell_others(struct cw_conn *conn, char sign, const struct person *person)
{
    char text[NAME_MAX_BYTES + 2];
    struct cw_message msg;

    snprintf(text, sizeof text, "%c%s", sign, person->name);
    msg = cw_message_text(text);
    cw_room_send(cw_conn_server(conn), room, &msg,
                 &(struct cw_room_send_options){.except = cw_conn_id(conn)});
}

static void come_in(struct cw_conn *conn, struct cw_span name)
{
    struct person *person = cw_conn_user(conn);

    if (person->name[0] || name.len == 0 || name.len > NAME_MAX_BYTES) {
        cw_conn_send_text(conn, "? no");
        return;
    }
    if (cw_room_join_as(conn, room, name) < 0) { /* the name is what others see of this member */
        cw_conn_send_text(conn, "? full");
        return;
    }
    memcpy(person->name, name.data, name.len);
    cw_conn_send_text(conn, "welcome");
    tell_others(conn, '+', person);
}

static void list(struct cw_conn *conn)
{
    struct cw_room_members *members = cw_room_members_new(cw_conn_server(conn), room);

    for (size_t i = 0; members && i < members->count; i++) {
        struct cw_span name = members->entries[i].presence;
        cw_conn_sendf(conn, "=%.*s", (int)name.len, (const char *)name.data);
    }
    cw_room_members_free(members);
}

static void on_connection(struct cw_conn *conn, void *user)
{
    cw_conn_set_user(conn, calloc(1, sizeof(struct person)));
    if (cw_conn_user(conn) == NULL) {
        cw_conn_abort(conn);
    }
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    const struct cw_span hi = cw_span_text("hi ");
    struct cw_span text = msg->body;

    if (text.len > hi.len && memcmp(text.data, hi.data, hi.len) == 0) {
        come_in(conn, cw_span_of(text.data + hi.len, text.len - hi.len));
    } else if (cw_span_equal(text, cw_span_text("who"))) {
        list(conn);
    } else {
        cw_conn_send_text(conn, "? hi NAME, or who");
    }
}

/* The room has been left already, however the connection ended. */
static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct person *person = cw_conn_user(conn);

    if (person != NULL && person->name[0]) {
        tell_others(conn, '-', person);
    }
    free(person);
}

int main(int argc, char **argv)
{
    static const struct cw_hooks hooks = {
        .on_connection = on_connection, .on_data = on_data, .on_close = on_close};
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000;
    struct cw_server *server = cw_create_server(&cw_line);

    cw_server_set_hooks(server, &hooks, NULL);
    cw_server_configure(server, &(struct cw_server_options){.workers = 2});
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    return cw_server_main(server);
}
