/* RFC 9110 §11.4: scheme, one space or more, and for both schemes one token68. */
#include "credentials.h"

#include <causeway/digest.h>

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
    ptrdiff_t len = cw_base64_decode(text, (uint8_t *)buffer);
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
