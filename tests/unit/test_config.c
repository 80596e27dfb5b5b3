#include "config_impl.h"
#include "options.h"
#include "server_impl.h"
#include "support/fault.h"
#include "support/leak.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(config, .fini = rig_expect_no_leak, .timeout = 60);

static char folder[64];
static char path[128];
static struct cw_server *server;

static void set_text(const char *name, const char *text)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

static void begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/cw-config-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void end(void)
{
    cw_server_free(server);
    server = NULL;
    unlink(path);
    rmdir(folder);
}

static int load_with(const char *text, const struct cw_config_options *options)
{
    if (folder[0] == '\0') {
        begin();
    }
    cw_server_free(server);
    server = cw_create_server(&cw_framed);
    set_text("c.yaml", text);
    return cw_config_load(server, path, options);
}

/* What is read, from the lines of `server`. */
static const struct cw_config *load(const char *text)
{
    char whole[4000];

    snprintf(whole, sizeof whole, "server:\n%s", text);
    cr_assert_eq(load_with(whole, NULL), CW_OK, "%s", cw_server_error(server));
    return server->config;
}

static void expect_refused(const char *text, const char *sentence)
{
    const char *said;

    cr_expect_eq(load_with(text, NULL), CW_ECONFIG, "%s", text);
    said = cw_server_error(server);
    cr_expect_eq(strncmp(said, path, strlen(path)), 0, "%s", said);
    cr_expect_str_eq(said + (strlen(said) < strlen(path) ? 0 : strlen(path)), sentence);
    cr_expect_null(server->config);
    cr_expect_null(server->listens);
    cr_expect_eq(server->options.conns_max, 10000);
}

/* The same, for the lines of `server`. */
static void expect_wrong(const char *text, const char *sentence)
{
    char whole[2000];

    snprintf(whole, sizeof whole, "server:\n%s", text);
    expect_refused(whole, sentence);
}

/* ---- values ---- */

Test(config, counts_are_decimal)
{
    const struct cw_config *config = load("  workers: 3\n  max_connections: 200\n");

    cr_expect_eq(config->server.workers, 3);
    cr_expect_eq(config->server.conns_max, 200);
    cr_expect_eq(server->options.conns_per_ip_max, 20);
    expect_wrong("  workers: 0x10\n", ":2: server.workers: 0x10 is not allowed; 1 to 256; or auto");
    expect_wrong("  workers: 010\n", ":2: server.workers: 010 is not allowed; 1 to 256; or auto");
    expect_wrong("  workers: -1\n", ":2: server.workers: -1 is not allowed; 1 to 256; or auto");
    expect_wrong("  workers: 1.5\n", ":2: server.workers: 1.5 is not allowed; 1 to 256; or auto");
    expect_wrong("  workers: 99999999999999999999\n", ":2: server.workers: 99999999999999999999 is "
                                                      "not allowed; 1 to 256; or auto");
    expect_wrong("  workers: \"1\"\n",
                 ":2: server.workers: the text \"1\" is not allowed; 1 to 256; or auto");
    expect_wrong("  workers: 0\n", ":2: server.workers: 0 is not allowed; 1 to 256; or auto");
    expect_wrong("  workers:\n", ":2: server.workers: no value is not allowed; 1 to 256; or auto");
    end();
}

Test(config, the_ends_of_a_range_are_allowed_and_one_more_is_not)
{
    cr_expect_eq(load("  tcp: { keep_alive_probes: 1 }\n")->tcp.keepalive_probes, 1);
    cr_expect_eq(load("  tcp: { keep_alive_probes: 127 }\n")->tcp.keepalive_probes, 127);
    expect_wrong("  tcp:\n    keep_alive_probes: 128\n",
                 ":3: server.tcp.keep_alive_probes: 128 is not allowed; 1 to 127");
    end();
}

Test(config, sizes_are_bytes_or_have_a_unit)
{
    cr_expect_eq(load("  max_output: 100000\n")->server.out_max_bytes, 100000);
    cr_expect_eq(load("  max_output: 65K\n")->server.out_max_bytes, 66560);
    cr_expect_eq(load("  max_output: 65k\n")->server.out_max_bytes, 66560);
    cr_expect_eq(load("  max_output: 2M\n")->server.out_max_bytes, 2097152);
    cr_expect_eq(load("  max_output: 3G\n")->server.out_max_bytes, 3221225472);
    cr_expect_eq(load("  max_output: \"2M\"\n")->server.out_max_bytes, 2097152);
    cr_expect_eq(load("  max_output: unlimited\n")->server.out_max_bytes, CW_NO_LIMIT);
    expect_wrong("  max_output: 1MB\n", ":2: server.max_output: 1MB is not allowed; 1 to "
                                        "1099511627776 bytes, or with K, M, G; or unlimited");
    expect_wrong("  max_input: unlimited\n", ":2: server.max_input: unlimited is not allowed; 1 to "
                                             "1099511627776 bytes, or with K, M, G");
    expect_wrong("  max_output: 1.5M\n", ":2: server.max_output: 1.5M is not allowed; 1 to "
                                         "1099511627776 bytes, or with K, M, G; or unlimited");
    end();
}

