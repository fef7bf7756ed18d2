/* Symbolic factorisation of a symmetric pattern: elimination tree, postorder, supernodes.
 *
 * J. W. H. Liu, "The role of elimination trees in sparse factorization", SIAM J. Matrix Anal.
 * Appl. 11 (1990) 134. Patterns are CSR with sorted columns and all diagonal entries. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* parent[j] of the elimination tree, -1 for a root. */
void etree(int n, const int *ptr, const int *idx, int *parent)
{
    int *ancestor = malloc(sizeof(int) * (size_t)n);
    for (int i = 0; i < n; i++) {
        parent[i] = ancestor[i] = -1;
        for (int p = ptr[i]; p < ptr[i + 1]; p++) {
            int j = idx[p];
            while (j >= 0 && j < i) { /* climb, and point all that was passed at i */
                int next = ancestor[j];
                ancestor[j] = i;
                if (next < 0)
                    parent[j] = i;
                j = next;
            }
        }
    }
    free(ancestor);
}

/* post[k] is the k-th node in an order where children come before parents, and are contiguous. */
void postorder(int n, const int *parent, int *post)
{
    int *first = malloc(sizeof(int) * (size_t)n), *next = malloc(sizeof(int) * (size_t)n);
    int *stack = malloc(sizeof(int) * (size_t)n), k = 0;
    for (int i = 0; i < n; i++)
        first[i] = -1;
    for (int i = n - 1; i >= 0; i--)
        if (parent[i] >= 0) {
            next[i] = first[parent[i]];
            first[parent[i]] = i;
        }
    for (int root = 0; root < n; root++) {
        if (parent[root] >= 0)
            continue;
        int top = 0;
        stack[top++] = root;
        while (top) {
            int i = stack[top - 1], child = first[i];
            if (child >= 0) {
                first[i] = next[child];
                stack[top++] = child;
            } else {
                post[k++] = i;
                top--;
            }
        }
    }
    free(first), free(next), free(stack);
}

/* count[j]: entries of column j of the factor, diagonal included. Postordered pattern.
 * The row subtree of i is walked once: O(entries of the factor) time, O(n) memory. */
void column_counts(int n, const int *ptr, const int *idx, const int *parent, int *count)
{
    int *mark = malloc(sizeof(int) * (size_t)n);
    for (int i = 0; i < n; i++) {
        mark[i] = i;
        count[i] = 1;
        for (int p = ptr[i]; p < ptr[i + 1]; p++)
            for (int j = idx[p]; j < i && mark[j] != i; j = parent[j]) {
                count[j]++;
                mark[j] = i;
            }
    }
    free(mark);
}

/* start[s] … start[s+1] are the columns of supernode s; returns the number of supernodes.
 *
 * Fundamental supernodes first; then the last child is merged into its parent as long as at most
 * `share` of the merged block would be explicit zeros, or it has at most `narrow` columns. */
int supernodes(int n, const int *parent, const int *count, double share, int narrow, int *start)
{
    int *children = calloc((size_t)n, sizeof(int)), ns = 0;
    for (int i = 0; i < n; i++)
        if (parent[i] >= 0)
            children[parent[i]]++;
    double *zeros = calloc((size_t)n, sizeof(double)); /* explicit zeros of a supernode */
    for (int i = 0; i < n; i++) {
        int joined = i > 0 && parent[i - 1] == i && children[i] == 1 && count[i - 1] == count[i] + 1;
        if (!joined) {
            start[ns] = i;
            zeros[ns++] = 0.0;
        }
        start[ns] = i + 1;
        if (i + 1 < n && parent[i] == i + 1 && children[i + 1] == 1 && count[i] == count[i + 1] + 1)
            continue;
        while (ns > 1) { /* supernode ns-1 is complete: take its last child in if it pays */
            int a = start[ns - 2], b = start[ns - 1], c = start[ns];
            if (parent[b - 1] < b || parent[b - 1] >= c)
                break;
            double w = b - a, v = c - b, rows = count[b], child = count[a];
            double extra = zeros[ns - 2] + zeros[ns - 1] + w * (w + rows - child);
            double all = (w + v) * (w + rows);
            if (extra > share * all && (w > narrow || v > narrow))
                break;
            zeros[ns - 2] = extra;
            start[--ns] = c;
        }
    }
    free(children), free(zeros);
    return ns;
}

