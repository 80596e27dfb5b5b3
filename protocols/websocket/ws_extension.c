/* Lists of extensions are read whole, then offers and answers are judged. */
#include "ws_extension.h"

#include <causeway/http_fields.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    BITS_MIN = 8,
    BITS_MAX = 15,
    VALUE_KEPT = 3, /* bytes of a value that are looked at: no sound one has more than two */
};

/* ---- lists of extensions (RFC 6455 §9.1) ---- */

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    const char *why; /* what is wrong with the list */
};

struct param {
    struct cw_span name;
    bool has_value;
    size_t value_len; /* unquoted; may be above VALUE_KEPT */
    uint8_t value[VALUE_KEPT];
};

static int refuse(struct reader *reader, const char *why)
{
    reader->why = why;
    return -1;
}

static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t')) {
        reader->at++;
    }
}

/* Passes over a byte, and the blanks behind it, if it is the next. */
static bool take(struct reader *reader, char byte)
{
    if (reader->at == reader->end || *reader->at != (uint8_t)byte) {
        return false;
    }
    reader->at++;
    skip_blanks(reader);
    return true;
}

static bool is_token_byte(uint8_t byte)
{
    return cw_http_is_token(cw_span_of(&byte, 1));
}

/* An empty one is none. */
static struct cw_span take_token(struct reader *reader)
{
    const uint8_t *from = reader->at;

    while (reader->at < reader->end && is_token_byte(*reader->at)) {
        reader->at++;
    }
    struct cw_span token = cw_span_of(from, (size_t)(reader->at - from));
    skip_blanks(reader);
    return token;
}

static void keep_byte(struct param *param, uint8_t byte)
{
    if (param->value_len < VALUE_KEPT) {
        param->value[param->value_len] = byte;
    }
    param->value_len++;
}

/* Behind the opening quote. What it holds has to be a token too. */
static int take_quoted(struct reader *reader, struct param *param)
{
    while (reader->at < reader->end && *reader->at != '"') {
        reader->at += *reader->at == '\\';
        if (reader->at == reader->end || !is_token_byte(*reader->at)) {
            return refuse(reader, "a quoted value in Sec-WebSocket-Extensions is not a token");
        }
        keep_byte(param, *reader->at++);
    }
    if (param->value_len == 0 || !take(reader, '"')) {
        return refuse(reader, "a quoted value in Sec-WebSocket-Extensions is empty or has no end");
    }
    return 0;
}

static int take_value(struct reader *reader, struct param *param)
{
    if (reader->at < reader->end && *reader->at == '"') {
        reader->at++;
        return take_quoted(reader, param);
    }
    struct cw_span token = take_token(reader);
    if (token.len == 0) {
        return refuse(reader, "a parameter in Sec-WebSocket-Extensions has no value behind its =");
    }
    for (size_t i = 0; i < token.len; i++) {
        keep_byte(param, token.data[i]);
    }
    return 0;
}

/* Behind its semicolon. */
static int take_param(struct reader *reader, struct param *param)
{
    *param = (struct param){.name = take_token(reader)};
    if (param->name.len == 0) {
        return refuse(reader, "a parameter in Sec-WebSocket-Extensions has no name");
    }
    param->has_value = take(reader, '=');
    return param->has_value ? take_value(reader, param) : 0;
}

/* ---- what an element says (RFC 7692 §7.1) ---- */

enum side { OFFER, ANSWER };

/* Set in `said`, in the order in which the parameters are named. */
enum {
    SERVER_FORGETS = 1 << 0,
    CLIENT_FORGETS = 1 << 1,
    SERVER_BITS = 1 << 2,
    CLIENT_BITS = 1 << 3,
};

struct terms {
    bool is_deflate;
    unsigned said;
    uint8_t server_bits; /* with SERVER_BITS */
    uint8_t client_bits; /* with CLIENT_BITS; 15 where it has no value */
    const char *wrong;   /* with its parameters; NULL: nothing */
};

static unsigned param_of(struct cw_span name)
{
    static const char *const names[] = {"server_no_context_takeover", "client_no_context_takeover",
                                        "server_max_window_bits", "client_max_window_bits"};

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (cw_span_equal(name, cw_span_text(names[i]))) {
            return 1U << i;
        }
    }
    return 0;
}

/* 8 to 15 without leading zeros; 0: it is none. */
static uint8_t bits_of(const struct param *param)
{
    const uint8_t *digits = param->value;

    if (param->value_len == 1 && (digits[0] == '8' || digits[0] == '9')) {
        return (uint8_t)(digits[0] - '0');
    }
    if (param->value_len == 2 && digits[0] == '1' && digits[1] >= '0' && digits[1] <= '5') {
        return (uint8_t)(10 + digits[1] - '0');
    }
    return 0;
}

