/* Memory that runs out in a handshake and behind it: an error, never a crash or a leak. Both sides are ours and live on one
 * loop without helper threads, so that the allocations come in the same order each time. */
#include "conn_impl.h"
#include "loop_impl.h"
#include "service_impl.h"
#include "support/fault.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/program.h"
#include "support/wait.h"
#include "tls/tls.h"
#include "work.h"

#include <causeway/client.h>
#include <causeway/line.h>
#include <causeway/log.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void prepare(void)
{
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
    cw_log_set_level(CW_LOG_SILENT);
    fault_install();
}

TestSuite(tls_attack_memory, .init = prepare, .fini = rig_expect_no_leak, .timeout = 120);

enum { TURNS = 5000 };

struct pair {
    struct cw_loop *loop;
    struct cw_tls *tls;
    int listener;
    char address[32];
    unsigned opened;
    unsigned closed;
    unsigned failed;
    unsigned echoed;
};

static void on_connection(struct cw_conn *conn, void *user)
{
    ((struct pair *)user)->opened++;
    cw_conn_send_text(conn, "hello");
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct cw_tls_peer_cert cert;
    struct cw_tls_info info;

    (void)cw_conn_tls(conn, &info);
    (void)cw_conn_peer_cert(conn, &cert);
    ((struct pair *)user)->echoed++;
    cw_conn_close(conn);
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    ((struct pair *)user)->closed++;
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    rig_check(report->text[0] != '\0');
    ((struct pair *)user)->failed++;
}

static const struct cw_hooks hooks = {
    .on_connection = on_connection, .on_data = on_data, .on_close = on_close, .on_error = on_error};

/* The server's end of the connection; an error is one way for it to end. */
static void serve(struct pair *pair, int fd)
{
    struct cw_service service = {&cw_line, NULL, &hooks, pair};
    struct cw_service_ref *ref = cw_service_new(&service, NULL);
    struct cw_limits limits = {.in_max = 65536,
                               .out_high = 65536,
                               .out_low = 32768,
                               .out_max = 1048576,
                               .reads_per_turn = 262144,
                               .messages_per_turn = 1024,
                               .drain = cw_ticks(1000),
                               .handshake = cw_ticks(10000)};
    struct cw_origin *origin = ref ? cw_origin_new(ref, &limits, CW_SERVER) : NULL;
    struct cw_conn *conn = NULL;

    rig_check(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    if (origin) {
        origin->tls = cw_tls_hold(pair->tls);
        conn = cw_conn_with_stream(pair->loop, origin, fd, NULL);
    } else if (ref) {
        cw_service_free(ref);
    }
    cw_origin_drop(origin);
    if (conn) {
        cw_conn_start(conn);
    } else {
        close(fd);
    }
}

static int64_t connect_to(struct pair *pair)
{
    struct cw_tls_options tls = {.ca = pki("ca.pem"), .server_name = "localhost"};

    return cw_connect(pair->loop, cw_service(&cw_line, &hooks, pair), pair->address,
                      &(struct cw_connect_options){.attempts_max = 1, .tls = &tls});
}

/* Who has come and gone before he was served. */
static void drop_waiting(int listener)
{
    struct pollfd waiting = {.fd = listener, .events = POLLIN};

    while (poll(&waiting, 1, 0) == 1) {
        struct rig_peer peer = rig_accept(listener);
        rig_peer_close(&peer);
    }
}

/* Lets the two meet and part. */
static void meet(struct pair *pair)
{
    unsigned failed = pair->failed;
    unsigned closed = pair->closed;
    bool accepted = false;

    if (connect_to(pair) < 0) {
        return;
    }
    for (unsigned turn = 0; turn < TURNS; turn++) {
        struct pollfd waiting = {.fd = pair->listener, .events = POLLIN};

        cw_loop_turn(pair->loop, false);
        if (!accepted && poll(&waiting, 1, 0) == 1) {
            serve(pair, rig_accept(pair->listener).fd);
            accepted = true;
        }
        if (pair->loop->slots.used == 0 && (pair->failed > failed || pair->closed > closed)) {
            break;
        }
        if (turn > 100) {
            poll(NULL, 0, 1);
        }
    }
    drop_waiting(pair->listener);
    cr_assert(pair->failed > failed || pair->closed > closed, "nobody was told of the end");
    cr_assert_eq(pair->loop->slots.used, 0, "a connection does not end");
}

static void open_pair(struct pair *pair, struct cw_work_pool *work)
{
    struct cw_tls_options options = {.cert = pki("server.pem"), .key = pki("server.key")};
    struct cw_complaint complaint;
    uint16_t port;
    int error;

    pair->loop = cw_loop_create(&(struct cw_loop_setup){.work = work,
                                                        .handshakes_per_turn = 16,
                                                        .mailbox_max = 16,
                                                        .mailbox_max_bytes = 65536,
                                                        .buffered_max = SIZE_MAX});
    pair->tls = cw_tls_new(&(struct cw_tls_setup){.options = &options, .role = CW_SERVER},
                           &complaint, &error);
    rig_check(pair->loop && pair->tls);
    pair->loop->phase = CW_LOOP_RUNNING;
    pair->loop->thread = pthread_self();
    pair->listener = rig_listen(&port);
    snprintf(pair->address, sizeof pair->address, "127.0.0.1:%u", port);
}

Test(tls_attack_memory, any_allocation_may_fail_in_a_handshake_and_behind_it)
{
    struct cw_work_pool *work = cw_work_pool_new(1, 1);
    size_t nth = 0;
    bool came;

    rig_check(work);
    do {
        struct pair pair = {0};

        open_pair(&pair, work);
        fault_arm(++nth);
        meet(&pair);
        came = fault_disarm();
        meet(&pair); /* it was an accident, and is over */
        cr_assert_geq(pair.opened, 2, "failed at %zu", nth);
        cr_assert_geq(pair.echoed, 1);
        cr_assert_eq(pair.opened, pair.closed);
        cw_loop_free(pair.loop);
        cw_tls_drop(pair.tls);
        close(pair.listener);
        cr_assert_lt(nth, 2000);
    } while (came);
    cr_assert_gt(nth, 20, "no more than %zu allocations were seen", nth);
    cw_work_pool_free(work);
    fault_remove();
}
