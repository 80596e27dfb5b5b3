/* A load generator on bare epoll: one thread, a closed loop, every reply compared with what was
 * sent. It prints one line of JSON. With --server-pid it reads that process's processor time at
 * both ends of the measured window, so that warm-up and connecting are not in it. */
#include "load_impl.h"
#include "load_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SPARE_FDS = 32, SIZE_MAX_BYTES = 64 << 20, SECONDS_MAX = 600, OVERTIME_SECONDS = 120 };

static const char usage[] =
    "usage: load --port N [options]\n"
    "  --mode M         framed (default), raw, rooms, accepts, idle, handshakes, busy,\n"
    "                   http, ws, broadcast\n"
    "  --host ADDRESS   IPv4 address of the server (127.0.0.1)\n"
    "  --connections N  connections, for accepts those in flight (64)\n"
    "  --depth N        messages in flight on each connection (1)\n"
    "  --size BYTES     bytes of a message; rooms: 8 or more (64)\n"
    "  --seconds T      measured time, at most 600 (3)\n"
    "  --warmup T       time before it that is not measured (0.5)\n"
    "  --rate N         accepts: connections begun per second (4000)\n"
    "  --wait SECONDS   idle: longest wait for a line on standard input (60)\n"
    "  --request NAME   http, idle, accepts: a GET, small or browser; varied or varied-browser: no\n"
    "                   two alike (http: small)\n"
    "  --ws PATH        of a WebSocket, in place of frames (ws: /; broadcast: /bc)\n"
    "  --deflate        ws: compressed documents of JSON, at most 4096 bytes\n"
    "  --wide           ws: text of several scripts\n"
    "  --unframed       accepts, idle: no length before the message\n"
    "  --tls            over TLS; certificates are not verified\n"
    "  --tls-max V      highest TLS version, 1.2 or 1.3 (1.3)\n"
    "  --resume         handshakes: resume a session in each of them\n"
    "  --beside N       busy: connections that do nothing but handshakes (4)\n"
    "  --server-pid N   read the processor time of this process\n";

void load_window_begin(struct load *load)
{
    load->messages = load->deliveries = 0;
    load->latency = (struct histogram){0};
    load->measuring = true;
    load->server_cpu_ns = process_cpu_ns(load->options.server_pid);
    load->now_ns = load->window_ns = clock_ns();
}

void load_window_end(struct load *load)
{
    load->window_ns = clock_ns() - load->window_ns;
    load->server_cpu_ns = process_cpu_ns(load->options.server_pid) - load->server_cpu_ns;
    load->measuring = false;
}

static bool parse_mode(const char *name, struct load_options *options)
{
    static const char *const names[] = {"framed",     "raw",  "rooms", "accepts", "idle",
                                        "handshakes", "busy", "http",  "ws",      "broadcast"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) != 0)
            continue;
        options->mode = (enum load_mode)i;
        options->mode_name = names[i];
        return true;
    }
    return false;
}

static bool parse_number(const char *text, double max, double *number)
{
    char *end;

    errno = 0;
    *number = strtod(text, &end);
    return errno == 0 && end != text && *end == '\0' && *number >= 0 && *number <= max;
}

static bool parse_number_option(int letter, const char *text, struct load_options *options)
{
    double number = 0;

    if (!parse_number(text, UINT32_MAX / 2, &number))
        return false;
    switch (letter) {
    case 'p':
        options->address.sin_port = htons((uint16_t)number);
        return number <= 65535;
    case 'c':
        options->connections = (uint32_t)number;
        return number >= 1;
    case 'd':
        options->depth = (uint32_t)number;
        return number >= 1 && number <= 65536;
    case 's':
        options->size = (uint32_t)number;
        return number >= 1 && number <= SIZE_MAX_BYTES;
    case 't':
        options->seconds = number;
        return number <= SECONDS_MAX;
    case 'w':
        options->warmup_seconds = number;
        return number <= SECONDS_MAX;
    case 'r':
        options->rate = (uint32_t)number;
        return number >= 1;
    case 'i':
        options->wait_seconds = (uint32_t)number;
        return number <= SECONDS_MAX;
    case 'b':
        options->beside = (uint32_t)number;
        return number >= 1;
    case 'P':
        options->server_pid = (pid_t)number;
        return true;
    default:
        return false;
    }
}

