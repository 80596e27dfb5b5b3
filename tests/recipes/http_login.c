/* http_login: a form, a cookie with a session nobody can guess, a page for those who have one, and a way out. */
#include <causeway/causeway.h>
#include <causeway/middleware/http_auth.h> /* cw_equal_secret */
#include <causeway/middleware/http_form.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum { SESSIONS_MAX = 1000, ID_LEN = 32 };

/* One worker, so no lock. When the table is full, the oldest session makes way. */
static char sessions[SESSIONS_MAX][ID_LEN + 1];
static unsigned next;

static char *find_session(struct cw_http_exchange *http)
{
    struct cw_span sid = cw_http_cookie(http, "sid");

    for (unsigned i = 0; sid.len == ID_LEN && i < SESSIONS_MAX; i++) {
        if (cw_span_equal(sid, cw_span_text(sessions[i]))) {
            return sessions[i];
        }
    }
    return NULL;
}

static char *new_session(void)
{
    unsigned char bytes[ID_LEN / 2];
    char *session = sessions[next];

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        return NULL;
    }
    next = (next + 1) % SESSIONS_MAX;
    for (int i = 0; i < ID_LEN / 2; i++) {
        snprintf(session + 2 * i, 3, "%02x", bytes[i]);
    }
    return session;
}

static void show_form(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_html(http, 200,
                       "<!doctype html><form method=post action=/login>"
                       "<input name=password type=password><button>Log in</button></form>");
}

static void log_in(struct cw_http_exchange *http, void *user)
{
    const struct cw_http_form *form = cw_http_body_form(http, NULL);
    const char *session;

    if (form == NULL) {
        return; /* answered: it was no form */
    }
    if (!cw_equal_secret((const char *)cw_http_form_value(form, "password").data, user)) {
        cw_http_reply_error(http, 403, "That is not the password.");
        return;
    }
    session = new_session();
    if (session == NULL) {
        cw_http_reply_error(http, 503, NULL);
        return;
    }
    /* HttpOnly and SameSite=Lax by themselves, Secure where the request came over TLS. */
    cw_http_set_cookie(http, "sid", session, &(struct cw_http_cookie_options){.max_age_s = 86400});
    cw_http_redirect(http, 303, "/");
}

static void log_out(struct cw_http_exchange *http, void *user)
{
    char *session = find_session(http);

    if (session != NULL) {
        session[0] = '\0';
    }
    cw_http_set_cookie(http, "sid", "", &(struct cw_http_cookie_options){.max_age_s = CW_OFF});
    cw_http_redirect(http, 303, "/login");
}

static void home(struct cw_http_exchange *http, void *user)
{
    if (find_session(http) == NULL) {
        cw_http_redirect(http, 303, "/login");
        return;
    }
    cw_http_set_field(http, "Cache-Control", "no-store");
    cw_http_reply_html(http, 200,
                       "<!doctype html><p>You are in.<form method=post action=/logout>"
                       "<button>Log out</button></form>");
}

int main(int argc, char **argv)
{
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 8080;
    struct cw_server *server = cw_create_server(&cw_http);

    cw_http_route(server, "GET /login", show_form, NULL);
    /* Not set: nobody gets in. */
    cw_http_route(server, "POST /login", log_in, getenv("SITE_PASSWORD"));
    cw_http_route(server, "POST /logout", log_out, NULL);
    cw_http_route(server, "GET /", home, NULL);
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    return cw_server_main(server);
}
