/* http_later: what takes long is done by a helper thread, and answered when it is done. */
#include <causeway/causeway.h>
#include <stdlib.h>

/* Everything the helper needs, so that it never touches the exchange. */
struct job {
    struct cw_http_id id;
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

/* On the loop's thread again. The client may have gone meanwhile: that is normal. */
static void answer(struct cw_loop *loop, int code, void *arg)
{
    struct job *job = arg;
    struct cw_http_exchange *http = cw_http_find(loop, job->id);

    if (http != NULL && code == CW_OK) {
        cw_http_replyf(http, 200, "text/plain", "%llu is divided by %llu\n",
                       (unsigned long long)job->number, (unsigned long long)job->divisor);
    } else if (http != NULL) { /* the server stops */
        cw_http_reply_error(http, 503, NULL);
    }
    free(job);
}

static void divide(struct cw_http_exchange *http, void *user)
{
    struct job *job = calloc(1, sizeof *job);
    uint64_t number = strtoull((const char *)cw_http_param(http, "number").data, NULL, 10);

    if (job == NULL || number < 2) {
        cw_http_reply_error(http, job == NULL ? 503 : 400, "a number above 1, please");
        free(job);
        return;
    }
    job->number = number;
    job->id = cw_http_id(http); /* taking it says: the answer comes later */
    if (cw_work(cw_http_loop(http), search, answer, job) < 0) {
        cw_http_reply_error(http, 503, "too busy now"); /* neither runs: the job is still ours */
        free(job);
    }
}

int main(int argc, char **argv)
{
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 8080;
    struct cw_server *server = cw_create_server(&cw_http);

    cw_http_route(server, "GET /divisor/:number<int>", divide, NULL);
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    return cw_server_main(server);
}
