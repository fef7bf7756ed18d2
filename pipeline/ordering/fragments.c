/* Fragments of a path: links[2a] and links[2a + 1] are the points next to a, -1 where none is yet;
 * parents is a forest with one tree a fragment. */

static int64_t root_of(int64_t *parents, int64_t a)
{
    while (parents[a] != a) {
        parents[a] = parents[parents[a]];
        a = parents[a];
    }
    return a;
}

/* Take what fits of the edges from ends[i] to ends[near[i, k]], e = i * count + k for each e of
 * `shortest`; returns how many. */
int take(int edges, const int64_t *ends, int count, const int *near, const int64_t *shortest,
         int64_t *links, int64_t *parents)
{
    int taken = 0;
    for (int s = 0; s < edges && near[shortest[s]] >= 0; s++) {
        int64_t a = ends[shortest[s] / count], b = ends[near[shortest[s]]];
        if (links[2 * a + 1] >= 0 || links[2 * b + 1] >= 0)
            continue;
        int64_t one = root_of(parents, a), other = root_of(parents, b);
        if (one == other)
            continue;
        parents[one > other ? one : other] = one < other ? one : other;
        links[2 * a + (links[2 * a] >= 0)] = b;
        links[2 * b + (links[2 * b] >= 0)] = a;
        taken++;
    }
    return taken;
}

/* The one path of all n points, from the end `start`. */
void walk(int n, const int64_t *links, int start, int64_t *path)
{
    int64_t before = -1, here = start;
    for (int step = 0; step < n; step++) {
        int64_t ahead = links[2 * here] != before ? links[2 * here] : links[2 * here + 1];
        path[step] = here;
        before = here;
        here = ahead;
    }
}
