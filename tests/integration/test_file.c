/* The file program: both sides together, and each of them against one that misbehaves. */
#include "support/leak.h"
#include "support/peer.h"
#include "support/program.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_CAP = 256, LARGE = 64 << 20 };

TestSuite(file, .fini = rig_expect_no_leak, .timeout = 120);

#define ARGS(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

/* A server, and two directories: one that files come from, one that they go to. */
struct place {
    struct rig_child server;
    uint16_t port;
    char address[32];
    char from[PATH_CAP];
    char to[PATH_CAP];
};

static bool open_place(struct place *place)
{
    snprintf(place->from, sizeof place->from, "/tmp/causeway-from-XXXXXX");
    snprintf(place->to, sizeof place->to, "/tmp/causeway-to-XXXXXX");
    cr_assert_not_null(mkdtemp(place->from));
    cr_assert_not_null(mkdtemp(place->to));
    if (!rig_program_start(&place->server, "file",
                           ARGS("serve", "--dir", place->to, "--port", "0", "--workers", "2",
                                "--max-file-size", "100M"))) {
        rmdir(place->from);
        rmdir(place->to);
        cr_skip_test("the examples were left out of this build");
        return false;
    }
    place->port = rig_program_port(&place->server);
    snprintf(place->address, sizeof place->address, "127.0.0.1:%u", place->port);
    return true;
}

/* How many files are in a directory, hidden ones too; with `clear` they go. */
static size_t count_files(const char *path, bool clear)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    size_t count = 0;

    rig_check(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            count++;
            if (clear) {
                rig_check(unlinkat(dirfd(directory), entry->d_name, 0) == 0);
            }
        }
    }
    closedir(directory);
    return count;
}

static void close_place(struct place *place)
{
    rig_program_end(&place->server);
    count_files(place->from, true);
    count_files(place->to, true);
    rmdir(place->from);
    rmdir(place->to);
}

static void path_in(const char *directory, const char *name, char path[2 * PATH_CAP])
{
    snprintf(path, 2 * PATH_CAP, "%s/%s", directory, name);
}

/* Writes a file whose bytes tell where they belong. */
static void write_file(const char *directory, const char *name, size_t size)
{
    char path[2 * PATH_CAP];
    uint32_t state = 1;

    path_in(directory, name, path);
    FILE *file = fopen(path, "we");
    rig_check(file != NULL);
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        rig_check(putc((int)(state >> 24), file) != EOF);
    }
    rig_check(fclose(file) == 0);
}

static bool are_same(const struct place *place, const char *name)
{
    char path[2][2 * PATH_CAP];
    bool same = true;
    int byte;

    path_in(place->from, name, path[0]);
    path_in(place->to, name, path[1]);
    FILE *one = fopen(path[0], "re");
    FILE *two = fopen(path[1], "re");
    rig_check(one != NULL);
    if (two == NULL) {
        fclose(one);
        return false;
    }
    do {
        byte = getc(one);
        same = same && byte == getc(two);
    } while (byte != EOF && same);
    fclose(one);
    fclose(two);
    return same;
}

/* Sends a file of `from` and returns the sender's exit status; what it printed is in sender->text. */
static int send_file(const struct place *place, struct rig_child *sender, const char *name,
                     const char *option)
{
    char path[2 * PATH_CAP];

    path_in(place->from, name, path);
    rig_check(rig_program_start(sender, "file", ARGS("send", place->address, path, option)));
    return rig_child_join(sender);
}

static void expect_refusal(const struct place *place, const char *name, const char *sentence)
{
    struct rig_child sender;

    cr_expect_eq(send_file(place, &sender, name, NULL), 1, "%s", sender.text);
    cr_expect_not_null(strstr(sender.text, sentence), "%s", sender.text);
}

/* ---- both sides ---- */

Test(file, a_file_of_any_size_arrives_as_it_was_both_ways)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 1000003};
    struct place place;
    struct rig_child sender;
    char name[40];

    if (!open_place(&place)) {
        return;
    }
    for (size_t i = 0; i < 2 * (sizeof sizes / sizeof sizes[0]); i++) {
        snprintf(name, sizeof name, "%zu bytes%s", sizes[i / 2],
                 i % 2 == 0 ? "" : ", by the kernel");
        write_file(place.from, name, sizes[i / 2]);
        cr_expect_eq(send_file(&place, &sender, name, i % 2 == 0 ? NULL : "--sendfile"), 0,
                     "%s: %s", name, sender.text);
        cr_expect_not_null(strstr(sender.text, "peak memory "), "%s", sender.text);
        cr_expect(are_same(&place, name), "%s", name);
    }
    cr_expect_eq(count_files(place.to, false), 2 * (sizeof sizes / sizeof sizes[0]));
    close_place(&place);
}

