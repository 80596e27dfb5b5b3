#include "command_line.h"

#include "values.h"

#include <causeway/log.h>

#include <string.h>

enum {
    NAME_MAX_BYTES = 64,
    WORKERS_MOST = 256,
    KEEPALIVE_MOST_MS = 32767000, /* the kernel's, as is the next */
    KEEPALIVE_PROBES_MOST = 127,
};

/* Far above any use, and below the numbers that stand for CW_OFF and the like. */
#define MOST ((uint64_t)1 << 62)
#define YEAR_MS ((uint64_t)365 * 24 * 3600 * 1000)

/* ---- the common options ---- */

/* In the order of enum cw_log_level and enum cw_log_format. */
static const char *const log_levels[] = {"debug", "info", "warning", "error", "silent", NULL};
static const char *const log_formats[] = {"text", "json", NULL};

static const struct {
    struct option_entry entry; /* without `into` */
    size_t offset;
} common[] = {
    {{.name = "config",
      .kind = OPTION_TEXT,
      .value = "FILE",
      .about = "read options from this file (YAML); those given here win"},
     offsetof(struct command_line, config)},
    {{.name = "host",
      .kind = OPTION_TEXT,
      .value = "HOST",
      .standard = "127.0.0.1",
      .about = "listen on this address or name"},
     offsetof(struct command_line, listen.host)},
    {{.name = "port",
      .kind = OPTION_PORT,
      .value = "N",
      .standard = NULL,
      .about = "listen on this port; 0: any free one"},
     offsetof(struct command_line, listen.port)},
    {{.name = "unix",
      .kind = OPTION_TEXT,
      .value = "PATH",
      .about = "listen on a unix socket instead"},
     offsetof(struct command_line, listen.unix_path)},
    {{.name = "workers",
      .kind = OPTION_COUNT,
      .value = "N|auto",
      .standard = "1",
      .about = "threads; auto: one per processor",
      .most = WORKERS_MOST,
      .word = "auto",
      .word_means = CW_PER_CORE},
     offsetof(struct command_line, server.workers)},
    {{.name = "max-connections",
      .kind = OPTION_COUNT,
      .value = "N|unlimited",
      .standard = "10000",
      .about = "connections at once",
      .word = "unlimited",
      .word_means = CW_NO_LIMIT},
     offsetof(struct command_line, server.conns_max)},
    {{.name = "max-connections-per-ip",
      .kind = OPTION_COUNT,
      .value = "N|unlimited",
      .standard = "a tenth of --max-connections",
      .about = "of one IPv4 address or IPv6 /64",
      .word = "unlimited",
      .word_means = CW_NO_LIMIT},
     offsetof(struct command_line, server.conns_per_ip_max)},
    {{.name = "max-frame-size",
      .kind = OPTION_SIZE,
      .value = "BYTES",
      .standard = "65536 bytes; lines: 8192 bytes; UDP: 65507 bytes; WebSocket: 1048576 bytes",
      .about = "largest frame, line or message taken; with K, M or G"},
     offsetof(struct command_line, frame_max_bytes)},
    {{.name = "trusted-proxy",
      .kind = OPTION_WORDS,
      .value = "CIDR",
      .about = "what this peer says of clients behind it is believed; may be given several times"},
     offsetof(struct command_line, trusted_proxies)},
    {{.name = "idle-timeout",
      .kind = OPTION_DURATION,
      .value = "TIME|off",
      .standard = "5m",
      .about = "close after so long without a byte",
      .most = YEAR_MS,
      .word = "off",
      .word_means = CW_OFF},
     offsetof(struct command_line, server.idle_ms)},
    {{.name = "handshake-timeout",
      .kind = OPTION_DURATION,
      .value = "TIME|off",
      .standard = "10s",
      .about = "from accept until the connection is open",
      .most = YEAR_MS,
      .word = "off",
      .word_means = CW_OFF},
     offsetof(struct command_line, server.handshake_ms)},
    {{.name = "drain-timeout",
      .kind = OPTION_DURATION,
      .value = "TIME",
      .standard = "5s",
      .about = "for the last bytes, at a close and at the end",
      .most = YEAR_MS},
     offsetof(struct command_line, server.drain_ms)},
    {{.name = "keepalive",
      .kind = OPTION_DURATION,
      .value = "TIME|off",
      .standard = "5m",
      .about = "silence before the first TCP keep-alive probe",
      .most = KEEPALIVE_MOST_MS,
      .word = "off",
      .word_means = CW_OFF},
     offsetof(struct command_line, listen.tcp.keepalive_ms)},
    {{.name = "keepalive-interval",
      .kind = OPTION_DURATION,
      .value = "TIME",
      .standard = "30s",
      .about = "between two probes",
      .most = KEEPALIVE_MOST_MS},
     offsetof(struct command_line, listen.tcp.keepalive_interval_ms)},
    {{.name = "keepalive-probes",
      .kind = OPTION_COUNT,
      .value = "N",
      .standard = "4",
      .about = "unanswered probes that end a connection",
      .most = KEEPALIVE_PROBES_MOST},
     offsetof(struct command_line, listen.tcp.keepalive_probes)},
    {{.name = "nagle",
      .kind = OPTION_SWITCH,
      .about = "gather small packets in the kernel (Nagle's algorithm)"},
     offsetof(struct command_line, listen.tcp.delay)},
    {{.name = "half-open",
      .kind = OPTION_SWITCH,
      .about = "a peer that has ended its sending may still be sent to"},
     offsetof(struct command_line, server.half_open)},
    {{.name = "log-level",
      .kind = OPTION_CHOICE,
      .value = "debug|info|warning|error|silent",
      .standard = "info",
      .about = "the least that is logged",
      .choices = log_levels},
     offsetof(struct command_line, log_level)},
    {{.name = "log-format",
      .kind = OPTION_CHOICE,
      .value = "text|json",
      .standard = "text",
      .about = "how a line of the log is written",
      .choices = log_formats},
     offsetof(struct command_line, log_format)},
    {{.name = "quiet", .kind = OPTION_SWITCH, .about = "the same as --log-level error"},
     offsetof(struct command_line, quiet)},
};

