/* docs/options.md says what the code does: defaults and ranges of servers, clients and pools, defaults of TCP and of
 * protocols, the command line of the examples. */
#include "datagram_impl.h"
#include "http/http_settings.h"
#include "options.h"
#include "server_impl.h"
#include "support/child.h"
#include "support/leak.h"
#include "tcp_options.h"
#include "websocket/ws_impl.h"

#include <causeway/framed.h>
#include <causeway/line.h>
#include <causeway/udp.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(options, .fini = rig_expect_no_leak, .timeout = 30);

enum { LINE_MAX_BYTES = 2000 };

/* ---- the page ---- */

static FILE *open_page(void)
{
    FILE *page = fopen(CW_SOURCE_DIR "/docs/options.md", "r");

    cr_assert_not_null(page);
    return page;
}

/* Finds the row `| `name` | …` below the heading `## section`. Cells: the text between two bars, trimmed. */
struct row {
    char line[LINE_MAX_BYTES];
    const char *standard; /* second cell */
    const char *range;    /* third cell */
};

static char *next_cell(char **rest)
{
    char *cell = *rest + strspn(*rest, " ");
    char *end = strchr(cell, '|');

    cr_assert_not_null(end, "a row of docs/options.md has too few cells: %s", cell);
    *rest = end + 1;
    while (end > cell && end[-1] == ' ') {
        end--;
    }
    *end = '\0';
    return cell;
}

static bool is_row_of(const char *line, const char *name)
{
    size_t len = strlen(name);

    return strncmp(line, "| `", 3) == 0 && strncmp(line + 3, name, len) == 0 && line[3 + len] == '`';
}

static void find_row(const char *section, const char *name, struct row *row)
{
    FILE *page = open_page();
    bool here = false;
    bool found = false;

    while (!found && fgets(row->line, sizeof row->line, page)) {
        if (strncmp(row->line, "## ", 3) == 0) {
            here = strncmp(row->line + 3, section, strlen(section)) == 0;
        }
        found = here && is_row_of(row->line, name);
    }
    fclose(page);
    cr_assert(found, "docs/options.md has no row for %s in \"%s\"", name, section);
    char *rest = row->line + 1;
    next_cell(&rest);
    row->standard = next_cell(&rest);
    row->range = next_cell(&rest);
}

/* A number, or one of the words, in backticks. */
static uint64_t read_value(const char *cell, const char *name)
{
    uint64_t value = 0;
    char end = 0;

    if (strncmp(cell, "`CW_OFF`", 8) == 0) {
        return CW_OFF;
    }
    if (strncmp(cell, "`CW_NO_LIMIT`", 13) == 0) {
        return CW_NO_LIMIT;
    }
    if (strncmp(cell, "`CW_PER_CORE`", 13) == 0) {
        return CW_PER_CORE;
    }
    cr_assert_eq(sscanf(cell, "`%lu%c", &value, &end), 2, "%s: no number: %s", name, cell);
    cr_assert_eq(end, '`', "%s: no number: %s", name, cell);
    return value;
}

/* ---- structs of numbers ---- */

struct member {
    const char *name;
    size_t offset;
};

/* Checks options of one kind and fills in the defaults. */
typedef int (*fill_fn)(void *options, struct cw_complaint *complaint);

struct kind {
    const char *section; /* of the page */
    const char *before;  /* stands in complaints before the name of the member */
    const struct member *members;
    size_t count;
    size_t size;
    fill_fn fill;
};

#define SERVER(name)                                                                               \
    {                                                                                              \
#name, offsetof(struct cw_server_options, name)                                            \
    }
#define CONNECT(name)                                                                              \
    {                                                                                              \
#name, offsetof(struct cw_connect_options, name)                                           \
    }
#define HTTP(name)                                                                                 \
    {                                                                                              \
#name, offsetof(struct cw_http_options, name)                                              \
    }
#define WEBSOCKET(name)                                                                            \
    {                                                                                              \
#name, offsetof(struct cw_websocket_options, name)                                         \
    }
#define DATAGRAM(name)                                                                             \
    {                                                                                              \
#name, offsetof(struct cw_datagram_options, name)                                          \
    }
#define POOL(name)                                                                                 \
    {                                                                                              \
#name, offsetof(struct cw_pool_options, name)                                              \
    }

