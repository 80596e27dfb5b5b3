/* The five steps of docs/tutorial.md, each as it stands there: the chat's page, its terminal and scripted clients talk to them. */
#include "support/guest.h"
#include "support/http_talk.h"
#include "support/leak.h"
#include "support/network.h"
#include "support/wait.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* As written in the programs; nobody else is in this network. */
enum { WEB_PORT = 8080, TCP_PORT = 7340 };

TestSuite(tutorial, .fini = rig_expect_no_leak, .timeout = 120);

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static struct rig_answer answer;

/* Starts a step where the folder `page` is. file: of options, or NULL. */
static bool start(struct rig_child *child, int step, const char *file)
{
    char path[512];
    char *arguments[] = {path, (char *)(uintptr_t)file, NULL};

    if (!rig_enter_own_network()) {
        cr_skip_test("no network of its own is permitted here");
        return false;
    }
    rig_check(chdir(CW_SOURCE_DIR "/examples/chat") == 0);
    snprintf(path, sizeof path, "%s/tests/programs/program_chat_%d", CW_BUILD_DIR, step);
    rig_child_start(child, path, arguments);
    rig_child_await_text(child, "listening on http://");
    return true;
}

static void end(struct rig_child *child)
{
    rig_answer_free(&answer);
    rig_program_end(child);
}

static int ask(const char *request)
{
    rig_answer_free(&answer);
    rig_ask_once(WEB_PORT, request, cw_span_of(NULL, 0), &answer);
    return answer.status;
}

static bool is_code(const char *line)
{
    line += strspn(line, " \t\r\n");
    return *line != '\0' && strncmp(line, "/*", 2) != 0 && strncmp(line, "//", 2) != 0;
}

Test(tutorial, a_websocket_chat_with_rooms_has_at_most_25_lines_of_code)
{
    FILE *file = fopen(CW_SOURCE_DIR "/tests/programs/chat_1.c", "r");
    char line[512];
    int count = 0;

    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file)) {
        count += is_code(line);
    }
    fclose(file);
    cr_expect_leq(count, 25, "%d lines", count);
}

/* What one says in a room, those who are in it hear, and nobody else. */
static void talk_in_rooms(void)
{
    struct guest tea = guest_arrive_web(WEB_PORT);
    struct guest both = guest_arrive_web(WEB_PORT);

    guest_say(&tea, "{'join':'tea'}");
    guest_say(&tea, "{'room':'tea','text':'I am in'}");
    guest_expect_json(&tea, "{'room':'tea','text':'I am in'}");
    guest_say(&both, "{'join':'tea'}");
    guest_say(&both, "{'join':'coffee'}");
    guest_say(&both, "nonsense");
    guest_say(&both, "{'room':'coffee','text':'alone here'}");
    guest_expect_json(&both, "{'room':'coffee','text':'alone here'}");
    guest_say(&both, "{'room':'tea','text':'hello'}");
    guest_expect_json(&both, "{'room':'tea','text':'hello'}");
    guest_expect_json(&tea, "{'room':'tea','text':'hello'}");
    guest_leave(&tea);
    guest_leave(&both);
}

Test(tutorial, step_1_has_rooms)
{
    struct rig_child child;

    if (!start(&child, 1, NULL)) {
        return;
    }
    talk_in_rooms();
    cr_expect_eq(ask(GET("/chat")), 426);
    end(&child);
}

Test(tutorial, step_2_has_a_page_too)
{
    struct rig_child child;

    if (!start(&child, 2, NULL)) {
        return;
    }
    cr_expect_eq(ask(GET("/")), 200);
    cr_expect_not_null(strstr((const char *)answer.body, "new WebSocket("));
    talk_in_rooms();
    end(&child);
}

/* The type of the next message, and one of its texts. */
static void expect_news(struct guest *guest, const char *type, const char *name, const char *value)
{
    struct cJSON *message = guest_hear(guest);
    const char *found = cJSON_GetStringValue(cJSON_GetObjectItem(message, "type"));
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(message, name));

    if (found == NULL || strcmp(found, type) != 0 || text == NULL || strcmp(text, value) != 0) {
        rig_fail(__FILE__, __LINE__, "instead of %s with %s: %s", type, value,
                 cJSON_PrintUnformatted(message));
    }
    cJSON_Delete(message);
}

/* Logs in; the clientId is what the server says. */
static void enter(struct guest *guest, const char *nickname, const char *room)
{
    guest_say(guest, "{'type':'login','nickname':'%s'}", nickname);
    struct cJSON *message = guest_hear(guest);
    const char *id = cJSON_GetStringValue(cJSON_GetObjectItem(message, "clientId"));
    rig_check(id != NULL);
    snprintf(guest->id, sizeof guest->id, "%s", id);
    cJSON_Delete(message);
    guest_say(guest, "{'type':'join_room','room':'%s'}", room);
    expect_news(guest, "room_joined", "room", room);
}

