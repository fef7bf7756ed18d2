/* Products and vector operations on LANES systems at once.
 *
 * Lane s of entry i is number i * LANES + s: one vector register holds one entry of all systems.
 * Iterations are in single precision, residuals and solutions in double. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 16
typedef float LANE __attribute__((vector_size(4 * LANES), aligned(4)));
typedef float HALF __attribute__((vector_size(4 * 8), aligned(4)));
typedef double WIDE __attribute__((vector_size(8 * 8), aligned(8)));
#define CHUNK 256 /* rows summed in single precision before they go to a double */

static inline void add_up(double *sum, LANE part)
{
    for (int s = 0; s < LANES; s++)
        sum[s] += part[s];
}

/* to[t, s] = from[s, index[t]]: values of LANES systems, `stride` apart. The index jumps from row to
 * row of the original order, so the next piece is asked for in advance. */
void interleave(int64_t count, const int *index, int64_t stride, const double *from, double *to)
{
    enum { BLOCK = 64 };
    for (int64_t t = 0; t < count; t += BLOCK) {
        int64_t end = t + BLOCK < count ? t + BLOCK : count;
        for (int s = 0; s < LANES; s++)
            for (int64_t i = t; i < end; i++) {
                if (i + BLOCK < count)
                    __builtin_prefetch(from + s * stride + index[i + BLOCK]);
                to[i * LANES + s] = from[s * stride + index[i]];
            }
    }
}

/* to[s, index[t]] = unit[s] from[t, s]. */
void separate(int64_t count, const int *index, int64_t stride, const double *from,
              const double *unit, double *to)
{
    enum { BLOCK = 64 };
    for (int64_t t = 0; t < count; t += BLOCK) {
        int64_t end = t + BLOCK < count ? t + BLOCK : count;
        for (int s = 0; s < LANES; s++)
            for (int64_t i = t; i < end; i++)
                to[s * stride + index[i]] = unit[s] * from[i * LANES + s];
    }
}

/* w[i, j] = v[i, j] / (s_i s_j) in single precision, with s = scale. */
void scale_values(int n, const int *ptr, const int *idx, const double *v, const double *scale,
                  float *w)
{
    for (int i = 0; i < n; i++)
        for (int p = ptr[i]; p < ptr[i + 1]; p++) {
            const double *from = v + (int64_t)p * LANES;
            const double *row = scale + (int64_t)i * LANES, *col = scale + (int64_t)idx[p] * LANES;
            float *to = w + (int64_t)p * LANES;
            for (int s = 0; s < LANES; s++)
                to[s] = (float)(from[s] * row[s] * col[s]);
        }
}

/* r = b − A x in double, s r in single precision; squares[s] = ‖r‖² of the rows. */
void residual(int n, const int *ptr, const int *idx, const WIDE *v, const WIDE *b, const WIDE *x,
              const WIDE *scale, HALF *r, double *squares)
{
    WIDE sum[2] = {{0}, {0}};
    for (int i = 0; i < n; i++) {
        WIDE a0 = b[2 * i], a1 = b[2 * i + 1];
        for (int p = ptr[i]; p < ptr[i + 1]; p++) {
            a0 -= v[2 * (int64_t)p] * x[2 * (int64_t)idx[p]];
            a1 -= v[2 * (int64_t)p + 1] * x[2 * (int64_t)idx[p] + 1];
        }
        sum[0] += a0 * a0, sum[1] += a1 * a1;
        r[2 * i] = __builtin_convertvector(a0 * scale[2 * i], HALF);
        r[2 * i + 1] = __builtin_convertvector(a1 * scale[2 * i + 1], HALF);
    }
    memcpy(squares, sum, sizeof sum);
}

/* The same with one matrix for all lanes. */
void residual_shared(int n, const int *ptr, const int *idx, const double *v, const WIDE *b,
                     const WIDE *x, const WIDE *scale, HALF *r, double *squares)
{
    WIDE sum[2] = {{0}, {0}};
    for (int i = 0; i < n; i++) {
        WIDE a0 = b[2 * i], a1 = b[2 * i + 1];
        for (int p = ptr[i]; p < ptr[i + 1]; p++) {
            a0 -= v[p] * x[2 * (int64_t)idx[p]];
            a1 -= v[p] * x[2 * (int64_t)idx[p] + 1];
        }
        sum[0] += a0 * a0, sum[1] += a1 * a1;
        r[2 * i] = __builtin_convertvector(a0 * scale[2 * i], HALF);
        r[2 * i + 1] = __builtin_convertvector(a1 * scale[2 * i + 1], HALF);
    }
    memcpy(squares, sum, sizeof sum);
}