static const struct member server_members[] = {
    SERVER(workers),
    SERVER(conns_max),
    SERVER(conns_per_ip_max),
    SERVER(idle_ms),
    SERVER(read_ms),
    SERVER(write_ms),
    SERVER(handshake_ms),
    SERVER(drain_ms),
    SERVER(in_max_bytes),
    SERVER(out_high_bytes),
    SERVER(out_low_bytes),
    SERVER(out_max_bytes),
    SERVER(buffered_max_bytes),
    SERVER(accepts_per_turn),
    SERVER(reads_per_turn_bytes),
    SERVER(messages_per_turn),
    SERVER(mailbox_max),
    SERVER(mailbox_max_bytes),
    SERVER(work_threads),
    SERVER(work_max),
    SERVER(handshake_threads),
    SERVER(handshakes_per_turn),
    SERVER(handshakes_max),
    SERVER(rooms_max),
    SERVER(room_members_max),
    SERVER(rooms_per_conn_max),
    SERVER(room_name_max_bytes),
    SERVER(room_presence_max_bytes),
    SERVER(keepalive_ms),
};

static const struct member connect_members[] = {
    CONNECT(connect_ms),       CONNECT(attempt_delay_ms), CONNECT(reconnect_min_ms),
    CONNECT(reconnect_max_ms), CONNECT(attempts_max),
};

static const struct member pool_members[] = {
    POOL(conns_max), POOL(waiting_max), POOL(waiting_ms), POOL(idle_ms), POOL(use_max),
};

static const struct member http_members[] = {
    HTTP(head_max_bytes), HTTP(fields_max),  HTTP(target_max_bytes),  HTTP(body_max_bytes),
    HTTP(head_ms),        HTTP(body_ms),     HTTP(body_rate_min),     HTTP(keep_alive_ms),
    HTTP(requests_max),   HTTP(response_ms), HTTP(discard_max_bytes), HTTP(bodies_max_bytes),
};

static const struct member websocket_members[] = {
    WEBSOCKET(message_max_bytes), WEBSOCKET(messages_max_bytes), WEBSOCKET(pings_per_second_max),
    WEBSOCKET(ping_interval_ms),  WEBSOCKET(pong_timeout_ms),    WEBSOCKET(deflate.above_bytes),
    WEBSOCKET(head_max_bytes),
};

static const struct member datagram_members[] = {
    DATAGRAM(peers_max),     DATAGRAM(peer_idle_ms),    DATAGRAM(peer_silent_ms),
    DATAGRAM(amplification), DATAGRAM(queue_max_bytes), DATAGRAM(datagrams_per_turn),
};

static int fill_server(void *options, struct cw_complaint *complaint)
{
    return cw_options_fill(options, complaint);
}

static int fill_connect(void *options, struct cw_complaint *complaint)
{
    struct cw_server_options as_server;

    return cw_connect_options_fill(options, &as_server, complaint);
}

static int fill_pool(void *options, struct cw_complaint *complaint)
{
    return cw_pool_options_fill(options, complaint);
}

static int fill_http(void *options, struct cw_complaint *complaint)
{
    return cw_http_check_options(options, complaint);
}

static int fill_websocket(void *options, struct cw_complaint *complaint)
{
    int error = cw_ws_check_options(options, complaint);

    if (error == CW_OK) {
        cw_ws_release_options(options);
    }
    return error;
}

static int fill_datagram(void *options, struct cw_complaint *complaint)
{
    int error = cw_datagram_options_check(options, CW_SERVER, complaint);

    cw_datagram_options_fill(options);
    return error;
}

#define COUNT(members) (sizeof(members) / sizeof((members)[0]))

static const struct kind kinds[] = {
    {"struct cw_server_options", "", server_members, COUNT(server_members),
     sizeof(struct cw_server_options), fill_server},
    {"struct cw_connect_options", "", connect_members, COUNT(connect_members),
     sizeof(struct cw_connect_options), fill_connect},
    {"struct cw_pool_options", "", pool_members, COUNT(pool_members),
     sizeof(struct cw_pool_options), fill_pool},
    {"struct cw_http_options", "", http_members, COUNT(http_members),
     sizeof(struct cw_http_options), fill_http},
    {"struct cw_websocket_options", "", websocket_members, COUNT(websocket_members),
     sizeof(struct cw_websocket_options), fill_websocket},
    {"struct cw_datagram_options", "datagram.", datagram_members, COUNT(datagram_members),
     sizeof(struct cw_datagram_options), fill_datagram},
};

/* One member of one kind, and its row. */
struct cell {
    const struct kind *kind;
    const struct member *member;
    struct row row;
};

static void for_each_member(void (*fn)(const struct cell *cell))
{
    for (size_t k = 0; k < COUNT(kinds); k++) {
        for (size_t i = 0; i < kinds[k].count; i++) {
            struct cell cell = {.kind = &kinds[k], .member = &kinds[k].members[i]};
            find_row(cell.kind->section, cell.member->name, &cell.row);
            fn(&cell);
        }
    }
}

/* Options of the kind with one member set, filled in. Returns what that returned, and the member's value then. */
static int fill_with(const struct cell *cell, uint64_t *value, struct cw_complaint *complaint)
{
    char *options = calloc(1, cell->kind->size);
    int answer;

    cr_assert_not_null(options);
    memcpy(options + cell->member->offset, value, sizeof *value);
    answer = cell->kind->fill(options, complaint);
    memcpy(value, options + cell->member->offset, sizeof *value);
    free(options);
    return answer;
}

