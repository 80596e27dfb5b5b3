/* udp_lookup: answers questions one by one, without knowing who asks: what DNS does, in three words.
 *
 * ```text
 * 7 capital of peru  ──►
 *                    ◄──  7 lima
 * ``` */
#include <causeway/causeway.h>
#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_MAX_BYTES = 512 };

static const struct {
    const char *question;
    const char *answer;
} table[] = {
    {"capital of peru", "lima"},
    {"how to cook rice",
     "Wash it until the water stays clear. One cup of rice, one and a half of water, a "
     "little salt; bring it to the boil, put the lid on, and leave it alone for twelve "
     "minutes on the smallest flame, then for ten more on none."},
};

static const char *find(struct cw_span question)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (cw_span_equal(question, cw_span_text(table[i].question))) {
            return table[i].answer;
        }
    }
    return "nobody knows";
}

/* The number in front is the asker's: it tells him which of his questions this is, and whether somebody has guessed. */
static void answer(struct cw_loop *loop, struct cw_datagram *from, const struct cw_message *msg,
                   void *user)
{
    struct cw_span rest = cw_span_trim(msg->body);
    struct cw_span number = cw_span_cut(&rest, ' ');
    char text[ANSWER_MAX_BYTES];
    int len = snprintf(text, sizeof text, "%.*s %s", (int)number.len, (const char *)number.data,
                       find(rest));

    if (number.len > 8 || rest.len == 0) {
        return; /* no question */
    }
    if ((uint64_t)len > from->credit) {
        len = snprintf(text, sizeof text, "%.*s ask by TCP", (int)number.len,
                       (const char *)number.data);
    }
    cw_datagram_reply(loop, from, cw_span_of(text, (size_t)len));
}

/* The same question over TCP, a line each: there the address is known to be real. */
static void answer_line(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send_text(conn, find(msg->body));
}

int main(int argc, char **argv)
{
    static const struct cw_hooks lines = {.on_data = answer_line};
    static const struct cw_udp_options stateless = {.on_datagram = answer};
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000;
    uint16_t line_port = argc > 2 ? (uint16_t)strtoul(argv[2], NULL, 10) : port;
    struct cw_server *server = cw_create_server(&cw_udp);

    cw_udp_configure(server, &stateless);
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    cw_server_listen(server, &(struct cw_listen_options){
                                 .port = line_port, .service = cw_service(&cw_line, &lines, NULL)});
    return cw_server_main(server);
}
