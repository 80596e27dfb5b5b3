#include "command_line.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <causeway/http.h>
#include <causeway/log.h>
#include <causeway/websocket.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(command_line, .fini = rig_expect_no_leak, .timeout = 30);

enum { WORDS_MAX = 32 };

static struct command_line line;
static size_t protocol;
static const char *nickname;
static bool loud;
static char out[16000];
static char err[1000];

static const char *const protocols[] = {"tcp", "framed", "line", NULL};
static const struct option_entry own[] = {
    {.name = "protocol",
     .kind = OPTION_CHOICE,
     .into = &protocol,
     .value = "tcp|framed|line",
     .standard = "tcp",
     .about = "what to speak",
     .choices = protocols},
    {.name = "nickname", .kind = OPTION_TEXT, .into = &nickname, .value = "NAME", .about = "yours"},
    {.name = "loud", .kind = OPTION_SWITCH, .into = &loud, .about = "be heard"},
};
static const struct program program = {.name = "echo",
                                       .about = "Sends back what it receives.",
                                       .port = 7000,
                                       .own = own,
                                       .own_count = 3};

static void keep(FILE *stream, char **written, char *text, size_t cap)
{
    fclose(stream);
    snprintf(text, cap, "%s", *written);
    free(*written);
}

/* Reads a command line, given as words with a space between them. */
static enum command_line_outcome outcome_for(const struct program *reads, const char *words)
{
    static char copy[1000];
    char *argv[WORDS_MAX] = {(char[]){"echo"}};
    char *written[2];
    size_t lens[2];
    size_t count = 1;
    char *rest = copy;

    snprintf(copy, sizeof copy, "%s", words);
    for (char *word; (word = strsep(&rest, " ")) != NULL;) {
        if (word[0] != '\0') {
            argv[count++] = word;
        }
    }
    FILE *to_out = open_memstream(&written[0], &lens[0]);
    FILE *to_err = open_memstream(&written[1], &lens[1]);
    cr_assert(to_out != NULL && to_err != NULL);
    enum command_line_outcome outcome = command_line_read(&line, reads, argv, to_out, to_err);
    keep(to_out, &written[0], out, sizeof out);
    keep(to_err, &written[1], err, sizeof err);
    return outcome;
}

static enum command_line_outcome outcome_of(const char *words)
{
    return outcome_for(&program, words);
}

static void read_line(const char *words)
{
    cr_assert_eq(outcome_of(words), COMMAND_LINE_RUN, "%s", err);
    cr_expect_str_empty(out);
    cr_expect_str_empty(err);
}

static void expect_wrong(const char *words, const char *sentence)
{
    cr_expect_eq(outcome_of(words), COMMAND_LINE_WRONG, "%s", words);
    cr_expect_str_eq(err, sentence);
    cr_expect_str_empty(out);
}

Test(command_line, without_options_only_the_address_is_set)
{
    const struct cw_server_options none = {0};

    read_line("");
    cr_expect_str_eq(line.listen.host, "127.0.0.1");
    cr_expect_eq(line.listen.port, 7000);
    cr_expect_null(line.listen.unix_path);
    cr_expect_arr_eq(&line.server, &none, sizeof none);
    cr_expect_eq(line.frame_max_bytes, 0);
    cr_expect_not(line.quiet);
    cr_expect_eq(line.log_level, COMMAND_LINE_UNSET);
    cr_expect_eq(line.log_format, COMMAND_LINE_UNSET);
    cr_expect_null(line.listen.tls);
    cr_expect_null(line.connect_tls);
}

Test(command_line, every_common_option_reaches_its_member)
{
    read_line("--host ::1 --port 80 --workers 4 --max-connections 5 --max-connections-per-ip 6 "
              "--max-frame-size 64K");
    cr_expect_str_eq(line.listen.host, "::1");
    cr_expect_eq(line.listen.port, 80);
    cr_expect_eq(line.server.workers, 4);
    cr_expect_eq(line.server.conns_max, 5);
    cr_expect_eq(line.server.conns_per_ip_max, 6);
    cr_expect_eq(line.frame_max_bytes, 65536);
    read_line("--idle-timeout 1m --handshake-timeout 2s --drain-timeout 300ms --keepalive 4 "
              "--keepalive-interval 5s --keepalive-probes 6");
    cr_expect_eq(line.server.idle_ms, 60000);
    cr_expect_eq(line.server.handshake_ms, 2000);
    cr_expect_eq(line.server.drain_ms, 300);
    cr_expect_eq(line.listen.tcp.keepalive_ms, 4000);
    cr_expect_eq(line.listen.tcp.keepalive_interval_ms, 5000);
    cr_expect_eq(line.listen.tcp.keepalive_probes, 6);
    read_line("--nagle --half-open --quiet");
    cr_expect(line.listen.tcp.delay);
    cr_expect(line.server.half_open);
    cr_expect(line.quiet);
}