enum { COMMON_COUNT = sizeof common / sizeof common[0] };

/* Of programs that serve HTTP. */
static const struct {
    struct option_entry entry;
    size_t offset;
} http[] = {
    {{.name = "max-body",
      .kind = OPTION_SIZE,
      .value = "BYTES|unlimited",
      .standard = "1048576 bytes",
      .about = "largest body of a request; with K, M or G",
      .word = "unlimited",
      .word_means = CW_NO_LIMIT},
     offsetof(struct command_line, http.body_max_bytes)},
    {{.name = "header-timeout",
      .kind = OPTION_DURATION,
      .value = "TIME|off",
      .standard = "10s",
      .about = "for the head of a request",
      .most = YEAR_MS,
      .word = "off",
      .word_means = CW_OFF},
     offsetof(struct command_line, http.head_ms)},
    {{.name = "body-timeout",
      .kind = OPTION_DURATION,
      .value = "TIME|off",
      .standard = "30s",
      .about = "without a byte of a request's body",
      .most = YEAR_MS,
      .word = "off",
      .word_means = CW_OFF},
     offsetof(struct command_line, http.body_ms)},
    {{.name = "static",
      .kind = OPTION_TEXT,
      .value = "DIR",
      .about = "serve the files of this directory at /static/"},
     offsetof(struct command_line, static_dir)},
    {{.name = "cors-origin",
      .kind = OPTION_WORDS,
      .value = "ORIGIN",
      .about = "pages of this origin may read the answers, * of all; may be given several times"},
     offsetof(struct command_line, cors_origins)},
};

