#ifndef CBUILD_H
#define CBUILD_H

/// The commit that the program was built from; empty in a build that scripts/dist did not make.
extern const char *const journey_build_commit;
/// The date of the build, as 2026-11-30T12:00:00Z; empty likewise.
extern const char *const journey_build_date;

#endif