static bool takes(enum cw_log_level level)
{
    command_line_set_log(&line);
    return cw_log_takes(level);
}

Test(command_line, the_log_is_as_the_command_line_says)
{
    read_line("");
    cr_expect(takes(CW_LOG_INFO));
    cr_expect_not(takes(CW_LOG_DEBUG));
    read_line("--log-level debug");
    cr_expect(takes(CW_LOG_DEBUG));
    read_line("--log-level silent");
    cr_expect_not(takes(CW_LOG_ERROR));
    read_line("--quiet");
    cr_expect(takes(CW_LOG_ERROR));
    cr_expect_not(takes(CW_LOG_WARNING));
    read_line("--log-level warning --quiet");
    cr_expect(takes(CW_LOG_WARNING));
    cr_expect_not(takes(CW_LOG_INFO));
    read_line("--log-format json");
    cr_expect_eq(line.log_format, CW_LOG_JSON);
    expect_wrong("--log-format xml", "echo: --log-format xml: expected text|json\n");
    expect_wrong("--log-level loud",
                 "echo: --log-level loud: expected debug|info|warning|error|silent\n");
}

Test(command_line, the_words_for_levels_and_formats_are_those_of_the_library)
{
    static const char *const formats[] = {"text", "json"};
    enum cw_log_format format = CW_LOG_TEXT;
    char words[64];

    for (int level = CW_LOG_DEBUG; level <= CW_LOG_SILENT; level++) {
        snprintf(words, sizeof words, "--log-level %s", cw_log_level_name((enum cw_log_level)level));
        read_line(words);
        cr_expect_eq(line.log_level, (size_t)level, "%s", words);
    }
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        snprintf(words, sizeof words, "--log-format %s", formats[i]);
        read_line(words);
        cr_assert_eq(cw_log_format_parse(formats[i], &format), CW_OK);
        cr_expect_eq(line.log_format, (size_t)format, "%s", words);
    }
}

Test(command_line, words_stand_for_numbers_where_they_make_sense)
{
    read_line("--workers auto --max-connections unlimited --max-connections-per-ip unlimited "
              "--idle-timeout off --handshake-timeout off --keepalive off");
    cr_expect_eq(line.server.workers, CW_PER_CORE);
    cr_expect_eq(line.server.conns_max, CW_NO_LIMIT);
    cr_expect_eq(line.server.conns_per_ip_max, CW_NO_LIMIT);
    cr_expect_eq(line.server.idle_ms, CW_OFF);
    cr_expect_eq(line.server.handshake_ms, CW_OFF);
    cr_expect_eq(line.listen.tcp.keepalive_ms, CW_OFF);
    cr_expect_eq(outcome_of("--drain-timeout off"), COMMAND_LINE_WRONG);
    cr_expect_eq(outcome_of("--workers unlimited"), COMMAND_LINE_WRONG);
}

Test(command_line, an_equals_sign_joins_a_value_too)
{
    read_line("--port=81 --host=a=b --protocol=line");
    cr_expect_eq(line.listen.port, 81);
    cr_expect_str_eq(line.listen.host, "a=b");
    cr_expect_eq(protocol, 2);
}

Test(command_line, a_file_is_named_and_what_was_said_of_the_place_is_known)
{
    read_line("--config a.yaml");
    cr_expect_str_eq(line.config, "a.yaml");
    cr_expect_not(line.host_given);
    cr_expect_not(line.port_given);
    read_line("--port 7000");
    cr_expect_null(line.config);
    cr_expect_not(line.host_given);
    cr_expect(line.port_given);
    read_line("--host ::1");
    cr_expect(line.host_given);
    cr_expect_not(line.port_given);
}

