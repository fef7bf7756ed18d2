/* One matrix for all lanes: Gauss–Seidel sweeps and transfers of a multigrid cycle. */

/* One Gauss–Seidel sweep for A x = b, rows ascending or descending; `inverse` of the diagonal. */
void sweep(int n, const int *ptr, const int *idx, const float *v, const float *inverse,
           int ascending, const LANE *b, LANE *x)
{
    for (int k = 0; k < n; k++) {
        int i = ascending ? k : n - 1 - k;
        LANE a = b[i];
        for (int p = ptr[i]; p < ptr[i + 1]; p++)
            a -= v[p] * x[idx[p]];
        x[i] += inverse[i] * a;
    }
}

/* The first ascending sweep, from x = 0: only the lower triangle counts. */
void first_sweep(int n, const int *ptr, const int *idx, const float *v, const float *inverse,
                 const LANE *b, LANE *x)
{
    for (int i = 0; i < n; i++) {
        LANE a = b[i];
        for (int p = ptr[i]; p < ptr[i + 1] && idx[p] < i; p++)
            a -= v[p] * x[idx[p]];
        x[i] = inverse[i] * a;
    }
}

/* coarse = Pᵀ (b − A x). */
void restrict_residual(int n, const int *ptr, const int *idx, const float *v, const LANE *b,
                       const LANE *x, const int *pptr, const int *pidx, const float *pv, int nc,
                       LANE *coarse)
{
    memset(coarse, 0, sizeof(LANE) * (size_t)nc);
    for (int i = 0; i < n; i++) {
        LANE a = b[i];
        for (int p = ptr[i]; p < ptr[i + 1]; p++)
            a -= v[p] * x[idx[p]];
        for (int p = pptr[i]; p < pptr[i + 1]; p++)
            coarse[pidx[p]] += pv[p] * a;
    }
}

/* x += P coarse. */
void prolong(int n, const int *pptr, const int *pidx, const float *pv, const LANE *coarse, LANE *x)
{
    for (int i = 0; i < n; i++) {
        LANE a = x[i];
        for (int p = pptr[i]; p < pptr[i + 1]; p++)
            a += pv[p] * coarse[pidx[p]];
        x[i] = a;
    }
}
