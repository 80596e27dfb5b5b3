/* What the client would like (RFC 9110 §12). */
#include <causeway/http_fields.h>

#include "http/http_bytes.h"
#include "http/http_fields_impl.h"

#include <causeway/error.h>

enum { WANTED_MOST = 1000 };

/* One element of such a field. */
struct wish {
    struct cw_span name;
    struct cw_span parameters; /* all of them, q too */
    int weight;
};

/* How well a wish fits an offer: 0: not at all; the more exact, the higher. */
typedef unsigned (*fit_fn)(const struct wish *wish, struct cw_span offer);

/* ---- weights ---- */

/* RFC 9110 §12.4.2: 0 or 1 with up to three digits behind the point, at most 1. -1: malformed. */
static int read_weight(struct cw_span text)
{
    int weight = 0;
    int unit = WANTED_MOST;

    for (size_t i = 0; i < text.len; i++) {
        if (i == 1) {
            if (text.data[i] != '.') {
                return -1;
            }
            continue;
        }
        if (text.data[i] < '0' || text.data[i] > '9' || i > 4) {
            return -1;
        }
        weight += (text.data[i] - '0') * unit;
        unit /= 10;
    }
    return text.len == 0 || weight > WANTED_MOST ? -1 : weight;
}

/* §12.5.1: q is the weight wherever it stands. Only media types have other parameters. */
static bool read_wish(struct cw_span element, bool media, struct wish *wish)
{
    struct cw_span name;
    struct cw_span value;
    bool weighed = false;
    int code;

    wish->name = cw_http_without_parameters(element);
    size_t used = cw_http_until(element, ';');
    wish->parameters = cw_span_of(element.data + used, element.len - used);
    wish->weight = WANTED_MOST;
    struct cw_span rest = wish->parameters;
    while ((code = cw_http_pair_next(&rest, &name, &value)) > 0) {
        if (!cw_http_equal(name, "q")) {
            if (!media) {
                return false;
            }
            continue;
        }
        wish->weight = weighed ? -1 : read_weight(value);
        weighed = true;
        if (wish->weight < 0) {
            return false;
        }
    }
    return code == 0;
}

/* ---- fitting ---- */

