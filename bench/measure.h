/* What the load program measures with: a clock, a histogram, another process's processor time. */
#ifndef CW_BENCH_MEASURE_H
#define CW_BENCH_MEASURE_H

#include <stdint.h>
#include <sys/types.h>

enum { HISTOGRAM_STEPS = 64, HISTOGRAM_BUCKETS = 60 * HISTOGRAM_STEPS };

/* Times in nanoseconds, each kept to within 1/64 of its value. {0} is an empty one. */
struct histogram {
    uint64_t count;
    uint64_t max_ns;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Reads the monotonic clock. */
uint64_t clock_ns(void);

/* Adds one time. */
void histogram_add(struct histogram *histogram, uint64_t ns);

/* Finds the time, in microseconds, that `share` (0 to 1) of the times do not pass; 0 when empty. */
double histogram_us(const struct histogram *histogram, double share);

/* Sums the processor time that the living threads of a process have used, user and system.
 *
 * returns  nanoseconds; 0 when the process is gone or cannot be read */
uint64_t process_cpu_ns(pid_t pid);

#endif
