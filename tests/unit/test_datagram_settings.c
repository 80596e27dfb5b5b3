/* Options of datagrams on a command line. */
#include "command_line.h"
#include "support/leak.h"

#include <causeway/udp.h>
#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(datagram_settings, .fini = rig_expect_no_leak, .timeout = 30);

enum { WORDS_MAX = 80 };

static struct command_line line;
static char err[1000];

static const struct program program = {
    .name = "echo", .about = "Sends back what it receives.", .port = 7000, .datagrams = &cw_udp};

/* Reads a command line, given as words with a space between them. */
static enum command_line_outcome outcome_of(const char *words)
{
    static char copy[4000];
    char *argv[WORDS_MAX] = {(char[]){"echo"}};
    char *written = NULL;
    size_t len = 0;
    size_t count = 1;

    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        argv[count++] = word;
    }
    FILE *stream = open_memstream(&written, &len);
    cr_assert_not_null(stream);
    enum command_line_outcome outcome = command_line_read(&line, &program, argv, stream, stream);
    fclose(stream);
    snprintf(err, sizeof err, "%s", written);
    free(written);
    return outcome;
}

static void expect_wrong(const char *words, const char *sentence)
{
    cr_expect_eq(outcome_of(words), COMMAND_LINE_WRONG, "%s", words);
    cr_expect_str_eq(err, sentence);
}

Test(datagram_settings, every_option_reaches_its_member)
{
    const struct cw_datagram_options *options = &line.listen.datagram;

    cr_assert_eq(
        outcome_of(
            "--peer-idle-timeout 5 --peer-silent-timeout 9 --max-peers 6 --amplification unlimited "
            "--receive-buffer 4M --dont-fragment --broadcast --multicast-ttl 7"),
        COMMAND_LINE_RUN, "%s", err);
    cr_expect_eq(options->peer_idle_ms, 5000);
    cr_expect_eq(options->peer_silent_ms, 9000);
    cr_expect_eq(options->peers_max, 6);
    cr_expect_eq(options->amplification, CW_NO_LIMIT);
    cr_expect_eq(options->receive_buffer_bytes, 4 << 20);
    cr_expect(options->dont_fragment);
    cr_expect(options->broadcast);
    cr_expect_eq(options->multicast_ttl, 7);
    cr_expect_eq(options->group_count, 0);
    cr_expect_null(options->groups);
}

Test(datagram_settings, groups_are_on_the_interface_that_is_named)
{
    const struct cw_datagram_options *options = &line.listen.datagram;

    cr_assert_eq(outcome_of("--multicast-group 239.1.2.3 --multicast-interface lo "
                            "--multicast-group ff15::1"),
                 COMMAND_LINE_RUN, "%s", err);
    cr_assert_eq(options->group_count, 2);
    cr_expect_str_eq(options->groups[0].group, "239.1.2.3");
    cr_expect_str_eq(options->groups[1].group, "ff15::1");
    cr_expect_str_eq(options->groups[0].interface, "lo");
    cr_expect_str_eq(options->groups[1].interface, "lo");
    cr_expect_str_eq(options->multicast_interface, "lo");
}

Test(datagram_settings, what_is_no_group_is_refused)
{
    expect_wrong("--multicast-group 10.0.0.1",
                 "echo: --multicast-group 10.0.0.1: expected a multicast address, such as 239.1.2.3 "
                 "or ff15::1\n");
    expect_wrong("--multicast-group 239.1.2.3:7000",
                 "echo: --multicast-group 239.1.2.3:7000: expected a multicast address, such as "
                 "239.1.2.3 or ff15::1\n");
    expect_wrong("--multicast-group=", "echo: --multicast-group: the value is empty\n");
}

Test(datagram_settings, more_groups_than_a_listener_may_have_are_refused)
{
    char words[4000] = "";

    for (unsigned i = 0; i < 65; i++) {
        snprintf(words + strlen(words), sizeof words - strlen(words),
                 "--multicast-group=239.1.2.%u ", i);
    }
    expect_wrong(words, "echo: --multicast-group: more than 64 of them\n");
}

Test(datagram_settings, the_mtu_is_of_dtls)
{
    cr_assert_eq(outcome_of("--tls-cert cert.pem --mtu 1200"), COMMAND_LINE_RUN, "%s", err);
    cr_expect_eq(line.listen.tls->mtu_bytes, 1200);
    expect_wrong("--mtu 1200", "echo: --mtu needs --tls-cert FILE: it is of DTLS\n");
    expect_wrong("--tls-cert cert.pem --mtu 255",
                 "echo: --mtu 255: expected bytes from 256 to 65507\n");
}

Test(datagram_settings, what_was_given_goes_over_what_a_file_says)
{
    struct cw_config config = {.datagram = {.ttl = 3, .peers_max = 4}, .listener_count = 1};

    cr_assert_eq(outcome_of("--max-peers 9 --multicast-group 239.1.2.3"), COMMAND_LINE_RUN);
    config.listeners[0].options.datagram = config.datagram;
    command_line_override(&config, &line);
    cr_expect_eq(config.datagram.peers_max, 9);
    cr_expect_eq(config.datagram.ttl, 3);
    cr_expect_eq(config.listeners[0].options.datagram.peers_max, 9);
    cr_expect_eq(config.listeners[0].options.datagram.ttl, 3);
    cr_expect_eq(config.listeners[0].options.datagram.group_count, 1);
}

Test(datagram_settings, a_program_without_datagrams_has_none_of_them)
{
    static const struct program without = {.name = "echo", .about = "a", .port = 7000};
    char *argv[] = {(char[]){"echo"}, (char[]){"--max-peers=5"}, NULL};
    char *written = NULL;
    size_t len = 0;
    FILE *stream = open_memstream(&written, &len);

    cr_assert_not_null(stream);
    cr_expect_eq(command_line_read(&line, &without, argv, stream, stream), COMMAND_LINE_WRONG);
    fclose(stream);
    cr_expect_not_null(strstr(written, "unknown option --max-peers"));
    free(written);
}