Test(command_line, what_is_given_goes_over_a_file)
{
    struct cw_config config = {
        .server = {.workers = 2, .conns_max = 7}, .listener_count = 1, .log_level = CW_LOG_DEBUG};

    config.listeners[0].options.host = "::1";
    config.listeners[0].options.port = 5;
    config.listeners[0].plain = true;
    read_line("--workers 3 --keepalive 4 --nagle --half-open --port 6 --quiet --max-frame-size 8");
    command_line_override(&config, &line);
    cr_expect_eq(config.server.workers, 3);
    cr_expect_eq(config.server.conns_max, 7);
    cr_expect(config.server.half_open);
    cr_expect_str_eq(config.listeners[0].options.host, "::1");
    cr_expect_eq(config.listeners[0].options.port, 6);
    cr_expect(config.listeners[0].plain);
    cr_expect_eq(config.listeners[0].options.tcp.keepalive_ms, 4000);
    cr_expect(config.listeners[0].options.tcp.delay);
    cr_expect_eq(config.max_frame_size, 8);
    cr_expect_eq(config.log_level, CW_LOG_ERROR);
    read_line("--unix /run/a");
    command_line_override(&config, &line);
    cr_expect_null(config.listeners[0].options.host);
    cr_expect_eq(config.listeners[0].options.port, 0);
    cr_expect_str_eq(config.listeners[0].options.unix_path, "/run/a");
}

Test(command_line, without_a_place_in_the_file_the_program_listens_as_without_a_file)
{
    struct cw_config config = {.tcp = {.keepalive_ms = 9}, .backlog = 5};

    read_line("");
    command_line_override(&config, &line);
    cr_assert_eq(config.listener_count, 1);
    cr_expect_str_eq(config.listeners[0].options.host, "127.0.0.1");
    cr_expect_eq(config.listeners[0].options.port, 7000);
    cr_expect_eq(config.listeners[0].options.tcp.keepalive_ms, 9);
    cr_expect_eq(config.listeners[0].options.backlog, 5);
}

Test(command_line, the_last_of_two_counts)
{
    read_line("--port 1 --port 2");
    cr_expect_eq(line.listen.port, 2);
}

Test(command_line, a_unix_socket_stands_instead_of_host_and_port)
{
    read_line("--unix /run/echo.sock");
    cr_expect_str_eq(line.listen.unix_path, "/run/echo.sock");
    cr_expect_null(line.listen.host);
    cr_expect_eq(line.listen.port, 0);
    expect_wrong("--port 1 --unix x",
                 "echo: --unix stands instead of --host and --port, not beside them\n");
    expect_wrong("--unix x --host y",
                 "echo: --unix stands instead of --host and --port, not beside them\n");
}

Test(command_line, a_program_adds_options_of_its_own)
{
    read_line("--protocol framed --nickname --loud --loud");
    cr_expect_eq(protocol, 1);
    cr_expect_str_eq(nickname, "--loud"); /* a value, whatever it looks like */
    cr_expect(loud);
}

Test(command_line, a_value_out_of_range_names_option_and_range)
{
    expect_wrong("--port 65536", "echo: --port 65536: expected a port from 0 to 65535\n");
    expect_wrong("--port -1", "echo: --port -1: expected a port from 0 to 65535\n");
    expect_wrong("--workers 257", "echo: --workers 257: expected a number from 1 to 256, or auto\n");
    expect_wrong("--workers 0", "echo: --workers 0: expected a number from 1 to 256, or auto\n");
    expect_wrong("--max-connections 18446744073709551615",
                 "echo: --max-connections 18446744073709551615: expected a number from 1 to "
                 "4611686018427387904, or unlimited\n");
    expect_wrong("--keepalive-probes 128",
                 "echo: --keepalive-probes 128: expected a number from 1 to 127\n");
    expect_wrong("--max-frame-size 0", "echo: --max-frame-size 0: expected bytes, such as 65536, "
                                       "64K or 1M, from 1 to 4611686018427387904\n");
}

Test(command_line, a_time_that_is_none_or_out_of_range_names_the_units)
{
    expect_wrong("--idle-timeout 5x",
                 "echo: --idle-timeout 5x: expected a time, such as 500ms, 30s, 5m or 2h (a bare "
                 "number is seconds), from 1ms to 8760h, or off\n");
    expect_wrong("--idle-timeout 0",
                 "echo: --idle-timeout 0: expected a time, such as 500ms, 30s, 5m or 2h (a bare "
                 "number is seconds), from 1ms to 8760h, or off\n");
    expect_wrong("--keepalive-interval 32768",
                 "echo: --keepalive-interval 32768: expected a time, such as 500ms, 30s, 5m or 2h "
                 "(a bare number is seconds), from 1ms to 32767s\n");
    read_line("--keepalive-interval 32767 --idle-timeout 8760h");
    cr_expect_eq(outcome_of("--idle-timeout 8761h"), COMMAND_LINE_WRONG);
}

