/* The tree of a file, walked by the tables of keys. */
#include "config_impl.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int take_section(struct cw_config_reader *reader, const struct cw_config_section *section,
                        const struct cw_yaml_node *node, void *base);

/* ---- what is wrong ---- */

/* Where a message would be too long to be read whole, the file's folder is left out of it. */
int cw_config_fail(struct cw_config_reader *reader, int code, unsigned line, const char *format, ...)
{
    const char *name = reader->name;
    char what[CW_CONFIG_TEXT_MAX];
    char where[32] = "";
    va_list args;

    if (reader->code < 0) {
        return reader->code;
    }
    reader->code = code;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (line > 0 && reader->column > 0) {
        snprintf(where, sizeof where, ":%u:%u", line, reader->column);
    } else if (line > 0) {
        snprintf(where, sizeof where, ":%u", line);
    }
    if (strlen(name) + reader->path_len + strlen(what) + 16 > reader->room && strrchr(name, '/')) {
        name = strrchr(name, '/') + 1;
    }
    snprintf(reader->text, sizeof reader->text, "%s%s: %s%s%s", name, where, reader->path,
             reader->path_len > 0 ? ": " : "", what);
    return code;
}

static int out_of_memory(struct cw_config_reader *reader)
{
    return cw_config_fail(reader, CW_ENOMEM, 0, "%s", cw_strerror(CW_ENOMEM));
}

/* ---- where the reading is ---- */

/* Adds a step; returns what cut_path takes it back to. */
static size_t add_name(struct cw_config_reader *reader, const char *name)
{
    size_t before = reader->path_len;

    snprintf(reader->path + before, sizeof reader->path - before, "%s%.40s", before > 0 ? "." : "",
             name);
    reader->path_len = strlen(reader->path);
    return before;
}

static size_t add_index(struct cw_config_reader *reader, size_t index)
{
    size_t before = reader->path_len;

    snprintf(reader->path + before, sizeof reader->path - before, "[%zu]", index);
    reader->path_len = strlen(reader->path);
    return before;
}

static void cut_path(struct cw_config_reader *reader, size_t before)
{
    reader->path[before] = '\0';
    reader->path_len = before;
}

static int remember(struct cw_config_reader *reader, const void *into, unsigned line)
{
    struct cw_config_said *said = cw_arena_alloc(&reader->file->arena, sizeof *said);

    if (!said) {
        return out_of_memory(reader);
    }
    *said = (struct cw_config_said){reader->file->said, into, line};
    reader->file->said = said;
    return CW_OK;
}

unsigned cw_config_line(const struct cw_config_file *file, const void *into)
{
    for (const struct cw_config_said *said = file->said; said; said = said->next) {
        if (said->into == into) {
            return said->line;
        }
    }
    return 0;
}

unsigned cw_config_line_within(const struct cw_config_file *file, const void *begin, size_t size)
{
    unsigned line = 0;

    for (const struct cw_config_said *said = file->said; said; said = said->next) {
        size_t at = (size_t)((uintptr_t)said->into - (uintptr_t)begin);

        line = at < size ? said->line : line;
    }
    return line;
}

/* ---- keys that nobody knows ---- */

struct elsewhere {
    const char *name;
    char path[CW_CONFIG_PATH_MAX];
};

static void look_elsewhere(const char *path, const struct cw_config_key *key, void *user)
{
    struct elsewhere *elsewhere = user;

    if (elsewhere->path[0] == '\0' && strcmp(key->name, elsewhere->name) == 0) {
        snprintf(elsewhere->path, sizeof elsewhere->path, "%s", path);
    }
}

static void list_keys(const struct cw_config_section *section, char *text, size_t cap)
{
    static const char more[] = ", …";
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; i < section->count; i++) {
        size_t need = strlen(section->keys[i].name) + 2;

        if (len + need + sizeof more > cap) {
            snprintf(text + len, cap - len, "%s", more);
            return;
        }
        snprintf(text + len, cap - len, "%s%s", i > 0 ? ", " : "", section->keys[i].name);
        len = strlen(text);
    }
}

