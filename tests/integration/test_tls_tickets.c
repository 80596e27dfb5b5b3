/* How long a peer may come back, and to whom: keys of tickets that rotate, sessions that expire, two workers, a cache that
 * is full. With a client of the library's own, so that the test has each session in its hand. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/scene.h"
#include "support/tls_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

static void skip_without_certificates(void)
{
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(tls_tickets, .init = skip_without_certificates, .fini = rig_expect_no_leak,
          .timeout = 120);

/* What the hooks have seen last, one visit at a time. */
static struct {
    struct rig_story story; /* first: what the hooks get */
    struct rig_host *host;
    atomic_bool resumed;
    atomic_uint worker;
} stage;

static void on_connection(struct cw_conn *conn, void *user)
{
    struct cw_tls_info info;

    rig_check(cw_conn_tls(conn, &info) == CW_OK);
    atomic_store(&stage.resumed, info.resumed);
    atomic_store(&stage.worker, (unsigned)cw_loop_worker(cw_conn_loop(conn)));
    rig_story_on_connection(conn, user);
}

static void begin(const struct cw_server_options *options, const struct cw_tls_options *tls)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);

    memset(&stage, 0, sizeof stage);
    hooks.on_connection = on_connection;
    stage.host = rig_host_start(rig_tls_server(&cw_tcp, options, tls), &hooks, &stage);
}

/* Comes in TLS 1.2 with a session, or without one (NULL). Returns whether it was resumed; keep: the session it has now. */
static bool visit(const mbedtls_ssl_session *with, mbedtls_ssl_session *keep)
{
    struct rig_tap tap;
    unsigned before = atomic_load(&stage.story.opened);

    rig_tap_open(&tap, rig_peer_tcp(rig_host_port(stage.host, 0)),
                 &(struct rig_tap_setup){.version = 12});
    if (with) {
        rig_check(mbedtls_ssl_set_session(&tap.ssl, with) == 0);
    }
    rig_check(rig_tap_handshake(&tap) == 0);
    rig_tap_expect_echo(&tap, "in");
    rig_check(atomic_load(&stage.story.opened) == before + 1);
    if (keep) {
        mbedtls_ssl_session_init(keep);
        rig_check(mbedtls_ssl_get_session(&tap.ssl, keep) == 0);
    }
    rig_tap_notify(&tap);
    rig_check(rig_tap_end(&tap) == RIG_CLOSE_NOTIFY);
    rig_tap_close(&tap);
    return atomic_load(&stage.resumed);
}

static bool comes_back(const mbedtls_ssl_session *session)
{
    return visit(session, NULL);
}

static void end(void)
{
    rig_await(rig_host_conns(stage.host) == 0);
    rig_host_end(stage.host);
}

Test(tls_tickets, a_ticket_is_opened_by_whichever_worker_the_peer_comes_to)
{
    bool seen[2][2] = {{false, false}, {false, false}};
    unsigned pairs = 0;

    begin(&(struct cw_server_options){.workers = 2}, NULL);
    for (unsigned i = 0; i < 500 && pairs < 4; i++) {
        mbedtls_ssl_session session;
        unsigned from;
        unsigned to;

        cr_assert_not(visit(NULL, &session));
        from = atomic_load(&stage.worker);
        cr_assert(comes_back(&session), "round %u", i);
        to = atomic_load(&stage.worker);
        pairs += !seen[from][to];
        seen[from][to] = true;
        mbedtls_ssl_session_free(&session);
    }
    cr_expect_eq(pairs, 4, "not every way from worker to worker was taken");
    end();
}

/* The key seals for a second and opens for another. What is not to be opened any more stays so; when it was to be is the
 * library's clock, which counts seconds. */
Test(tls_tickets, a_ticket_whose_key_has_gone_is_not_opened)
{
    mbedtls_ssl_session session;
    mbedtls_ssl_session fresh;
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;

    begin(NULL, &(struct cw_tls_options){.ticket_key_ms = 1000});
    cr_assert_not(visit(NULL, &session));
    while (comes_back(&session)) {
        rig_check(rig_now_ms() < deadline);
        usleep(200000);
    }
    cr_expect_not(comes_back(&session));
    do { /* a new one is good while its key is: on a busy machine a visit may take longer than that */
        rig_check(rig_now_ms() < deadline);
        visit(NULL, &fresh);
        atomic_store(&stage.resumed, comes_back(&fresh));
        mbedtls_ssl_session_free(&fresh);
    } while (!atomic_load(&stage.resumed));
    mbedtls_ssl_session_free(&session);
    end();
}

static void expect_expiry(enum cw_tls_resumption kind)
{
    mbedtls_ssl_session session;
    uint64_t began = rig_now_ms();

    begin(NULL, &(struct cw_tls_options){
                    .resumption = kind, .session_ms = 1000, .ticket_key_ms = 600000});
    do { /* a session that comes back at all */
        rig_check(rig_now_ms() < began + RIG_DEADLINE_MS);
        cr_assert_not(visit(NULL, &session));
        atomic_store(&stage.resumed, comes_back(&session));
        if (!atomic_load(&stage.resumed)) {
            mbedtls_ssl_session_free(&session);
        }
    } while (!atomic_load(&stage.resumed));
    while (comes_back(&session)) { /* and then no more, though its key is there */
        rig_check(rig_now_ms() < began + RIG_DEADLINE_MS);
        usleep(200000);
    }
    cr_expect_not(comes_back(&session));
    mbedtls_ssl_session_free(&session);
    end();
}

Test(tls_tickets, a_session_in_a_ticket_expires_though_its_key_is_there)
{
    expect_expiry(CW_TLS_TICKETS);
}

Test(tls_tickets, a_session_in_the_cache_expires)
{
    expect_expiry(CW_TLS_SESSION_CACHE);
}

Test(tls_tickets, a_full_cache_forgets_the_oldest_session_and_none_else)
{
    enum { CACHED = 4, VISITS = 6 };
    mbedtls_ssl_session sessions[VISITS];

    begin(NULL,
          &(struct cw_tls_options){.resumption = CW_TLS_SESSION_CACHE, .sessions_max = CACHED});
    for (unsigned i = 0; i < VISITS; i++) {
        cr_assert_not(visit(NULL, &sessions[i]));
        if (i > 0) {
            usleep(i < VISITS - CACHED + 1 ? 1100000 : 0); /* the cache tells ages by the second */
        }
    }
    for (unsigned i = VISITS - CACHED; i < VISITS; i++) {
        cr_expect(comes_back(&sessions[i]), "session %u of %u", i, VISITS);
    }
    for (unsigned i = 0; i < VISITS - CACHED; i++) {
        cr_expect_not(comes_back(&sessions[i]), "session %u of %u", i, VISITS);
    }
    for (unsigned i = 0; i < VISITS; i++) {
        mbedtls_ssl_session_free(&sessions[i]);
    }
    end();
}