Test(config, times_are_seconds_or_have_a_unit)
{
    cr_expect_eq(load("  drain_timeout: 7\n")->server.drain_ms, 7000);
    cr_expect_eq(load("  drain_timeout: 0.5\n")->server.drain_ms, 500);
    cr_expect_eq(load("  drain_timeout: 1.234\n")->server.drain_ms, 1234);
    cr_expect_eq(load("  drain_timeout: 500ms\n")->server.drain_ms, 500);
    cr_expect_eq(load("  drain_timeout: 30s\n")->server.drain_ms, 30000);
    cr_expect_eq(load("  drain_timeout: 5m\n")->server.drain_ms, 300000);
    cr_expect_eq(load("  drain_timeout: 1.5h\n")->server.drain_ms, 5400000);
    cr_expect_eq(load("  write_timeout: off\n")->server.write_ms, CW_OFF);
    for (size_t i = 0; i < 7; i++) {
        static const char *const wrong[] = {"0", "0.0001", "1.", ".5", "5d", "0.5ms", "off"};
        char text[64];
        char sentence[200];

        snprintf(text, sizeof text, "  drain_timeout: %s\n", wrong[i]);
        snprintf(sentence, sizeof sentence,
                 ":2: server.drain_timeout: %s is not allowed; 1ms to 8760h, seconds where there "
                 "is no unit (ms, s, m, h)",
                 wrong[i]);
        expect_wrong(text, sentence);
    }
    end();
}

Test(config, switches_are_true_or_false_and_nothing_else)
{
    cr_expect(load("  read_while_full: true\n")->server.read_while_full);
    cr_expect_not(load("  read_while_full: False\n")->server.read_while_full);
    expect_wrong(
        "  read_while_full: yes\n",
        ":2: server.read_while_full: yes is not allowed; true or false; did you mean true?");
    expect_wrong(
        "  read_while_full: Off\n",
        ":2: server.read_while_full: Off is not allowed; true or false; did you mean false?");
    expect_wrong("  read_while_full: 1\n",
                 ":2: server.read_while_full: 1 is not allowed; true or false");
    expect_wrong("  read_while_full: \"true\"\n",
                 ":2: server.read_while_full: the text \"true\" is not allowed; true or false");
    end();
}

Test(config, tcp_switches_are_the_opposite_of_their_members)
{
    const struct cw_config *config =
        load("  port: 0\n  tcp: { no_delay: false, keep_alive: false, "
             "keep_alive_initial_delay: 60, allow_half_open: true }\n");

    cr_expect(config->tcp.delay);
    cr_expect_eq(config->tcp.keepalive_ms, CW_OFF);
    cr_expect(config->server.half_open);
    cr_expect(config->listeners[0].options.tcp.delay);
    cr_expect_eq(config->listeners[0].options.tcp.keepalive_ms, CW_OFF);
    config = load("  port: 0\n  tcp: { no_delay: true, keep_alive: true, keep_alive_initial_delay: "
                  "60, timeout: 7 }\n");
    cr_expect_not(config->tcp.delay);
    cr_expect_eq(config->tcp.keepalive_ms, 60000);
    cr_expect_eq(config->server.idle_ms, 7000);
    end();
}

Test(config, choices_are_words)
{
    expect_wrong("  log: { level: loud }\n", ":2: server.log.level: loud is not allowed; debug, "
                                             "info, warning, error or silent");
    expect_wrong("  tls: { min_version: 1.1 }\n",
                 ":2: server.tls.min_version: 1.1 is not allowed; 1.2 or 1.3");
    cr_expect_eq(load("  tls: { min_version: \"1.3\" }\n")->tls.min_version, CW_TLS_1_3);
    cr_expect_eq(load("  tls: { max_version: 1.2 }\n")->tls.max_version, CW_TLS_1_2);
    cr_expect_eq(load("  tls: { resumption: cache }\n")->tls.resumption, CW_TLS_SESSION_CACHE);
    end();
}

Test(config, client_certificates_follow_two_switches)
{
    const struct cw_config *config = load("  tls: { request_cert: true }\n");

    cr_expect_eq(config->tls.client_cert, CW_CLIENT_CERT_REQUIRE);
    cr_expect_not(config->tls.accept_unauthorized);
    config = load("  tls: { request_cert: true, reject_unauthorized: false }\n");
    cr_expect_eq(config->tls.client_cert, CW_CLIENT_CERT_REQUEST);
    cr_expect(config->tls.accept_unauthorized);
    config = load("  tls: { request_cert: optional }\n");
    cr_expect_eq(config->tls.client_cert, CW_CLIENT_CERT_REQUEST);
    cr_expect_not(config->tls.accept_unauthorized);
    config = load("  tls: { request_cert: false }\n");
    cr_expect_eq(config->tls.client_cert, CW_CLIENT_CERT_OFF);
    expect_wrong("  tls: { request_cert: yes }\n",
                 ":2: server.tls.request_cert: yes is not allowed; false, true or optional; did you "
                 "mean true?");
    end();
}

Test(config, lists_are_words_or_one_word)
{
    cr_expect_str_eq(load("  tls: { alpn: [h2, http/1.1] }\n")->tls.alpn, "h2,http/1.1");
    cr_expect_str_eq(load("  tls: { alpn: http/1.1 }\n")->tls.alpn, "http/1.1");
    expect_wrong("  tls:\n    alpn:\n      - a\n      - \"b c\"\n",
                 ":5: server.tls.alpn: the text \"b c\" is not allowed; a word, or a list of words "
                 "without commas and spaces");
    expect_wrong("  tls: { alpn: [[a]] }\n", ":2: server.tls.alpn: a list is not allowed; a word, "
                                             "or a list of words without commas and spaces");
    end();
}

Test(config, paths_begin_at_the_files_folder)
{
    char expected[200];
    const struct cw_config *config =
        load("  unix: run/a.sock\n  tls: { cert: a.pem, key: /b.key, ca: \"-----BEGIN CERT\" }\n");

    snprintf(expected, sizeof expected, "%s/run/a.sock", folder);
    cr_expect_str_eq(config->listeners[0].options.unix_path, expected);
    snprintf(expected, sizeof expected, "%s/a.pem", folder);
    cr_expect_str_eq(config->tls.cert, expected);
    cr_expect_str_eq(config->tls.key, "/b.key");
    cr_expect_str_eq(config->tls.ca, "-----BEGIN CERT");
    end();
}

