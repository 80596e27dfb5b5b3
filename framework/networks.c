#include "networks.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <stdio.h>
#include <string.h>

static const char separators[] = ", \t\n";

void cw_networks_init(struct cw_networks *networks)
{
    pthread_mutex_init(&networks->lock, NULL);
    atomic_init(&networks->count, 0);
    networks->list = NULL;
}

void cw_networks_clear(struct cw_networks *networks)
{
    cw_release(networks->list);
    pthread_mutex_destroy(&networks->lock);
}

static int complain(struct cw_complaint *complaint, const char *word, size_t len)
{
    snprintf(complaint->text, sizeof complaint->text,
             "trusted_proxies: %.*s is not allowed; an address or a network such as 10.0.0.0/8",
             (int)(len < 60 ? len : 60), word);
    return CW_EINVAL;
}

/* Reads the words of a text into list, which has room for CW_NETWORKS_MAX. */
static int parse(const char *text, struct cw_cidr *list, size_t *count,
                 struct cw_complaint *complaint)
{
    for (*count = 0;; (*count)++) {
        char word[CW_ADDRESS_TEXT_MAX];
        size_t len;

        text += strspn(text, separators);
        len = strcspn(text, separators);
        if (len == 0) {
            return CW_OK;
        }
        if (*count == CW_NETWORKS_MAX) {
            snprintf(complaint->text, sizeof complaint->text,
                     "trusted_proxies: at most %d networks are allowed", CW_NETWORKS_MAX);
            return CW_EINVAL;
        }
        snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word ? len : sizeof word - 1), text);
        if (len >= sizeof word || cw_cidr_parse(word, &list[*count]) < 0) {
            return complain(complaint, text, len);
        }
        text += len;
    }
}

int cw_networks_set(struct cw_networks *networks, const char *text, struct cw_complaint *complaint)
{
    struct cw_cidr *list = cw_alloc(CW_NETWORKS_MAX * sizeof *list);
    struct cw_cidr *unused = list;
    size_t count = 0;
    int error;

    if (!list) {
        snprintf(complaint->text, sizeof complaint->text, "%s", cw_strerror(CW_ENOMEM));
        return CW_ENOMEM;
    }
    error = parse(text ? text : "", list, &count, complaint);
    if (error == CW_OK && networks) {
        pthread_mutex_lock(&networks->lock);
        unused = networks->list;
        networks->list = list;
        atomic_store(&networks->count, count);
        pthread_mutex_unlock(&networks->lock);
    }
    cw_release(unused);
    return error;
}

bool cw_networks_hold(struct cw_networks *networks, const struct cw_address *address)
{
    bool held = false;

    if (atomic_load_explicit(&networks->count, memory_order_relaxed) == 0) {
        return false;
    }
    pthread_mutex_lock(&networks->lock);
    for (size_t i = 0; i < atomic_load(&networks->count) && !held; i++) {
        held = cw_cidr_contains(&networks->list[i], address);
    }
    pthread_mutex_unlock(&networks->lock);
    return held;
}
