/* A load generator for datagrams on bare epoll: one thread, a closed loop, every answer compared with what was sent. What
 * does not come within a time is counted as lost, and the next is asked for in its place. It prints one line of JSON. */
#include "load_udp_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SOCKETS_MAX = 10000, PEERS_MAX = 1 << 22, SECONDS_MAX = 600, OVERTIME_SECONDS = 120 };

static const char usage[] =
    "usage: load_udp --port N [options]\n"
    "  --mode M         echo (default), room, idle\n"
    "  --host ADDRESS   IPv4 address of the server (127.0.0.1)\n"
    "  --sockets N      sockets that ask; room: members; idle: ports that the peers share (16)\n"
    "  --depth N        datagrams in flight on each; room: of the one that sends (1)\n"
    "  --size BYTES     of a datagram, 8 to 8192 (64)\n"
    "  --peers N        idle: addresses and ports that are spoken from (100000)\n"
    "  --seconds T      measured time, at most 600 (3)\n"
    "  --warmup T       time before it that is not measured (0.5)\n"
    "  --wait SECONDS   idle: longest wait for a line on standard input (60)\n"
    "  --gso            sends what goes out at once as one packet (UDP_SEGMENT)\n"
    "  --gro            takes several datagrams as one packet (UDP_GRO)\n"
    "  --dtls           over DTLS; certificates are not verified\n"
    "  --server-pid N   read the processor time of this process\n";

void udp_window_begin(struct udp_load *load)
{
    load->messages = load->deliveries = load->lost = load->late = 0;
    load->latency = (struct histogram){0};
    load->measuring = true;
    load->server_cpu_ns = process_cpu_ns(load->options.server_pid);
    load->now_ns = load->window_ns = clock_ns();
}

void udp_window_end(struct udp_load *load)
{
    load->window_ns = clock_ns() - load->window_ns;
    load->server_cpu_ns = process_cpu_ns(load->options.server_pid) - load->server_cpu_ns;
    load->measuring = false;
}

static bool parse_mode(const char *name, struct udp_options *options)
{
    static const char *const names[] = {"echo", "room", "idle"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) != 0)
            continue;
        options->mode = (enum udp_mode)i;
        options->mode_name = names[i];
        return true;
    }
    return false;
}

static bool parse_number(int letter, const char *text, struct udp_options *options)
{
    char *end;

    errno = 0;
    double number = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(number >= 0 && number <= INT32_MAX))
        return false;
    switch (letter) {
    case 'p':
        options->address.sin_port = htons((uint16_t)number);
        return number <= 65535;
    case 'c':
        options->sockets = (uint32_t)number;
        return number >= 1 && number <= SOCKETS_MAX;
    case 'd':
        options->depth = (uint32_t)number;
        return number >= 1 && number <= 65536;
    case 's':
        options->size = (uint32_t)number;
        return number >= UDP_HEAD && number <= UDP_SIZE_MAX;
    case 'n':
        options->peers = (uint32_t)number;
        return number >= 1 && number <= PEERS_MAX;
    case 't':
        options->seconds = number;
        return number <= SECONDS_MAX;
    case 'w':
        options->warmup_seconds = number;
        return number <= SECONDS_MAX;
    case 'i':
        options->wait_seconds = (uint32_t)number;
        return number <= SECONDS_MAX;
    case 'P':
        options->server_pid = (pid_t)number;
        return true;
    default:
        return false;
    }
}

static bool parse_option(int letter, const char *text, struct udp_options *options)
{
    switch (letter) {
    case 'm':
        return parse_mode(text, options);
    case 'h':
        return inet_pton(AF_INET, text, &options->address.sin_addr) == 1;
    case 'g':
        return options->gso = true;
    case 'r':
        return options->gro = true;
    case 'D':
        return options->dtls = true;
    case '?':
        return false;
    default:
        return parse_number(letter, text, options);
    }
}