Test(config, permissions_are_octal)
{
    cr_expect_eq(load("  unix: a\n  unix_mode: 0660\n")->listeners[0].options.unix_mode, 0660);
    expect_wrong("  unix_mode: 660\n", ":2: server.unix_mode: 660 is not allowed; permission bits "
                                       "in octal, 0001 to 0777");
    expect_wrong("  unix_mode: 01777\n", ":2: server.unix_mode: 01777 is not allowed; permission "
                                         "bits in octal, 0001 to 0777");
    end();
}

/* ---- the environment ---- */

Test(config, variables_of_the_environment_are_put_in)
{
    setenv("CW_TEST_WORD", "secret", 1);
    setenv("CW_TEST_PORT", "7001", 1);
    cr_expect_str_eq(load("  tls: { passphrase: \"${CW_TEST_WORD}\" }\n")->tls.passphrase, "secret");
    cr_expect_str_eq(load("  tls:\n    passphrase: a${CW_TEST_WORD}b$c\n")->tls.passphrase,
                     "asecretb$c");
    cr_expect_str_eq(load("  tls:\n    passphrase: $${CW_TEST_WORD}\n")->tls.passphrase,
                     "${CW_TEST_WORD}");
    cr_expect_eq(load("  port: ${CW_TEST_PORT}\n")->listeners[0].options.port, 7001);
    cr_expect_eq(load("  listeners: [{ port: \"${CW_TEST_PORT}\" }]\n")->listeners[0].options.port,
                 7001);
    end();
}

Test(config, a_variable_that_is_not_set_is_named)
{
    unsetenv("CW_TEST_NONE");
    expect_wrong("  tls:\n    key: ${CW_TEST_NONE}/a.key\n",
                 ":3: server.tls.key: ${CW_TEST_NONE}: that variable of the environment is not set");
    expect_wrong("  bind: ${a-b}\n",
                 ":2: server.bind: ${ without a name and } behind it; ${NAME} is a variable of the "
                 "environment, $${ is ${ itself");
    end();
}

Test(config, what_a_variable_holds_is_not_looked_into_again)
{
    setenv("CW_TEST_WORD", "${HOME}", 1);
    cr_expect_str_eq(load("  tls:\n    passphrase: ${CW_TEST_WORD}\n")->tls.passphrase, "${HOME}");
    end();
}

Test(config, a_passphrase_is_never_repeated)
{
    expect_wrong("  tls:\n    passphrase: [geheim]\n",
                 ":3: server.tls.passphrase: this is not allowed; a text");
    end();
}

/* ---- keys ---- */

Test(config, an_unknown_key_is_refused_with_the_nearest)
{
    expect_wrong("  tcp:\n    keepalive: true\n",
                 ":3: server.tcp.keepalive: unknown key; did you mean keep_alive?");
    expect_wrong("  timeout: 5\n",
                 ":2: server.timeout: unknown key here; did you mean server.tcp.timeout?");
    expect_wrong("  log: { zzz: 1 }\n", ":2: server.log.zzz: unknown key; known are level, format");
    expect_refused("port: 1\n", ":1: port: unknown key here; did you mean server.port?");
    expect_wrong("  framed: { max_frame: 1 }\n",
                 ":2: server.framed.max_frame: unknown key; known are max_frame_size, framing, "
                 "length_bytes, little_endian, length_offset, …");
    end();
}

Test(config, a_key_that_stands_there_twice_is_refused)
{
    expect_wrong("  port: 1\n  workers: 1\n  port: 2\n",
                 ":4: server.port: stands there twice, in line 2 too; once is allowed");
    expect_refused("server: {}\nserver: {}\n",
                   ":2: server: stands there twice, in line 1 too; once is allowed");
    end();
}

Test(config, a_value_of_another_kind_is_refused)
{
    expect_wrong("  tcp: 5\n", ":2: server.tcp: 5 is not allowed; keys with their values");
    expect_wrong("  port: [1]\n", ":2: server.port: a list is not allowed; 0 to 65535");
    expect_wrong("  port: { a: 1 }\n", ":2: server.port: a mapping is not allowed; 0 to 65535");
    expect_wrong("  bind: \"\"\n", ":2: server.bind: an empty text is not allowed; a text");
    expect_wrong("  listeners: 5\n", ":2: server.listeners: 5 is not allowed; a list of at most 64 "
                                     "listeners: - { port: 7000 }");
    expect_wrong("  framed: 5\n", ":2: server.framed: not allowed; keys with their values");
    end();
}

Test(config, a_section_may_be_empty)
{
    load("  port: 0\n  tcp:\n  tls:\n  framed:\n");
    end();
}

Test(config, without_server_a_file_is_refused)
{
    static const char sentence[] = ":1: there is no `server:` in it; it is the one key at the top";

    expect_refused("", sentence);
    expect_refused("# nothing\n", sentence);
    expect_refused("5\n", sentence);
    expect_refused("[server]\n", sentence);
    end();
}

Test(config, options_that_contradict_each_other_are_named_by_their_keys)
{
    expect_wrong("  max_connections: 5\n  max_connections_per_ip: 50\n",
                 ":3: server.max_connections_per_ip is above server.max_connections");
    expect_wrong("  output_high: 5000\n  max_output: 4000\n",
                 ":2: server.output_high is above server.max_output");
    end();
}

/* ---- YAML ---- */

