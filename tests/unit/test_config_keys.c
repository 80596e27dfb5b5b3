#include "config_impl.h"
#include "options.h"
#include "server_impl.h"
#include "support/config_text.h"
#include "support/leak.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(config_keys, .fini = rig_expect_no_leak, .timeout = 60);

/* Those that have a section of their own. */
static const struct cw_protocol *const protocols[] = {&cw_framed, &cw_line, &cw_udp, &cw_http,
                                                      &cw_websocket};

enum { PROTOCOLS = sizeof protocols / sizeof protocols[0] };

/* ---- the table, the documents and the file that is shipped ---- */

static void expect_documented(const char *key, const struct cw_config_key *entry, void *user)
{
    char cell[160];
    char *inner = strstr(key, "listeners[].tls.");

    /* The same sections again. */
    if (inner || strstr(key, "listeners[].tcp.") || strstr(key, "listeners[].datagram.") ||
        strcmp(key, "server") == 0) {
        return;
    }
    snprintf(cell, sizeof cell, "\n| `%s` |", key);
    cr_expect_not_null(strstr(user, cell), "docs/options.md has no row of %s", key);
}

Test(config_keys, every_key_is_documented)
{
    char *text = rig_config_read_file(CW_SOURCE_DIR "/docs/options.md");

    cw_config_each_key(expect_documented, text);
    for (size_t i = 0; i < PROTOCOLS; i++) {
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
    for (size_t i = 0; i < PROTOCOLS; i++) {
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

Test(config_keys, every_documented_key_exists)
{
    char *text = rig_config_read_file(CW_SOURCE_DIR "/docs/options.md");
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

Test(config_keys, the_example_shows_every_key_and_every_line_of_it_is_right)
{
    const struct cw_service services[] = {
        cw_service(&cw_line, NULL, NULL), cw_service(&cw_udp, NULL, NULL),
        cw_service(&cw_http, NULL, NULL), cw_service(&cw_websocket, NULL, NULL)};
    const struct cw_config_options options = {.services = services, .service_count = 4};
    char *text = rig_config_read_file(CW_SOURCE_DIR "/examples/causeway.yaml");

    cw_log_set_level(CW_LOG_ERROR);
    cr_expect_eq(rig_config_load_with(text, &options), CW_OK, "%s",
                 cw_server_error(rig_config_server));
    uncomment(text);
    cw_config_each_key(expect_in_example, text);
    for (size_t i = 0; i < PROTOCOLS; i++) {
        for (const struct cw_setting *setting = protocols[i]->settings; setting->key; setting++) {
            struct cw_config_key key = cw_config_key_of(setting);
            expect_in_example(protocols[i]->name, &key, text);
        }
    }
    setenv("KEY_PASSPHRASE", "a", 1);
    setenv("ALT_PASSPHRASE", "b", 1);
    cr_expect_eq(rig_config_load_with(text, &options), CW_OK, "%s",
                 cw_server_error(rig_config_server));
    cr_expect_eq(rig_config_server->config->listener_count, 5);
    cr_expect_str_eq(rig_config_server->config->tls.certificates[0].passphrase, "b");
    free(text);
    rig_config_end();
}

/* Members that the file says nothing of have another test. */
static void expect_http_defaults(const struct cw_http_options *said)
{
    struct cw_http_options defaults = {0};
    struct cw_complaint complaint;

    cr_assert_not_null(said);
    cr_assert_eq(cw_http.configure(&defaults, &complaint), CW_OK);
    cr_expect_eq(said->head_max_bytes, defaults.head_max_bytes);
    cr_expect_eq(said->fields_max, defaults.fields_max);
    cr_expect_eq(said->target_max_bytes, defaults.target_max_bytes);
    cr_expect_eq(said->body_max_bytes, defaults.body_max_bytes);
    cr_expect_eq(said->bodies_max_bytes, defaults.bodies_max_bytes);
    cr_expect_eq(said->discard_max_bytes, defaults.discard_max_bytes);
    cr_expect_eq(said->requests_max, defaults.requests_max);
    cr_expect_eq(said->body_rate_min, defaults.body_rate_min);
    cr_expect_eq(said->head_ms, defaults.head_ms);
    cr_expect_eq(said->body_ms, defaults.body_ms);
    cr_expect_eq(said->response_ms, defaults.response_ms);
    cr_expect_eq(said->keep_alive_ms, defaults.keep_alive_ms);
    cr_expect_eq(said->forwarded, defaults.forwarded);
}

static void expect_websocket_defaults(const struct cw_websocket_options *said)
{
    struct cw_websocket_options defaults = {0};
    struct cw_complaint complaint;

    cr_assert_not_null(said);
    cr_assert_eq(cw_websocket.configure(&defaults, &complaint), CW_OK);
    cr_expect_eq(said->message_max_bytes, defaults.message_max_bytes);
    cr_expect_eq(said->stream_above_bytes, defaults.stream_above_bytes);
    cr_expect_eq(said->messages_max_bytes, defaults.messages_max_bytes);
    cr_expect_eq(said->pings_per_second_max, defaults.pings_per_second_max);
    cr_expect_eq(said->ping_interval_ms, defaults.ping_interval_ms);
    cr_expect_eq(said->pong_timeout_ms, defaults.pong_timeout_ms);
    cr_expect_eq(said->compress, defaults.compress);
    cr_expect_eq(said->deflate.above_bytes, defaults.deflate.above_bytes);
    cr_expect_eq(said->deflate.level, defaults.deflate.level);
    cr_expect_eq(said->deflate.window_bits, defaults.deflate.window_bits);
    cr_expect_eq(said->deflate.peer_window_bits, defaults.deflate.peer_window_bits);
    cr_expect_eq(said->deflate.keep_context, defaults.deflate.keep_context);
    cr_expect_eq(said->deflate.keep_peer_context, defaults.deflate.keep_peer_context);
    cw_websocket.release(&defaults);
}

Test(config_keys, the_example_says_the_defaults)
{
    const struct cw_server_options none = {0};
    struct cw_server_options defaults = none;
    struct cw_complaint complaint;
    char *text = rig_config_read_file(CW_SOURCE_DIR "/examples/causeway.yaml");
    const struct cw_service services[] = {
        cw_service(&cw_line, NULL, NULL), cw_service(&cw_udp, NULL, NULL),
        cw_service(&cw_http, NULL, NULL), cw_service(&cw_websocket, NULL, NULL)};

    cw_log_set_level(CW_LOG_ERROR);
    cr_assert_eq(rig_config_load_with(
                     text, &(struct cw_config_options){.services = services, .service_count = 4}),
                 CW_OK, "%s", cw_server_error(rig_config_server));
    cw_options_fill(&defaults, &complaint);
    const struct cw_server_options *said = &rig_config_server->options;
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
    cr_expect_eq(said->handshakes_per_turn, defaults.handshakes_per_turn);
    cr_expect_eq(said->handshakes_max, defaults.handshakes_max);
    cr_expect_eq(said->rooms_max, defaults.rooms_max);
    cr_expect_eq(said->room_members_max, defaults.room_members_max);
    cr_expect_eq(said->rooms_per_conn_max, defaults.rooms_per_conn_max);
    cr_expect_eq(said->room_name_max_bytes, defaults.room_name_max_bytes);
    cr_expect_eq(said->room_presence_max_bytes, defaults.room_presence_max_bytes);
    expect_http_defaults(cw_config_protocol_options(rig_config_server->config, &cw_http));
    expect_websocket_defaults(cw_config_protocol_options(rig_config_server->config, &cw_websocket));
    free(text);
    rig_config_end();
}

/* … and so are the words. */
static void expect_words(const char *key, const struct cw_config_key *entry, size_t offset)
{
    const unsigned words = CW_MAY_OFF | CW_MAY_NO_LIMIT | CW_MAY_PER_CORE;
    size_t count;
    const struct cw_option_rule *rules = cw_server_option_rules(&count);

    for (size_t i = 0; i < count; i++) {
        if (rules[i].offset == offset) {
            cr_expect_eq(entry->flags & words, rules[i].flags & words, "%s", key);
        }
    }
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

    if (!of_server) {
        return;
    }
    memcpy((char *)&options + at, &entry->most, sizeof entry->most);
    (void)cw_options_fill(&options, &complaint);
    cr_expect_null(strstr(complaint.text, "at most"), "%s: %s", key, complaint.text);
    options = (struct cw_server_options){0};
    uint64_t more = entry->most + 1;
    memcpy((char *)&options + at, &more, sizeof more);
    cr_expect_eq(cw_options_fill(&options, &complaint), CW_EINVAL, "%s", key);
    expect_words(key, entry, at);
}

/* A word that a key of a protocol takes is one that its options take. */
Test(config_keys, words_of_a_protocol_are_those_of_its_options)
{
    static const uint64_t words[] = {CW_OFF, CW_NO_LIMIT};
    size_t count = 0;

    for (const struct cw_setting *setting = cw_http.settings; setting->key; setting++) {
        for (int i = 0; i < 2; i++) {
            struct cw_http_options options = {0};
            struct cw_complaint complaint = {""};

            if (i == 0 ? setting->may_be_off : setting->may_be_unlimited) {
                memcpy((char *)&options + setting->offset, &words[i], sizeof words[i]);
                cr_expect_eq(cw_http.configure(&options, &complaint), CW_OK, "%s: %s", setting->key,
                             complaint.text);
                count++;
            }
        }
    }
    cr_expect_eq(count, 9);
}

Test(config_keys, a_protocols_key_takes_its_word_and_no_other)
{
    const struct cw_service web = cw_service(&cw_http, NULL, NULL);
    const struct cw_config_options options = {.services = &web, .service_count = 1};
    const struct cw_http_options *read;

    cr_assert_eq(rig_config_load_with("server:\n  http:\n    header_timeout: off\n"
                                      "    max_body_size: unlimited\n",
                                      &options),
                 CW_OK, "%s", cw_server_error(rig_config_server));
    read = cw_config_protocol_options(rig_config_server->config, &cw_http);
    cr_expect_eq(read->head_ms, CW_OFF);
    cr_expect_eq(read->body_max_bytes, CW_NO_LIMIT);
    cr_expect_eq(
        rig_config_load_with("server:\n  http:\n    max_header_size: unlimited\n", &options),
        CW_ECONFIG);
    cr_expect_eq(rig_config_load_with("server:\n  http:\n    max_body_size: off\n", &options),
                 CW_ECONFIG);
    rig_config_end();
}

Test(config_keys, ranges_are_those_of_the_options)
{
    cw_config_each_key(expect_range, NULL);
}
