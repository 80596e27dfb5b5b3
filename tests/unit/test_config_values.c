#include "server_impl.h"
#include "support/config_text.h"
#include "support/leak.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(config_values, .fini = rig_expect_no_leak, .timeout = 60);

/* ---- values ---- */

Test(config_values, counts_are_decimal)
{
    const struct cw_config *config = rig_config_load("  workers: 3\n  max_connections: 200\n");

    cr_expect_eq(config->server.workers, 3);
    cr_expect_eq(config->server.conns_max, 200);
    cr_expect_eq(rig_config_server->options.conns_per_ip_max, 20);
    rig_config_expect_wrong("  workers: 0x10\n",
                            ":2: server.workers: 0x10 is not allowed; 1 to 256; or auto");
    rig_config_expect_wrong("  workers: 010\n",
                            ":2: server.workers: 010 is not allowed; 1 to 256; or auto");
    rig_config_expect_wrong("  workers: -1\n",
                            ":2: server.workers: -1 is not allowed; 1 to 256; or auto");
    rig_config_expect_wrong("  workers: 1.5\n",
                            ":2: server.workers: 1.5 is not allowed; 1 to 256; or auto");
    rig_config_expect_wrong("  workers: 99999999999999999999\n",
                            ":2: server.workers: 99999999999999999999 is "
                            "not allowed; 1 to 256; or auto");
    rig_config_expect_wrong("  workers: \"1\"\n",
                            ":2: server.workers: the text \"1\" is not allowed; 1 to 256; or auto");
    rig_config_expect_wrong("  workers: 0\n",
                            ":2: server.workers: 0 is not allowed; 1 to 256; or auto");
    rig_config_expect_wrong("  workers:\n",
                            ":2: server.workers: no value is not allowed; 1 to 256; or auto");
    rig_config_end();
}

Test(config_values, the_ends_of_a_range_are_allowed_and_one_more_is_not)
{
    cr_expect_eq(rig_config_load("  tcp: { keep_alive_probes: 1 }\n")->tcp.keepalive_probes, 1);
    cr_expect_eq(rig_config_load("  tcp: { keep_alive_probes: 127 }\n")->tcp.keepalive_probes, 127);
    rig_config_expect_wrong("  tcp:\n    keep_alive_probes: 128\n",
                            ":3: server.tcp.keep_alive_probes: 128 is not allowed; 1 to 127");
    rig_config_end();
}

Test(config_values, sizes_are_bytes_or_have_a_unit)
{
    cr_expect_eq(rig_config_load("  max_output: 100000\n")->server.out_max_bytes, 100000);
    cr_expect_eq(rig_config_load("  max_output: 65K\n")->server.out_max_bytes, 66560);
    cr_expect_eq(rig_config_load("  max_output: 65k\n")->server.out_max_bytes, 66560);
    cr_expect_eq(rig_config_load("  max_output: 2M\n")->server.out_max_bytes, 2097152);
    cr_expect_eq(rig_config_load("  max_output: 3G\n")->server.out_max_bytes, 3221225472);
    cr_expect_eq(rig_config_load("  max_output: \"2M\"\n")->server.out_max_bytes, 2097152);
    cr_expect_eq(rig_config_load("  max_output: unlimited\n")->server.out_max_bytes, CW_NO_LIMIT);
    rig_config_expect_wrong("  max_output: 1MB\n",
                            ":2: server.max_output: 1MB is not allowed; 1 to "
                            "1099511627776 bytes, or with K, M, G; or unlimited");
    rig_config_expect_wrong("  max_input: unlimited\n",
                            ":2: server.max_input: unlimited is not allowed; 1 to "
                            "1099511627776 bytes, or with K, M, G");
    rig_config_expect_wrong("  max_output: 1.5M\n",
                            ":2: server.max_output: 1.5M is not allowed; 1 to "
                            "1099511627776 bytes, or with K, M, G; or unlimited");
    rig_config_end();
}

