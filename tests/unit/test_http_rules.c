/* What all makers of rules keep to. */
#include "support/fault.h"
#include "support/leak.h"

#include <causeway/middleware/access_log.h>
#include <causeway/middleware/http_auth.h>
#include <causeway/middleware/http_cors.h>
#include <causeway/middleware/http_limits.h>
#include <causeway/middleware/http_request_id.h>
#include <causeway/middleware/http_security_headers.h>
#include <criterion/criterion.h>

TestSuite(http_rules, .fini = rig_expect_no_leak, .timeout = 30);

static int check_password(struct cw_http_exchange *http, const char *name, const char *password,
                          void *user)
{
    return CW_AUTH_NO;
}

static int check_token(struct cw_http_exchange *http, const char *token, void *user)
{
    return CW_AUTH_NO;
}

static struct cw_http_middleware *make_log(void)
{
    return cw_access_log(&(struct cw_access_log_options){.path = "/nowhere/access.log"});
}

static struct cw_http_middleware *make_id(void)
{
    return cw_http_request_id(NULL);
}

static struct cw_http_middleware *make_cors(void)
{
    return cw_http_cors(&(struct cw_http_cors_options){
        .origins = "https://a.example", .headers = "X-A", .exposed = "X-B"});
}

static struct cw_http_middleware *make_basic(void)
{
    return cw_http_basic_auth(&(struct cw_http_basic_auth_options){.check = check_password});
}

static struct cw_http_middleware *make_bearer(void)
{
    return cw_http_bearer_auth(&(struct cw_http_bearer_auth_options){.check = check_token});
}

static struct cw_http_middleware *make_security(void)
{
    return cw_http_security_headers(NULL);
}

static struct cw_http_middleware *make_limits(void)
{
    return cw_http_limits(&(struct cw_http_limits_options){.per_client_max = 1});
}

static struct cw_http_middleware *(*const makers[])(void) = {
    make_log, make_id, make_cors, make_basic, make_bearer, make_security, make_limits,
};

Test(http_rules, without_memory_there_is_none_and_nothing_is_left)
{
    fault_install();
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
        bool failed = true;
        for (size_t nth = 1; failed; nth++) {
            fault_arm(nth);
            struct cw_http_middleware *made = makers[i]();
            failed = fault_disarm();
            cr_assert_eq(made == NULL, failed, "maker %zu, allocation %zu", i, nth);
            if (made) {
                cr_expect_gt(nth, 1, "it has memory of its own");
                made->release(made);
            }
        }
    }
    fault_remove();
}

Test(http_rules, one_that_was_never_started_is_released)
{
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
        struct cw_http_middleware *made = makers[i]();
        cr_assert_not_null(made, "maker %zu", i);
        made->release(made);
    }
}