Test(command_line, a_choice_is_one_of_those_listed)
{
    expect_wrong("--protocol udp", "echo: --protocol udp: expected tcp|framed|line\n");
    expect_wrong("--protocol tc", "echo: --protocol tc: expected tcp|framed|line\n");
}

Test(command_line, a_missing_value_and_one_too_many_are_told)
{
    expect_wrong("--port", "echo: --port needs a value: N\n");
    expect_wrong("--host=", "echo: --host: the value is empty\n");
    expect_wrong("--quiet=yes", "echo: --quiet takes no value\n");
    expect_wrong("7000", "echo: unexpected argument: 7000 (--help lists the options)\n");
    expect_wrong("-p 7000", "echo: unexpected argument: -p (--help lists the options)\n");
    expect_wrong("--", "echo: unexpected argument: -- (--help lists the options)\n");
}

Test(command_line, an_unknown_option_names_the_closest)
{
    expect_wrong("--prot", "echo: unknown option --prot; the closest is --protocol (--help lists "
                           "them all)\n");
    expect_wrong("--idle", "echo: unknown option --idle; the closest is --idle-timeout (--help "
                           "lists them all)\n");
    expect_wrong("--maxconnections=5", "echo: unknown option --maxconnections; the closest is "
                                       "--max-connections (--help lists them all)\n");
    expect_wrong("--hots x", "echo: unknown option --hots; the closest is --host (--help lists "
                             "them all)\n");
    expect_wrong("--hepl", "echo: unknown option --hepl; the closest is --help (--help lists them "
                           "all)\n");
    cr_expect_eq(outcome_of("--=x"), COMMAND_LINE_WRONG);
}

Test(command_line, an_option_of_any_length_is_only_unknown)
{
    char words[900];

    memset(words, 'x', sizeof words - 1);
    words[sizeof words - 1] = '\0';
    memcpy(words, "--", 2);
    cr_expect_eq(outcome_of(words), COMMAND_LINE_WRONG);
}

/* ---- HTTP ---- */

static const struct program web = {
    .name = "echo", .about = "Serves.", .port = 7000, .http = &cw_http};

static void read_web(const char *words)
{
    cr_assert_eq(outcome_for(&web, words), COMMAND_LINE_RUN, "%s", err);
}

Test(command_line, every_option_of_http_reaches_its_member)
{
    read_web("--max-body 2M --header-timeout 3s --body-timeout 400ms --static public "
             "--cors-origin https://a.example");
    cr_expect_eq(line.http.body_max_bytes, 2097152);
    cr_expect_eq(line.http.head_ms, 3000);
    cr_expect_eq(line.http.body_ms, 400);
    cr_expect_str_eq(line.static_dir, "public");
    cr_expect_str_eq(line.http.cors_origin, "https://a.example");
    read_web("--max-body unlimited --header-timeout off --body-timeout off");
    cr_expect_eq(line.http.body_max_bytes, CW_NO_LIMIT);
    cr_expect_eq(line.http.head_ms, CW_OFF);
    cr_expect_eq(line.http.body_ms, CW_OFF);
    cr_expect_null(line.http.cors_origin);
    cr_expect_null(line.static_dir);
}

Test(command_line, a_program_without_http_has_no_options_of_it)
{
    cr_expect_eq(outcome_of("--max-body 5"), COMMAND_LINE_WRONG);
    cr_expect_eq(outcome_of("--static public"), COMMAND_LINE_WRONG);
    cr_assert_eq(outcome_of("--help"), COMMAND_LINE_HELP);
    cr_expect_null(strstr(out, "--max-body"));
    cr_assert_eq(outcome_for(&web, "--help"), COMMAND_LINE_HELP);
    cr_expect_not_null(strstr(out, "--max-body BYTES|unlimited"));
}

Test(command_line, what_may_be_given_several_times_is_put_together)
{
    read_web("--trusted-proxy 10.0.0.0/8 --cors-origin https://a --trusted-proxy ::1 "
             "--cors-origin=https://b");
    cr_expect_str_eq(line.server.trusted_proxies, "10.0.0.0/8,::1");
    cr_expect_str_eq(line.http.cors_origin, "https://a,https://b");
    read_line("");
    cr_expect_null(line.server.trusted_proxies);
    cr_expect_null(line.http.cors_origin);
}

