/* WebSocket on libwebsockets: an echo, compressed if it was agreed on; /bc says everything to everybody.
 *
 * Its rule is that writing waits for a callback: what came lies in a queue until then, and as much is written in one as
 * its pipe takes. */
#include <libwebsockets.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { PIECE_BYTES = 65536 + 64, SLOTS = 256 };

struct text {
    struct text *next;
    size_t len;
    unsigned char room[LWS_PRE]; /* what the library wants before the bytes */
    unsigned char bytes[];
};

struct session {
    bool member;
    unsigned next; /* member: the slot that it gets next */
    struct text *first;
    struct text **end;
    unsigned char *part; /* of a message that comes in pieces */
    size_t part_len;
};

static struct text *slots[SLOTS]; /* the last messages to everybody */
static unsigned slots_end;

static struct text *text_new(const void *bytes, size_t len)
{
    struct text *text = malloc(sizeof *text + len);

    if (text == NULL)
        return NULL;
    text->next = NULL;
    text->len = len;
    memcpy(text->bytes, bytes, len);
    return text;
}

static bool write_text(struct lws *wsi, struct text *text)
{
    return lws_write(wsi, text->bytes, text->len, LWS_WRITE_TEXT) >= (int)text->len;
}

static int send_queued(struct lws *wsi, struct session *session)
{
    while (session->first != NULL && !lws_send_pipe_choked(wsi)) {
        struct text *text = session->first;
        if (!write_text(wsi, text))
            return -1;
        session->first = text->next;
        if (session->first == NULL)
            session->end = &session->first;
        free(text);
    }
    if (session->first != NULL)
        lws_callback_on_writable(wsi);
    return 0;
}

static int send_slots(struct lws *wsi, struct session *session)
{
    while (session->next != slots_end && !lws_send_pipe_choked(wsi)) {
        if (!write_text(wsi, slots[session->next % SLOTS]))
            return -1;
        session->next++;
    }
    if (session->next != slots_end)
        lws_callback_on_writable(wsi);
    return 0;
}

static int take(struct lws *wsi, struct session *session, const void *bytes, size_t len)
{
    struct text *text = text_new(bytes, len);

    if (text == NULL)
        return -1;
    if (session->member) {
        free(slots[slots_end % SLOTS]);
        slots[slots_end++ % SLOTS] = text;
        lws_callback_on_writable_all_protocol(lws_get_context(wsi), lws_get_protocol(wsi));
        return 0;
    }
    *session->end = text;
    session->end = &text->next;
    lws_callback_on_writable(wsi);
    return 0;
}

static int take_piece(struct lws *wsi, struct session *session, const void *bytes, size_t len)
{
    bool last = lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0;

    if (last && session->part_len == 0)
        return take(wsi, session, bytes, len);
    unsigned char *grown = realloc(session->part, session->part_len + len + 1);
    if (grown == NULL)
        return -1;
    session->part = grown;
    memcpy(grown + session->part_len, bytes, len);
    session->part_len += len;
    if (!last)
        return 0;
    int taken = take(wsi, session, session->part, session->part_len);
    session->part_len = 0;
    return taken;
}

static void open_session(struct lws *wsi, struct session *session)
{
    char path[16];

    *session = (struct session){.next = slots_end};
    session->end = &session->first;
    session->member =
        lws_hdr_copy(wsi, path, sizeof path, WSI_TOKEN_GET_URI) > 0 && strcmp(path, "/bc") == 0;
}

static void close_session(struct session *session)
{
    while (session->first != NULL) {
        struct text *text = session->first;
        session->first = text->next;
        free(text);
    }
    free(session->part);
}

static int serve(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct session *session = user;

    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        open_session(wsi, session);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return take_piece(wsi, session, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return session->member ? send_slots(wsi, session) : send_queued(wsi, session);
    case LWS_CALLBACK_CLOSED:
        close_session(session);
        return 0;
    default:
        return 0;
    }
}

int main(int argc, char **argv)
{
    static const struct lws_protocols protocols[] = {
        {.name = "echo",
         .callback = serve,
         .per_session_data_size = sizeof(struct session),
         .rx_buffer_size = PIECE_BYTES},
        {0}};
    static const struct lws_extension extensions[] = {
        {"permessage-deflate", lws_extension_callback_pm_deflate,
         "permessage-deflate; client_no_context_takeover; server_no_context_takeover"},
        {0}};
    struct lws_context_creation_info info = {
        .port = argc == 3 ? (int)strtol(argv[2], NULL, 10) : 0,
        .iface = "127.0.0.1",
        .protocols = protocols,
        .extensions = extensions,
        .pt_serv_buf_size = PIECE_BYTES,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_VALIDATE_UTF8,
        .gid = -1,
        .uid = -1,
    };
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    lws_set_log_level(LLL_ERR, NULL);
    struct lws_context *context = lws_create_context(&info);
    struct lws_vhost *vhost = context != NULL ? lws_create_vhost(context, &info) : NULL;
    if (vhost == NULL)
        return 1;
    printf("listening on ws://127.0.0.1:%d\n", lws_get_vhost_listen_port(vhost));
    fflush(stdout);
    while (lws_service(context, 0) >= 0)
        ;
    return 0;
}