/* Whether the range of this member refuses the value; other complaints are about two members together. */
static bool refuses(const struct cell *cell, uint64_t value)
{
    struct cw_complaint complaint = {""};
    char start[64];

    snprintf(start, sizeof start, "%s%s: at most ", cell->kind->before, cell->member->name);
    return fill_with(cell, &value, &complaint) == CW_EINVAL &&
           strncmp(complaint.text, start, strlen(start)) == 0;
}

static void expect_default(const struct cell *cell)
{
    struct cw_complaint complaint = {""};
    uint64_t filled = 0;

    cr_assert_eq(fill_with(cell, &filled, &complaint), CW_OK, "%s", complaint.text);
    cr_expect_eq(read_value(cell->row.standard, cell->member->name), filled, "%s: %s is %lu",
                 cell->kind->section, cell->member->name, filled);
}

static void expect_range(const struct cell *cell)
{
    uint64_t most = read_value(cell->row.range, cell->member->name);

    cr_expect_not(refuses(cell, most), "%s: %lu is refused", cell->member->name, most);
    cr_expect(refuses(cell, most + 1), "%s: %lu is allowed", cell->member->name, most + 1);
}

static void expect_words(const struct cell *cell)
{
    static const struct {
        const char *name;
        uint64_t value;
    } words[] = {
        {"`CW_OFF`", CW_OFF}, {"`CW_NO_LIMIT`", CW_NO_LIMIT}, {"`CW_PER_CORE`", CW_PER_CORE}};

    for (size_t w = 0; w < COUNT(words); w++) {
        cr_expect_eq(refuses(cell, words[w].value), strstr(cell->row.range, words[w].name) == NULL,
                     "%s and %s", cell->member->name, words[w].name);
    }
}

Test(options, every_member_of_the_server_is_tested_here)
{
    /* The two switches fill one more word, trusted_proxies is a text. */
    cr_assert_eq(sizeof(struct cw_server_options), (COUNT(server_members) + 2) * sizeof(uint64_t));
}

Test(options, the_page_has_the_default_of_every_option)
{
    for_each_member(expect_default);
}

Test(options, the_page_has_the_range_of_every_option_and_one_more_is_refused_by_name)
{
    for_each_member(expect_range);
}

Test(options, the_page_has_the_words_of_every_option_and_no_other_is_allowed)
{
    for_each_member(expect_words);
}

Test(options, the_page_has_the_default_of_the_switches)
{
    struct cw_server_options filled = {0};
    struct cw_complaint complaint = {""};
    struct row row;

    cr_assert_eq(cw_options_fill(&filled, &complaint), CW_OK, "%s", complaint.text);
    find_row("struct cw_server_options", "half_open", &row);
    cr_expect_str_eq(row.standard, "`false`");
    find_row("struct cw_server_options", "read_while_full", &row);
    cr_expect_str_eq(row.standard, "`false`");
    cr_expect_not(filled.half_open);
    cr_expect_not(filled.read_while_full);
}