Test(command_line, what_is_put_together_has_an_end)
{
    static char longest[OPTION_WORDS_BYTES + 1];
    char option[] = "--trusted-proxy";
    char *const argv[] = {(char[]){"echo"}, option, longest, option, (char[]){"a"}, NULL};
    FILE *nowhere = fopen("/dev/null", "w");

    memset(longest, 'a', OPTION_WORDS_BYTES - 1);
    cr_expect_eq(command_line_read(&line, &program, argv, nowhere, nowhere), COMMAND_LINE_WRONG);
    longest[OPTION_WORDS_BYTES - 3] = '\0';
    cr_expect_eq(command_line_read(&line, &program, argv, nowhere, nowhere), COMMAND_LINE_RUN);
    cr_expect_eq(strlen(line.server.trusted_proxies), OPTION_WORDS_BYTES - 1);
    fclose(nowhere);
    expect_wrong("--trusted-proxy=", "echo: --trusted-proxy: the value is empty\n");
}

static struct cw_http_options read_options;

static void keep_options(struct cw_config *config, void *user)
{
    command_line_override(config, user);
    read_options = *(const struct cw_http_options *)cw_config_protocol_options(config, &cw_http);
    cr_expect_str_eq(read_options.cors_origin, "https://line.example");
}

Test(command_line, options_of_http_go_over_those_of_a_file)
{
    char path[] = "/tmp/cw_command_line_XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");

    fputs("server:\n  http:\n    max_body_size: 5\n    header_timeout: 6\n"
          "    cors_origin: https://file.example\n",
          file);
    fclose(file);
    read_web("--max-body 7 --cors-origin https://line.example");

    struct cw_server *server = cw_create_server(&cw_http);
    cr_expect_eq(
        cw_config_load(server, path,
                       &(struct cw_config_options){.override = keep_options, .user = &line}),
        0, "%s", cw_server_error(server));
    cr_expect_eq(read_options.body_max_bytes, 7);
    cr_expect_eq(read_options.head_ms, 6000);
    cw_server_free(server);
    remove(path);
}

/* ---- WebSocket ---- */

static const struct program sockets = {
    .name = "echo", .about = "Serves.", .port = 7000, .websocket = &cw_websocket};

static void read_sockets(const char *words)
{
    cr_assert_eq(outcome_for(&sockets, words), COMMAND_LINE_RUN, "%s", err);
}

Test(command_line, every_option_of_websocket_reaches_its_member)
{
    read_sockets("--ping-interval 20s --pong-timeout 500ms --compression --max-frame-size 2M");
    cr_expect_eq(line.websocket.ping_interval_ms, 20000);
    cr_expect_eq(line.websocket.pong_timeout_ms, 500);
    cr_expect(line.websocket.compress);
    cr_expect_eq(line.websocket.message_max_bytes, 2097152);
    read_sockets("--ping-interval off --pong-timeout off");
    cr_expect_eq(line.websocket.ping_interval_ms, CW_OFF);
    cr_expect_eq(line.websocket.pong_timeout_ms, CW_OFF);
    cr_expect_not(line.websocket.compress);
    cr_expect_eq(line.websocket.message_max_bytes, 0);
}

Test(command_line, a_program_without_websocket_has_no_options_of_it)
{
    cr_expect_eq(outcome_of("--ping-interval 5s"), COMMAND_LINE_WRONG);
    cr_expect_eq(outcome_of("--compression"), COMMAND_LINE_WRONG);
    cr_assert_eq(outcome_of("--help"), COMMAND_LINE_HELP);
    cr_expect_null(strstr(out, "--pong-timeout"));
    cr_assert_eq(outcome_for(&sockets, "--help"), COMMAND_LINE_HELP);
    cr_expect_not_null(strstr(out, "--ping-interval TIME|off"));
    cr_expect_not_null(strstr(out, "--pong-timeout TIME|off"));
    cr_expect_not_null(strstr(out, "--compression  "));
    cr_expect_eq(outcome_for(&sockets, "--ping-interval 0s"), COMMAND_LINE_WRONG);
}

/* ---- TLS ---- */

