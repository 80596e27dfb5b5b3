#include "config_impl.h"
#include "server_impl.h"
#include "support/config_text.h"
#include "support/fault.h"
#include "support/leak.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(config, .fini = rig_expect_no_leak, .timeout = 60);

/* ---- listeners ---- */

Test(config, bind_and_port_are_one_listener)
{
    const struct cw_config *config = rig_config_load("  bind: 127.0.0.1\n  port: 7330\n");

    cr_assert_eq(config->listener_count, 1);
    cr_expect_str_eq(config->listeners[0].options.host, "127.0.0.1");
    cr_expect_eq(config->listeners[0].options.port, 7330);
    cr_expect_str_eq(rig_config_server->listens->options.host, "127.0.0.1");
    cr_expect_eq(rig_config_server->listens->from_file, 1);
    cr_expect_null(rig_config_server->listens->next);
    rig_config_end();
}

Test(config, a_file_without_a_port_names_no_listener)
{
    cr_expect_eq(rig_config_load("  workers: 1\n")->listener_count, 0);
    rig_config_expect_wrong("  bind: 127.0.0.1\n",
                            ":2: server.bind: there is no port; write server.port too");
    rig_config_expect_wrong(
        "  tls: { enabled: true, cert: a }\n",
        ":2: server.tls.enabled: the file names no listener that would speak it; write "
        "server.port");
    rig_config_end();
}

Test(config, listeners_have_their_own_protocol_and_place)
{
    static const struct cw_hooks hooks = {.on_data = NULL};
    const struct cw_service services[] = {
        cw_service(&cw_tcp, &hooks, NULL),
        cw_line_service(&(struct cw_line_options){.binary = true}, &hooks, NULL)};
    const struct cw_config_options options = {.services = services, .service_count = 2};
    const struct cw_config *config;

    cr_assert_eq(rig_config_load_with(
                     "server:\n  bind: ::1\n  listeners:\n    - { protocol: line, port: 7001 }\n"
                     "    - { protocol: framed, bind: 127.0.0.1, port: 7002 }\n"
                     "    - { unix: /run/a }\n  line: { max_frame_size: 100 }\n",
                     &options),
                 CW_OK, "%s", cw_server_error(rig_config_server));
    config = rig_config_server->config;
    cr_assert_eq(config->listener_count, 3);
    const struct cw_listen_options *listen = &config->listeners[0].options;
    cr_expect_eq(listen->service.protocol, &cw_line);
    const struct cw_line_options *line = listen->service.options;
    cr_expect(line->binary);
    cr_expect_eq(line->line_max_bytes, 100);
    cr_expect_str_eq(listen->host, "::1");
    cr_expect_null(config->listeners[1].options.service.protocol);
    cr_expect_str_eq(config->listeners[1].options.host, "127.0.0.1");
    cr_expect_null(config->listeners[2].options.host);
    cr_expect_str_eq(config->listeners[2].options.unix_path, "/run/a");
    cr_expect_eq(
        rig_config_load_with("server:\n  listeners: [{ protocol: http, port: 1 }]\n", &options),
        CW_ECONFIG);
    cr_expect_str_eq(rig_config_said(),
                     ":2: server.listeners[0].protocol: http is not allowed; framed, tcp or line");
    rig_config_end();
}

Test(config, what_is_offered_and_is_the_server_s_own_is_named_once)
{
    const struct cw_service services[] = {cw_service(&cw_line, NULL, NULL),
                                          cw_service(&cw_framed, NULL, NULL)};
    const struct cw_config_options options = {.services = services, .service_count = 2};

    cr_expect_eq(
        rig_config_load_with("server:\n  listeners: [{ protocol: http, port: 1 }]\n", &options),
        CW_ECONFIG);
    cr_expect_str_eq(rig_config_said(),
                     ":2: server.listeners[0].protocol: http is not allowed; framed or line");
    rig_config_end();
}