Test(options, two_that_contradict_each_other_are_refused_by_name)
{
    static const struct {
        struct cw_server_options options;
        const char *text;
    } wrong[] = {
        {{.conns_max = 10, .conns_per_ip_max = 11}, "conns_per_ip_max is above conns_max"},
        {{.out_high_bytes = 11, .out_max_bytes = 10}, "out_high_bytes is above out_max_bytes"},
        {{.out_high_bytes = 10, .out_low_bytes = 11}, "out_low_bytes is above out_high_bytes"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct cw_server_options options = wrong[i].options;
        struct cw_complaint complaint = {""};
        cr_expect_eq(cw_options_fill(&options, &complaint), CW_EINVAL);
        cr_expect_str_eq(complaint.text, wrong[i].text);
    }
}

Test(options, what_follows_from_another_option_follows_it)
{
    struct cw_server_options options = {.conns_max = 5, .out_high_bytes = 1048576};
    struct cw_complaint complaint = {""};

    cr_assert_eq(cw_options_fill(&options, &complaint), CW_OK, "%s", complaint.text);
    cr_expect_eq(options.conns_per_ip_max, options.conns_max < 10 ? options.conns_max : 10,
                 "not under ten");
    cr_expect_eq(options.room_members_max, 5);
    cr_expect_eq(options.out_low_bytes, 524288);
    cr_expect_geq(options.out_max_bytes, options.out_high_bytes);
    options = (struct cw_server_options){.out_high_bytes = 2097152};
    cr_assert_eq(cw_options_fill(&options, &complaint), CW_OK, "%s", complaint.text);
    cr_expect_eq(options.out_max_bytes, 4194304, "twice out_high_bytes");
}

/* ---- TCP ---- */

static uint64_t socket_value(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    cr_assert_eq(getsockopt(fd, level, name, &value, &len), 0);
    return (uint64_t)value;
}

static uint64_t tcp_default(const char *name)
{
    struct row row;

    find_row("struct cw_tcp_options", name, &row);
    return read_value(row.standard, name);
}

Test(options, the_page_has_the_tcp_defaults_that_a_socket_gets)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct cw_tcp_options options = {0};

    cr_assert_geq(fd, 0);
    cr_assert_eq(cw_tcp_options_apply(fd, &options, true), CW_OK);
    cr_expect_neq(socket_value(fd, IPPROTO_TCP, TCP_NODELAY), 0);
    cr_expect_neq(socket_value(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    cr_expect_eq(socket_value(fd, IPPROTO_TCP, TCP_KEEPIDLE) * 1000, tcp_default("keepalive_ms"));
    cr_expect_eq(socket_value(fd, IPPROTO_TCP, TCP_KEEPINTVL) * 1000,
                 tcp_default("keepalive_interval_ms"));
    cr_expect_eq(socket_value(fd, IPPROTO_TCP, TCP_KEEPCNT), tcp_default("keepalive_probes"));
    cr_expect_eq(socket_value(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), tcp_default("user_timeout_ms"));
    close(fd);
}

/* ---- protocols ---- */

Test(options, the_page_has_the_defaults_of_framed_line_and_udp)
{
    struct cw_framed_options framed = {0};
    struct cw_line_options line = {0};
    struct cw_udp_options udp = {0};
    struct cw_complaint complaint = {""};
    struct row row;

    cr_assert_eq(cw_framed.configure(&framed, &complaint), CW_OK);
    cr_assert_eq(cw_line.configure(&line, &complaint), CW_OK);
    find_row("struct cw_framed_options", "frame_max_bytes", &row);
    cr_expect_eq(read_value(row.standard, "frame_max_bytes"), framed.frame_max_bytes);
    find_row("struct cw_framed_options", "length_bytes", &row);
    cr_expect_eq(read_value(row.standard, "length_bytes"), framed.length_bytes);
    find_row("struct cw_line_options", "line_max_bytes", &row);
    cr_expect_eq(read_value(row.standard, "line_max_bytes"), line.line_max_bytes);
    cw_line.release(&line);
    cr_assert_eq(cw_udp.configure(&udp, &complaint), CW_OK);
    find_row("struct cw_udp_options", "datagram_max_bytes", &row);
    cr_expect_eq(read_value(row.standard, "datagram_max_bytes"), udp.datagram_max_bytes);
}

/* ---- the command line ---- */

static void take_bars(char *text)
{
    /* In a table a bar within a cell is written \|. */
    for (char *c = text; (c = strstr(c, "\\|")) != NULL;) {
        memmove(c, c + 1, strlen(c));
    }
}

/* Whether the page has `option` with this default ("": none). */
static bool page_has(const char *option, const char *standard)
{
    FILE *page = open_page();
    char line[LINE_MAX_BYTES];
    char wanted[300];
    bool found = false;

    snprintf(wanted, sizeof wanted, standard[0] ? "| `%s` | %s |" : "| `%s` |%s |", option,
             standard);
    while (!found && fgets(line, sizeof line, page)) {
        take_bars(line);
        found = strncmp(line, wanted, strlen(wanted)) == 0;
    }
    fclose(page);
    return found;
}

/* `  --name VALUE   what it is about (default: X)` */
static void expect_on_page(char *help)
{
    char *option = help + strspn(help, " ");
    char *about = strstr(option, "  ");
    char *standard = strstr(help, " (default: ");
    char *end = strrchr(help, ')');

    if (!about) {
        about = option + strcspn(option, "\n");
    }
    *about = '\0';
    if (standard && end) {
        standard += strlen(" (default: ");
        *end = '\0';
    }
    cr_expect(page_has(option, standard && end ? standard : ""),
              "%s has no row with the default \"%s\"", option, standard && end ? standard : "");
}

static void expect_help_on_page(const char *name)
{
    char path[512];
    char *arguments[] = {path, "--help", NULL};
    struct rig_child child;
    unsigned count = 0;

    snprintf(path, sizeof path, "%s/examples/%s/%s", CW_BUILD_DIR, name, name);
    rig_child_start(&child, path, arguments);
    cr_assert_eq(rig_child_join(&child), 0, "%s", child.text);
    for (char *line = strtok(child.text, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "  --", 4) == 0) {
            expect_on_page(line);
            count++;
        }
    }
    cr_expect_gt(count, 10);
}

Test(options, the_page_has_every_option_of_echo_and_chat_with_its_default)
{
    expect_help_on_page("echo");
    expect_help_on_page("chat");
}