Test(config, what_is_not_yaml_is_told_with_line_and_column)
{
    expect_refused("server:\n  port: [\n  tcp:\n    keep_alive: true\n",
                   ":4:15: not YAML: did not find expected ',' or ']'");
    expect_refused("server:\n\tport: 1\n",
                   ":2:1: not YAML: found character that cannot start any token");
    cr_expect_eq(load_with("server:\n  bind: \"\xff\"\n", NULL), CW_ECONFIG);
    cr_expect_str_eq(cw_server_error(server) + strlen(path),
                     ":2:10: not YAML: invalid leading UTF-8 octet");
    end();
}

Test(config, anchors_aliases_tags_and_documents_are_refused_by_name)
{
    expect_wrong("  tcp: &a { }\n", ":2: anchors (&a) are not allowed; write the value again");
    expect_wrong("  bind: *a\n", ":2: aliases (*a) are not allowed; write the value again");
    expect_wrong("  bind: !!str a\n",
                 ":2: tags (tag:yaml.org,2002:str) are not allowed; write the value alone");
    expect_wrong("  bind: a\n---\nserver: {}\n", ":3: a second document begins; one is allowed");
    expect_wrong("  ? [a]\n  : b\n", ":2: a key is a word; a list or mapping cannot be one");
    expect_wrong("  bind: \"a\\0b\"\n", ":2: a text with a zero byte in it is not allowed");
    end();
}

Test(config, depth_is_bounded)
{
    expect_wrong("  tls: {alpn: [[[[[[[[[[[[[[[a]]]]]]]]]]]]]]] }\n",
                 ":2: lists and mappings lie deeper than allowed; at most 16");
    cr_expect_eq(
        load_with("server: { tls: { alpn: [a] } }\n", &(struct cw_config_options){.depth_max = 4}),
        CW_OK);
    cr_expect_eq(
        load_with("server: { tls: { alpn: [a] } }\n", &(struct cw_config_options){.depth_max = 3}),
        CW_ECONFIG);
    end();
}

Test(config, the_size_of_a_file_is_bounded)
{
    static const char text[] = "server: { port: 0 }\n";
    struct cw_config_options options = {.file_max_bytes = sizeof text - 1};

    cr_expect_eq(load_with(text, &options), CW_OK);
    options.file_max_bytes--;
    cr_expect_eq(load_with(text, &options), CW_ETOOBIG);
    cr_expect_str_eq(cw_server_error(server) + strlen(path),
                     ": 20 bytes are not allowed; at most 19");
    end();
}

Test(config, a_file_that_cannot_be_read_is_told)
{
    begin();
    server = cw_create_server(&cw_framed);
    cr_expect_eq(cw_config_load(server, "/nowhere/c.yaml", NULL), CW_ENOPATH);
    cr_expect_str_eq(cw_server_error(server),
                     "/nowhere/c.yaml: a file or directory of the path does not exist");
    cw_server_free(server);
    server = cw_create_server(&cw_framed);
    cr_expect_eq(cw_config_load(server, folder, NULL), CW_ECONFIG);
    cr_expect_str_eq(cw_server_error(server) + strlen(folder),
                     ": not a file; a file with YAML in it");
    end();
}

/* ---- listeners ---- */

Test(config, bind_and_port_are_one_listener)
{
    const struct cw_config *config = load("  bind: 127.0.0.1\n  port: 7330\n");

    cr_assert_eq(config->listener_count, 1);
    cr_expect_str_eq(config->listeners[0].options.host, "127.0.0.1");
    cr_expect_eq(config->listeners[0].options.port, 7330);
    cr_expect_str_eq(server->listens->options.host, "127.0.0.1");
    cr_expect_eq(server->listens->from_file, 1);
    cr_expect_null(server->listens->next);
    end();
}

Test(config, a_file_without_a_port_names_no_listener)
{
    cr_expect_eq(load("  workers: 1\n")->listener_count, 0);
    expect_wrong("  bind: 127.0.0.1\n", ":2: server.bind: there is no port; write server.port too");
    expect_wrong("  tls: { enabled: true, cert: a }\n",
                 ":2: server.tls.enabled: the file names no listener that would speak it; write "
                 "server.port");
    end();
}

Test(config, listeners_have_their_own_protocol_and_place)
{
    static const struct cw_hooks hooks = {.on_data = NULL};
    const struct cw_service services[] = {
        cw_service(&cw_tcp, &hooks, NULL),
        cw_line_service(&(struct cw_line_options){.binary = true}, &hooks, NULL)};
    const struct cw_config_options options = {.services = services, .service_count = 2};
    const struct cw_config *config;

    cr_assert_eq(
        load_with("server:\n  bind: ::1\n  listeners:\n    - { protocol: line, port: 7001 }\n"
                  "    - { protocol: framed, bind: 127.0.0.1, port: 7002 }\n"
                  "    - { unix: /run/a }\n  line: { max_frame_size: 100 }\n",
                  &options),
        CW_OK, "%s", cw_server_error(server));
    config = server->config;
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
    cr_expect_eq(load_with("server:\n  listeners: [{ protocol: http, port: 1 }]\n", &options),
                 CW_ECONFIG);
    cr_expect_str_eq(cw_server_error(server) + strlen(path),
                     ":2: server.listeners[0].protocol: http is not allowed; framed, tcp or line");
    end();
}

Test(config, a_listener_is_a_port_or_a_path)
{
    expect_wrong(
        "  listeners:\n    - { port: 1 }\n    - { bind: a }\n",
        ":4: server.listeners[1]: port is missing; a port (0: any free one), or the path of "
        "a unix socket as unix");
    expect_wrong("  listeners:\n    - { port: 1, unix: a }\n",
                 ":3: server.listeners[0]: unix stands beside bind or port; one of the two is "
                 "allowed");
    expect_wrong("  port: 1\n  unix: a\n",
                 ":3: server: unix stands beside bind or port; one of the two is allowed");
    expect_wrong("  listeners: []\n", ":2: server.listeners: a list is not allowed; a list of at "
                                      "most 64 listeners: - { port: 7000 }");
    end();
}

