#include "CBuild.h"

// In C, because Swift has no definitions with values on its command line. Only this file is compiled again for a stamp.
#ifndef JOURNEY_COMMIT
#define JOURNEY_COMMIT ""
#endif
#ifndef JOURNEY_BUILD_DATE
#define JOURNEY_BUILD_DATE ""
#endif

const char *const journey_build_commit = JOURNEY_COMMIT;
const char *const journey_build_date = JOURNEY_BUILD_DATE;