enum { HTTP_COUNT = sizeof http / sizeof http[0] };

/* Of programs that serve WebSockets. */
static const struct {
    struct option_entry entry;
    size_t offset;
} websocket[] = {
    {{.name = "ping-interval",
      .kind = OPTION_DURATION,
      .value = "TIME|off",
      .standard = "30s",
      .about = "between pings of a WebSocket",
      .most = YEAR_MS,
      .word = "off",
      .word_means = CW_OFF},
     offsetof(struct command_line, websocket.ping_interval_ms)},
    {{.name = "pong-timeout",
      .kind = OPTION_DURATION,
      .value = "TIME|off",
      .standard = "10s",
      .about = "close a WebSocket after so long without a byte behind a ping",
      .most = YEAR_MS,
      .word = "off",
      .word_means = CW_OFF},
     offsetof(struct command_line, websocket.pong_timeout_ms)},
    {{.name = "compression",
      .kind = OPTION_SWITCH,
      .about = "compress messages of WebSockets where the client wants it (permessage-deflate)"},
     offsetof(struct command_line, websocket.compress)},
};

enum { WEBSOCKET_COUNT = sizeof websocket / sizeof websocket[0] };

struct reader {
    const struct program *program;
    struct option_entry common[COMMON_COUNT];
    size_t common_count; /* 0: the program has its own only */
    struct option_entry tls[TLS_ENTRIES_MAX];
    size_t tls_count;
    struct option_entry http[HTTP_COUNT];
    size_t http_count; /* 0: the program does not serve it */
    struct option_entry websocket[WEBSOCKET_COUNT];
    size_t websocket_count; /* 0: the program does not serve it */
    struct option_entry datagrams[DATAGRAM_ENTRIES_MAX];
    size_t datagram_count; /* 0: the program does not serve any */
    char port[8];          /* the default, for --help */
    struct command_line *line;
    FILE *err;
};

