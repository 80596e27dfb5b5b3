/* What the log says of a server's connections: which level, whose id, and how often. */
#include "support/host.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/story.h"
#include "support/udp_peer.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/middleware/rate_limit.h>
#include <causeway/protocol.h>
#include <criterion/criterion.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(logs, .fini = rig_expect_no_leak, .timeout = 120);

/* ---- what was logged ---- */

enum { KEPT_MAX = 1000 };

struct line {
    enum cw_log_level level;
    uint64_t conn_id;
    char text[256];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct line kept[KEPT_MAX];
static size_t kept_count;

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    pthread_mutex_lock(&lock);
    rig_check(kept_count < KEPT_MAX);
    kept[kept_count].level = level;
    kept[kept_count].conn_id = conn_id;
    snprintf(kept[kept_count].text, sizeof kept[0].text, "%s", text);
    kept_count++;
    pthread_mutex_unlock(&lock);
}

/* The first line with this text, or NULL. What was kept is never moved. */
static const struct line *find(const char *text)
{
    const struct line *found = NULL;

    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < kept_count && !found; i++) {
        found = strstr(kept[i].text, text) ? &kept[i] : NULL;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

static size_t count(const char *text)
{
    size_t found = 0;

    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < kept_count; i++) {
        found += strstr(kept[i].text, text) != NULL;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

static size_t left_out(void)
{
    size_t sum = 0;

    for (size_t i = 0; i < kept_count; i++) {
        if (strstr(kept[i].text, "were left out")) {
            sum += strtoul(kept[i].text, NULL, 10);
        }
    }
    return sum;
}

static struct rig_host *start(const struct cw_protocol *protocol, struct cw_server_options options,
                              enum cw_log_level level)
{
    cw_log_set(keep_line, NULL);
    cw_log_set_level(level);
    return rig_host_start(rig_server(protocol, &options), &(struct cw_hooks){.on_data = rig_echo},
                          NULL);
}

static struct rig_peer connect_to(const struct rig_host *host)
{
    return rig_peer_tcp(rig_host_port(host, 0));
}

static void end(struct rig_host *host)
{
    rig_host_end(host);
    cw_log_set(NULL, NULL);
}

static void expect_line(const char *text, enum cw_log_level level, uint64_t conn_id)
{
    const struct line *line = find(text);

    cr_assert_not_null(line, "%s", text);
    cr_expect_eq(line->level, level, "%s: level %d", text, (int)line->level);
    cr_expect_eq(line->conn_id, conn_id, "%s: %" PRIx64, text, line->conn_id);
}

/* ---- one connection ---- */

Test(logs, at_debug_the_life_of_a_connection_can_be_followed_by_its_id)
{
    struct rig_host *host = start(&cw_tcp, (struct cw_server_options){0}, CW_LOG_DEBUG);
    struct rig_peer peer = connect_to(host);
    char accepted[256];
    uint64_t id;

    rig_peer_send_text(&peer, "hello");
    rig_peer_expect(&peer, "hello");
    snprintf(accepted, sizeof accepted, "accepted from 127.0.0.1:%u on %s", rig_peer_port(&peer),
             rig_host_text(host, 0));
    rig_await(find(accepted));
    id = find(accepted)->conn_id;
    cr_expect_neq(id, 0);
    rig_peer_close(&peer);
    rig_await(find("ended: "));
    expect_line(accepted, CW_LOG_DEBUG, id);
    expect_line("open: tcp", CW_LOG_DEBUG, id);
    expect_line("ended: closed by the peer (CW_BY_PEER); 5 bytes in, 5 bytes out", CW_LOG_DEBUG, id);
    cr_expect(find(accepted) < find("open: tcp"));
    cr_expect(find("open: tcp") < find("ended: "));
    end(host);
}

Test(logs, a_peer_of_datagrams_has_the_lines_of_a_connection)
{
    struct rig_host *host = start(&cw_udp, (struct cw_server_options){0}, CW_LOG_DEBUG);
    struct rig_udp peer = rig_udp_to(rig_host_port(host, 0));
    char on[128];

    rig_udp_expect_echo(&peer, "hello");
    snprintf(on, sizeof on, " on %s", rig_host_text(host, 0));
    rig_await(find("accepted from 127.0.0.1:"));
    cr_expect_not_null(strstr(find("accepted from")->text, on), "%s", find("accepted from")->text);
    expect_line("open: udp", CW_LOG_DEBUG, find("accepted from")->conn_id);
    rig_udp_close(&peer);
    end(host);
}

Test(logs, by_default_a_connection_that_ends_in_good_order_is_no_line)
{
    struct rig_host *host = start(&cw_tcp, (struct cw_server_options){0}, CW_LOG_INFO);
    struct rig_peer peer = connect_to(host);

    rig_peer_send_text(&peer, "hello");
    rig_peer_expect(&peer, "hello");
    rig_peer_close(&peer);
    rig_await(rig_host_conns(host) == 0);
    cr_expect_eq(count(""), 0);
    end(host);
    expect_line("stopping: connections have 5000 ms to end", CW_LOG_INFO, 0);
    expect_line("stopped", CW_LOG_INFO, 0);
    cr_expect_eq(count(""), 2);
}

static ptrdiff_t switch_to_line(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    struct cw_service service = cw_service(&cw_line, NULL, NULL);
    struct cw_service_ref *ref = cw_service_new(&service, NULL);

    rig_check(ref && cw_conn_switch(conn, ref, NULL, NULL) == CW_OK);
    cw_service_free(ref);
    return 1;
}

static int refuse(struct cw_conn *conn, void *state, const struct cw_message *msg)
{
    return CW_EKIND;
}

static const struct cw_protocol upgrading = {
    .name = "upgrading", .on_bytes = switch_to_line, .send = refuse};

Test(logs, a_switch_is_told_with_both_names)
{
    struct rig_host *host = start(&upgrading, (struct cw_server_options){0}, CW_LOG_DEBUG);
    struct rig_peer peer = connect_to(host);

    rig_peer_send_text(&peer, "^");
    rig_await(find("open: line"));
    expect_line("switched: upgrading to line", CW_LOG_DEBUG, find("accepted from")->conn_id);
    expect_line("open: line", CW_LOG_DEBUG, find("accepted from")->conn_id);
    rig_peer_close(&peer);
    rig_await(rig_host_conns(host) == 0);
    cr_expect_eq(count("ended: "), 1);
    end(host);
}

static void close_at_once(struct cw_conn *conn, void *user)
{
    cw_conn_close(conn);
}

Test(logs, an_outgoing_connection_tells_what_it_was_made_for)
{
    struct rig_host *host = start(&cw_tcp, (struct cw_server_options){0}, CW_LOG_DEBUG);
    struct cw_hooks hooks = {.on_connection = close_at_once};
    struct cw_loop *loop = cw_loop_new();
    char address[32];
    char connected[128];

    snprintf(address, sizeof address, "127.0.0.1:%u", rig_host_port(host, 0));
    cr_assert_gt(cw_connect(loop, cw_service(&cw_tcp, &hooks, NULL), address, NULL), 0);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    snprintf(connected, sizeof connected, "connected to %s for %s", address, address);
    cr_assert_not_null(find(connected));
    expect_line("closed by the application (CW_BY_APP); 0 bytes in, 0 bytes out", CW_LOG_DEBUG,
                find(connected)->conn_id);
    cw_loop_free(loop);
    end(host);
}

/* ---- how much it matters ---- */

static void expect_peers_mistake(const char *code)
{
    rig_await(find(code));
    cr_expect_eq(find(code)->level, CW_LOG_INFO, "%s", find(code)->text);
    cr_expect_neq(find(code)->conn_id, 0, "%s", find(code)->text);
}

Test(logs, what_peers_do_wrong_is_no_error_and_names_the_connection)
{
    struct rig_host *host =
        start(&cw_framed, (struct cw_server_options){.idle_ms = 300}, CW_LOG_INFO);
    struct rig_peer reset = connect_to(host);
    struct rig_peer too_big = connect_to(host);
    struct rig_peer cut_off = connect_to(host);
    struct rig_peer silent = connect_to(host);

    rig_peer_send_frame(&reset, "x", 1);
    rig_peer_receive_frame(&reset, (char[1]){0}, 1);
    rig_peer_reset(&reset);
    rig_peer_send(&too_big, "\xff\xff\xff\xff", 4);
    rig_peer_send(&cut_off, "\0\0\0", 3);
    rig_peer_shut(&cut_off);
    expect_peers_mistake("CW_ERESET");
    expect_peers_mistake("CW_ETOOBIG");
    expect_peers_mistake("CW_ETRUNCATED");
    expect_peers_mistake("CW_EIDLE");
    rig_peer_close(&too_big);
    rig_peer_close(&cut_off);
    rig_peer_close(&silent);
    end(host);
}

Test(logs, what_peers_of_datagrams_do_wrong_is_no_warning_and_takes_no_other_line_s_place)
{
    struct cw_server *server = rig_server(&cw_udp, NULL);
    struct rig_host *host;
    struct rig_udp peer;

    cw_log_set(keep_line, NULL);
    cw_udp_configure(server, &(struct cw_udp_options){.datagram_max_bytes = 8});
    host = rig_host_start(server, &(struct cw_hooks){.on_data = rig_echo}, NULL);
    for (int i = 0; i < 220; i++) { /* more than two minutes may have lines */
        peer = rig_udp_to(rig_host_port(host, 0));
        rig_udp_send_text(&peer, "123456789");
        rig_udp_expect_echo(&peer, "12345678");
        rig_udp_send_text(&peer, "gone");
        rig_udp_close(&peer);
    }
    rig_await(find("a datagram of 9 bytes was dropped, the limit is 8"));
    end(host);
    for (size_t i = 0; i < kept_count; i++) {
        cr_expect_leq(kept[i].level, CW_LOG_INFO, "%s", kept[i].text);
    }
    cr_expect_gt(left_out(), 0);
}

Test(logs, who_is_refused_or_limited_is_a_warning)
{
    struct cw_server_options options = {.conns_max = 1};
    struct cw_server *server = rig_server(&cw_line, &options);
    struct rig_host *host;
    struct rig_peer peer;
    struct rig_peer refused;

    cw_log_set(keep_line, NULL);
    cw_server_use(server, cw_rate_limit(&(struct cw_rate_limit_options){.messages_per_s = 1,
                                                                        .action = CW_RATE_CLOSE}));
    host = rig_host_start(server, &(struct cw_hooks){.on_data = rig_echo}, NULL);
    peer = connect_to(host);
    rig_await(rig_host_conns(host) == 1);
    refused = connect_to(host);
    rig_peer_expect_gone(&refused);
    rig_await(find("CW_ECONNSMAX"));
    expect_line("CW_ECONNSMAX", CW_LOG_WARNING, 0);
    rig_peer_send_text(&peer, "1\n2\n3\n");
    rig_await(find("CW_ERATE"));
    cr_expect_eq(find("CW_ERATE")->level, CW_LOG_WARNING);
    cr_expect_neq(find("CW_ERATE")->conn_id, 0);
    rig_peer_close(&refused);
    rig_peer_close(&peer);
    end(host);
}

Test(logs, that_nobody_listens_there_is_a_warning)
{
    struct cw_loop *loop;

    cw_log_set(keep_line, NULL);
    loop = cw_loop_new();
    cr_assert_gt(cw_connect(loop, cw_service(&cw_tcp, NULL, NULL), "unix:/nowhere/at/all", NULL), 0);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    expect_line("connect unix:/nowhere/at/all: ", CW_LOG_WARNING, 0);
    cw_loop_free(loop);
    cw_log_set(NULL, NULL);
}

/* ---- how often ---- */

Test(logs, a_flood_of_failing_connections_is_few_lines_and_the_rest_is_counted)
{
    enum { FAILING = 400 };
    struct rig_host *host = start(&cw_framed, (struct cw_server_options){0}, CW_LOG_INFO);
    uint64_t before = rig_now_ms();
    uint64_t seconds;
    size_t lines;

    for (int i = 0; i < FAILING; i++) {
        struct rig_peer peer = connect_to(host);
        rig_peer_send(&peer, "\xff\xff\xff\xff", 4);
        rig_peer_expect_end(&peer);
        rig_peer_close(&peer);
    }
    seconds = (rig_now_ms() - before) / 1000 + 2; /* that the clock has touched */
    end(host);
    lines = count("CW_ETOOBIG");
    cr_expect_geq(lines, 10);
    cr_expect_leq(lines, 10 * seconds);
    cr_expect_leq(lines, 100 * (seconds / 60 + 2));
    cr_expect_eq(lines + left_out(), FAILING, "%zu lines, %zu left out", lines, left_out());
}

Test(logs, lines_under_the_level_are_not_counted_as_left_out)
{
    enum { FAILING = 30 };
    struct rig_host *host = start(&cw_framed, (struct cw_server_options){0}, CW_LOG_WARNING);

    for (int i = 0; i < FAILING; i++) {
        struct rig_peer peer = connect_to(host);
        rig_peer_send(&peer, "\xff\xff\xff\xff", 4);
        rig_peer_expect_end(&peer);
        rig_peer_close(&peer);
    }
    cw_log_set_level(CW_LOG_INFO);
    end(host);
    cr_expect_eq(count("left out"), 0);
}
