/* Clock, histogram and processor time for the load program. */
#include "measure.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Below 128 a bucket per nanosecond; above, 64 buckets for every doubling. */
static size_t bucket_of(uint64_t ns)
{
    unsigned doublings = 0;

    while ((ns >> doublings) >= 2 * HISTOGRAM_STEPS)
        doublings++;
    size_t bucket = (size_t)doublings * HISTOGRAM_STEPS + (size_t)(ns >> doublings);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static uint64_t bucket_ns(size_t bucket)
{
    if (bucket < HISTOGRAM_STEPS)
        return bucket;
    size_t doublings = bucket / HISTOGRAM_STEPS - 1;
    return (uint64_t)(bucket % HISTOGRAM_STEPS + HISTOGRAM_STEPS) << doublings;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->count++;
    histogram->buckets[bucket_of(ns)]++;
    if (ns > histogram->max_ns)
        histogram->max_ns = ns;
}

double histogram_us(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)((double)histogram->count * share);
    uint64_t seen = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > wanted)
            return (double)bucket_ns(i) / 1000.0;
    }
    return (double)histogram->max_ns / 1000.0;
}

/* Reads the first line of a file of /proc; false when there is none. */
static bool read_line(const char *path, char *line, size_t cap)
{
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return false;
    bool read = fgets(line, (int)cap, file) != NULL;
    fclose(file);
    return read;
}

/* schedstat counts in nanoseconds; stat, in ticks of 10 ms, is for kernels built without it. */
static uint64_t threads_cpu_ns(pid_t pid, DIR *tasks)
{
    uint64_t total = 0;
    const struct dirent *task;

    while ((task = readdir(tasks)) != NULL) {
        char path[320];
        char line[128];

        if (task->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, task->d_name);
        if (read_line(path, line, sizeof line))
            total += strtoull(line, NULL, 10);
    }
    return total;
}

static uint64_t ticks_cpu_ns(pid_t pid)
{
    char path[64];
    char line[1024];

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!read_line(path, line, sizeof line))
        return 0;
    /* The name, in parentheses, may hold spaces: fields are counted from its end. */
    char *field = strrchr(line, ')');
    for (int i = 0; field != NULL && i < 12; i++)
        field = strchr(field + 1, ' ');
    if (field == NULL)
        return 0;
    uint64_t user = strtoull(field, &field, 10);
    uint64_t kernel = strtoull(field, NULL, 10);
    return (user + kernel) * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

uint64_t process_cpu_ns(pid_t pid)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL)
        return 0;
    uint64_t total = threads_cpu_ns(pid, tasks);
    closedir(tasks);
    return total > 0 ? total : ticks_cpu_ns(pid);
}