static bool is_of_tcp(const char *name)
{
    static const char *const names[] = {
        "unix",  "idle-timeout", "keepalive",       "keepalive-interval",
        "nagle", "half-open",    "keepalive-probes"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void aim_common(struct reader *reader, struct command_line *line)
{
    const char *port_name = reader->program->port_name;

    reader->common_count = 0;
    for (size_t i = 0; !reader->program->own_only && i < COMMON_COUNT; i++) {
        struct option_entry *entry = &reader->common[reader->common_count];

        if (reader->program->datagrams_alone && is_of_tcp(common[i].entry.name)) {
            continue;
        }
        reader->common_count++;
        *entry = common[i].entry;
        entry->into = (char *)line + common[i].offset;
        if (entry->kind == OPTION_PORT) {
            entry->standard = reader->port;
            entry->name = port_name == NULL ? "port" : port_name;
        }
    }
}

static void aim_tls(struct reader *reader, struct command_line *line)
{
    unsigned roles = (reader->program->own_only ? 0 : TLS_SERVER) |
                     (reader->program->connect == NULL ? 0 : TLS_CLIENT);

    line->tls.min_version = COMMAND_LINE_UNSET;
    reader->tls_count = tls_settings_entries(&line->tls, roles, reader->tls);
}

static void aim_http(struct reader *reader, struct command_line *line)
{
    line->http_protocol = reader->program->http;
    reader->http_count = reader->program->http == NULL ? 0 : HTTP_COUNT;
    for (size_t i = 0; i < reader->http_count; i++) {
        reader->http[i] = http[i].entry;
        reader->http[i].into = (char *)line + http[i].offset;
    }
}

static void aim_websocket(struct reader *reader, struct command_line *line)
{
    line->websocket_protocol = reader->program->websocket;
    reader->websocket_count = reader->program->websocket == NULL ? 0 : WEBSOCKET_COUNT;
    for (size_t i = 0; i < reader->websocket_count; i++) {
        reader->websocket[i] = websocket[i].entry;
        reader->websocket[i].into = (char *)line + websocket[i].offset;
    }
}

static void aim_datagrams(struct reader *reader, struct command_line *line)
{
    reader->datagram_count = reader->program->datagrams == NULL
                                 ? 0
                                 : datagram_settings_entries(&line->datagrams, reader->datagrams);
}

/* The common options first, then those of TLS, of datagrams, of HTTP, of WebSocket and the program's own; NULL behind the
 * last. */
static const struct option_entry *entry_at(const struct reader *reader, size_t index)
{
    const struct {
        const struct option_entry *entries;
        size_t count;
    } parts[] = {
        {reader->common, reader->common_count},
        {reader->tls, reader->tls_count},
        {reader->datagrams, reader->datagram_count},
        {reader->http, reader->http_count},
        {reader->websocket, reader->websocket_count},
        {reader->program->own, reader->program->own_count},
    };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (index < parts[i].count) {
            return &parts[i].entries[index];
        }
        index -= parts[i].count;
    }
    return NULL;
}

/* ---- what is wrong ---- */

/* Begins the line that says what is wrong. */
static FILE *begin_complaint(const struct reader *reader)
{
    fprintf(reader->err, "%s: ", reader->program->name);
    return reader->err;
}

/* How many letters have to be put in, taken out or changed (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_BYTES];
    size_t b_len = strlen(b);

    for (size_t j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t changed = diagonal + (a[i - 1] != b[j - 1]);
            size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = changed < shorter ? changed : shorter;
        }
    }
    return row[b_len];
}

/* A name cut short is nearer than any misspelling. */
static const char *closest(const struct reader *reader, const char *name)
{
    const char *best = "help";
    size_t best_distance = distance(name, best);
    const struct option_entry *entry;

    for (size_t i = 0; (entry = entry_at(reader, i)) != NULL; i++) {
        bool cut_short = name[0] != '\0' && strncmp(entry->name, name, strlen(name)) == 0;
        size_t far = cut_short ? 0 : distance(name, entry->name);
        if (far < best_distance) {
            best = entry->name;
            best_distance = far;
        }
    }
    return best;
}

/* ---- values ---- */

static enum command_line_outcome set_text(const struct reader *reader,
                                          const struct option_entry *entry, const char *text)
{
    if (text[0] == '\0') {
        fprintf(begin_complaint(reader), "--%s: the value is empty\n", entry->name);
        return COMMAND_LINE_WRONG;
    }
    *(const char **)entry->into = text;
    return COMMAND_LINE_RUN;
}

static enum command_line_outcome add_word(const struct reader *reader,
                                          const struct option_entry *entry, const char *text)
{
    struct option_words *words = entry->into;
    size_t len = strlen(words->text);
    int more =
        snprintf(words->text + len, sizeof words->text - len, "%s%s", len > 0 ? "," : "", text);

    if (text[0] == '\0') {
        fprintf(begin_complaint(reader), "--%s: the value is empty\n", entry->name);
        return COMMAND_LINE_WRONG;
    }
    if ((size_t)more >= sizeof words->text - len) {
        fprintf(begin_complaint(reader), "--%s: more than %d bytes together\n", entry->name,
                OPTION_WORDS_BYTES - 1);
        return COMMAND_LINE_WRONG;
    }
    return COMMAND_LINE_RUN;
}

static enum command_line_outcome set_choice(const struct reader *reader,
                                            const struct option_entry *entry, const char *text)
{
    for (size_t i = 0; entry->choices[i] != NULL; i++) {
        if (strcmp(entry->choices[i], text) == 0) {
            *(size_t *)entry->into = i;
            return COMMAND_LINE_RUN;
        }
    }
    fprintf(begin_complaint(reader), "--%s %s: expected %s\n", entry->name, text, entry->value);
    return COMMAND_LINE_WRONG;
}

static enum command_line_outcome set_port(const struct reader *reader,
                                          const struct option_entry *entry, const char *text)
{
    uint64_t number;

    if (!read_count(text, &number) || number > UINT16_MAX) {
        fprintf(begin_complaint(reader), "--%s %s: expected a port from 0 to 65535\n", entry->name,
                text);
        return COMMAND_LINE_WRONG;
    }
    *(uint16_t *)entry->into = (uint16_t)number;
    return COMMAND_LINE_RUN;
}

static bool read_number(enum option_kind kind, const char *text, uint64_t *number)
{
    switch (kind) {
    case OPTION_SIZE:
        return read_size(text, number);
    case OPTION_DURATION:
        return read_duration(text, number);
    default:
        return read_count(text, number);
    }
}

static const char *expected(enum option_kind kind)
{
    switch (kind) {
    case OPTION_SIZE:
        return "bytes, such as 65536, 64K or 1M,";
    case OPTION_DURATION:
        return "a time, such as 500ms, 30s, 5m or 2h (a bare number is seconds),";
    default:
        return "a number";
    }
}

static enum command_line_outcome set_number(const struct reader *reader,
                                            const struct option_entry *entry, const char *text)
{
    uint64_t most = entry->most == 0 ? MOST : entry->most;
    uint64_t number;
    char longest[24];

    if (entry->word != NULL && strcmp(text, entry->word) == 0) {
        *(uint64_t *)entry->into = entry->word_means;
        return COMMAND_LINE_RUN;
    }
    if (!read_number(entry->kind, text, &number) || number == 0 || number > most) {
        snprintf(longest, sizeof longest, "%llu", (unsigned long long)most);
        fprintf(begin_complaint(reader), "--%s %s: expected %s from %s to %s%s%s\n", entry->name,
                text, expected(entry->kind), entry->kind == OPTION_DURATION ? "1ms" : "1",
                entry->kind == OPTION_DURATION ? print_duration(most, longest) : longest,
                entry->word == NULL ? "" : ", or ", entry->word == NULL ? "" : entry->word);
        return COMMAND_LINE_WRONG;
    }
    *(uint64_t *)entry->into = number;
    return COMMAND_LINE_RUN;
}

static enum command_line_outcome set_value(const struct reader *reader,
                                           const struct option_entry *entry, const char *text)
{
    switch (entry->kind) {
    case OPTION_SWITCH:
        *(bool *)entry->into = true;
        return COMMAND_LINE_RUN;
    case OPTION_TEXT:
        return set_text(reader, entry, text);
    case OPTION_WORDS:
        return add_word(reader, entry, text);
    case OPTION_CHOICE:
        return set_choice(reader, entry, text);
    case OPTION_PORT:
        return set_port(reader, entry, text);
    default:
        return set_number(reader, entry, text);
    }
}

/* ---- reading ---- */

static const struct option_entry *find(const struct reader *reader, const char *name)
{
    const struct option_entry *entry;

    for (size_t i = 0; (entry = entry_at(reader, i)) != NULL; i++) {
        if (strcmp(entry->name, name) == 0) {
            return entry;
        }
    }
    return NULL;
}

/* Reads `--name value` or `--name=value` and moves *argv behind it. */
static enum command_line_outcome read_option(struct reader *reader, char *const **argv)
{
    const char *start = **argv + 2;
    const char *equals = strchr(start, '=');
    size_t len = equals == NULL ? strlen(start) : (size_t)(equals - start);
    char name[NAME_MAX_BYTES];

    snprintf(name, sizeof name, "%.*s", (int)len, start);
    const struct option_entry *entry = find(reader, name);
    if (entry == NULL) {
        fprintf(begin_complaint(reader),
                "unknown option --%s; the closest is --%s (--help lists them all)\n", name,
                closest(reader, name));
        return COMMAND_LINE_WRONG;
    }
    if (entry->kind == OPTION_SWITCH && equals != NULL) {
        fprintf(begin_complaint(reader), "--%s takes no value\n", name);
        return COMMAND_LINE_WRONG;
    }
    const char *text = equals == NULL ? NULL : equals + 1;
    if (entry->kind != OPTION_SWITCH && text == NULL) {
        (*argv)++;
        text = **argv;
    }
    if (entry->kind != OPTION_SWITCH && text == NULL) {
        fprintf(begin_complaint(reader), "--%s needs a value: %s\n", name, entry->value);
        return COMMAND_LINE_WRONG;
    }
    (*argv) += **argv != NULL;
    reader->line->host_given |= entry->into == &reader->line->listen.host;
    reader->line->port_given |= entry->into == &reader->line->listen.port;
    if (entry->given != NULL) {
        *entry->given = true;
    }
    return set_value(reader, entry, text);
}

static void print_entry(FILE *out, const struct option_entry *entry)
{
    char left[NAME_MAX_BYTES * 2];

    snprintf(left, sizeof left, "--%s%s%s", entry->name, entry->value == NULL ? "" : " ",
             entry->value == NULL ? "" : entry->value);
    fprintf(out, "  %-36s  %s", left, entry->about);
    if (entry->standard != NULL) {
        fprintf(out, " (default: %s)", entry->standard);
    }
    fputc('\n', out);
}

static void print_help(const struct reader *reader, FILE *out)
{
    const struct program *program = reader->program;
    size_t shared = reader->common_count + reader->tls_count + reader->datagram_count +
                    reader->http_count + reader->websocket_count;

    fprintf(out, "Usage: %s%s%s [options]\n\n%s\n\n", program->name,
            program->arguments == NULL ? "" : " ",
            program->arguments == NULL ? "" : program->arguments, program->about);
    for (size_t i = 0; i < program->own_count; i++) {
        print_entry(out, &program->own[i]);
    }
    for (size_t i = 0; i < shared; i++) {
        print_entry(out, entry_at(reader, i));
    }
    fprintf(out, "  %-36s  %s\n", "--help", "print this and exit");
    fprintf(out, "\nTimes take a unit: 500ms, 30s, 5m, 2h; a bare number is seconds.\n");
}

static enum command_line_outcome read_all(struct reader *reader, char *const *argv, FILE *out)
{
    while (*argv != NULL) {
        if (strcmp(*argv, "--help") == 0 || strcmp(*argv, "-h") == 0) {
            print_help(reader, out);
            return COMMAND_LINE_HELP;
        }
        if (strncmp(*argv, "--", 2) != 0 || (*argv)[2] == '\0') {
            fprintf(begin_complaint(reader), "unexpected argument: %s (--help lists the options)\n",
                    *argv);
            return COMMAND_LINE_WRONG;
        }
        enum command_line_outcome outcome = read_option(reader, &argv);
        if (outcome != COMMAND_LINE_RUN) {
            return outcome;
        }
    }
    return COMMAND_LINE_RUN;
}

/* Takes `tls://` or `tcp://` off an address. */
static enum command_line_outcome read_scheme(const struct reader *reader, const char **address,
                                             bool *tls)
{
    const char *mark = strstr(*address, "://");

    if (mark == NULL || strncmp(*address, "unix:", 5) == 0) {
        return COMMAND_LINE_RUN;
    }
    *tls = strncmp(*address, "tls://", 6) == 0;
    if (!*tls && strncmp(*address, "tcp://", 6) != 0) {
        fprintf(begin_complaint(reader),
                "%s: expected HOST:PORT, or tls:// before it to speak TLS\n", *address);
        return COMMAND_LINE_WRONG;
    }
    *address = mark + 3;
    return COMMAND_LINE_RUN;
}

/* Judges the options of TLS together, when all are known. */
static enum command_line_outcome finish_tls(const struct reader *reader)
{
    struct command_line *line = reader->line;
    const char **address = reader->program->connect;
    bool connects = address != NULL && *address != NULL;
    bool used = false;
    char complaint[TLS_COMPLAINT_BYTES];

    if (connects && read_scheme(reader, address, &used) != COMMAND_LINE_RUN) {
        return COMMAND_LINE_WRONG;
    }
    if (!connects && reader->program->own_only) {
        return COMMAND_LINE_RUN; /* the program misses its address */
    }
    if (!tls_settings_finish(&line->tls, connects ? TLS_CLIENT : TLS_SERVER,
                             !connects && line->config != NULL, &used, complaint)) {
        fprintf(begin_complaint(reader), "%s\n", complaint);
        return COMMAND_LINE_WRONG;
    }
    *(connects ? &line->connect_tls : &line->listen.tls) = used ? &line->tls.options : NULL;
    return COMMAND_LINE_RUN;
}

/* Judges those of datagrams. */
static enum command_line_outcome finish_datagrams(const struct reader *reader)
{
    struct command_line *line = reader->line;
    char complaint[DATAGRAM_COMPLAINT_BYTES];

    if (!datagram_settings_finish(&line->datagrams,
                                  line->listen.tls != NULL || line->config != NULL, complaint)) {
        fprintf(begin_complaint(reader), "%s\n", complaint);
        return COMMAND_LINE_WRONG;
    }
    line->listen.datagram = line->datagrams.options;
    line->tls.options.mtu_bytes = line->datagrams.mtu_bytes;
    return COMMAND_LINE_RUN;
}

static void pass_on(struct command_line *line)
{
    if (line->trusted_proxies.text[0] != '\0') {
        line->server.trusted_proxies = line->trusted_proxies.text;
    }
    if (line->cors_origins.text[0] != '\0') {
        line->http.cors_origin = line->cors_origins.text;
    }
    line->websocket.message_max_bytes = line->frame_max_bytes;
}

enum command_line_outcome command_line_read(struct command_line *line, const struct program *program,
                                            char *const *argv, FILE *out, FILE *err)
{
    struct reader reader = {.program = program, .line = line, .err = err};

    memset(line, 0, sizeof *line);
    line->listen.host = "127.0.0.1";
    line->listen.port = program->port;
    line->log_level = COMMAND_LINE_UNSET;
    line->log_format = COMMAND_LINE_UNSET;
    snprintf(reader.port, sizeof reader.port, "%u", program->port);
    aim_common(&reader, line);
    aim_tls(&reader, line);
    aim_datagrams(&reader, line);
    aim_http(&reader, line);
    aim_websocket(&reader, line);
    enum command_line_outcome outcome = read_all(&reader, *argv == NULL ? argv : argv + 1, out);
    outcome = outcome == COMMAND_LINE_RUN ? finish_tls(&reader) : outcome;
    outcome = outcome == COMMAND_LINE_RUN ? finish_datagrams(&reader) : outcome;
    pass_on(line);
    if (outcome != COMMAND_LINE_RUN || line->listen.unix_path == NULL) {
        return outcome;
    }
    if (line->host_given || line->port_given) {
        fprintf(begin_complaint(&reader),
                "--unix stands instead of --host and --%s, not beside them\n",
                program->port_name == NULL ? "port" : program->port_name);
        return COMMAND_LINE_WRONG;
    }
    line->listen.host = NULL;
    line->listen.port = 0;
    return COMMAND_LINE_RUN;
}

void command_line_set_memory(const struct command_line *line)
{
    if (line->listen.tls != NULL || line->config != NULL) {
        tls_spare_memory();
    }
}

void command_line_set_log(const struct command_line *line)
{
    if (line->log_level != COMMAND_LINE_UNSET) {
        cw_log_set_level((enum cw_log_level)line->log_level);
    } else if (line->quiet) {
        cw_log_set_level(CW_LOG_ERROR);
    }
    if (line->log_format != COMMAND_LINE_UNSET) {
        cw_log_set_format((enum cw_log_format)line->log_format);
    }
}
