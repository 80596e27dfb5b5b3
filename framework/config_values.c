/* Scalars of a configuration file: numbers with units, switches, choices, texts with variables of the environment. */
#include "config_impl.h"
#include "options.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SHOWN_MAX = 40, NAME_MAX_BYTES = 128, DECIMALS_MAX = 3 };

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit no_unit[] = {{"", 1}, {NULL, 0}};
static const struct unit sizes[] = {{"", 1},           {"K", 1024},       {"k", 1024},
                                    {"M", 1024 << 10}, {"G", 1024 << 20}, {NULL, 0}};
static const struct unit times[] = {{"", 1000},   {"ms", 1},      {"s", 1000},
                                    {"m", 60000}, {"h", 3600000}, {NULL, 0}};

/* ---- numbers ---- */

static bool add_digit(uint64_t *number, char c)
{
    uint64_t digit = (uint64_t)(c - '0');

    if (*number > (UINT64_MAX - digit) / 10) {
        return false;
    }
    *number = *number * 10 + digit;
    return true;
}

/* Decimal, without sign or leading zeros: YAML 1.1 would take those for octal. */
static bool read_digits(const char **text, uint64_t *number)
{
    const char *at = *text;

    *number = 0;
    if (!isdigit((unsigned char)*at) || (at[0] == '0' && isdigit((unsigned char)at[1]))) {
        return false;
    }
    while (isdigit((unsigned char)*at)) {
        if (!add_digit(number, *at++)) {
            return false;
        }
    }
    *text = at;
    return true;
}

/* Thousandths behind a point. */
static bool read_fraction(const char **text, uint64_t *thousandths)
{
    const char *at = *text;
    unsigned count = 0;

    *thousandths = 0;
    if (*at != '.') {
        return true;
    }
    for (at++; isdigit((unsigned char)*at) && count < DECIMALS_MAX; count++) {
        *thousandths = *thousandths * 10 + (uint64_t)(*at++ - '0');
    }
    for (unsigned i = count; i < DECIMALS_MAX; i++) {
        *thousandths *= 10;
    }
    *text = at;
    return count > 0;
}

static bool read_with_unit(const char *text, const struct unit *units, uint64_t *value)
{
    uint64_t whole;
    uint64_t thousandths = 0;

    if (!read_digits(&text, &whole) || (units == times && !read_fraction(&text, &thousandths))) {
        return false;
    }
    for (; units->name; units++) {
        if (strcmp(text, units->name) == 0) {
            uint64_t part = thousandths * units->factor;

            if (whole > (UINT64_MAX - part) / units->factor || part % 1000 != 0) {
                return false;
            }
            *value = whole * units->factor + part / 1000;
            return true;
        }
    }
    return false;
}

static bool read_word(const struct cw_config_key *key, const char *text, uint64_t *value)
{
    static const struct {
        const char *word;
        unsigned flag;
        uint64_t means;
    } words[] = {{"off", CW_MAY_OFF, CW_OFF},
                 {"unlimited", CW_MAY_NO_LIMIT, CW_NO_LIMIT},
                 {"auto", CW_MAY_PER_CORE, CW_PER_CORE}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if ((key->flags & words[i].flag) && strcmp(text, words[i].word) == 0) {
            *value = words[i].means;
            return true;
        }
    }
    return false;
}

static bool read_number(const struct cw_config_key *key, const char *text, uint64_t *value)
{
    const struct unit *units = key->kind == CW_SETTING_BYTES      ? sizes
                               : key->kind == CW_SETTING_DURATION ? times
                                                                  : no_unit;

    if (read_word(key, text, value)) {
        return true;
    }
    /* Zero would mean the default, and the highest ones are CW_OFF and the like. */
    return read_with_unit(text, units, value) && *value >= key->least &&
           *value <= (key->most == 0 ? (uint64_t)1 << 62 : key->most) &&
           (key->least == 0 || *value > 0);
}

