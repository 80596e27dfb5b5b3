#include "transfer.h"

#include <string.h>
#include <sys/resource.h>
#include <time.h>

const char *transfer_name_trouble(const char *name)
{
    if (name[0] == '\0') {
        return "the name is empty";
    }
    if (strlen(name) > TRANSFER_NAME_MAX_BYTES) {
        return "the name is longer than 200 bytes";
    }
    if (name[0] == '.') {
        return "the name begins with a dot";
    }
    for (const char *at = name; *at != '\0'; at++) {
        if (*at == '/') {
            return "the name holds a slash";
        }
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            return "the name holds a control character";
        }
    }
    return NULL;
}

void transfer_write_checksum(uint8_t bytes[TRANSFER_CHECKSUM_BYTES], uint32_t checksum)
{
    for (unsigned i = 0; i < TRANSFER_CHECKSUM_BYTES; i++) {
        bytes[i] = (uint8_t)(checksum >> (24 - 8 * i));
    }
}

uint32_t transfer_read_checksum(const uint8_t bytes[TRANSFER_CHECKSUM_BYTES])
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

uint64_t transfer_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct transfer_figures transfer_measure(uint64_t started_us, uint64_t bytes)
{
    struct transfer_figures figures;
    struct rusage usage = {0};
    uint64_t us = transfer_now_us() - started_us;

    getrusage(RUSAGE_SELF, &usage);
    figures.seconds = (double)us / 1e6;
    figures.mb_per_s = us == 0 ? 0 : (double)bytes / (double)us;
    figures.peak_memory_mb = (double)usage.ru_maxrss * 1024 / 1e6;
    return figures;
}
