/* The programs of docs/websocket-recipes.md, built as a user would build them, driven over real sockets. */
#include "support/child.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/wait.h"
#include "support/ws_talk.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(ws_recipes, .fini = rig_expect_no_leak, .timeout = 120);

enum { LONG_BYTES = 5000000 };

static struct rig_child child;
static char folder[] = "/tmp/causeway_upload_XXXXXX";

static uint16_t start(const char *name, char *second)
{
    static const char before[] = "listening on http://[::]:";
    char path[512];
    char *arguments[] = {path, "0", second, NULL};

    snprintf(path, sizeof path, "%s/tests/recipes/recipe_%s", CW_BUILD_DIR, name);
    rig_child_start(&child, path, arguments);
    rig_child_await_text(&child, before);
    return (uint16_t)strtoul(strstr(child.text, before) + strlen(before), NULL, 10);
}

static void end(void)
{
    rig_child_signal(&child, SIGTERM);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
}

/* ---- the dashboard ---- */

Test(ws_recipes, a_dashboard_tells_everybody_the_same_compressed_for_those_who_offer_it)
{
    static const char offer[] = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    uint16_t port = start("websocket_dashboard", NULL);
    struct ws_talk plain = {0};
    struct ws_talk packed = {0};
    uint8_t *text;
    size_t len;

    ws_talk_open(&plain, rig_peer_tcp(port), "/live", "");
    ws_talk_open(&packed, rig_peer_tcp(port), "/live", offer);
    for (int i = 0; i < 2; i++) {
        ws_talk_next(&plain);
        cr_expect_eq(plain.first, WS_TALK_TEXT);
        cr_expect_not_null(strstr((const char *)plain.body, "\"connections\":"));
        ws_talk_next(&packed);
        cr_expect_eq(packed.first, WS_TALK_TEXT | WS_TALK_DEFLATED);
        text = ws_talk_inflated(&packed, &len);
        cr_expect_gt(len, packed.len);
        free(text);
    }
    ws_talk_say_goodbye(&plain);
    ws_talk_say_goodbye(&packed);
    end();
}

/* ---- the upload ---- */

static unsigned char byte_at(size_t index)
{
    return (unsigned char)(index * 31 >> 3);
}

static void send_long(struct ws_talk *talk)
{
    unsigned char *bytes = malloc(LONG_BYTES);

    for (size_t i = 0; i < LONG_BYTES; i++) {
        bytes[i] = byte_at(i);
    }
    ws_talk_send(talk, WS_TALK_BINARY, bytes, LONG_BYTES);
    free(bytes);
}

/* The one file in the folder, which is removed. */
static FILE *open_stored(char *path, size_t cap)
{
    char command[128];
    FILE *names;

    snprintf(command, sizeof command, "ls %s/upload-*", folder);
    names = popen(command, "r");
    cr_assert_not_null(names);
    cr_assert_not_null(fgets(path, (int)cap, names));
    pclose(names);
    path[strcspn(path, "\n")] = '\0';
    return fopen(path, "rb");
}

static void expect_stored(size_t len)
{
    char path[128];
    FILE *file = open_stored(path, sizeof path);
    size_t count = 0;

    cr_assert_not_null(file);
    for (int byte = fgetc(file); byte != EOF && byte == byte_at(count); byte = fgetc(file)) {
        count++;
    }
    cr_expect_eq(count, len);
    fclose(file);
}

static void remove_stored(void)
{
    char path[128];

    fclose(open_stored(path, sizeof path));
    unlink(path);
    cr_expect_eq(rmdir(folder), 0);
}

Test(ws_recipes, an_upload_is_stored_whole_however_long_it_is)
{
    const unsigned char few[] = {byte_at(0), byte_at(1), byte_at(2)};
    struct ws_talk talk = {0};
    uint16_t port;

    cr_assert_not_null(mkdtemp(folder));
    port = start("websocket_upload", folder);
    ws_talk_open(&talk, rig_peer_tcp(port), "/upload", "");
    send_long(&talk);
    ws_talk_expect_text(&talk, "stored 5000000");
    expect_stored(LONG_BYTES);
    ws_talk_send(&talk, WS_TALK_BINARY, few, sizeof few);
    ws_talk_expect_text(&talk, "stored 3");
    expect_stored(sizeof few);
    ws_talk_send(&talk, 0x02, few, sizeof few); /* a message that never ends, and a peer that goes */
    ws_talk_end(&talk);
    end();
    remove_stored();
}

Test(ws_recipes, an_upload_that_cannot_be_stored_ends_with_a_reason)
{
    struct ws_talk talk = {0};
    uint16_t port = start("websocket_upload", "/nowhere");

    ws_talk_open(&talk, rig_peer_tcp(port), "/upload", "");
    ws_talk_send(&talk, WS_TALK_BINARY, "abc", 3);
    cr_expect_str_eq(ws_talk_expect_close(&talk, 1011), "it cannot be stored");
    ws_talk_end(&talk);
    end();
}
