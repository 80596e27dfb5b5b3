/* Forms of browsers, over sockets. */
#include "support/host.h"
#include "support/http_talk.h"
#include "support/leak.h"
#include "support/wait.h"

#include <causeway/http.h>
#include <causeway/log.h>
#include <causeway/middleware/http_form.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct rig_host *host;
static uint16_t port;

#define FORM "Content-Type: application/x-www-form-urlencoded\r\n"

/* Every field as `[name=value]`. */
static void list(struct cw_http_exchange *http, void *user)
{
    const struct cw_http_form *form = cw_http_body_form(http, user);
    struct cw_span name;
    struct cw_span value;

    if (form == NULL) {
        return;
    }
    rig_check(cw_http_body_form(http, user) == form);
    cw_http_begin(http, 200, "text/plain", CW_NO_LIMIT);
    for (size_t i = 0; cw_http_form_at(form, i, &name, &value); i++) {
        rig_check(name.data[name.len] == '\0' && value.data[value.len] == '\0');
        cw_http_send(http, cw_span_text("["));
        cw_http_send(http, name);
        cw_http_send(http, cw_span_text("="));
        cw_http_send(http, value);
        cw_http_send(http, cw_span_text("]"));
    }
    cw_http_end(http);
}

/* What is found under names, the repeated one to its end. */
static void look_up(struct cw_http_exchange *http, void *user)
{
    const struct cw_http_form *form = cw_http_body_form(http, NULL);
    char text[200] = "";
    size_t at = 0;

    for (;;) {
        struct cw_span value = cw_http_form_value_next(form, "many", &at);
        if (value.data == NULL) {
            break;
        }
        strcat(strcat(text, (const char *)value.data), ",");
    }
    cw_http_replyf(http, 200, "text/plain", "%s|%s|%d",
                   (const char *)cw_http_form_value(form, "one").data, text,
                   cw_http_form_value(form, "none").data == NULL);
}

static void begin(void)
{
    static const struct cw_http_form_limits narrow = {
        .bytes_max = 30, .fields_max = 3, .name_max_bytes = 4, .value_max_bytes = 5};
    struct cw_server *server;

    cw_log_set_level(CW_LOG_SILENT);
    server = rig_server(&cw_http, NULL);
    cw_http_route(server, "POST /list", list, NULL);
    cw_http_route(server, "POST /narrow", list, (void *)&narrow);
    cw_http_route(server, "POST /look-up", look_up, NULL);
    struct cw_http_middleware *use[] = {cw_http_form(&narrow)};
    cw_http_route_with(server, "POST /refused-early", list, NULL,
                       &(struct cw_http_route_options){.use = use, .use_count = 1});
    host = rig_host_start(server, NULL, NULL);
    port = rig_host_port(host, 0);
}

static void finish(void)
{
    rig_host_end(host);
    rig_expect_no_leak();
}

TestSuite(http_form, .init = begin, .fini = finish, .timeout = 60);

static void expect(const char *target, const char *fields, const char *body, int status,
                   const char *wanted)
{
    struct rig_answer answer;

    rig_post_once(port, target, fields, cw_span_text(body), &answer);
    cr_expect_eq(answer.status, status, "%s: %d %s", body, answer.status, answer.body);
    if (wanted != NULL) {
        cr_expect_str_eq((const char *)answer.body, wanted);
    }
    rig_answer_free(&answer);
}

Test(http_form, fields_are_decoded_in_their_order)
{
    expect("/list", FORM, "a=1&b=two+words&c=%C3%A4%26%3D", 200, "[a=1][b=two words][c=\xc3\xa4&=]");
    expect("/list", FORM, "a+b%3D=c", 200, "[a b==c]");
    expect("/list", FORM, "a=b=c&d", 200, "[a=b=c][d=]");
    expect("/list", FORM, "&&a=&&=b&", 200, "[a=][=b]");
    expect("/list", FORM, "", 200, "");
    expect("/list", "", "", 200, "");
}

Test(http_form, fields_are_found_by_name_and_those_of_one_name_one_by_one)
{
    expect("/look-up", FORM, "many=1&one=first&many=2&one=second&many=&Many=x&many=3", 200,
           "first|1,2,,3,|1");
}

Test(http_form, other_types_and_charsets_are_refused)
{
    struct rig_answer answer;

    expect("/list", FORM "X: y\r\n", "a=b", 200, "[a=b]");
    expect("/list", "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n", "a=b",
           200, "[a=b]");
    expect("/list", "Content-Type: application/x-www-form-urlencoded; charset=iso-8859-1\r\n",
           "a=b", 415, NULL);
    expect("/list", "Content-Type: application/json\r\n", "a=b", 415, NULL);
    expect("/list", "", "a=b", 415, NULL);
    rig_post_once(port, "/list", "", cw_span_text("a=b"), &answer);
    cr_expect_str_eq(rig_answer_field(&answer, "Accept"), "application/x-www-form-urlencoded");
    rig_answer_free(&answer);
}

Test(http_form, half_escapes_and_what_is_not_utf_8_are_refused)
{
    expect("/list", FORM, "a=%", 400, NULL);
    expect("/list", FORM, "a=%2", 400, NULL);
    expect("/list", FORM, "%zz=a", 400, NULL);
    expect("/list", FORM, "a=%ff", 400, NULL);
    expect("/list", FORM, "%c3=a", 400, NULL);
    expect("/list", FORM, "a=\xff", 400, NULL);
}

Test(http_form, limits_are_exact)
{
    expect("/narrow", FORM, "abcd=12345", 200, "[abcd=12345]");
    expect("/narrow", FORM, "ab%63d=1234%35", 200, "[abcd=12345]");
    expect("/narrow", FORM, "abcde=1", 413, NULL);
    expect("/narrow", FORM, "a=123456", 413, NULL);
    expect("/narrow", FORM, "a=1&b=2&c=3", 200, "[a=1][b=2][c=3]");
    expect("/narrow", FORM, "a=1&b=2&c=3&d=4", 413, NULL);
    expect("/narrow", FORM, "a=%31%32%33&b=%31%32%33&c=%31", 200, NULL);
    expect("/narrow", FORM, "&a=%31%32%33&b=%31%32%33&c=%31", 200, NULL);
    expect("/narrow", FORM, "&&a=%31%32%33&b=%31%32%33&c=%31", 413, NULL);
}

Test(http_form, middleware_refuses_before_the_handler)
{
    expect("/refused-early", FORM, "a=1", 200, "[a=1]");
    expect("/refused-early", FORM, "abcde=1", 413, NULL);
    expect("/refused-early", FORM, "a=%", 400, NULL);
    expect("/refused-early", "", "a=1", 415, NULL);
    expect("/refused-early", "", "", 200, "");
    expect("/refused-early", FORM, "&&a=%31%32%33&b=%31%32%33&c=%31", 413, NULL);
}