static double peak_memory(const char *text)
{
    const char *at = strstr(text, "peak memory ");

    rig_check(at != NULL);
    return strtod(at + strlen("peak memory "), NULL);
}

Test(file, memory_does_not_grow_with_the_file_on_either_side)
{
    struct place place;
    struct rig_child sender;
    double least[2];

    if (!open_place(&place)) {
        return;
    }
    write_file(place.from, "small", 100000);
    write_file(place.from, "large", LARGE);
    cr_assert_eq(send_file(&place, &sender, "small", NULL), 0, "%s", sender.text);
    least[0] = peak_memory(sender.text);
    rig_child_await_text(&place.server, "stored small: ");
    least[1] = peak_memory(strstr(place.server.text, "stored small: "));
    cr_assert_eq(send_file(&place, &sender, "large", NULL), 0, "%s", sender.text);
    cr_expect_lt(peak_memory(sender.text), least[0] + 8, "%s", sender.text);
    rig_child_await_text(&place.server, "stored large: ");
    cr_expect_lt(peak_memory(strstr(place.server.text, "stored large: ")), least[1] + 8, "%s",
                 place.server.text);
    cr_expect(are_same(&place, "large"));
    close_place(&place);
}

Test(file, what_cannot_be_sent_is_one_clear_line)
{
    struct place place;

    if (!open_place(&place)) {
        return;
    }
    expect_refusal(&place, "nothing", "/nothing: No such file or directory\n");
    expect_refusal(&place, "", ": the name is empty\n");
    write_file(place.from, ".hidden", 10);
    expect_refusal(&place, ".hidden", "the name begins with a dot\n");
    write_file(place.from, "there", 10);
    write_file(place.to, "there", 11);
    expect_refusal(&place, "there", "refused by the server: a file of that name is here already\n");
    cr_expect_not(are_same(&place, "there"));
    write_file(place.from, "vast", 0);
    char path[2 * PATH_CAP];
    path_in(place.from, "vast", path);
    cr_assert_eq(truncate(path, (100 << 20) + 1), 0);
    expect_refusal(&place, "vast",
                   "refused by the server: the file is larger than this server takes");
    cr_expect_eq(count_files(place.to, false), 1);
    close_place(&place);
}

Test(file, a_directory_that_is_none_is_one_clear_line)
{
    struct rig_child child;

    if (!rig_program_start(&child, "file", ARGS("serve", "--dir", "/nowhere/at/all"))) {
        cr_skip_test("the examples were left out of this build");
        return;
    }
    rig_program_expect_status(&child, 1);
    cr_expect_str_eq(child.text, "file: /nowhere/at/all: No such file or directory\n");
    rig_program_start(&child, "file", ARGS("serve"));
    rig_program_expect_status(&child, 1);
    cr_expect_str_eq(child.text, "file serve: where to put files? --dir DIR says so\n");
}

/* ---- the test is the sender ---- */