static int refuse_key(struct cw_config_reader *reader, const struct cw_config_section *section,
                      const struct cw_yaml_node *node)
{
    const struct cw_config_key *near = cw_config_find(section, node->name);
    struct elsewhere elsewhere = {.name = node->name};
    char known[80];

    add_name(reader, node->name);
    cw_config_each_key(look_elsewhere, &elsewhere);
    if (near) {
        return cw_config_fail(reader, CW_ECONFIG, node->name_line, "unknown key; did you mean %s?",
                              near->name);
    }
    if (elsewhere.path[0] != '\0') {
        return cw_config_fail(reader, CW_ECONFIG, node->name_line,
                              "unknown key here; did you mean %s?", elsewhere.path);
    }
    list_keys(section, known, sizeof known);
    return cw_config_fail(reader, CW_ECONFIG, node->name_line, "unknown key; known are %s", known);
}

/* Whether a list of words, parted by commas or spaces, has this one. */
static bool names(const char *list, const char *word)
{
    static const char separators[] = ", \t";
    size_t word_len = strlen(word);

    while (list && *list) {
        size_t len;

        list += strspn(list, separators);
        len = strcspn(list, separators);
        if (len == word_len && len > 0 && memcmp(list, word, len) == 0) {
            return true;
        }
        list += len;
    }
    return false;
}

/* ---- sections of protocols ---- */

static int take_setting(struct cw_config_reader *reader, const struct cw_service *service,
                        const struct cw_yaml_node *node)
{
    const struct cw_setting *setting = service->protocol->settings;
    struct cw_config_key keys[32];
    struct cw_config_section section = {keys, 0};

    for (; setting->key && section.count < 32; setting++) {
        keys[section.count++] = cw_config_key_of(setting);
    }
    return take_section(reader, &section, node, (void *)(uintptr_t)service->options);
}

static const struct cw_service *service_of(const struct cw_config_file *file, const char *name,
                                           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(file->services[i].protocol->name, name) == 0) {
            return &file->services[i];
        }
    }
    return NULL;
}

/* ---- values that are more than a scalar ---- */

static int take_protocol(struct cw_config_reader *reader, const struct cw_config_key *key,
                         const struct cw_yaml_node *node, struct cw_service *into)
{
    const struct cw_config_file *file = reader->file;
    const struct cw_service *service;
    const char *names_of[CW_CONFIG_SERVICES_MAX + 2] = {0};
    struct cw_config_key known = *key;
    size_t count = 0;

    for (size_t i = 0; i < file->listed_count; i++) {
        const char *name = file->services[i].protocol->name;

        /* A program may offer what the server speaks by itself, too. */
        if (!service_of(file, name, i)) {
            names_of[count++] = name;
        }
    }
    known.choices = names_of;
    service =
        node->kind == CW_YAML_SCALAR ? service_of(file, node->text, file->listed_count) : NULL;
    if (!service) {
        return cw_config_not_allowed(reader, &known, node);
    }
    /* The server's own stays zero: its options and hooks may still be set. */
    *into = service == &file->services[0] ? (struct cw_service){0} : *service;
    return CW_OK;
}

static int take_own_tls(struct cw_config_reader *reader, const struct cw_config_key *key,
                        const struct cw_yaml_node *node, struct cw_config_draft *draft)
{
    struct cw_config_key as_switch = *key;
    bool wanted;

    if (node->kind == CW_YAML_MAPPING) {
        draft->own_tls = true;
        draft->tls.enabled = true;
        return take_section(reader, key->section, node, draft);
    }
    as_switch.kind = CW_SETTING_SWITCH;
    if (node->kind != CW_YAML_SCALAR || cw_config_is_null(node)) {
        return cw_config_not_allowed(reader, key, node);
    }
    if (cw_config_value(reader, &as_switch, node, &wanted) < 0) {
        return reader->code;
    }
    draft->tls_wanted = wanted;
    draft->listener.plain = !wanted;
    return CW_OK;
}

