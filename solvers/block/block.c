#include "symbolic.c"
#include "interleaved.c"
#include "multigrid.c"
#define JOIN(a, b) a##_##b
#define REAL LANE
#define NAME(x) JOIN(x, own)
#include "factor.c"
#undef REAL
#undef NAME
#define REAL float
#define NAME(x) JOIN(x, shared)
#include "factor.c"
