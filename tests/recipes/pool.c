/* pool: each line is handed to a backend over one of a few connections, and its answer handed back. */
#include <causeway/causeway.h>
#include <stdlib.h>

/* One question under way. It is the user pointer of the backend's connection while that works on it. */
struct question {
    struct cw_loop *loop;
    uint64_t asker;
    size_t len;
    uint8_t text[];
};

/* The asker may have gone meanwhile: that is normal. */
static void tell(struct question *question, const struct cw_message *msg)
{
    struct cw_conn *asker = cw_loop_conn(question->loop, question->asker);

    if (asker != NULL) {
        cw_conn_send(asker, msg);
    }
    free(question);
}

static void tell_failure(struct question *question)
{
    const struct cw_message sorry = cw_message_text("no answer, try again");

    tell(question, &sorry);
}

/* ---- the backend's side ---- */

static void on_answer(struct cw_conn *backend, const struct cw_message *msg, void *user)
{
    struct question *question = cw_conn_user(backend);

    if (question == NULL) {
        cw_conn_abort(backend); /* it speaks without being asked: not fit for the next user */
        return;
    }
    cw_conn_set_user(backend, NULL);
    cw_pool_release(cw_loop_user(question->loop), cw_conn_id(backend));
    tell(question, msg);
}

static void on_backend_close(struct cw_conn *backend, const struct cw_close_reason *reason,
                             void *user)
{
    struct question *question = cw_conn_user(backend);

    if (question != NULL) {
        tell_failure(question);
    }
}

static void on_acquired(struct cw_loop *loop, struct cw_conn *backend, int code, void *user)
{
    struct question *question = user;

    if (backend == NULL || cw_conn_send_bytes(backend, question->text, question->len) < 0) {
        tell_failure(question);
        if (backend != NULL) {
            cw_conn_abort(backend);
        }
        return;
    }
    cw_conn_set_user(backend, question);
}

/* ---- the askers' side ---- */

static void on_question(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct cw_loop *loop = cw_conn_loop(conn);
    struct question *question = malloc(sizeof *question + msg->body.len);

    if (question == NULL) {
        cw_conn_close(conn);
        return;
    }
    *question = (struct question){.loop = loop, .asker = cw_conn_id(conn), .len = msg->body.len};
    memcpy(question->text, msg->body.data, msg->body.len);
    if (cw_pool_acquire(cw_loop_user(loop), on_acquired, question) < 0) {
        tell_failure(question);
    }
}

/* Each loop has a pool of its own, so that nothing needs a lock. */
static void on_worker_start(struct cw_server *server, struct cw_loop *loop, void *user)
{
    static const struct cw_hooks backend = {.on_data = on_answer, .on_close = on_backend_close};

    cw_loop_set_user(loop,
                     cw_pool_new(loop, cw_service(&cw_line, &backend, NULL), user,
                                 &(struct cw_pool_options){.conns_max = 2, .waiting_ms = 1000}));
    if (cw_loop_user(loop) == NULL) {
        cw_server_stop(server); /* the log says why */
    }
}

static void on_worker_stop(struct cw_server *server, struct cw_loop *loop, void *user)
{
    cw_pool_free(cw_loop_user(loop));
}

int main(int argc, char **argv)
{
    static const struct cw_hooks hooks = {.on_data = on_question,
                                          .on_worker_start = on_worker_start,
                                          .on_worker_stop = on_worker_stop};
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000;
    struct cw_server *server = cw_create_server(&cw_line);

    cw_server_set_hooks(server, &hooks, argc > 2 ? argv[2] : "127.0.0.1:7001");
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    return cw_server_main(server);
}
