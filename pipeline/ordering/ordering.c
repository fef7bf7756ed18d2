/* The loops of the near-linear sort: neighbours, fragments, improve.
 *
 * Points are n rows of d single-precision numbers, integers of at most 2^19 in size. Sums of
 * squares of their differences are exact in double precision, so the compiler may add them in any
 * order; all other sums are taken as they stand, without fused operations: the same bits on any
 * machine. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

/* |points[a] - points[b]|^2, exact. */
static inline double squared(int d, const float *points, int64_t a, int64_t b)
{
    const float *p = points + a * d, *q = points + b * d;
    double total = 0.0;
#pragma omp simd reduction(+ : total)
    for (int c = 0; c < d; c++) {
        double difference = p[c] - q[c]; /* exact in single precision too: at most 2^20 */
        total += difference * difference;
    }
    return total;
}

#include "neighbours.c"
#include "fragments.c"
#include "improve.c"