Test(config_values, times_are_seconds_or_have_a_unit)
{
    cr_expect_eq(rig_config_load("  drain_timeout: 7\n")->server.drain_ms, 7000);
    cr_expect_eq(rig_config_load("  drain_timeout: 0.5\n")->server.drain_ms, 500);
    cr_expect_eq(rig_config_load("  drain_timeout: 1.234\n")->server.drain_ms, 1234);
    cr_expect_eq(rig_config_load("  drain_timeout: 500ms\n")->server.drain_ms, 500);
    cr_expect_eq(rig_config_load("  drain_timeout: 30s\n")->server.drain_ms, 30000);
    cr_expect_eq(rig_config_load("  drain_timeout: 5m\n")->server.drain_ms, 300000);
    cr_expect_eq(rig_config_load("  drain_timeout: 1.5h\n")->server.drain_ms, 5400000);
    cr_expect_eq(rig_config_load("  write_timeout: off\n")->server.write_ms, CW_OFF);
    for (size_t i = 0; i < 7; i++) {
        static const char *const wrong[] = {"0", "0.0001", "1.", ".5", "5d", "0.5ms", "off"};
        char text[64];
        char sentence[200];

        snprintf(text, sizeof text, "  drain_timeout: %s\n", wrong[i]);
        snprintf(sentence, sizeof sentence,
                 ":2: server.drain_timeout: %s is not allowed; 1ms to 8760h, seconds where there "
                 "is no unit (ms, s, m, h)",
                 wrong[i]);
        rig_config_expect_wrong(text, sentence);
    }
    rig_config_end();
}

Test(config_values, switches_are_true_or_false_and_nothing_else)
{
    cr_expect(rig_config_load("  read_while_full: true\n")->server.read_while_full);
    cr_expect_not(rig_config_load("  read_while_full: False\n")->server.read_while_full);
    rig_config_expect_wrong(
        "  read_while_full: yes\n",
        ":2: server.read_while_full: yes is not allowed; true or false; did you mean true?");
    rig_config_expect_wrong(
        "  read_while_full: Off\n",
        ":2: server.read_while_full: Off is not allowed; true or false; did you mean false?");
    rig_config_expect_wrong("  read_while_full: 1\n",
                            ":2: server.read_while_full: 1 is not allowed; true or false");
    rig_config_expect_wrong(
        "  read_while_full: \"true\"\n",
        ":2: server.read_while_full: the text \"true\" is not allowed; true or false");
    rig_config_end();
}

Test(config_values, tcp_switches_are_the_opposite_of_their_members)
{
    const struct cw_config *config =
        rig_config_load("  port: 0\n  tcp: { no_delay: false, keep_alive: false, "
                        "keep_alive_initial_delay: 60, allow_half_open: true }\n");

    cr_expect(config->tcp.delay);
    cr_expect_eq(config->tcp.keepalive_ms, CW_OFF);
    cr_expect(config->server.half_open);
    cr_expect(config->listeners[0].options.tcp.delay);
    cr_expect_eq(config->listeners[0].options.tcp.keepalive_ms, CW_OFF);
    config = rig_config_load(
        "  port: 0\n  tcp: { no_delay: true, keep_alive: true, keep_alive_initial_delay: "
        "60, timeout: 7 }\n");
    cr_expect_not(config->tcp.delay);
    cr_expect_eq(config->tcp.keepalive_ms, 60000);
    cr_expect_eq(config->server.idle_ms, 7000);
    rig_config_end();
}

Test(config_values, choices_are_words)
{
    rig_config_expect_wrong("  log: { level: loud }\n",
                            ":2: server.log.level: loud is not allowed; debug, "
                            "info, warning, error or silent");
    rig_config_expect_wrong("  tls: { min_version: 1.1 }\n",
                            ":2: server.tls.min_version: 1.1 is not allowed; 1.2 or 1.3");
    cr_expect_eq(rig_config_load("  tls: { min_version: \"1.3\" }\n")->tls.min_version, CW_TLS_1_3);
    cr_expect_eq(rig_config_load("  tls: { max_version: 1.2 }\n")->tls.max_version, CW_TLS_1_2);
    cr_expect_eq(rig_config_load("  tls: { resumption: cache }\n")->tls.resumption,
                 CW_TLS_SESSION_CACHE);
    rig_config_end();
}

