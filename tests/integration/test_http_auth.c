#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/rig.h"
#include "support/wait.h"

#include <causeway/http.h>
#include <causeway/middleware/http_auth.h>
#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(http_auth, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_host *host;
static struct http_peer peer;
static struct http_reply reply;

#define ADA "Authorization: Basic YWRhOnNlY3JldA==\r\n"   /* ada:secret */
#define EVE "Authorization: Basic ZXZlOnNlY3JldA==\r\n"   /* eve:secret */
#define WRONG "Authorization: Basic YWRhOnNlY3JlVA==\r\n" /* ada:secreT */

static int check_password(struct cw_http_exchange *http, const char *name, const char *password,
                          void *user)
{
    if (!cw_equal_secret(password, "secret")) {
        return CW_AUTH_NO;
    }
    return strcmp(name, "ada") == 0 ? CW_AUTH_YES : CW_AUTH_FORBIDDEN;
}

static int check_token(struct cw_http_exchange *http, const char *token, void *user)
{
    if (cw_equal_secret(token, "read-only")) {
        return CW_AUTH_FORBIDDEN;
    }
    if (!cw_equal_secret(token, "t0ken==")) {
        return CW_AUTH_NO;
    }
    cw_http_set_user(http, "robot");
    return CW_AUTH_YES;
}

static void tell_user(struct cw_http_exchange *http, void *user)
{
    const char *name = cw_http_user_of(http);

    cw_http_reply_text(http, 200, name ? name : "nobody");
}

static void refuse_in_handler(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 401, "log in again");
}

static void challenge_in_handler(struct cw_http_exchange *http, void *user)
{
    cw_http_set_field(http, "WWW-Authenticate", "Basic realm=\"Other\"");
    cw_http_reply_text(http, 401, "log in elsewhere");
}

static void begin_both(struct cw_http_middleware *first, struct cw_http_middleware *second)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    cw_http_use(server, first);
    if (second) {
        cw_http_use(server, second);
    }
    cw_http_route(server, "GET|POST /", tell_user, NULL);
    cw_http_route(server, "GET /again", refuse_in_handler, NULL);
    cw_http_route(server, "GET /elsewhere", challenge_in_handler, NULL);
    host = rig_host_start(server, NULL, NULL);
    peer = http_peer_new(rig_host_port(host, 0));
}

static void begin_basic(const struct cw_http_basic_auth_options *options)
{
    begin_both(cw_http_basic_auth(options), NULL);
}

static void begin_bearer(const struct cw_http_bearer_auth_options *options)
{
    begin_both(cw_http_bearer_auth(options), NULL);
}