static int ascending(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* rows[rowptr[s] …]: the rows of supernode s, ascending, its own columns first.
 * sparent[s]: the supernode of its first row below; -1 for a root. Call with rows = NULL first to
 * get rowptr (of entries 0 … ns). */
void structure(int n, int ns, const int *ptr, const int *idx, const int *start, int64_t *rowptr,
               int *rows, int *sparent)
{
    int *mark = malloc(sizeof(int) * (size_t)n), *owner = malloc(sizeof(int) * (size_t)n);
    int *first = malloc(sizeof(int) * (size_t)ns), *next = malloc(sizeof(int) * (size_t)ns);
    int *work = malloc(sizeof(int) * (size_t)n);
    int64_t capacity = 1 << 16, used = 0;
    int *all = malloc(sizeof(int) * (size_t)capacity);
    for (int s = 0; s < ns; s++) {
        first[s] = -1;
        for (int j = start[s]; j < start[s + 1]; j++)
            owner[j] = s;
    }
    memset(mark, 0xff, sizeof(int) * (size_t)n);
    rowptr[0] = 0;
    for (int s = 0; s < ns; s++) {
        int m = 0, end = start[s + 1];
        for (int j = start[s]; j < end; j++) {
            work[m++] = j;
            mark[j] = s;
        }
        int w = m;
        for (int j = start[s]; j < end; j++)
            for (int p = ptr[j]; p < ptr[j + 1]; p++) {
                int i = idx[p];
                if (i >= end && mark[i] != s) {
                    mark[i] = s;
                    work[m++] = i;
                }
            }
        for (int c = first[s]; c >= 0; c = next[c])
            for (int64_t p = rowptr[c]; p < rowptr[c + 1]; p++) {
                int i = all[p];
                if (i >= end && mark[i] != s) {
                    mark[i] = s;
                    work[m++] = i;
                }
            }
        qsort(work + w, (size_t)(m - w), sizeof(int), ascending);
        while (used + m > capacity)
            all = realloc(all, sizeof(int) * (size_t)(capacity *= 2));
        memcpy(all + used, work, sizeof(int) * (size_t)m);
        rowptr[s + 1] = used += m;
        sparent[s] = m > w ? owner[work[w]] : -1;
        if (sparent[s] >= 0) {
            next[s] = first[sparent[s]];
            first[sparent[s]] = s;
        }
    }
    if (rows)
        memcpy(rows, all, sizeof(int) * (size_t)used);
    free(mark), free(owner), free(first), free(next), free(work), free(all);
}

/* Where entries go: for each supernode s the entries (i, j), i ≥ j, of the lower triangle of A in
 * its columns. `source` is the position of (j, i) in the CSR values of A, `target` the place
 * i m + j in the front, in ranges `entry[s]`. `relative` is the place of each row below the pivots
 * in the front of the parent. */
void places(int n, int ns, const int *ptr, const int *idx, const int *start, const int64_t *rowptr,
            const int *rows, const int *sparent, int64_t *entry, int *source, int *target,
            int *relative)
{
    int *local = malloc(sizeof(int) * (size_t)n);
    int64_t q = 0;
    entry[0] = 0;
    for (int s = 0; s < ns; s++) {
        int m = (int)(rowptr[s + 1] - rowptr[s]);
        const int *own = rows + rowptr[s];
        for (int i = 0; i < m; i++)
            local[own[i]] = i;
        for (int j = start[s]; j < start[s + 1]; j++)
            for (int p = ptr[j]; p < ptr[j + 1]; p++)
                if (idx[p] >= j) {
                    source[q] = p;
                    target[q++] = local[idx[p]] * m + local[j];
                }
        entry[s + 1] = q;
    }
    for (int s = 0; s < ns; s++) {
        int w = start[s + 1] - start[s], t = sparent[s];
        if (t < 0)
            continue;
        const int *own = rows + rowptr[s], *his = rows + rowptr[t];
        int m = (int)(rowptr[s + 1] - rowptr[s]), k = 0;
        for (int i = w; i < m; i++) {
            while (his[k] != own[i])
                k++;
            relative[rowptr[s] + i] = k;
        }
    }
    free(local);
}