static bool same_word(struct cw_span a, struct cw_span b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (cw_http_lower(a.data[i]) != cw_http_lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

static bool is_any(struct cw_span name)
{
    return name.len == 1 && name.data[0] == '*';
}

/* Whether the offer has the parameter, whatever the case: of the registered ones charset alone has values, and those have no case. */
static bool has_parameter(struct cw_span offer, struct cw_span wanted, struct cw_span wanted_value)
{
    struct cw_span name;
    struct cw_span value;
    char a[128];
    char b[128];
    size_t used = cw_http_until(offer, ';');

    offer = cw_span_of(offer.data + used, offer.len - used);
    while (cw_http_pair_next(&offer, &name, &value) > 0) {
        if (same_word(name, wanted)) {
            return cw_http_unquote(value, a, sizeof a) >= 0 &&
                   cw_http_unquote(wanted_value, b, sizeof b) >= 0 &&
                   cw_http_equal(cw_span_text(a), b);
        }
    }
    return false;
}

/* Counts the parameters that a media range asks for, plus one; 0: the offer lacks one. */
static unsigned fit_parameters(const struct wish *wish, struct cw_span offer)
{
    struct cw_span rest = wish->parameters;
    struct cw_span name;
    struct cw_span value;
    unsigned count = 1;

    while (cw_http_pair_next(&rest, &name, &value) > 0) {
        if (cw_http_equal(name, "q")) {
            continue;
        }
        if (!has_parameter(offer, name, value)) {
            return 0;
        }
        count++;
    }
    return count;
}

static bool part_type(struct cw_span type, struct cw_span *major, struct cw_span *minor)
{
    size_t len = cw_http_until(type, '/');

    *major = cw_span_of(type.data, len);
    *minor = cw_span_of(type.data + len, 0);
    if (len < type.len) {
        *minor = cw_span_of(type.data + len + 1, type.len - len - 1);
    }
    return cw_http_is_token(*major) && cw_http_is_token(*minor) &&
           (!is_any(*major) || is_any(*minor));
}

/* §12.5.1: the most specific range that fits counts: parameters before subtypes before types. */
static unsigned fit_media(const struct wish *wish, struct cw_span offer)
{
    struct cw_span wanted[2];
    struct cw_span offered[2];

    if (!part_type(wish->name, &wanted[0], &wanted[1]) ||
        !part_type(cw_http_without_parameters(offer), &offered[0], &offered[1])) {
        return 0;
    }
    unsigned parameters = fit_parameters(wish, offer);
    if (parameters == 0 || is_any(wanted[0])) {
        return parameters == 0 ? 0 : 1;
    }
    if (!same_word(wanted[0], offered[0])) {
        return 0;
    }
    if (is_any(wanted[1])) {
        return 2;
    }
    return same_word(wanted[1], offered[1]) ? 2 + parameters : 0;
}

static unsigned fit_word(const struct wish *wish, struct cw_span offer)
{
    if (is_any(wish->name)) {
        return 1;
    }
    return same_word(wish->name, offer) ? 2 : 0;
}

/* RFC 9110 §8.4.1: x-gzip and x-compress are old names of the same. */
static struct cw_span coding_of(struct cw_span name)
{
    bool is_old = cw_http_equal(name, "x-gzip") || cw_http_equal(name, "x-compress");

    return is_old ? cw_span_of(name.data + 2, name.len - 2) : name;
}

static unsigned fit_coding(const struct wish *wish, struct cw_span offer)
{
    struct wish plain = *wish;

    plain.name = coding_of(wish->name);
    return fit_word(&plain, coding_of(offer));
}

/* RFC 4647 §3.3.1: a range fits what is as it, or begins with it and a hyphen; the longest counts. */
static unsigned fit_language(const struct wish *wish, struct cw_span offer)
{
    size_t len = wish->name.len;

    if (is_any(wish->name)) {
        return 1;
    }
    if (offer.len < len || (offer.len > len && offer.data[len] != '-')) {
        return 0;
    }
    return same_word(wish->name, cw_span_of(offer.data, len)) ? 1 + (unsigned)len : 0;
}

/* ---- asking ---- */

static fit_fn fit_of(const char *field)
{
    struct cw_span name = cw_span_text(field);

    if (cw_http_equal(name, "accept")) {
        return fit_media;
    }
    if (cw_http_equal(name, "accept-encoding")) {
        return fit_coding;
    }
    return cw_http_equal(name, "accept-language") ? fit_language : fit_word;
}

static bool is_well_formed(const struct wish *wish, fit_fn fit)
{
    struct cw_span major;
    struct cw_span minor;

    return fit == fit_media ? part_type(wish->name, &major, &minor) : cw_http_is_token(wish->name);
}

/* For an offer that the field does not name. */
static int unnamed(fit_fn fit, struct cw_span offer, bool field_is_empty)
{
    if (fit == fit_coding) {
        /* §12.5.3: not to encode is always allowed unless it is excluded; last of all, as it is not asked for. */
        return cw_http_equal(offer, "identity") ? 1 : 0;
    }
    return field_is_empty ? WANTED_MOST : 0;
}

int cw_http_quality(const char *field, struct cw_span value, const char *offer)
{
    fit_fn fit = fit_of(field);
    struct cw_span offered = cw_span_text(offer);
    struct cw_span element;
    struct wish wish;
    unsigned best_fit = 0;
    int best = 0;
    bool is_empty = true;

    if (value.data == NULL) {
        return WANTED_MOST;
    }
    while (cw_http_list_next(&value, &element)) {
        if (!read_wish(element, fit == fit_media, &wish) || !is_well_formed(&wish, fit)) {
            continue;
        }
        is_empty = false;
        unsigned fits = fit(&wish, offered);
        if (fits > best_fit || (fits == best_fit && wish.weight > best && fits > 0)) {
            best_fit = fits;
            best = wish.weight;
        }
    }
    return best_fit > 0 ? best : unnamed(fit, offered, is_empty);
}

int cw_http_negotiate(const char *field, struct cw_span value, const char *const *offers)
{
    int best = 0;
    int index = CW_ENOTFOUND;

    for (int i = 0; offers[i] != NULL; i++) {
        int quality = cw_http_quality(field, value, offers[i]);

        if (quality > best) {
            best = quality;
            index = i;
        }
    }
    return index;
}
