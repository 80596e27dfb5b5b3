/* The middleware that comes with Causeway, on a real server. */
#include "support/leak.h"

#include <arpa/inet.h>
#include <causeway/causeway.h>
#include <causeway/middleware/ip_limit.h>
#include <causeway/middleware/rate_limit.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

TestSuite(middleware, .fini = rig_expect_no_leak, .timeout = 60);

enum { WAIT_MS = 20000 };

static struct cw_server *server;
static pthread_t thread;

/* Set on the server's thread; read when it has ended, or after a byte in the pipe. */
static int listening[2];
static uint16_t port;
static int closed_with;
static struct cw_error_report last_report;
static int run_result;

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    closed_with = reason->code;
}

static void on_error(struct cw_server *from, const struct cw_error_report *report, void *user)
{
    last_report = *report;
}

static void on_listening(struct cw_server *from, const struct cw_address *address, const char *text,
                         void *user)
{
    port = address->port;
    cr_assert_eq(write(listening[1], "", 1), 1);
}

static void *run(void *arg)
{
    run_result = cw_server_run(arg);
    return NULL;
}

/* A line server that echoes, under this middleware. */
static void start(struct cw_conn_middleware *middleware)
{
    static const struct cw_hooks hooks = {
        .on_data = echo, .on_close = on_close, .on_error = on_error, .on_listening = on_listening};
    char byte;

    server = cw_create_server(&cw_line);
    cr_assert_eq(cw_server_set_hooks(server, &hooks, NULL), CW_OK);
    cr_assert_eq(cw_server_use(server, middleware), CW_OK);
    cr_assert_eq(cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"}), CW_OK);
    cr_assert_eq(pipe(listening), 0);
    cr_assert_eq(pthread_create(&thread, NULL, run, server), 0);
    cr_assert_eq(read(listening[0], &byte, 1), 1);
}

static void stop(void)
{
    cw_server_stop(server);
    pthread_join(thread, NULL);
    cr_expect_eq(run_result, CW_OK);
    cw_server_free(server);
    close(listening[0]);
    close(listening[1]);
}

static int connect_peer(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_geq(peer, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(connect(peer, (struct sockaddr *)&address, sizeof address), 0);
    return peer;
}

static void say(int peer, const char *text)
{
    cr_assert_eq(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Receives `text`, and waits as long as it takes. */
static void hear(int peer, const char *text)
{
    char got[100] = "";
    size_t len = 0;

    while (len < strlen(text)) {
        struct pollfd ready = {.fd = peer, .events = POLLIN};
        cr_assert_eq(poll(&ready, 1, WAIT_MS), 1);
        ssize_t count = recv(peer, got + len, sizeof got - 1 - len, 0);
        cr_assert_gt(count, 0, "ended after: %s", got);
        len += (size_t)count;
    }
    cr_expect_str_eq(got, text);
}

static void hear_end(int peer)
{
    struct pollfd ready = {.fd = peer, .events = POLLIN};
    char byte;

    cr_assert_eq(poll(&ready, 1, WAIT_MS), 1);
    cr_expect_leq(recv(peer, &byte, 1, 0), 0);
    close(peer);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

Test(middleware, ip_limit_keeps_out_who_is_denied)
{
    static const char *const deny[] = {"127.0.0.0/8", NULL};
    struct cw_server_stats stats = {0};

    start(cw_ip_limit(&(struct cw_ip_limit_options){.deny = deny}));
    hear_end(connect_peer());
    /* The peer may see the end before it is counted. */
    for (uint64_t begun_ms = now_ms(); stats.refused_middleware == 0;) {
        cr_assert_lt(now_ms() - begun_ms, WAIT_MS);
        cw_server_stats(server, &stats);
    }
    cr_expect_eq(stats.refused_middleware, 1);
    cr_expect_eq(stats.conns_total, 0);
    stop();
    cr_expect_eq(last_report.code, CW_EDENIED);
    cr_expect_eq(closed_with, 0); /* it never was a connection */
}

Test(middleware, ip_limit_keeps_out_who_comes_too_often)
{
    start(cw_ip_limit(&(struct cw_ip_limit_options){.accepts = 2, .per_ms = 3600000}));
    int first = connect_peer();
    int second = connect_peer();
    say(first, "a\n");
    say(second, "b\n");
    hear(first, "a\n");
    hear(second, "b\n");
    hear_end(connect_peer());
    close(first);
    close(second);
    stop();
    cr_expect_eq(last_report.code, CW_ERATE);
    cr_expect_eq(last_report.limit, 2);
}

Test(middleware, rate_limit_slows_a_peer_down_and_loses_nothing)
{
    start(cw_rate_limit(&(struct cw_rate_limit_options){.messages_per_s = 20, .messages_burst = 1}));
    int peer = connect_peer();
    uint64_t begun_ms = now_ms();
    say(peer, "1\n2\n3\n4\n5\n");
    hear(peer, "1\n2\n3\n4\n5\n");
    cr_expect_geq(now_ms() - begun_ms,
                  4 * 50 - 10); /* the loop's clock stands still within a turn */
    close(peer);
    stop();
}

Test(middleware, rate_limit_drops_what_is_above_and_keeps_the_connection)
{
    start(cw_rate_limit(&(struct cw_rate_limit_options){
        .bytes_per_s = 1, .bytes_burst = 10, .action = CW_RATE_DROP}));
    int peer = connect_peer();
    say(peer, "12345\n1234567\n12\n");
    hear(peer, "12345\n12\n");
    close(peer);
    stop();
}

Test(middleware, rate_limit_closes_with_its_own_code)
{
    start(cw_rate_limit(&(struct cw_rate_limit_options){
        .messages_per_s = 1, .messages_burst = 2, .action = CW_RATE_CLOSE}));
    int peer = connect_peer();
    say(peer, "1\n2\n3\n");
    hear(peer, "1\n2\n");
    hear_end(peer);
    stop();
    cr_expect_eq(closed_with, CW_ERATE);
    cr_expect_eq(last_report.code, CW_ERATE);
}

Test(middleware, options_without_sense_keep_the_server_from_starting)
{
    cw_log_set_level(CW_LOG_SILENT);
    server = cw_create_server(&cw_line);
    cr_expect_lt(
        cw_server_use(server, cw_rate_limit(&(struct cw_rate_limit_options){.messages_burst = 1})),
        0);
    cr_expect_lt(cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"}) +
                     cw_server_run(server),
                 0);
    cr_expect_str_not_empty(cw_server_error(server));
    cw_server_free(server);
}
