/* Readers of bodies, and compression, when memory runs out: each allocation has been made to fail in turn. */
#include "support/fault.h"
#include "support/host.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/wait.h"

#include <causeway/http.h>
#include <causeway/log.h>
#include <causeway/loop.h>
#include <causeway/middleware/http_compress.h>
#include <causeway/middleware/http_form.h>
#include <causeway/middleware/http_json.h>
#include <causeway/middleware/http_multipart.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { LONG = 20000 };

static struct rig_host *host;
static char text[LONG + 1];

static void json(struct cw_http_exchange *http, void *user)
{
    const struct cJSON *body = cw_http_body_json(http, NULL);

    if (body != NULL) {
        cw_http_reply_json(http, 200, body);
    }
}

static void form(struct cw_http_exchange *http, void *user)
{
    const struct cw_http_form *body = cw_http_body_form(http, NULL);

    if (body != NULL) {
        cw_http_reply(http, 200, "text/plain", cw_http_form_value(body, "a"));
    }
}

static void tell(struct cw_http_exchange *http, struct cw_http_upload *upload, void *user)
{
    rig_check(cw_http_upload_file(upload, "b") != NULL);
    cw_http_reply(http, 200, "text/plain", cw_http_upload_value(upload, "a"));
}

static void upload(struct cw_http_exchange *http, void *user)
{
    (void)cw_http_read_upload(http, user, tell, NULL);
}

static void large(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, text);
}

static void begin(void)
{
    static const struct cw_http_upload_options on_disk = {.directory = "/tmp"};
    struct cw_http_route_options streamed = {.stream = true};
    struct cw_server *server;

    cw_log_set_level(CW_LOG_SILENT);
    memset(text, 'x', LONG);
    fault_install();
    server = rig_server(&cw_http, NULL);
    cw_http_use(server, cw_http_compress(&(struct cw_http_compress_options){.kept_max = CW_OFF}));
    cw_http_route(server, "POST /json", json, NULL);
    cw_http_route(server, "POST /form", form, NULL);
    cw_http_route_with(server, "POST /memory", upload, NULL, &streamed);
    cw_http_route_with(server, "POST /disk", upload, (void *)&on_disk, &streamed);
    cw_http_route(server, "POST /large", large, NULL);
    host = rig_host_start(server, NULL, NULL);
}

static void finish(void)
{
    rig_host_end(host);
    fault_remove();
    rig_expect_no_leak();
}

TestSuite(http_bodies_memory, .init = begin, .fini = finish, .timeout = 120);

static void arm(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    fault_arm(*(const size_t *)arg);
}

static void disarm(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    *(bool *)arg = fault_disarm();
}

/* Sends it on a connection that is open, with the n-th allocation failing; whatever comes, the connection ends. Returns the status,
 * 0: it was closed without an answer. *failed: that many allocations are made at all. */
static int post(const char *request, size_t nth, bool *failed)
{
    struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));
    char answer[65536];
    size_t len = 0;
    ptrdiff_t n;

    rig_await(rig_host_conns(host) == 1);
    rig_host_run(host, 0, arm, &nth);
    rig_peer_send_text(&peer, request);
    while ((n = rig_peer_receive_some(&peer, answer + len, sizeof answer - 1 - len)) > 0) {
        len += (size_t)n;
    }
    answer[len] = '\0';
    rig_peer_close(&peer);
    rig_await(rig_host_conns(host) == 0);
    rig_host_run(host, 0, disarm, failed);
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

static void fail_each(const char *target, const char *fields, const char *body)
{
    char request[2000];
    bool failed = true;

    snprintf(request, sizeof request,
             "POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s",
             target, fields, strlen(body), body);
    for (size_t nth = 1; failed && nth < 200; nth++) {
        int status = post(request, nth, &failed);
        cr_expect(status == 200 || (failed && (status == 0 || status == 500 || status == 503)),
                  "%s %zu: %d", target, nth, status);
    }
    cr_expect_not(failed);
}

#define PARTS                                                                                      \
    "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nvalue\r\n"                               \
    "--b\r\nContent-Disposition: form-data; name=b; filename=x\r\n\r\nbytes\r\n--b--\r\n"

Test(http_bodies_memory, any_allocation_may_fail)
{
    fail_each("/json", "Content-Type: application/json\r\n", "{\"a\":[1,2,3]}");
    fail_each("/form", "Content-Type: application/x-www-form-urlencoded\r\n", "a=b&c=d");
    fail_each("/memory", "Content-Type: multipart/form-data; boundary=b\r\n", PARTS);
    fail_each("/disk", "Content-Type: multipart/form-data; boundary=b\r\n", PARTS);
    fail_each("/large", "Accept-Encoding: gzip\r\n", "");
    fail_each("/large", "Accept-Encoding: br\r\n", "");
}