Test(config, a_listener_is_a_port_or_a_path)
{
    rig_config_expect_wrong(
        "  listeners:\n    - { port: 1 }\n    - { bind: a }\n",
        ":4: server.listeners[1]: port is missing; a port (0: any free one), or the path of "
        "a unix socket as unix");
    rig_config_expect_wrong(
        "  listeners:\n    - { port: 1, unix: a }\n",
        ":3: server.listeners[0]: unix stands beside bind or port; one of the two is "
        "allowed");
    rig_config_expect_wrong(
        "  port: 1\n  unix: a\n",
        ":3: server: unix stands beside bind or port; one of the two is allowed");
    rig_config_expect_wrong("  listeners: []\n",
                            ":2: server.listeners: a list is not allowed; a list of at "
                            "most 64 listeners: - { port: 7000 }");
    rig_config_end();
}

Test(config, so_many_listeners_are_allowed)
{
    char text[4000] = "  listeners:\n";

    for (int i = 0; i < CW_CONFIG_LISTENERS_MAX; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "    - { port: 0 }\n");
    }
    cr_expect_eq(rig_config_load(text)->listener_count, CW_CONFIG_LISTENERS_MAX);
    snprintf(text + strlen(text), sizeof text - strlen(text), "    - { port: 0 }\n");
    char whole[4100];
    snprintf(whole, sizeof whole, "server:\n%s", text);
    cr_expect_eq(rig_config_load_with(whole, NULL), CW_ECONFIG);
    rig_config_end();
}

Test(config, a_listener_without_tls_takes_the_servers)
{
    const struct cw_config *config = rig_config_load(
        "  tls: { enabled: true, cert: /a }\n  listeners:\n    - { port: 1 }\n"
        "    - { port: 2, tls: false }\n    - { port: 3, tls: { cert: /b } }\n"
        "    - { port: 4, tls: true }\n    - { port: 5, tls: { enabled: false, cert: /b } }\n");

    cr_expect_str_eq(cw_config_listener_tls(config, 0)->cert, "/a");
    cr_expect_null(cw_config_listener_tls(config, 1));
    cr_expect_str_eq(cw_config_listener_tls(config, 2)->cert, "/b");
    cr_expect_str_eq(cw_config_listener_tls(config, 3)->cert, "/a");
    cr_expect_null(cw_config_listener_tls(config, 4));
    config = rig_config_load("  tls: { cert: /a }\n  listeners:\n    - { port: 1 }\n"
                             "    - { port: 2, tls: true }\n");
    cr_expect_null(cw_config_listener_tls(config, 0));
    cr_expect_str_eq(cw_config_listener_tls(config, 1)->cert, "/a");
    rig_config_end();
}

Test(config, tls_reaches_the_listeners_of_the_server)
{
    rig_config_load("  port: 0\n  tls:\n    enabled: true\n    cert: /a\n    certificates:\n"
                    "      - { names: [a.example, \"*.a.example\"], cert: /c, key: /k }\n");
    const struct cw_tls_options *tls = rig_config_server->listens->options.tls;

    cr_assert_not_null(tls);
    cr_expect_str_eq(tls->cert, "/a");
    cr_assert_eq(tls->certificate_count, 1);
    cr_expect_str_eq(tls->certificates[0].names, "a.example,*.a.example");
    cr_expect_str_eq(tls->certificates[0].cert, "/c");
    cr_expect_str_eq(tls->certificates[0].key, "/k");
    rig_config_end();
}

Test(config, tls_without_a_certificate_is_refused)
{
    rig_config_expect_wrong("  port: 1\n  tls:\n    enabled: true\n",
                            ":4: server.tls.cert: missing; a server's certificate");
    rig_config_expect_wrong("  listeners:\n    - { port: 1, tls: {} }\n",
                            ":3: server.listeners[0].tls.cert: missing; a server's certificate");
    rig_config_expect_wrong(
        "  tls: { certificates: [{ key: a }] }\n",
        ":2: server.tls.certificates[0]: cert is missing; the path of a certificate");
    rig_config_end();
}