static bool parse_option(int letter, const char *text, struct load_options *options)
{
    switch (letter) {
    case '?':
        return false;
    case 'm':
        return parse_mode(text, options);
    case 'h':
        return inet_pton(AF_INET, text, &options->address.sin_addr) == 1;
    case 'q':
        options->http = http_request(text);
        return options->http != NULL;
    case 'W':
        options->ws = text;
        return text[0] == '/';
    case 'D':
        return options->deflate = true;
    case 'U':
        return options->wide = true;
    case 'u':
        return options->unframed = true;
    case 'S':
        return options->tls = true;
    case 'R':
        return options->resume = true;
    case 'V':
        options->tls_max = strcmp(text, "1.2") == 0 ? 2 : 3;
        return options->tls_max == 2 || strcmp(text, "1.3") == 0;
    default:
        return parse_number_option(letter, text, options);
    }
}

static bool fits(const struct load_options *options)
{
    if (options->ws != NULL && (options->http != NULL || options->size < WS_SIZE_MIN ||
                                options->connections > UINT16_MAX || options->mode == LOAD_ROOMS))
        return false;
    if (options->deflate && (options->ws == NULL || options->size > WS_DEFLATE_MAX ||
                             options->size < 512 || options->mode == LOAD_BROADCAST))
        return false;
    if (options->mode == LOAD_ROOMS)
        return options->size >= 8 && options->connections >= 2 && options->http == NULL;
    return options->tls || (options->mode != LOAD_HANDSHAKES && options->mode != LOAD_BUSY);
}

static bool parse(int argc, char **argv, struct load_options *options)
{
    static const struct option known[] = {{"mode", required_argument, NULL, 'm'},
                                          {"host", required_argument, NULL, 'h'},
                                          {"port", required_argument, NULL, 'p'},
                                          {"connections", required_argument, NULL, 'c'},
                                          {"depth", required_argument, NULL, 'd'},
                                          {"size", required_argument, NULL, 's'},
                                          {"seconds", required_argument, NULL, 't'},
                                          {"warmup", required_argument, NULL, 'w'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"wait", required_argument, NULL, 'i'},
                                          {"request", required_argument, NULL, 'q'},
                                          {"ws", required_argument, NULL, 'W'},
                                          {"deflate", no_argument, NULL, 'D'},
                                          {"wide", no_argument, NULL, 'U'},
                                          {"unframed", no_argument, NULL, 'u'},
                                          {"tls", no_argument, NULL, 'S'},
                                          {"tls-max", required_argument, NULL, 'V'},
                                          {"resume", no_argument, NULL, 'R'},
                                          {"beside", required_argument, NULL, 'b'},
                                          {"server-pid", required_argument, NULL, 'P'},
                                          {0}};
    int letter;

    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (!parse_option(letter, optarg, options))
            return false;
    }
    if (options->mode == LOAD_HTTP && options->http == NULL)
        options->http = http_request("small");
    if (options->ws == NULL && options->mode >= LOAD_WS)
        options->ws = options->mode == LOAD_WS ? "/" : "/bc";
    return optind == argc && options->address.sin_port != 0 && fits(options);
}

static bool raise_descriptors(uint32_t connections)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (connections + SPARE_FDS <= limit.rlim_max)
        return true;
    fprintf(stderr, "load: %u connections, but the hard limit on descriptors is %" PRIuMAX "\n",
            connections, (uintmax_t)limit.rlim_max);
    return false;
}

static double per(uint64_t total, uint64_t count)
{
    return count > 0 ? (double)total / (double)count : 0;
}