Test(command_line, every_option_of_tls_reaches_its_member)
{
    const struct cw_tls_options *tls;

    setenv("CW_TEST_PASSPHRASE", "secret", 1);
    read_line(
        "--tls-cert c.pem --tls-key k.pem --tls-passphrase-env CW_TEST_PASSPHRASE --tls-ca a.pem "
        "--tls-crl r.pem --tls-require-client-cert");
    tls = line.listen.tls;
    cr_assert_not_null(tls);
    cr_expect_str_eq(tls->cert, "c.pem");
    cr_expect_str_eq(tls->key, "k.pem");
    cr_expect_str_eq(tls->passphrase, "secret");
    cr_expect_str_eq(tls->ca, "a.pem");
    cr_expect_str_eq(tls->crl, "r.pem");
    cr_expect_eq(tls->client_cert, CW_CLIENT_CERT_REQUIRE);
    cr_expect_eq(tls->min_version, CW_TLS_ANY);
    read_line("--tls-cert c.pem --tls-ca a.pem --tls-request-client-cert --tls-min-version 1.3 "
              "--tls-alpn a,b --tls-ciphers X,Y");
    tls = line.listen.tls;
    cr_expect_eq(tls->client_cert, CW_CLIENT_CERT_REQUEST);
    cr_expect_eq(tls->min_version, CW_TLS_1_3);
    cr_expect_str_eq(tls->alpn, "a,b");
    cr_expect_str_eq(tls->ciphers, "X,Y");
    cr_expect_null(tls->key);
    read_line("--tls-cert c.pem --tls-min-version 1.2");
    cr_expect_eq(line.listen.tls->min_version, CW_TLS_1_2);
    cr_expect_eq(line.listen.tls->client_cert, CW_CLIENT_CERT_OFF);
}

Test(command_line, without_a_certificate_a_server_takes_no_option_of_tls)
{
    static const char *const words[] = {"--tls-key k", "--tls-ca a", "--tls-require-client-cert",
                                        "--tls-min-version 1.2", "--tls-alpn a"};
    char sentence[200];

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        snprintf(sentence, sizeof sentence,
                 "echo: %.*s needs --tls-cert FILE: TLS begins with a certificate\n",
                 (int)strcspn(words[i], " "), words[i]);
        expect_wrong(words[i], sentence);
    }
}

Test(command_line, options_of_tls_that_do_not_go_together_are_one_line)
{
    expect_wrong("--tls-cert c --tls-require-client-cert",
                 "echo: --tls-require-client-cert needs --tls-ca FILE: who may have signed the "
                 "certificates of clients\n");
    expect_wrong("--tls-cert c --tls-request-client-cert",
                 "echo: --tls-request-client-cert needs --tls-ca FILE: who may have signed the "
                 "certificates of clients\n");
    expect_wrong("--tls-cert c --tls-ca a --tls-request-client-cert --tls-require-client-cert",
                 "echo: --tls-request-client-cert and --tls-require-client-cert exclude each "
                 "other: the second is the stricter\n");
    expect_wrong("--tls-cert c --tls-ca a",
                 "echo: --tls-ca needs --tls-require-client-cert or --tls-request-client-cert: "
                 "nobody is asked for a certificate\n");
    expect_wrong("--tls-cert c --tls-crl r", "echo: --tls-crl needs --tls-ca FILE: its lists are "
                                             "about the certificates of clients\n");
    expect_wrong("--tls-cert c --tls-min-version 1.1",
                 "echo: --tls-min-version 1.1: expected 1.2|1.3\n");
}

Test(command_line, the_passphrase_comes_out_of_the_environment)
{
    unsetenv("CW_TEST_PASSPHRASE");
    expect_wrong("--tls-cert c --tls-passphrase-env CW_TEST_PASSPHRASE",
                 "echo: --tls-passphrase-env CW_TEST_PASSPHRASE: the environment has no such "
                 "variable\n");
    cr_expect_eq(outcome_of("--tls-cert c --tls-passphrase secret"), COMMAND_LINE_WRONG);
}

Test(command_line, a_program_that_does_not_connect_has_no_option_of_a_client)
{
    cr_expect_eq(outcome_of("--tls-cert c --tls-insecure"), COMMAND_LINE_WRONG);
    cr_expect_not_null(strstr(err, "unknown option --tls-insecure"), "%s", err);
    cr_expect_eq(outcome_of("--help"), COMMAND_LINE_HELP);
    cr_expect_null(strstr(out, "--tls-insecure"), "%s", out);
    cr_expect_not_null(strstr(out, "--tls-require-client-cert"), "%s", out);
}

/* ---- a program that can connect ---- */

static const char *address;
static const struct option_entry connecting[] = {{.name = "connect",
                                                  .kind = OPTION_TEXT,
                                                  .into = &address,
                                                  .value = "HOST:PORT",
                                                  .about = "connect"}};
static const struct program either = {
    .name = "chat", .port = 1, .own = connecting, .own_count = 1, .connect = &address};