Test(config, options_of_tls_that_do_not_go_together_are_named_by_their_keys)
{
    rig_config_expect_wrong(
        "  port: 1\n  tls:\n    enabled: true\n    cert: a\n    session_lifetime: 2h\n",
        ":6: server.tls.session_lifetime is above server.tls.ticket_lifetime: a ticket lives no "
        "longer than its key is good for");
    rig_config_expect_wrong(
        "  listeners:\n    - port: 1\n      tls: { cert: a, session_lifetime: 2h }\n",
        ":3: server.listeners[0].tls.session_lifetime is above "
        "server.listeners[0].tls.ticket_lifetime: a ticket lives no longer than its key is good "
        "for");
    rig_config_end();
}

Test(config, a_ca_counts_where_clients_are_asked)
{
    const struct cw_config *config = rig_config_load(
        "  port: 1\n  tls: { enabled: true, cert: /c, ca: /a, crl: /r, request_cert: true }\n");

    cr_expect_str_eq(cw_config_listener_tls(config, 0)->ca, "/a");
    cr_expect_str_eq(cw_config_listener_tls(config, 0)->crl, "/r");
    rig_config_expect_wrong(
        "  port: 1\n  tls:\n    enabled: true\n    cert: a\n    request_cert: true\n",
        ":6: server.tls.ca: missing: server.tls.request_cert needs to know who may sign them");
    rig_config_end();
}

Test(config, what_a_listeners_tcp_does_not_say_is_the_servers)
{
    const struct cw_config *config = rig_config_load(
        "  tcp: { no_delay: false, keep_alive: false, user_timeout: 5, backlog: 7 }\n"
        "  listeners:\n    - { port: 1 }\n"
        "    - { port: 2, tcp: { no_delay: true, keep_alive: true, backlog: 8 } }\n");
    const struct cw_listen_options *first = &config->listeners[0].options;
    const struct cw_listen_options *second = &config->listeners[1].options;

    cr_expect(first->tcp.delay);
    cr_expect_eq(first->tcp.keepalive_ms, CW_OFF);
    cr_expect_eq(first->backlog, 7);
    cr_expect_not(second->tcp.delay);
    cr_expect_eq(second->tcp.keepalive_ms, 300000);
    cr_expect_eq(second->tcp.user_timeout_ms, 5000);
    cr_expect_eq(second->backlog, 8);
    rig_config_end();
}

/* ---- protocols ---- */

static const struct cw_framed_options *framed_options(void)
{
    return rig_config_server->protocol_options;
}

Test(config, the_servers_frame_size_is_that_of_protocols_which_say_nothing)
{
    const struct cw_service line = cw_service(&cw_line, NULL, NULL);
    const struct cw_config_options options = {.services = &line, .service_count = 1};

    cr_assert_eq(rig_config_load_with(
                     "server:\n  max_frame_size: 1K\n  line: { max_frame_size: 100 }\n", &options),
                 CW_OK);
    cr_expect_eq(framed_options()->frame_max_bytes, 1024);
    const struct cw_line_options *read =
        cw_config_protocol_options(rig_config_server->config, &cw_line);
    cr_expect_eq(read->line_max_bytes, 100);
    cr_expect_null(cw_config_protocol_options(rig_config_server->config, &cw_tcp));
    rig_config_expect_wrong(
        "  max_frame_size: 5G\n",
        ":2: server.max_frame_size: 5368709120 is not allowed; framed takes 1 to "
        "4294967295");
    rig_config_end();
}

Test(config, settings_of_a_protocol_go_over_those_of_the_program)
{
    rig_config_begin();
    rig_config_server = cw_create_server(&cw_framed);
    cw_framed_configure(rig_config_server,
                        &(struct cw_framed_options){.kind = CW_TEXT, .length_bytes = 2});
    rig_config_write(
        "server:\n  framed: { framing: fixed, length_bytes: 8, little_endian: true }\n");
    cr_assert_eq(cw_config_load(rig_config_server, rig_config_path, NULL), CW_OK, "%s",
                 cw_server_error(rig_config_server));
    cr_expect_eq(framed_options()->kind, CW_TEXT);
    cr_expect_eq(framed_options()->length_bytes, 8);
    cr_expect(framed_options()->little_endian);
    rig_config_end();
}