static bool set_number(const struct cw_config_key *key, const char *text, void *into)
{
    uint64_t value;

    if (!read_number(key, text, &value)) {
        return false;
    }
    if (key->kind == CW_KEY_PORT) {
        *(uint16_t *)into = (uint16_t)value;
    } else {
        *(uint64_t *)into = value;
    }
    return true;
}

static bool set_mode(const char *text, void *into)
{
    size_t digits = strspn(text, "01234567");
    unsigned long mode = digits == 4 && text[0] == '0' ? strtoul(text, NULL, 8) : 0;

    if (text[digits] != '\0' || mode == 0) {
        return false;
    }
    *(uint32_t *)into = (uint32_t)mode;
    return true;
}

/* ---- words ---- */

/* YAML 1.2, core schema. */
static bool read_switch(const char *text, bool *on)
{
    static const char *const words[][3] = {{"false", "False", "FALSE"}, {"true", "True", "TRUE"}};

    for (int value = 0; value < 2; value++) {
        for (int i = 0; i < 3; i++) {
            if (strcmp(text, words[value][i]) == 0) {
                *on = value == 1;
                return true;
            }
        }
    }
    return false;
}

static bool choice(const char *const *choices, const char *text, unsigned *index)
{
    bool on;

    for (*index = 0; choices[*index]; (*index)++) {
        if (strcmp(choices[*index], text) == 0 ||
            (read_switch(text, &on) && strcmp(choices[*index], on ? "true" : "false") == 0)) {
            return true;
        }
    }
    return false;
}

static bool set_version(const char *text, void *into)
{
    enum cw_tls_version version = strcmp(text, "1.2") == 0   ? CW_TLS_1_2
                                  : strcmp(text, "1.3") == 0 ? CW_TLS_1_3
                                                             : CW_TLS_ANY;

    memcpy(into, &version, sizeof version);
    return version != CW_TLS_ANY;
}

/* ---- what is wrong ---- */

/* The YAML 1.1 words, which many believe to be switches. */
static const char *hint(const struct cw_config_key *key, const char *text)
{
    static const char *const words[][2] = {{"yes", "true"}, {"on", "true"},   {"y", "true"},
                                           {"no", "false"}, {"off", "false"}, {"n", "false"}};
    bool is_switch = key->kind == CW_SETTING_SWITCH || key->kind == CW_SETTING_SWITCH_OFF ||
                     key->kind == CW_KEY_OWN_TLS ||
                     (key->choices && strcmp(key->choices[0], "false") == 0);

    for (size_t i = 0; is_switch && i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(text, words[i][0]) == 0) {
            return words[i][1];
        }
    }
    return NULL;
}

static void show(const struct cw_config_key *key, const struct cw_yaml_node *node, char *shown,
                 size_t cap)
{
    if (key->kind == CW_KEY_SECRET) {
        snprintf(shown, cap, "this");
    } else if (node->kind != CW_YAML_SCALAR) {
        snprintf(shown, cap, node->kind == CW_YAML_LIST ? "a list" : "a mapping");
    } else if (cw_config_is_null(node)) {
        snprintf(shown, cap, "no value");
    } else if (node->text[0] == '\0') {
        snprintf(shown, cap, "an empty text");
    } else if (node->quoted) {
        snprintf(shown, cap, "the text \"%.*s\"", SHOWN_MAX, node->text);
    } else {
        snprintf(shown, cap, "%.*s", SHOWN_MAX, node->text);
    }
}

int cw_config_not_allowed(struct cw_config_reader *reader, const struct cw_config_key *key,
                          const struct cw_yaml_node *node)
{
    char allowed[CW_ALLOWED_MAX];
    char shown[SHOWN_MAX + 24];
    const char *meant = node->kind == CW_YAML_SCALAR ? hint(key, node->text) : NULL;

    show(key, node, shown, sizeof shown);
    return cw_config_fail(reader, CW_ECONFIG, node->line, "%s is not allowed; %s%s%s%s", shown,
                          cw_config_allowed(key, allowed), meant ? "; did you mean " : "",
                          meant ? meant : "", meant ? "?" : "");
}