static void read_either(const char *words)
{
    address = NULL;
    cr_assert_eq(outcome_for(&either, words), COMMAND_LINE_RUN, "%s", err);
}

static void expect_either_wrong(const char *words, const char *sentence)
{
    address = NULL;
    cr_expect_eq(outcome_for(&either, words), COMMAND_LINE_WRONG, "%s", words);
    cr_expect_str_eq(err, sentence);
}

Test(command_line, an_address_says_whether_tls_is_spoken)
{
    read_either("--connect tls://example.org:7000");
    cr_expect_str_eq(address, "example.org:7000");
    cr_assert_not_null(line.connect_tls);
    cr_expect_null(line.connect_tls->ca);
    cr_expect_not(line.connect_tls->insecure);
    cr_expect_null(line.listen.tls);
    read_either("--connect tcp://[::1]:7000");
    cr_expect_str_eq(address, "[::1]:7000");
    cr_expect_null(line.connect_tls);
    read_either("--connect tls://unix:/run/x");
    cr_expect_str_eq(address, "unix:/run/x");
    cr_expect_not_null(line.connect_tls);
    read_either("--connect unix://run/x");
    cr_expect_str_eq(address, "unix://run/x");
    cr_expect_null(line.connect_tls);
    expect_either_wrong("--connect https://x:1", "chat: https://x:1: expected HOST:PORT, or tls:// "
                                                 "before it to speak TLS\n");
}

Test(command_line, every_option_of_a_client_reaches_its_member)
{
    read_either("--connect tls://h:1 --tls-ca a --tls-cert c --tls-key k --tls-name n --tls-crl r "
                "--tls-alpn x --tls-min-version 1.2");
    cr_expect_str_eq(line.connect_tls->ca, "a");
    cr_expect_str_eq(line.connect_tls->cert, "c");
    cr_expect_str_eq(line.connect_tls->key, "k");
    cr_expect_str_eq(line.connect_tls->server_name, "n");
    cr_expect_str_eq(line.connect_tls->crl, "r");
    cr_expect_str_eq(line.connect_tls->alpn, "x");
    cr_expect_eq(line.connect_tls->min_version, CW_TLS_1_2);
    read_either("--connect tls://h:1 --tls-fingerprint ab:cd");
    cr_expect_str_eq(line.connect_tls->fingerprint, "ab:cd");
    read_either("--connect tls://h:1 --tls-insecure");
    cr_expect(line.connect_tls->insecure);
    cr_expect_eq(line.connect_tls->client_cert, CW_CLIENT_CERT_OFF);
}

Test(command_line, a_client_is_told_what_does_not_go_together)
{
    expect_either_wrong("--connect h:1 --tls-ca a",
                        "chat: --tls-ca needs tls:// before the address: nothing is encrypted\n");
    expect_either_wrong("--connect tls://h:1 --tls-key k",
                        "chat: --tls-key needs --tls-cert FILE: a key alone is of no use\n");
    expect_either_wrong("--connect tls://h:1 --tls-insecure --tls-ca a",
                        "chat: --tls-insecure and --tls-ca exclude each other: the first accepts "
                        "any certificate\n");
    expect_either_wrong("--connect tls://h:1 --tls-fingerprint aa --tls-ca a",
                        "chat: --tls-fingerprint and --tls-ca exclude each other: the first asks "
                        "no CA\n");
}

Test(command_line, an_option_of_the_other_role_says_so)
{
    expect_either_wrong("--connect tls://h:1 --tls-require-client-cert",
                        "chat: --tls-require-client-cert is for a server, and this is a client\n");
    expect_either_wrong("--tls-cert c --tls-insecure",
                        "chat: --tls-insecure is for a client, and this is a server\n");
}

Test(command_line, help_says_that_switching_verification_off_is_no_protection)
{
    cr_expect_eq(outcome_for(&either, "--help"), COMMAND_LINE_HELP);
    cr_expect_not_null(strstr(out, "--tls-insecure "), "%s", out);
    cr_expect_not_null(strstr(out, "no protection"), "%s", out);
}

Test(command_line, options_of_parts_that_do_not_exist_are_unknown)
{
    static const char *const later[] = {"--max-body", "--static"};

    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        cr_expect_eq(outcome_of(later[i]), COMMAND_LINE_WRONG);
        cr_expect_not_null(strstr(err, "unknown option"), "%s", err);
    }
}