static const char *read_bits(struct terms *terms, const struct param *param, unsigned which,
                             enum side side)
{
    bool may_be_bare = which == CLIENT_BITS && side == OFFER;
    uint8_t bits = param->has_value ? bits_of(param) : (uint8_t)(may_be_bare ? BITS_MAX : 0);

    *(which == SERVER_BITS ? &terms->server_bits : &terms->client_bits) = bits;
    return bits != 0 ? NULL : "a window of permessage-deflate is not a number from 8 to 15";
}

/* What is wrong with it; NULL: nothing. */
static const char *read_param(struct terms *terms, const struct param *param, enum side side)
{
    unsigned which = param_of(param->name);

    if (which == 0) {
        return "permessage-deflate has a parameter that it does not know";
    }
    if ((terms->said & which) != 0) {
        return "permessage-deflate has the same parameter twice";
    }
    terms->said |= which;
    if (which == SERVER_BITS || which == CLIENT_BITS) {
        return read_bits(terms, param, which, side);
    }
    return param->has_value ? "no_context_takeover of permessage-deflate has a value" : NULL;
}

static int take_params(struct reader *reader, struct terms *terms, enum side side)
{
    struct param param;

    while (take(reader, ';')) {
        if (take_param(reader, &param) < 0) {
            return -1;
        }
        if (terms->is_deflate && !terms->wrong) {
            terms->wrong = read_param(terms, &param, side);
        }
    }
    return 0;
}

static void skip_empty(struct reader *reader)
{
    skip_blanks(reader);
    while (take(reader, ',')) {}
}

/* The next element. 1; 0: there is none; -1: the list is malformed. */
static int take_element(struct reader *reader, struct terms *terms, enum side side)
{
    *terms = (struct terms){.wrong = NULL};
    skip_empty(reader);
    if (reader->at == reader->end) {
        return 0;
    }
    struct cw_span name = take_token(reader);
    if (name.len == 0) {
        return refuse(reader, "an element of Sec-WebSocket-Extensions has no name");
    }
    terms->is_deflate = cw_span_equal(name, cw_span_text("permessage-deflate"));
    if (take_params(reader, terms, side) < 0) {
        return -1;
    }
    if (reader->at < reader->end && *reader->at != ',') {
        return refuse(reader, "Sec-WebSocket-Extensions is not a list of extensions");
    }
    return 1;
}

/* ---- texts of ours ---- */

struct text {
    char *to; /* of CW_WS_EXTENSION_TEXT bytes */
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *text, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(text->to + text->len, CW_WS_EXTENSION_TEXT - text->len, format, args);
    va_end(args);
    text->len += len > 0 ? (size_t)len : 0; /* all four parameters fit */
}

