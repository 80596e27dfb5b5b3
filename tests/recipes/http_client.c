/* http_client: fetches a URL and prints what it says. */
#include <causeway/causeway.h>
#include <stdio.h>

struct visit {
    struct cw_loop *loop;
    int status; /* of the program */
};

/* Once, whatever happens. */
static void got(struct cw_http_response *response, void *user)
{
    struct visit *visit = user;

    if (response->error != 0) {
        fprintf(stderr, "%s\n", response->text);
    } else {
        printf("%d %.*s\n", response->status, (int)response->body.len,
               (const char *)response->body.data);
    }
    visit->status = response->error == 0 && response->status < 400 ? 0 : 1;
    cw_loop_stop(visit->loop); /* or a kept connection would hold it for a while */
}

int main(int argc, char **argv)
{
    struct visit visit = {.loop = cw_loop_new(), .status = 1};

    if (visit.loop != NULL &&
        cw_http_get(visit.loop, argc > 1 ? argv[1] : "http://127.0.0.1:8080/", got, &visit) > 0) {
        cw_loop_main(visit.loop); /* until SIGINT or SIGTERM, or the answer */
    }
    cw_loop_free(visit.loop);
    return visit.status;
}