Test(config, what_a_protocol_refuses_is_told_with_its_line)
{
    rig_config_expect_wrong("  port: 0\n  framed:\n    length_bytes: 3\n",
                            ":3: server.framed: length_bytes: not 1, 2, 4 or 8");
    rig_config_end();
}

/* ---- what goes over what ---- */

Test(config, the_file_goes_over_what_the_program_has_set)
{
    rig_config_begin();
    rig_config_server = cw_create_server(&cw_framed);
    cw_server_configure(
        rig_config_server,
        &(struct cw_server_options){.workers = 2, .rooms_max = 7, .trusted_proxies = "10.0.0.0/8"});
    rig_config_write("server: { workers: 3 }\n");
    cr_assert_eq(cw_config_load(rig_config_server, rig_config_path, NULL), CW_OK, "%s",
                 cw_server_error(rig_config_server));
    cr_expect_eq(rig_config_server->options.workers, 3);
    cr_expect_eq(rig_config_server->options.rooms_max, 7);
    cr_expect_eq(rig_config_server->options.idle_ms, 300000);
    cr_expect_str_eq(rig_config_server->options.trusted_proxies, "10.0.0.0/8");
    rig_config_end();
}

static void set_over(struct cw_config *config, void *user)
{
    cr_assert_eq(config->listener_count, 1);
    config->listeners[0].options.port = 7002;
    config->server.workers = 4;
    config->max_frame_size = 9;
    ++*(int *)user;
}

Test(config, override_goes_over_the_file)
{
    int calls = 0;
    const struct cw_config_options options = {.override = set_over, .user = &calls};

    cr_assert_eq(
        rig_config_load_with(
            "server:\n  port: 7001\n  workers: 2\n  framed: { max_frame_size: 5 }\n", &options),
        CW_OK, "%s", cw_server_error(rig_config_server));
    cr_expect_eq(calls, 1);
    cr_expect_eq(rig_config_server->listens->options.port, 7002);
    cr_expect_eq(rig_config_server->options.workers, 4);
    cr_expect_eq(framed_options()->frame_max_bytes, 9);
    rig_config_end();
}

static void set_too_much(struct cw_config *config, void *user)
{
    config->server.conns_max = 5;
}

Test(config, what_override_sets_is_checked_too)
{
    cr_expect_eq(rig_config_load_with("server:\n  port: 0\n  max_connections_per_ip: 50\n",
                                      &(struct cw_config_options){.override = set_too_much}),
                 CW_ECONFIG);
    cr_expect_str_eq(rig_config_said(),
                     ":3: server.max_connections_per_ip is above server.max_connections");
    rig_config_end();
}

static void keep_lines(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    snprintf((char *)user + strlen(user), 1000 - strlen(user), "%d %s\n", (int)level, text);
}

Test(config, ignored_sections_are_not_looked_into_and_told_once)
{
    char lines[1000] = "";
    char expected[1000];
    const struct cw_config_options options = {.ignored = "http, websocket app"};

    cw_log_set(keep_lines, lines);
    cr_expect_eq(rig_config_load_with(
                     "app: [what, ever]\nserver:\n  port: 0\n  http: { any: thing }\n", &options),
                 CW_OK, "%s", cw_server_error(rig_config_server));
    snprintf(expected, sizeof expected,
             "1 %s: app: this program does not speak it; not looked into\n"
             "1 %s: server.http: this program does not speak it; not looked into\n",
             rig_config_path, rig_config_path);
    cr_expect_str_eq(lines, expected);
    cw_log_set(NULL, NULL);
    rig_config_expect_wrong(
        "  http: { any: thing }\n",
        ":2: server.http: unknown key; known are bind, port, unix, unix_mode, ipv6_only, "
        "listeners, workers, …");
    rig_config_end();
}

static void expect_clear(const char *text, bool warned)
{
    char lines[1000] = "";
    char expected[1000] = "";

    cw_log_set(keep_lines, lines);
    rig_config_load(text);
    cw_log_set(NULL, NULL);
    if (warned) {
        snprintf(expected, sizeof expected,
                 "2 %s:3: server.tls.cert is not used: without enabled: true in server.tls its "
                 "listeners speak in the clear\n",
                 rig_config_path);
    }
    cr_expect_str_eq(lines, expected, "%s", text);
}