static void report(const struct load *load)
{
    const struct load_options *options = &load->options;
    double seconds = (double)load->window_ns / 1e9;

    printf("{\"mode\": \"%s\", \"connections\": %u, \"depth\": %u, \"size\": %u, ",
           options->mode_name, options->connections, options->depth, options->size);
    printf("\"seconds\": %.3f, \"messages\": %" PRIu64 ", \"messages_per_second\": %.1f, ", seconds,
           load->messages, seconds > 0 ? (double)load->messages / seconds : 0);
    printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, ",
           histogram_us(&load->latency, 0.5), histogram_us(&load->latency, 0.99),
           (double)load->latency.max_ns / 1000);
    printf("\"setup_us_each\": %.2f, \"setup_p50_us\": %.1f, \"setup_p99_us\": %.1f, ",
           per(load->opened_ns, options->connections) / 1000, histogram_us(&load->setup, 0.5),
           histogram_us(&load->setup, 0.99));
    printf("\"deliveries\": %" PRIu64 ", \"deliveries_per_second\": %.1f, ", load->deliveries,
           seconds > 0 ? (double)load->deliveries / seconds : 0);
    printf("\"server_cpu_ns\": %" PRIu64 ", \"server_cpu_ns_per_message\": %.1f, ",
           load->server_cpu_ns, per(load->server_cpu_ns, load->messages));
    printf("\"server_cpu_ns_per_delivery\": %.2f, \"errors\": %" PRIu64,
           per(load->server_cpu_ns, load->deliveries), load->errors);
    if (options->ws != NULL)
        printf(", \"answer_bytes\": %.1f", ws_answer_bytes());
    if (options->tls)
        printf(", \"tls\": \"%s\"", load->tls_text);
    if (options->mode == LOAD_BUSY)
        printf(", \"alone_per_second\": %.1f, \"handshakes_per_second\": %.1f",
               load->alone_per_second, load->handshakes_per_second);
    puts("}");
    fflush(stdout);
}

static bool run(struct load *load)
{
    switch (load->options.mode) {
    case LOAD_ROOMS:
        return load_run_rooms(load);
    case LOAD_ACCEPTS:
        return load_run_accepts(load);
    case LOAD_IDLE:
        return load_run_idle(load);
    case LOAD_HANDSHAKES:
        return load_run_handshakes(load);
    case LOAD_BUSY:
        return load_run_busy(load);
    case LOAD_BROADCAST:
        return load_run_broadcast(load);
    default:
        return load_run_echo(load);
    }
}

int main(int argc, char **argv)
{
    static struct load load = {.options = {.mode_name = "framed",
                                           .address = {.sin_family = AF_INET},
                                           .connections = 64,
                                           .depth = 1,
                                           .size = 64,
                                           .rate = 4000,
                                           .wait_seconds = 60,
                                           .beside = 4,
                                           .tls_max = 3,
                                           .seconds = 3,
                                           .warmup_seconds = 0.5}};
    struct load_options *options = &load.options;

    options->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!parse(argc, argv, options)) {
        fputs(usage, stderr);
        return 2;
    }
    if (!raise_descriptors(options->connections))
        return 1;
    signal(SIGPIPE, SIG_IGN);
    /* Every wait below has its own limit; this one ends the process should one of them be wrong. */
    alarm(2 * (unsigned)(options->seconds + options->warmup_seconds) + 2 * options->wait_seconds +
          OVERTIME_SECONDS);
    bool framed = options->mode != LOAD_RAW && !options->unframed && options->http == NULL &&
                  options->ws == NULL;
    load.shape.length_len = framed ? 4 : 0;
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    bool whole =
        load.epoll >= 0 && (!options->tls || tls_init(options)) && load_init(&load) && run(&load);
    if (whole)
        report(&load);
    load_release(&load);
    tls_release();
    return whole ? 0 : 1;
}