Test(config, so_many_listeners_are_allowed)
{
    char text[4000] = "  listeners:\n";

    for (int i = 0; i < CW_CONFIG_LISTENERS_MAX; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "    - { port: 0 }\n");
    }
    cr_expect_eq(load(text)->listener_count, CW_CONFIG_LISTENERS_MAX);
    snprintf(text + strlen(text), sizeof text - strlen(text), "    - { port: 0 }\n");
    char whole[4100];
    snprintf(whole, sizeof whole, "server:\n%s", text);
    cr_expect_eq(load_with(whole, NULL), CW_ECONFIG);
    end();
}

Test(config, a_listener_without_tls_takes_the_servers)
{
    const struct cw_config *config = load(
        "  tls: { enabled: true, cert: /a }\n  listeners:\n    - { port: 1 }\n"
        "    - { port: 2, tls: false }\n    - { port: 3, tls: { cert: /b } }\n"
        "    - { port: 4, tls: true }\n    - { port: 5, tls: { enabled: false, cert: /b } }\n");

    cr_expect_str_eq(cw_config_listener_tls(config, 0)->cert, "/a");
    cr_expect_null(cw_config_listener_tls(config, 1));
    cr_expect_str_eq(cw_config_listener_tls(config, 2)->cert, "/b");
    cr_expect_str_eq(cw_config_listener_tls(config, 3)->cert, "/a");
    cr_expect_null(cw_config_listener_tls(config, 4));
    config = load("  tls: { cert: /a }\n  listeners:\n    - { port: 1 }\n"
                  "    - { port: 2, tls: true }\n");
    cr_expect_null(cw_config_listener_tls(config, 0));
    cr_expect_str_eq(cw_config_listener_tls(config, 1)->cert, "/a");
    end();
}

Test(config, tls_reaches_the_listeners_of_the_server)
{
    load("  port: 0\n  tls:\n    enabled: true\n    cert: /a\n    certificates:\n"
         "      - { names: [a.example, \"*.a.example\"], cert: /c, key: /k }\n");
    const struct cw_tls_options *tls = server->listens->options.tls;

    cr_assert_not_null(tls);
    cr_expect_str_eq(tls->cert, "/a");
    cr_assert_eq(tls->certificate_count, 1);
    cr_expect_str_eq(tls->certificates[0].names, "a.example,*.a.example");
    cr_expect_str_eq(tls->certificates[0].cert, "/c");
    cr_expect_str_eq(tls->certificates[0].key, "/k");
    end();
}

Test(config, tls_without_a_certificate_is_refused)
{
    expect_wrong("  port: 1\n  tls:\n    enabled: true\n",
                 ":4: server.tls.cert: missing; a server's certificate");
    expect_wrong("  listeners:\n    - { port: 1, tls: {} }\n",
                 ":3: server.listeners[0].tls.cert: missing; a server's certificate");
    expect_wrong("  tls: { certificates: [{ key: a }] }\n",
                 ":2: server.tls.certificates[0]: cert is missing; the path of a certificate");
    end();
}