Test(config_values, client_certificates_follow_two_switches)
{
    const struct cw_config *config = rig_config_load("  tls: { request_cert: true }\n");

    cr_expect_eq(config->tls.client_cert, CW_CLIENT_CERT_REQUIRE);
    cr_expect_not(config->tls.accept_unauthorized);
    config = rig_config_load("  tls: { request_cert: true, reject_unauthorized: false }\n");
    cr_expect_eq(config->tls.client_cert, CW_CLIENT_CERT_REQUEST);
    cr_expect(config->tls.accept_unauthorized);
    config = rig_config_load("  tls: { request_cert: optional }\n");
    cr_expect_eq(config->tls.client_cert, CW_CLIENT_CERT_REQUEST);
    cr_expect_not(config->tls.accept_unauthorized);
    config = rig_config_load("  tls: { request_cert: false }\n");
    cr_expect_eq(config->tls.client_cert, CW_CLIENT_CERT_OFF);
    rig_config_expect_wrong(
        "  tls: { request_cert: yes }\n",
        ":2: server.tls.request_cert: yes is not allowed; false, true or optional; did you "
        "mean true?");
    rig_config_end();
}

Test(config_values, lists_are_words_or_one_word)
{
    cr_expect_str_eq(rig_config_load("  tls: { alpn: [h2, http/1.1] }\n")->tls.alpn, "h2,http/1.1");
    cr_expect_str_eq(rig_config_load("  tls: { alpn: http/1.1 }\n")->tls.alpn, "http/1.1");
    rig_config_expect_wrong(
        "  tls:\n    alpn:\n      - a\n      - \"b c\"\n",
        ":5: server.tls.alpn: the text \"b c\" is not allowed; a word, or a list of words "
        "without commas and spaces");
    rig_config_expect_wrong("  tls: { alpn: [[a]] }\n",
                            ":2: server.tls.alpn: a list is not allowed; a word, "
                            "or a list of words without commas and spaces");
    rig_config_end();
}

Test(config_values, paths_begin_at_the_files_folder)
{
    char expected[200];
    const struct cw_config *config = rig_config_load(
        "  unix: run/a.sock\n  tls: { cert: a.pem, key: /b.key, request_cert: true, ca: \"-----BEGIN CERT\" }\n");

    snprintf(expected, sizeof expected, "%s/run/a.sock", rig_config_folder);
    cr_expect_str_eq(config->listeners[0].options.unix_path, expected);
    snprintf(expected, sizeof expected, "%s/a.pem", rig_config_folder);
    cr_expect_str_eq(config->tls.cert, expected);
    cr_expect_str_eq(config->tls.key, "/b.key");
    cr_expect_str_eq(config->tls.ca, "-----BEGIN CERT");
    rig_config_end();
}

Test(config_values, permissions_are_octal)
{
    cr_expect_eq(rig_config_load("  unix: a\n  unix_mode: 0660\n")->listeners[0].options.unix_mode,
                 0660);
    rig_config_expect_wrong("  unix_mode: 660\n",
                            ":2: server.unix_mode: 660 is not allowed; permission bits "
                            "in octal, 0001 to 0777");
    rig_config_expect_wrong("  unix_mode: 01777\n",
                            ":2: server.unix_mode: 01777 is not allowed; permission "
                            "bits in octal, 0001 to 0777");
    rig_config_end();
}

/* ---- the environment ---- */

Test(config_values, variables_of_the_environment_are_put_in)
{
    setenv("CW_TEST_WORD", "secret", 1);
    setenv("CW_TEST_PORT", "7001", 1);
    cr_expect_str_eq(
        rig_config_load("  tls: { passphrase: \"${CW_TEST_WORD}\" }\n")->tls.passphrase, "secret");
    cr_expect_str_eq(
        rig_config_load("  tls:\n    passphrase: a${CW_TEST_WORD}b$c\n")->tls.passphrase,
        "asecretb$c");
    cr_expect_str_eq(rig_config_load("  tls:\n    passphrase: $${CW_TEST_WORD}\n")->tls.passphrase,
                     "${CW_TEST_WORD}");
    cr_expect_eq(rig_config_load("  port: ${CW_TEST_PORT}\n")->listeners[0].options.port, 7001);
    cr_expect_eq(
        rig_config_load("  listeners: [{ port: \"${CW_TEST_PORT}\" }]\n")->listeners[0].options.port,
        7001);
    rig_config_end();
}