Test(config, a_certificate_without_enabled_is_warned_of)
{
    expect_clear("  port: 0\n  tls: { cert: /a }\n", true);
    expect_clear("  port: 0\n  tls: { cert: /a, enabled: false }\n", true);
    expect_clear("  port: 0\n  tls: { cert: /a, enabled: true }\n", false);
    expect_clear("  listeners: [{ port: 0, tls: true }, { port: 0 }]\n  tls: { cert: /a }\n", false);
    expect_clear("  listeners: [{ port: 0, tls: { cert: /b } }]\n  tls: { cert: /a }\n", true);
    rig_config_end();
}

Test(config, the_log_is_set_where_the_file_says_so)
{
    cw_log_set_level(CW_LOG_ERROR);
    rig_config_load("  port: 0\n");
    cr_expect_not(cw_log_takes(CW_LOG_WARNING));
    rig_config_load("  log: { level: info }\n");
    cr_expect(cw_log_takes(CW_LOG_INFO));
    cr_expect_not(cw_log_takes(CW_LOG_DEBUG));
    rig_config_load("  log: { level: debug, format: json }\n");
    cr_expect(cw_log_takes(CW_LOG_DEBUG));
    rig_config_end();
}

Test(config, trusted_proxies_are_networks)
{
    rig_config_load("  trusted_proxies: [\"127.0.0.1/32\", \"::1/128\", 10.0.0.1]\n");
    cr_expect_str_eq(rig_config_server->options.trusted_proxies, "127.0.0.1/32,::1/128,10.0.0.1");
    cr_expect_eq(atomic_load(&rig_config_server->trusted.count), 3);
    rig_config_expect_wrong(
        "  trusted_proxies:\n    - 10.0.0.0/8\n    - 10.0.0.1/8\n",
        ":4: server.trusted_proxies: 10.0.0.1/8 is not allowed; an address or a network "
        "such as 10.0.0.0/8, or a list of them");
    cr_expect_eq(
        cw_server_configure(rig_config_server, &(struct cw_server_options){.trusted_proxies = "x"}),
        CW_EINVAL);
    rig_config_end();
}

/* ---- the call ---- */

Test(config, a_server_has_one_file)
{
    rig_config_load("  port: 0\n");
    cr_expect_eq(cw_config_load(rig_config_server, rig_config_path, NULL), CW_ESTATE);
    cr_expect_str_eq(cw_server_error(rig_config_server),
                     "config: a server has one file, this is the second");
    cr_expect_eq(cw_config_load(NULL, rig_config_path, NULL), CW_ENOMEM);
    rig_config_end();
}

Test(config, when_memory_runs_out_nothing_is_lost)
{
    static const char text[] = "server:\n  listeners: [{ port: 1, tls: { cert: a } }]\n"
                               "  trusted_proxies: [10.0.0.1]\n  line: { delimiter: x }\n";
    bool failed = true;

    rig_config_begin();
    rig_config_write(text);
    fault_install();
    for (size_t n = 1; failed; n++) {
        const struct cw_service line = cw_service(&cw_line, NULL, NULL);

        rig_config_server = cw_create_server(&cw_framed);
        fault_arm(n);
        int error =
            cw_config_load(rig_config_server, rig_config_path,
                           &(struct cw_config_options){.services = &line, .service_count = 1});
        failed = fault_disarm();
        cr_expect(error == CW_OK || failed);
        cr_expect(error != CW_OK || !failed, "%zu", n);
        cw_server_free(rig_config_server);
        rig_config_server = NULL;
    }
    fault_remove();
    rig_config_end();
}

/* ---- reading it again ---- */

static struct cw_config *reread(const char *text)
{
    struct cw_config *again;
    struct cw_complaint complaint;

    rig_config_write(text);
    cr_assert_eq(cw_config_reread(rig_config_server, &again, &complaint), CW_OK, "%s",
                 complaint.text);
    return again;
}