static int take_listeners(struct cw_config_reader *reader, const struct cw_config_key *key,
                          const struct cw_yaml_node *node)
{
    struct cw_config_file *file = reader->file;

    if (node->kind != CW_YAML_LIST || !node->first) {
        return cw_config_not_allowed(reader, key, node);
    }
    file->said_listeners = true;
    for (const struct cw_yaml_node *each = node->first; each; each = each->next) {
        size_t before = add_index(reader, file->draft_count);
        struct cw_config_draft *draft;

        if (file->draft_count == CW_CONFIG_LISTENERS_MAX || each->kind != CW_YAML_MAPPING) {
            return cw_config_not_allowed(reader, key, each);
        }
        draft = &file->drafts[file->draft_count++];
        draft->line = each->line;
        if (take_section(reader, key->section, each, draft) < 0) {
            return reader->code;
        }
        cut_path(reader, before);
    }
    return CW_OK;
}

enum { CERTIFICATES_MAX = 1024, GROUPS_MAX = 64 };

/* Memory for the members of a list, which lasts as long as the file's. NULL: failed, for the reader's reason. */
static void *list_for(struct cw_config_reader *reader, const struct cw_config_key *key,
                      const struct cw_yaml_node *node, size_t max, size_t size)
{
    size_t count = 0;
    void *list;

    for (const struct cw_yaml_node *each = node->first; each; each = each->next) {
        count++;
    }
    if (node->kind != CW_YAML_LIST || count == 0 || count > max) {
        cw_config_not_allowed(reader, key, node);
        return NULL;
    }
    list = cw_arena_alloc(&reader->file->arena, count * size);
    if (!list) {
        out_of_memory(reader);
    }
    return list;
}

static int take_certificate(struct cw_config_reader *reader, const struct cw_config_key *key,
                            const struct cw_yaml_node *node, struct cw_tls_certificate *into)
{
    if (node->kind != CW_YAML_MAPPING) {
        return cw_config_not_allowed(reader, key, node);
    }
    if (take_section(reader, key->section, node, into) < 0) {
        return reader->code;
    }
    return into->cert ? CW_OK
                      : cw_config_fail(reader, CW_ECONFIG, node->line,
                                       "cert is missing; the path of a certificate");
}

static int take_certificates(struct cw_config_reader *reader, const struct cw_config_key *key,
                             const struct cw_yaml_node *node, struct cw_tls_options *into)
{
    struct cw_tls_certificate *list = list_for(reader, key, node, CERTIFICATES_MAX, sizeof *list);

    if (!list) {
        return reader->code;
    }
    into->certificates = list;
    for (const struct cw_yaml_node *each = node->first; each; each = each->next) {
        size_t before = add_index(reader, into->certificate_count);

        if (take_certificate(reader, key, each, &list[into->certificate_count++]) < 0) {
            return reader->code;
        }
        cut_path(reader, before);
    }
    return CW_OK;
}

/* into: `groups` of struct cw_datagram_options. */
static int take_groups(struct cw_config_reader *reader, const struct cw_config_key *key,
                       const struct cw_yaml_node *node, void *into)
{
    struct cw_datagram_options *options =
        (void *)((char *)into - offsetof(struct cw_datagram_options, groups));
    struct cw_multicast_group *list = list_for(reader, key, node, GROUPS_MAX, sizeof *list);

    if (!list) {
        return reader->code;
    }
    options->groups = list;
    for (const struct cw_yaml_node *each = node->first; each; each = each->next) {
        size_t before = add_index(reader, options->group_count);
        struct cw_multicast_group *group = &list[options->group_count++];

        if (each->kind != CW_YAML_MAPPING) {
            return cw_config_not_allowed(reader, key, each);
        }
        if (take_section(reader, key->section, each, group) < 0) {
            return reader->code;
        }
        if (!group->group) {
            return cw_config_fail(reader, CW_ECONFIG, each->line,
                                  "group is missing; a multicast address");
        }
        cut_path(reader, before);
    }
    return CW_OK;
}

/* ---- sections ---- */

static int take_key(struct cw_config_reader *reader, const struct cw_config_key *key,
                    const struct cw_yaml_node *node, void *base)
{
    void *into = (char *)base + key->offset;

    switch (key->kind) {
    case CW_KEY_SECTION:
        if (node->kind != CW_YAML_MAPPING && !cw_config_is_null(node)) {
            return cw_config_not_allowed(reader, key, node);
        }
        return take_section(reader, key->section, node, base);
    case CW_KEY_LISTENERS:
        return take_listeners(reader, key, node);
    case CW_KEY_CERTIFICATES:
        return take_certificates(reader, key, node, into);
    case CW_KEY_GROUPS:
        return take_groups(reader, key, node, into);
    case CW_KEY_OWN_TLS:
        return take_own_tls(reader, key, node, base);
    case CW_KEY_PROTOCOL:
        return take_protocol(reader, key, node, into);
    default:
        return cw_config_value(reader, key, node, into);
    }
}