Test(config_values, a_variable_that_is_not_set_is_named)
{
    unsetenv("CW_TEST_NONE");
    rig_config_expect_wrong(
        "  tls:\n    key: ${CW_TEST_NONE}/a.key\n",
        ":3: server.tls.key: ${CW_TEST_NONE}: that variable of the environment is not set");
    rig_config_expect_wrong(
        "  bind: ${a-b}\n",
        ":2: server.bind: ${ without a name and } behind it; ${NAME} is a variable of the "
        "environment, $${ is ${ itself");
    rig_config_end();
}

Test(config_values, what_a_variable_holds_is_not_looked_into_again)
{
    setenv("CW_TEST_WORD", "${HOME}", 1);
    cr_expect_str_eq(rig_config_load("  tls:\n    passphrase: ${CW_TEST_WORD}\n")->tls.passphrase,
                     "${HOME}");
    rig_config_end();
}

Test(config_values, a_passphrase_is_never_repeated)
{
    rig_config_expect_wrong("  tls:\n    passphrase: [geheim]\n",
                            ":3: server.tls.passphrase: this is not allowed; a text");
    rig_config_end();
}

/* ---- keys ---- */

Test(config_values, an_unknown_key_is_refused_with_the_nearest)
{
    rig_config_expect_wrong("  tcp:\n    keepalive: true\n",
                            ":3: server.tcp.keepalive: unknown key; did you mean keep_alive?");
    rig_config_expect_wrong(
        "  timeout: 5\n", ":2: server.timeout: unknown key here; did you mean server.tcp.timeout?");
    rig_config_expect_wrong("  log: { zzz: 1 }\n",
                            ":2: server.log.zzz: unknown key; known are level, format");
    rig_config_expect_refused("port: 1\n", ":1: port: unknown key here; did you mean server.port?");
    rig_config_expect_wrong(
        "  framed: { max_frame: 1 }\n",
        ":2: server.framed.max_frame: unknown key; known are max_frame_size, framing, "
        "length_bytes, little_endian, length_offset, …");
    rig_config_end();
}

Test(config_values, a_key_that_stands_there_twice_is_refused)
{
    rig_config_expect_wrong("  port: 1\n  workers: 1\n  port: 2\n",
                            ":4: server.port: stands there twice, in line 2 too; once is allowed");
    rig_config_expect_refused("server: {}\nserver: {}\n",
                              ":2: server: stands there twice, in line 1 too; once is allowed");
    rig_config_end();
}

Test(config_values, a_value_of_another_kind_is_refused)
{
    rig_config_expect_wrong("  tcp: 5\n",
                            ":2: server.tcp: 5 is not allowed; keys with their values");
    rig_config_expect_wrong("  port: [1]\n", ":2: server.port: a list is not allowed; 0 to 65535");
    rig_config_expect_wrong("  port: { a: 1 }\n",
                            ":2: server.port: a mapping is not allowed; 0 to 65535");
    rig_config_expect_wrong("  bind: \"\"\n",
                            ":2: server.bind: an empty text is not allowed; a text");
    rig_config_expect_wrong("  listeners: 5\n",
                            ":2: server.listeners: 5 is not allowed; a list of at most 64 "
                            "listeners: - { port: 7000 }");
    rig_config_expect_wrong("  framed: 5\n",
                            ":2: server.framed: not allowed; keys with their values");
    rig_config_end();
}

Test(config_values, a_section_may_be_empty)
{
    rig_config_load("  port: 0\n  tcp:\n  tls:\n  framed:\n");
    rig_config_end();
}

Test(config_values, without_server_a_file_is_refused)
{
    static const char sentence[] = ":1: there is no `server:` in it; it is the one key at the top";

    rig_config_expect_refused("", sentence);
    rig_config_expect_refused("# nothing\n", sentence);
    rig_config_expect_refused("5\n", sentence);
    rig_config_expect_refused("[server]\n", sentence);
    rig_config_end();
}

Test(config_values, options_that_contradict_each_other_are_named_by_their_keys)
{
    rig_config_expect_wrong("  max_connections: 5\n  max_connections_per_ip: 50\n",
                            ":3: server.max_connections_per_ip is above server.max_connections");
    rig_config_expect_wrong("  output_high: 5000\n  max_output: 4000\n",
                            ":2: server.output_high is above server.max_output");
    rig_config_end();
}

/* ---- YAML ---- */

