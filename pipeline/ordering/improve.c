/* 2-opt and Or-opt moves of a path to near neighbours; places[path[i]] = i. */

enum {
    REACH = 1000, /* points that a move turns or carries, at most */
    SEGMENT = 3   /* points that Or-opt carries, at most */
};
static const double LEAST = 1e-9; /* gains below this share of the edges are rounding */

typedef struct {
    int n, d, count;
    const float *points;
    const int *near; /* (n, count), nearest first, -1 where there are fewer */
    int64_t *path, *places;
} search;

/* The piece of the path that a move changed, and the segment in it; first is -1 without a move. */
typedef struct {
    int64_t first, last, start, end;
} piece;

static const piece NONE = {-1, -1, -1, -1};

/* Length between two places of the path; nothing beyond its ends. */
static inline double edge(const search *s, int64_t i, int64_t j)
{
    if (i < 0 || j < 0 || i >= s->n || j >= s->n)
        return 0.0;
    return sqrt(squared(s->d, s->points, s->path[i], s->path[j]));
}

static void reverse(const search *s, int64_t i, int64_t j)
{
    for (; i < j; i++, j--) {
        int64_t a = s->path[i], b = s->path[j];
        s->path[i] = b;
        s->path[j] = a;
        s->places[b] = i;
        s->places[a] = j;
    }
}

/* Turn a piece of the path if that shortens it. */
static piece two_opt(const search *s, int64_t a)
{
    int64_t i = s->places[a];
    for (int side = 1; side >= -1; side -= 2) {
        double old = edge(s, i, i + side);
        for (int k = 0; k < s->count; k++) {
            int c = s->near[a * s->count + k];
            if (c < 0)
                break;
            int64_t j = s->places[c];
            double new = edge(s, i, j);
            if (new >= old)
                break;
            double gain = old - new + edge(s, j, j + side);
            gain -= edge(s, i + side, j + side);
            int64_t first = (i < j ? i : j) + (side > 0), last = (i < j ? j : i) - (side < 0);
            if (gain > LEAST * old && last - first < REACH) {
                reverse(s, first, last);
                return (piece){first, last, first, last};
            }
        }
    }
    return NONE;
}

/* Put the segment low ... high between places j and `beyond`, its end a beside j. */
static piece carry(const search *s, int64_t low, int64_t high, int64_t a, int64_t j,
                   int64_t beyond)
{
    int64_t length = high - low + 1, first, last, start;
    if (j > high) { /* (segment, gap) is turned to (gap, segment), then the gap back */
        first = low;
        last = (j > beyond ? j : beyond) - 1;
        start = last - length + 1;
        reverse(s, first, last);
        reverse(s, first, start - 1);
    } else {
        first = start = (j < beyond ? j : beyond) + 1;
        last = high;
        reverse(s, first, last);
        reverse(s, first + length, last);
    }
    int64_t end = start + length - 1;
    if (s->places[a] != (beyond > j ? start : end))
        reverse(s, start, end);
    return (piece){first, last, start, end};
}

/* Carry a segment that ends in a to a neighbour of a if that shortens the path. */
static piece or_opt(const search *s, int64_t a)
{
    int64_t i = s->places[a];
    for (int64_t k = i - SEGMENT + 1; k < i + SEGMENT; k++) { /* the segment's other end */
        int64_t low = i < k ? i : k, high = i < k ? k : i;
        if (low < 0 || high >= s->n)
            continue;
        double freed = edge(s, low - 1, low) + edge(s, high, high + 1);
        freed -= edge(s, low - 1, high + 1);
        for (int m = 0; m < s->count; m++) {
            int c = s->near[a * s->count + m];
            if (c < 0)
                break;
            int64_t j = s->places[c];
            double new = edge(s, i, j);
            if (new >= freed)
                break;
            if ((low <= j && j <= high) || llabs(j - i) >= REACH)
                continue;
            for (int64_t beyond = j - 1; beyond <= j + 1; beyond += 2) { /* between c and this */
                double gain = freed - new - edge(s, k, beyond) + edge(s, j, beyond);
                if (gain > LEAST * freed && !(low <= beyond && beyond <= high))
                    return carry(s, low, high, a, j, beyond);
            }
        }
    }
    return NONE;
}

/* Look at all points, and again at those whose edges change, up to `most` moves; returns their
 * number. `queue` is a copy of the path, `waiting` has n ones. */
int sweep(int n, int d, const float *points, int count, const int *near, int64_t *path,
          int64_t *places, int most, int64_t *queue, char *waiting)
{
    search s = {n, d, count, points, near, path, places};
    int64_t head = 0, queued = n;
    int moves = 0;
    while (queued && moves < most) {
        int64_t a = queue[head];
        head = (head + 1) % n;
        queued--;
        waiting[a] = 0;
        while (moves < most) {
            piece p = two_opt(&s, a);
            if (p.first < 0)
                p = or_opt(&s, a);
            if (p.first < 0)
                break;
            moves++;
            int64_t ends[] = {p.first - 1, p.first, p.start - 1, p.start,
                              p.end,       p.end + 1, p.last,    p.last + 1};
            for (int e = 0; e < 8; e++)
                if (ends[e] >= 0 && ends[e] < n && !waiting[path[ends[e]]]) {
                    waiting[path[ends[e]]] = 1;
                    queue[(head + queued) % n] = path[ends[e]];
                    queued++;
                }
        }
    }
    return moves;
}