static uint8_t lower(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

static uint8_t wanted_bits(uint64_t option)
{
    return option >= BITS_MIN && option < BITS_MAX ? (uint8_t)option : BITS_MAX;
}

/* ---- server ---- */

static struct cw_ws_agreed agree_as_server(const struct terms *terms,
                                           const struct cw_websocket_deflate *options)
{
    uint8_t most = (terms->said & SERVER_BITS) != 0 ? terms->server_bits : BITS_MAX;
    uint8_t peer_most = BITS_MAX;

    /* RFC 7692 §7.1.2.2: a client that has not offered the parameter is not told of a window. */
    if ((terms->said & CLIENT_BITS) != 0) {
        peer_most = lower(terms->client_bits, wanted_bits(options->peer_window_bits));
    }
    return (struct cw_ws_agreed){
        .on = true,
        .keep = options->keep_context && (terms->said & SERVER_FORGETS) == 0,
        .peer_keeps = options->keep_peer_context && (terms->said & CLIENT_FORGETS) == 0,
        .bits = lower(most, wanted_bits(options->window_bits)),
        .peer_bits = peer_most,
    };
}

static void write_answer(const struct terms *terms, const struct cw_ws_agreed *agreed, char *to)
{
    struct text text = {to, 0};

    say(&text, "permessage-deflate");
    if (!agreed->keep) {
        say(&text, "; server_no_context_takeover");
    }
    if (!agreed->peer_keeps) {
        say(&text, "; client_no_context_takeover");
    }
    /* RFC 7692 §7.1.2.1: an offer with it is accepted by repeating it, also with 15. Unasked it would be allowed, and some
     * browsers end the connection then; a smaller window needs no telling. */
    if ((terms->said & SERVER_BITS) != 0) {
        say(&text, "; server_max_window_bits=%u", agreed->bits);
    }
    if (agreed->peer_bits < BITS_MAX) {
        say(&text, "; client_max_window_bits=%u", agreed->peer_bits);
    }
}

int cw_ws_accept_offers(struct cw_span offers, const struct cw_websocket_deflate *options,
                        struct cw_ws_agreed *agreed, char answer[CW_WS_EXTENSION_TEXT],
                        const char **why)
{
    struct reader reader = {offers.data, offers.data + offers.len, NULL};
    struct terms terms;
    size_t count = 0;
    int found;

    *agreed = (struct cw_ws_agreed){.on = false};
    answer[0] = '\0';
    while ((found = take_element(&reader, &terms, OFFER)) > 0) {
        count++;
        if (!agreed->on && terms.is_deflate && !terms.wrong && count <= CW_WS_OFFERS_MAX) {
            *agreed = agree_as_server(&terms, options);
            write_answer(&terms, agreed, answer);
        }
    }
    if (found == 0 && count == 0 && offers.len > 0) {
        found = refuse(&reader, "Sec-WebSocket-Extensions names no extension");
    }
    if (found < 0) {
        *agreed = (struct cw_ws_agreed){.on = false};
        answer[0] = '\0';
        *why = reader.why;
    }
    return found;
}

/* ---- client ---- */

void cw_ws_make_offer(const struct cw_websocket_deflate *options, char offer[CW_WS_EXTENSION_TEXT])
{
    struct text text = {offer, 0};
    uint8_t bits = wanted_bits(options->window_bits);
    uint8_t peer_bits = wanted_bits(options->peer_window_bits);

    say(&text, "permessage-deflate");
    if (!options->keep_peer_context) {
        say(&text, "; server_no_context_takeover");
    }
    if (!options->keep_context) {
        say(&text, "; client_no_context_takeover");
    }
    if (peer_bits < BITS_MAX) {
        say(&text, "; server_max_window_bits=%u", peer_bits);
    }
    say(&text, "; client_max_window_bits");
    if (bits < BITS_MAX) {
        say(&text, "=%u", bits);
    }
}

/* What of our offer the answer leaves out; NULL: nothing. */
static const char *judge_terms(const struct terms *terms, const struct cw_websocket_deflate *options)
{
    uint8_t peer_bits = wanted_bits(options->peer_window_bits);

    if (!options->keep_peer_context && (terms->said & SERVER_FORGETS) == 0) {
        return "the server accepted permessage-deflate without server_no_context_takeover, which was asked for";
    }
    if (peer_bits < BITS_MAX &&
        ((terms->said & SERVER_BITS) == 0 || terms->server_bits > peer_bits)) {
        return "the server accepted permessage-deflate with a larger window than was asked for";
    }
    return NULL;
}

static struct cw_ws_agreed agree_as_client(const struct terms *terms,
                                           const struct cw_websocket_deflate *options)
{
    uint8_t most = (terms->said & CLIENT_BITS) != 0 ? terms->client_bits : BITS_MAX;

    return (struct cw_ws_agreed){
        .on = true,
        .keep = options->keep_context && (terms->said & CLIENT_FORGETS) == 0,
        .peer_keeps = (terms->said & SERVER_FORGETS) == 0,
        /* RFC 7692 §7.1.2.2: an answer may say more than was offered; the offer binds us all the same. */
        .bits = lower(most, wanted_bits(options->window_bits)),
        .peer_bits = (terms->said & SERVER_BITS) != 0 ? terms->server_bits : BITS_MAX,
    };
}

/* The one element that an answer has. NULL, or why not. */
static const char *read_answer(struct cw_span answer, struct terms *terms)
{
    struct reader reader = {answer.data, answer.data + answer.len, NULL};
    struct terms second;
    int found = take_element(&reader, terms, ANSWER);

    if (found > 0 && !terms->is_deflate) {
        return "the server answered with an extension that was not offered";
    }
    if (found > 0 && !terms->wrong) {
        found = take_element(&reader, &second, ANSWER);
        return found == 0  ? NULL
               : found > 0 ? "the server answered with more than one extension"
                           : reader.why;
    }
    if (found == 0) {
        return "Sec-WebSocket-Extensions names no extension";
    }
    return found > 0 ? terms->wrong : reader.why;
}

int cw_ws_judge_answer(struct cw_span answer, bool offered,
                       const struct cw_websocket_deflate *options, struct cw_ws_agreed *agreed,
                       const char **why)
{
    struct terms terms;

    *agreed = (struct cw_ws_agreed){.on = false};
    if (!answer.data) {
        return 0;
    }
    if (!offered) {
        *why = "the server answered with an extension that was not offered";
        return -1;
    }
    const char *wrong = read_answer(answer, &terms);
    if (!wrong) {
        wrong = judge_terms(&terms, options);
    }
    if (wrong) {
        *why = wrong;
        return -1;
    }
    *agreed = agree_as_client(&terms, options);
    return 0;
}
