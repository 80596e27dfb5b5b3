/* RFC 9110 §11.4: scheme, one space or more, and for both schemes one token68. */
#include "credentials.h"

#include <string.h>

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

/* What stands behind the scheme, whose case does not matter. */
static enum cw_credentials_found cut_scheme(struct cw_span field, const char *scheme,
                                            struct cw_span *rest)
{
    size_t len = strlen(scheme);

    if (field.len < len || (field.len > len && field.data[len] != ' ')) {
        return CW_CREDENTIALS_NONE;
    }
    for (size_t i = 0; i < len; i++) {
        if (lower(field.data[i]) != (uint8_t)scheme[i]) {
            return CW_CREDENTIALS_NONE;
        }
    }
    while (len < field.len && field.data[len] == ' ') {
        len++;
    }
    *rest = cw_span_of(field.data + len, field.len - len);
    return rest->len > 0 ? CW_CREDENTIALS_GOOD : CW_CREDENTIALS_BAD;
}

/* token68 without its padding, RFC 9110 §11.2. */
static bool is_token_byte(uint8_t byte)
{
    return (lower(byte) >= 'a' && lower(byte) <= 'z') || (byte >= '0' && byte <= '9') ||
           (byte != '\0' && strchr("-._~+/", byte));
}

/* ---- base64 ---- */

static int sextet(uint8_t byte)
{
    if (byte >= 'A' && byte <= 'Z') {
        return byte - 'A';
    }
    if (byte >= 'a' && byte <= 'z') {
        return byte - 'a' + 26;
    }
    if (byte >= '0' && byte <= '9') {
        return byte - '0' + 52;
    }
    return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

/* Four characters, the last `pad` of them `=`. False: not base64, or bits that say nothing are set (RFC 4648 §3.5). */
static bool decode_four(const uint8_t *from, size_t pad, char *to)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        int value = i < 4 - pad ? sextet(from[i]) : 0;
        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
    }
    for (size_t i = 0; i < 3 - pad; i++) {
        to[i] = (char)(bits >> (16 - 8 * i) & 0xffU);
    }
    return (bits & ((1U << (8 * pad)) - 1)) == 0;
}

/* Returns the length; -1: not base64. */
static ptrdiff_t decode(struct cw_span text, char *to)
{
    size_t pad = 0;

    if (text.len == 0 || text.len % 4 != 0) {
        return -1;
    }
    while (pad < 2 && text.data[text.len - 1 - pad] == '=') {
        pad++;
    }
    for (size_t at = 0; at < text.len; at += 4) {
        if (!decode_four(text.data + at, at + 4 == text.len ? pad : 0, to + at / 4 * 3)) {
            return -1;
        }
    }
    return (ptrdiff_t)(text.len / 4 * 3 - pad);
}

/* ---- the two schemes ---- */

/* RFC 7617 §2: neither may hold control characters. */
static bool has_controls(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

enum cw_credentials_found cw_credentials_basic(struct cw_span field, char *buffer,
                                               const char **name, const char **password)
{
    struct cw_span text;
    enum cw_credentials_found found = cut_scheme(field, "basic", &text);

    if (found != CW_CREDENTIALS_GOOD) {
        return found;
    }
    ptrdiff_t len = decode(text, buffer);
    char *colon = len > 0 ? memchr(buffer, ':', (size_t)len) : NULL;
    if (!colon || has_controls(buffer, (size_t)len)) {
        return CW_CREDENTIALS_BAD;
    }
    buffer[len] = '\0';
    *colon = '\0';
    *name = buffer;
    *password = colon + 1;
    return CW_CREDENTIALS_GOOD;
}

enum cw_credentials_found cw_credentials_bearer(struct cw_span field, struct cw_span *token)
{
    enum cw_credentials_found found = cut_scheme(field, "bearer", token);
    size_t at = 0;

    if (found != CW_CREDENTIALS_GOOD) {
        return found;
    }
    while (at < token->len && is_token_byte(token->data[at])) {
        at++;
    }
    bool some = at > 0;
    while (at < token->len && token->data[at] == '=') {
        at++;
    }
    return some && at == token->len ? CW_CREDENTIALS_GOOD : CW_CREDENTIALS_BAD;
}
