/* Near neighbours of each point, `count` places a point in found and distances, nearest first;
 * equal distances in the order of the indices. Free places have index -1 and distance inf. */

/* Put b among the neighbours of a if it is near enough and not yet there. */
static inline void offer(int count, int *found, double *distances, int64_t a, int b,
                         double distance)
{
    int *mine = found + a * count, k = count;
    double *far = distances + a * count;
    while (k > 0 && (distance < far[k - 1] || (distance == far[k - 1] && b < mine[k - 1])))
        k--;
    if (k == count || (k > 0 && mine[k - 1] == b))
        return;
    for (int m = count - 1; m > k; m--) {
        mine[m] = mine[m - 1];
        far[m] = far[m - 1];
    }
    mine[k] = b;
    far[k] = distance;
}

/* Compare all pairs of a leaf: its points are order[bounds[leaf]] ... before bounds[leaf + 1]. */
void compare_leaves(int d, const float *points, int leaves, const int64_t *order,
                    const int64_t *bounds, int count, int *found, double *distances)
{
    for (int leaf = 0; leaf < leaves; leaf++)
        for (int64_t i = bounds[leaf]; i < bounds[leaf + 1]; i++)
            for (int64_t j = bounds[leaf]; j < i; j++) {
                int a = (int)order[i], b = (int)order[j];
                double distance = squared(d, points, a, b);
                offer(count, found, distances, a, b, distance);
                offer(count, found, distances, b, a, distance);
            }
}

/* Offer every point the neighbours that its neighbours had before. */
void refine(int n, int d, const float *points, int count, const int *before, int *found,
            double *distances)
{
    for (int a = 0; a < n; a++)
        for (int k = 0; k < count; k++) {
            int64_t b = before[(int64_t)a * count + k];
            for (int m = 0; b >= 0 && m < count; m++) {
                int c = before[b * count + m];
                if (c < 0 || c == a)
                    continue;
                double distance = squared(d, points, a, c);
                offer(count, found, distances, a, c, distance);
                offer(count, found, distances, c, a, distance);
            }
        }
}