bool cw_config_is_null(const struct cw_yaml_node *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};

    for (size_t i = 0;
         node->kind == CW_YAML_SCALAR && !node->quoted && i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(node->text, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- the environment ---- */

/* One pass over a text: once to count, once to write. */
struct expansion {
    struct cw_config_reader *reader;
    const struct cw_yaml_node *node;
    char *out; /* NULL: count only */
    size_t len;
};

static void put(struct expansion *expansion, const char *text, size_t len)
{
    if (expansion->out) {
        memcpy(expansion->out + expansion->len, text, len);
    }
    expansion->len += len;
}

/* `at` is behind `${`. Returns what follows the variable, NULL: an error is worded. */
static const char *put_variable(struct expansion *expansion, const char *at)
{
    size_t len = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    char name[NAME_MAX_BYTES];
    const char *value;

    if (len == 0 || len >= sizeof name || at[len] != '}' || isdigit((unsigned char)at[0])) {
        cw_config_fail(expansion->reader, CW_ECONFIG, expansion->node->line,
                       "${ without a name and } behind it; ${NAME} is a variable of the "
                       "environment, $${ is ${ itself");
        return NULL;
    }
    snprintf(name, sizeof name, "%.*s", (int)len, at);
    value = getenv(name);
    if (!value) {
        cw_config_fail(expansion->reader, CW_ECONFIG, expansion->node->line,
                       "${%s}: that variable of the environment is not set", name);
        return NULL;
    }
    put(expansion, value, strlen(value));
    return at + len + 1;
}

static bool expand_once(struct expansion *expansion)
{
    const char *at = expansion->node->text;

    expansion->len = 0;
    while (*at) {
        if (strncmp(at, "$${", 3) == 0) {
            put(expansion, "${", 2);
            at += 3;
        } else if (strncmp(at, "${", 2) == 0) {
            at = put_variable(expansion, at + 2);
            if (!at) {
                return false;
            }
        } else {
            put(expansion, at++, 1);
        }
    }
    return true;
}

const char *cw_config_expand(struct cw_config_reader *reader, const struct cw_yaml_node *node)
{
    struct expansion expansion = {.reader = reader, .node = node};

    if (!expand_once(&expansion)) {
        return NULL;
    }
    expansion.out = cw_arena_alloc(&reader->file->arena, expansion.len + 1);
    if (!expansion.out) {
        cw_config_fail(reader, CW_ENOMEM, 0, "%s", cw_strerror(CW_ENOMEM));
        return NULL;
    }
    return expand_once(&expansion) ? expansion.out : NULL;
}

/* ---- texts ---- */

static int set_text(struct cw_config_reader *reader, const struct cw_config_key *key,
                    const struct cw_yaml_node *node, const char *text, void *into)
{
    const char *directory = reader->directory;
    bool relative = key->kind == CW_KEY_PATH && text[0] != '/' && !strstr(text, "-----BEGIN");
    char *joined;
    size_t size;

    if (text[0] == '\0') {
        return cw_config_not_allowed(reader, key, node);
    }
    if (!relative || directory[0] == '\0') {
        *(const char **)into = text;
        return CW_OK;
    }
    size = strlen(directory) + strlen(text) + 1;
    joined = cw_arena_alloc(&reader->file->arena, size);
    if (!joined) {
        return cw_config_fail(reader, CW_ENOMEM, 0, "%s", cw_strerror(CW_ENOMEM));
    }
    snprintf(joined, size, "%s%s", directory, text);
    *(const char **)into = joined;
    return CW_OK;
}

static int check_word(struct cw_config_reader *reader, const struct cw_config_key *key,
                      const struct cw_yaml_node *node, const char *word)
{
    struct cw_complaint complaint;
    bool one = word[0] != '\0' && !word[strcspn(word, ", \t\n")];
    int error =
        one && key->kind == CW_KEY_NETWORKS ? cw_networks_set(NULL, word, &complaint) : CW_OK;

    return one && error == CW_OK ? CW_OK : cw_config_not_allowed(reader, key, node);
}

/* One word, or those of a list with commas between them. */
static int set_words(struct cw_config_reader *reader, const struct cw_config_key *key,
                     const struct cw_yaml_node *node, void *into)
{
    const struct cw_yaml_node *word = node->kind == CW_YAML_LIST ? node->first : node;
    const char **words = into;
    struct cw_yaml_node *end = node->kind == CW_YAML_LIST ? NULL : node->next;
    char *joined;
    size_t len = 0;
    size_t size = 1;

    for (const struct cw_yaml_node *each = word; each != end; each = each->next) {
        const char *text = each->kind == CW_YAML_SCALAR && !cw_config_is_null(each)
                               ? cw_config_expand(reader, each)
                               : NULL;

        if (!text) {
            return reader->code < 0 ? reader->code : cw_config_not_allowed(reader, key, each);
        }
        if (check_word(reader, key, each, text) < 0) {
            return reader->code;
        }
        size += strlen(text) + 1;
    }
    joined = cw_arena_alloc(&reader->file->arena, size);
    if (!joined) {
        return cw_config_fail(reader, CW_ENOMEM, 0, "%s", cw_strerror(CW_ENOMEM));
    }
    for (const struct cw_yaml_node *each = word; each != end; each = each->next) {
        snprintf(joined + len, size - len, "%s%s", len > 0 ? "," : "",
                 cw_config_expand(reader, each));
        len += strlen(joined + len);
    }
    *words = joined;
    return CW_OK;
}

/* ---- all of them ---- */

/* A text in quotes is a text, and no number or switch; but quotes are how a variable is written inside of braces. */
static bool is_quoted_number(const struct cw_config_key *key, const struct cw_yaml_node *node)
{
    return node->quoted && !strchr(node->text, '$') && key->kind != CW_SETTING_CHOICE &&
           !node->text[strspn(node->text, "0123456789.")];
}

static bool set_plain(const struct cw_config_key *key, const char *text, void *into)
{
    unsigned index;
    bool on;

    switch (key->kind) {
    case CW_SETTING_SWITCH:
    case CW_SETTING_SWITCH_OFF:
        if (!read_switch(text, &on)) {
            return false;
        }
        *(bool *)into = on == (key->kind == CW_SETTING_SWITCH);
        return true;
    case CW_SETTING_CHOICE:
        if (!choice(key->choices, text, &index)) {
            return false;
        }
        memcpy(into, &index, sizeof index);
        return true;
    case CW_KEY_VERSION:
        return set_version(text, into);
    case CW_KEY_MODE:
        return set_mode(text, into);
    default:
        return set_number(key, text, into);
    }
}

int cw_config_value(struct cw_config_reader *reader, const struct cw_config_key *key,
                    const struct cw_yaml_node *node, void *into)
{
    bool is_text =
        key->kind == CW_SETTING_TEXT || key->kind == CW_KEY_PATH || key->kind == CW_KEY_SECRET;
    bool is_switch = key->kind == CW_SETTING_SWITCH || key->kind == CW_SETTING_SWITCH_OFF;
    const char *text;

    if (key->kind == CW_KEY_WORDS || key->kind == CW_KEY_NETWORKS) {
        return set_words(reader, key, node, into);
    }
    if (node->kind != CW_YAML_SCALAR || cw_config_is_null(node)) {
        return cw_config_not_allowed(reader, key, node);
    }
    text = cw_config_expand(reader, node);
    if (!text) {
        return reader->code;
    }
    if (is_text) {
        return set_text(reader, key, node, text, into);
    }
    if ((is_quoted_number(key, node) && key->kind != CW_KEY_VERSION && key->kind != CW_KEY_MODE) ||
        (is_switch && node->quoted && !strchr(node->text, '$')) || !set_plain(key, text, into)) {
        return cw_config_not_allowed(reader, key, node);
    }
    return CW_OK;
}
