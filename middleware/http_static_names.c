#include "http_static_names.h"

#include <causeway/log.h>
#include <stdio.h>

enum {
    SECOND_NS = 1000000000,
    TICK_NS = 20000000, /* two ticks of the slowest kernel clock: what mtime is stamped with */
    COARSE_S = 2,       /* FAT counts in two seconds, others in one */
    TEXT_FIRST = 1024,
};

/* ---- paths ---- */

bool cw_static_may_ask(struct cw_span path, bool dotfiles)
{
    bool begins = true;

    for (size_t i = 0; i < path.len; i++) {
        if (path.data[i] == '\0' || (begins && path.data[i] == '.' && !dotfiles)) {
            return false;
        }
        begins = path.data[i] == '/';
    }
    return true;
}

const char *cw_static_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* ---- validators ---- */

/* Without a fraction of a second the file system probably has none to give. */
static bool is_young(const struct cw_static_version *version, int64_t now_s, int64_t now_ns)
{
    int64_t window = version->modified_ns == 0 ? (int64_t)COARSE_S * SECOND_NS : TICK_NS;
    int64_t age_s = now_s - version->modified_s;

    if (age_s > COARSE_S || age_s < -COARSE_S) {
        return false;
    }
    return age_s * SECOND_NS + now_ns - version->modified_ns < window;
}

void cw_static_print_etag(const struct cw_static_version *version, int64_t now_s, int64_t now_ns,
                          char etag[CW_STATIC_ETAG_SIZE])
{
    bool young = is_young(version, now_s, now_ns);

    snprintf(etag, CW_STATIC_ETAG_SIZE, "%s\"%llx-%llx.%llx-%llx%s%s\"", young ? "W/" : "",
             (unsigned long long)version->size, (unsigned long long)version->modified_s,
             (unsigned long long)version->modified_ns, (unsigned long long)version->inode,
             version->suffix, young ? "~" : "");
}

bool cw_static_time_is_strong(const struct cw_static_version *version, int64_t now_s)
{
    return version->modified_s < now_s;
}

/* ---- texts ---- */

static bool make_room(struct cw_static_text *text, size_t len)
{
    size_t cap = text->cap ? text->cap : TEXT_FIRST;
    char *data;

    if (text->failed || len <= text->cap - text->len) {
        return !text->failed;
    }
    while (cap - text->len < len) {
        cap *= 2;
    }
    data = cw_resize(text->data, cap);
    if (!data) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->cap = cap;
    return true;
}

void cw_static_put(struct cw_static_text *text, const char *bytes, size_t len)
{
    if (len > 0 && make_room(text, len)) {
        memcpy(text->data + text->len, bytes, len);
        text->len += len;
    }
}

void cw_static_put_text(struct cw_static_text *text, const char *words)
{
    cw_static_put(text, words, strlen(words));
}

void cw_static_put_html(struct cw_static_text *text, const char *words)
{
    while (*words) {
        size_t plain = strcspn(words, "&<>\"'");

        cw_static_put(text, words, plain);
        words += plain;
        switch (*words) {
        case '&':
            cw_static_put_text(text, "&amp;");
            break;
        case '<':
            cw_static_put_text(text, "&lt;");
            break;
        case '>':
            cw_static_put_text(text, "&gt;");
            break;
        case '"':
            cw_static_put_text(text, "&quot;");
            break;
        case '\'':
            cw_static_put_text(text, "&#39;");
            break;
        default:
            return;
        }
        words++;
    }
}

static bool is_unreserved(unsigned char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != '\0' && strchr("-._~/", byte));
}

void cw_static_put_path(struct cw_static_text *text, const char *path)
{
    static const char digits[] = "0123456789ABCDEF";

    for (; *path; path++) {
        unsigned char byte = (unsigned char)*path;
        const char escape[] = {'%', digits[byte >> 4], digits[byte & 15]};

        if (is_unreserved(byte)) {
            cw_static_put(text, path, 1);
        } else {
            cw_static_put(text, escape, sizeof escape);
        }
    }
}

void cw_static_text_release(struct cw_static_text *text)
{
    cw_release(text->data);
    *text = (struct cw_static_text){0};
}