static bool parse(int argc, char **argv, struct udp_options *options)
{
    static const struct option known[] = {{"mode", required_argument, NULL, 'm'},
                                          {"host", required_argument, NULL, 'h'},
                                          {"port", required_argument, NULL, 'p'},
                                          {"sockets", required_argument, NULL, 'c'},
                                          {"depth", required_argument, NULL, 'd'},
                                          {"size", required_argument, NULL, 's'},
                                          {"peers", required_argument, NULL, 'n'},
                                          {"seconds", required_argument, NULL, 't'},
                                          {"warmup", required_argument, NULL, 'w'},
                                          {"wait", required_argument, NULL, 'i'},
                                          {"gso", no_argument, NULL, 'g'},
                                          {"gro", no_argument, NULL, 'r'},
                                          {"dtls", no_argument, NULL, 'D'},
                                          {"server-pid", required_argument, NULL, 'P'},
                                          {0}};
    int letter;

    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (!parse_option(letter, optarg, options))
            return false;
    }
    if (options->dtls && (options->mode != UDP_ECHO || options->gso || options->gro))
        return false;
    return optind == argc && options->address.sin_port != 0;
}

static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static double per(uint64_t total, uint64_t count)
{
    return count > 0 ? (double)total / (double)count : 0;
}

static void report(const struct udp_load *load)
{
    const struct udp_options *options = &load->options;
    double seconds = (double)load->window_ns / 1e9;

    printf("{\"mode\": \"%s\", \"sockets\": %u, \"depth\": %u, \"size\": %u, ", options->mode_name,
           options->sockets, options->depth, options->size);
    printf("\"seconds\": %.3f, \"messages\": %" PRIu64 ", \"messages_per_second\": %.1f, ", seconds,
           load->messages, seconds > 0 ? (double)load->messages / seconds : 0);
    printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, ",
           histogram_us(&load->latency, 0.5), histogram_us(&load->latency, 0.99),
           (double)load->latency.max_ns / 1000);
    printf("\"deliveries\": %" PRIu64 ", \"deliveries_per_second\": %.1f, ", load->deliveries,
           seconds > 0 ? (double)load->deliveries / seconds : 0);
    printf("\"lost\": %" PRIu64 ", \"late\": %" PRIu64 ", ", load->lost, load->late);
    printf("\"server_cpu_ns\": %" PRIu64 ", \"server_cpu_ns_per_message\": %.1f, ",
           load->server_cpu_ns, per(load->server_cpu_ns, load->messages));
    printf("\"server_cpu_ns_per_delivery\": %.2f, \"errors\": %" PRIu64 "}\n",
           per(load->server_cpu_ns, load->deliveries), load->errors);
    fflush(stdout);
}

static bool run(struct udp_load *load)
{
    switch (load->options.mode) {
    case UDP_ROOM:
        return udp_run_room(load);
    case UDP_IDLE:
        return udp_run_idle(load);
    default:
        return udp_run_echo(load);
    }
}

int main(int argc, char **argv)
{
    static struct udp_load load = {.options = {.mode_name = "echo",
                                               .address = {.sin_family = AF_INET},
                                               .sockets = 16,
                                               .depth = 1,
                                               .size = 64,
                                               .peers = 100000,
                                               .wait_seconds = 60,
                                               .seconds = 3,
                                               .warmup_seconds = 0.5}};
    struct udp_options *options = &load.options;

    options->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!parse(argc, argv, options)) {
        fputs(usage, stderr);
        return 2;
    }
    /* Every wait has its own limit; this one ends the process should one of them be wrong. */
    alarm(2 * (unsigned)(options->seconds + options->warmup_seconds) + 2 * options->wait_seconds +
          OVERTIME_SECONDS);
    raise_descriptors();
    bool whole = udp_open(&load) && run(&load);
    if (whole)
        report(&load);
    udp_close(&load);
    return whole ? 0 : 1;
}