static void send_frame(struct rig_peer *peer, const void *data, size_t len)
{
    uint8_t header[8] = {
        0, 0, 0, 0, (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};

    rig_peer_send(peer, header, sizeof header);
    rig_peer_send(peer, data, len);
}

static void send_head(struct rig_peer *peer, const char *head)
{
    send_frame(peer, head, strlen(head));
}

/* The next answer holds this text. */
static void expect_answer(struct rig_peer *peer, const char *part)
{
    uint8_t header[8];
    char text[300];

    rig_peer_receive(peer, header, sizeof header);
    rig_check(header[6] <= 1);
    size_t len = (size_t)header[6] << 8 | header[7];
    rig_check(len < sizeof text);
    rig_peer_receive(peer, text, len);
    text[len] = '\0';
    cr_assert_not_null(strstr(text, part), "%s", text);
}

static const struct {
    const char *head;
    const char *sentence;
} bad_heads[] = {
    {"{\"name\":\"../x\",\"size\":1,\"checksum\":\"crc32\"}", "begins with a dot"},
    {"{\"name\":\"a/b\",\"size\":1,\"checksum\":\"crc32\"}", "holds a slash"},
    {"{\"name\":\"/etc/passwd\",\"size\":1,\"checksum\":\"crc32\"}", "holds a slash"},
    {"{\"name\":\"..\",\"size\":1,\"checksum\":\"crc32\"}", "begins with a dot"},
    {"{\"name\":\".x\",\"size\":1,\"checksum\":\"crc32\"}", "begins with a dot"},
    {"{\"name\":\"\",\"size\":1,\"checksum\":\"crc32\"}", "the name is empty"},
    {"{\"name\":\"a\\nb\",\"size\":1,\"checksum\":\"crc32\"}", "control character"},
    {"{\"name\":\"x\",\"size\":-1,\"checksum\":\"crc32\"}", "the size is no size"},
    {"{\"name\":\"x\",\"size\":1e300,\"checksum\":\"crc32\"}", "the size is no size"},
    {"{\"name\":\"x\",\"size\":1e999,\"checksum\":\"crc32\"}", "the size is no size"},
    {"{\"name\":\"x\",\"size\":1.5,\"checksum\":\"crc32\"}", "the size is not whole"},
    {"{\"name\":\"x\",\"size\":104857601,\"checksum\":\"crc32\"}", "larger than this server takes"},
    {"{\"name\":\"x\",\"size\":\"1\",\"checksum\":\"crc32\"}", "no JSON object with name, size"},
    {"{\"name\":7,\"size\":1,\"checksum\":\"crc32\"}", "no JSON object with name, size"},
    {"{\"name\":\"x\",\"size\":1}", "no JSON object with name, size"},
    {"{\"name\":\"x\",\"size\":1,\"checksum\":\"md5\"}", "only the checksum crc32"},
    {"nonsense", "no JSON object with name, size"},
    {"", "no JSON object with name, size"},
    {"[]", "no JSON object with name, size"},
};

Test(file, a_bad_head_is_refused_and_nothing_is_made)
{
    struct place place;

    if (!open_place(&place)) {
        return;
    }
    for (size_t i = 0; i < sizeof bad_heads / sizeof bad_heads[0]; i++) {
        struct rig_peer peer = rig_peer_tcp(place.port);
        send_head(&peer, bad_heads[i].head);
        expect_answer(&peer, bad_heads[i].sentence);
        rig_peer_expect_end(&peer);
        rig_peer_close(&peer);
    }
    cr_expect_eq(count_files(place.to, false), 0);
    close_place(&place);
}

#define HEAD "{\"name\":\"x\",\"size\":100000,\"checksum\":\"crc32\"}"

static struct rig_peer begin(const struct place *place)
{
    struct rig_peer peer = rig_peer_tcp(place->port);

    send_head(&peer, HEAD);
    expect_answer(&peer, "{\"status\":\"ready\"}");
    cr_expect_eq(count_files(place->to, false), 1);
    return peer;
}

Test(file, a_file_cut_short_leaves_nothing_behind)
{
    static const uint8_t half[8 + 50000] = {0, 0, 0, 0, 0, 1, 0x86, 0xa0};
    struct place place;

    if (!open_place(&place)) {
        return;
    }
    for (int way = 0; way < 2; way++) {
        struct rig_peer peer = begin(&place);
        rig_peer_send_slowly(&peer, half, sizeof half, sizeof half);
        if (way == 0) {
            rig_peer_close(&peer);
            rig_child_await_text(&place.server, "x was cut short after 50000 of 100000 bytes");
        } else {
            rig_peer_reset(&peer);
        }
        rig_await(count_files(place.to, false) == 0);
    }
    struct rig_peer peer = begin(&place); /* and before the first byte of it */
    rig_peer_close(&peer);
    rig_await(count_files(place.to, false) == 0);
    peer = begin(&place); /* and by the end of the server */
    rig_peer_send(&peer, half, sizeof half);
    rig_program_end(&place.server);
    cr_expect_eq(count_files(place.to, false), 0);
    rig_peer_close(&peer);
    rmdir(place.from);
    rmdir(place.to);
}

Test(file, a_wrong_checksum_is_refused_and_leaves_nothing_behind)
{
    static const uint8_t bytes[100000];
    struct place place;

    if (!open_place(&place)) {
        return;
    }
    struct rig_peer peer = begin(&place);
    send_frame(&peer, bytes, sizeof bytes);
    send_frame(&peer, "\0\0\0\1", 4);
    expect_answer(&peer, "the checksum is wrong");
    rig_peer_expect_end(&peer);
    rig_peer_close(&peer);
    cr_expect_eq(count_files(place.to, false), 0);
    peer = begin(&place);
    send_frame(&peer, bytes, sizeof bytes - 1);
    expect_answer(&peer, "not as long as the head says");
    rig_peer_close(&peer);
    rig_await(count_files(place.to, false) == 0);
    close_place(&place);
}

Test(file, the_checksum_is_the_crc32_that_everybody_knows)
{
    struct place place;

    if (!open_place(&place)) {
        return;
    }
    struct rig_peer peer = rig_peer_tcp(place.port);
    send_head(&peer, "{\"name\":\"check\",\"size\":9,\"checksum\":\"crc32\"}");
    expect_answer(&peer, "ready");
    send_frame(&peer, "123456789", 9);
    send_frame(&peer, "\xcb\xf4\x39\x26", 4);
    expect_answer(&peer, "{\"status\":\"stored\"}");
    /* And the next one over the same connection. */
    send_head(&peer, "{\"name\":\"fox\",\"size\":43,\"checksum\":\"crc32\"}");
    expect_answer(&peer, "ready");
    send_frame(&peer, "The quick brown fox jumps over the lazy dog", 43);
    send_frame(&peer, "\x41\x4f\xa3\x39", 4);
    expect_answer(&peer, "{\"status\":\"stored\"}");
    rig_peer_close(&peer);
    close_place(&place);
}

Test(file, two_that_send_the_same_name_at_once_do_not_mix)
{
    static const uint8_t bytes[100000];
    struct place place;

    if (!open_place(&place)) {
        return;
    }
    struct rig_peer one = begin(&place);
    struct rig_peer two = rig_peer_tcp(place.port);
    send_head(&two, HEAD);
    expect_answer(&two, "{\"status\":\"ready\"}");
    cr_expect_eq(count_files(place.to, false), 2);
    send_frame(&one, bytes, sizeof bytes);
    send_frame(&two, bytes, sizeof bytes);
    send_frame(&one, "\xd4\x11\x95\x7d", 4); /* the checksum of 100000 zero bytes */
    expect_answer(&one, "{\"status\":\"stored\"}");
    send_frame(&two, "\xd4\x11\x95\x7d", 4);
    expect_answer(&two, "a file of that name has come meanwhile");
    rig_peer_close(&one);
    rig_peer_close(&two);
    rig_await(count_files(place.to, false) == 1);
    close_place(&place);
}

/* ---- the test is the receiver ---- */

static void answer(struct rig_peer *peer, const char *text)
{
    send_frame(peer, text, strlen(text));
}

Test(file, a_receiver_that_goes_away_ends_the_sender_with_status_1)
{
    struct place place;
    struct rig_child sender;
    uint8_t some[8];
    uint16_t port;
    int listener = rig_listen(&port);

    if (!open_place(&place)) {
        return;
    }
    write_file(place.from, "large", LARGE / 4);
    snprintf(place.address, sizeof place.address, "127.0.0.1:%u", port);
    for (int way = 0; way < 4; way++) {
        char path[2 * PATH_CAP];
        path_in(place.from, "large", path);
        rig_check(rig_program_start(
            &sender, "file", ARGS("send", place.address, path, way % 2 == 0 ? NULL : "--sendfile")));
        struct rig_peer peer = rig_accept(listener);
        rig_peer_receive(&peer, some, 8);
        answer(&peer, "{\"status\":\"ready\"}");
        for (int i = 0; i < 10000; i++) {
            rig_peer_receive(&peer, some, sizeof some);
        }
        if (way < 2) {
            rig_peer_reset(&peer);
        } else {
            rig_peer_close(&peer);
        }
        rig_program_expect_status(&sender, 1);
        cr_expect_not_null(strstr(sender.text, "file: large: cut short after "), "%s", sender.text);
    }
    close(listener);
    close_place(&place);
}

Test(file, a_receiver_that_answers_out_of_turn_is_told_off)
{
    static const char *const answers[] = {"{\"status\":\"stored\"}", "{\"status\":\"what\"}", "[]",
                                          "nonsense", "{\"status\":\"refused\"}"};
    struct place place;
    struct rig_child sender;
    char path[2 * PATH_CAP];
    uint16_t port;
    int listener = rig_listen(&port);

    if (!open_place(&place)) {
        return;
    }
    write_file(place.from, "x", 10);
    path_in(place.from, "x", path);
    snprintf(place.address, sizeof place.address, "127.0.0.1:%u", port);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        rig_check(rig_program_start(&sender, "file", ARGS("send", place.address, path)));
        struct rig_peer peer = rig_accept(listener);
        answer(&peer, answers[i]);
        rig_program_expect_status(&sender, 1);
        cr_expect_not_null(strstr(sender.text, i == 4 ? "it does not say why" : "does not keep to"),
                           "%s: %s", answers[i], sender.text);
        rig_peer_close(&peer);
    }
    close(listener);
    expect_refusal(&place, "x", "nobody listens at that address");
    close_place(&place);
}