/* q = A p; pq = pᵀq. */
void product(int n, const int *ptr, const int *idx, const LANE *v, const LANE *p, LANE *q,
             double *pq)
{
    memset(pq, 0, sizeof(double) * LANES);
    for (int start = 0; start < n; start += CHUNK) {
        int end = start + CHUNK < n ? start + CHUNK : n;
        LANE sum = {0};
        for (int i = start; i < end; i++) {
            LANE a = {0};
            for (int e = ptr[i]; e < ptr[i + 1]; e++)
                a += v[e] * p[idx[e]];
            q[i] = a;
            sum += a * p[i];
        }
        add_up(pq, sum);
    }
}

/* y += α p, r −= α q; rr = ‖r‖². */
void step(int n, const LANE *alpha, const LANE *p, const LANE *q, LANE *y, LANE *r, double *rr)
{
    memset(rr, 0, sizeof(double) * LANES);
    for (int start = 0; start < n; start += CHUNK) {
        int end = start + CHUNK < n ? start + CHUNK : n;
        LANE sum = {0};
        for (int i = start; i < end; i++) {
            y[i] += *alpha * p[i];
            r[i] -= *alpha * q[i];
            sum += r[i] * r[i];
        }
        add_up(rr, sum);
    }
}

/* ab = aᵀb. */
void dot(int n, const LANE *a, const LANE *b, double *ab)
{
    memset(ab, 0, sizeof(double) * LANES);
    for (int start = 0; start < n; start += CHUNK) {
        int end = start + CHUNK < n ? start + CHUNK : n;
        LANE sum = {0};
        for (int i = start; i < end; i++)
            sum += a[i] * b[i];
        add_up(ab, sum);
    }
}

/* p ← z + β p. */
void turn(int n, const LANE *beta, const LANE *z, LANE *p)
{
    for (int i = 0; i < n; i++)
        p[i] = z[i] + *beta * p[i];
}

/* x += c s y, y ← 0. */
void correct(int n, const WIDE *c, const WIDE *scale, HALF *y, WIDE *x)
{
    for (int i = 0; i < 2 * n; i++) {
        x[i] += c[i % 2] * scale[i] * __builtin_convertvector(y[i], WIDE);
        y[i] = (HALF){0};
    }
}

/* z in double. */
void widen(int n, const HALF *z, WIDE *wide)
{
    for (int i = 0; i < 2 * n; i++)
        wide[i] = __builtin_convertvector(z[i], WIDE);
}

/* r in single precision. */
void narrow(int n, const WIDE *r, HALF *single)
{
    for (int i = 0; i < 2 * n; i++)
        single[i] = __builtin_convertvector(r[i], HALF);
}

/* q = A z. */
void product_wide(int n, const int *ptr, const int *idx, const WIDE *v, const WIDE *z, WIDE *q)
{
    for (int i = 0; i < n; i++) {
        WIDE a0 = {0}, a1 = {0};
        for (int p = ptr[i]; p < ptr[i + 1]; p++) {
            a0 += v[2 * (int64_t)p] * z[2 * (int64_t)idx[p]];
            a1 += v[2 * (int64_t)p + 1] * z[2 * (int64_t)idx[p] + 1];
        }
        q[2 * i] = a0, q[2 * i + 1] = a1;
    }
}

/* ab = aᵀb. */
void dot_wide(int n, const WIDE *a, const WIDE *b, double *ab)
{
    WIDE sum[2] = {{0}, {0}};
    for (int i = 0; i < n; i++) {
        sum[0] += a[2 * i] * b[2 * i];
        sum[1] += a[2 * i + 1] * b[2 * i + 1];
    }
    memcpy(ab, sum, sizeof sum);
}

/* b += c a. */
void axpy_wide(int n, const WIDE *c, const WIDE *a, WIDE *b)
{
    WIDE c0 = c[0], c1 = c[1];
    for (int i = 0; i < n; i++) {
        b[2 * i] += c0 * a[2 * i];
        b[2 * i + 1] += c1 * a[2 * i + 1];
    }
}