static void end(void)
{
    http_reply_release(&reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

static int ask_for(const char *path, const char *fields)
{
    char request[2048];

    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", path, fields);
    http_reply_release(&reply);
    http_peer_ask(&peer, request, &reply);
    return reply.status;
}

static int ask(const char *fields)
{
    return ask_for("/", fields);
}

static void expect_challenge(const char *value)
{
    cr_expect_str_eq(http_reply_field(&reply, "WWW-Authenticate"), value, "%s",
                     http_reply_field(&reply, "WWW-Authenticate"));
}

/* ---- passwords ---- */

Test(http_auth, without_a_password_there_is_a_challenge)
{
    begin_basic(&(struct cw_http_basic_auth_options){.realm = "Admin", .check = check_password});
    cr_expect_eq(ask(""), 401);
    expect_challenge("Basic realm=\"Admin\", charset=\"UTF-8\"");
    cr_expect_eq(ask_for("/nowhere", ""), 401, "what is there is not told either");
    end();
}

Test(http_auth, the_right_password_leads_to_the_handler_which_knows_the_name)
{
    begin_basic(&(struct cw_http_basic_auth_options){.check = check_password});
    cr_expect_eq(ask(ADA), 200);
    cr_expect_str_eq((const char *)reply.body, "ada");
    expect_challenge("");
    end();
}

Test(http_auth, a_wrong_password_is_challenged_again_and_the_connection_goes_on)
{
    begin_basic(&(struct cw_http_basic_auth_options){.check = check_password});
    cr_expect_eq(ask(WRONG), 401);
    expect_challenge("Basic realm=\"Restricted\", charset=\"UTF-8\"");
    cr_expect_eq(ask(ADA), 200);
    end();
}

Test(http_auth, who_is_known_and_not_allowed_is_forbidden)
{
    begin_basic(&(struct cw_http_basic_auth_options){.check = check_password});
    cr_expect_eq(ask(EVE), 403);
    expect_challenge("");
    end();
}

Test(http_auth, malformed_and_repeated_credentials_are_refused)
{
    begin_basic(&(struct cw_http_basic_auth_options){.check = check_password, .optional = true});
    cr_expect_eq(ask("Authorization: Basic YWRhOnNlY3JldA=\r\n"), 401);
    cr_expect_eq(ask("Authorization: Basic\r\n"), 401);
    cr_expect_eq(ask(ADA ADA), 401);
    cr_expect_eq(ask(WRONG), 401);
    end();
}

Test(http_auth, optional_lets_nobody_pass_and_names_who_is_somebody)
{
    begin_basic(&(struct cw_http_basic_auth_options){.check = check_password, .optional = true});
    cr_expect_eq(ask(""), 200);
    cr_expect_str_eq((const char *)reply.body, "nobody");
    cr_expect_eq(ask(ADA), 200);
    cr_expect_str_eq((const char *)reply.body, "ada");
    end();
}

Test(http_auth, a_body_that_nobody_let_in_does_not_become_a_request)
{
    begin_basic(&(struct cw_http_basic_auth_options){.check = check_password});
    http_reply_release(&reply);
    http_peer_ask(&peer,
                  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 27\r\n\r\n"
                  "GET / HTTP/1.1\r\nHost: b\r\n\r\n",
                  &reply);
    cr_expect_eq(reply.status, 401);
    cr_expect_eq(ask(ADA), 200);
    cr_expect_str_eq((const char *)reply.body, "ada");
    end();
}

Test(http_auth, a_handlers_own_401_gets_the_challenge)
{
    begin_basic(&(struct cw_http_basic_auth_options){.check = check_password});
    cr_expect_eq(ask_for("/again", ADA), 401);
    cr_expect_str_eq((const char *)reply.body, "log in again");
    expect_challenge("Basic realm=\"Restricted\", charset=\"UTF-8\"");
    end();
}

Test(http_auth, a_handlers_own_challenge_stays_alone)
{
    begin_basic(&(struct cw_http_basic_auth_options){.check = check_password});
    cr_expect_eq(ask_for("/elsewhere", ADA), 401);
    cr_expect_null(strstr(reply.head, "Restricted"), "%s", reply.head);
    expect_challenge("Basic realm=\"Other\"");
    end();
}

/* ---- tokens ---- */

Test(http_auth, the_right_token_leads_to_the_handler)
{
    begin_bearer(&(struct cw_http_bearer_auth_options){.check = check_token});
    cr_expect_eq(ask("Authorization: bearer t0ken==\r\n"), 200);
    cr_expect_str_eq((const char *)reply.body, "robot");
    end();
}

Test(http_auth, the_challenge_says_what_is_wrong_with_a_token)
{
    begin_bearer(&(struct cw_http_bearer_auth_options){
        .check = check_token, .realm = "API", .scope = "write admin"});
    cr_expect_eq(ask(""), 401);
    expect_challenge("Bearer realm=\"API\"");
    cr_expect_eq(ask(ADA), 401);
    expect_challenge("Bearer realm=\"API\"");
    cr_expect_eq(ask("Authorization: Bearer old\r\n"), 401);
    expect_challenge("Bearer realm=\"API\", error=\"invalid_token\"");
    cr_expect_eq(ask("Authorization: Bearer read-only\r\n"), 403);
    expect_challenge("Bearer realm=\"API\", error=\"insufficient_scope\", scope=\"write admin\"");
    cr_expect_eq(ask("Authorization: Bearer a b\r\n"), 400);
    expect_challenge("Bearer realm=\"API\", error=\"invalid_request\"");
    end();
}

Test(http_auth, two_schemes_may_serve_one_place)
{
    begin_both(cw_http_bearer_auth(
                   &(struct cw_http_bearer_auth_options){.check = check_token, .optional = true}),
               cw_http_basic_auth(&(struct cw_http_basic_auth_options){.check = check_password,
                                                                       .optional = true}));
    cr_expect_eq(ask(ADA), 200);
    cr_expect_str_eq((const char *)reply.body, "ada");
    cr_expect_eq(ask("Authorization: Bearer t0ken==\r\n"), 200);
    cr_expect_str_eq((const char *)reply.body, "robot");
    cr_expect_eq(ask_for("/again", ""), 401);
    cr_expect_not_null(strstr(reply.head, "WWW-Authenticate: Basic realm"));
    cr_expect_not_null(strstr(reply.head, "WWW-Authenticate: Bearer realm"));
    end();
}

/* ---- later ---- */

/* A question on its way to where the answer is found. */
struct question {
    struct cw_http_id id;
    int verdict;
};

static void find_out(void *arg)
{
    struct question *question = arg;

    question->verdict = question->verdict < 0 ? CW_AUTH_NO : question->verdict;
}

static void tell(struct cw_loop *loop, int code, void *arg)
{
    struct question *question = arg;
    struct cw_http_exchange *http = cw_http_find(loop, question->id);

    if (http) {
        rig_check(cw_http_auth_decide(http, CW_AUTH_LATER) == CW_EINVAL);
        rig_check(cw_http_auth_decide(http, question->verdict) == 0);
        rig_check(cw_http_auth_decide(http, CW_AUTH_YES) == CW_ESTATE);
    }
    free(question);
}

static int check_later(struct cw_http_exchange *http, const char *name, const char *password,
                       void *user)
{
    struct question *question = malloc(sizeof *question);

    *question = (struct question){cw_http_id(http), check_password(http, name, password, NULL)};
    if (cw_work(cw_http_loop(http), find_out, tell, question) < 0) {
        free(question);
        return CW_AUTH_NO;
    }
    return CW_AUTH_LATER;
}

Test(http_auth, a_check_may_answer_later)
{
    begin_basic(&(struct cw_http_basic_auth_options){.check = check_later});
    cr_expect_eq(ask(ADA), 200);
    cr_expect_str_eq((const char *)reply.body, "ada");
    cr_expect_eq(ask(WRONG), 401);
    expect_challenge("Basic realm=\"Restricted\", charset=\"UTF-8\"");
    cr_expect_eq(ask(EVE), 403);
    end();
}

Test(http_auth, a_client_that_leaves_while_the_check_runs_does_no_harm)
{
    begin_basic(&(struct cw_http_basic_auth_options){.check = check_later});
    for (int i = 0; i < 20; i++) {
        struct http_peer gone = http_peer_new(rig_host_port(host, 0));
        http_peer_send(&gone, "GET / HTTP/1.1\r\nHost: a\r\n" ADA "\r\n");
        http_peer_close(&gone);
    }
    cr_expect_eq(ask(ADA), 200);
    end();
}

static int decide_inside(struct cw_http_exchange *http, const char *name, const char *password,
                         void *user)
{
    rig_check(cw_http_auth_decide(http, check_password(http, name, password, NULL)) == 0);
    return CW_AUTH_LATER;
}

Test(http_auth, deciding_inside_of_the_check_counts)
{
    begin_basic(&(struct cw_http_basic_auth_options){.check = decide_inside});
    cr_expect_eq(ask(ADA), 200);
    cr_expect_eq(ask(WRONG), 401);
    cr_expect_eq(ask(EVE), 403);
    cr_expect_eq(ask(ADA), 200);
    end();
}

static int answer_nonsense(struct cw_http_exchange *http, const char *token, void *user)
{
    return 42;
}

Test(http_auth, a_verdict_that_is_none_lets_nobody_in)
{
    begin_bearer(&(struct cw_http_bearer_auth_options){.check = answer_nonsense});
    cr_expect_eq(ask("Authorization: Bearer a\r\n"), 401);
    end();
}

static void decide_without_check(struct cw_http_exchange *http, void *user)
{
    rig_check(cw_http_auth_decide(http, CW_AUTH_YES) == CW_ESTATE);
    cw_http_reply_text(http, 200, "ok");
}

Test(http_auth, where_no_check_waits_nothing_can_be_decided)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    cw_http_route(server, "GET /", decide_without_check, NULL);
    host = rig_host_start(server, NULL, NULL);
    peer = http_peer_new(rig_host_port(host, 0));
    cr_expect_eq(ask(""), 200);
    end();
}

/* ---- pure ---- */

Test(http_auth, secrets_are_equal_or_not)
{
    cr_expect(cw_equal_secret("", ""));
    cr_expect(cw_equal_secret("secret", "secret"));
    cr_expect_not(cw_equal_secret("secreT", "secret"));
    cr_expect_not(cw_equal_secret("Secret", "secret"));
    cr_expect_not(cw_equal_secret("secre", "secret"));
    cr_expect_not(cw_equal_secret("secrets", "secret"));
    cr_expect_not(cw_equal_secret("", "secret"));
    cr_expect_not(cw_equal_secret("secret", ""));
    cr_expect_not(cw_equal_secret(NULL, "secret"));
    cr_expect_not(cw_equal_secret("secret", NULL));
    cr_expect_not(cw_equal_secret(NULL, NULL), "a password that was never set lets nobody in");
}

Test(http_auth, options_that_cannot_be_meant_are_refused)
{
    cr_expect_null(cw_http_basic_auth(NULL));
    cr_expect_null(cw_http_bearer_auth(&(struct cw_http_bearer_auth_options){.realm = "a"}));
    cr_expect_null(cw_http_basic_auth(
        &(struct cw_http_basic_auth_options){.check = check_password, .realm = "a\"b"}));
    cr_expect_null(cw_http_bearer_auth(
        &(struct cw_http_bearer_auth_options){.check = check_token, .scope = "a\r\nb"}));
}