static const struct cw_config_key *key_of(const struct cw_config_section *section, const char *name)
{
    for (size_t i = 0; i < section->count; i++) {
        if (strcmp(section->keys[i].name, name) == 0) {
            return &section->keys[i];
        }
    }
    return NULL;
}

/* A section of another program or of a protocol, at the top or in `server`. 1: it was none. */
static int take_foreign(struct cw_config_reader *reader, const struct cw_yaml_node *node)
{
    const struct cw_service *service =
        reader->path_len > 0 ? service_of(reader->file, node->name, reader->file->service_count)
                             : NULL;

    if (reader->path_len > 0 && strcmp(reader->path, "server") != 0) {
        return 1;
    }
    if (service && service->protocol->settings) {
        size_t before = add_name(reader, node->name);

        if (node->kind != CW_YAML_MAPPING && !cw_config_is_null(node)) {
            return cw_config_fail(reader, CW_ECONFIG, node->line,
                                  "not allowed; keys with their values");
        }
        if (take_setting(reader, service, node) < 0) {
            return reader->code;
        }
        cut_path(reader, before);
        return remember(reader, service, node->name_line);
    }
    if (!names(reader->file->source->options.ignored, node->name)) {
        return 1;
    }
    if (!reader->file->again) {
        cw_log(CW_LOG_INFO, 0, "%s: %s%s%s: this program does not speak it; not looked into",
               reader->name, reader->path, reader->path_len > 0 ? "." : "", node->name);
    }
    return CW_OK;
}

/* Those before a key are known ones and no two the same, so there are few. */
static int check_twice(struct cw_config_reader *reader, const struct cw_yaml_node *first,
                       const struct cw_yaml_node *node)
{
    for (; first != node; first = first->next) {
        if (strcmp(first->name, node->name) == 0) {
            add_name(reader, node->name);
            return cw_config_fail(reader, CW_ECONFIG, node->name_line,
                                  "stands there twice, in line %u too; once is allowed",
                                  first->name_line);
        }
    }
    return CW_OK;
}

static int take_section(struct cw_config_reader *reader, const struct cw_config_section *section,
                        const struct cw_yaml_node *node, void *base)
{
    for (const struct cw_yaml_node *each = node->first; each; each = each->next) {
        const struct cw_config_key *key = key_of(section, each->name);
        size_t before = reader->path_len;
        int foreign;

        if (check_twice(reader, node->first, each) < 0) {
            return reader->code;
        }
        if (!key) {
            foreign = take_foreign(reader, each);
            if (foreign != CW_OK) {
                return foreign < 0 ? foreign : refuse_key(reader, section, each);
            }
            continue;
        }
        add_name(reader, each->name);
        if (key->kind != CW_KEY_SECTION &&
            remember(reader, (char *)base + key->offset, each->name_line) < 0) {
            return reader->code;
        }
        if (take_key(reader, key, each, base) < 0) {
            return reader->code;
        }
        cut_path(reader, before);
    }
    return CW_OK;
}

int cw_config_take(struct cw_config_reader *reader, const struct cw_yaml_node *root)
{
    const struct cw_yaml_node *top = root && root->kind == CW_YAML_MAPPING ? root->first : NULL;

    while (top && strcmp(top->name, "server") != 0) {
        top = top->next;
    }
    if (root && root->kind == CW_YAML_MAPPING &&
        take_section(reader, &cw_config_top, root, reader->file) < 0) {
        return reader->code;
    }
    if (!top) {
        /* An empty file is more often one that is being written than a wish for nothing but defaults. */
        return cw_config_fail(reader, CW_ECONFIG, 1,
                              "there is no `server:` in it; it is the one key at the top");
    }
    reader->file->server_line = top->name_line;
    return CW_OK;
}
