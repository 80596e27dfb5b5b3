/* udp_ask: asks over UDP, and asks again when no answer comes: after a quarter of a second, then half, then a whole one.
 *
 * udp_ask ADDRESS QUESTION */
#include <causeway/causeway.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST_MS = 250, TRIES = 4 };

struct question {
    const char *text;
    char number[9]; /* nobody who does not see the question can answer it */
    unsigned tries;
    bool answered;
};

/* It is not known which was lost, the question or its answer, so the question must do no harm when it comes twice. */
static void ask(struct cw_conn *conn, void *user)
{
    struct question *question = user;

    if (question->tries == TRIES) {
        fprintf(stderr, "no answer\n");
        cw_loop_stop(cw_conn_loop(conn));
        return;
    }
    cw_conn_sendf(conn, "%s %s", question->number, question->text);
    cw_conn_after(conn, (uint64_t)FIRST_MS << question->tries++, 0, ask, question);
}

/* What has another number is late, of an earlier question, or not from whom we think. */
static void take(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct question *question = user;
    struct cw_span rest = msg->body;

    if (cw_span_equal(cw_span_cut(&rest, ' '), cw_span_text(question->number))) {
        printf("%.*s\n", (int)rest.len, (const char *)rest.data);
        question->answered = true;
        cw_loop_stop(cw_conn_loop(conn));
    }
}

/* Nobody listens there: an ICMP message says so, where one comes. */
static void complain(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    fprintf(stderr, "%s\n", report->text);
}

int main(int argc, char **argv)
{
    static const struct cw_hooks hooks = {
        .on_connection = ask, .on_data = take, .on_error = complain};
    struct question question = {.text = argc > 2 ? argv[2] : "capital of peru"};
    struct cw_loop *loop = cw_loop_new();
    uint32_t number;

    if (loop != NULL && getentropy(&number, sizeof number) == 0 &&
        snprintf(question.number, sizeof question.number, "%08x", number) > 0 &&
        cw_connect(loop, cw_service(&cw_udp, &hooks, &question),
                   argc > 1 ? argv[1] : "127.0.0.1:7000", NULL) > 0) {
        cw_loop_main(loop);
    }
    cw_loop_free(loop);
    return question.answered ? 0 : 1;
}
