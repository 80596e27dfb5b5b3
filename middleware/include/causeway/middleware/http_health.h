/* Endpoints for those who start, watch and balance servers: is it alive, may it be sent requests.
 *
 * ```text
 * static bool has_database(void *user) { return database_is_connected(user); }
 *
 * static const struct cw_http_health_check checks[] = {{"database", has_database, &database}};
 * cw_http_use(server, cw_http_health(&(struct cw_http_health_options){.checks = checks, .check_count = 1}));
 * ``` */
#ifndef CAUSEWAY_MIDDLEWARE_HTTP_HEALTH_H
#define CAUSEWAY_MIDDLEWARE_HTTP_HEALTH_H

#include <causeway/http_middleware.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Something without which the server is not ready. */
struct cw_http_health_check {
    const char *name; /* told in the answer when it fails. Copied */

    /* Whether it is well. Runs on the loops' threads, with each request for ready: look at what is known, do not block. */
    bool (*fn)(void *user);
    void *user;
};

/* Zero means the default in every member. */
struct cw_http_health_options {
    const char *live_path;                     /* NULL: "/health/live"; "": none. Copied */
    const char *ready_path;                    /* NULL: "/health/ready"; "": none. Copied */
    const struct cw_http_health_check *checks; /* copied */
    size_t check_count;                        /* at most 64 */
    const char
        *site; /* answers only on listeners of that site (cw_http_options). NULL: on all. Copied */
    bool starts_unready; /* until cw_http_health_set_ready says otherwise */
};

/* Makes the middleware, for cw_http_use; added first it answers before others can refuse. Live is 200 as long as the
 * loop answers at all. Ready is 200, or 503 with the reason: a stop has begun, a check fails, or
 * cw_http_health_set_ready said so.
 *
 * options  copied; NULL: the defaults
 * returns  NULL: memory ran out, or an option is not allowed (logged); cw_http_use keeps that as an error
 * thread   any */
struct cw_http_middleware *cw_http_health(const struct cw_http_health_options *options);

/* Says whether requests are welcome. A stop closes the listeners at once: where a balancer asks for ready, say false some
 * seconds before cw_server_stop, and it will have gone elsewhere.
 *
 * health   made by cw_http_health; its server must still be there
 * thread   any */
void cw_http_health_set_ready(struct cw_http_middleware *health, bool ready);

#ifdef __cplusplus
}
#endif

#endif
