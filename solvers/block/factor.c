/* Multifrontal LDLᵀ and LDU factorisation without pivoting, and the triangular solves.
 *
 * This file is included with REAL defined: a vector of LANES floats (as many matrices of one
 * pattern at once) or one float (a matrix that all lanes share); LANE is the vector of LANES
 * floats, NAME(x) the name of a function for this REAL. J. W. H. Liu, "The multifrontal method for
 * sparse matrix solution: theory and practice", SIAM Review 34 (1992) 82.
 *
 * A front is a dense m × m lower triangle over the rows of a supernode, the w pivots first. */

#define TILE 4

/* F[i, j] -= Σ_k L[i, k] G[j, k] for TILE × TILE entries; G = L D. */
static inline void NAME(tile)(REAL *restrict F, int m, const REAL *restrict L,
                              const REAL *restrict G, int w, int depth)
{
    REAL a[TILE][TILE];
    for (int i = 0; i < TILE; i++)
        for (int j = 0; j < TILE; j++)
            a[i][j] = F[(size_t)i * m + j];
    for (int k = 0; k < depth; k++) {
        REAL g[TILE];
        for (int j = 0; j < TILE; j++)
            g[j] = G[(size_t)j * w + k];
        for (int i = 0; i < TILE; i++) {
            REAL l = L[(size_t)i * w + k];
            for (int j = 0; j < TILE; j++)
                a[i][j] -= l * g[j];
        }
    }
    for (int i = 0; i < TILE; i++)
        for (int j = 0; j < TILE; j++)
            F[(size_t)i * m + j] = a[i][j];
}

/* The same for rows × columns entries at the edges. */
static void NAME(edge)(REAL *F, int m, const REAL *L, const REAL *G, int w, int depth, int rows,
                       int columns)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            REAL a = F[(size_t)i * m + j];
            for (int k = 0; k < depth; k++)
                a -= L[(size_t)i * w + k] * G[(size_t)j * w + k];
            F[(size_t)i * m + j] = a;
        }
}

/* F[i, j] -= Σ_k<depth L[i, k] G[j, k] for rows i0 … i1 and columns j0 … j1. */
static void NAME(update)(REAL *F, int m, const REAL *L, const REAL *G, int w, int depth, int i0,
                         int i1, int j0, int j1)
{
    if (!depth)
        return;
    for (int j = j0; j < j1; j += TILE)
        for (int i = i0; i < i1; i += TILE) {
            int rows = i1 - i < TILE ? i1 - i : TILE, columns = j1 - j < TILE ? j1 - j : TILE;
            REAL *f = F + (size_t)i * m + j;
            const REAL *l = L + (size_t)i * w, *g = G + (size_t)j * w;
            if (rows == TILE && columns == TILE)
                NAME(tile)(f, m, l, g, w, depth);
            else
                NAME(edge)(f, m, l, g, w, depth, rows, columns);
        }
}

/* Eliminate the w pivots of a front. L (m × w) gets the unit lower columns, d (w) the inverse
 * pivots, G (m × w) the columns of Uᵀ, not scaled; F keeps the Schur complement in rows and
 * columns ≥ w. A symmetric front needs its lower triangle only, and its G is L D. */
static void NAME(eliminate)(int symmetric, REAL *F, int m, int w, REAL *L, REAL *G, REAL *d)
{
    for (int b = 0; b < w; b += TILE) {
        int e = w - b < TILE ? w : b + TILE;
        NAME(update)(F, m, L, G, w, b, b, m, b, e);
        if (!symmetric)
            NAME(update)(F, m, L, G, w, b, b, e, e, m);
        for (int i = b; i < m; i++) {
            REAL *f = F + (size_t)i * m, *l = L + (size_t)i * w, *g = G + (size_t)i * w;
            for (int j = b; j < e && j <= i; j++) {
                REAL a = f[j], u = symmetric ? a : F[(size_t)j * m + i];
                for (int k = b; k < j; k++) {
                    a -= l[k] * G[(size_t)j * w + k];
                    if (!symmetric)
                        u -= L[(size_t)j * w + k] * g[k];
                }
                g[j] = symmetric ? a : u;
                if (i == j)
                    d[j] = 1.0f / a;
                l[j] = a * d[j];
            }
        }
    }
    for (int j = w; j < m; j += TILE) {
        int e = m - j < TILE ? m : j + TILE;
        NAME(update)(F, m, L, G, w, w, symmetric ? j : w, m, j, e);
    }
}

/* Factorise A = L D Lᵀ (symmetric, U unused) or L D U. values: those of A in CSR order; `mirror`:
 * where the value of the transposed entry is. L, U: Σ m w; d: n, the inverse of D. Workspaces:
 * front (largest m²), panel (largest m w), stack (the largest sum of updates that wait). */
