/* later: what takes long is done by a helper thread, and answered when it is done. */
#include <causeway/causeway.h>
#include <stdlib.h>

/* Everything the helper needs, so that it never touches the connection. */
struct job {
    uint64_t conn_id;
    uint64_t number;
    uint64_t divisor;
};

/* On a helper thread: it may block or take its time. */
static void search(void *arg)
{
    struct job *job = arg;

    job->divisor = 2;
    while (job->divisor < job->number && job->number % job->divisor != 0) {
        job->divisor++;
    }
}

/* On the loop's thread again. The peer may have gone meanwhile: that is normal. */
static void answer(struct cw_loop *loop, int code, void *arg)
{
    struct job *job = arg;
    struct cw_conn *conn = cw_loop_conn(loop, job->conn_id);

    if (conn != NULL && code == CW_OK) {
        cw_conn_sendf(conn, "%llu is divided by %llu", (unsigned long long)job->number,
                      (unsigned long long)job->divisor);
    }
    free(job);
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    char text[24] = "";
    struct job *job = calloc(1, sizeof *job);

    if (job != NULL && msg->body.len < sizeof text) {
        memcpy(text, msg->body.data, msg->body.len);
        job->conn_id = cw_conn_id(conn);
        job->number = strtoull(text, NULL, 10);
    }
    if (job == NULL || job->number < 2) {
        cw_conn_send_text(conn, "a number above 1, please");
        free(job);
    } else if (cw_work(cw_conn_loop(conn), search, answer, job) < 0) {
        cw_conn_send_text(conn,
                          "too busy now"); /* on an error neither runs: the job is still ours */
        free(job);
    }
}

int main(int argc, char **argv)
{
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000;
    struct cw_server *server = cw_create_server(&cw_line);

    cw_server_set_hooks(server, &(struct cw_hooks){.on_data = on_data}, NULL);
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    return cw_server_main(server);
}