static void have_names(struct guest *ada, struct guest *bob)
{
    guest_say(ada, "{'type':'join_room','room':'tea'}");
    guest_expect_error(ada, "not_logged_in");
    enter(ada, "ada", "tea");
    enter(bob, "bob", "tea");
    expect_news(ada, "user_joined", "nickname", "bob");
    guest_say(bob, "{'type':'chat_message','message':'hello'}");
    expect_news(ada, "chat_message", "message", "hello");
    guest_say(ada, "{'type':'list_rooms'}");
    guest_expect(ada, "{'type':'rooms','rooms':[{'room':'tea','count':2}]}");
    guest_say(ada, "{'type':'shout'}");
    guest_expect_error(ada, "unknown_type");
}

Test(tutorial, step_3_has_names_and_the_page)
{
    struct rig_child child;

    if (!start(&child, 3, NULL)) {
        return;
    }
    struct guest ada = guest_arrive_web(WEB_PORT);
    struct guest bob = guest_arrive_web(WEB_PORT);
    have_names(&ada, &bob);
    guest_leave(&bob);
    expect_news(&ada, "user_left", "nickname", "bob");
    guest_leave(&ada);
    cr_expect_eq(ask(GET("/")), 200);
    cr_expect_not_null(strstr((const char *)answer.body, "chat.js"));
    cr_expect_eq(ask(GET("/link.js")), 200);
    end(&child);
}

static void cross_over(void)
{
    struct guest ada = guest_arrive(TCP_PORT);
    struct guest bob = guest_arrive_web(WEB_PORT);

    have_names(&ada, &bob);
    guest_say(&ada, "{'type':'private_message','to':'%s','message':'psst'}", bob.id);
    expect_news(&bob, "private_message", "message", "psst");
    guest_say(&bob, "{'type':'private_message','to':'nobody','message':'psst'}");
    guest_expect_error(&bob, "no_such_client");
    guest_leave(&ada);
    expect_news(&bob, "user_left", "nickname", "ada");
    guest_leave(&bob);
}

/* The terminal of the example chat is in the same room. */
static void sit_down(void)
{
    struct guest bob = guest_arrive_web(WEB_PORT);
    struct rig_child terminal;
    const char *const arguments[] = {"--connect", "127.0.0.1:7340", "--nickname", "carol",
                                     "--room",    "cocoa",          NULL};

    enter(&bob, "bob", "cocoa");
    if (!rig_program_start_fed(&terminal, "chat", arguments)) {
        guest_leave(&bob);
        return;
    }
    rig_child_await_text(&terminal, "* you are in cocoa, 2 here");
    expect_news(&bob, "user_joined", "nickname", "carol");
    guest_say(&bob, "{'type':'chat_message','message':'hello, terminal'}");
    rig_child_await_text(&terminal, " bob: hello, terminal\n");
    rig_child_type(&terminal, "hello, browser");
    expect_news(&bob, "chat_message", "message", "hello, browser");
    rig_child_type(&terminal, "/quit");
    rig_program_expect_status(&terminal, 0);
    guest_leave(&bob);
}

Test(tutorial, step_4_has_the_terminal_in_the_same_rooms)
{
    struct rig_child child;

    if (!start(&child, 4, NULL)) {
        return;
    }
    rig_child_await_text(&child, ":7340\n");
    cross_over();
    sit_down();
    end(&child);
}

Test(tutorial, step_5_keeps_its_limits)
{
    struct rig_child child;

    if (!start(&child, 5, NULL)) {
        return;
    }
    rig_child_await_text(&child, ":7340\n");
    cross_over();
    sit_down();
    cr_expect_eq(ask(GET("/")), 200);
    cr_expect_not_null(rig_answer_field(&answer, "Content-Security-Policy"));
    struct guest hasty = guest_arrive_web(WEB_PORT);
    guest_hurry(&hasty, 60, 39);
    guest_leave(&hasty);
    end(&child);
}

Test(tutorial, step_5_takes_its_options_from_a_file)
{
    static const char text[] =
        "server:\n  listeners:\n    - { protocol: http, bind: 127.0.0.1, port: 8080 }\n"
        "    - { protocol: framed, bind: 127.0.0.1, port: 7340 }\n";
    char path[] = "/tmp/causeway-tutorial-XXXXXX";
    int fd = mkstemp(path);
    struct rig_child child;

    rig_check(fd >= 0);
    rig_check(write(fd, text, sizeof text - 1) == (ptrdiff_t)(sizeof text - 1));
    close(fd);
    if (start(&child, 5, path)) {
        rig_child_await_text(&child, "listening on tcp://127.0.0.1:7340");
        cross_over();
        end(&child);
    }
    unlink(path);
}