void NAME(factorise)(int symmetric, int ns, const int *start, const int64_t *rowptr,
                     const int *sparent, const int64_t *entry, const int *source,
                     const int *mirror, const int *target, const int *relative,
                     const REAL *values, const int64_t *lptr, REAL *L, REAL *U, REAL *d,
                     REAL *front, REAL *panel, REAL *stack)
{
    int *waiting = malloc(sizeof(int) * (size_t)(ns + 1)), top = 0;
    REAL *u = stack;
    for (int s = 0; s < ns; s++) {
        int m = (int)(rowptr[s + 1] - rowptr[s]), w = start[s + 1] - start[s];
        memset(front, 0, sizeof(REAL) * (size_t)m * m);
        for (int64_t e = entry[s]; e < entry[s + 1]; e++) {
            int i = target[e] / m, j = target[e] % m;
            front[target[e]] = values[mirror[e]];
            if (!symmetric && i != j)
                front[(size_t)j * m + i] = values[source[e]];
        }
        while (top && sparent[waiting[top - 1]] == s) { /* extend-add of the children */
            int c = waiting[--top];
            int r = (int)(rowptr[c + 1] - rowptr[c]) - (start[c + 1] - start[c]);
            const int *to = relative + rowptr[c + 1] - r;
            const REAL *from = u -= symmetric ? (int64_t)r * (r + 1) / 2 : (int64_t)r * r;
            for (int i = 0; i < r; i++) {
                REAL *f = front + (size_t)to[i] * m;
                for (int j = 0; j < (symmetric ? i + 1 : r); j++)
                    f[to[j]] += *from++;
            }
        }
        NAME(eliminate)(symmetric, front, m, w, L + lptr[s], panel, d + start[s]);
        if (!symmetric)
            for (int i = 0; i < m; i++)
                for (int k = 0; k < w; k++)
                    U[lptr[s] + (int64_t)i * w + k] = panel[(size_t)i * w + k] * d[start[s] + k];
        if (sparent[s] < 0)
            continue;
        for (int i = w; i < m; i++)
            for (int j = w; j < (symmetric ? i + 1 : m); j++)
                *u++ = front[(size_t)i * m + j];
        waiting[top++] = s;
    }
    free(waiting);
}

/* x ← U⁻¹ D⁻¹ L⁻¹ x for all lanes; U = Lᵀ where A is symmetric. Both are stored by columns. */
void NAME(solve)(int ns, const int *start, const int64_t *rowptr, const int *rows,
                 const int64_t *lptr, const REAL *L, const REAL *U, const REAL *d, LANE *x)
{
    for (int s = 0; s < ns; s++) {
        int m = (int)(rowptr[s + 1] - rowptr[s]), w = start[s + 1] - start[s];
        const int *own = rows + rowptr[s];
        const REAL *l = L + lptr[s] + w;
        LANE *y = x + start[s];
        for (int i = 1; i < w; i++, l += w) {
            LANE a = y[i];
            for (int k = 0; k < i; k++)
                a -= l[k] * y[k];
            y[i] = a;
        }
        for (int i = w; i < m; i++, l += w) {
            LANE a = x[own[i]];
            for (int k = 0; k < w; k++)
                a -= l[k] * y[k];
            x[own[i]] = a;
        }
    }
    for (int s = ns - 1; s >= 0; s--) {
        int m = (int)(rowptr[s + 1] - rowptr[s]), w = start[s + 1] - start[s];
        const int *own = rows + rowptr[s];
        const REAL *l = U + lptr[s];
        LANE *y = x + start[s];
        for (int k = 0; k < w; k++)
            y[k] *= d[start[s] + k];
        int k = 0;
        for (; k + TILE <= w; k += TILE) { /* TILE columns at once: one pass over the rows */
            LANE a0 = y[k], a1 = y[k + 1], a2 = y[k + 2], a3 = y[k + 3];
            for (int i = w; i < m; i++) {
                const REAL *c = l + (size_t)i * w + k;
                LANE z = x[own[i]];
                a0 -= c[0] * z, a1 -= c[1] * z, a2 -= c[2] * z, a3 -= c[3] * z;
            }
            y[k] = a0, y[k + 1] = a1, y[k + 2] = a2, y[k + 3] = a3;
        }
        for (; k < w; k++) {
            LANE a = y[k];
            for (int i = w; i < m; i++)
                a -= l[(size_t)i * w + k] * x[own[i]];
            y[k] = a;
        }
        for (int i = w - 1; i > 0; i--)
            for (int j = 0; j < i; j++)
                y[j] -= l[(size_t)i * w + j] * y[i];
    }
}
#undef TILE