Test(config_values, what_is_not_yaml_is_told_with_line_and_column)
{
    rig_config_expect_refused("server:\n  port: [\n  tcp:\n    keep_alive: true\n",
                              ":4:15: not YAML: did not find expected ',' or ']'");
    rig_config_expect_refused("server:\n\tport: 1\n",
                              ":2:1: not YAML: found character that cannot start any token");
    cr_expect_eq(rig_config_load_with("server:\n  bind: \"\xff\"\n", NULL), CW_ECONFIG);
    cr_expect_str_eq(rig_config_said(), ":2:10: not YAML: invalid leading UTF-8 octet");
    rig_config_end();
}

Test(config_values, a_mark_at_the_start_does_not_make_utf16_of_it)
{
    rig_config_expect_refused("\xff\xfeserver:\n  port: 0\n",
                              ":1:1: not YAML: invalid leading UTF-8 octet");
    rig_config_expect_refused("\xfe\xffserver:\n  port: 0\n",
                              ":1:1: not YAML: invalid leading UTF-8 octet");
    cr_expect_eq(rig_config_load_with("\xef\xbb\xbfserver:\n  port: 0\n", NULL), CW_OK);
    rig_config_end();
}

Test(config_values, control_characters_of_a_file_are_not_repeated)
{
    rig_config_expect_wrong("  \"x\\nforged\\e[31m\\x7f\": 1\n",
                            ":2: server.x?forged?[31m?: unknown key; known are bind, port, unix, "
                            "unix_mode, ipv6_only, listeners, workers, …");
    rig_config_end();
}

Test(config_values, anchors_aliases_tags_and_documents_are_refused_by_name)
{
    rig_config_expect_wrong("  tcp: &a { }\n",
                            ":2: anchors (&a) are not allowed; write the value again");
    rig_config_expect_wrong("  bind: *a\n",
                            ":2: aliases (*a) are not allowed; write the value again");
    rig_config_expect_wrong(
        "  bind: !!str a\n",
        ":2: tags (tag:yaml.org,2002:str) are not allowed; write the value alone");
    rig_config_expect_wrong("  bind: a\n---\nserver: {}\n",
                            ":3: a second document begins; one is allowed");
    rig_config_expect_wrong("  ? [a]\n  : b\n",
                            ":2: a key is a word; a list or mapping cannot be one");
    rig_config_expect_wrong("  bind: \"a\\0b\"\n",
                            ":2: a text with a zero byte in it is not allowed");
    rig_config_end();
}

Test(config_values, depth_is_bounded)
{
    rig_config_expect_wrong("  tls: {alpn: [[[[[[[[[[[[[[[a]]]]]]]]]]]]]]] }\n",
                            ":2: lists and mappings lie deeper than allowed; at most 16");
    cr_expect_eq(rig_config_load_with("server: { tls: { alpn: [a] } }\n",
                                      &(struct cw_config_options){.depth_max = 4}),
                 CW_OK);
    cr_expect_eq(rig_config_load_with("server: { tls: { alpn: [a] } }\n",
                                      &(struct cw_config_options){.depth_max = 3}),
                 CW_ECONFIG);
    rig_config_end();
}

Test(config_values, the_size_of_a_file_is_bounded)
{
    static const char text[] = "server: { port: 0 }\n";
    struct cw_config_options options = {.file_max_bytes = sizeof text - 1};

    cr_expect_eq(rig_config_load_with(text, &options), CW_OK);
    options.file_max_bytes--;
    cr_expect_eq(rig_config_load_with(text, &options), CW_ETOOBIG);
    cr_expect_str_eq(rig_config_said(), ": 20 bytes are not allowed; at most 19");
    rig_config_end();
}

Test(config_values, a_file_that_cannot_be_read_is_told)
{
    rig_config_begin();
    rig_config_server = cw_create_server(&cw_framed);
    cr_expect_eq(cw_config_load(rig_config_server, "/nowhere/c.yaml", NULL), CW_ENOPATH);
    cr_expect_str_eq(cw_server_error(rig_config_server),
                     "/nowhere/c.yaml: a file or directory of the path does not exist");
    cw_server_free(rig_config_server);
    rig_config_server = cw_create_server(&cw_framed);
    cr_expect_eq(cw_config_load(rig_config_server, rig_config_folder, NULL), CW_ECONFIG);
    cr_expect_str_eq(cw_server_error(rig_config_server) + strlen(rig_config_folder),
                     ": not a file; a file with YAML in it");
    rig_config_end();
}