Test(config, a_file_is_read_again_with_its_override)
{
    int calls = 0;
    const struct cw_config_options options = {.override = set_over, .user = &calls};

    cr_assert_eq(rig_config_load_with("server: { port: 1, max_connections: 100 }\n", &options),
                 CW_OK);
    struct cw_config *again = reread("server: { port: 1, max_connections: 200 }\n");
    cr_expect_eq(calls, 2);
    cr_expect_eq(again->server.conns_max, 200);
    cr_expect_eq(again->listeners[0].options.port, 7002);
    cr_expect_eq(rig_config_server->options.conns_max, 100);
    cw_config_free(again);
    rig_config_end();
}

Test(config, a_file_that_has_become_wrong_is_told_and_changes_nothing)
{
    struct cw_config *again;
    struct cw_complaint complaint;

    rig_config_load("  port: 1\n");
    rig_config_write("server: { prt: 1 }\n");
    cr_expect_eq(cw_config_reread(rig_config_server, &again, &complaint), CW_ECONFIG);
    cr_expect_null(again);
    cr_expect_str_eq(complaint.text + strlen(rig_config_path),
                     ":1: server.prt: unknown key; did you mean port?");
    cr_expect_str_eq(cw_server_error(rig_config_server), "");
    rig_config_end();
}

static void expect_differs(const char *text, const char *names, size_t count)
{
    struct cw_config *again = reread(text);
    char said[200];

    cr_expect_eq(cw_config_differs(rig_config_server->config, again, said, sizeof said), count,
                 "%s", said);
    cr_expect_str_eq(said, names);
    cw_config_free(again);
}

Test(config, what_needs_a_new_start_is_named)
{
    rig_config_load("  port: 1\n  max_connections: 100\n");
    expect_differs("server: { port: 1, max_connections: 200, workers: 1 }\n", "", 0);
    expect_differs("server: { port: 2, workers: 2, framed: { max_frame_size: 9 } }\n",
                   "server.workers, server.port, server.framed.max_frame_size", 3);
    expect_differs("server: { port: 1, tls: { enabled: true, cert: a } }\n", "server.tls.enabled",
                   1);
    expect_differs("server: { listeners: [{ port: 1 }, { port: 2 }] }\n", "server.listeners", 1);
    expect_differs("server: { listeners: [{ port: 1, tcp: { backlog: 5 } }] }\n",
                   "server.listeners[0].tcp.backlog", 1);
    rig_config_end();
}

Test(config, many_differences_are_cut_and_counted)
{
    struct cw_config *again;
    char said[40];

    rig_config_load("  port: 1\n");
    again = reread("server: { port: 2, workers: 2, work_threads: 2, max_rooms: 3 }\n");
    cr_expect_eq(cw_config_differs(rig_config_server->config, again, said, sizeof said), 4);
    cr_expect_str_eq(said, "server.workers, …");
    cw_config_free(again);
    rig_config_end();
}

/* ---- the whole of it ---- */

/* As the specification of the file shows it: what a later program may read is there too. */
static const char whole[] =
    "server:\n"
    "  bind: \"0.0.0.0\"\n"
    "  port: 7330\n"
    "  workers: 1\n"
    "  max_connections: 10000\n"
    "  max_connections_per_ip: 100\n"
    "  max_frame_size: 65536          # bytes\n"
    "  drain_timeout: 5\n"
    "  handshake_timeout: 10\n"
    "  trusted_proxies: [\"127.0.0.1/32\", \"::1/128\"]\n"
    "  listeners:\n"
    "    - { protocol: http, port: 8080 }\n"
    "    - { protocol: framed, port: 7340, tls: false }\n"
    "    - { protocol: line, unix: \"run/chat.sock\" }\n"
    "  tcp:\n"
    "    no_delay: true\n"
    "    keep_alive: true\n"
    "    keep_alive_initial_delay: 300\n"
    "    keep_alive_interval: 30\n"
    "    keep_alive_probes: 4\n"
    "    user_timeout: 30\n"
    "    timeout: 300\n"
    "    allow_half_open: false\n"
    "    backlog: 511\n"
    "  tls:\n"
    "    enabled: true\n"
    "    cert: /path/to/cert.pem\n"
    "    key: /path/to/key.pem\n"
    "    ca: /path/to/ca.pem\n"
    "    passphrase: ${KEY_PASSPHRASE}\n"
    "    request_cert: false\n"
    "    reject_unauthorized: true\n"
    "    min_version: \"1.2\"\n"
    "    alpn: [http/1.1]\n"
    "    crl: /path/to/crl.pem\n"
    "    certificates:\n"
    "      - { names: [\"alt.example\", \"*.alt.example\"], cert: alt.pem, key: alt.key }\n"
    "  websocket: { ping_interval: 30, compression: true, buffer_size: 16384 }\n"
    "  http: { max_header_size: 16384, cors_origin: \"*\" }\n"
    "  log: { level: info, format: text }\n";