Test(config, what_a_listeners_tcp_does_not_say_is_the_servers)
{
    const struct cw_config *config =
        load("  tcp: { no_delay: false, keep_alive: false, user_timeout: 5, backlog: 7 }\n"
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
    end();
}

/* ---- protocols ---- */

static const struct cw_framed_options *framed_options(void)
{
    return server->protocol_options;
}

Test(config, the_servers_frame_size_is_that_of_protocols_which_say_nothing)
{
    const struct cw_service line = cw_service(&cw_line, NULL, NULL);
    const struct cw_config_options options = {.services = &line, .service_count = 1};

    cr_assert_eq(
        load_with("server:\n  max_frame_size: 1K\n  line: { max_frame_size: 100 }\n", &options),
        CW_OK);
    cr_expect_eq(framed_options()->frame_max_bytes, 1024);
    const struct cw_line_options *read = cw_config_protocol_options(server->config, &cw_line);
    cr_expect_eq(read->line_max_bytes, 100);
    cr_expect_null(cw_config_protocol_options(server->config, &cw_tcp));
    expect_wrong("  max_frame_size: 5G\n",
                 ":2: server.max_frame_size: 5368709120 is not allowed; framed takes 1 to "
                 "4294967295");
    end();
}

Test(config, settings_of_a_protocol_go_over_those_of_the_program)
{
    begin();
    server = cw_create_server(&cw_framed);
    cw_framed_configure(server, &(struct cw_framed_options){.kind = CW_TEXT, .length_bytes = 2});
    set_text("c.yaml",
             "server:\n  framed: { framing: fixed, length_bytes: 8, little_endian: true }\n");
    cr_assert_eq(cw_config_load(server, path, NULL), CW_OK, "%s", cw_server_error(server));
    cr_expect_eq(framed_options()->kind, CW_TEXT);
    cr_expect_eq(framed_options()->length_bytes, 8);
    cr_expect(framed_options()->little_endian);
    end();
}

Test(config, what_a_protocol_refuses_is_told_with_its_line)
{
    expect_wrong("  port: 0\n  framed:\n    length_bytes: 3\n",
                 ":3: server.framed: length_bytes: not 1, 2, 4 or 8");
    end();
}

/* ---- what goes over what ---- */

Test(config, the_file_goes_over_what_the_program_has_set)
{
    begin();
    server = cw_create_server(&cw_framed);
    cw_server_configure(server, &(struct cw_server_options){
                                    .workers = 2, .rooms_max = 7, .trusted_proxies = "10.0.0.0/8"});
    set_text("c.yaml", "server: { workers: 3 }\n");
    cr_assert_eq(cw_config_load(server, path, NULL), CW_OK, "%s", cw_server_error(server));
    cr_expect_eq(server->options.workers, 3);
    cr_expect_eq(server->options.rooms_max, 7);
    cr_expect_eq(server->options.idle_ms, 300000);
    cr_expect_str_eq(server->options.trusted_proxies, "10.0.0.0/8");
    end();
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

    cr_assert_eq(load_with("server:\n  port: 7001\n  workers: 2\n  framed: { max_frame_size: 5 }\n",
                           &options),
                 CW_OK, "%s", cw_server_error(server));
    cr_expect_eq(calls, 1);
    cr_expect_eq(server->listens->options.port, 7002);
    cr_expect_eq(server->options.workers, 4);
    cr_expect_eq(framed_options()->frame_max_bytes, 9);
    end();
}

static void set_too_much(struct cw_config *config, void *user)
{
    config->server.conns_max = 5;
}

Test(config, what_override_sets_is_checked_too)
{
    cr_expect_eq(load_with("server:\n  port: 0\n  max_connections_per_ip: 50\n",
                           &(struct cw_config_options){.override = set_too_much}),
                 CW_ECONFIG);
    cr_expect_str_eq(cw_server_error(server) + strlen(path),
                     ":3: server.max_connections_per_ip is above server.max_connections");
    end();
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
    cr_expect_eq(
        load_with("app: [what, ever]\nserver:\n  port: 0\n  http: { any: thing }\n", &options),
        CW_OK, "%s", cw_server_error(server));
    snprintf(expected, sizeof expected,
             "1 %s: app: this program does not speak it; not looked into\n"
             "1 %s: server.http: this program does not speak it; not looked into\n",
             path, path);
    cr_expect_str_eq(lines, expected);
    cw_log_set(NULL, NULL);
    expect_wrong("  http: { any: thing }\n",
                 ":2: server.http: unknown key; known are bind, port, unix, unix_mode, ipv6_only, "
                 "listeners, workers, …");
    end();
}

Test(config, the_log_is_set_where_the_file_says_so)
{
    cw_log_set_level(CW_LOG_ERROR);
    load("  port: 0\n");
    cr_expect_not(cw_log_takes(CW_LOG_WARNING));
    load("  log: { level: info }\n");
    cr_expect(cw_log_takes(CW_LOG_INFO));
    cr_expect_not(cw_log_takes(CW_LOG_DEBUG));
    load("  log: { level: debug, format: json }\n");
    cr_expect(cw_log_takes(CW_LOG_DEBUG));
    end();
}

Test(config, trusted_proxies_are_networks)
{
    load("  trusted_proxies: [\"127.0.0.1/32\", \"::1/128\", 10.0.0.1]\n");
    cr_expect_str_eq(server->options.trusted_proxies, "127.0.0.1/32,::1/128,10.0.0.1");
    cr_expect_eq(atomic_load(&server->trusted.count), 3);
    expect_wrong("  trusted_proxies:\n    - 10.0.0.0/8\n    - 10.0.0.1/8\n",
                 ":4: server.trusted_proxies: 10.0.0.1/8 is not allowed; an address or a network "
                 "such as 10.0.0.0/8, or a list of them");
    cr_expect_eq(cw_server_configure(server, &(struct cw_server_options){.trusted_proxies = "x"}),
                 CW_EINVAL);
    end();
}

/* ---- the call ---- */

Test(config, a_server_has_one_file)
{
    load("  port: 0\n");
    cr_expect_eq(cw_config_load(server, path, NULL), CW_ESTATE);
    cr_expect_str_eq(cw_server_error(server), "config: a server has one file, this is the second");
    cr_expect_eq(cw_config_load(NULL, path, NULL), CW_ENOMEM);
    end();
}

Test(config, when_memory_runs_out_nothing_is_lost)
{
    static const char text[] = "server:\n  listeners: [{ port: 1, tls: { cert: a } }]\n"
                               "  trusted_proxies: [10.0.0.1]\n  line: { delimiter: x }\n";
    bool failed = true;

    begin();
    set_text("c.yaml", text);
    fault_install();
    for (size_t n = 1; failed; n++) {
        const struct cw_service line = cw_service(&cw_line, NULL, NULL);

        server = cw_create_server(&cw_framed);
        fault_arm(n);
        int error = cw_config_load(
            server, path, &(struct cw_config_options){.services = &line, .service_count = 1});
        failed = fault_disarm();
        cr_expect(error == CW_OK || failed);
        cr_expect(error != CW_OK || !failed, "%zu", n);
        cw_server_free(server);
        server = NULL;
    }
    fault_remove();
    end();
}

/* ---- reading it again ---- */

static struct cw_config *reread(const char *text)
{
    struct cw_config *again;
    struct cw_complaint complaint;

    set_text("c.yaml", text);
    cr_assert_eq(cw_config_reread(server, &again, &complaint), CW_OK, "%s", complaint.text);
    return again;
}

Test(config, a_file_is_read_again_with_its_override)
{
    int calls = 0;
    const struct cw_config_options options = {.override = set_over, .user = &calls};

    cr_assert_eq(load_with("server: { port: 1, max_connections: 100 }\n", &options), CW_OK);
    struct cw_config *again = reread("server: { port: 1, max_connections: 200 }\n");
    cr_expect_eq(calls, 2);
    cr_expect_eq(again->server.conns_max, 200);
    cr_expect_eq(again->listeners[0].options.port, 7002);
    cr_expect_eq(server->options.conns_max, 100);
    cw_config_free(again);
    end();
}

Test(config, a_file_that_has_become_wrong_is_told_and_changes_nothing)
{
    struct cw_config *again;
    struct cw_complaint complaint;

    load("  port: 1\n");
    set_text("c.yaml", "server: { prt: 1 }\n");
    cr_expect_eq(cw_config_reread(server, &again, &complaint), CW_ECONFIG);
    cr_expect_null(again);
    cr_expect_str_eq(complaint.text + strlen(path),
                     ":1: server.prt: unknown key; did you mean port?");
    cr_expect_str_eq(cw_server_error(server), "");
    end();
}

static void expect_differs(const char *text, const char *names, size_t count)
{
    struct cw_config *again = reread(text);
    char said[200];

    cr_expect_eq(cw_config_differs(server->config, again, said, sizeof said), count, "%s", said);
    cr_expect_str_eq(said, names);
    cw_config_free(again);
}

Test(config, what_needs_a_new_start_is_named)
{
    load("  port: 1\n  max_connections: 100\n");
    expect_differs("server: { port: 1, max_connections: 200, workers: 1 }\n", "", 0);
    expect_differs("server: { port: 2, workers: 2, framed: { max_frame_size: 9 } }\n",
                   "server.workers, server.port, server.framed.max_frame_size", 3);
    expect_differs("server: { port: 1, tls: { enabled: true, cert: a } }\n", "server.tls.enabled",
                   1);
    expect_differs("server: { listeners: [{ port: 1 }, { port: 2 }] }\n", "server.listeners", 1);
    expect_differs("server: { listeners: [{ port: 1, tcp: { backlog: 5 } }] }\n",
                   "server.listeners[0].tcp.backlog", 1);
    end();
}

Test(config, many_differences_are_cut_and_counted)
{
    struct cw_config *again;
    char said[40];

    load("  port: 1\n");
    again = reread("server: { port: 2, workers: 2, work_threads: 2, max_rooms: 3 }\n");
    cr_expect_eq(cw_config_differs(server->config, again, said, sizeof said), 4);
    cr_expect_str_eq(said, "server.workers, …");
    cw_config_free(again);
    end();
}

/* ---- the table, the documents and the file that is shipped ---- */

static char *read_whole(const char *name)
{
    char *text = calloc(1, 100001);
    FILE *file = fopen(name, "r");

    cr_assert_not_null(file, "%s", name);
    cr_assert_not_null(text);
    cr_assert_gt(fread(text, 1, 100000, file), 0);
    fclose(file);
    return text;
}

static void expect_documented(const char *key, const struct cw_config_key *entry, void *user)
{
    char cell[160];
    char *inner = strstr(key, "listeners[].tls.");

    /* The same sections again. */
    if (inner || strstr(key, "listeners[].tcp.") || strcmp(key, "server") == 0) {
        return;
    }
    snprintf(cell, sizeof cell, "\n| `%s` |", key);
    cr_expect_not_null(strstr(user, cell), "docs/options.md has no row of %s", key);
}

Test(config, every_key_is_documented)
{
    char *text = read_whole(CW_SOURCE_DIR "/docs/options.md");
    const struct cw_protocol *const protocols[] = {&cw_framed, &cw_line};

    cw_config_each_key(expect_documented, text);
    for (size_t i = 0; i < 2; i++) {
        for (const struct cw_setting *setting = protocols[i]->settings; setting->key; setting++) {
            struct cw_config_key key = cw_config_key_of(setting);
            char name[160];

            snprintf(name, sizeof name, "server.%s.%s", protocols[i]->name, setting->key);
            expect_documented(name, &key, text);
        }
    }
    free(text);
}

struct known {
    const char *name;
    bool found;
};

static void look_for(const char *key, const struct cw_config_key *entry, void *user)
{
    struct known *known = user;

    known->found = known->found || strcmp(key, known->name) == 0;
}

static bool is_setting(const char *name)
{
    const struct cw_protocol *const protocols[] = {&cw_framed, &cw_line};

    for (size_t i = 0; i < 2; i++) {
        for (const struct cw_setting *setting = protocols[i]->settings; setting->key; setting++) {
            char whole[160];

            snprintf(whole, sizeof whole, "server.%s.%s", protocols[i]->name, setting->key);
            if (strcmp(whole, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

Test(config, every_documented_key_exists)
{
    char *text = read_whole(CW_SOURCE_DIR "/docs/options.md");
    size_t count = 0;

    for (char *row = strstr(text, "\n| `server."); row; row = strstr(row + 1, "\n| `server.")) {
        char name[160];
        struct known known = {name, false};

        snprintf(name, sizeof name, "%.*s", (int)strcspn(row + 4, "`"), row + 4);
        cw_config_each_key(look_for, &known);
        cr_expect(known.found || is_setting(name), "docs/options.md has a row of %s", name);
        count++;
    }
    cr_expect_gt(count, 80);
    free(text);
}

/* `# key: value` and `# - …` become lines that count. */
static void uncomment(char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_0123456789";

    for (char *line = text; *line; line += strcspn(line, "\n") + (strchr(line, '\n') != NULL)) {
        char *hash = line + strspn(line, " ");
        char *word = hash + 1 + strspn(hash + 1, " ");
        size_t len = strspn(word, letters);

        if (*hash == '#' && (strncmp(word, "- ", 2) == 0 ||
                             (len > 0 && word[len] == ':' && strchr(" \n", word[len + 1])))) {
            memmove(hash, hash + 2, strlen(hash + 2) + 1);
        }
    }
}

static void expect_in_example(const char *key, const struct cw_config_key *entry, void *user)
{
    char name[80];

    if (strcmp(key, "server") == 0) {
        return;
    }
    snprintf(name, sizeof name, " %s:", entry->name);
    cr_expect_not_null(strstr(user, name), "examples/causeway.yaml does not show %s", key);
}

Test(config, the_example_shows_every_key_and_every_line_of_it_is_right)
{
    const struct cw_service line = cw_service(&cw_line, NULL, NULL);
    const struct cw_config_options options = {
        .services = &line, .service_count = 1, .ignored = "http, websocket"};
    char *text = read_whole(CW_SOURCE_DIR "/examples/causeway.yaml");

    cw_log_set_level(CW_LOG_ERROR);
    cr_expect_eq(load_with(text, &options), CW_OK, "%s", cw_server_error(server));
    uncomment(text);
    cw_config_each_key(expect_in_example, text);
    for (const struct cw_setting *setting = cw_framed.settings; setting->key; setting++) {
        struct cw_config_key key = cw_config_key_of(setting);
        expect_in_example("framed", &key, text);
    }
    setenv("KEY_PASSPHRASE", "a", 1);
    setenv("ALT_PASSPHRASE", "b", 1);
    cr_expect_eq(load_with(text, &options), CW_OK, "%s", cw_server_error(server));
    cr_expect_eq(server->config->listener_count, 4);
    cr_expect_str_eq(server->config->tls.certificates[0].passphrase, "b");
    free(text);
    end();
}

/* Sections of programs to come have no table yet. */
Test(config, the_example_shows_the_sections_of_other_programs)
{
    static const char *const names[] = {"websocket",      "ping_interval",   "pong_timeout",
                                        "compression",    "max_frame_size",  "buffer_size",
                                        "http",           "max_header_size", "max_body_size",
                                        "header_timeout", "body_timeout",    "keep_alive_timeout",
                                        "cors_origin"};
    char *text = read_whole(CW_SOURCE_DIR "/examples/causeway.yaml");

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        expect_in_example(names[i], &(struct cw_config_key){.name = names[i]}, text);
    }
    free(text);
}

Test(config, the_example_says_the_defaults)
{
    const struct cw_server_options none = {0};
    struct cw_server_options defaults = none;
    struct cw_complaint complaint;
    char *text = read_whole(CW_SOURCE_DIR "/examples/causeway.yaml");
    const struct cw_service line = cw_service(&cw_line, NULL, NULL);

    cw_log_set_level(CW_LOG_ERROR);
    cr_assert_eq(load_with(text, &(struct cw_config_options){.services = &line,
                                                             .service_count = 1,
                                                             .ignored = "http, websocket"}),
                 CW_OK, "%s", cw_server_error(server));
    cw_options_fill(&defaults, &complaint);
    const struct cw_server_options *said = &server->options;
    cr_expect_eq(said->conns_per_ip_max, defaults.conns_per_ip_max);
    cr_expect_eq(said->idle_ms, defaults.idle_ms);
    cr_expect_eq(said->read_ms, defaults.read_ms);
    cr_expect_eq(said->write_ms, defaults.write_ms);
    cr_expect_eq(said->handshake_ms, defaults.handshake_ms);
    cr_expect_eq(said->drain_ms, defaults.drain_ms);
    cr_expect_eq(said->in_max_bytes, defaults.in_max_bytes);
    cr_expect_eq(said->out_high_bytes, defaults.out_high_bytes);
    cr_expect_eq(said->out_low_bytes, defaults.out_low_bytes);
    cr_expect_eq(said->out_max_bytes, defaults.out_max_bytes);
    cr_expect_eq(said->buffered_max_bytes, defaults.buffered_max_bytes);
    cr_expect_eq(said->accepts_per_turn, defaults.accepts_per_turn);
    cr_expect_eq(said->reads_per_turn_bytes, defaults.reads_per_turn_bytes);
    cr_expect_eq(said->messages_per_turn, defaults.messages_per_turn);
    cr_expect_eq(said->mailbox_max, defaults.mailbox_max);
    cr_expect_eq(said->mailbox_max_bytes, defaults.mailbox_max_bytes);
    cr_expect_eq(said->work_threads, defaults.work_threads);
    cr_expect_eq(said->work_max, defaults.work_max);
    cr_expect_eq(said->rooms_max, defaults.rooms_max);
    cr_expect_eq(said->room_members_max, defaults.room_members_max);
    cr_expect_eq(said->rooms_per_conn_max, defaults.rooms_per_conn_max);
    cr_expect_eq(said->room_name_max_bytes, defaults.room_name_max_bytes);
    cr_expect_eq(said->room_presence_max_bytes, defaults.room_presence_max_bytes);
    cr_expect_eq(framed_options()->frame_max_bytes, 65536);
    free(text);
    end();
}

/* The range of a key is that of its member: the check of the struct finds nothing to say of it. */
static void expect_range(const char *key, const struct cw_config_key *entry, void *user)
{
    const size_t begin = offsetof(struct cw_config_file, config.server);
    struct cw_server_options options = {0};
    struct cw_complaint complaint = {""};
    size_t at = entry->offset - begin;
    bool of_server = entry->offset >= begin && at < sizeof options && entry->most > 0 &&
                     entry->member && !strstr(key, "[]");

    if (!of_server || strncmp(entry->name, "handshake", 9) == 0 ||
        strcmp(entry->name, "max_handshakes") == 0) {
        return;
    }
    memcpy((char *)&options + at, &entry->most, sizeof entry->most);
    (void)cw_options_fill(&options, &complaint);
    cr_expect_null(strstr(complaint.text, "at most"), "%s: %s", key, complaint.text);
    options = (struct cw_server_options){0};
    uint64_t more = entry->most + 1;
    memcpy((char *)&options + at, &more, sizeof more);
    cr_expect_eq(cw_options_fill(&options, &complaint), CW_EINVAL, "%s", key);
}

Test(config, ranges_are_those_of_the_options)
{
    cw_config_each_key(expect_range, NULL);
}