Test(command_line, help_prints_every_option_with_its_default)
{
    static const char *const parts[] = {
        "Usage: echo [options]\n",
        "Sends back what it receives.\n",
        "--protocol tcp|framed|line ",
        "(default: tcp)",
        "--port N ",
        "(default: 7000)",
        "(default: 127.0.0.1)",
        "--max-frame-size BYTES",
        "(default: 65536 bytes; lines: 8192 bytes; UDP: 65507 bytes; WebSocket: 1048576 bytes)",
        "--idle-timeout TIME|off ",
        "(default: 5m)",
        "--drain-timeout TIME ",
        "(default: 5s)",
        "--keepalive-probes N ",
        "--help ",
    };

    cr_expect_eq(outcome_of("--port 1 --help --nonsense"), COMMAND_LINE_HELP);
    cr_expect_str_empty(err);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        cr_expect_not_null(strstr(out, parts[i]), "%s is missing in:\n%s", parts[i], out);
    }
    cr_expect_eq(outcome_of("-h"), COMMAND_LINE_HELP);
}

Test(command_line, a_program_may_be_started_without_its_name)
{
    char *const nothing[] = {NULL};

    cr_expect_eq(command_line_read(&line, &program, nothing, stdout, stderr), COMMAND_LINE_RUN);
}

Test(command_line, a_program_may_call_its_port_by_another_name)
{
    const struct program chat = {
        .name = "chat", .about = "A chat.", .port = 7340, .port_name = "tcp-port"};
    char *const argv[] = {(char[]){"chat"}, (char[]){"--tcp-port"}, (char[]){"1"}, NULL};
    char *const old[] = {(char[]){"chat"}, (char[]){"--port"}, (char[]){"1"}, NULL};
    char *const both[] = {(char[]){"chat"}, (char[]){"--tcp-port=1"}, (char[]){"--unix=x"}, NULL};

    cr_assert_eq(command_line_read(&line, &chat, argv, stdout, stderr), COMMAND_LINE_RUN);
    cr_expect_eq(line.listen.port, 1);
    cr_expect_eq(command_line_read(&line, &chat, old, stdout, stderr), COMMAND_LINE_WRONG);
    cr_expect_eq(command_line_read(&line, &chat, both, stdout, stderr), COMMAND_LINE_WRONG);
}

Test(command_line, a_program_that_does_not_listen_has_its_own_options_only)
{
    const struct program sender = {.name = "send",
                                   .arguments = "HOST:PORT",
                                   .about = "Sends.",
                                   .own = own,
                                   .own_count = 3,
                                   .own_only = true};
    char *const argv[] = {(char[]){"send"}, (char[]){"--nickname"}, (char[]){"x"}, NULL};
    char *const common[] = {(char[]){"send"}, (char[]){"--quiet"}, NULL};
    char *const help[] = {(char[]){"send"}, (char[]){"--help"}, NULL};
    char *written;
    size_t len;

    cr_expect_eq(command_line_read(&line, &sender, argv, stdout, stderr), COMMAND_LINE_RUN);
    cr_expect_str_eq(nickname, "x");
    cr_expect_eq(command_line_read(&line, &sender, common, stdout, stderr), COMMAND_LINE_WRONG);
    FILE *to = open_memstream(&written, &len);
    cr_assert_not_null(to);
    cr_expect_eq(command_line_read(&line, &sender, help, to, stderr), COMMAND_LINE_HELP);
    keep(to, &written, out, sizeof out);
    cr_expect_not_null(strstr(out, "Usage: send HOST:PORT [options]\n"), "%s", out);
    cr_expect_null(strstr(out, "--workers"), "%s", out);
}

Test(command_line, options_of_tls_go_over_those_of_a_file)
{
    struct cw_tls_options file = {.cert = "file.pem",
                                  .key = "file.key",
                                  .ca = "file_ca.pem",
                                  .client_cert = CW_CLIENT_CERT_REQUIRE};
    struct cw_tls_options none = file;

    read_line("");
    tls_settings_over(&line.tls, &none);
    cr_expect_arr_eq(&none, &file, sizeof none);
    read_line("--tls-cert c.pem --tls-min-version 1.3");
    tls_settings_over(&line.tls, &file);
    cr_expect_str_eq(file.cert, "c.pem");
    cr_expect_null(file.key); /* it belongs to the other certificate */
    cr_expect_str_eq(file.ca, "file_ca.pem");
    cr_expect_eq(file.client_cert, CW_CLIENT_CERT_REQUIRE);
    cr_expect_eq(file.min_version, CW_TLS_1_3);
}