Test(config, a_whole_file_is_read_key_by_key)
{
    static const struct cw_protocol http = {.name = "http"};
    const struct cw_service services[] = {cw_service(&http, NULL, NULL),
                                          cw_service(&cw_line, NULL, NULL)};
    const struct cw_config_options options = {
        .services = services, .service_count = 2, .ignored = "http, websocket"};

    setenv("KEY_PASSPHRASE", "secret", 1);
    cr_assert_eq(rig_config_load_with(whole, &options), CW_OK, "%s",
                 cw_server_error(rig_config_server));
    const struct cw_config *config = rig_config_server->config;
    const struct cw_tcp_options *tcp = &config->listeners[0].options.tcp;
    const struct cw_tls_options *tls = cw_config_listener_tls(config, 0);
    const struct cw_framed_options *framed = framed_options();
    const struct cw_line_options *line = config->listeners[2].options.service.options;

    cr_expect_eq(config->server.workers, 1);
    cr_expect_eq(config->server.conns_max, 10000);
    cr_expect_eq(config->server.conns_per_ip_max, 100);
    cr_expect_eq(config->server.drain_ms, 5000);
    cr_expect_eq(config->server.handshake_ms, 10000);
    cr_expect_eq(config->server.idle_ms, 300000);
    cr_expect_str_eq(config->server.trusted_proxies, "127.0.0.1/32,::1/128");
    cr_expect_eq(framed->frame_max_bytes, 65536);
    cr_expect_eq(line->line_max_bytes, 65536);
    cr_assert_eq(config->listener_count, 3);
    cr_expect_eq(config->listeners[0].options.service.protocol, &http);
    cr_expect_eq(config->listeners[0].options.port, 8080);
    cr_expect_str_eq(config->listeners[0].options.host, "0.0.0.0");
    cr_expect_eq(config->listeners[0].options.backlog, 511);
    cr_expect_eq(config->listeners[1].options.port, 7340);
    cr_expect_null(cw_config_listener_tls(config, 1));
    cr_expect_eq(config->listeners[2].options.service.protocol, &cw_line);
    cr_expect_not(tcp->delay);
    cr_expect_eq(tcp->keepalive_ms, 300000);
    cr_expect_eq(tcp->keepalive_interval_ms, 30000);
    cr_expect_eq(tcp->keepalive_probes, 4);
    cr_expect_eq(tcp->user_timeout_ms, 30000);
    cr_assert_not_null(tls);
    cr_expect_str_eq(tls->cert, "/path/to/cert.pem");
    cr_expect_str_eq(tls->key, "/path/to/key.pem");
    cr_expect_null(tls->ca); /* nobody is asked */
    cr_expect_null(tls->crl);
    cr_expect_str_eq(tls->passphrase, "secret");
    cr_expect_eq(tls->client_cert, CW_CLIENT_CERT_OFF);
    cr_expect_not(tls->accept_unauthorized);
    cr_expect_eq(tls->min_version, CW_TLS_1_2);
    cr_expect_str_eq(tls->alpn, "http/1.1");
    cr_expect_eq(tls->certificate_count, 1);
    rig_config_end();
}
