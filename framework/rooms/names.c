/* Things by name. */
#include "names.h"

#include <causeway/error.h>
#include <causeway/log.h>

enum { CHAINS_FIRST = 16 };

int cw_names_init(struct cw_names *names)
{
    *names = (struct cw_names){.chain_count = CHAINS_FIRST};
    names->chains = cw_alloc_zero(CHAINS_FIRST * sizeof(struct cw_named *));
    return names->chains ? CW_OK : CW_ENOMEM;
}

void cw_names_release(struct cw_names *names)
{
    cw_release(names->chains);
    *names = (struct cw_names){0};
}

static size_t chain_of(const struct cw_names *names, uint64_t hash)
{
    return (size_t)hash & (names->chain_count - 1);
}

static void push(struct cw_names *names, struct cw_named *named)
{
    struct cw_named **chain = &names->chains[chain_of(names, named->name.hash)];

    named->next = *chain;
    *chain = named;
}

/* Without memory the chains stay as they are and become longer. */
static void grow(struct cw_names *names)
{
    struct cw_names grown = {.chain_count = 2 * names->chain_count, .count = names->count};

    grown.chains = cw_alloc_zero(grown.chain_count * sizeof(struct cw_named *));
    if (!grown.chains) {
        return;
    }
    for (size_t i = 0; i < names->chain_count; i++) {
        while (names->chains[i]) {
            struct cw_named *named = names->chains[i];
            names->chains[i] = named->next;
            push(&grown, named);
        }
    }
    cw_release(names->chains);
    *names = grown;
}

struct cw_named *cw_names_find(const struct cw_names *names, const struct cw_name *name)
{
    struct cw_named *at = names->chains[chain_of(names, name->hash)];

    while (at && (at->name.hash != name->hash || at->name.len != name->len ||
                  memcmp(at->name.text, name->text, name->len) != 0)) {
        at = at->next;
    }
    return at;
}

void cw_names_add(struct cw_names *names, struct cw_named *named)
{
    if (names->count >= names->chain_count) {
        grow(names);
    }
    push(names, named);
    names->count++;
}

void cw_names_remove(struct cw_names *names, struct cw_named *named)
{
    struct cw_named **link = &names->chains[chain_of(names, named->name.hash)];

    while (*link != named) {
        link = &(*link)->next;
    }
    *link = named->next;
    names->count--;
}

struct cw_named *cw_names_next(const struct cw_names *names, const struct cw_named *at)
{
    size_t chain = at ? chain_of(names, at->name.hash) + 1 : 0;

    if (at && at->next) {
        return at->next;
    }
    while (chain < names->chain_count && !names->chains[chain]) {
        chain++;
    }
    return chain < names->chain_count ? names->chains[chain] : NULL;
}
