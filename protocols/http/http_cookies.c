/* Fields of the answer with a form of their own: cookies and downloads. */
#include "http_impl.h"

#include <stdio.h>

enum { COOKIE_ROOM = 4096 + 512, NAME_ROOM = 1024 };

/* ---- Set-Cookie (RFC 6265 §4.1.1) ---- */

static bool is_cookie_octet(unsigned char c)
{
    return c > ' ' && c < 127 && c != '"' && c != ',' && c != ';' && c != '\\';
}

static bool is_cookie_value(const char *value)
{
    while (*value && is_cookie_octet((unsigned char)*value)) {
        value++;
    }
    return *value == '\0';
}

static bool is_attribute(const char *value)
{
    for (; *value; value++) {
        if ((unsigned char)*value < ' ' || (unsigned char)*value >= 127 || *value == ';') {
            return false;
        }
    }
    return true;
}

static bool is_same_site(const char *word)
{
    return strcmp(word, "Strict") == 0 || strcmp(word, "Lax") == 0 || strcmp(word, "None") == 0;
}

/* What the prefixes promise (RFC 6265bis §4.1.3). */
static bool keeps_prefix(const char *name, const struct cw_http_cookie_options *options, bool secure)
{
    if (strncasecmp(name, "__Host-", 7) == 0) {
        return secure && !options->domain && (!options->path || strcmp(options->path, "/") == 0);
    }
    return strncasecmp(name, "__Secure-", 9) != 0 || secure;
}

static bool is_secure(const struct cw_http_exchange *x, const struct cw_http_cookie_options *options)
{
    if (options->secure || (options->same_site && strcmp(options->same_site, "None") == 0)) {
        return true;
    }
    return !options->not_secure && strcmp(cw_http_scheme(x), "https") == 0;
}

static int check_cookie(const char *name, const char *value,
                        const struct cw_http_cookie_options *options)
{
    bool allowed = cw_http_is_token(cw_span_text(name)) && is_cookie_value(value) &&
                   (!options->path || (options->path[0] == '/' && is_attribute(options->path))) &&
                   (!options->domain || (options->domain[0] && is_attribute(options->domain))) &&
                   (!options->same_site || is_same_site(options->same_site)) &&
                   !(options->secure && options->not_secure);

    return allowed ? CW_OK : CW_EINVAL;
}

int cw_http_set_cookie(struct cw_http_exchange *http, const char *name, const char *value,
                       const struct cw_http_cookie_options *options)
{
    static const struct cw_http_cookie_options standard = {0};
    const struct cw_http_cookie_options *with = options ? options : &standard;
    bool secure = is_secure(http, with);
    bool gone = with->max_age_s == CW_OFF;
    char age[64] = "";
    char text[COOKIE_ROOM];
    int len;

    if (check_cookie(name, value, with) < 0 || !keeps_prefix(name, with, secure)) {
        return CW_EINVAL;
    }
    if (gone) {
        snprintf(age, sizeof age, "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
    } else if (with->max_age_s != 0) {
        snprintf(age, sizeof age, "; Max-Age=%llu", (unsigned long long)with->max_age_s);
    }
    len =
        snprintf(text, sizeof text, "%s=%s; Path=%s%s%s%s%s%s; SameSite=%s", name,
                 gone ? "" : value, with->path ? with->path : "/", with->domain ? "; Domain=" : "",
                 with->domain ? with->domain : "", age, secure ? "; Secure" : "",
                 with->for_scripts ? "" : "; HttpOnly", with->same_site ? with->same_site : "Lax");
    if (len < 0 || (size_t)len >= sizeof text) {
        return CW_ETOOBIG;
    }
    return cw_http_add_field(http, "Set-Cookie", text);
}

/* ---- Content-Disposition (RFC 6266, RFC 8187) ---- */

static bool is_plain(unsigned char c)
{
    return c >= ' ' && c < 127 && c != '"' && c != '\\' && c != '%';
}

static bool is_unsafe(unsigned char c)
{
    return c < ' ' || c == 127 || c == '/' || c == '\\';
}

/* For old readers: what they cannot have becomes `_`. */
static void put_fallback(char *to, const char *filename, size_t cap)
{
    size_t at = 0;

    for (; *filename && at + 1 < cap; filename++) {
        unsigned char c = (unsigned char)*filename;

        to[at++] = is_plain(c) && !is_unsafe(c) ? (char)c : '_';
    }
    to[at] = '\0';
}

static int put_extended(char *to, const char *filename, size_t cap)
{
    static const char unreserved[] = "!#$&+-.^_`|~";
    size_t at = 0;

    for (; *filename; filename++) {
        unsigned char c = is_unsafe((unsigned char)*filename) ? '_' : (unsigned char)*filename;
        bool alone = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     strchr(unreserved, c) != NULL;

        if (at + 4 > cap) {
            return CW_ETOOBIG;
        }
        if (alone) {
            to[at++] = (char)c;
        } else {
            at += (size_t)snprintf(to + at, cap - at, "%%%02X", c);
        }
    }
    to[at] = '\0';
    return CW_OK;
}

int cw_http_set_download(struct cw_http_exchange *http, const char *filename)
{
    char fallback[NAME_ROOM];
    char extended[3 * NAME_ROOM + 4];

    if (strlen(filename) >= NAME_ROOM) {
        return CW_ETOOBIG;
    }
    put_fallback(fallback, filename, sizeof fallback);
    if (put_extended(extended, filename, sizeof extended) < 0) {
        return CW_ETOOBIG;
    }
    return cw_http_set_fieldf(http, "Content-Disposition",
                              "attachment; filename=\"%s\"; filename*=UTF-8''%s", fallback,
                              extended);
}
